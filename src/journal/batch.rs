//! Batches: what one write and one sync make durable. Lays frames out and checks them; never touches a file.
//! Layout: docs/journal-format.md section 3.

use super::frame;
use super::frame::Position;
use crate::crypto;
use crate::crypto::Digest;
use crate::crypto::Secret;

/// Batches start and end at multiples of this.
pub const BLOCK_BYTES: usize = 4096;
/// Octets before the payload.
pub const HEAD_BYTES: usize = 100;
/// Octets of the longest batch.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;

const MAGIC: [u8; 8] = *b"SPJB\x01\0\0\0";
const CRC_AT: usize = 96;

/// The fixed part of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub incarnation: [u8; 16],
    pub ordinal: u64,
    pub sequence: u64,
    pub synced_through: u64,
    pub first_leaf: u64,
    pub frames: u32,
    pub payload_bytes: u32,
    pub chain: Digest,
}

impl Head {
    /// Reads a head whose lengths are within bounds; says nothing about the CRC.
    pub fn parse(octets: &[u8]) -> Option<Head> {
        let head = octets.get(..HEAD_BYTES)?;
        if head[..8] != MAGIC {
            return None;
        }
        let parsed = Head {
            incarnation: head[8..24].try_into().ok()?,
            ordinal: u64_at(head, 24)?,
            sequence: u64_at(head, 32)?,
            synced_through: u64_at(head, 40)?,
            first_leaf: u64_at(head, 48)?,
            frames: u32_at(head, 56)?,
            payload_bytes: u32_at(head, 60)?,
            chain: head[64..96].try_into().ok()?,
        };
        (parsed.total_bytes() <= BATCH_BYTES_MAX).then_some(parsed)
    }

    /// Octets of the whole batch with its padding.
    pub fn total_bytes(&self) -> usize {
        let payload = usize::try_from(self.payload_bytes).unwrap_or(usize::MAX);
        payload.saturating_add(HEAD_BYTES).checked_next_multiple_of(BLOCK_BYTES).unwrap_or(usize::MAX)
    }

    fn write(&self, into: &mut [u8]) {
        into[..8].copy_from_slice(&MAGIC);
        into[8..24].copy_from_slice(&self.incarnation);
        into[24..32].copy_from_slice(&self.ordinal.to_be_bytes());
        into[32..40].copy_from_slice(&self.sequence.to_be_bytes());
        into[40..48].copy_from_slice(&self.synced_through.to_be_bytes());
        into[48..56].copy_from_slice(&self.first_leaf.to_be_bytes());
        into[56..60].copy_from_slice(&self.frames.to_be_bytes());
        into[60..64].copy_from_slice(&self.payload_bytes.to_be_bytes());
        into[64..96].copy_from_slice(&self.chain);
    }
}

fn u64_at(octets: &[u8], at: usize) -> Option<u64> {
    octets.get(at..at + 8).and_then(|w| w.try_into().ok()).map(u64::from_be_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4).and_then(|w| w.try_into().ok()).map(u32::from_be_bytes)
}

fn crc(batch: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&batch[..CRC_AT]);
    hasher.update(&batch[HEAD_BYTES..]);
    hasher.finalize()
}

/// Whether a whole batch carries its own CRC.
pub fn is_intact(batch: &[u8]) -> bool {
    batch.len() >= HEAD_BYTES && u32_at(batch, CRC_AT) == Some(crc(batch))
}

/// Where a frame lies in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Offset of its salt from the batch's start.
    pub at: usize,
    /// Octets of salt and ciphertext.
    pub bytes: usize,
    pub place: u32,
}

/// A batch being built.
pub struct Builder {
    octets: Vec<u8>,
    position: Position,
}

impl Builder {
    /// An empty batch with this sequence number in the file of this incarnation.
    pub fn new(incarnation: [u8; 16], sequence: u64) -> Builder {
        Builder { octets: vec![0; HEAD_BYTES], position: Position { incarnation, sequence, place: 0 } }
    }

    /// Seals a frame's plaintext into the batch.
    pub fn push(&mut self, jk: &Secret<32>, plain: &[u8]) -> Result<Placed, crypto::Error> {
        let at = self.octets.len() + frame::PREFIX_BYTES;
        frame::seal(jk, self.position, plain, &mut self.octets)?;
        let place = self.position.place;
        self.position.place += 1;
        Ok(Placed { at, bytes: self.octets.len() - at, place })
    }

    /// Octets the finished batch will have.
    pub fn total_bytes(&self) -> usize {
        self.octets.len().next_multiple_of(BLOCK_BYTES)
    }

    /// The batch, padded and checked. Sequence, incarnation and lengths of `head` are the builder's.
    pub fn finish(mut self, ordinal: u64, first_leaf: u64, chain: Digest) -> Vec<u8> {
        let payload = self.octets.len() - HEAD_BYTES;
        let head = Head {
            incarnation: self.position.incarnation,
            ordinal,
            sequence: self.position.sequence,
            // One batch is in flight: this one is written only after its predecessor was synced.
            synced_through: self.position.sequence - 1,
            first_leaf,
            frames: self.position.place,
            payload_bytes: u32::try_from(payload).unwrap_or_else(|_| unreachable!("batches are bounded")),
            chain,
        };
        self.octets.resize(self.octets.len().next_multiple_of(BLOCK_BYTES), 0);
        head.write(&mut self.octets);
        let crc = crc(&self.octets);
        self.octets[CRC_AT..HEAD_BYTES].copy_from_slice(&crc.to_be_bytes());
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(frames: usize) -> Vec<u8> {
        let mut builder = Builder::new([7; 16], 3);
        for _ in 0..frames {
            builder.push(&Secret::new([1; 32]), b"frame").expect("sealed");
        }
        builder.finish(9, 40, [8; 32])
    }

    #[test]
    fn heads_read_back_and_every_octet_counts() {
        let batch = sample(2);
        assert_eq!(batch.len(), BLOCK_BYTES);
        let head = Head::parse(&batch).expect("a head");
        let expected = Head {
            incarnation: [7; 16],
            ordinal: 9,
            sequence: 3,
            synced_through: 2,
            first_leaf: 40,
            frames: 2,
            payload_bytes: 2 * (20 + 32 + 5 + 16),
            chain: [8; 32],
        };
        assert_eq!(head, expected);
        assert!(is_intact(&batch));
        for at in 0..batch.len() {
            let mut bent = batch.clone();
            bent[at] ^= 0x10;
            assert!(!is_intact(&bent), "octet {at}");
        }
    }

    #[test]
    fn lengths_hold_at_their_bound() {
        let mut head = Head::parse(&sample(0)).expect("a head");
        let mut octets = [0; HEAD_BYTES];
        head.payload_bytes = u32::try_from(BATCH_BYTES_MAX - HEAD_BYTES).expect("small");
        head.write(&mut octets);
        assert_eq!(Head::parse(&octets), Some(head));
        head.payload_bytes += 1;
        head.write(&mut octets);
        assert_eq!(Head::parse(&octets), None);
        assert_eq!(Head::parse(&octets[..99]), None);
    }
}
