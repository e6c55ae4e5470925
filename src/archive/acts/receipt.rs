//! Receipts: what was done, by whose order, and from when on no copy here can undo it. Written once everything has followed.

use super::leaves::Act;
use super::order::FILE_BYTES_MAX;
use super::order::SignedOrder;
use super::registry::Reason;
use super::registry::Registry;
use super::signature;
use super::tomb::is_dead;
use crate::archive::Error;
use crate::archive::checkpoint::NOTE_BYTES_MAX;
use crate::archive::files;
use crate::archive::layout::SegmentId;
use crate::archive::open::Archive;
use crate::archive::open::lock;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::crypto::hash;
use crate::crypto::sha256;
use crate::durable;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Octets of a receipt at most.
const RECEIPT_BYTES_MAX: u64 = 64 << 20;
const DAY_S: i64 = 86_400;

/// An erasure or expiry that is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Index of its first leaf, which names its receipt.
    pub act: u64,
    /// Its leaves.
    pub leaves: u64,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
    /// Its order, if it has one.
    pub order: Option<Digest>,
    /// Slots it took of each segment.
    pub segments: BTreeMap<SegmentId, u64>,
}

/// Messages that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoneMessages {
    /// By order.
    pub erased: u64,
    /// Because their time was over.
    pub expired: u64,
}

/// What has followed a decision outside the archive.
#[derive(Clone, Copy, Debug)]
pub struct Followup {
    /// When the last of it was done.
    pub completed: Timestamp,
    /// Journal files that held keys and octets, and are overwritten.
    pub journal_files: u64,
    /// How long a backup of key objects is kept.
    pub key_backup_days: u32,
}

impl Archive {
    /// All erasures and expiries, oldest first.
    pub fn decided(&self) -> Result<Vec<Decided>, Error> {
        Ok(decided(&*self.acts()?))
    }

    /// Those that have no receipt yet.
    pub fn unreceipted(&self) -> Result<Vec<Decided>, Error> {
        let mut decided = self.decided()?;
        if !decided.is_empty() {
            let names: BTreeSet<String> = self.receipt_names()?.into_iter().collect();
            decided.retain(|one| !names.contains(&format!("{}.json", one.act)));
        }
        Ok(decided)
    }

    /// How many messages are gone.
    pub fn gone_messages(&self) -> Result<GoneMessages, Error> {
        let registry = self.acts()?;
        let mut counts = GoneMessages::default();
        if registry.gone().is_empty() {
            return Ok(counts);
        }
        for info in self.segments()? {
            for gone in registry.gone().get(&info.seal.segment).map(Vec::as_slice).unwrap_or_default() {
                let messages = gone.ranges.slots().filter(|slot| *slot < info.seal.messages).count() as u64;
                match gone.reason {
                    Reason::Erased => counts.erased += messages,
                    Reason::Expired => counts.expired += messages,
                }
            }
        }
        Ok(counts)
    }

    /// A receipt that was written; `None` while it is pending.
    pub fn receipt(&self, act: u64) -> Result<Option<Value>, Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let path = layout.receipt(act);
        if !disk.exists(&path) {
            return Ok(None);
        }
        let name = layout.name(&path);
        let octets = files::read(disk, &path, RECEIPT_BYTES_MAX).map_err(|e| Error::io(&name, e))?;
        let what = crate::archive::cursor::Malformed("no JSON");
        serde_json::from_slice(&octets).map(Some).map_err(|_| Error::damaged(name, what))
    }

    /// Brings every key object up to the leaves, as after a failure or from a restored backup.
    pub fn bring_up(&self) -> Result<super::tomb::Buried, Error> {
        let _pass = lock(&self.inner.pass);
        self.bury(None)
    }

    /// Step 7: the receipt of an act that everything has followed. Key objects are looked at again first.
    pub fn write_receipt(&self, one: &Decided, followup: &Followup) -> Result<Value, Error> {
        let _pass = lock(&self.inner.pass);
        let segments = one.segments.keys().copied().collect();
        self.bury(Some(&segments))?;
        let receipt = self.compose(one, followup)?;
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let path = layout.receipt(one.act);
        let octets = format!("{receipt:#}\n").into_bytes();
        let written = disk.create_dir(&layout.receipts()).and_then(|()| durable::replace(disk, &path, &octets));
        written.map_err(|e| Error::io(layout.name(&path), e))?;
        Ok(receipt)
    }

    fn receipt_names(&self) -> Result<Vec<String>, Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let dir = layout.receipts();
        match disk.list(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(|e| Error::io(layout.name(&dir), e)),
        }
    }

    /// An order as it is kept, which must be the one that leaves name.
    pub fn signed_order(&self, order: &Digest) -> Result<SignedOrder, Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let path = layout.order(order);
        let name = layout.name(&path);
        let octets = files::read(disk, &path, FILE_BYTES_MAX).map_err(|e| Error::io(&name, e))?;
        if sha256(&octets) != *order {
            return Err(Error::damaged(name, crate::archive::cursor::Malformed("another hash than in its name")));
        }
        SignedOrder::parse(&octets).map_err(|what| Error::damaged(name, what))
    }

    fn compose(&self, one: &Decided, followup: &Followup) -> Result<Value, Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let registry = self.acts()?;
        let path = layout.checkpoint();
        let note = files::read(disk, &path, NOTE_BYTES_MAX).map_err(|e| Error::io(layout.name(&path), e))?;
        let seals: BTreeMap<SegmentId, _> =
            self.segments()?.into_iter().map(|info| (info.seal.segment, info.seal)).collect();
        let segment = |(id, slots): (&SegmentId, &u64)| {
            let is_removed = seals.get(id).is_some_and(|seal| is_dead(&registry, seal));
            json!({"segment": id.to_string(), "units": slots, "data_removed": is_removed})
        };
        let days = i64::from(followup.key_backup_days);
        let mut receipt = json!({
            "version": 1,
            "archive": self.id().to_string(),
            "kind": word(one.reason),
            "act": one.act,
            "leaves": (one.act..one.act + one.leaves).collect::<Vec<_>>(),
            "decided_at": one.at.rfc3339(),
            "completed_at": followup.completed.rfc3339(),
            "units": one.segments.values().sum::<u64>(),
            "segments": one.segments.iter().map(segment).collect::<Vec<_>>(),
            "key_objects_replaced": 2 * one.segments.len(),
            "journal_files_retired": followup.journal_files,
            "catalog": "cleaned",
            "key_backup_days": followup.key_backup_days,
            "key_backups_until": followup.completed.plus_s(days * DAY_S).rfc3339(),
            "checkpoint": String::from_utf8_lossy(&note),
        });
        if let Some(hash) = &one.order {
            let signed = self.signed_order(hash)?;
            let order = signed.order()?;
            // Whoever was an officer then may have been removed since.
            let generations = self.generations(self.generation().number)?;
            let officers: Vec<_> = generations.iter().flat_map(|g| g.officers.iter().cloned()).collect();
            let (signers, _) = signature::signers(&signed, &officers, one.at);
            let message =
                |named: &super::order::Named| json!({"id": named.id.to_string(), "accept_index": named.accept_index});
            receipt["order"] = Value::from(hash::hex(hash));
            receipt["reason"] = Value::from(order.reason);
            receipt["signers"] = Value::from(signers.into_iter().collect::<Vec<_>>());
            receipt["messages"] = order.messages.iter().map(message).collect();
        }
        Ok(receipt)
    }
}

/// For people and JSON.
pub fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Erased => "erase",
        Reason::Expired => "expire",
    }
}

fn decided(registry: &Registry) -> Vec<Decided> {
    let mut all: Vec<Decided> = Vec::new();
    for (index, act) in registry.acts() {
        let (reason, at, order) = match act {
            Act::Erase(erase) => (Reason::Erased, erase.at, Some(erase.order)),
            Act::Expire(expire) => (Reason::Expired, expire.at, None),
            Act::Hold(_) | Act::Release(_) => continue,
        };
        if act.part() == 0 {
            all.push(Decided { act: *index, leaves: 0, reason, at, order, segments: BTreeMap::new() });
        }
        let Some(one) = all.last_mut() else { continue };
        one.leaves += 1;
        for (segment, ranges) in act.gone().into_iter().flat_map(|slots| slots.segments()) {
            *one.segments.entry(segment).or_default() += ranges.count();
        }
    }
    all
}
