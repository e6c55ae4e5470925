//! Key material in the form that signing and encrypting need: parsed, checked and cached once, shared in an `Arc`.
//! Never decides which key is taken, and never shows a private part.

use super::openpgp_key::SubkeySigner;
use super::smime_key::{PublicKind, SmimeKeyPair};
use crate::clock::Timestamp;
use crate::crypto::SecretBytes;
use der::Decode;
use sequoia_openpgp as openpgp;
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::stream::Recipient;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::Certificate;

/// What this gateway accepts of OpenPGP algorithms and signatures, everywhere.
pub static POLICY: StandardPolicy<'static> = StandardPolicy::new();

/// Why octets cannot become key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a certificate or key of the expected encoding.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// An algorithm or size we neither sign with nor encrypt to.
    #[error("unsupported algorithm: {0}")]
    Unsupported(String),
    /// The private key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// The private key is not a valid one of its algorithm.
    #[error("the private key is not valid: {0}")]
    BadPrivateKey(String),
}

/// A key that mail can be encrypted to.
#[derive(Clone, Debug)]
pub enum RecipientKey {
    /// A certificate for S/MIME.
    Smime(SmimeCertificate),
    /// An OpenPGP certificate.
    OpenPgp(OpenPgpCertificate),
}

/// A key that mail can be signed with.
#[derive(Debug)]
pub enum SigningKey {
    /// A certificate and private key for S/MIME.
    Smime(SmimeSigner),
    /// An OpenPGP signing key.
    OpenPgp(OpenPgpSigner),
}

/// An X.509 certificate (RFC 5280) whose public key is of a kind we use. Cheap to clone.
#[derive(Clone)]
pub struct SmimeCertificate(Arc<ParsedCertificate>);

struct ParsedCertificate {
    der: Vec<u8>,
    certificate: Certificate,
    kind: PublicKind,
}

impl SmimeCertificate {
    /// Reads one DER certificate, nothing behind it.
    pub fn from_der(der: &[u8]) -> Result<SmimeCertificate, Error> {
        let certificate = Certificate::from_der(der).map_err(|_| Error::Malformed("X.509 certificate"))?;
        let kind = PublicKind::of(certificate.tbs_certificate().subject_public_key_info())?;
        Ok(SmimeCertificate(Arc::new(ParsedCertificate { der: der.to_vec(), certificate, kind })))
    }
    /// The octets as imported.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }
    /// The parsed certificate; its encoding is `der`, not what encoding this again would give.
    pub fn certificate(&self) -> &Certificate {
        &self.0.certificate
    }
    /// Algorithm and size of the public key.
    pub fn kind(&self) -> PublicKind {
        self.0.kind
    }
    /// The public key as it stands in the certificate's BIT STRING: an RSAPublicKey (RFC 8017) or an uncompressed point
    /// (RFC 5480 section 2.2).
    pub fn public_key(&self) -> &[u8] {
        self.0.certificate.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes()
    }
}

impl fmt::Debug for SmimeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tbs = self.0.certificate.tbs_certificate();
        write!(f, "SmimeCertificate({}, serial {}, {:?})", tbs.subject(), tbs.serial_number(), self.kind())
    }
}

/// A certificate with its private key, ready to sign.
pub struct SmimeSigner {
    certificate: SmimeCertificate,
    chain: Vec<Vec<u8>>,
    key_pair: SmimeKeyPair,
    pkcs8: SecretBytes,
}

impl SmimeSigner {
    /// Joins a certificate and its private key (PKCS#8, RFC 5958). `issuers` are the certificates above it, in order.
    pub fn new(certificate: SmimeCertificate, issuers: &[Vec<u8>], pkcs8: SecretBytes) -> Result<SmimeSigner, Error> {
        let key_pair = SmimeKeyPair::from_pkcs8(certificate.kind(), &pkcs8)?;
        if key_pair.public_key() != certificate.public_key() {
            return Err(Error::Mismatch);
        }
        let mut chain = vec![certificate.der().to_vec()];
        chain.extend_from_slice(issuers);
        Ok(SmimeSigner { certificate, chain, key_pair, pkcs8 })
    }
    /// The signer's certificate.
    pub fn certificate(&self) -> &SmimeCertificate {
        &self.certificate
    }
    /// DER certificates to send along: the signer's own first, then its issuers as far as they were imported.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }
    /// The cached key pair.
    pub fn key_pair(&self) -> &SmimeKeyPair {
        &self.key_pair
    }
    /// The private key as PKCS#8, for decryption.
    pub fn pkcs8(&self) -> &SecretBytes {
        &self.pkcs8
    }
}

impl fmt::Debug for SmimeSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmimeSigner").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// An OpenPGP certificate (RFC 9580 section 10.1.1), public parts only. Cheap to clone.
#[derive(Clone)]
pub struct OpenPgpCertificate(Arc<Cert>);

impl OpenPgpCertificate {
    /// Takes a certificate; secret parts are left out.
    pub fn new(cert: Cert) -> OpenPgpCertificate {
        OpenPgpCertificate(Arc::new(cert.strip_secret_key_material()))
    }
    /// The certificate.
    pub fn cert(&self) -> &Cert {
        &self.0
    }
    /// The subkeys to encrypt to at `now`: valid under [`POLICY`], alive, not revoked, of a supported algorithm, marked for
    /// encryption. Empty when there is none; what the keyring took has at least one at the time it was asked for.
    pub fn recipients(&self, now: Timestamp) -> Vec<Recipient<'_>> {
        let at = system_time(now);
        if self.0.with_policy(&POLICY, at).is_err() {
            return Vec::new();
        }
        let keys = self.0.keys().with_policy(&POLICY, at).supported().alive().revoked(false);
        keys.for_transport_encryption().for_storage_encryption().map(Recipient::from).collect()
    }
}

impl fmt::Debug for OpenPgpCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenPgpCertificate({:X})", self.0.fingerprint())
    }
}

/// An OpenPGP certificate with one unlocked signing key.
pub struct OpenPgpSigner {
    certificate: OpenPgpCertificate,
    subkey: SubkeySigner,
}

impl OpenPgpSigner {
    /// Joins a certificate and the signer over one of its keys.
    pub fn new(certificate: OpenPgpCertificate, subkey: SubkeySigner) -> OpenPgpSigner {
        OpenPgpSigner { certificate, subkey }
    }
    /// The signer's certificate.
    pub fn certificate(&self) -> &OpenPgpCertificate {
        &self.certificate
    }
    /// A signer to hand to sequoia's `stream::Signer`; cheap to clone, the key behind it stays prepared.
    pub fn signer(&self) -> SubkeySigner {
        self.subkey.clone()
    }
    /// The fingerprint of the key that signs.
    pub fn subkey_fingerprint(&self) -> openpgp::Fingerprint {
        self.subkey.fingerprint()
    }
}

impl fmt::Debug for OpenPgpSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenPgpSigner({:?}, key {:X})", self.certificate, self.subkey_fingerprint())
    }
}

/// The instant as sequoia takes it.
pub fn system_time(now: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(now.s()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Vec<u8>, SecretBytes) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.der().to_vec(), SecretBytes::new(key.serialize_der()))
    }

    #[test]
    fn a_signer_joins_a_certificate_and_its_own_key() {
        let ((der, pkcs8), (_, other)) = (pair(), pair());
        let certificate = SmimeCertificate::from_der(&der).expect("a certificate");
        assert_eq!(certificate.kind(), PublicKind::P256);
        let signer = SmimeSigner::new(certificate.clone(), &[vec![1]], pkcs8.clone()).expect("a signer");
        assert_eq!(signer.chain(), [der.clone(), vec![1]]);
        assert_eq!(signer.pkcs8().expose(), pkcs8.expose());
        assert_eq!(SmimeSigner::new(certificate.clone(), &[], other).unwrap_err(), Error::Mismatch);
        let bad = SmimeSigner::new(certificate, &[], SecretBytes::new(vec![0])).unwrap_err();
        assert!(matches!(bad, Error::BadPrivateKey(_)), "{bad}");
        let behind = [der, vec![0]].concat();
        assert_eq!(SmimeCertificate::from_der(&behind).unwrap_err(), Error::Malformed("X.509 certificate"));
    }

    #[test]
    fn keys_are_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<RecipientKey>();
        shared::<SigningKey>();
    }
}
