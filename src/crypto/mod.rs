//! Crypto: how Sealpost uses primitives that others implement: key derivation, hedged randomness, AEAD, a chunked AEAD
//! stream, hashes. Never implements a primitive and never stores a key.

pub mod aead;
pub mod hash;
pub mod hpke;
pub mod kdf;
pub mod mac;
pub mod random;
pub mod sealed;
pub mod secret;
pub mod stream;

pub use hash::{Digest, Sha256, sha256};
pub use secret::{Secret, SecretBytes};

/// What can go wrong here. Deliberately poor in detail: a decryption oracle feeds on reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The ciphertext was not made with this key and context, or was changed.
    #[error("ciphertext is not authentic under this key")]
    NotAuthentic,
    /// The input cannot be of this format: too short, wrong version.
    #[error("malformed ciphertext: {0}")]
    Malformed(&'static str),
    /// The kernel gave no random bytes.
    #[error("the kernel's random source failed")]
    NoRandomness,
}
