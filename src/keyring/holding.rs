//! One item made ready: parsed, its keys prepared, and asked whether it may be used. Never chooses between items.

use super::item::{Item, Naming, Public, Record, Trust};
use super::material::{
    Error, OpenPgpCertificate, OpenPgpSigner, POLICY, RecipientKey, SigningKey, SmimeSigner, system_time,
};
use super::openpgp_key::SubkeySigner;
use super::openpgp_read::{is_elsewhere, user_id_address};
use super::reason::{Format, Reason, Use};
use super::x509::Facts;
use crate::clock::Timestamp;
use crate::mail::Address;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::cert::{Cert, ValidCert};
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::types::RevocationStatus;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether a private key that signs is in the keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The certificate only.
    Certificate,
    /// The certificate and its private key.
    PrivateKey,
}

/// An item with its keys prepared.
pub struct Holding {
    /// Its id.
    pub id: String,
    /// Its public record.
    pub record: Record,
    /// Its certificate and keys.
    pub keys: Keys,
}

/// The certificate and keys of an item.
pub enum Keys {
    /// For S/MIME; keys are missing when the algorithm is not used here.
    Smime {
        /// What the certificate says.
        facts: Box<Facts>,
        /// Its issuers, DER, in order.
        issuers: Vec<Vec<u8>>,
        /// To encrypt to it.
        recipient: Option<Arc<RecipientKey>>,
        /// To sign with it, if its private key is here.
        signer: Option<Arc<SigningKey>>,
    },
    /// For OpenPGP.
    OpenPgp {
        /// The certificate.
        cert: Box<Cert>,
        /// To encrypt to it.
        recipient: Arc<RecipientKey>,
        /// To sign with each key whose private part is here.
        signers: Vec<(Fingerprint, Arc<SigningKey>)>,
    },
}

impl Holding {
    /// Prepares an item. Fails when a private key is invalid or not that of its certificate.
    pub fn open(item: &Item) -> Result<Holding, Error> {
        let keys = match &item.record.public {
            Public::Smime { der, issuers } => {
                let issuers: Vec<Vec<u8>> = issuers.iter().map(|i| i.to_vec()).collect();
                smime(item, der, issuers)?
            }
            Public::OpenPgp { octets, .. } => openpgp(item, octets)?,
        };
        Ok(Holding { id: item.id(), record: item.record.clone(), keys })
    }
    /// The format it serves.
    pub fn format(&self) -> Format {
        match self.keys {
            Keys::Smime { .. } => Format::Smime,
            Keys::OpenPgp { .. } => Format::OpenPgp,
        }
    }
    /// From when on it is valid; an OpenPGP certificate from its creation.
    pub fn not_before(&self) -> Timestamp {
        match &self.keys {
            Keys::Smime { facts, .. } => facts.not_before,
            Keys::OpenPgp { cert, .. } => instant(cert.primary_key().key().creation_time()),
        }
    }
    /// The key to encrypt to `address` with at `now`, or why not. Without an address, any that it names.
    pub fn recipient(&self, address: Option<&Address>, now: Timestamp) -> Result<Arc<RecipientKey>, Reason> {
        self.not_an_anchor()?;
        match &self.keys {
            Keys::Smime { facts, recipient, .. } => {
                facts.permits(Use::Encrypt)?;
                facts.valid_at(now)?;
                recipient.clone().ok_or_else(|| Reason::Unsupported("its public key".to_owned()))
            }
            Keys::OpenPgp { cert, recipient, .. } => {
                let valid = self.valid_for(cert, address, now)?;
                match &**recipient {
                    RecipientKey::OpenPgp(certificate) if !certificate.recipients(now).is_empty() => {
                        Ok(Arc::clone(recipient))
                    }
                    _ => Err(no_subkey(&valid, Use::Encrypt)),
                }
            }
        }
    }
    /// The key to sign as `address` with at `now`, or why not. Without an address, any that it names.
    pub fn signer(&self, address: Option<&Address>, now: Timestamp) -> Result<Arc<SigningKey>, Reason> {
        self.not_an_anchor()?;
        match &self.keys {
            Keys::Smime { facts, signer, .. } => {
                facts.permits(Use::Sign)?;
                facts.valid_at(now)?;
                signer.clone().ok_or(Reason::NoPrivateKey)
            }
            Keys::OpenPgp { signers, .. } if signers.is_empty() => Err(Reason::NoPrivateKey),
            Keys::OpenPgp { cert, signers, .. } => {
                let valid = self.valid_for(cert, address, now)?;
                newest_signer(&valid, signers).ok_or_else(|| no_subkey(&valid, Use::Sign))
            }
        }
    }
    /// Whether a private key is here.
    pub fn holds(&self) -> Holds {
        let signs = match &self.keys {
            Keys::Smime { signer, .. } => signer.is_some(),
            Keys::OpenPgp { signers, .. } => !signers.is_empty(),
        };
        if signs { Holds::PrivateKey } else { Holds::Certificate }
    }
    fn not_an_anchor(&self) -> Result<(), Reason> {
        match self.record.trust {
            Trust::Manual => Ok(()),
            Trust::Anchor => Err(Reason::TrustAnchor),
        }
    }
    /// The certificate under our policy at `now`: alive, not revoked, and naming the address in a valid user ID, unless the
    /// address was given at import.
    fn valid_for<'c>(
        &self,
        cert: &'c Cert,
        address: Option<&Address>,
        now: Timestamp,
    ) -> Result<ValidCert<'c>, Reason> {
        let valid = valid_certificate(cert, now)?;
        match (self.record.naming, address) {
            (Naming::Certificate, Some(address)) if !names(&valid, address) => Err(Reason::NotForAddress),
            _ => Ok(valid),
        }
    }
}

fn smime(item: &Item, der: &[u8], issuers: Vec<Vec<u8>>) -> Result<Keys, Error> {
    let facts = Box::new(Facts::read(der)?);
    if facts.kind.is_err() {
        return Ok(Keys::Smime { facts, issuers, recipient: None, signer: None });
    }
    let certificate = facts.material()?;
    let signer = match &item.private {
        Some(pkcs8) => Some(SmimeSigner::new(certificate.clone(), &issuers, pkcs8.clone())?),
        None => None,
    };
    let recipient = Some(Arc::new(RecipientKey::Smime(certificate)));
    Ok(Keys::Smime { facts, issuers, recipient, signer: signer.map(SigningKey::Smime).map(Arc::new) })
}

fn openpgp(item: &Item, public: &[u8]) -> Result<Keys, Error> {
    let malformed = |_| Error::Malformed("OpenPGP certificate");
    let cert = Cert::from_bytes(public).map_err(malformed)?;
    let certificate = OpenPgpCertificate::new(cert.clone());
    let mut signers = Vec::new();
    if let Some(private) = &item.private {
        let secret = Cert::from_bytes(private.expose()).map_err(malformed)?;
        for key in secret.keys().secret().map(|k| k.key().clone()) {
            if is_elsewhere(key.secret()) || !key.pk_algo().for_signing() || !key.pk_algo().is_supported() {
                continue;
            }
            let signer = OpenPgpSigner::new(certificate.clone(), SubkeySigner::new(key)?);
            signers.push((signer.subkey_fingerprint(), Arc::new(SigningKey::OpenPgp(signer))));
        }
    }
    let recipient = Arc::new(RecipientKey::OpenPgp(certificate));
    Ok(Keys::OpenPgp { cert: Box::new(cert), recipient, signers })
}

fn valid_certificate(cert: &Cert, now: Timestamp) -> Result<ValidCert<'_>, Reason> {
    let created = instant(cert.primary_key().key().creation_time());
    if now.s() < created.s() {
        return Err(Reason::NotYetValid(created));
    }
    let at = system_time(now);
    if matches!(cert.revocation_status(&POLICY, at), RevocationStatus::Revoked(_)) {
        return Err(Reason::Revoked);
    }
    let valid = cert.with_policy(&POLICY, at).map_err(|e| Reason::Policy(e.to_string()))?;
    match (valid.alive(), expiry(&valid)) {
        (Ok(()), _) => Ok(valid),
        (Err(_), Some(end)) if end.s() <= now.s() => Err(Reason::Expired(end)),
        (Err(e), _) => Err(Reason::Policy(e.to_string())),
    }
}

/// When the primary key expires, `None` for never.
pub fn expiry(valid: &ValidCert<'_>) -> Option<Timestamp> {
    valid.primary_key().key_expiration_time().map(instant)
}

/// Whether a user ID that is valid and not revoked is this address.
fn names(valid: &ValidCert<'_>, address: &Address) -> bool {
    valid.userids().revoked(false).any(|user_id| {
        let text = user_id_address(user_id.userid());
        text.and_then(|text| Address::parse(&text).ok()).is_some_and(|named| named == *address)
    })
}

/// Why no subkey serves: the last one that did has expired, or there was none.
fn no_subkey(valid: &ValidCert<'_>, wanted: Use) -> Reason {
    let keys = valid.keys().supported().revoked(false);
    let capable = match wanted {
        Use::Encrypt => keys.for_transport_encryption().for_storage_encryption(),
        Use::Sign => keys.for_signing(),
    };
    let ends = capable.filter(|key| key.alive().is_err()).filter_map(|key| key.key_expiration_time());
    ends.max().map_or(Reason::NoCapableSubkey(wanted), |end| Reason::Expired(instant(end)))
}

fn newest_signer(valid: &ValidCert<'_>, signers: &[(Fingerprint, Arc<SigningKey>)]) -> Option<Arc<SigningKey>> {
    let usable = valid.keys().supported().alive().revoked(false).for_signing();
    let ours = usable.filter_map(|key| {
        let fingerprint = key.key().fingerprint();
        let (_, signer) = signers.iter().find(|(of, _)| *of == fingerprint)?;
        Some((key.key().creation_time(), fingerprint, signer))
    });
    ours.max_by_key(|(created, fingerprint, _)| (*created, fingerprint.clone()))
        .map(|(_, _, signer)| Arc::clone(signer))
}

/// The instant as the gateway counts it; before 1970 counts as 1970.
pub fn instant(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_s(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
