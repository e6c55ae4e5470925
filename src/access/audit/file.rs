//! The octets of an audit file: header, records, chain. Total on any octets; does no I/O.

use super::record::Record;
use crate::crypto::Digest;
use crate::crypto::Sha256;
use std::path::{Path, PathBuf};

/// Begins every file.
const MAGIC: &[u8; 16] = b"sealpost audit 1";
/// Octets of a file's header.
pub const HEADER_BYTES: usize = 60;
/// Octets before a record's body.
const PREFIX_BYTES: usize = 8;
/// Octets of a record besides its body.
const FRAME_BYTES: usize = PREFIX_BYTES + 32;
/// Octets of a record's body.
pub const RECORD_BYTES_MAX: usize = 32 * 1024;
/// A file that has this many octets is not appended to any more.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Octets of a file that is read: the last batch may go beyond `FILE_BYTES_MAX`.
pub const READ_BYTES_MAX: u64 = 2 * FILE_BYTES_MAX;

/// How far a chain goes: what an ANCHOR leaf states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Records so far.
    pub records: u64,
    /// The chain's value behind the last of them.
    pub chain: Digest,
}

impl Head {
    /// The head behind one more record.
    pub fn after(&self, body: &[u8]) -> Head {
        let records = self.records.saturating_add(1);
        let mut hasher = Sha256::new();
        hasher.update(b"sealpost audit record");
        hasher.update(&records.to_be_bytes());
        hasher.update(&self.chain);
        hasher.update(body);
        Head { records, chain: hasher.finish() }
    }
}

/// The file of this number.
pub fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

/// The number of a file name.
pub fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".log")?;
    let fine = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|n| fine && *n > 0)
}

/// A header.
pub fn header(head: &Head) -> Vec<u8> {
    let mut octets = MAGIC.to_vec();
    octets.extend_from_slice(&head.records.to_be_bytes());
    octets.extend_from_slice(&head.chain);
    octets.extend_from_slice(&crc32fast::hash(&octets).to_be_bytes());
    octets
}

/// What a header says; `None` when it is none.
pub fn parse_header(octets: &[u8]) -> Option<Head> {
    let (fixed, crc) = octets.get(..HEADER_BYTES)?.split_at(HEADER_BYTES - 4);
    let rest = fixed.strip_prefix(MAGIC)?;
    let (records, chain) = rest.split_at_checked(8)?;
    let fine = crc32fast::hash(fixed).to_be_bytes() == crc;
    let head = Head { records: u64::from_be_bytes(records.try_into().ok()?), chain: chain.try_into().ok()? };
    fine.then_some(head)
}

/// Appends a record to `out`; the head behind it.
pub fn append(out: &mut Vec<u8>, head: &Head, body: &[u8]) -> Head {
    let next = head.after(body);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&crc(&length, body, &next.chain).to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&next.chain);
    next
}

fn crc(length: &[u8], body: &[u8], chain: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    [length, body, chain].into_iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// One record as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Its octets are those that were written.
    Whole {
        /// Its CBOR.
        body: &'a [u8],
        /// The chain's value behind it, as stated.
        chain: Digest,
    },
    /// Its octets changed; where it ends is known.
    Changed {
        /// The chain's value behind it, if that did not change.
        chain: Digest,
    },
}

/// Walks the records behind a header.
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Of a whole file.
    pub fn of(file: &'a [u8]) -> Frames<'a> {
        Frames { rest: file.get(HEADER_BYTES..).unwrap_or_default() }
    }
    /// Octets that make no record.
    pub fn rest(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;
    fn next(&mut self) -> Option<Frame<'a>> {
        let (length, _) = self.rest.split_first_chunk::<4>()?;
        let bytes = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if !(1..=RECORD_BYTES_MAX).contains(&bytes) {
            return None;
        }
        let (frame, rest) = self.rest.split_at_checked(bytes + FRAME_BYTES)?;
        self.rest = rest;
        let (stated, content) = frame[4..].split_first_chunk::<4>()?;
        let (body, chain) = content.split_at(bytes);
        let chain: Digest = chain.try_into().ok()?;
        let fine = crc(length, body, &chain).to_be_bytes() == *stated;
        Some(if fine { Frame::Whole { body, chain } } else { Frame::Changed { chain } })
    }
}

/// A record read from a frame's body.
pub fn read(body: &[u8]) -> Option<Record> {
    Record::decode(body)
}
