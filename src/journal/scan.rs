//! Reading one file back: batches while they hold, then what follows decides between a torn write and damage. Never writes.
//! Rules: docs/journal-format.md section 6.

use super::batch;
use super::batch::{BLOCK_BYTES, HEAD_BYTES, Head};
use super::file::JournalFile;
use super::frame::FRAME_BYTES_MAX;
use super::header::HEADER_BYTES;
use super::walk::{Found, Walk};
use crate::crypto::Digest;
use crate::crypto::sha256;

/// Damaged stretches are read in windows of this size.
const WINDOW_BYTES: usize = 1024 * 1024;

/// Where the batches of a file end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At this sequence: a later file's header says so.
    At(u64),
    /// Nothing says where.
    Open,
}

/// What reading a file found besides frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The last sequence that counts.
    pub last_sequence: u64,
    /// A write was torn at the end.
    pub torn_tail: bool,
    /// What acknowledged data could not be read, in words.
    pub damage: Vec<String>,
}

/// A valid batch and where it starts.
#[derive(Clone, Copy)]
struct Next {
    at: u64,
    head: Head,
}

/// What follows a bad batch.
struct Later {
    first: Option<Next>,
    proof: Proof,
}

/// Whether a later batch says that the bad one was synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Found,
    Missing,
}

/// Reads all batches of `file` and gives every authentic frame to `each`, in order.
pub fn scan(file: &JournalFile, end: End, each: &mut dyn FnMut(Found)) -> Scanned {
    let (at, chain) = (HEADER_BYTES as u64, Some(file.header_digest));
    let mut scan = Scan { file, each, at, sequence: 1, chain, scanned: Scanned::default(), buffer: Vec::new() };
    if !file.has_its_length() {
        scan.scanned.damage.push(format!("{}: not {} octets long", file.path.display(), file.bytes));
    }
    while end.includes(scan.sequence) && scan.step(end) {}
    scan.scanned.last_sequence = scan.sequence - 1;
    scan.scanned
}

impl End {
    fn includes(self, sequence: u64) -> bool {
        match self {
            End::At(last) => sequence <= last,
            End::Open => true,
        }
    }
}

struct Scan<'a> {
    file: &'a JournalFile,
    each: &'a mut dyn FnMut(Found),
    at: u64,
    sequence: u64,
    /// What the next batch's chain must be; unknown behind damage.
    chain: Option<Digest>,
    scanned: Scanned,
    buffer: Vec<u8>,
}

impl Scan<'_> {
    /// Takes the next batch, or crosses damage; whether there is more.
    fn step(&mut self, end: End) -> bool {
        // One buffer for all batches: with large ones its allocation costs as much as reading.
        let mut buffer = std::mem::take(&mut self.buffer);
        let next = self.read_batch(self.at, &mut buffer).filter(|head| head.sequence == self.sequence);
        if let Some(head) = next {
            self.take(&head, &buffer[..head.total_bytes()]);
        }
        self.buffer = buffer;
        if next.is_some() {
            return true;
        }
        let later = self.later(end);
        if end == End::Open && later.proof == Proof::Missing {
            self.scanned.torn_tail = self.head_at(self.at).is_some();
            return false;
        }
        self.cross(later.first, end)
    }

    fn take(&mut self, head: &Head, octets: &[u8]) {
        if self.chain.is_some_and(|chain| chain != head.chain) {
            self.damaged("follows another batch than the one before it");
        }
        let lost = self.deliver(octets, head.frames);
        if lost > 0 {
            self.damaged(&format!("has {lost} frames that are not authentic"));
        }
        self.chain = Some(sha256(octets));
        self.at += octets.len() as u64;
        self.sequence += 1;
    }

    /// Recovers what can be recovered up to the next valid batch, or up to the end that is known.
    fn cross(&mut self, next: Option<Next>, end: End) -> bool {
        let (until, next_sequence) = match (next, end) {
            (Some(next), End::At(last)) if next.head.sequence > last => (next.at, last + 1),
            (Some(next), _) => (next.at, next.head.sequence),
            (None, End::At(last)) => (self.file.batches_end(), last + 1),
            (None, End::Open) => return false,
        };
        self.damaged(&format!("is damaged; {} batches cannot be read whole", next_sequence - self.sequence));
        self.salvage(until, next_sequence);
        self.chain = None;
        self.at = until;
        self.sequence = next_sequence;
        next.is_some()
    }

    fn damaged(&mut self, what: &str) {
        let name = self.file.path.display();
        self.scanned.damage.push(format!("{name}: batch {} at octet {} {what}", self.sequence, self.at));
    }

    /// Gives every frame of the lost batches that is left between here and `until`. Frames say where they belong and authenticate
    /// with it, so nothing is taken for what it is not.
    fn salvage(&mut self, until: u64, next_sequence: u64) {
        let (mut base, mut skip, mut sequence) = (self.at, HEAD_BYTES, self.sequence);
        while base < until {
            let most = usize::try_from(until - base).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let octets = self.read_leniently(base, most);
            let mut walk = Walk::new(self.file, &octets, base, skip, sequence);
            for frame in walk.by_ref() {
                sequence = frame.sequence;
                if sequence < next_sequence {
                    (self.each)(frame);
                }
            }
            if base + octets.len() as u64 >= until {
                return;
            }
            // A frame that starts near the window's end may be cut: the next window starts before it.
            base += walk.used().max(octets.len() - FRAME_BYTES_MAX) as u64;
            skip = 0;
        }
    }

    /// Delivers the frames of a batch whose head holds; how many are lost.
    fn deliver(&mut self, octets: &[u8], frames: u32) -> u32 {
        let mut walk = Walk::new(self.file, octets, self.at, HEAD_BYTES, self.sequence);
        let mut found = 0;
        while walk.place() < frames {
            let Some(frame) = walk.next() else { break };
            found += 1;
            (self.each)(frame);
        }
        frames.saturating_sub(found)
    }

    /// Looks for valid batches behind the bad one, as far as needed.
    fn later(&self, end: End) -> Later {
        let mut later = Later { first: None, proof: Proof::Missing };
        let mut at = self.at + BLOCK_BYTES as u64;
        while at < self.file.batches_end() && later.proof == Proof::Missing {
            let valid = self.valid_batch(at).filter(|(head, _)| head.sequence > self.sequence);
            if let Some((head, _)) = &valid {
                later.first = later.first.or(Some(Next { at, head: *head }));
                let proves = head.synced_through >= self.sequence || end != End::Open;
                later.proof = if proves { Proof::Found } else { Proof::Missing };
            }
            at += valid.map_or(BLOCK_BYTES, |(head, _)| head.total_bytes()) as u64;
        }
        later
    }

    fn valid_batch(&self, at: u64) -> Option<(Head, Vec<u8>)> {
        let mut octets = Vec::new();
        let head = self.read_batch(at, &mut octets)?;
        octets.truncate(head.total_bytes());
        Some((head, octets))
    }

    /// A valid batch at `at`, read to the start of `buffer`.
    fn read_batch(&self, at: u64, buffer: &mut Vec<u8>) -> Option<Head> {
        let head = self.head_at(at)?;
        let bytes = head.total_bytes();
        if buffer.len() < bytes {
            buffer.resize(bytes, 0);
        }
        self.file.read_into(at, &mut buffer[..bytes]).ok()?;
        batch::is_intact(&buffer[..bytes]).then_some(head)
    }

    /// A head of this incarnation whose batch ends within the file.
    fn head_at(&self, at: u64) -> Option<Head> {
        let head = Head::parse(&self.file.read(at, HEAD_BYTES).ok()?)?;
        let ours = head.incarnation == self.file.incarnation && head.ordinal == self.file.ordinal;
        (ours && at + head.total_bytes() as u64 <= self.file.batches_end()).then_some(head)
    }

    /// Reads with zeros in place of blocks the disk will not give.
    fn read_leniently(&self, at: u64, bytes: usize) -> Vec<u8> {
        self.file.read(at, bytes).unwrap_or_else(|_| {
            let block = |offset| self.file.read(at + offset as u64, BLOCK_BYTES).unwrap_or(vec![0; BLOCK_BYTES]);
            (0..bytes).step_by(BLOCK_BYTES).flat_map(block).take(bytes).collect()
        })
    }
}
