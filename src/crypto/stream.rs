//! A chunked AEAD stream that commits to its key: STREAM (Hoang, Reyhanitabar, Rogaway, Vizar: "Online Authenticated-Encryption
//! and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015) over AES-256-GCM. Never used twice with one key.
//!
//! ```text
//! stream     = commitment(32) chunk*
//! chunk      = AES-256-GCM(content key, nonce, aad, up to 1 MiB of plaintext)      ciphertext then tag(16)
//! nonce      = 0(7) counter(u32 big-endian) last(u8: 1 for the last chunk, else 0)
//! commitment = HKDF(key, "stream commitment", aad); content key = HKDF(key, "stream content", aad)
//! ```
//! All chunks but the last are full; an empty plaintext is one empty last chunk. GCM alone does not commit to its key; the
//! commitment makes it infeasible to find two keys that open one stream to two messages.

use super::aead::{self, NONCE_BYTES, TAG_BYTES};
use super::{Error, Secret, kdf};
use subtle::ConstantTimeEq;

/// Octets of plaintext in every chunk but the last.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Octets of the key commitment that starts a stream.
pub const COMMITMENT_BYTES: usize = 32;

/// Encrypts `plaintext` under a key used for this stream only.
pub fn seal(key: &Secret<32>, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let (commitment, content) = keys(key, aad);
    let chunks = plaintext.len().div_ceil(CHUNK_BYTES).max(1);
    let mut out = Vec::with_capacity(sealed_bytes(plaintext.len()));
    out.extend_from_slice(commitment.expose());
    for (i, start) in (0..chunks).map(|i| (i, i * CHUNK_BYTES)) {
        let end = plaintext.len().min(start + CHUNK_BYTES);
        let sealed = aead::seal(&content, &nonce(i, i + 1 == chunks), aad, &plaintext[start..end]);
        out.extend_from_slice(&sealed);
    }
    out
}

/// Decrypts a whole stream; nothing of it is released unless all of it is authentic.
pub fn open(key: &Secret<32>, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let (commitment, content) = keys(key, aad);
    let (head, mut rest) = sealed.split_at_checked(COMMITMENT_BYTES).ok_or(Error::Malformed("no commitment"))?;
    if !bool::from(head.ct_eq(commitment.expose().as_slice())) {
        return Err(Error::NotAuthentic);
    }
    let mut out = Vec::with_capacity(rest.len());
    for i in 0.. {
        let (chunk, behind) = rest.split_at(rest.len().min(CHUNK_BYTES + TAG_BYTES));
        out.extend_from_slice(&aead::open(&content, &nonce(i, behind.is_empty()), aad, chunk)?);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    Ok(out)
}

/// Octets of the stream made from `plaintext_bytes` octets.
pub fn sealed_bytes(plaintext_bytes: usize) -> usize {
    COMMITMENT_BYTES + plaintext_bytes + plaintext_bytes.div_ceil(CHUNK_BYTES).max(1) * TAG_BYTES
}

fn keys(key: &Secret<32>, aad: &[u8]) -> (Secret<32>, Secret<32>) {
    let of = |label| kdf::derive(key.expose(), label, &[aad]);
    (of("stream commitment"), of("stream content"))
}

fn nonce(index: usize, last: bool) -> [u8; NONCE_BYTES] {
    // 2^32 chunks are 4 PiB; a message is bounded far below.
    let counter = u32::try_from(index).unwrap_or(u32::MAX);
    let mut nonce = [0; NONCE_BYTES];
    nonce[7..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(last);
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_to_what_was_sealed_at_every_chunk_edge() {
        let key = Secret::new([3; 32]);
        for n in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES] {
            let text = vec![0x5a; n];
            let sealed = seal(&key, b"id", &text);
            assert_eq!(sealed.len(), sealed_bytes(n));
            assert_eq!(open(&key, b"id", &sealed), Ok(text), "{n}");
        }
    }

    #[test]
    fn truncation_extension_reordering_and_other_keys_are_noticed() {
        let key = Secret::new([3; 32]);
        let sealed = seal(&key, b"id", &vec![1; 2 * CHUNK_BYTES]);
        let first = COMMITMENT_BYTES..COMMITMENT_BYTES + CHUNK_BYTES + TAG_BYTES;
        assert!(open(&key, b"id", &sealed[..first.end]).is_err(), "cut after a full chunk");
        assert!(open(&key, b"id", &sealed[..sealed.len() - 1]).is_err());
        let swapped = [&sealed[..32], &sealed[first.end..], &sealed[first]].concat();
        assert!(open(&key, b"id", &swapped).is_err());
        assert!(open(&Secret::new([4; 32]), b"id", &sealed).is_err());
        assert!(open(&key, b"jd", &sealed).is_err());
        assert!(open(&key, b"id", &[&sealed[..], b"x"].concat()).is_err());
        assert!(open(&key, b"id", &sealed[..31]).is_err());
        assert!(open(&key, b"id", &sealed[..32]).is_err());
    }
}
