//! Level 0 of the acts: their chain, what they may not touch, their orders and holds, and the tombs against them.

use super::acts::Act;
use super::acts::HoldFile;
use super::acts::Reason;
use super::acts::Registry;
use super::acts::Slots;
use super::acts::hold::HOLD_BYTES_MAX;
use super::acts::order::FILE_BYTES_MAX;
use super::acts::order::SignedOrder;
use super::acts::signers;
use super::cover::COVER_BYTES_MAX;
use super::cover::Cover;
use super::directory::month_of;
use super::files;
use super::key_object::KeyObject;
use super::key_object::Slot;
use super::keys::GENERATION_BYTES_MAX;
use super::keys::Generation;
use super::keys::Officer;
use super::layout::Layout;
use super::layout::SegmentId;
use super::leaf::Epoch;
use super::leaf::Seal;
use super::open::SegmentInfo;
use super::verify::Facts;
use super::verify::FaultKind;
use super::verify::Report;
use super::verify::Seen;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::crypto::sha256;
use crate::durable::Disk;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Checks all act leaves; what they say together.
pub fn verify(disk: &dyn Disk, layout: &Layout, epoch: &Epoch, facts: &Facts, report: &mut Report) -> Registry {
    let mut acts: Vec<&(u64, Act)> = facts.acts.iter().collect();
    acts.sort_by_key(|(index, _)| *index);
    let seals = facts.seals.iter().map(|info| (info.seal.segment, info)).collect();
    let mut walk = Walk { disk, layout, epoch, facts, seals, registry: Registry::default(), orders: BTreeMap::new() };
    for (index, act) in acts {
        walk.act(*index, act, report);
    }
    walk.holds(report);
    walk.orders(report);
    walk.counts(report);
    walk.registry
}

struct Walk<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    epoch: &'a Epoch,
    facts: &'a Facts,
    seals: HashMap<SegmentId, &'a SegmentInfo>,
    registry: Registry,
    /// Of each order: when it was carried out, and the acceptances whose units its leaves took.
    orders: BTreeMap<Digest, (Timestamp, BTreeSet<u64>)>,
}

impl Walk<'_> {
    fn damaged_between(&self, from: u64, until: u64) -> bool {
        let at = |index: u64| usize::try_from(index).unwrap_or(usize::MAX);
        let seen = self.facts.seen.get(at(from)..at(until).min(self.facts.seen.len())).unwrap_or_default();
        seen.contains(&Seen::Unknown)
    }

    fn act(&mut self, index: u64, act: &Act, report: &mut Report) {
        let object = format!("leaf {index}");
        let before = self.registry.newest();
        if act.leaf_before(index) != before && !self.damaged_between(before.unwrap_or(0), index) {
            report.add(0, &object, FaultKind::Inconsistent, "does not continue the act leaf before it");
        }
        for detail in self.faults(index, act) {
            report.add(0, &object, FaultKind::Inconsistent, detail);
        }
        self.registry.take(index, act.clone());
    }

    /// What an act leaf should not say.
    fn faults(&mut self, index: u64, act: &Act) -> BTreeSet<String> {
        let mut faults = BTreeSet::new();
        let at = match act {
            Act::Erase(erase) => Some(erase.at),
            Act::Expire(expire) => Some(expire.at),
            Act::Hold(_) | Act::Release(_) => None,
        };
        let none = Slots::default();
        for (segment, ranges) in act.slots().unwrap_or(&none).segments() {
            let Some(info) = self.seals.get(&segment).copied().filter(|info| info.seal_index < index) else {
                if !self.damaged_between(0, index) {
                    faults.insert(format!("names segment {segment}, which was not sealed before"));
                }
                continue;
            };
            if ranges.slots().any(|slot| u64::from(slot) >= info.seal.units()) {
                faults.insert(format!("names a unit that segment {segment} has not"));
                continue;
            }
            let Some(at) = at else { continue };
            let month = month_of(at);
            match act {
                Act::Expire(_) if info.seal.expires.is_none_or(|expires| month < expires) => {
                    faults.insert(format!("expires units of segment {segment} before their time"));
                }
                Act::Erase(_) if info.seal.protected.is_some_and(|protected| month < protected) => {
                    faults.insert(format!("erases units of segment {segment} inside their minimum"));
                }
                _ => {}
            }
            let needs_cover = matches!(act, Act::Erase(_)) || !self.registry.holds().is_empty();
            let cover = if needs_cover { self.cover(&info.seal) } else { None };
            for slot in ranges.slots() {
                let accept_index = cover.as_ref().and_then(|cover| accept_index(cover, slot));
                self.taken(act, &info.seal, slot, accept_index, &mut faults);
            }
        }
        faults
    }

    fn taken(&mut self, act: &Act, seal: &Seal, slot: u32, accept_index: Option<u64>, faults: &mut BTreeSet<String>) {
        let mut held: Vec<_> = self.registry.holds_on(&seal.segment, slot).collect();
        if let Some(accept_index) = accept_index.filter(|_| slot >= seal.messages)
            && let Some((segment, slot)) = self.message(accept_index)
        {
            held.extend(self.registry.holds_on(&segment, slot));
        }
        faults.extend(held.iter().map(|hold| format!("takes what hold {hold} protected")));
        if let (Act::Erase(erase), Some(accept_index)) = (act, accept_index) {
            let order = self.orders.entry(erase.order).or_insert_with(|| (erase.at, BTreeSet::new()));
            order.1.insert(accept_index);
        }
    }

    fn message(&self, accept_index: u64) -> Option<(SegmentId, u32)> {
        let from = self.facts.seals.partition_point(|info| info.seal.through <= accept_index);
        let through = self.facts.seals.get(from)?.seal.through;
        let pass = self.facts.seals[from..].iter().take_while(|info| info.seal.through == through);
        pass.filter_map(|info| Some((info, self.cover(&info.seal)?))).find_map(|(info, cover)| {
            let slot = cover.messages.binary_search(&accept_index).ok()?;
            Some((info.seal.segment, slot as u32))
        })
    }

    /// A cover file, if it is whole; its damage has a finding of its own.
    fn cover(&self, seal: &Seal) -> Option<Cover> {
        let octets = files::read(self.disk, &self.layout.cover(&seal.segment), COVER_BYTES_MAX).ok()?;
        Cover::parse(&octets).ok().filter(|_| sha256(&octets) == seal.cover_hash)
    }

    fn holds(&self, report: &mut Report) {
        for (hold, state) in self.registry.holds() {
            let path = self.layout.hold(hold);
            let name = self.layout.name(&path);
            match files::read(self.disk, &path, HOLD_BYTES_MAX) {
                Err(e) => report.unread(0, name, &e),
                Ok(octets) if sha256(&octets) != state.file => {
                    report.add(0, name, FaultKind::Changed, format!("leaf {} has another hash", state.since));
                }
                Ok(octets) => match HoldFile::parse(&octets) {
                    Ok(file) if (file.hold, file.archive) == (*hold, self.epoch.archive) => {}
                    Ok(_) => report.add(0, name, FaultKind::Inconsistent, "is about another hold"),
                    Err(what) => report.add(0, name, FaultKind::Inconsistent, what.to_string()),
                },
            }
        }
    }

    fn orders(&self, report: &mut Report) {
        let officers = self.officers();
        for (order, (at, accepts)) in &self.orders {
            let path = self.layout.order(order);
            let name = self.layout.name(&path);
            let octets = match files::read(self.disk, &path, FILE_BYTES_MAX) {
                Ok(octets) => octets,
                Err(e) => {
                    report.unread(0, name, &e);
                    continue;
                }
            };
            if sha256(&octets) != *order {
                report.add(0, name, FaultKind::Changed, "another hash than in its name");
                continue;
            }
            if let Err(detail) = self.order(&octets, *at, accepts, &officers) {
                report.add(0, name, FaultKind::Inconsistent, detail);
            }
        }
    }

    /// Whether an order says what its leaves did, and an officer signed it.
    fn order(&self, octets: &[u8], at: Timestamp, accepts: &BTreeSet<u64>, officers: &[Officer]) -> Result<(), String> {
        let signed = SignedOrder::parse(octets).map_err(|what| what.to_string())?;
        let order = signed.order().map_err(|e| e.to_string())?;
        if order.archive != self.epoch.archive {
            return Err("is for another archive".into());
        }
        let named: BTreeSet<u64> = order.messages.iter().map(|named| named.accept_index).collect();
        if let Some(more) = accepts.difference(&named).next() {
            return Err(format!("leaves took a unit of leaf {more}, which it does not name"));
        }
        if signers(&signed, officers, at).0.is_empty() { Err("no officer has signed it".into()) } else { Ok(()) }
    }

    /// The officers of all generations whose files can be read; a changed one has its finding.
    fn officers(&self) -> Vec<Officer> {
        let generations = self.facts.keys.iter().filter_map(|(_, key)| {
            let octets = files::read(self.disk, &self.layout.generation(key.generation), GENERATION_BYTES_MAX).ok()?;
            let is_whole = sha256(&octets) == key.file;
            Generation::parse(&octets).ok().filter(|_| is_whole).map(|generation| generation.officers)
        });
        generations.flatten().collect()
    }

    fn counts(&self, report: &mut Report) {
        for (segment, gone) in self.registry.gone() {
            let Some(info) = self.seals.get(segment) else { continue };
            for gone in gone {
                let messages = gone.ranges.slots().filter(|slot| *slot < info.seal.messages).count() as u64;
                match gone.reason {
                    Reason::Erased => report.erased += messages,
                    Reason::Expired => report.expired += messages,
                }
            }
        }
    }
}

fn accept_index(cover: &Cover, slot: u32) -> Option<u64> {
    let slot = slot as usize;
    cover.messages.get(slot).or_else(|| cover.events.get(slot.checked_sub(cover.messages.len())?)).copied()
}

/// The tombs of one key object against the leaves, both ways.
pub fn check_tombs(keys: &KeyObject, registry: &Registry, facts: &Facts, name: &str, report: &mut Report) {
    let is_unknown = |leaf: u64| facts.seen.get(leaf as usize) == Some(&Seen::Unknown);
    let (mut unordered, mut lagging) = (Vec::new(), Vec::new());
    for (number, slot) in (0u32..).zip(&keys.slots) {
        let by = registry.gone_by(&keys.segment, number).map(|gone| gone.leaf);
        match (slot, by) {
            (Slot::Live(_), None) => {}
            (Slot::Live(_), Some(_)) => lagging.push(number),
            (Slot::Tomb { leaf, .. }, by) if by == Some(*leaf) || is_unknown(*leaf) => {}
            (Slot::Tomb { .. }, _) => unordered.push(number),
        }
    }
    if let Some(first) = unordered.first() {
        let detail = format!("{} tombs, the first in slot {first}, that no such leaf ordered", unordered.len());
        report.add(0, name, FaultKind::Inconsistent, detail);
    }
    if let Some(first) = lagging.first() {
        let detail = format!(
            "{} units, the first in slot {first}, that leaves took still have their key; the next start removes it",
            lagging.len()
        );
        report.add(0, name, FaultKind::Inconsistent, detail);
    }
}
