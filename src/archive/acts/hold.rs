//! Hold files: what a legal hold is about. Written once; what it holds stands in HOLD leaves.

use super::leaves::REASON_BYTES_MAX;
use super::leaves::is_line;
use crate::archive::cursor::Malformed;
use crate::archive::layout::ArchiveId;
use crate::archive::layout::HoldId;
use crate::archive::strict;
use crate::clock::Timestamp;
use minicbor::{Decode, Encode};

/// Octets of the longest hold file.
pub const HOLD_BYTES_MAX: u64 = 64 * 1024;
/// Octets of a sealed query at most.
const SEALED_QUERY_BYTES_MAX: usize = 16 * 1024;
/// Octets of a hold's name at most.
const NAME_BYTES_MAX: usize = 64;
const MAGIC: &[u8] = b"sealpost hold 1\n";
/// The info of a standing query's HPKE.
pub const QUERY_INFO: &str = "hold query";

/// What a hold is about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HoldFile {
    /// The archive it holds mail of.
    #[n(0)]
    pub archive: ArchiveId,
    /// Its id.
    #[n(1)]
    pub hold: HoldId,
    /// Its name, in the clear: a case, not a person.
    #[n(2)]
    pub name: String,
    /// When it was made.
    #[n(3)]
    pub created: Timestamp,
    /// Who made it.
    #[n(4)]
    pub by: String,
    /// Why, in the clear.
    #[n(5)]
    pub reason: String,
    /// For a standing hold: its query, which only officers can open.
    #[n(6)]
    #[cbor(with = "minicbor::bytes")]
    pub query: Option<Vec<u8>>,
}

impl HoldFile {
    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        [MAGIC, &strict::encode(self)].concat()
    }
    /// Reads one.
    pub fn parse(octets: &[u8]) -> Result<HoldFile, Malformed> {
        let cbor = octets.strip_prefix(MAGIC).ok_or(Malformed("no hold file"))?;
        let file: HoldFile = strict::decode(cbor)?;
        if !is_name(&file.name) {
            return Err(Malformed("no name for a hold"));
        }
        if !is_line(&file.reason, REASON_BYTES_MAX) || !is_line(&file.by, REASON_BYTES_MAX) {
            return Err(Malformed("a hold without reason or author"));
        }
        if file.query.as_ref().is_some_and(|query| query.len() > SEALED_QUERY_BYTES_MAX) {
            return Err(Malformed("a query that is too long"));
        }
        Ok(file)
    }
    /// What a standing query is bound to.
    pub fn query_aad(archive: &ArchiveId, hold: &HoldId) -> Vec<u8> {
        [&archive.octets()[..], hold.octets()].concat()
    }
}

/// Whether a text can name a hold: letters, digits, `.`, `_` and `-`.
pub fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.chars().all(fits) && !text.starts_with('-')
}

/// The `.seen` file of a standing hold.
pub fn encode_seen(seal_index: u64) -> Vec<u8> {
    format!("{seal_index}\n").into_bytes()
}

/// Octets of a `.seen` file at most.
pub const SEEN_BYTES_MAX: u64 = 21;

/// Reads a `.seen` file.
pub fn parse_seen(octets: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(octets).ok()?.strip_suffix('\n')?;
    text.parse::<u64>().ok().filter(|seen| seen.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> HoldFile {
        HoldFile {
            archive: ArchiveId::from_octets([1; 16]),
            hold: HoldId::from_octets([2; 16]),
            name: "case-7".into(),
            created: Timestamp::from_s(5),
            by: "officer".into(),
            reason: "litigation".into(),
            query: Some(vec![3; 40]),
        }
    }

    #[test]
    fn hold_files_read_back_in_one_form() {
        for file in [file(), HoldFile { query: None, ..file() }] {
            let octets = file.encode();
            assert_eq!(HoldFile::parse(&octets), Ok(file));
            for cut in 0..octets.len() {
                assert!(HoldFile::parse(&octets[..cut]).is_err());
            }
            assert!(HoldFile::parse(&[&octets[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn names_and_reasons_have_bounds() {
        for bad in [
            HoldFile { name: String::new(), ..file() },
            HoldFile { name: "a b".into(), ..file() },
            HoldFile { name: "-x".into(), ..file() },
            HoldFile { name: "n".repeat(NAME_BYTES_MAX + 1), ..file() },
            HoldFile { reason: " ".into(), ..file() },
            HoldFile { reason: "r".repeat(REASON_BYTES_MAX + 1), ..file() },
            HoldFile { by: "a\nb".into(), ..file() },
            HoldFile { query: Some(vec![0; SEALED_QUERY_BYTES_MAX + 1]), ..file() },
        ] {
            assert!(HoldFile::parse(&bad.encode()).is_err(), "{bad:?}");
        }
        let most = HoldFile { name: "n".repeat(NAME_BYTES_MAX), reason: "r".repeat(REASON_BYTES_MAX), ..file() };
        assert!(HoldFile::parse(&most.encode()).is_ok());
    }

    #[test]
    fn seen_has_one_form() {
        assert_eq!(parse_seen(&encode_seen(0)), Some(0));
        assert_eq!(parse_seen(&encode_seen(u64::MAX)), Some(u64::MAX));
        for bad in ["", "\n", "7", "07\n", "+7\n", "7\n\n", "18446744073709551616\n"] {
            assert_eq!(parse_seen(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
