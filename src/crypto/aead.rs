//! AES-256-GCM for keys that encrypt once or under a counter. Never chooses a nonce: the caller's format fixes it.

use super::{Error, Secret};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Octets of the authentication tag behind every ciphertext.
pub const TAG_BYTES: usize = 16;
/// Octets of a nonce.
pub const NONCE_BYTES: usize = 12;

/// The nonce of a key that encrypts exactly one plaintext.
pub const SINGLE_USE: [u8; NONCE_BYTES] = [0; NONCE_BYTES];

/// A nonce that is a counter: 4 zero octets, then `n` as u64 big-endian.
pub fn counter_nonce(n: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[4..].copy_from_slice(&n.to_be_bytes());
    nonce
}

/// Ciphertext followed by its tag. Plaintexts are at most 64 GiB (NIST SP 800-38D); ours are bounded far below.
pub fn seal(key: &Secret<32>, nonce: &[u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    out.extend_from_slice(plaintext);
    let sealed = cipher(key).seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut out);
    sealed.unwrap_or_else(|_| unreachable!("a slice in memory is below the AES-GCM length limit"));
    out
}

/// The plaintext, or `NotAuthentic`.
pub fn open(key: &Secret<32>, nonce: &[u8; NONCE_BYTES], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let plain_bytes = sealed.len().checked_sub(TAG_BYTES).ok_or(Error::Malformed("shorter than a tag"))?;
    let mut out = sealed.to_vec();
    cipher(key)
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut out)
        .map_err(|_| Error::NotAuthentic)?;
    out.truncate(plain_bytes);
    Ok(out)
}

/// AWS-LC rather than a generic crate: the latter is compiled into ours, without optimisation in the development profile.
fn cipher(key: &Secret<32>) -> LessSafeKey {
    let unbound = UnboundKey::new(&AES_256_GCM, key.expose());
    LessSafeKey::new(unbound.unwrap_or_else(|_| unreachable!("an AES-256 key has 32 octets")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_is_authenticated() {
        let key = Secret::new([1; 32]);
        let sealed = seal(&key, &SINGLE_USE, b"aad", b"text");
        assert_eq!(sealed.len(), 4 + TAG_BYTES);
        assert_eq!(open(&key, &SINGLE_USE, b"aad", &sealed).as_deref(), Ok(&b"text"[..]));
        assert!(open(&Secret::new([2; 32]), &SINGLE_USE, b"aad", &sealed).is_err());
        assert!(open(&key, &counter_nonce(1), b"aad", &sealed).is_err());
        assert!(open(&key, &SINGLE_USE, b"add", &sealed).is_err());
        for i in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[i] ^= 1;
            assert_eq!(open(&key, &SINGLE_USE, b"aad", &bent), Err(Error::NotAuthentic));
        }
        assert!(matches!(open(&key, &SINGLE_USE, b"", &sealed[..15]), Err(Error::Malformed(_))));
    }
}
