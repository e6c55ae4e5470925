//! The command line: reads arguments, calls what does the work, prints. Holds no logic of its own.
//!
//! Data goes to standard output, talk to standard error. Exit status: 0 ok, 1 the thing asked about is bad, 2 usage, 75 try again.

mod archive;
pub mod args;
mod key;
mod out;
mod policy;
mod queue;
mod user;

use super::observe::Verbosity;
use super::{check, demo, files, init, observe, serve};
use args::{Arguments, Command};
use clap::Parser;
use out::Out;
use std::process::ExitCode;

/// Exit status when the thing asked about is bad.
const BAD: u8 = 1;
/// Exit status of a failure that may pass (sysexits.h EX_TEMPFAIL).
const TEMPORARY: u8 = 75;

/// Why a command ends with another status than 0.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    text: String,
    help: Option<String>,
}

impl Failure {
    /// The thing asked about is bad.
    pub fn bad(text: impl std::fmt::Display) -> Failure {
        Failure { status: BAD, text: text.to_string(), help: None }
    }
    /// It may work later.
    pub fn temporary(text: impl std::fmt::Display) -> Failure {
        Failure { status: TEMPORARY, text: text.to_string(), help: None }
    }
    /// What to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl std::fmt::Display) -> Failure {
        self.help = Some(help.to_string());
        self
    }
    /// Everything was already said.
    pub fn silent() -> Failure {
        Failure { status: BAD, text: String::new(), help: None }
    }
}

impl From<files::Error> for Failure {
    fn from(error: files::Error) -> Failure {
        Failure::bad(error)
    }
}

impl From<super::post::Error> for Failure {
    fn from(error: super::post::Error) -> Failure {
        Failure::bad(error)
    }
}

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    observe::start_logging(match arguments.command {
        Command::Serve | Command::Demo { .. } => Verbosity::Events,
        _ => Verbosity::Warnings,
    });
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                eprintln!("error: {}", failure.text);
            }
            if let Some(help) = failure.help {
                eprintln!("help: {help}");
            }
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { config, json, command } = arguments;
    let out = Out::new(json);
    let file = || files::find(config.as_deref());
    match command {
        Command::Init(wishes) => {
            init::init(&wishes.into()).map(|made| out.line(&made.to_string())).map_err(Failure::from)
        }
        Command::Serve => serve::serve(&file()?).map_err(Failure::from),
        Command::Check => check(&file()?, &out),
        Command::Demo { keep } => {
            demo::demo(if keep { demo::Afterwards::Keep } else { demo::Afterwards::Remove }).map_err(Failure::bad)
        }
        Command::Policy(command) => policy::run(command, file, &out),
        Command::Key(command) => key::run(command, &file()?, &out),
        Command::User(command) => user::run(command, &file()?, &out),
        Command::Queue(command) => queue::run(&command, &file()?, &out),
        Command::Archive(command) => archive::run(command, &file()?, &out),
    }
}

fn check(file: &std::path::Path, out: &Out) -> Result<(), Failure> {
    let report = check::check(file);
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    for fault in &report.faults {
        eprintln!("error: {fault}");
    }
    if report.faults.is_empty() {
        out.line("ok");
        Ok(())
    } else {
        Err(Failure::silent())
    }
}
