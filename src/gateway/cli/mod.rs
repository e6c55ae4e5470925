//! The command line: reads arguments, calls what does the work, prints. Holds no logic of its own.
//!
//! Data goes to standard output, talk to standard error. Exit status: 0 ok, 1 the thing asked about is bad, 2 usage, 75 try again.

mod archive;
mod archive_acts;
mod archive_export;
mod archive_import;
mod archive_restore;
pub mod args;
mod args_acts;
mod args_transfer;
mod assurance;
mod audit;
mod evidence;
mod gpg;
mod key;
mod officer;
mod officer_args;
mod openers;
mod out;
mod piece;
mod policy;
mod queue;
mod recorded;
mod unlock;
mod user;

use super::control::{self, Request};
use super::error::{Error, Outlook, io_help};
use super::observe::Verbosity;
use super::post::Places;
use super::{check, demo, files, init, observe, serve};
use args::{Arguments, Command};
use clap::Parser;
use out::{Form, Out};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Exit status when the thing asked about is bad.
const BAD: u8 = 1;
/// Exit status of a command that was not understood, as clap's.
const USAGE: u8 = 2;
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

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        let error: Error = error.into();
        let status = match error.outlook() {
            Outlook::Bad => BAD,
            Outlook::Passing => TEMPORARY,
        };
        Failure { status, text: error.to_string(), help: error.help().map(str::to_owned) }
    }
}

/// Asks the running server; `None` when none runs. What it answers that it cannot do may work later.
fn ask(places: &Places, request: &Request) -> Result<Option<Vec<Value>>, Failure> {
    ask_or(places, request, Failure::temporary)
}

/// The same with another meaning of a refusal.
fn ask_or(places: &Places, request: &Request, refused: fn(String) -> Failure) -> Result<Option<Vec<Value>>, Failure> {
    let failed = |e: io::Error| {
        let socket = places.control.display();
        match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Failure::temporary(format!("{socket}: the running server does not answer"))
                    .with_help("its log may say what it is busy with")
            }
            _ => Failure { help: io_help(&e).map(str::to_owned), ..Failure::temporary(format!("{socket}: {e}")) },
        }
    };
    match control::ask(&places.control, request).map_err(failed)? {
        None => Ok(None),
        Some(answer) => answer.map(Some).map_err(refused),
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
                talk("error", &failure.text, failure.help.as_deref());
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
            let made = init::init(&wishes.into())?;
            match out.form() {
                Form::Text => out.line(&made.to_string()),
                Form::Json => out.record(&[], &made.to_json()),
            }
        }
        Command::Serve => serve::serve(&file()?).map_err(Failure::from),
        Command::Check => check(&file()?, out),
        Command::Demo { keep } => {
            demo::demo(if keep { demo::Afterwards::Keep } else { demo::Afterwards::Remove }).map_err(Failure::bad)
        }
        Command::Policy(command) => policy::run(command, file, &out),
        Command::Key(command) => key::run(command, &file()?, &out),
        Command::User(command) => user::run(command, &file()?, &out),
        Command::Queue(command) => queue::run(&command, &file()?, &out),
        Command::Archive(args::Archive::Officer(command)) => officer::run(command, file, &out),
        Command::Archive(args::Archive::Drill(by)) => officer::drill(&by, &file()?, &out),
        Command::Unlock { by, ttl } => unlock::unlock(&by, ttl, &file()?, &out),
        Command::Lock => unlock::lock(&file()?, &out),
        Command::Archive(command) => archive::run(command, &file()?, &out),
        Command::Audit(command) => audit::run(command, file, &out),
    }
}

fn check(file: &Path, out: Out) -> Result<(), Failure> {
    let check::Report { faults, warnings } = check::check(file);
    let findings = || warnings.iter().map(|w| ("warning", w)).chain(faults.iter().map(|f| ("error", f)));
    match out.form() {
        Form::Text => {
            findings().for_each(|(level, found)| talk(level, &found.to_string(), found.help()));
            if faults.is_empty() {
                out.line("ok")?;
            }
        }
        Form::Json => {
            let row = |(level, found): (&str, &Error)| json!({"level": level, "detail": found.line()});
            out.table(&[], &findings().map(row).collect::<Vec<_>>())?;
            let summary = json!({"ok": faults.is_empty(), "warnings": warnings.len(), "faults": faults.len()});
            out.record(&[], &summary)?;
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::silent()) }
}

/// For people, on standard error: what happened, then what to do.
fn talk(level: &str, text: &str, help: Option<&str>) {
    eprintln!("{level}: {text}");
    if let Some(help) = help {
        eprintln!("help: {help}");
    }
}
