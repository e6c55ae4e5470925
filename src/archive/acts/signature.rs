//! Signatures under orders: whose they are, and making one with an officer's key. OpenPGP as any program makes it, clear-signed
//! or detached.

use super::order::SIGNATURES_MAX;
use super::order::SignatureOctets;
use super::order::SignedOrder;
use super::order::TEXT_BYTES_MAX;
use crate::archive::Error;
use crate::archive::keys::Officer;
use crate::archive::officers::OfficerSecret;
use crate::archive::officers::system_time;
use crate::clock::Timestamp;
use sequoia_openpgp as openpgp;

use openpgp::armor::Kind;
use openpgp::crypto::Password;
use openpgp::packet::Signature;
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, GoodChecksum, MessageLayer, MessageStructure, VerificationHelper, VerificationResult,
    VerifierBuilder,
};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::Serialize;
use openpgp::serialize::stream::{Armorer, Message, Signer};
use openpgp::types::RevocationStatus;
use openpgp::{Cert, KeyHandle, Packet};
use std::collections::BTreeSet;
use std::io::{Read, Write};

/// How a clear-signed text begins (RFC 9580 section 7).
const CLEAR_SIGNED: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";

/// Takes an order as it is brought: clear-signed, or a text with detached signatures. Checks no signature.
pub fn take(text: &[u8], detached: &[Vec<u8>]) -> Result<SignedOrder, Error> {
    if text.len() > TEXT_BYTES_MAX || detached.len() > SIGNATURES_MAX {
        return Err(Error::Order("the order is too long".into()));
    }
    let utf8 = |octets: Vec<u8>| String::from_utf8(octets).map_err(|_| Error::Order("the order is no text".into()));
    let mut signatures = Vec::new();
    let text = if text.trim_ascii_start().starts_with(CLEAR_SIGNED) {
        let (inside, own) = clear_signed(text)?;
        signatures.extend(own);
        utf8(inside)?
    } else {
        utf8(text.to_vec())?
    };
    for octets in detached {
        signatures.extend(packets(octets)?);
    }
    signatures.truncate(SIGNATURES_MAX);
    Ok(SignedOrder { text, signatures })
}

/// The officers whose signatures under an order hold at `now`, each once, by fingerprint; and why the others do not.
pub fn signers(signed: &SignedOrder, officers: &[Officer], now: Timestamp) -> (BTreeSet<String>, Vec<String>) {
    let certs: Vec<Cert> = officers.iter().filter_map(|o| Cert::from_bytes(&o.certificate).ok()).collect();
    let (mut good, mut refused) = (BTreeSet::new(), Vec::new());
    for signature in &signed.signatures {
        let mut helper = Checking { certs: &certs, now, good: BTreeSet::new(), refused: Vec::new(), seen: Vec::new() };
        if let Err(e) = verify(signed.text.as_bytes(), &signature.0, &mut helper)
            && helper.refused.is_empty()
        {
            helper.refused.push(e.to_string());
        }
        good.extend(helper.good);
        refused.extend(helper.refused);
    }
    (good, refused)
}

/// A detached, armored signature over an order's text by an officer's key.
pub fn sign(text: &str, officer: &OfficerSecret<'_>, now: Timestamp) -> Result<Vec<u8>, Error> {
    let cert = Cert::from_bytes(officer.key).map_err(|e| Error::Officer(format!("no OpenPGP key: {e}")))?;
    let policy = StandardPolicy::new();
    let keys = cert.keys().with_policy(&policy, system_time(now)).supported().alive().revoked(false);
    let key = keys.for_signing().secret().next();
    let key = key.ok_or_else(|| Error::Officer(format!("{} has no key that signs", cert.fingerprint())))?;
    let mut key = key.key().clone();
    if !key.has_unencrypted_secret() {
        let opened = key.decrypt_secret(&Password::from(officer.passphrase.expose()));
        key = opened.map_err(|_| Error::Officer("the passphrase does not open the officer key".into()))?;
    }
    let write = || -> openpgp::Result<Vec<u8>> {
        let mut armored = Vec::new();
        let sink = Armorer::new(Message::new(&mut armored)).kind(Kind::Signature).build()?;
        let signer = Signer::new(sink, key.into_keypair()?)?.detached().creation_time(system_time(now));
        let mut writer = signer.build()?;
        writer.write_all(text.as_bytes())?;
        writer.finalize()?;
        Ok(armored)
    };
    write().map_err(Error::openpgp)
}

fn verify(text: &[u8], signature: &[u8], helper: &mut Checking<'_>) -> openpgp::Result<()> {
    let (policy, now) = (StandardPolicy::new(), system_time(helper.now));
    DetachedVerifierBuilder::from_bytes(signature)?.with_policy(&policy, now, helper)?.verify_bytes(text)
}

/// Text and signatures of a clear-signed message.
fn clear_signed(octets: &[u8]) -> Result<(Vec<u8>, Vec<SignatureOctets>), Error> {
    let now = Timestamp::from_s(0);
    let mut helper = Checking { certs: &[], now, good: BTreeSet::new(), refused: Vec::new(), seen: Vec::new() };
    let mut read = || -> openpgp::Result<Vec<u8>> {
        let policy = StandardPolicy::new();
        let reader = VerifierBuilder::from_bytes(octets)?.with_policy(&policy, None, &mut helper)?;
        let mut text = Vec::new();
        reader.take(TEXT_BYTES_MAX as u64).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|e| Error::Order(format!("no clear-signed text: {e}")))?;
    let seen = helper.seen.iter().map(octets_of).collect::<Result<_, _>>()?;
    Ok((text, seen))
}

/// The signatures in a detached signature, armored or binary.
fn packets(octets: &[u8]) -> Result<Vec<SignatureOctets>, Error> {
    let bad = |what: String| Error::Order(format!("no OpenPGP signature: {what}"));
    let pile = openpgp::PacketPile::from_bytes(octets).map_err(|e| bad(e.to_string()))?;
    let signature = |packet: &Packet| match packet {
        Packet::Signature(signature) => octets_of(signature),
        other => Err(bad(format!("a {} packet", other.tag()))),
    };
    pile.children().map(signature).collect()
}

fn octets_of(signature: &Signature) -> Result<SignatureOctets, Error> {
    let mut octets = Vec::new();
    Packet::from(signature.clone()).serialize(&mut octets).map_err(Error::openpgp)?;
    Ok(SignatureOctets(octets))
}

/// Notes who signed.
struct Checking<'a> {
    certs: &'a [Cert],
    now: Timestamp,
    good: BTreeSet<String>,
    refused: Vec<String>,
    seen: Vec<Signature>,
}

impl Checking<'_> {
    fn note(&mut self, result: VerificationResult<'_>) {
        match result {
            Ok(GoodChecksum { sig, ka }) => {
                self.seen.push(sig.clone());
                let fingerprint = ka.cert().fingerprint().to_hex();
                match self.stands(ka.cert(), &ka.key().fingerprint().to_hex()) {
                    true => drop(self.good.insert(fingerprint)),
                    false => self.refused.push(format!("the signing key of {fingerprint} has expired or was revoked")),
                }
            }
            Err(error) => {
                use openpgp::parse::stream::VerificationError::{
                    BadKey, BadSignature, MalformedSignature, MissingKey, UnboundKey,
                };
                if let MissingKey { sig, .. }
                | UnboundKey { sig, .. }
                | BadKey { sig, .. }
                | BadSignature { sig, .. }
                | MalformedSignature { sig, .. } = &error
                {
                    self.seen.push((*sig).clone());
                }
                self.refused.push(match &error {
                    MissingKey { .. } => "a signature of nobody who is an officer".to_owned(),
                    other => other.to_string(),
                });
            }
        }
    }
    /// Whether certificate and key stand now, too, and not only when the signature was made.
    fn stands(&self, cert: &Cert, key: &str) -> bool {
        let policy = StandardPolicy::new();
        let now = system_time(self.now);
        let Ok(valid) = cert.with_policy(&policy, now) else { return false };
        let revoked = matches!(valid.revocation_status(), RevocationStatus::Revoked(_));
        let keys = cert.keys().with_policy(&policy, now).supported().alive().revoked(false).for_signing();
        let mut keys = keys.map(|key| key.key().fingerprint().to_hex());
        !revoked && valid.alive().is_ok() && keys.any(|known| known == key)
    }
}

impl VerificationHelper for &mut Checking<'_> {
    fn get_certs(&mut self, _ids: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(self.certs.to_vec())
    }
    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        for layer in structure {
            if let MessageLayer::SignatureGroup { results } = layer {
                results.into_iter().for_each(|result| self.note(result));
            }
        }
        Ok(())
    }
}
