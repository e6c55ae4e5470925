//! Writes messages out: one file each with the octets exact, a Maildir, one mbox, or one zip file; with a manifest beside it. Never
//! overwrites a file, and never leaves a part of a message under the name of a whole one.

pub mod maildir;
mod manifest;
mod zipped;

use super::error::Error;
use crate::catalog::Row;
use crate::clock::Timestamp;
use crate::mail::mbox;
use maildir::Maildir;
use manifest::Manifest;
use serde_json::{Value, json};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use zipped::Zipped;

/// Forms of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// `<id>.eml` in a directory.
    Eml,
    /// A Maildir, all of it read.
    Maildir,
    /// One mboxrd file, lines ending in LF.
    Mbox,
    /// One zip file with `<id>.eml` in it, not compressed.
    Zip,
}

/// An export under way.
#[derive(Debug)]
pub struct Writer {
    output: PathBuf,
    form: Form,
    manifest: Manifest,
}

#[derive(Debug)]
enum Form {
    Eml,
    Maildir(Maildir),
    /// With the octets so far.
    Mbox(BufWriter<File>, u64),
    Zip(Box<Zipped>),
}

impl Writer {
    /// Makes the directory, or the file, which must be new, as must be the manifest.
    pub fn create(form: Export, output: &Path) -> Result<Writer, Error> {
        let form = match form {
            Export::Eml => {
                private_dir(output).map_err(|e| failed(output, &e))?;
                Form::Eml
            }
            Export::Maildir => Form::Maildir(Maildir::create(output)?),
            Export::Mbox => {
                Form::Mbox(BufWriter::with_capacity(1 << 17, new_file(output).map_err(|e| failed(output, &e))?), 0)
            }
            Export::Zip => Form::Zip(Box::new(Zipped::create(output)?)),
        };
        Ok(Writer { output: output.to_owned(), form, manifest: Manifest::beside(output) })
    }

    /// Adds one message.
    pub fn write(&mut self, row: &Row, octets: &[u8]) -> Result<(), Error> {
        let place = match &mut self.form {
            Form::Eml => {
                let name = format!("{}.eml", row.id);
                whole_file(&self.output.join(&name), octets, row.internal_date)?;
                json!({"file": name})
            }
            Form::Maildir(maildir) => json!({"file": maildir.add(row, octets)?}),
            Form::Mbox(file, position) => {
                let at = *position;
                *position += add(file, row, octets).map_err(|e| unfinished(&self.output, &e))?;
                // What mbox cannot say: where a line ended in a bare LF, or the last one in nothing.
                json!({"file": file_name(&self.output), "position": at, "exact": mbox::is_exact(octets)})
            }
            Form::Zip(zipped) => json!({"file": zipped.add(row, octets)?}),
        };
        self.manifest.line(row, place)
    }

    /// Writes out what is buffered.
    pub fn finish(self) -> Result<(), Error> {
        match self.form {
            Form::Eml | Form::Maildir(_) => {}
            Form::Mbox(mut file, _) => file.flush().map_err(|e| unfinished(&self.output, &e))?,
            Form::Zip(zipped) => zipped.finish()?,
        }
        self.manifest.finish()
    }
}

fn file_name(path: &Path) -> Value {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).into()
}

/// Octets that were written.
fn add(file: &mut impl Write, row: &Row, octets: &[u8]) -> io::Result<u64> {
    let sender = if row.sender.is_empty() { "MAILER-DAEMON" } else { &row.sender };
    let line = format!("From {} {}\n", sender.replace(char::is_whitespace, "_"), mbox::asctime(row.internal_date));
    let quoted = mbox::quoted(octets);
    file.write_all(line.as_bytes())?;
    file.write_all(&quoted)?;
    Ok((line.len() + quoted.len()) as u64)
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn whole_file(path: &Path, octets: &[u8], dated_at: Timestamp) -> Result<(), Error> {
    let mut file = new_file(path).map_err(|e| failed(path, &e))?;
    let written = file.write_all(octets).and_then(|()| file.set_modified(system_time(dated_at)));
    written.map_err(|e| unfinished(path, &e))
}

/// The time of a file: mail programs take it for the message's.
fn system_time(at: Timestamp) -> SystemTime {
    let since = Duration::from_millis(at.ms().unsigned_abs());
    if at.ms() < 0 { SystemTime::UNIX_EPOCH - since } else { SystemTime::UNIX_EPOCH + since }
}

/// Takes away what was written in part, so that nobody takes it for the whole.
fn unfinished(path: &Path, error: &io::Error) -> Error {
    match std::fs::remove_file(path) {
        Ok(()) => failed(path, error),
        Err(e) => {
            Error::of(path.display(), format_args!("{error}; the part that was written could not be removed: {e}"))
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Error::of(path.display(), "is there already, and an export overwrites nothing")
            .with_help("name another --output, or move the former export away"),
        _ => Error::io(path, error),
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_new_and_whole_or_not_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.eml");
        let at = Timestamp::from_s(-7);
        whole_file(&path, b"one", at).expect("written");
        let refused = whole_file(&path, b"two", at).expect_err("never overwritten");
        assert!(refused.to_string().contains("a.eml: is there already") && refused.help().is_some(), "{refused}");
        assert_eq!(std::fs::read(&path).expect("read"), b"one");
        let modified = std::fs::metadata(&path).and_then(|what| what.modified()).expect("a time");
        assert_eq!(modified, SystemTime::UNIX_EPOCH - Duration::from_secs(7));
        let broken = unfinished(&path, &io::ErrorKind::StorageFull.into());
        assert!(broken.help().is_some_and(|help| help.contains("room")), "{broken}");
        assert!(!path.exists(), "no part under the name of the whole");
    }
}
