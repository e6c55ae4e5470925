//! What is in files: single messages, Maildirs, mbox files, zip and gzip with any of these in them. What a file is, is seen from its first
//! octets. Reads as a stream, one message in memory at a time, and writes nothing.

use super::found::Found;
use crate::mail::header;
use crate::mail::line_ends::wire_form;
use crate::mail::mbox::{FromLine, Messages, TooLong};
use flate2::bufread::MultiGzDecoder;
use std::ffi::OsString;
use std::fs::{DirEntry, File};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Directories within directories.
const DEPTH_MAX: usize = 64;
/// Compressed files within each other.
const PACKED_DEPTH_MAX: usize = 4;
/// Names of a directory that are sorted at once: those of a larger one come in several runs.
const NAMES_MAX: usize = 100_000;
/// Octets by which a file is known.
const PEEK_BYTES: usize = 512;

/// What could not be read as mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file; `!` stands before what is packed in it.
    pub source: String,
    /// Where, in octets from the start of an mbox.
    pub position: Option<u64>,
    /// Why.
    pub error: String,
}

/// One thing that was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A message.
    Found(Box<Found>),
    /// What is none, or cannot be read.
    Fault(Fault),
    /// A file beside mail that does not look like mail.
    PassedOver,
}

/// A walk through files. `each` may end it.
pub struct Walk<'a> {
    /// Octets of the longest message that is kept.
    pub bytes_max: u64,
    /// Gets what is met.
    pub each: &'a mut dyn FnMut(Item) -> ControlFlow<()>,
}

/// By what right a file is taken for mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// A person named it.
    Named,
    /// Its name ends in `.eml`: it is one message, whatever is in it.
    Eml,
    /// It lies in a Maildir's `cur` or `new`: it is one message, whatever is in it.
    Maildir,
    /// It lies beside mail.
    Beside,
}

impl Claim {
    fn is_message(self) -> bool {
        matches!(self, Claim::Eml | Claim::Maildir)
    }
}

/// What a file's first octets say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gzip,
    Zip,
    Tar,
    Mbox,
    Message,
    Other,
}

fn kind(start: &[u8]) -> Kind {
    let line =
        start.split_inclusive(|&b| b == b'\n').find(|line| !matches!(*line, b"\n" | b"\r\n")).unwrap_or_default();
    match start {
        [0x1f, 0x8b, ..] => Kind::Gzip,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Kind::Zip,
        _ if start.get(257..262) == Some(b"ustar") => Kind::Tar,
        _ if FromLine::parse(line).is_some() => Kind::Mbox,
        _ if header::fields(start).next().is_some_and(|field| !field.name.is_empty()) => Kind::Message,
        _ => Kind::Other,
    }
}

/// The claim of a file by its name in a directory or an archive.
fn claim_of(name: &str) -> Claim {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let mut parts = name.rsplit('/');
    let is_eml = parts.next().is_some_and(|file| file.to_ascii_lowercase().ends_with(".eml"));
    match parts.next() {
        Some("cur" | "new") => Claim::Maildir,
        _ if is_eml => Claim::Eml,
        _ => Claim::Beside,
    }
}

/// A file's place whatever its flags, and whether it was looked at: mail programs rename what is read.
fn maildir_place(name: &str) -> String {
    let (dir, file) = name.rsplit_once('/').unwrap_or(("", name));
    let base = dir.strip_suffix("cur").or_else(|| dir.strip_suffix("new")).unwrap_or(dir);
    let unique = file.split(":2,").next().unwrap_or(file);
    format!("{base}{unique}")
}

impl Walk<'_> {
    /// Walks through what a person named.
    pub fn path(&mut self, path: &Path) -> ControlFlow<()> {
        let place = path.display().to_string();
        match std::fs::metadata(path) {
            Ok(what) if what.is_dir() => self.directory(path, 0),
            Ok(_) => self.file(path, if claim_of(&place) == Claim::Eml { Claim::Eml } else { Claim::Named }),
            Err(e) => self.fault(&place, &e),
        }
    }

    fn fault(&mut self, source: &str, error: &dyn std::fmt::Display) -> ControlFlow<()> {
        (self.each)(Item::Fault(Fault { source: source.to_owned(), position: None, error: error.to_string() }))
    }

    fn directory(&mut self, dir: &Path, depth: usize) -> ControlFlow<()> {
        let place = dir.display().to_string();
        if depth > DEPTH_MAX {
            return self.fault(&place, &"nested too deeply");
        }
        let has = |name: &str| dir.join(name).is_dir();
        // Copies often lose the one that is empty.
        let is_maildir = has("cur") && (has("new") || has("tmp"));
        let mut entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => return self.fault(&place, &e),
        };
        loop {
            let (names, fault) = some_names(&mut entries);
            if let Some(e) = fault {
                self.fault(&place, &e)?;
            }
            if names.is_empty() {
                return ControlFlow::Continue(());
            }
            for name in names {
                let path = dir.join(&name);
                match std::fs::symlink_metadata(&path) {
                    // What is being delivered there is not there yet.
                    Ok(what) if what.is_dir() && is_maildir && name == "tmp" => {}
                    Ok(what) if what.is_dir() && is_maildir && (name == "cur" || name == "new") => {
                        self.maildir(&path)?;
                    }
                    Ok(what) if what.is_dir() => self.directory(&path, depth + 1)?,
                    Ok(what) if what.is_file() => self.file(&path, claim_beside(&name))?,
                    Ok(_) => (self.each)(Item::PassedOver)?,
                    Err(e) => self.fault(&path.display().to_string(), &e)?,
                }
            }
        }
    }

    /// `cur` or `new` of a Maildir.
    fn maildir(&mut self, dir: &Path) -> ControlFlow<()> {
        let place = dir.display().to_string();
        let mut entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => return self.fault(&place, &e),
        };
        loop {
            let (names, fault) = some_names(&mut entries);
            if let Some(e) = fault {
                self.fault(&place, &e)?;
            }
            if names.is_empty() {
                return ControlFlow::Continue(());
            }
            for name in names {
                self.file(&dir.join(name), Claim::Maildir)?;
            }
        }
    }

    fn file(&mut self, path: &Path, claim: Claim) -> ControlFlow<()> {
        let place = path.display().to_string();
        let opened = File::open(path).map(|file| BufReader::with_capacity(1 << 16, file));
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(e) => return self.fault(&place, &e),
        };
        let place = if claim == Claim::Maildir { maildir_place(&place) } else { place };
        match peek(&mut reader) {
            Ok(start) if kind(&start) == Kind::Zip && !claim.is_message() => self.zip(reader, &place),
            Ok(start) => self.stream(&mut reader, &start, &place, claim, 0),
            Err(e) => self.fault(&place, &e),
        }
    }

    /// What is in a stream. `start` are its first octets, taken out of it.
    fn stream(
        &mut self,
        reader: &mut dyn BufRead,
        start: &[u8],
        place: &str,
        claim: Claim,
        depth: usize,
    ) -> ControlFlow<()> {
        let mut reader = start.chain(reader);
        match (kind(start), claim) {
            (Kind::Gzip, _) if depth < PACKED_DEPTH_MAX => {
                let mut inside = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader));
                match peek(&mut inside) {
                    Ok(start) => self.stream(&mut inside, &start, place, claim, depth + 1),
                    Err(e) => self.fault(place, &e),
                }
            }
            (_, Claim::Eml | Claim::Maildir) => self.message(&mut reader, place),
            (Kind::Mbox, _) => self.mbox(reader, place),
            (Kind::Message, Claim::Named) => self.message(&mut reader, place),
            (_, Claim::Beside) => (self.each)(Item::PassedOver),
            (Kind::Zip, _) => self.fault(place, &"a zip file inside of another file: unpack the outer one first"),
            (Kind::Tar, _) => self.fault(place, &"a tar file: unpack it first, and import the directory"),
            (_, Claim::Named) => {
                self.fault(place, &"is no mail: neither a message, an mbox file, a zip nor a gzip file")
            }
        }
    }

    fn message(&mut self, reader: &mut dyn Read, place: &str) -> ControlFlow<()> {
        let mut octets = Vec::new();
        match reader.take(self.bytes_max.saturating_add(1)).read_to_end(&mut octets) {
            Ok(_) if octets.len() as u64 > self.bytes_max => self.fault(place, &too_long(TooLong(self.bytes_max))),
            Ok(_) => self.found(place, None, None, octets),
            Err(e) => self.fault(place, &e),
        }
    }

    fn mbox(&mut self, reader: impl BufRead, place: &str) -> ControlFlow<()> {
        let mut last = None;
        for message in Messages::new(reader, self.bytes_max) {
            match message {
                Ok(message) => {
                    last = Some(message.position);
                    match message.octets {
                        Ok(octets) => self.found(place, last, Some(message.from), octets)?,
                        Err(e) => (self.each)(Item::Fault(Fault {
                            source: place.to_owned(),
                            position: last,
                            error: too_long(e),
                        }))?,
                    }
                }
                Err(e) => {
                    let error = format!("{e}; nothing behind the message at this position was read");
                    (self.each)(Item::Fault(Fault { source: place.to_owned(), position: last, error }))?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn zip(&mut self, reader: BufReader<File>, place: &str) -> ControlFlow<()> {
        let mut archive = match zip::ZipArchive::new(reader) {
            Ok(archive) => archive,
            Err(e) => return self.fault(place, &e),
        };
        for index in 0..archive.len() {
            let mut entry = match archive.by_index(index) {
                Ok(entry) => entry,
                Err(e) => {
                    self.fault(&format!("{place}!{index}"), &e)?;
                    continue;
                }
            };
            if entry.is_dir() {
                continue;
            }
            let name = entry.name().map_or_else(|_| index.to_string(), |name| name.into_owned());
            let claim = claim_of(&name);
            let inside = if claim == Claim::Maildir { maildir_place(&name) } else { name };
            let place = format!("{place}!{inside}");
            let mut reader = BufReader::with_capacity(1 << 16, &mut entry);
            match peek(&mut reader) {
                Ok(start) => self.stream(&mut reader, &start, &place, claim, 1)?,
                Err(e) => self.fault(&place, &e)?,
            }
        }
        ControlFlow::Continue(())
    }

    fn found(
        &mut self,
        place: &str,
        position: Option<u64>,
        from_line: Option<FromLine>,
        octets: Vec<u8>,
    ) -> ControlFlow<()> {
        let (octets, line_ends) = wire_form(octets);
        let source = place.to_owned();
        (self.each)(Item::Found(Box::new(Found { source, position, from_line, line_ends, octets })))
    }
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Walk({})", self.bytes_max)
    }
}

fn too_long(error: TooLong) -> String {
    format!("{error}; [limits] message_bytes of the configuration takes longer ones after a restart")
}

fn claim_beside(name: &std::ffi::OsStr) -> Claim {
    // The directory's own name says nothing here.
    claim_of(&name.to_string_lossy().replace('/', "_"))
}

/// The next names of a directory, sorted; and what ended them early.
fn some_names(entries: &mut std::fs::ReadDir) -> (Vec<OsString>, Option<io::Error>) {
    let mut names = Vec::new();
    let mut fault = None;
    for entry in entries.take(NAMES_MAX) {
        match entry.as_ref().map(DirEntry::file_name) {
            Ok(name) => names.push(name),
            Err(_) => fault = entry.err(),
        }
    }
    names.sort_unstable();
    (names, fault)
}

/// The first octets, which are taken out of the reader.
fn peek(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(PEEK_BYTES);
    reader.take(PEEK_BYTES as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// The same place in one form, so that a file named twice is the same file.
pub fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
