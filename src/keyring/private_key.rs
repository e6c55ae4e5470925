//! Unlocking private keys of X.509 with OpenSSL: PKCS#8, PKCS#1, SEC1, encrypted or not, and PKCS#12. Never asks a
//! terminal for a password, as OpenSSL would.

use super::error::Fault;
use super::read::Found;
use crate::crypto::SecretBytes;
use der::asn1::AnyRef;
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use openssl::error::ErrorStack;
use openssl::pkcs12::{ParsedPkcs12_2, Pkcs12};
use openssl::pkey::{PKey, Private};
use std::cell::Cell;

/// Rounds of the key derivation that protects a PKCS#12 file (RFC 7292 section 4, MacData): beyond it a file would hold
/// the import for minutes.
pub const PKCS12_ROUNDS_MAX: u32 = 10_000_000;

/// Reads a PEM block of a private key.
pub fn from_pem(block: &[u8], password: Option<&SecretBytes>) -> Result<SecretBytes, Fault> {
    let key = unlock(password, |give| PKey::private_key_from_pem_callback(block, give))?;
    pkcs8(&key)
}

/// Reads a DER private key; `None` when the octets are none.
pub fn from_der(octets: &[u8], password: Option<&SecretBytes>) -> Result<Option<SecretBytes>, Fault> {
    // d2i passes over what stands behind the key; here it is another file then.
    let Ok(outer) = AnyRef::from_der(octets) else { return Ok(None) };
    match second_tag(&outer) {
        Some((Tag::Integer, _)) => match PKey::private_key_from_der(octets) {
            Ok(key) => pkcs8(&key).map(Some),
            Err(_) => Ok(None),
        },
        // EncryptedPrivateKeyInfo ::= SEQUENCE { AlgorithmIdentifier, OCTET STRING } (RFC 5958 section 3)
        Some((Tag::Sequence, Tag::OctetString)) => {
            let key = unlock(password, |give| PKey::private_key_from_pkcs8_callback(octets, give))?;
            pkcs8(&key).map(Some)
        }
        _ => Ok(None),
    }
}

/// The tags of the first two elements of a SEQUENCE.
fn second_tag(outer: &AnyRef<'_>) -> Option<(Tag, Tag)> {
    let mut reader = SliceReader::new(outer.value()).ok()?;
    let first = AnyRef::decode(&mut reader).ok()?;
    if reader.is_finished() {
        return None;
    }
    let second = AnyRef::decode(&mut reader).ok()?;
    Some((first.tag(), second.tag()))
}

/// Writes the password into OpenSSL's buffer and answers its length.
type Give<'p> = Box<dyn FnOnce(&mut [u8]) -> Result<usize, ErrorStack> + 'p>;

/// Runs `parse` with a callback that gives the password, and tells apart that none was given and that it was wrong.
fn unlock(
    password: Option<&SecretBytes>,
    parse: impl FnOnce(Give<'_>) -> Result<PKey<Private>, ErrorStack>,
) -> Result<PKey<Private>, Fault> {
    let asked = Cell::new(false);
    let give = |buffer: &mut [u8]| {
        asked.set(true);
        let password = password.map_or(&[][..], SecretBytes::expose);
        let Some(room) = buffer.get_mut(..password.len()) else { return Err(ErrorStack::get()) };
        room.copy_from_slice(password);
        Ok(password.len())
    };
    match parse(Box::new(give)) {
        Ok(key) => Ok(key),
        Err(errors) => Err(match (asked.get(), password) {
            (true, None) => Fault::PasswordNeeded,
            (true, Some(_)) => unsupported(&errors).unwrap_or(Fault::WrongPassword),
            (false, _) => unsupported(&errors).unwrap_or(Fault::Malformed("private key".to_owned())),
        }),
    }
}

fn pkcs8(key: &PKey<Private>) -> Result<SecretBytes, Fault> {
    key.private_key_to_pkcs8()
        .map(SecretBytes::new)
        .map_err(|_| Fault::Unsupported("a private key that has no PKCS#8 form".to_owned()))
}

/// The public key of a private key, as it stands in a certificate's BIT STRING.
pub fn public_key(pkcs8: &SecretBytes) -> Option<Vec<u8>> {
    let key = PKey::private_key_from_pkcs8(pkcs8.expose()).ok()?;
    let info = key.public_key_to_der().ok()?;
    let info = x509_cert::spki::SubjectPublicKeyInfoOwned::from_der(&info).ok()?;
    Some(info.subject_public_key.raw_bytes().to_vec())
}

/// Reads a PKCS#12 file (RFC 7292); `None` when the octets are none. Without a password the empty one is tried.
pub fn from_pkcs12(octets: &[u8], password: Option<&SecretBytes>) -> Result<Option<Vec<Found>>, Fault> {
    let Ok(file) = Pkcs12::from_der(octets) else { return Ok(None) };
    if rounds(octets).is_some_and(|rounds| rounds > PKCS12_ROUNDS_MAX) {
        return Err(Fault::Unsupported(format!("PKCS#12 with more than {PKCS12_ROUNDS_MAX} rounds of key derivation")));
    }
    let text = password.map_or(Ok(""), |p| std::str::from_utf8(p.expose())).map_err(|_| Fault::NotAPassword)?;
    match file.parse2(text) {
        Ok(parsed) => contents(parsed).map(Some),
        Err(errors) => Err(match (unsupported(&errors), password) {
            (Some(_), _) => Fault::Unsupported(
                "PKCS#12 encrypted with RC2 or another withdrawn algorithm; write it again with AES: \
                 openssl pkcs12 -legacy -in OLD -nodes | openssl pkcs12 -export -out NEW"
                    .to_owned(),
            ),
            (None, None) => Fault::PasswordNeeded,
            (None, Some(_)) => wrong_or_malformed(&errors),
        }),
    }
}

fn contents(parsed: ParsedPkcs12_2) -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for certificate in parsed.cert.iter().map(|c| c.to_der()).chain(parsed.ca.iter().flatten().map(|c| c.to_der())) {
        found.push(Found::Certificate(certificate.map_err(|_| Fault::Malformed("X.509 certificate".to_owned()))?));
    }
    if let Some(key) = &parsed.pkey {
        found.push(Found::PrivateKey(pkcs8(key)?));
    }
    Ok(found)
}

fn wrong_or_malformed(errors: &ErrorStack) -> Fault {
    let wrong = ["mac verify failure", "bad decrypt", "cipherfinal error"];
    let is_wrong = errors.errors().iter().filter_map(|e| e.reason()).any(|r| wrong.iter().any(|w| r.contains(w)));
    if is_wrong { Fault::WrongPassword } else { Fault::Malformed("PKCS#12 file".to_owned()) }
}

/// Whether the cipher or key derivation is what failed. OpenSSL's decoders say "unsupported" of any octets they cannot
/// read, a wrong password's included, so only what its EVP layer or its list of PBE algorithms says counts.
fn unsupported(errors: &ErrorStack) -> Option<Fault> {
    let found = errors.errors().iter().find_map(|e| {
        let reason = e.reason()?;
        let of_evp = e.library().is_some_and(|l| l == "digital envelope routines");
        let names_it = reason.contains("unsupported") || reason.contains("unknown");
        (reason == "unknown pbe algorithm" || (of_evp && names_it)).then_some(reason)
    })?;
    Some(Fault::Unsupported(format!("encryption of the private key ({found})")))
}

/// `PFX ::= SEQUENCE { version INTEGER, authSafe ContentInfo, macData MacData OPTIONAL }`,
/// `MacData ::= SEQUENCE { mac DigestInfo, macSalt OCTET STRING, iterations INTEGER DEFAULT 1 }`: the rounds, when the file
/// is DER and has them.
fn rounds(octets: &[u8]) -> Option<u32> {
    let outer = AnyRef::from_der(octets).ok()?;
    let mac = elements(outer.value())?.into_iter().nth(2)?;
    let iterations = elements(mac.value())?.into_iter().nth(2)?;
    // An INTEGER of more than 32 bits counts as too many.
    Some(iterations.decode_as::<u32>().unwrap_or(u32::MAX))
}

fn elements(octets: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(octets).ok()?;
    let mut found = Vec::new();
    while !reader.is_finished() && found.len() < 8 {
        found.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(found)
}
