//! The id of an accepted message: ours, 128 bits, 32 hex digits. Never the Message-ID, which others choose.

use crate::clock::Timestamp;
use minicbor::{Decode, Encode};

/// One accepted message. The first 48 bits are the milliseconds of its acceptance, so that ids sort by time; 80 are random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct MailId(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    [u8; 16],
);

impl MailId {
    /// An id for a message that arrives now.
    pub fn new(now: Timestamp, random: [u8; 10]) -> MailId {
        let mut octets = [0; 16];
        octets[..6].copy_from_slice(&now.ms().to_be_bytes()[2..]);
        octets[6..].copy_from_slice(&random);
        MailId(octets)
    }
    /// From its 16 octets, as stored.
    pub fn from_octets(octets: [u8; 16]) -> MailId {
        MailId(octets)
    }
    /// Its 16 octets.
    pub fn octets(&self) -> &[u8; 16] {
        &self.0
    }
    /// Reads exactly 32 hex digits.
    pub fn parse(text: &str) -> Option<MailId> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|n| MailId(n.to_be_bytes()))
    }
}

impl std::fmt::Display for MailId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for MailId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MailId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_octets_agree_and_ids_sort_by_time() {
        let early = MailId::new(Timestamp::from_ms(1000), [0xff; 10]);
        let late = MailId::new(Timestamp::from_ms(1001), [0; 10]);
        assert!(early < late);
        assert_eq!(early.to_string(), "0000000003e8ffffffffffffffffffff");
        assert_eq!(MailId::parse(&early.to_string()), Some(early));
        for bad in ["", "0000000003e8fffffffffffffffffff", "+000000003e8ffffffffffffffffffff"] {
            assert_eq!(MailId::parse(bad), None, "{bad}");
        }
    }
}
