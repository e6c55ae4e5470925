//! Sealing small secrets to the archive key: HPKE (RFC 9180), base mode, KEM X-Wing (X25519 with ML-KEM-768), HKDF-SHA-256,
//! ChaCha20-Poly1305. Never signs: who sealed something is proved elsewhere.

use super::{Error, Secret};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};

/// Octets of a public key.
pub const PUBLIC_BYTES: usize = 1216;
/// Octets of an encapsulated key, which starts every sealed secret.
pub const ENCAPSULATED_BYTES: usize = 1120;
/// Octets that sealing adds: the encapsulated key and the tag.
pub const OVERHEAD_BYTES: usize = ENCAPSULATED_BYTES + 16;

/// The public half: seals.
#[derive(Clone)]
pub struct PublicKey(<XWing as Kem>::PublicKey);

/// The secret half: opens. 32 octets, from which both component keys are derived.
#[derive(Clone)]
pub struct PrivateKey(Secret<32>);

/// A new pair from kernel randomness.
pub fn generate() -> Result<(PrivateKey, PublicKey), Error> {
    let private = PrivateKey(super::random::hedged("archive key", &[])?);
    let public = private.public()?;
    Ok((private, public))
}

impl PublicKey {
    /// From its `PUBLIC_BYTES` octets.
    pub fn from_octets(octets: &[u8]) -> Result<PublicKey, Error> {
        <XWing as Kem>::PublicKey::from_bytes(octets).map(PublicKey).map_err(|_| Error::Malformed("archive public key"))
    }
    /// Its octets.
    pub fn octets(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }
    /// Seals `secret` for the use named by `info`, bound to `aad`: encapsulated key, then ciphertext and tag.
    pub fn seal(&self, info: &str, aad: &[u8], secret: &[u8]) -> Result<Vec<u8>, Error> {
        let (encapsulated, ciphertext) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &self.0,
            info.as_bytes(),
            secret,
            aad,
        )
        .map_err(|_| Error::NoRandomness)?;
        let mut out = encapsulated.to_bytes().to_vec();
        out.extend_from_slice(&ciphertext);
        Ok(out)
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", &super::hash::hex(&super::sha256(&self.octets()))[..16])
    }
}

impl PrivateKey {
    /// From its 32 octets.
    pub fn new(secret: Secret<32>) -> PrivateKey {
        PrivateKey(secret)
    }
    /// Its 32 octets, for the call that shares it among officers.
    pub fn expose(&self) -> &Secret<32> {
        &self.0
    }
    /// The public half that belongs to it.
    pub fn public(&self) -> Result<PublicKey, Error> {
        Ok(PublicKey(XWing::sk_to_pk(&self.kem_key()?)))
    }
    /// Opens what the public half sealed with the same info and aad.
    pub fn open(&self, info: &str, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (head, ciphertext) =
            sealed.split_at_checked(ENCAPSULATED_BYTES).ok_or(Error::Malformed("no encapsulated key"))?;
        let encapsulated =
            <XWing as Kem>::EncappedKey::from_bytes(head).map_err(|_| Error::Malformed("encapsulated key"))?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.kem_key()?,
            &encapsulated,
            info.as_bytes(),
            ciphertext,
            aad,
        )
        .map_err(|_| Error::NotAuthentic)
    }
    fn kem_key(&self) -> Result<<XWing as Kem>::PrivateKey, Error> {
        <XWing as Kem>::PrivateKey::from_bytes(self.0.expose()).map_err(|_| Error::Malformed("archive secret key"))
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_private_half_opens_and_only_in_context() {
        let (private, public) = generate().expect("a pair");
        let public = PublicKey::from_octets(&public.octets()).expect("read back");
        assert_eq!(public.octets().len(), PUBLIC_BYTES);
        let sealed = public.seal("segment key", b"id", &[7; 32]).expect("sealed");
        assert_eq!(sealed.len(), 32 + OVERHEAD_BYTES);
        assert_eq!(private.open("segment key", b"id", &sealed).as_deref(), Ok(&[7u8; 32][..]));
        assert!(private.open("journal key", b"id", &sealed).is_err());
        assert!(private.open("segment key", b"ie", &sealed).is_err());
        let (other, _) = generate().expect("a pair");
        assert!(other.open("segment key", b"id", &sealed).is_err());
        for at in [0, ENCAPSULATED_BYTES, sealed.len() - 1] {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(private.open("segment key", b"id", &bent).is_err(), "octet {at}");
        }
        assert!(private.open("segment key", b"id", &sealed[..ENCAPSULATED_BYTES - 1]).is_err());
    }
}
