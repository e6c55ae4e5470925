//! Keys for the protected course: S/MIME with RSA-2048, OpenPGP with Ed25519 and X25519. Made afresh in every run.

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::{ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509Builder, X509NameBuilder};
use sequoia_openpgp::cert::{CertBuilder, CipherSuite};
use sequoia_openpgp::serialize::SerializeInto;

/// What is imported of a person's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// For encrypting to them.
    Public,
    /// For signing as them.
    Private,
}

/// A v4 OpenPGP key, armored.
pub fn openpgp(address: &str, half: Half) -> Vec<u8> {
    let builder = CertBuilder::general_purpose(Some(format!("<{address}>"))).set_cipher_suite(CipherSuite::Cv25519);
    let (cert, _) = builder.generate().expect("an OpenPGP key");
    let armored = match half {
        Half::Public => cert.armored().to_vec(),
        Half::Private => cert.as_tsk().armored().to_vec(),
    };
    armored.expect("armor")
}

/// A certificate issued by its owner, as PEM; before it the private key, if wanted.
pub fn smime(address: &str, half: Half) -> Vec<u8> {
    certify(address, half).expect("an S/MIME certificate")
}

fn certify(address: &str, half: Half) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", address)?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(30)?)?;
    let usage = KeyUsage::new().critical().digital_signature().key_encipherment().build()?;
    builder.append_extension(usage)?;
    builder.append_extension(ExtendedKeyUsage::new().email_protection().build()?)?;
    let names = SubjectAlternativeName::new().email(address).build(&builder.x509v3_context(None, None))?;
    builder.append_extension(names)?;
    builder.sign(&key, MessageDigest::sha256())?;
    let certificate = builder.build().to_pem()?;
    Ok(match half {
        Half::Public => certificate,
        Half::Private => [key.private_key_to_pem_pkcs8()?, certificate].concat(),
    })
}
