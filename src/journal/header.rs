//! The header of a live file: who it is, its key under two wraps, and what other files count. Never holds a key in the clear.
//! Layout: docs/journal-format.md section 2.

use super::settings::Keys;
use crate::clock::Timestamp;
use crate::crypto;
use crate::crypto::Secret;
use crate::crypto::random;
use crate::crypto::sealed;
use minicbor::{Decode, Encode};

/// Octets of each of the two header areas.
pub const HEADER_BYTES: usize = 32 * 1024;
/// Live files besides a new one that its header has room for.
pub const LIVE_FILES_MAX: usize = 1800;
/// With so many live files new mail is refused, so that results and leaves find room for long.
pub const MAIL_FILES_MAX: usize = LIVE_FILES_MAX - 200;

const MAGIC: [u8; 8] = *b"SPJOURN1";
const FIXED_BYTES: usize = 16;
const VERSION: u32 = 1;
const KEY_USE: &str = "journal key";

/// Another live file, and the last batch in it that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Live {
    #[n(0)]
    pub ordinal: u64,
    #[n(1)]
    pub last_sequence: u64,
}

/// The record of a header area.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    #[n(0)]
    pub version: u32,
    #[n(1)]
    pub ordinal: u64,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub incarnation: [u8; 16],
    #[n(3)]
    pub first_leaf: u64,
    #[n(4)]
    pub created_at: Timestamp,
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub host_wrap: Vec<u8>,
    #[n(6)]
    #[cbor(with = "minicbor::bytes")]
    pub archive_wrap: Vec<u8>,
    #[n(7)]
    pub live: Vec<Live>,
    /// Octets of the file, so that one cut short is noticed.
    #[n(8)]
    pub file_bytes: u64,
}

/// What a header area turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Area {
    /// A header.
    Header(Box<Header>),
    /// A header of a version this program does not know.
    UnknownVersion(u32),
    /// Zeros, a torn write, or rot.
    Nothing,
}

impl Header {
    /// A header with a fresh incarnation and journal key for a file of `file_bytes` octets.
    pub fn create(
        keys: &Keys,
        ordinal: u64,
        first_leaf: u64,
        now: Timestamp,
        live: Vec<Live>,
        file_bytes: u64,
    ) -> Result<(Header, Secret<32>), crypto::Error> {
        let incarnation = random::bytes::<16>()?;
        // One key, one incarnation: only frames of this file are encrypted under keys derived from it.
        let key = random::hedged(KEY_USE, &[&incarnation, &ordinal.to_be_bytes()])?;
        let header = Header {
            version: VERSION,
            ordinal,
            incarnation,
            first_leaf,
            created_at: now,
            host_wrap: sealed::seal(&keys.host, KEY_USE, &incarnation, key.expose())?,
            archive_wrap: keys.archive.seal(KEY_USE, &incarnation, key.expose())?,
            live,
            file_bytes,
        };
        Ok((header, key))
    }

    /// The journal key, opened with the host key.
    pub fn unwrap_key(&self, host: &Secret<32>) -> Result<Secret<32>, crypto::Error> {
        let octets = zeroize::Zeroizing::new(sealed::open(host, KEY_USE, &self.incarnation, &self.host_wrap)?);
        Secret::from_slice(&octets).ok_or(crypto::Error::Malformed("journal key"))
    }

    /// One whole header area; `None` when the live list does not fit.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let record = super::record::encode(self);
        let mut area = MAGIC.to_vec();
        area.extend_from_slice(&u32::try_from(record.len()).ok()?.to_be_bytes());
        area.extend_from_slice(&crc32fast::hash(&record).to_be_bytes());
        area.extend_from_slice(&record);
        (self.live.len() <= LIVE_FILES_MAX && area.len() <= HEADER_BYTES).then(|| {
            area.resize(HEADER_BYTES, 0);
            area
        })
    }
}

/// Reads a header area. Total on any octets.
pub fn read(area: &[u8]) -> Area {
    let Some(record) = checked_record(area) else { return Area::Nothing };
    let version = minicbor::Decoder::new(record).array().and_then(|_| {
        let mut decoder = minicbor::Decoder::new(record);
        decoder.array()?;
        decoder.u32()
    });
    match version {
        Ok(VERSION) => minicbor::decode(record).map_or(Area::Nothing, |header| Area::Header(Box::new(header))),
        Ok(version) => Area::UnknownVersion(version),
        Err(_) => Area::Nothing,
    }
}

fn checked_record(area: &[u8]) -> Option<&[u8]> {
    let (fixed, rest) = area.split_at_checked(FIXED_BYTES)?;
    let word = |at: usize| fixed[at..at + 4].try_into().ok().map(u32::from_be_bytes);
    let record = rest.get(..usize::try_from(word(8)?).ok()?)?;
    (fixed[..8] == MAGIC && word(12)? == crc32fast::hash(record)).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::super::settings;
    use super::*;

    fn live(n: usize) -> Vec<Live> {
        vec![Live { ordinal: u64::MAX, last_sequence: u64::from(u32::MAX) }; n]
    }

    #[test]
    fn headers_read_back_with_their_key() {
        let keys = settings::test_keys();
        let (header, key) = Header::create(&keys, 3, 40, Timestamp::from_s(1), live(2), 1 << 20).expect("a header");
        let area = header.encode().expect("fits");
        assert_eq!(area.len(), HEADER_BYTES);
        assert_eq!(read(&area), Area::Header(Box::new(header.clone())));
        assert_eq!(header.unwrap_key(&keys.host), Ok(key));
        assert!(header.unwrap_key(&Secret::new([0; 32])).is_err());
    }

    #[test]
    fn rot_zeros_and_other_versions_are_no_header() {
        let keys = settings::test_keys();
        let (mut header, _) = Header::create(&keys, 3, 40, Timestamp::from_s(1), vec![], 1 << 20).expect("a header");
        let area = header.encode().expect("fits");
        for at in [0, 8, 12, 16, 500, 1300] {
            let mut bent = area.clone();
            bent[at] ^= 1;
            assert_eq!(read(&bent), Area::Nothing, "octet {at}");
        }
        assert_eq!(read(&vec![0; HEADER_BYTES]), Area::Nothing);
        assert_eq!(read(&area[..15]), Area::Nothing);
        header.version = 2;
        assert_eq!(read(&header.encode().expect("fits")), Area::UnknownVersion(2));
    }

    #[test]
    fn the_live_list_fits_at_its_bound() {
        let keys = settings::test_keys();
        let of = |n| Header::create(&keys, 3, 40, Timestamp::from_s(1), live(n), 1 << 20).expect("a header").0.encode();
        assert!(of(LIVE_FILES_MAX).is_some());
        assert!(of(LIVE_FILES_MAX + 1).is_none());
    }
}
