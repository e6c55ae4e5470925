//! Search terms sealed to the officers: the gateway writes them and cannot read them back, nor can an auditor.

use crate::clock::Timestamp;
use crate::crypto::Error;
use crate::crypto::hpke::PublicKey;
use minicbor::{Decode, Encode};

/// What sealing is bound to; whoever opens says the same.
pub const LABEL: &str = "audit terms";
/// Octets of terms; what is longer is cut.
pub const TERMS_BYTES_MAX: usize = 4096;
/// Lengths are rounded up to this: they say little of what was looked for.
const PADDING_BYTES: usize = 256;

/// What was looked for, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Terms(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    Vec<u8>,
);

impl Terms {
    /// Seals terms of one record, and whether they are whole.
    pub fn seal(public: &PublicKey, session: &[u8; 8], at: Timestamp, terms: &[u8]) -> Result<(Terms, bool), Error> {
        let kept = &terms[..terms.len().min(TERMS_BYTES_MAX)];
        let mut padded = kept.to_vec();
        padded.resize(kept.len().max(1).next_multiple_of(PADDING_BYTES), 0);
        let sealed = public.seal(LABEL, &Terms::aad(session, at), &padded)?;
        Ok((Terms(sealed), kept.len() == terms.len()))
    }
    /// The sealed octets.
    pub fn sealed(&self) -> &[u8] {
        &self.0
    }
    /// What they are bound to besides `LABEL`.
    pub fn aad(session: &[u8; 8], at: Timestamp) -> Vec<u8> {
        [&session[..], &at.ms().to_be_bytes()].concat()
    }
    /// The terms in what was opened.
    pub fn text(opened: &[u8]) -> String {
        let end = opened.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        String::from_utf8_lossy(&opened[..end]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hpke;

    #[test]
    fn only_officers_read_terms_and_lengths_say_little() {
        let (private, public) = hpke::generate().expect("a pair");
        let at = Timestamp::from_s(9);
        let mut lengths = Vec::new();
        for terms in [&b""[..], b"SEARCH TEXT x", &[b'y'; 255], &[b'z'; TERMS_BYTES_MAX]] {
            let (sealed, whole) = Terms::seal(&public, &[1; 8], at, terms).expect("sealed");
            assert!(whole && (terms.len() < 2 || !sealed.sealed().windows(terms.len()).any(|w| w == terms)));
            let opened = private.open(LABEL, &Terms::aad(&[1; 8], at), sealed.sealed()).expect("opened");
            assert_eq!(Terms::text(&opened).as_bytes(), terms);
            assert!(private.open(LABEL, &Terms::aad(&[2; 8], at), sealed.sealed()).is_err(), "of another session");
            lengths.push(sealed.sealed().len());
        }
        assert_eq!(lengths[0], lengths[1]);
        assert_eq!(lengths[0], lengths[2]);
        let (sealed, whole) = Terms::seal(&public, &[1; 8], at, &[b'z'; TERMS_BYTES_MAX + 1]).expect("sealed");
        assert!(!whole && sealed.sealed().len() == lengths[3]);
    }
}
