//! AES-256-GCM for keys that encrypt once or under a counter. Never chooses a nonce: the caller's format fixes it.

use super::{Error, Secret};
use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};

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
    let tag = Aes256Gcm::new(key.expose().into())
        .encrypt_inout_detached(nonce.into(), aad, out.as_mut_slice().into())
        .unwrap_or_else(|_| unreachable!("a slice in memory is below the AES-GCM length limit"));
    out.extend_from_slice(&tag);
    out
}

/// The plaintext, or `NotAuthentic`.
pub fn open(key: &Secret<32>, nonce: &[u8; NONCE_BYTES], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let split = sealed.len().checked_sub(TAG_BYTES).ok_or(Error::Malformed("shorter than a tag"))?;
    let (ciphertext, tag) = sealed.split_at(split);
    let tag: &[u8; TAG_BYTES] = tag.try_into().map_err(|_| Error::Malformed("tag"))?;
    let mut out = ciphertext.to_vec();
    Aes256Gcm::new(key.expose().into())
        .decrypt_inout_detached(nonce.into(), aad, out.as_mut_slice().into(), tag.into())
        .map_err(|_| Error::NotAuthentic)?;
    Ok(out)
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
