//! OpenPGP (RFC 9580) over a MIME entity: detached signatures, and messages signed inside the encryption, which all clients in
//! use verify (RFC 3156 section 6.2). Never chooses a key, and never compresses: lengths would tell of the content.

use super::Error;
use super::compose::{self, Signature, SignatureNames};
use crate::clock::Timestamp;
use crate::keyring::material::system_time;
use crate::keyring::{OpenPgpCertificate, OpenPgpSigner};
use sequoia_openpgp::armor::Kind;
use sequoia_openpgp::serialize::stream::{Armorer, Encryptor, LiteralWriter, Message, Recipient, Signer};
use sequoia_openpgp::types::HashAlgorithm;
use std::collections::HashSet;
use std::io::Write;

/// The hash of every signature of ours; every implementation has it, and P-256 keys truncate it.
const HASH: HashAlgorithm = HashAlgorithm::SHA512;

const NAMES: SignatureNames = SignatureNames {
    protocol: "application/pgp-signature",
    micalg: "pgp-sha512",
    file: "signature.asc",
    description: "OpenPGP digital signature",
};

/// Appends multipart/signed with a detached signature over the entity.
pub fn sign(entity: &[u8], signer: &OpenPgpSigner, now: Timestamp, out: &mut Vec<u8>) -> Result<(), Error> {
    let armored = detached(entity, signer, now).map_err(|e| Error::Failed(e.to_string()))?;
    compose::signed(entity, &NAMES, &Signature::Armored(armored), out)
}

fn detached(entity: &[u8], signer: &OpenPgpSigner, now: Timestamp) -> sequoia_openpgp::Result<Vec<u8>> {
    let mut armored = Vec::new();
    let sink = Armorer::new(Message::new(&mut armored)).kind(Kind::Signature).build()?;
    let prepared = Signer::new(sink, signer.signer())?.detached().hash_algo(HASH)?.creation_time(system_time(now));
    let mut writer = prepared.build()?;
    writer.write_all(entity)?;
    writer.finalize()?;
    Ok(armored)
}

/// Appends multipart/encrypted: the entity, signed first when there is a signer, as one OpenPGP message to all recipients.
/// SEIPDv2 when every recipient's certificate announces it, else SEIPDv1, which GnuPG 2.2 reads.
pub fn encrypt(
    entity: &[u8],
    signer: Option<&OpenPgpSigner>,
    recipients: &[&OpenPgpCertificate],
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let recipients = distinct(recipients);
    let keys = keys(&recipients, now)?;
    let armored = message(entity, signer, &recipients, keys, now).map_err(|e| Error::Failed(e.to_string()))?;
    compose::encrypted(&armored, out)
}

/// Each certificate once, however many recipients it serves.
fn distinct<'a>(recipients: &[&'a OpenPgpCertificate]) -> Vec<&'a OpenPgpCertificate> {
    let mut seen = HashSet::new();
    recipients.iter().filter(|r| seen.insert(r.cert().fingerprint())).copied().collect()
}

/// All subkeys to encrypt to. A certificate without one fails the whole: nobody may be left out silently.
fn keys<'a>(recipients: &[&'a OpenPgpCertificate], now: Timestamp) -> Result<Vec<Recipient<'a>>, Error> {
    let mut all = Vec::new();
    for certificate in recipients {
        let keys = certificate.recipients(now);
        if keys.is_empty() {
            let fingerprint = certificate.cert().fingerprint();
            return Err(Error::KeyUnfit(format!("OpenPGP certificate {fingerprint} has no encryption key in force")));
        }
        all.extend(keys);
    }
    Ok(all)
}

fn message(
    entity: &[u8],
    signer: Option<&OpenPgpSigner>,
    recipients: &[&OpenPgpCertificate],
    keys: Vec<Recipient<'_>>,
    now: Timestamp,
) -> sequoia_openpgp::Result<Vec<u8>> {
    let mut armored = Vec::with_capacity(entity.len() / 3 * 4 + 16 * 1024);
    let sink = Armorer::new(Message::new(&mut armored)).kind(Kind::Message).build()?;
    let mut layer = Encryptor::for_recipients(sink, keys).build()?;
    if let Some(signer) = signer {
        let mut prepared = Signer::new(layer, signer.signer())?.hash_algo(HASH)?.creation_time(system_time(now));
        // So that a recipient cannot send the signed content on as if it had been meant for another.
        for certificate in recipients {
            prepared = prepared.add_intended_recipient(certificate.cert());
        }
        layer = prepared.build()?;
    }
    let mut writer = LiteralWriter::new(layer).build()?;
    writer.write_all(entity)?;
    writer.finalize()?;
    Ok(armored)
}
