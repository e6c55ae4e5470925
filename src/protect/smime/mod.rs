//! S/MIME (RFC 8551) over a MIME entity: clear-signed and enveloped messages. The ASN.1 comes from the RustCrypto crates, every
//! private-key and content operation from aws-lc-rs. Never chooses a key.

mod enveloped;
mod signed;

use super::Error;
use super::compose::{self, Signature, SignatureNames};
use crate::clock::Timestamp;
use crate::keyring::{SmimeCertificate, SmimeSigner};
use cms::cert::IssuerAndSerialNumber;
use const_oid::ObjectIdentifier;
use der::Any;
use spki::AlgorithmIdentifierOwned;

const NAMES: SignatureNames = SignatureNames {
    protocol: "application/pkcs7-signature",
    micalg: "sha-256",
    file: "smime.p7s",
    description: "S/MIME Cryptographic Signature",
};

/// Appends multipart/signed with a detached SignedData over the entity (RFC 8551 section 3.5.3).
pub fn sign(entity: &[u8], signer: &SmimeSigner, now: Timestamp, out: &mut Vec<u8>) -> Result<(), Error> {
    let cms = signed::detached(entity, signer, now)?;
    compose::signed(entity, &NAMES, &Signature::Binary(cms), out)
}

/// Appends application/pkcs7-mime with the entity in an EnvelopedData to all recipients (RFC 8551 section 3.3).
pub fn encrypt(entity: Vec<u8>, recipients: &[&SmimeCertificate], out: &mut Vec<u8>) -> Result<(), Error> {
    let cms = enveloped::enveloped(entity, recipients)?;
    compose::enveloped(&cms, out);
    Ok(())
}

fn algorithm(oid: ObjectIdentifier, parameters: Option<Any>) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters }
}

/// How signer and recipients are named (RFC 5652 section 10.2.4).
fn issuer_and_serial(certificate: &SmimeCertificate) -> IssuerAndSerialNumber {
    let tbs = certificate.certificate().tbs_certificate();
    IssuerAndSerialNumber { issuer: tbs.issuer().clone(), serial_number: tbs.serial_number().clone() }
}

impl From<der::Error> for Error {
    fn from(e: der::Error) -> Error {
        Error::Failed(format!("ASN.1: {e}"))
    }
}
