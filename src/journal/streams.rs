//! Where the pieces of a message's streams lie. A flat list: most messages have one piece, and it stays in memory until it is sealed.

use super::Error;
use super::file::Chunk;
use crate::mail::MailId;

/// The pieces of a message's streams, by stream and offset.
#[derive(Clone, Default)]
pub struct Streams(Vec<(u32, Chunk)>);

impl Streams {
    /// Adds a piece in its place; pieces come in order but for damage.
    pub fn add(&mut self, stream: u32, chunk: Chunk) {
        let at = self.0.partition_point(|(number, c)| (*number, c.offset) < (stream, chunk.offset));
        if self.0.get(at).is_none_or(|(number, c)| (*number, c.offset) != (stream, chunk.offset)) {
            if self.0.is_empty() {
                self.0.reserve_exact(1);
            }
            self.0.insert(at, (stream, chunk));
        }
    }

    /// The pieces of a stream, in order.
    pub fn of(&self, stream: u32) -> impl Iterator<Item = &Chunk> {
        let from = self.0.partition_point(|(number, _)| *number < stream);
        self.0[from..].iter().take_while(move |(number, _)| *number == stream).map(|(_, chunk)| chunk)
    }

    /// All pieces.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.0.iter().map(|(_, chunk)| chunk)
    }

    /// Whether there is no piece.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets other streams.
    pub fn retain(&mut self, is_kept: impl Fn(u32) -> bool) {
        self.0.retain(|(number, _)| is_kept(*number));
    }

    /// A stream as `other` has it, instead of what there was of it.
    pub fn replace(&mut self, stream: u32, other: &Streams) {
        self.retain(|number| number != stream);
        other.of(stream).for_each(|chunk| self.add(stream, chunk.clone()));
    }

    /// Whether the pieces of a stream make exactly `bytes` octets without a hole.
    pub fn is_complete(&self, stream: u32, bytes: u64) -> bool {
        let end = self.of(stream).try_fold(0, |end, chunk| (chunk.offset == end).then_some(end + chunk.length));
        end == Some(bytes)
    }

    /// Reads a whole stream.
    pub fn read(&self, id: &MailId, stream: u32) -> Result<Vec<u8>, Error> {
        let bytes = self.of(stream).last().map_or(0, |chunk| chunk.offset + chunk.length);
        let mut out = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        for chunk in self.of(stream) {
            chunk.read(id, stream, &mut out)?;
        }
        Ok(out)
    }
}
