//! One message that was found in a file.

use crate::crypto::{Digest, Sha256};
use crate::gateway::marks::Key;
use crate::mail::line_ends::LineEnds;
use crate::mail::mbox::FromLine;
use minicbor::{Decode, Encode};

/// Octets of the name of a place; the end of a longer one is kept.
const SOURCE_BYTES_MAX: usize = 1000;

/// A message and where it was.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Found {
    /// The file; `!` stands before what is packed in it.
    #[n(0)]
    pub source: String,
    /// Where it begins, in octets from the start of an mbox.
    #[n(1)]
    pub position: Option<u64>,
    /// The From_ line of an mbox.
    #[n(2)]
    pub from_line: Option<FromLine>,
    /// Its octets, in the form it had on the wire.
    #[n(3)]
    pub line_ends: LineEnds,
    /// Its octets.
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    pub octets: Vec<u8>,
}

impl Found {
    /// The place in one word, as the record of acceptance keeps it.
    pub fn origin(&self) -> String {
        let mut start = self.source.len().saturating_sub(SOURCE_BYTES_MAX);
        while !self.source.is_char_boundary(start) {
            start += 1;
        }
        let source = &self.source[start..];
        self.position.map_or_else(|| source.to_owned(), |position| format!("{source}@{position}"))
    }
}

/// What stands for a message at its place: the same message at another place is another one, as two copies in a mailbox are two.
pub fn key(origin: &str, sha256: &Digest) -> Key {
    let mut hasher = Sha256::new();
    hasher.update(b"sealpost import\n");
    hasher.update(sha256);
    hasher.update(origin.as_bytes());
    let digest = hasher.finish();
    let (key, _) = digest.split_at(16);
    key.try_into().unwrap_or_else(|_| unreachable!("half of 32 octets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart_and_bounded() {
        let found = |source: &str, position| Found {
            source: source.into(),
            position,
            from_line: None,
            line_ends: LineEnds::Kept,
            octets: Vec::new(),
        };
        assert_eq!(found("/a/b.eml", None).origin(), "/a/b.eml");
        assert_eq!(found("/a/b", Some(7)).origin(), "/a/b@7");
        let long = "\u{e4}".repeat(SOURCE_BYTES_MAX) + "x";
        let origin = found(&long, None).origin();
        assert!(origin.len() <= SOURCE_BYTES_MAX && origin.ends_with("\u{e4}x"));
        let keys = [key("a", &[0; 32]), key("b", &[0; 32]), key("a", &[1; 32])];
        assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[0] == key("a", &[0; 32]));
    }
}
