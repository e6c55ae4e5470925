//! The people of the story and their keys: Alice, who sends through the gateway, and two partners who read what arrives with
//! nothing but their own private keys.

use super::Unlike;
use crate::keyring::POLICY;
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::stack::Stack;
use openssl::x509::extension::{ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509NameBuilder};
use sequoia_openpgp as openpgp;

use openpgp::cert::{Cert, CertBuilder, CipherSuite};
use openpgp::crypto::SessionKey;
use openpgp::packet::{PKESK, SKESK};
use openpgp::parse::Parse;
use openpgp::parse::stream::{DecryptionHelper, DecryptorBuilder, MessageLayer, MessageStructure, VerificationHelper};
use openpgp::serialize::SerializeInto;
use openpgp::types::SymmetricAlgorithm;
use std::io::Read;

/// Whether a signature over the content was there and good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// By the expected signer.
    Good,
    /// None.
    Not,
}

/// What a partner reads.
#[derive(Debug)]
pub struct Reading {
    /// The MIME entity inside.
    pub content: Vec<u8>,
    /// Whether it was signed.
    pub signed: Signed,
}

/// Someone with an OpenPGP key.
pub struct OpenPgpPerson {
    cert: Cert,
}

impl OpenPgpPerson {
    /// A fresh v4 Ed25519/Cv25519 key.
    pub fn new(name: &str, address: &str) -> Result<OpenPgpPerson, Unlike> {
        let made = CertBuilder::general_purpose(Some(format!("{name} <{address}>")))
            .set_cipher_suite(CipherSuite::Cv25519)
            .generate();
        let (cert, _) = made.map_err(|e| Unlike::of("OpenPGP key", e))?;
        Ok(OpenPgpPerson { cert })
    }
    /// The certificate, armored.
    pub fn certificate(&self) -> Result<Vec<u8>, Unlike> {
        self.cert.armored().to_vec().map_err(|e| Unlike::of("OpenPGP certificate", e))
    }
    /// The private key, armored.
    pub fn private_key(&self) -> Result<Vec<u8>, Unlike> {
        self.cert.as_tsk().armored().to_vec().map_err(|e| Unlike::of("OpenPGP key", e))
    }
    /// Decrypts an OpenPGP message and verifies the signature inside.
    pub fn read(&self, message: &[u8], signer: &OpenPgpPerson) -> Result<Reading, Unlike> {
        let failed = |e: anyhow::Error| Unlike::of("OpenPGP message", e);
        let eyes = Eyes { own: &self.cert, signer: &signer.cert, signed: Signed::Not };
        let mut decryptor =
            DecryptorBuilder::from_bytes(message).map_err(failed)?.with_policy(&POLICY, None, eyes).map_err(failed)?;
        let mut content = Vec::new();
        decryptor.read_to_end(&mut content).map_err(|e| Unlike::of("OpenPGP message", e))?;
        Ok(Reading { content, signed: decryptor.into_helper().signed })
    }
}

struct Eyes<'a> {
    own: &'a Cert,
    signer: &'a Cert,
    signed: Signed,
}

impl VerificationHelper for Eyes<'_> {
    fn get_certs(&mut self, _: &[openpgp::KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(vec![self.signer.clone()])
    }
    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        for layer in structure {
            if let MessageLayer::SignatureGroup { results } = layer
                && results.iter().any(Result::is_ok)
            {
                self.signed = Signed::Good;
            }
        }
        Ok(())
    }
}

impl DecryptionHelper for Eyes<'_> {
    fn decrypt(
        &mut self,
        pkesks: &[PKESK],
        _: &[SKESK],
        algorithm: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> openpgp::Result<Option<Cert>> {
        for key in self.own.keys().with_policy(&POLICY, None).for_transport_encryption().secret() {
            let mut pair = key.key().clone().into_keypair()?;
            for pkesk in pkesks {
                let opened = pkesk.decrypt(&mut pair, algorithm).is_some_and(|(a, session)| decrypt(a, &session));
                if opened {
                    return Ok(Some(self.own.clone()));
                }
            }
        }
        Err(anyhow::anyhow!("not encrypted to this key"))
    }
}

/// Someone with an S/MIME certificate, issued by themselves.
pub struct SmimePerson {
    key: PKey<Private>,
    certificate: X509,
}

impl SmimePerson {
    /// A fresh RSA-2048 key and a certificate for the address.
    pub fn new(name: &str, address: &str) -> Result<SmimePerson, Unlike> {
        certify(name, address).map_err(|e| Unlike::of("S/MIME certificate", e))
    }
    /// The certificate as PEM.
    pub fn certificate(&self) -> Result<Vec<u8>, Unlike> {
        self.certificate.to_pem().map_err(|e| Unlike::of("S/MIME certificate", e))
    }
    /// Private key and certificate as PEM.
    pub fn private_key(&self) -> Result<Vec<u8>, Unlike> {
        let key = self.key.private_key_to_pem_pkcs8().map_err(|e| Unlike::of("S/MIME key", e))?;
        Ok([key, self.certificate()?].concat())
    }
    /// Decrypts an EnvelopedData (DER).
    pub fn open(&self, enveloped: &[u8]) -> Result<Vec<u8>, Unlike> {
        let opened = CmsContentInfo::from_der(enveloped).and_then(|cms| cms.decrypt(&self.key, &self.certificate));
        opened.map_err(|e| Unlike::of("S/MIME message", e))
    }
    /// Verifies a detached SignedData (DER) by `self` over the octets of the signed entity.
    pub fn has_signed(&self, signature: &[u8], entity: &[u8]) -> Result<(), Unlike> {
        let verify = || {
            let mut trusted = X509StoreBuilder::new()?;
            trusted.add_cert(self.certificate.clone())?;
            let mut signers = Stack::new()?;
            signers.push(self.certificate.clone())?;
            let mut cms = CmsContentInfo::from_der(signature)?;
            let options = CMSOptions::BINARY;
            cms.verify(Some(&signers), Some(&trusted.build()), Some(entity), None, options)
        };
        verify().map_err(|e: openssl::error::ErrorStack| Unlike::of("S/MIME signature", e))
    }
}

fn certify(name: &str, address: &str) -> Result<SmimePerson, openssl::error::ErrorStack> {
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_text("CN", name)?;
    let subject = subject.build();
    let mut serial = BigNum::new()?;
    serial.rand(120, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(&subject)?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(365)?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().key_encipherment().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().email_protection().build()?)?;
    let names = SubjectAlternativeName::new().email(address).build(&builder.x509v3_context(None, None))?;
    builder.append_extension(names)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(SmimePerson { key, certificate: builder.build() })
}
