//! Writes messages out: one file each with the octets exact, or one mbox. Never overwrites a file, and never leaves a part of a
//! message under the name of a whole one.

use super::error::Error;
use crate::catalog::Row;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Forms of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// `<id>.eml` in a directory.
    Eml,
    /// One mboxrd file, lines ending in LF.
    Mbox,
}

/// An export under way.
#[derive(Debug)]
pub struct Writer {
    output: PathBuf,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Eml,
    Mbox(BufWriter<File>),
}

impl Writer {
    /// Makes the directory, or the file, which must be new.
    pub fn create(form: Export, output: &Path) -> Result<Writer, Error> {
        let form = match form {
            Export::Eml => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(output);
                made.map_err(|e| failed(output, &e))?;
                Form::Eml
            }
            Export::Mbox => Form::Mbox(BufWriter::new(new_file(output).map_err(|e| failed(output, &e))?)),
        };
        Ok(Writer { output: output.to_owned(), form })
    }
    /// Adds one message.
    pub fn write(&mut self, row: &Row, octets: &[u8]) -> Result<(), Error> {
        match &mut self.form {
            Form::Eml => whole_file(&self.output.join(format!("{}.eml", row.id)), octets),
            Form::Mbox(file) => add(file, row, octets).map_err(|e| unfinished(&self.output, &e)),
        }
    }
    /// Writes out what is buffered.
    pub fn finish(self) -> Result<(), Error> {
        match self.form {
            Form::Eml => Ok(()),
            Form::Mbox(mut file) => file.flush().map_err(|e| unfinished(&self.output, &e)),
        }
    }
}

fn add(file: &mut impl Write, row: &Row, octets: &[u8]) -> io::Result<()> {
    let sender = if row.sender.is_empty() { "MAILER-DAEMON" } else { &row.sender };
    file.write_all(format!("From {} {}\n", sender.replace(' ', "_"), asctime(row)).as_bytes())?;
    file.write_all(&mboxrd(octets))
}

fn whole_file(path: &Path, octets: &[u8]) -> Result<(), Error> {
    let mut file = new_file(path).map_err(|e| failed(path, &e))?;
    file.write_all(octets).map_err(|e| unfinished(path, &e))
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

/// The date of a From_ line: `Tue Nov 24 17:03:42 2026`, in UTC.
fn asctime(row: &Row) -> String {
    let date = row.accepted_at.rfc5322();
    let words: Vec<&str> = date.trim_end_matches(" +0000").split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        [weekday, day, month, year, time] => format!("{weekday} {month} {day:>2} {time} {year}"),
        _ => date,
    }
}

/// CRLF becomes LF, `>*From ` gets one more `>`, and an empty line ends the message.
fn mboxrd(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 64);
    for line in octets.split_inclusive(|&b| b == b'\n') {
        let quotes = line.iter().take_while(|&&b| b == b'>').count();
        if line[quotes..].starts_with(b"From ") {
            out.push(b'>');
        }
        out.extend_from_slice(line.strip_suffix(b"\r\n").unwrap_or(line));
        if line.ends_with(b"\r\n") {
            out.push(b'\n');
        }
    }
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mboxrd_quotes_and_ends_each_message() {
        for (message, expected) in [
            (&b"From: a\r\n\r\nFrom here\r\n>From there\r\n"[..], &b"From: a\n\n>From here\n>>From there\n\n"[..]),
            (b"x", b"x\n\n"),
            (b"", b"\n\n"),
            (b"a\rb\r\n", b"a\rb\n\n"),
        ] {
            assert_eq!(mboxrd(message), expected);
        }
    }

    #[test]
    fn a_file_is_new_and_whole_or_not_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.eml");
        whole_file(&path, b"one").expect("written");
        let refused = whole_file(&path, b"two").expect_err("never overwritten");
        assert!(refused.to_string().contains("a.eml: is there already") && refused.help().is_some(), "{refused}");
        assert_eq!(std::fs::read(&path).expect("read"), b"one");
        let broken = unfinished(&path, &io::ErrorKind::StorageFull.into());
        assert!(broken.help().is_some_and(|help| help.contains("room")), "{broken}");
        assert!(!path.exists(), "no part under the name of the whole");
    }
}
