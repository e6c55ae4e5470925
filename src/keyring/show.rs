//! What the keyring shows of an item: its facts for lists, its public part for export. Never a private part.

use super::error::Error;
use super::holding::{Holding, Holds, Keys, expiry};
use super::item::{Naming, Trust};
use super::material::{POLICY, system_time};
use super::reason::{Format, Reason};
use crate::clock::Timestamp;
use crate::crypto::hash;
use crate::mail::Address;
use der::pem::LineEnding;
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::serialize::SerializeInto;

/// One item, for people and JSON.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// The format it serves.
    pub format: Format,
    /// Whether the private key is here.
    pub holds: Holds,
    /// The addresses it is used for.
    pub addresses: Vec<Address>,
    /// Where the addresses come from.
    pub naming: Naming,
    /// What it is trusted for.
    pub trust: Trust,
    /// Subject of the certificate (RFC 4514), or the user IDs.
    pub subject: String,
    /// Issuer of the certificate; none for OpenPGP.
    pub issuer: Option<String>,
    /// Algorithm and size of the key, of the primary key for OpenPGP.
    pub algorithm: String,
    /// Valid from then on.
    pub not_before: Timestamp,
    /// Valid until then; none for a certificate that does not expire, or whose signatures are not accepted.
    pub not_after: Option<Timestamp>,
    /// SHA-256 of an X.509 certificate, the fingerprint of an OpenPGP one; lower-case hexadecimal.
    pub fingerprint: String,
    /// Whether mail can be encrypted to it now, or why not.
    pub encrypts: Result<(), Reason>,
    /// Whether mail can be signed with it now, or why not.
    pub signs: Result<(), Reason>,
}

/// The facts of an item at `now`.
pub fn entry(holding: &Holding, now: Timestamp) -> Entry {
    let described = describe(&holding.keys, now);
    Entry {
        id: holding.id.clone(),
        format: holding.format(),
        holds: holding.holds(),
        addresses: holding.record.addresses.clone(),
        naming: holding.record.naming,
        trust: holding.record.trust,
        subject: described.subject,
        issuer: described.issuer,
        algorithm: described.algorithm,
        not_before: holding.not_before(),
        not_after: described.not_after,
        fingerprint: described.fingerprint,
        encrypts: holding.recipient(None, now).map(drop),
        signs: holding.signer(None, now).map(drop),
    }
}

struct Described {
    subject: String,
    issuer: Option<String>,
    algorithm: String,
    not_after: Option<Timestamp>,
    fingerprint: String,
}

fn describe(keys: &Keys, now: Timestamp) -> Described {
    match keys {
        Keys::Smime { facts, .. } => Described {
            subject: facts.subject.clone(),
            issuer: Some(facts.issuer.clone()),
            algorithm: facts.kind.as_ref().map_or_else(ToString::to_string, ToString::to_string),
            not_after: Some(facts.not_after),
            fingerprint: hash::hex(&hash::sha256(&facts.der)),
        },
        Keys::OpenPgp { cert, .. } => Described {
            subject: user_ids(cert),
            issuer: None,
            algorithm: cert.primary_key().key().pk_algo().to_string(),
            not_after: cert.with_policy(&POLICY, system_time(now)).ok().as_ref().and_then(expiry),
            fingerprint: hash::hex(cert.fingerprint().as_bytes()),
        },
    }
}

/// The user IDs, as one line without control characters.
pub fn user_ids(cert: &Cert) -> String {
    let texts = cert.userids().map(|u| String::from_utf8_lossy(u.userid().value()).escape_debug().to_string());
    texts.collect::<Vec<String>>().join(", ")
}

/// The certificate of an S/MIME item.
pub fn der(holding: &Holding) -> Option<&[u8]> {
    match &holding.keys {
        Keys::Smime { facts, .. } => Some(&facts.der),
        Keys::OpenPgp { .. } => None,
    }
}

/// The public part as text.
pub fn export(holding: &Holding) -> Result<String, Error> {
    let failed = || Error::NoText(holding.id.clone());
    match &holding.keys {
        Keys::Smime { facts, issuers, .. } => {
            let chain = std::iter::once(&facts.der).chain(issuers);
            let block = |der: &Vec<u8>| der::pem::encode_string("CERTIFICATE", LineEnding::LF, der);
            chain.map(block).collect::<Result<String, _>>().map_err(|_| failed())
        }
        Keys::OpenPgp { cert, .. } => {
            let octets = cert.armored().export_to_vec().map_err(|_| failed())?;
            String::from_utf8(octets).map_err(|_| failed())
        }
    }
}
