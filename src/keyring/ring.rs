//! The keyring as one immutable snapshot: choices by address, and what there is. A running server replaces the whole
//! snapshot; nothing in it ever changes.

use super::error::Error;
use super::holding::Holding;
use super::item::Trust;
use super::material::{RecipientKey, SigningKey};
use super::reason::{Choice, Considered, Format, Reason, Verdict};
use super::show::{self, Entry};
use super::store::{Store, resolve};
use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::durable::Disk;
use crate::mail::Address;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Certificates and keys as they were when loaded. Cheap to clone.
#[derive(Clone, Default)]
pub struct Keyring(Arc<Snapshot>);

#[derive(Default)]
struct Snapshot {
    holdings: BTreeMap<String, Holding>,
    /// Ids by address; equality of addresses is the only way in.
    by_address: HashMap<Address, Vec<String>>,
}

impl Keyring {
    /// Reads the keyring of the data directory `dir`. One item that cannot be used fails all: a missing key could mean mail
    /// in the clear.
    pub fn load(disk: &dyn Disk, dir: &Path, host_key: &Secret<32>) -> Result<Keyring, Error> {
        let store = Store { disk, dir, host_key };
        let mut snapshot = Snapshot::default();
        for id in store.ids()? {
            let item = store.read(&id)?;
            let opened = Holding::open(&item);
            snapshot.take(opened.map_err(|e| Error::Item { path: store.path(&id), reason: e.to_string() })?);
        }
        Ok(Keyring(Arc::new(snapshot)))
    }
    /// The key to encrypt to `address` with at `now`.
    pub fn recipient_key(&self, address: &Address, format: Format, now: Timestamp) -> Choice<RecipientKey> {
        self.choose(address, format, |holding| holding.recipient(Some(address), now))
    }
    /// The key to sign as `address` with at `now`. Whether the client may is not asked here.
    pub fn signing_key(&self, address: &Address, format: Format, now: Timestamp) -> Choice<SigningKey> {
        self.choose(address, format, |holding| holding.signer(Some(address), now))
    }
    /// Everything there is, by id, with its state at `now`.
    pub fn list(&self, now: Timestamp) -> Vec<Entry> {
        self.0.holdings.values().map(|holding| show::entry(holding, now)).collect()
    }
    /// One item by its id or a beginning of it that no other has.
    pub fn show(&self, id: &str, now: Timestamp) -> Result<Entry, Error> {
        self.find(id).map(|holding| show::entry(holding, now))
    }
    /// The public part of one item as text: PEM with the certificate first and its issuers, or an armored OpenPGP
    /// certificate.
    pub fn export(&self, id: &str) -> Result<String, Error> {
        show::export(self.find(id)?)
    }
    /// The certificates (DER) that were imported as trust anchors.
    pub fn anchors(&self) -> impl Iterator<Item = &[u8]> {
        let anchors = self.0.holdings.values().filter(|holding| holding.record.trust == Trust::Anchor);
        anchors.filter_map(show::der)
    }

    fn find(&self, id: &str) -> Result<&Holding, Error> {
        let id = resolve(id, self.0.holdings.keys())?;
        self.0.holdings.get(id).ok_or_else(|| Error::NotFound(id.to_owned()))
    }
    /// Asks each item that names the address; the usable one that became valid last is taken, among equals the first by id.
    fn choose<T>(
        &self,
        address: &Address,
        format: Format,
        ask: impl Fn(&Holding) -> Result<Arc<T>, Reason>,
    ) -> Choice<T> {
        let ids = self.0.by_address.get(address).map_or(&[][..], Vec::as_slice);
        let mut candidates: Vec<&Holding> = ids.iter().filter_map(|id| self.0.holdings.get(id)).collect();
        candidates.retain(|holding| holding.format() == format);
        candidates.sort_by(|a, b| b.not_before().cmp(&a.not_before()).then_with(|| a.id.cmp(&b.id)));
        let mut choice = Choice { taken: None, considered: Vec::with_capacity(candidates.len()) };
        for holding in candidates {
            let verdict = match ask(holding) {
                Err(reason) => Verdict::Refused(reason),
                Ok(_) if choice.taken.is_some() => Verdict::Refused(Reason::LessRecent),
                Ok(key) => {
                    choice.taken = Some(key);
                    Verdict::Taken
                }
            };
            choice.considered.push(Considered { id: holding.id.clone(), verdict });
        }
        choice
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} items)", self.0.holdings.len())
    }
}

impl Snapshot {
    fn take(&mut self, holding: Holding) {
        for address in &holding.record.addresses {
            self.by_address.entry(address.clone()).or_default().push(holding.id.clone());
        }
        self.holdings.insert(holding.id.clone(), holding);
    }
}

/// Removes the item with this id, or the only one whose id begins so; answers its id. Durable on return.
pub fn remove(disk: &dyn Disk, dir: &Path, host_key: &Secret<32>, id: &str) -> Result<String, Error> {
    let store = Store { disk, dir, host_key };
    let ids = store.ids()?;
    let id = resolve(id, &ids)?;
    store.remove(id)?;
    Ok(id.to_owned())
}
