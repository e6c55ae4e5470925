//! Secret bytes: wiped on drop, redacted in Debug. Never `Copy`, never printed.

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A fixed-length secret, usually a 32-byte key. Every key has one use; the holder's comment says which.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the octets; the caller wipes its own copy.
    pub fn new(octets: [u8; N]) -> Secret<N> {
        Secret(octets)
    }
    /// From a slice of exactly `N` octets.
    pub fn from_slice(octets: &[u8]) -> Option<Secret<N>> {
        octets.try_into().ok().map(Secret)
    }
    /// The octets, for the call that needs them.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> std::fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// A secret of any length: a passphrase, a private key's encoding.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the octets over.
    pub fn new(octets: Vec<u8>) -> SecretBytes {
        SecretBytes(Zeroizing::new(octets))
    }
    /// The octets, for the call that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new([0x41; 4])), "Secret<4>(..)");
        assert_eq!(format!("{:?}", SecretBytes::new(b"hunter2".to_vec())), "SecretBytes(..)");
    }

    #[test]
    fn equality_is_by_value() {
        assert_eq!(Secret::new([1; 32]), Secret::new([1; 32]));
        assert_ne!(Secret::new([1; 32]), Secret::new([2; 32]));
        assert!(Secret::<32>::from_slice(&[0; 31]).is_none());
    }
}
