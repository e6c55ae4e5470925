//! Import: from files to items of the keyring. What is imported by hand is trusted for the addresses it names. All files
//! are read and checked before the first item is written; each item is then durable on its own.

use super::error::{Error, Fault};
use super::gather::{self, Candidate, ImportedKey};
use super::holding::{Holding, Holds};
use super::item::{Item, Trust};
use super::merge::{Change, merge};
use super::read::read;
use super::reason::Format;
use super::store::{ITEMS_MAX, Store};
use crate::crypto::Secret;
use crate::crypto::SecretBytes;
use crate::durable::Disk;
use crate::mail::Address;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// One file to import.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its octets, at most [`super::FILE_BYTES_MAX`].
    pub octets: &'a [u8],
}

/// How files are imported.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Opens encrypted private keys.
    pub password: Option<SecretBytes>,
    /// Whose everything in the files is.
    pub owner: Owner,
}

/// Whose certificates and keys are.
#[derive(Clone, Debug, Default)]
pub enum Owner {
    /// Of the addresses that the certificates name.
    #[default]
    Named,
    /// Of these addresses, whatever the certificates name.
    Given(Vec<Address>),
    /// Of authorities: the certificates become trust anchors, for no address.
    Authority,
}

/// What became of one certificate or key.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Its id in the keyring.
    pub id: String,
    /// The format it serves.
    pub format: Format,
    /// Whether its private key is in the keyring now.
    pub holds: Holds,
    /// The addresses it is used for now.
    pub addresses: Vec<Address>,
    /// What it is trusted for.
    pub trust: Trust,
    /// Whether the keyring changed.
    pub change: Change,
    /// Names that are not addresses and so do not count, for a warning.
    pub refused_names: Vec<String>,
}

/// Imports everything in `inputs` together, so that a private key and its certificate may be in different files.
pub fn import(
    disk: &dyn Disk,
    dir: &Path,
    host_key: &Secret<32>,
    inputs: &[Input<'_>],
    options: &Options,
) -> Result<Vec<Imported>, Error> {
    let mut plan = Plan { store: Store { disk, dir, host_key }, inputs, items: BTreeMap::new() };
    let mut found = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        let things = read(input.octets, options.password.as_ref()).map_err(|fault| plan.blame(number, fault))?;
        found.extend(things.into_iter().map(|thing| (number, thing)));
    }
    let gathered = gather::gather(found, &options.owner).map_err(|(number, fault)| plan.blame(number, fault))?;
    let keys = if gathered.candidates.iter().any(lacks_key) { plan.stored_keys()? } else { HashMap::new() };
    for mut candidate in gathered.candidates {
        if let Some(public_key) = gather::public_key(&candidate.item).filter(|_| lacks_key(&candidate)) {
            candidate.item.private = keys.get(&public_key).cloned();
        }
        plan.add(candidate)?;
    }
    for key in gathered.lone_keys {
        plan.attach(&key)?;
    }
    plan.write()
}

/// Whether it is a certificate for S/MIME alone. A renewed certificate often has the key of its predecessor, which then
/// signs for it too.
fn lacks_key(candidate: &Candidate) -> bool {
    candidate.item.format() == Format::Smime && candidate.item.private.is_none()
}

/// The items as they will be.
struct Plan<'a> {
    store: Store<'a>,
    inputs: &'a [Input<'a>],
    items: BTreeMap<String, Planned>,
}

struct Planned {
    item: Item,
    holds: Holds,
    change: Change,
    refused_names: Vec<String>,
}

impl Plan<'_> {
    fn blame(&self, input: usize, fault: Fault) -> Error {
        let file = self.inputs.get(input).map_or("import", |input| input.name);
        Error::Input { file: file.to_owned(), fault }
    }
    /// The item as this import or a former one left it.
    fn before(&self, id: &str) -> Result<Option<Item>, Error> {
        match self.items.get(id) {
            Some(planned) => Ok(Some(planned.item.clone())),
            None => self.store.find(id),
        }
    }
    fn add(&mut self, candidate: Candidate) -> Result<(), Error> {
        let Candidate { input, item, refused_names } = candidate;
        let id = item.id();
        let (item, change) = match self.before(&id)? {
            None => (item, Change::Added),
            Some(before) => merge(before, item).map_err(|fault| self.blame(input, fault))?,
        };
        // What is stored must load: an item that does not would fail the whole keyring.
        let opened = Holding::open(&item);
        let opened = opened.map_err(|e| self.blame(input, Fault::Malformed(e.to_string())))?;
        let earlier = self.items.get(&id).map(|planned| planned.change);
        let change = earlier.map_or(change, |earlier| earlier.and(change));
        self.items.insert(id, Planned { item, holds: opened.holds(), change, refused_names });
        Ok(())
    }
    /// The private keys of the S/MIME certificates in the store, by public key.
    fn stored_keys(&self) -> Result<HashMap<Vec<u8>, SecretBytes>, Error> {
        let mut keys = HashMap::new();
        for id in self.store.ids()? {
            let item = self.store.read(&id)?;
            if let (Some(public_key), Some(private)) = (gather::public_key(&item), item.private) {
                keys.insert(public_key, private);
            }
        }
        Ok(keys)
    }
    /// Gives a private key that came alone to each stored certificate it belongs to.
    fn attach(&mut self, key: &ImportedKey) -> Result<(), Error> {
        let mut attached = 0;
        for id in self.store.ids()? {
            let Some(item) = self.before(&id)? else { continue };
            if gather::public_key(&item).as_ref() != Some(&key.public_key) {
                continue;
            }
            let item = Item { private: Some(key.pkcs8.clone()), ..item };
            self.add(Candidate { input: key.input, item, refused_names: Vec::new() })?;
            attached += 1;
        }
        if attached == 0 { Err(self.blame(key.input, Fault::KeyWithoutCertificate)) } else { Ok(()) }
    }
    fn write(self) -> Result<Vec<Imported>, Error> {
        let added = self.items.values().filter(|planned| planned.change == Change::Added).count();
        if self.store.ids()?.len() + added > ITEMS_MAX {
            return Err(Error::Full);
        }
        let mut imported = Vec::new();
        for (id, planned) in self.items {
            if planned.change != Change::Unchanged {
                self.store.write(&planned.item)?;
            }
            imported.push(Imported {
                id,
                format: planned.item.format(),
                holds: planned.holds,
                addresses: planned.item.record.addresses,
                trust: planned.item.record.trust,
                change: planned.change,
                refused_names: planned.refused_names,
            });
        }
        Ok(imported)
    }
}
