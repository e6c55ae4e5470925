//! Reading imported files: what a file is, is detected. Total and bounded; never writes and never decides what a
//! certificate is good for.

use super::error::{FILE_BYTES_MAX, FILE_ITEMS_MAX, Fault, PASSWORD_BYTES_MAX};
use super::pem::{self, Block};
use super::{openpgp_read, private_key};
use crate::crypto::SecretBytes;
use sequoia_openpgp::cert::Cert;
use x509_cert::der::Decode;

/// The first octet of a DER or BER SEQUENCE, with which certificates, keys and PKCS#12 begin.
const SEQUENCE: u8 = 0x30;
/// UTF-8's, which Windows editors put in front of PEM.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The bit that is set in the first octet of an OpenPGP packet (RFC 9580 section 4.2).
const PACKET: u8 = 0x80;

/// One thing found in a file.
pub enum Found {
    /// An X.509 certificate, DER.
    Certificate(Vec<u8>),
    /// A private key, unlocked, PKCS#8.
    PrivateKey(SecretBytes),
    /// An OpenPGP certificate, with unlocked private parts if it has any. Boxed: it is much larger.
    OpenPgp(Box<Cert>),
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::Certificate(der) => write!(f, "Certificate({} octets)", der.len()),
            Found::PrivateKey(_) => f.write_str("PrivateKey(..)"),
            Found::OpenPgp(cert) => write!(f, "OpenPgp({:X})", cert.fingerprint()),
        }
    }
}

/// Everything in one file. An encrypted private key needs `password`.
pub fn read(octets: &[u8], password: Option<&SecretBytes>) -> Result<Vec<Found>, Fault> {
    if octets.len() > FILE_BYTES_MAX {
        return Err(Fault::TooLarge);
    }
    if password.is_some_and(|p| p.expose().len() > PASSWORD_BYTES_MAX || p.expose().contains(&0)) {
        return Err(Fault::NotAPassword);
    }
    let octets = octets.strip_prefix(BYTE_ORDER_MARK).unwrap_or(octets);
    let found = match octets.first() {
        Some(&SEQUENCE) => match der(octets, password) {
            // The octet is also the digit 0, with which a text may begin.
            Err(Fault::Unrecognized) => blocks(octets, password)?,
            found => found?,
        },
        Some(first) if first & PACKET != 0 => openpgp_read::certificates(octets, password)?,
        _ => blocks(octets, password)?,
    };
    match found.len() {
        0 => Err(Fault::Unrecognized),
        1..=FILE_ITEMS_MAX => Ok(found),
        _ => Err(Fault::TooManyItems),
    }
}

fn blocks(octets: &[u8], password: Option<&SecretBytes>) -> Result<Vec<Found>, Fault> {
    let blocks = pem::blocks(octets)?;
    if blocks.len() > FILE_ITEMS_MAX {
        return Err(Fault::TooManyItems);
    }
    let mut found = Vec::new();
    for block in &blocks {
        found.extend(of_block(block, password)?);
    }
    Ok(found)
}

fn of_block(block: &Block<'_>, password: Option<&SecretBytes>) -> Result<Vec<Found>, Fault> {
    match block.label {
        "CERTIFICATE" | "X509 CERTIFICATE" => Ok(vec![certificate(block.content()?)?]),
        "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
            Ok(vec![Found::PrivateKey(private_key::from_pem(block.text, password)?)])
        }
        // OpenSSL writes them in front of an EC key, which names its curve itself.
        "EC PARAMETERS" => Ok(Vec::new()),
        "PGP PUBLIC KEY BLOCK" | "PGP PRIVATE KEY BLOCK" => openpgp_read::certificates(block.text, password),
        other => Err(Fault::Unsupported(format!("a block \"{}\"", other.escape_debug()))),
    }
}

fn certificate(der: Vec<u8>) -> Result<Found, Fault> {
    match x509_cert::Certificate::from_der(&der) {
        Ok(_) => Ok(Found::Certificate(der)),
        Err(_) => Err(Fault::Malformed("X.509 certificate".to_owned())),
    }
}

fn der(octets: &[u8], password: Option<&SecretBytes>) -> Result<Vec<Found>, Fault> {
    if x509_cert::Certificate::from_der(octets).is_ok() {
        return Ok(vec![Found::Certificate(octets.to_vec())]);
    }
    if let Some(key) = private_key::from_der(octets, password)? {
        return Ok(vec![Found::PrivateKey(key)]);
    }
    private_key::from_pkcs12(octets, password)?.ok_or(Fault::Unrecognized)
}
