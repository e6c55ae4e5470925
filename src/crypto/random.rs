//! Randomness: kernel bytes, and hedged keys that stay distinct even when the kernel repeats itself (a cloned machine).
//! Never a user-space generator.

use super::{Error, Secret, SecretBytes, kdf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Distinguishes draws within one process should the kernel ever repeat itself.
static DRAWS: AtomicU64 = AtomicU64::new(0);

/// Fills `N` octets from the kernel. For identifiers and nonces; keys take `hedged`.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0u8; N];
    getrandom::fill(&mut out).map_err(|_| Error::NoRandomness)?;
    Ok(out)
}

/// A fresh key: HKDF over kernel bytes, a counter and `material`, usually the hash of what the key will protect and the id
/// it is bound to, so that a repeated random state cannot repeat a key for other content.
pub fn hedged(label: &str, material: &[&[u8]]) -> Result<Secret<32>, Error> {
    let kernel = SecretBytes::new(bytes::<32>()?.to_vec());
    let draw = DRAWS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut context: Vec<&[u8]> = vec![&draw];
    context.extend_from_slice(material);
    Ok(kdf::derive(kernel.expose(), label, &context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(hedged("t", &[b"m"]).expect("key"), hedged("t", &[b"m"]).expect("key"));
    }
}
