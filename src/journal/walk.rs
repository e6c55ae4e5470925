//! Walking the frames of one batch, over damage if need be. A frame counts only if it authenticates at its place.

use super::batch::HEAD_BYTES;
use super::file::JournalFile;
use super::frame;
use super::frame::{PREFIX_BYTES, Plain};

/// Lost frames in a row that a walk can cross.
const SKIPPED_FRAMES_MAX: u32 = 64;

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

/// The frames of the batch `sequence` in `octets`, which start at `base` in the file.
pub struct Walk<'a> {
    file: &'a JournalFile,
    octets: &'a [u8],
    base: u64,
    sequence: u64,
    at: usize,
    place: u32,
}

impl Walk<'_> {
    pub fn new<'a>(file: &'a JournalFile, octets: &'a [u8], base: u64, sequence: u64) -> Walk<'a> {
        Walk { file, octets, base, sequence, at: HEAD_BYTES, place: 0 }
    }

    /// Octets up to the end of the last frame found.
    pub fn used(&self) -> usize {
        self.at
    }

    /// The place of the next frame.
    pub fn place(&self) -> u32 {
        self.place
    }

    /// The frame at `at`, if it authenticates at `place`.
    fn frame(&mut self, at: usize, place: u32) -> Option<Found> {
        let rest = self.octets.get(at..)?;
        let position = self.file.position(self.sequence, place);
        for length in frame::lengths(rest) {
            let Some(from_salt) = rest.get(8..PREFIX_BYTES + length) else { continue };
            if let Some(plain) = frame::open(&self.file.key, position, from_salt) {
                (self.at, self.place) = (at + 8 + from_salt.len(), place + 1);
                let at = self.base + at as u64 + 8;
                return Some(Found { plain, sequence: self.sequence, place, at, bytes: from_salt.len() });
            }
        }
        None
    }

    /// Behind a lost frame: the next one whose lengths agree and which authenticates.
    fn resume(&mut self) -> Option<Found> {
        let lost = self.place;
        (self.at + 1..self.octets.len()).find_map(|at| {
            if !frame::looks_like_frame(&self.octets[at..]) {
                return None;
            }
            (lost + 1..=lost + SKIPPED_FRAMES_MAX).find_map(|place| self.frame(at, place))
        })
    }
}

impl Iterator for Walk<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        self.frame(self.at, self.place).or_else(|| self.resume())
    }
}
