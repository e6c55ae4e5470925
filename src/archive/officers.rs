//! Officers: OpenPGP certificates that pieces of the archive key are encrypted to, and the keys that open them. Plain OpenPGP
//! messages, which any OpenPGP program can decrypt.

use super::Error;
use crate::clock::Timestamp;
use crate::crypto::SecretBytes;
use crate::crypto::random;
use sequoia_openpgp as openpgp;

use openpgp::Profile;
use openpgp::cert::{CertBuilder, CipherSuite};
use openpgp::crypto::{Password, SessionKey};
use openpgp::packet::{PKESK, SKESK};
use openpgp::parse::Parse;
use openpgp::parse::stream::{DecryptionHelper, DecryptorBuilder, MessageStructure, VerificationHelper};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::serialize::stream::{Encryptor, LiteralWriter, Message};
use openpgp::types::{Features, SymmetricAlgorithm};
use openpgp::{Cert, KeyHandle};
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

/// Octets of the longest certificate we take for an officer.
pub const CERTIFICATE_BYTES_MAX: usize = 128 * 1024;
/// Octets of the longest decrypted piece.
const PIECE_BYTES_MAX: u64 = 4096;

/// A certificate that can receive pieces.
#[derive(Clone, Debug)]
pub struct Certificate(Cert);

/// A new officer key, as `init` writes it.
pub struct NewOfficer {
    /// The private key, armored, protected by the passphrase.
    pub key: SecretBytes,
    /// The certificate, armored.
    pub certificate: Vec<u8>,
}

/// What an officer brings to open the archive.
pub struct OfficerSecret<'a> {
    /// The private key, armored or binary.
    pub key: &'a [u8],
    /// The passphrase that protects it; empty when there is none.
    pub passphrase: &'a SecretBytes,
}

impl Certificate {
    /// Reads one certificate, armored or binary. A private key is taken for the certificate in it.
    pub fn parse(octets: &[u8], now: Timestamp) -> Result<Certificate, Error> {
        if octets.len() > CERTIFICATE_BYTES_MAX {
            return Err(Error::Officer("certificate is too long".into()));
        }
        let cert = Cert::from_bytes(octets).map_err(|e| Error::Officer(format!("no OpenPGP certificate: {e}")))?;
        let certificate = Certificate(cert.strip_secret_key_material());
        certificate.seal(b"", now)?;
        Ok(certificate)
    }
    /// Its fingerprint in hexadecimal.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint().to_hex()
    }
    /// Binary OpenPGP.
    pub fn octets(&self) -> Result<Vec<u8>, Error> {
        self.0.to_vec().map_err(Error::openpgp)
    }
    /// An OpenPGP message to all its encryption keys that are valid now.
    pub fn seal(&self, text: &[u8], now: Timestamp) -> Result<Vec<u8>, Error> {
        let policy = StandardPolicy::new();
        let keys = self.0.keys().with_policy(&policy, system_time(now)).supported().alive().revoked(false);
        let keys: Vec<_> = keys.for_storage_encryption().for_transport_encryption().collect();
        if keys.is_empty() {
            return Err(Error::Officer(format!("{} has no valid encryption key", self.fingerprint())));
        }
        let encrypt = || -> openpgp::Result<Vec<u8>> {
            let mut out = Vec::new();
            let message = Encryptor::for_recipients(Message::new(&mut out), keys).build()?;
            let mut literal = LiteralWriter::new(message).build()?;
            literal.write_all(text)?;
            literal.finalize()?;
            Ok(out)
        };
        encrypt().map_err(Error::openpgp)
    }
}

/// A time as the library takes it.
pub fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at.s()).unwrap_or(0))
}

/// A new v4 Ed25519/Cv25519 key that does not expire: an archive must open long after.
pub fn generate(user_id: &str, passphrase: &SecretBytes, now: Timestamp) -> Result<NewOfficer, Error> {
    let make = || -> openpgp::Result<NewOfficer> {
        let (cert, _) = CertBuilder::general_purpose(Some(user_id))
            .set_profile(Profile::RFC4880)?
            .set_cipher_suite(CipherSuite::Cv25519)
            .set_creation_time(system_time(now))
            .set_validity_period(None)
            // Without SEIPDv2 among its features GnuPG, too, can decrypt what is sealed to it.
            .set_features(Features::empty().set_seipdv1())?
            .set_password(Some(Password::from(passphrase.expose())))
            .generate()?;
        let key = SecretBytes::new(cert.as_tsk().armored().to_vec()?);
        Ok(NewOfficer { key, certificate: cert.armored().to_vec()? })
    };
    make().map_err(Error::openpgp)
}

/// A passphrase of 120 random bits: 24 letters and digits in groups of four.
pub fn passphrase() -> Result<SecretBytes, Error> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let random = SecretBytes::new(random::bytes::<24>()?.to_vec());
    let groups: Vec<Vec<u8>> =
        random.expose().chunks(4).map(|group| group.iter().map(|o| LETTERS[usize::from(o % 32)]).collect()).collect();
    Ok(SecretBytes::new(groups.join(&b'-')))
}

/// The fingerprint of an officer's key, as in its certificate.
pub fn fingerprint(key: &[u8]) -> Result<String, Error> {
    let cert = Cert::from_bytes(key).map_err(|e| Error::Officer(format!("no OpenPGP key: {e}")))?;
    Ok(cert.fingerprint().to_hex())
}

/// Decrypts a piece with an officer's key; `None` when it is encrypted to others.
pub fn open(piece: &[u8], officer: &OfficerSecret<'_>) -> Result<Option<SecretBytes>, Error> {
    let cert = Cert::from_bytes(officer.key).map_err(|e| Error::Officer(format!("no OpenPGP key: {e}")))?;
    let mut opener = Opener { cert: &cert, passphrase: officer.passphrase, failure: Failure::NotForUs };
    match decrypt(piece, &mut opener) {
        Ok(text) => Ok(Some(text)),
        Err(_) if opener.failure == Failure::NotForUs => Ok(None),
        Err(_) if opener.failure == Failure::Passphrase => {
            Err(Error::Officer("the passphrase does not open the officer key".into()))
        }
        Err(e) => Err(Error::openpgp(e)),
    }
}

fn decrypt(piece: &[u8], opener: &mut Opener<'_>) -> openpgp::Result<SecretBytes> {
    let policy = StandardPolicy::new();
    let reader = DecryptorBuilder::from_bytes(piece)?.with_policy(&policy, None, opener)?;
    let mut text = Vec::with_capacity(PIECE_BYTES_MAX as usize);
    let read = reader.take(PIECE_BYTES_MAX).read_to_end(&mut text);
    let text = SecretBytes::new(text);
    read?;
    Ok(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    NotForUs,
    Passphrase,
    Other,
}

/// Finds the secret key a piece is encrypted to. Expired and revoked keys open too: the archive outlives them.
struct Opener<'a> {
    cert: &'a Cert,
    passphrase: &'a SecretBytes,
    failure: Failure,
}

impl VerificationHelper for &mut Opener<'_> {
    fn get_certs(&mut self, _ids: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(Vec::new())
    }
    /// Pieces are not signed: the public half they add up to is what proves them.
    fn check(&mut self, _structure: MessageStructure<'_>) -> openpgp::Result<()> {
        Ok(())
    }
}

impl DecryptionHelper for &mut Opener<'_> {
    fn decrypt(
        &mut self,
        pkesks: &[PKESK],
        _skesks: &[SKESK],
        algorithm: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> openpgp::Result<Option<Cert>> {
        for key in self.cert.keys().secret() {
            let key = key.key();
            let ours = |p: &&PKESK| p.recipient().is_none_or(|r| r.aliases(key.key_handle()));
            for pkesk in pkesks.iter().filter(ours) {
                self.failure = Failure::Passphrase;
                let key = if key.has_unencrypted_secret() {
                    key.clone()
                } else {
                    key.clone().decrypt_secret(&Password::from(self.passphrase.expose()))?
                };
                self.failure = Failure::Other;
                let mut pair = key.into_keypair()?;
                if pkesk.decrypt(&mut pair, algorithm).is_some_and(|(a, session)| decrypt(a, &session)) {
                    return Ok(None);
                }
            }
        }
        Err(openpgp::Error::MissingSessionKey("no key of this officer".into()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_s(1_790_000_000)
    }

    #[test]
    fn an_officer_opens_what_is_sealed_to_the_certificate() {
        let pass = passphrase().expect("a passphrase");
        assert_eq!(pass.expose().len(), 29);
        let officer = generate("Officer <officer@example.org>", &pass, now()).expect("a key");
        let certificate = Certificate::parse(&officer.certificate, now()).expect("a certificate");
        let piece = certificate.seal(b"text", now()).expect("sealed");
        let secret = |passphrase| OfficerSecret { key: officer.key.expose(), passphrase };
        let text = open(&piece, &secret(&pass)).expect("opened").expect("for this officer");
        assert_eq!(text.expose(), b"text");
        let wrong = SecretBytes::new(b"wrong".to_vec());
        assert!(matches!(open(&piece, &secret(&wrong)), Err(Error::Officer(_))));
        let other = generate("Other <other@example.org>", &pass, now()).expect("a key");
        let other = OfficerSecret { key: other.key.expose(), passphrase: &pass };
        assert!(matches!(open(&piece, &other), Ok(None)));
        let mut bent = piece.clone();
        let last = bent.len() - 1;
        bent[last] ^= 1;
        assert!(open(&bent, &secret(&pass)).is_err());
    }

    #[test]
    fn what_cannot_receive_is_no_certificate() {
        assert!(matches!(Certificate::parse(b"nonsense", now()), Err(Error::Officer(_))));
        assert!(matches!(Certificate::parse(&vec![0; CERTIFICATE_BYTES_MAX + 1], now()), Err(Error::Officer(_))));
    }
}
