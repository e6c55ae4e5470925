//! Finds and reads the configuration and the policies; every fault names file and line. Changes nothing.

use super::config::Config;
use super::error::io_help;
use crate::policy::Document;
use crate::policy::Fault;
use crate::policy::Policy;
use crate::policy::Source;
use std::io;
use std::path::{Path, PathBuf};

/// Octets of a configuration file.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Where the configuration is looked for when none is named.
const PLACES: [&str; 2] = ["sealpost.toml", "/etc/sealpost/sealpost.toml"];

/// Why nothing can be read.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be opened.
    Io(PathBuf, io::Error),
    /// No file was named and none is in the usual places.
    NoConfiguration,
    /// Faults in the text, at least one.
    Faults(Vec<Fault>),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Io(path, e) => write!(f, "{}: {e}", path.display()),
            Error::NoConfiguration => {
                write!(f, "no configuration: neither ./{} nor {} is there", PLACES[0], PLACES[1])
            }
            Error::Faults(faults) => {
                let reports: Vec<String> = faults.iter().map(|fault| fault.report(colour())).collect();
                let heading = if faults.len() == 1 { "a fault".to_owned() } else { format!("{} faults", faults.len()) };
                write!(f, "{heading}\n{}", reports.concat().trim_end())
            }
        }
    }
}

impl Error {
    /// What to do about it; faults in a text say so themselves.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Error::NoConfiguration => Some("name one with --config FILE; `sealpost init DIR` makes a new gateway"),
            Error::Io(_, e) => match e.kind() {
                io::ErrorKind::NotFound => {
                    Some("--config FILE names the configuration; data_dir in it, where all else lies")
                }
                io::ErrorKind::IsADirectory => Some("--config names the file: DIR/sealpost.toml"),
                io::ErrorKind::InvalidData => Some("save it as UTF-8"),
                _ => io_help(e),
            },
            Error::Faults(_) => None,
        }
    }
    /// For a log: all of it in one line.
    pub fn line(&self) -> String {
        let place = |fault: &Fault| {
            let help = fault.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
            format!("{}:{}:{}: {}{help}", fault.file, fault.line, fault.column, fault.message)
        };
        match self {
            Error::Faults(faults) => faults.iter().map(place).collect::<Vec<_>>().join("; "),
            other => other.to_string(),
        }
    }
}

impl std::error::Error for Error {}

fn colour() -> crate::policy::Colour {
    use std::io::IsTerminal;
    match io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => crate::policy::Colour::Terminal,
        false => crate::policy::Colour::Plain,
    }
}

/// The configuration file to use.
pub fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => PLACES.iter().map(PathBuf::from).find(|p| p.is_file()).ok_or(Error::NoConfiguration),
    }
}

/// Reads the configuration, paths anchored.
pub fn configuration(path: &Path) -> Result<Config, Error> {
    let text = read_text(path, CONFIG_BYTES_MAX)?;
    let document = Document::new(&path.display().to_string(), &text);
    let config = Config::parse(&text).map_err(|e| {
        let span = e.span().unwrap_or(0..0);
        Error::Faults(vec![document.fault(span, e.message(), None)])
    })?;
    let faults = super::config::check::faults(&config, &text, &document);
    if faults.is_empty() { Ok(config.anchor(path)) } else { Err(Error::Faults(faults)) }
}

/// Reads the policies of a directory, in byte order; `*.cases.toml` are tests, not policies.
pub fn policies(dir: &Path) -> Result<Policy, Error> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::Io(dir.to_owned(), e))? {
        let path = entry.map_err(|e| Error::Io(dir.to_owned(), e))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".toml") && !name.ends_with(".cases.toml") && !name.starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    policy_files(&paths)
}

/// Reads these policy files.
pub fn policy_files(paths: &[PathBuf]) -> Result<Policy, Error> {
    let mut sources = Vec::new();
    for path in paths {
        let bytes_max = u64::try_from(crate::policy::POLICY_BYTES_MAX).unwrap_or(u64::MAX);
        sources.push(Source { name: path.display().to_string(), text: read_text(path, bytes_max)? });
    }
    crate::policy::load(&sources).map_err(Error::Faults)
}

fn read_text(path: &Path, bytes_max: u64) -> Result<String, Error> {
    let fault = |e: io::Error| Error::Io(path.to_owned(), e);
    let bytes = std::fs::metadata(path).map_err(fault)?.len();
    if bytes > bytes_max {
        return Err(fault(io::Error::other(format!("longer than {bytes_max} octets"))));
    }
    std::fs::read_to_string(path).map_err(fault)
}
