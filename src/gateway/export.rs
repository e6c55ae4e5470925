//! Writes messages out: one file each with the octets exact, or one mbox. Never overwrites a file.

use crate::catalog::Row;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
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
pub enum Writer {
    /// Into this directory.
    Eml(PathBuf),
    /// Into this file.
    Mbox(BufWriter<File>),
}

impl Writer {
    /// Makes the directory, or the file, which must be new.
    pub fn create(form: Export, output: &Path) -> io::Result<Writer> {
        match form {
            Export::Eml => {
                std::fs::create_dir_all(output)?;
                Ok(Writer::Eml(output.to_owned()))
            }
            Export::Mbox => Ok(Writer::Mbox(BufWriter::new(new_file(output)?))),
        }
    }
    /// Adds one message.
    pub fn write(&mut self, row: &Row, octets: &[u8]) -> io::Result<()> {
        match self {
            Writer::Eml(dir) => new_file(&dir.join(format!("{}.eml", row.id)))?.write_all(octets),
            Writer::Mbox(file) => {
                let sender = if row.sender.is_empty() { "MAILER-DAEMON" } else { &row.sender };
                file.write_all(format!("From {} {}\n", sender.replace(' ', "_"), asctime(row)).as_bytes())?;
                file.write_all(&mboxrd(octets))
            }
        }
    }
    /// Writes out what is buffered.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Writer::Eml(_) => Ok(()),
            Writer::Mbox(mut file) => file.flush(),
        }
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
}
