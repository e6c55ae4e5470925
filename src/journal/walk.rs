//! Walking the frames in a stretch of a file, over damage if need be. A frame counts only if it authenticates.

use super::file::JournalFile;
use super::frame;
use super::frame::{PREFIX_BYTES, Plain, Position, SALT_BYTES};

/// A frame that authenticated.
pub struct Found {
    pub plain: Plain,
    pub sequence: u64,
    pub place: u32,
    /// Offset of its salt in the file.
    pub at: u64,
    /// Octets of salt and ciphertext.
    pub bytes: usize,
}

/// The frames in `octets`, which start at `base` in the file.
pub struct Walk<'a> {
    file: &'a JournalFile,
    octets: &'a [u8],
    base: u64,
    /// Where the next frame should start.
    at: usize,
    /// What it should be.
    expected: Position,
}

impl Walk<'_> {
    /// From the offset `at`, where the first frame of batch `sequence` should stand.
    pub fn new<'a>(file: &'a JournalFile, octets: &'a [u8], base: u64, at: usize, sequence: u64) -> Walk<'a> {
        Walk { file, octets, base, at, expected: file.position(sequence, 0) }
    }

    /// Octets up to the end of the last frame found.
    pub fn used(&self) -> usize {
        self.at
    }

    /// The place after the last frame found.
    pub fn place(&self) -> u32 {
        self.expected.place
    }

    /// The frame at `at`, if it authenticates at this position.
    fn frame(&mut self, at: usize, position: Position) -> Option<Found> {
        let rest = self.octets.get(at..)?;
        for length in frame::lengths(rest) {
            let Some(from_salt) = rest.get(PREFIX_BYTES..PREFIX_BYTES + SALT_BYTES + length) else { continue };
            let Some(plain) = frame::open(&self.file.key, position, from_salt) else { continue };
            self.at = at + PREFIX_BYTES + from_salt.len();
            self.expected = Position { place: position.place + 1, ..position };
            let at = self.base + (at + PREFIX_BYTES) as u64;
            return Some(Found {
                plain,
                sequence: position.sequence,
                place: position.place,
                at,
                bytes: from_salt.len(),
            });
        }
        None
    }

    /// Behind something lost: the next frame that looks like one and is where it says it is.
    fn resume(&mut self) -> Option<Found> {
        (self.at..self.octets.len()).find_map(|at| {
            let rest = &self.octets[at..];
            let position = frame::claimed(rest, self.file.incarnation).filter(|_| frame::looks_like_frame(rest))?;
            // Frames come in order: this also keeps a stretch that is walked twice from giving a frame twice.
            let (before, now) = (self.expected, position);
            let is_next = (now.sequence, now.place) >= (before.sequence, before.place);
            is_next.then(|| self.frame(at, position)).flatten()
        })
    }
}

impl Iterator for Walk<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        self.frame(self.at, self.expected).or_else(|| self.resume())
    }
}
