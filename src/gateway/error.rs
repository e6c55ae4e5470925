//! Why a start or a command fails, for the administrator: what happened, where, and what to do. Never shown to a mail client.

use super::files;
use super::tls;
use crate::access;
use crate::archive;
use crate::journal;
use crate::keyring;
use std::io;
use std::path::Path;

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Not before somebody acts.
    Bad,
    /// It may pass by itself.
    Passing,
}

/// What happened, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    text: String,
    /// The text in one line, where it has several.
    brief: Option<String>,
    help: Option<String>,
    outlook: Outlook,
}

impl Error {
    /// What happened, in a sentence.
    pub fn new(text: impl std::fmt::Display) -> Error {
        Error { text: text.to_string(), brief: None, help: None, outlook: Outlook::Bad }
    }
    /// What failed, and how.
    pub fn of(what: impl std::fmt::Display, cause: impl std::fmt::Display) -> Error {
        Error::new(format!("{what}: {cause}"))
    }
    /// An operation on this file failed.
    pub fn io(path: &Path, error: &io::Error) -> Error {
        Error::of(path.display(), error).with_some_help(io_help(error))
    }
    /// The archive in this directory failed.
    pub fn archive(dir: &Path, error: &archive::Error) -> Error {
        let failed = Error::of(format_args!("archive {}", dir.display()), error);
        match error {
            archive::Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                failed.with_help("is its volume mounted? restore it from its copy; a new archive would not hold the old mail")
            }
            archive::Error::Io { source, .. } => failed.with_some_help(io_help(source)),
            archive::Error::RolledBack(_) => failed.with_help(ROLLED_BACK),
            archive::Error::Damaged { .. } => failed.with_help(
                "was host.key replaced? if not, `sealpost archive verify` names what is damaged; restore those files from a copy",
            ),
            _ => failed,
        }
    }
    /// The journal in this directory cannot be opened.
    pub fn journal(dir: &Path, error: &journal::Error) -> Error {
        let failed = Error::of(dir.display(), error);
        match error {
            journal::Error::Locked => failed.with_help(
                "a `sealpost serve` runs on it: use that one, or stop it; if commands say this, its run/control.sock is gone: restart it",
            ),
            journal::Error::StorageFull => failed.passing().with_help("make room on this volume"),
            journal::Error::Volatile(_) => failed.with_help(
                "put data_dir on a disk; [journal] danger_volatile_filesystem = true accepts that mail is lost at power loss",
            ),
            journal::Error::WrongHostKey(_) => {
                failed.with_help("was host.key replaced? the journal opens with the key it was written under")
            }
            _ => failed,
        }
    }
    /// The same, of which one may hope that it passes.
    #[must_use]
    pub fn passing(mut self) -> Error {
        self.outlook = Outlook::Passing;
        self
    }
    /// What to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl std::fmt::Display) -> Error {
        self.help = Some(help.to_string());
        self
    }
    fn with_some_help(self, help: Option<&str>) -> Error {
        match help {
            Some(help) => self.with_help(help),
            None => self,
        }
    }
    /// What to do about it, if that can be said.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
    /// Whether trying again may help.
    pub fn outlook(&self) -> Outlook {
        self.outlook
    }
    /// For a log: all of it in one line.
    pub fn line(&self) -> String {
        let text = self.brief.as_ref().unwrap_or(&self.text);
        match &self.help {
            None => text.clone(),
            Some(help) => format!("{text} ({help})"),
        }
    }
}

/// What to do with an archive that is older than what is known of it.
const ROLLED_BACK: &str = "nothing is signed or accepted on it, for that would contradict what was signed before. Restore the newest \
copy of archive/ and journal/ together, and start again. If the newer state is lost for good, keep this copy as it is (it can be \
read, exported and verified) and set up a new gateway directory with `sealpost init`";

/// What to do when the system refuses an operation on a file.
pub fn io_help(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some("run it as the user the gateway runs as, who must own its files"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("make room on this volume"),
        io::ErrorKind::ReadOnlyFilesystem => Some("the volume is mounted read-only: `dmesg` may say why"),
        _ => None,
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Error {
        let brief = Some(error.line());
        Error { brief, ..Error::new(&error).with_some_help(error.help()) }
    }
}

impl From<keyring::Error> for Error {
    fn from(error: keyring::Error) -> Error {
        let help = match &error {
            keyring::Error::Disk { source, .. } => io_help(source),
            other => other.help(),
        };
        let is_about_what_was_given =
            matches!(error, keyring::Error::Input { .. } | keyring::Error::NotFound(_) | keyring::Error::Ambiguous(_));
        let failed = if is_about_what_was_given { Error::new(&error) } else { Error::of("keyring", &error) };
        failed.with_some_help(help)
    }
}

impl From<access::Error> for Error {
    fn from(error: access::Error) -> Error {
        let failed = Error::new(&error);
        match &error {
            access::Error::Busy => failed.passing(),
            access::Error::Exists(name) => {
                failed.with_help(format_args!("`sealpost user passwd {name}` changes its password"))
            }
            access::Error::Missing(_) => failed.with_help("`sealpost user list` shows those there are"),
            access::Error::Disk { source, .. } => failed.with_some_help(io_help(source)),
            access::Error::NotForScram => {
                failed.with_help("choose one of ASCII characters, or make the account without --scram")
            }
            access::Error::TooMany | access::Error::Malformed { .. } | access::Error::NoRandomness => failed,
        }
    }
}

impl From<tls::Error> for Error {
    fn from(error: tls::Error) -> Error {
        Error::new(&error).with_help("[tls] certificate and key name the PEM files; both are read again on SIGHUP")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_done_is_said() {
        let dir = Path::new("/srv/gw/journal");
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let gone = archive::Error::Io { object: "archive".to_owned(), source: missing };
        for (error, text, help) in [
            (Error::io(dir, &denied), "/srv/gw/journal", Some("run it as the user")),
            (Error::io(dir, &io::Error::other("x")), "/srv/gw/journal: x", None),
            (Error::archive(dir, &gone), "archive /srv/gw/journal: archive", Some("mounted")),
            (Error::journal(dir, &journal::Error::Locked), "in use by another process", Some("stop it")),
            (Error::journal(dir, &journal::Error::StorageFull), "full", Some("make room")),
        ] {
            assert!(error.to_string().contains(text), "{error}");
            match help {
                Some(help) => {
                    assert!(error.help().is_some_and(|said| said.contains(help)), "{error}: {:?}", error.help())
                }
                None => assert_eq!(error.help(), None),
            }
        }
    }

    #[test]
    fn only_what_may_pass_says_so() {
        let dir = Path::new("journal");
        assert_eq!(Error::journal(dir, &journal::Error::StorageFull).outlook(), Outlook::Passing);
        assert_eq!(Error::journal(dir, &journal::Error::Locked).outlook(), Outlook::Bad);
        assert_eq!(Error::new("x").with_help("y").line(), "x (y)");
    }
}
