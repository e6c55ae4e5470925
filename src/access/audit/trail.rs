//! Reads the audit files of a directory, a copy of them too: every record, and everything that is wrong with them. Writes nothing.

use super::file;
use super::file::Frame;
use super::file::Frames;
use super::file::HEADER_BYTES;
use super::file::Head;
use super::record::Record;
use super::writer::contents;
use crate::crypto::Digest;
use crate::durable::Disk;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// One record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, and the chain's value behind it.
    pub head: Head,
    /// The record; `None` when its octets changed or are of a kind unknown here.
    pub record: Option<Record>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Records are not there.
    Missing,
    /// Octets are not those that were written.
    Changed,
    /// It contradicts another part.
    Inconsistent,
    /// It cannot be read.
    Unreadable,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A file's name.
    pub file: String,
    /// What is wrong.
    pub kind: FaultKind,
    /// For people.
    pub detail: String,
}

/// What was found besides the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// Files.
    pub files: u64,
    /// Records before the first that is here.
    pub before: u64,
    /// The last record.
    pub head: Head,
    /// Octets of a torn record at the end: never acknowledged.
    pub torn_bytes: u64,
    /// Faults; none means the files are whole.
    pub faults: Vec<Fault>,
}

/// A file that has a header.
struct Begun {
    name: String,
    head: Head,
}

impl Trail {
    /// Calls `each` for every record, in order, until it breaks.
    pub fn read(disk: &dyn Disk, dir: &Path, mut each: impl FnMut(Entry) -> ControlFlow<()>) -> io::Result<Trail> {
        let mut trail = Trail::default();
        let begun = trail.headers(disk, dir)?;
        trail.before = begun.first().map_or(0, |first| first.head.records);
        trail.head = begun.first().map_or_else(Head::default, |first| first.head);
        if trail.before > 0 {
            let detail = format!("records 1 to {} are not here: keep all files together", trail.before);
            trail.add(&begun[0].name, FaultKind::Missing, detail);
        }
        for (at, file) in begun.iter().enumerate() {
            let octets = disk.open_read(&dir.join(&file.name)).and_then(|handle| contents(handle.as_ref()));
            let octets = match octets {
                Ok(octets) => octets,
                Err(e) => {
                    trail.add(&file.name, FaultKind::Unreadable, e.to_string());
                    continue;
                }
            };
            let next = begun.get(at + 1).map(|next| next.head.records);
            if trail.file(file, &octets, next, &mut each).is_break() {
                break;
            }
        }
        Ok(trail)
    }

    fn add(&mut self, file: &str, kind: FaultKind, detail: impl Into<String>) {
        self.faults.push(Fault { file: file.to_owned(), kind, detail: detail.into() });
    }

    /// All files in order, those passed over that no record of was acknowledged in.
    fn headers(&mut self, disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Begun>> {
        let mut begun = Vec::new();
        for name in disk.list(dir)?.into_iter().filter(|name| file::number(name).is_some()) {
            self.files += 1;
            let handle = match disk.open_read(&dir.join(&name)) {
                Ok(handle) => handle,
                Err(e) => {
                    self.add(&name, FaultKind::Unreadable, e.to_string());
                    continue;
                }
            };
            let bytes = handle.len()?;
            let mut octets = vec![0; HEADER_BYTES.min(usize::try_from(bytes).unwrap_or(usize::MAX))];
            handle.read_exact_at(0, &mut octets)?;
            match file::parse_header(&octets) {
                Some(head) => begun.push(Begun { name, head }),
                None if bytes <= HEADER_BYTES as u64 => {}
                None => self.add(&name, FaultKind::Changed, "its header cannot be read"),
            }
        }
        Ok(begun)
    }

    /// The records of one file; `next` is how many come before the file behind it.
    fn file(
        &mut self,
        begun: &Begun,
        octets: &[u8],
        next: Option<u64>,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.goes_on(begun);
        let mut frames = Frames::of(octets);
        // Those whose octets changed count only when a whole one follows; at the very end they are a torn tail.
        let mut changed: Vec<Digest> = Vec::new();
        let mut changed_bytes = 0u64;
        loop {
            let (before, limit) = (frames.rest(), next.unwrap_or(u64::MAX));
            if self.head.records.saturating_add(changed.len() as u64) >= limit {
                break;
            }
            match frames.next() {
                None => break,
                Some(Frame::Changed { chain }) => {
                    changed.push(chain);
                    changed_bytes += (before - frames.rest()) as u64;
                }
                Some(Frame::Whole { body, chain }) => {
                    let was_whole = changed.is_empty();
                    self.changed(&begun.name, &mut changed, each)?;
                    changed_bytes = 0;
                    self.whole(&begun.name, body, chain, was_whole, each)?;
                }
            }
        }
        match next {
            None => self.torn_bytes = changed_bytes + frames.rest() as u64,
            Some(next) => {
                self.changed(&begun.name, &mut changed, each)?;
                self.reaches(&begun.name, next);
            }
        }
        ControlFlow::Continue(())
    }

    /// A file goes on where the one before ended.
    fn goes_on(&mut self, begun: &Begun) {
        if self.head.records == begun.head.records && self.head.chain != begun.head.chain {
            self.add(&begun.name, FaultKind::Inconsistent, "does not go on from the record before");
        }
        // Never by the writer: a file is limited by the header of the next.
        if self.head.records > begun.head.records {
            let detail = format!("begins behind record {}, the file before behind a later one", begun.head.records);
            self.add(&begun.name, FaultKind::Inconsistent, detail);
        }
        self.head = begun.head;
    }

    /// Every record before the next file is there.
    fn reaches(&mut self, name: &str, next: u64) {
        if self.head.records < next {
            let detail = format!("records {} to {next} are missing", self.head.records.saturating_add(1));
            self.add(name, FaultKind::Missing, detail);
        }
    }

    /// Records whose octets changed.
    fn changed(
        &mut self,
        name: &str,
        chains: &mut Vec<Digest>,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for chain in chains.drain(..) {
            self.head = Head { records: self.head.records.saturating_add(1), chain };
            let (kind, detail) = (FaultKind::Changed, format!("record {} changed", self.head.records));
            self.faults.push(Fault { file: name.to_owned(), kind, detail });
            each(Entry { head: self.head, record: None })?;
        }
        ControlFlow::Continue(())
    }

    fn whole(
        &mut self,
        name: &str,
        body: &[u8],
        chain: Digest,
        was_whole: bool,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let computed = self.head.after(body);
        self.head = Head { chain, ..computed };
        // Behind one that changed the chain cannot be computed, unless its stated value did not change.
        if computed.chain != chain && was_whole {
            let detail = format!("record {} is not chained to the one before", self.head.records);
            self.add(name, FaultKind::Inconsistent, detail);
        }
        let record = file::read(body);
        if record.is_none() {
            let detail = format!("record {} cannot be read: is this program older?", self.head.records);
            self.add(name, FaultKind::Unreadable, detail);
        }
        each(Entry { head: self.head, record })
    }
}
