//! Merging what is imported again with what is there: nothing that is here is lost by importing less. Never touches the
//! disk.

use super::error::Fault;
use super::gather::openpgp_item;
use super::item::{Item, Naming, Public, Record};
use crate::crypto::SecretBytes;
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::parse::Parse;

/// Whether an import changed an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It was here, and something was added to it.
    Updated,
    /// It was here as it is.
    Unchanged,
}

impl Change {
    /// This change, then another.
    pub fn and(self, then: Change) -> Change {
        match (self, then) {
            (Change::Unchanged, then) => then,
            (before, _) => before,
        }
    }
}

/// The item that results when `new` is imported over `old` of the same id. A private key stays unless a new one comes;
/// addresses given at import stay until others are given; OpenPGP certificates are merged, so that a revocation once seen
/// is never forgotten.
pub fn merge(old: Item, new: Item) -> Result<(Item, Change), Fault> {
    let merged = match (&old.record.public, &new.record.public) {
        (Public::Smime { issuers: before, .. }, Public::Smime { der, issuers: after }) => {
            let issuers = if after.is_empty() { before.clone() } else { after.clone() };
            let public = Public::Smime { der: der.clone(), issuers };
            let record = Record { public, ..named(&old.record, &new.record) };
            Item { record, private: new.private.or_else(|| old.private.clone()) }
        }
        _ => {
            let cert = certificate(&old)?.merge_public_and_secret(certificate(&new)?);
            let merged = openpgp_item(&cert.map_err(|e| Fault::Malformed(e.to_string()))?)?;
            let naming = named(&old.record, &new.record);
            match naming.naming {
                Naming::Import => Item { record: Record { public: merged.record.public, ..naming }, ..merged },
                Naming::Certificate => merged,
            }
        }
    };
    let change = if same(&merged, &old) { Change::Unchanged } else { Change::Updated };
    Ok((merged, change))
}

/// The record whose addresses stand: the new one, unless only the old one was given them at import.
fn named(old: &Record, new: &Record) -> Record {
    match (old.naming, new.naming) {
        (Naming::Import, Naming::Certificate) => old.clone(),
        _ => new.clone(),
    }
}

/// The certificate of an OpenPGP item, with its private parts.
fn certificate(item: &Item) -> Result<Cert, Fault> {
    let octets = match (&item.record.public, &item.private) {
        (_, Some(private)) => private.expose(),
        (Public::OpenPgp { octets, .. }, None) => octets,
        (Public::Smime { .. }, None) => return Err(Fault::Malformed("OpenPGP certificate".to_owned())),
    };
    Cert::from_bytes(octets).map_err(|e| Fault::Malformed(e.to_string()))
}

fn same(a: &Item, b: &Item) -> bool {
    let private = |item: &Item| item.private.clone().map(|p: SecretBytes| p.expose().to_vec());
    a.record == b.record && private(a) == private(b)
}
