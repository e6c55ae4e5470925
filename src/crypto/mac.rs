//! HMAC-SHA-256 (RFC 2104), and PBKDF2 over it (RFC 8018) for protocols that ask for it by name. Never for keys of our own
//! formats: those take `kdf`.

use super::{Digest, Secret};
use aws_lc_rs::{hmac, pbkdf2};
use std::num::NonZeroU32;
use subtle::ConstantTimeEq;

/// The tag of all parts, one behind the other: the caller keeps lists of parts from meaning the same.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Digest {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut tag = Digest::default();
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

/// Compares tags in a time that does not tell where they differ.
pub fn are_equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// PBKDF2 with HMAC-SHA-256, one block.
pub fn pbkdf2_sha256(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Secret<32> {
    let mut out = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, &mut out);
    let secret = Secret::new(out);
    zeroize::Zeroize::zeroize(&mut out);
    secret
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::hex;

    #[test]
    fn matches_rfc_4231_case_2() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"])), expected);
        assert!(are_equal(&[1, 2], &[1, 2]) && !are_equal(&[1, 2], &[1, 3]) && !are_equal(&[1], &[1, 2]));
    }

    #[test]
    fn matches_rfc_7914_section_11() {
        let one = pbkdf2_sha256(b"passwd", b"salt", NonZeroU32::MIN);
        assert_eq!(hex(one.expose()), "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    }
}
