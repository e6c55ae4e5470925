//! The frame of a data object: header, hash list, trailer. What lies between is the units' and the directory's.

use super::cursor::{Cursor, Malformed};
use super::layout::ArchiveId;
use super::layout::SegmentId;
use super::leaf::Seal;
use super::unit::UNITS_MAX;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::crypto::Sha256;
use crate::crypto::sha256;
use crate::durable::DiskFile;
use std::io;

/// Octets of the header.
pub const HEADER_BYTES: u64 = 108;
/// Octets of the trailer.
pub const TRAILER_BYTES: u64 = 64;
/// Octets that one hash of the list covers.
pub const BLOCK_BYTES: usize = 1 << 20;
/// Octets of a data object at most.
pub const DATA_BYTES_MAX: u64 = 1 << 42;
const MAGIC: &[u8; 8] = b"SPSEGDAT";
const END_MAGIC: &[u8; 8] = b"SPSEGEND";
const VERSION: u16 = 1;
const NODE_BYTES: usize = 16;

/// The first octets of a data object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The archive.
    pub archive: ArchiveId,
    /// The segment.
    pub segment: SegmentId,
    /// When sealing began.
    pub created: Timestamp,
    /// Message units.
    pub messages: u32,
    /// Event units.
    pub events: u32,
    /// Commitment to the segment key.
    pub commitment: Digest,
}

impl Header {
    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(self.archive.octets());
        out.extend_from_slice(&[0; NODE_BYTES]);
        out.extend_from_slice(self.segment.octets());
        out.extend_from_slice(&self.created.ms().to_be_bytes());
        out.extend_from_slice(&self.messages.to_be_bytes());
        out.extend_from_slice(&self.events.to_be_bytes());
        out.extend_from_slice(&self.commitment);
        out
    }
    /// Reads exactly a header.
    pub fn parse(octets: &[u8]) -> Result<Header, Malformed> {
        let mut cursor = Cursor::new(octets);
        cursor.expect(MAGIC, "no data object")?;
        cursor.expect(&VERSION.to_be_bytes(), "data object of an unknown version")?;
        cursor.zeros(2)?;
        let archive = ArchiveId::from_octets(cursor.array()?);
        cursor.zeros(NODE_BYTES)?;
        let segment = SegmentId::from_octets(cursor.array()?);
        let ms = cursor.i64()?;
        let created = Timestamp::from_ms(ms);
        let (messages, events) = (cursor.u32()?, cursor.u32()?);
        let commitment = cursor.array()?;
        cursor.end()?;
        if u64::from(messages) + u64::from(events) > UNITS_MAX as u64 {
            return Err(Malformed("too many units"));
        }
        if created.ms() != ms {
            return Err(Malformed("a time out of range"));
        }
        Ok(Header { archive, segment, created, messages, events, commitment })
    }
    /// Reads the header of a file.
    pub fn read(file: &dyn DiskFile) -> io::Result<Result<Header, Malformed>> {
        let mut octets = [0; HEADER_BYTES as usize];
        file.read_exact_at(0, &mut octets)?;
        Ok(Header::parse(&octets))
    }
}

/// The last octets of a data object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Where the directory begins, and so where the units end.
    pub directory_offset: u64,
    /// Octets of the directory.
    pub directory_bytes: u64,
    /// Where the hash list begins, and so what it covers.
    pub hashes_offset: u64,
    /// Over segment, offsets and hash list.
    pub root: Digest,
}

impl Trailer {
    /// The trailer of an object with this hash list.
    pub fn new(segment: &SegmentId, directory: std::ops::Range<u64>, hashes: &[u8]) -> Trailer {
        let mut trailer = Trailer {
            directory_offset: directory.start,
            directory_bytes: directory.end - directory.start,
            hashes_offset: directory.end,
            root: [0; 32],
        };
        trailer.root = trailer.root_over(segment, hashes);
        trailer
    }
    /// The data root that fits these offsets and hashes.
    pub fn root_over(&self, segment: &SegmentId, hashes: &[u8]) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(b"sealpost data root 1");
        hasher.update(segment.octets());
        for number in [self.directory_offset, self.directory_bytes, self.hashes_offset] {
            hasher.update(&number.to_be_bytes());
        }
        hasher.update(hashes);
        hasher.finish()
    }
    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TRAILER_BYTES as usize);
        for number in [self.directory_offset, self.directory_bytes, self.hashes_offset] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.root);
        out.extend_from_slice(END_MAGIC);
        out
    }
    /// Reads the trailer of an object of `length` octets; the parts must fill it.
    pub fn parse(octets: &[u8], length: u64) -> Result<Trailer, Malformed> {
        let mut cursor = Cursor::new(octets);
        let (directory_offset, directory_bytes, hashes_offset) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let root = cursor.array()?;
        cursor.expect(END_MAGIC, "no trailer")?;
        cursor.end()?;
        let trailer = Trailer { directory_offset, directory_bytes, hashes_offset, root };
        let fills = length <= DATA_BYTES_MAX
            && directory_offset >= HEADER_BYTES
            && directory_offset.checked_add(directory_bytes) == Some(hashes_offset)
            && hashes_offset.checked_add(trailer.hashes_bytes() + TRAILER_BYTES) == Some(length);
        if fills { Ok(trailer) } else { Err(Malformed("the parts do not fill the object")) }
    }
    /// Reads the trailer of a file.
    pub fn read(file: &dyn DiskFile) -> io::Result<Result<Trailer, Malformed>> {
        let length = file.len()?;
        let Some(at) = length.checked_sub(TRAILER_BYTES) else { return Ok(Err(Malformed("cut short"))) };
        let mut octets = [0; TRAILER_BYTES as usize];
        file.read_exact_at(at, &mut octets)?;
        Ok(Trailer::parse(&octets, length))
    }
    /// Octets of the hash list.
    pub fn hashes_bytes(&self) -> u64 {
        self.hashes_offset.div_ceil(BLOCK_BYTES as u64) * 32
    }
}

/// Whether a reader of much goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It does.
    GoOn,
    /// Somebody wants it to end.
    Stop,
}

/// Compares a whole object with its SEAL leaf, one block in memory at a time; `fault` gets each thing that is wrong.
pub fn check(file: &dyn DiskFile, archive: &ArchiveId, seal: &Seal, fault: impl FnMut(String)) -> io::Result<()> {
    check_watched(file, archive, seal, |_| Pace::GoOn, fault).map(drop)
}

/// The same; `read` hears of each block's octets, and says whether to go on.
pub fn check_watched(
    file: &dyn DiskFile,
    archive: &ArchiveId,
    seal: &Seal,
    read: impl FnMut(u64) -> Pace,
    mut fault: impl FnMut(String),
) -> io::Result<Pace> {
    let length = file.len()?;
    if length != seal.data_bytes {
        fault(format!("{length} octets, sealed with {}", seal.data_bytes));
        return Ok(Pace::GoOn);
    }
    let trailer = match Trailer::read(file)? {
        Ok(trailer) => trailer,
        Err(what) => {
            fault(format!("trailer: {what}"));
            return Ok(Pace::GoOn);
        }
    };
    let mut hashes = vec![0; trailer.hashes_bytes() as usize];
    file.read_exact_at(trailer.hashes_offset, &mut hashes)?;
    let meant = (archive, &seal.segment, seal.messages, seal.events);
    let header_fault = match Header::read(file)? {
        Err(what) => Some(format!("header: {what}")),
        Ok(header) if (&header.archive, &header.segment, header.messages, header.events) != meant => {
            Some("header is of another segment".into())
        }
        Ok(_) => None,
    };
    let has_root = trailer.root_over(&seal.segment, &hashes) == seal.data_root && trailer.root == seal.data_root;
    if !has_root && header_fault.is_none() {
        fault("hash list or trailer has another root than the SEAL leaf".into());
    }
    // Of an object with another header, and of the block that it begins, nothing more need be said.
    let said = usize::from(header_fault.is_some());
    header_fault.into_iter().for_each(&mut fault);
    check_blocks(file, (&trailer, said), &hashes, read, &mut fault)
}

fn check_blocks(
    file: &dyn DiskFile,
    (trailer, first): (&Trailer, usize),
    hashes: &[u8],
    mut read: impl FnMut(u64) -> Pace,
    fault: &mut impl FnMut(String),
) -> io::Result<Pace> {
    let mut block = vec![0; BLOCK_BYTES];
    for (number, hash) in (0u64..).zip(hashes.chunks(32)).skip(first) {
        let at = number * BLOCK_BYTES as u64;
        let octets = (trailer.hashes_offset - at).min(BLOCK_BYTES as u64) as usize;
        file.read_exact_at(at, &mut block[..octets])?;
        if sha256(&block[..octets]) != *hash {
            fault(format!("octets {at} to {} changed", at + octets as u64));
        }
        if read(octets as u64) == Pace::Stop {
            return Ok(Pace::Stop);
        }
    }
    Ok(Pace::GoOn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back() {
        let header = Header {
            archive: ArchiveId::from_octets([1; 16]),
            segment: SegmentId::from_octets([2; 16]),
            created: Timestamp::from_s(5),
            messages: 3,
            events: 4,
            commitment: [5; 32],
        };
        let octets = header.encode();
        assert_eq!(octets.len() as u64, HEADER_BYTES);
        assert_eq!(Header::parse(&octets), Ok(header));
        assert!(Header::parse(&octets[1..]).is_err());
        let mut late = octets;
        late[60] = 0x7f;
        assert_eq!(Header::parse(&late), Err(Malformed("a time out of range")));
    }

    #[test]
    fn a_trailers_parts_fill_the_object() {
        let hashes = [9; 64];
        let trailer = Trailer::new(&SegmentId::from_octets([2; 16]), 108..(BLOCK_BYTES as u64 + 1), &hashes);
        let length = BLOCK_BYTES as u64 + 1 + 64 + TRAILER_BYTES;
        let octets = trailer.encode();
        assert_eq!(octets.len() as u64, TRAILER_BYTES);
        assert_eq!(Trailer::parse(&octets, length), Ok(trailer));
        assert!(Trailer::parse(&octets, length + 1).is_err());
        assert!(Trailer::parse(&octets, length - 32).is_err());
        assert!(Trailer::parse(&[0xff; 64], u64::MAX).is_err());
    }
}
