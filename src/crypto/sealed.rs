//! Small secrets at rest under a long-lived key: a fresh key per item by HKDF from a hedged salt. Never two items under one
//! derived key.
//!
//! ```text
//! sealed = version(1) salt(32) AES-256-GCM(HKDF(key, label, salt), nonce 0, aad, plaintext)
//! ```

use super::{Error, Secret, aead, hash, kdf, random};

const VERSION: u8 = 1;
const SALT_BYTES: usize = 32;

/// Encrypts `plaintext` for the use named by `label`, bound to `aad` (the item's name and version).
pub fn seal(key: &Secret<32>, label: &str, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    let salt = random::hedged(label, &[aad, &hash::sha256(plaintext)])?;
    let item_key = kdf::derive::<32>(key.expose(), label, &[salt.expose()]);
    let mut out = vec![VERSION];
    out.extend_from_slice(salt.expose());
    out.extend_from_slice(&aead::seal(&item_key, &aead::SINGLE_USE, aad, plaintext));
    Ok(out)
}

/// Opens what `seal` made with the same key, label and aad.
pub fn open(key: &Secret<32>, label: &str, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let (version, rest) = sealed.split_first().ok_or(Error::Malformed("empty"))?;
    if *version != VERSION {
        return Err(Error::Malformed("unknown version"));
    }
    let (salt, ciphertext) = rest.split_at_checked(SALT_BYTES).ok_or(Error::Malformed("no salt"))?;
    let item_key = kdf::derive::<32>(key.expose(), label, &[salt]);
    aead::open(&item_key, &aead::SINGLE_USE, aad, ciphertext)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_its_key_label_and_aad() {
        let key = Secret::new([9; 32]);
        let sealed = seal(&key, "keyring", b"a", b"private").expect("sealed");
        assert_eq!(open(&key, "keyring", b"a", &sealed).as_deref(), Ok(&b"private"[..]));
        assert!(open(&key, "journal", b"a", &sealed).is_err());
        assert!(open(&key, "keyring", b"b", &sealed).is_err());
        assert!(open(&Secret::new([8; 32]), "keyring", b"a", &sealed).is_err());
        assert!(open(&key, "keyring", b"a", &[2; 80]).is_err());
        assert!(open(&key, "keyring", b"a", &[]).is_err());
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let key = Secret::new([9; 32]);
        assert_ne!(seal(&key, "k", b"", b"x").expect("one"), seal(&key, "k", b"", b"x").expect("two"));
    }
}
