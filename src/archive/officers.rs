//! Officers: OpenPGP certificates that pieces of the archive key are encrypted to, and the keys that open them. Plain OpenPGP
//! messages, which any OpenPGP program can decrypt.

use super::Error;
use crate::clock::Timestamp;
use crate::crypto::SecretBytes;
use crate::crypto::random;
use sequoia_openpgp as openpgp;

use openpgp::Profile;
use openpgp::cert::amalgamation::ValidateAmalgamation;
use openpgp::cert::{CertBuilder, CipherSuite};
use openpgp::crypto::mpi::PublicKey as PublicKeyParams;
use openpgp::crypto::{KeyPair, Password, SessionKey};
use openpgp::packet::{PKESK, SKESK};
use openpgp::parse::Parse;
use openpgp::parse::stream::{DecryptionHelper, DecryptorBuilder, MessageStructure, VerificationHelper};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::serialize::stream::{Encryptor, LiteralWriter, Message};
use openpgp::types::{Features, SymmetricAlgorithm};
use openpgp::{Cert, Fingerprint, KeyHandle};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

/// Octets of the longest certificate we take for an officer.
pub const CERTIFICATE_BYTES_MAX: usize = 128 * 1024;
/// Octets of the longest decrypted piece.
pub const PIECE_BYTES_MAX: u64 = 4096;

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

/// An officer's key, at hand. A private key that a passphrase protects is opened once, when it is first needed.
pub struct OfficerKey {
    cert: Cert,
    passphrase: SecretBytes,
    opened: HashMap<Fingerprint, KeyPair>,
}

impl OfficerKey {
    /// Reads a private key, armored or binary.
    pub fn parse(key: &[u8], passphrase: &SecretBytes) -> Result<OfficerKey, Error> {
        let cert = Cert::from_bytes(key).map_err(|e| Error::Officer(format!("no OpenPGP key: {e}")))?;
        if cert.keys().secret().next().is_none() {
            return Err(Error::Officer(format!("{} is a certificate without its private key", cert.fingerprint())));
        }
        Ok(OfficerKey { cert, passphrase: passphrase.clone(), opened: HashMap::new() })
    }
    /// Whether a passphrase protects it.
    pub fn is_protected(&self) -> bool {
        self.cert.keys().secret().any(|key| !key.key().has_unencrypted_secret())
    }
    /// The fingerprint of its certificate.
    pub fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }
    /// Decrypts a piece; `None` when it is encrypted to others.
    pub fn decrypt(&mut self, piece: &[u8]) -> Result<Option<SecretBytes>, Error> {
        let mut opener = Opener { officer: self, failure: Failure::NotForUs };
        match decrypt(piece, &mut opener) {
            Ok(text) => Ok(Some(text)),
            Err(_) if opener.failure == Failure::NotForUs => Ok(None),
            Err(_) if opener.failure == Failure::Passphrase => {
                Err(Error::Officer("the passphrase does not open the officer key".into()))
            }
            Err(e) => Err(Error::openpgp(e)),
        }
    }
}

/// A piece as text (RFC 9580 section 6.2).
pub fn armored(message: &[u8]) -> Result<String, Error> {
    let write = || -> openpgp::Result<String> {
        let mut writer = openpgp::armor::Writer::new(Vec::new(), openpgp::armor::Kind::Message)?;
        writer.write_all(message)?;
        Ok(String::from_utf8(writer.finalize()?)?)
    };
    write().map_err(Error::openpgp)
}

/// What there is to say of a certificate for people: who, and how strong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its user ids.
    pub user_ids: Vec<String>,
    /// Algorithm and size of each key that can encrypt, as far as it is known.
    pub encryption: Vec<String>,
}

/// Describes a certificate as a generation keeps it; expired and revoked ones too.
pub fn describe(certificate: &[u8]) -> Result<Described, Error> {
    let cert = Cert::from_bytes(certificate).map_err(Error::openpgp)?;
    let user_ids = cert.userids().map(|u| String::from_utf8_lossy(u.userid().value()).into_owned()).collect();
    let policy = StandardPolicy::new();
    let named = |key: &openpgp::packet::Key<_, _>| match key.mpis() {
        PublicKeyParams::ECDH { curve, .. } => format!("ECDH {curve}"),
        mpis => match mpis.bits() {
            Some(bits) => format!("{} {bits}", key.pk_algo()),
            None => key.pk_algo().to_string(),
        },
    };
    let encrypts = |key: &openpgp::cert::amalgamation::key::ErasedKeyAmalgamation<'_, _>| {
        key.clone().with_policy(&policy, None).is_ok_and(|k| k.for_storage_encryption() || k.for_transport_encryption())
    };
    let encryption = cert.keys().filter(encrypts).map(|key| named(key.key().role_as_unspecified())).collect();
    Ok(Described { user_ids, encryption })
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
    officer: &'a mut OfficerKey,
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
        let OfficerKey { cert, passphrase, opened } = &mut *self.officer;
        for key in cert.keys().secret() {
            let key = key.key();
            let ours = |p: &&PKESK| p.recipient().is_none_or(|r| r.aliases(key.key_handle()));
            for pkesk in pkesks.iter().filter(ours) {
                self.failure = Failure::Passphrase;
                let pair = match opened.entry(key.fingerprint()) {
                    Entry::Occupied(pair) => pair.into_mut(),
                    Entry::Vacant(place) if key.has_unencrypted_secret() => place.insert(key.clone().into_keypair()?),
                    Entry::Vacant(place) => {
                        let key = key.clone().decrypt_secret(&Password::from(passphrase.expose()))?;
                        place.insert(key.into_keypair()?)
                    }
                };
                self.failure = Failure::Other;
                if pkesk.decrypt(pair, algorithm).is_some_and(|(a, session)| decrypt(a, &session)) {
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
        let open = |key: &NewOfficer, passphrase: &SecretBytes, piece: &[u8]| {
            let mut key = OfficerKey::parse(key.key.expose(), passphrase).expect("a key");
            assert!(key.is_protected());
            key.decrypt(piece)
        };
        let text = open(&officer, &pass, &piece).expect("opened").expect("for this officer");
        assert_eq!(text.expose(), b"text");
        let wrong = SecretBytes::new(b"wrong".to_vec());
        assert!(matches!(open(&officer, &wrong, &piece), Err(Error::Officer(_))));
        let other = generate("Other <other@example.org>", &pass, now()).expect("a key");
        assert!(matches!(open(&other, &pass, &piece), Ok(None)));
        let mut bent = piece.clone();
        let last = bent.len() - 1;
        bent[last] ^= 1;
        assert!(open(&officer, &pass, &bent).is_err());
        assert!(matches!(OfficerKey::parse(&officer.certificate, &pass), Err(Error::Officer(_))), "no private key");
        let described = describe(&certificate.octets().expect("octets")).expect("described");
        assert_eq!(described.user_ids, ["Officer <officer@example.org>"]);
        assert_eq!(described.encryption.len(), 1, "{described:?}");
        assert!(described.encryption[0].contains("25519"), "{described:?}");
    }

    #[test]
    fn what_cannot_receive_is_no_certificate() {
        assert!(matches!(Certificate::parse(b"nonsense", now()), Err(Error::Officer(_))));
        assert!(matches!(Certificate::parse(&vec![0; CERTIFICATE_BYTES_MAX + 1], now()), Err(Error::Officer(_))));
    }
}
