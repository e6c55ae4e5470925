//! Reading the live files of a start side by side: each is scanned and its frames opened by one of a few threads; what they said
//! is handed over in the order of the files. Never changes the state.

use super::blinding::Blinding;
use super::draft;
use super::file::{Chunk, JournalFile};
use super::frame::{Acceptance, Frame};
use super::leaf::Leaf;
use super::record::Accept;
use super::scan;
use super::scan::{End, Scanned};
use super::walk::Found;
use crate::crypto::Secret;
use crate::mail::MailId;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Threads that read; more do not help a disk, and each holds the frames of a file.
const READERS_MAX: usize = 4;

/// What a frame said, without the octets of pieces: those are read again when they are needed.
pub enum Said {
    Piece { id: MailId, stream: u32, chunk: Chunk },
    Accepted(Box<Accepted>),
    Other(Found),
}

/// An ACCEPT whose record stands in its frame.
pub struct Accepted {
    pub accept: Accept,
    pub record: Arc<[u8]>,
    pub index: u64,
    pub leaf: Arc<[u8]>,
    pub blinding: Blinding,
}

/// One file, read.
pub struct ReadFile {
    pub file: Arc<JournalFile>,
    pub scanned: Scanned,
    pub said: Vec<Said>,
}

/// Reads all files and gives each to `each`, in order; ends early when `each` fails.
pub fn read<E>(files: Vec<(Arc<JournalFile>, End)>, mut each: impl FnMut(ReadFile) -> Result<(), E>) -> Result<(), E> {
    let readers = std::thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX).min(files.len());
    let count = files.len();
    let desk = Desk::new(files, readers + 1);
    std::thread::scope(|scope| {
        // However this ends, nobody waits for ever.
        let _farewell = Farewell(&desk, Leaving::Always);
        for _ in 0..readers {
            scope.spawn(|| {
                let _farewell = Farewell(&desk, Leaving::InPanic);
                while desk.take().is_some_and(|(number, file, end)| desk.put(number, read_file(file, end))) {}
            });
        }
        (0..count).filter_map(|number| desk.get(number)).try_for_each(&mut each)
    })
}

fn read_file(file: Arc<JournalFile>, end: End) -> ReadFile {
    let mut said = Vec::new();
    let scanned = scan::scan(&file, end, &mut |found| said.push(hear(&file, found)));
    ReadFile { file, scanned, said }
}

fn hear(file: &Arc<JournalFile>, found: Found) -> Said {
    match Frame::decode(&found.plain) {
        Some(Frame::Body(body)) => {
            let Found { sequence, place, at, bytes, .. } = found;
            let (file, length) = (Arc::clone(file), body.octets.len() as u64);
            let chunk = Chunk { file, at, bytes, sequence, place, offset: body.offset, length };
            Said::Piece { id: body.id, stream: body.stream, chunk }
        }
        Some(Frame::Accept(acceptance)) => match accepted(&acceptance) {
            Some(accepted) => Said::Accepted(Box::new(accepted)),
            None => Said::Other(found),
        },
        _ => Said::Other(found),
    }
}

fn accepted(acceptance: &Acceptance<'_>) -> Option<Accepted> {
    let record = acceptance.record.filter(|record| record.len() as u64 == acceptance.record_bytes)?;
    restore(acceptance, record)
}

/// An ACCEPT and its record; `None` when they contradict each other.
pub fn restore(acceptance: &Acceptance<'_>, record: &[u8]) -> Option<Accepted> {
    let accept: Accept = minicbor::decode(record).ok()?;
    draft::check(&accept).ok()?;
    let mek = Secret::from_slice(acceptance.mek)?;
    let leaf = Leaf::accept(&mek, &acceptance.id, record).octets().into();
    let is_its_own = accept.id == acceptance.id;
    let (index, blinding) = (acceptance.leaf, Blinding::Key(mek));
    is_its_own.then(|| Accepted { accept, record: record.into(), index, leaf, blinding })
}

/// Where readers take files and leave what they read.
struct Desk {
    state: Mutex<DeskState>,
    changed: Condvar,
    /// Files that may be read ahead of the one wanted.
    ahead: usize,
}

struct DeskState {
    waiting: std::vec::IntoIter<(Arc<JournalFile>, End)>,
    next: usize,
    wanted: usize,
    read: BTreeMap<usize, ReadFile>,
    gate: Gate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
}

/// Closes the desk when dropped.
struct Farewell<'a>(&'a Desk, Leaving);

/// When it does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Always,
    InPanic,
}

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        if self.1 == Leaving::Always || std::thread::panicking() {
            self.0.lock().gate = Gate::Closed;
            self.0.changed.notify_all();
        }
    }
}

impl Desk {
    fn new(files: Vec<(Arc<JournalFile>, End)>, ahead: usize) -> Desk {
        let (waiting, read) = (files.into_iter(), BTreeMap::new());
        let state = DeskState { waiting, next: 0, wanted: 0, read, gate: Gate::Open };
        Desk { state: Mutex::new(state), changed: Condvar::new(), ahead }
    }

    /// The next file to read, once it is not too far ahead.
    fn take(&self) -> Option<(usize, Arc<JournalFile>, End)> {
        let too_far = |state: &mut DeskState| state.gate == Gate::Open && state.next >= state.wanted + self.ahead;
        let mut state = self.changed.wait_while(self.lock(), too_far).unwrap_or_else(PoisonError::into_inner);
        if state.gate == Gate::Closed {
            return None;
        }
        let (file, end) = state.waiting.next()?;
        state.next += 1;
        Some((state.next - 1, file, end))
    }

    /// Leaves what was read; whether more is wanted.
    fn put(&self, number: usize, file: ReadFile) -> bool {
        let mut state = self.lock();
        state.read.insert(number, file);
        self.changed.notify_all();
        state.gate == Gate::Open
    }

    /// The file of this number, once it is read.
    fn get(&self, number: usize) -> Option<ReadFile> {
        let mut state = self.lock();
        state.wanted = number;
        self.changed.notify_all();
        let missing = |state: &mut DeskState| state.gate == Gate::Open && !state.read.contains_key(&number);
        let mut state = self.changed.wait_while(state, missing).unwrap_or_else(PoisonError::into_inner);
        state.read.remove(&number)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
