//! The public and private keys of S/MIME as aws-lc-rs holds them: RSA of 2048 to 8192 bits and EC on P-256.
//! Never another algorithm: what is not named here is refused, not tried.

use super::material::Error;
use crate::crypto::SecretBytes;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaKeyPair,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1};
use der::Decode;
use der::asn1::UintRef;
use std::fmt;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// Bits of the smallest RSA modulus that is used; NIST SP 800-131A forbids smaller ones.
pub const RSA_BITS_MIN: usize = 2048;
/// Bits of the largest RSA modulus that is used: beyond it a single message costs the gateway a second.
pub const RSA_BITS_MAX: usize = 8192;

/// Algorithm and size of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKind {
    /// RSA (rsaEncryption, RFC 8017): signs and takes encrypted keys.
    Rsa {
        /// Bits of the modulus.
        bits: usize,
    },
    /// Elliptic curve P-256 (id-ecPublicKey with secp256r1, RFC 5480): ECDSA and ECDH.
    P256,
}

impl PublicKind {
    /// Reads and checks a SubjectPublicKeyInfo: the key must be a valid one of its kind.
    pub fn of(info: &SubjectPublicKeyInfoOwned) -> Result<PublicKind, Error> {
        let key = info.subject_public_key.as_bytes().ok_or(Error::Malformed("public key"))?;
        match info.algorithm.oid {
            RSA_ENCRYPTION => rsa(key),
            ID_EC_PUBLIC_KEY => {
                let curve = info.algorithm.parameters.as_ref().and_then(|p| p.decode_as::<ObjectIdentifier>().ok());
                if curve != Some(SECP_256_R_1) {
                    return Err(Error::Unsupported(format!("elliptic curve {}", curve.map_or_else(unnamed, named))));
                }
                ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).map_err(|_| Error::Malformed("P-256 public key"))?;
                Ok(PublicKind::P256)
            }
            other => Err(Error::Unsupported(named(other))),
        }
    }
}

impl fmt::Display for PublicKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublicKind::Rsa { bits } => write!(f, "RSA {bits}"),
            PublicKind::P256 => f.write_str("EC P-256"),
        }
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017 appendix A.1.1).
#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

fn rsa(key: &[u8]) -> Result<PublicKind, Error> {
    let parsed = RsaPublicKey::from_der(key).map_err(|_| Error::Malformed("RSA public key"))?;
    let modulus = parsed.modulus.as_bytes();
    let leading = modulus.first().map_or(0, |octet| octet.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(leading).unwrap_or(0));
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(Error::Unsupported(format!("RSA with {bits} bits ({RSA_BITS_MIN} to {RSA_BITS_MAX} are taken)")));
    }
    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).map_err(|_| Error::Malformed("RSA public key"))?;
    Ok(PublicKind::Rsa { bits })
}

fn named(oid: ObjectIdentifier) -> String {
    const_oid::db::DB.by_oid(&oid).map_or_else(|| oid.to_string(), str::to_owned)
}

fn unnamed() -> String {
    "with explicit parameters".to_owned()
}

/// A private key, parsed and checked once. Shared between threads.
pub enum SmimeKeyPair {
    /// RSA.
    Rsa(RsaKeyPair),
    /// ECDSA on P-256 with SHA-256, signatures in ASN.1 form.
    P256(EcdsaKeyPair),
}

impl SmimeKeyPair {
    /// Reads a PKCS#8 key (RFC 5958) of the kind its certificate names.
    pub fn from_pkcs8(kind: PublicKind, pkcs8: &SecretBytes) -> Result<SmimeKeyPair, Error> {
        let bad = |e: aws_lc_rs::error::KeyRejected| Error::BadPrivateKey(e.to_string());
        match kind {
            PublicKind::Rsa { .. } => RsaKeyPair::from_pkcs8(pkcs8.expose()).map(SmimeKeyPair::Rsa).map_err(bad),
            PublicKind::P256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.expose())
                .map(SmimeKeyPair::P256)
                .map_err(bad),
        }
    }
    /// The public half, in the form it has in a certificate's BIT STRING.
    pub fn public_key(&self) -> &[u8] {
        match self {
            SmimeKeyPair::Rsa(pair) => pair.public_key().as_ref(),
            SmimeKeyPair::P256(pair) => pair.public_key().as_ref(),
        }
    }
}

impl fmt::Debug for SmimeKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SmimeKeyPair::Rsa(_) => "SmimeKeyPair::Rsa(..)",
            SmimeKeyPair::P256(_) => "SmimeKeyPair::P256(..)",
        })
    }
}
