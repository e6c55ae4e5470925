//! What every act has in common: nobody seals meanwhile, its leaves become durable together, and what stands in its way.

use super::hold::HOLD_BYTES_MAX;
use super::hold::HoldFile;
use super::hold::SEEN_BYTES_MAX;
use super::hold::parse_seen;
use super::leaves::Act;
use super::locate::Covers;
use super::locate::Place;
use super::registry::Registry;
use crate::archive::Error;
use crate::archive::cursor::Malformed;
use crate::archive::directory::month_of;
use crate::archive::files;
use crate::archive::layout::HoldId;
use crate::archive::open::Archive;
use crate::archive::open::lock;
use crate::archive::seal::Means;
use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::crypto::sha256;
use crate::journal::Journal;
use crate::mail::summary::summarize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, mpsc};

/// What an act works with.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// Where its leaves go.
    pub journal: &'a Journal,
    /// What time it is.
    pub clock: &'a dyn Clock,
}

/// Whether an act is carried out or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Say what would be done, or why not.
    Dry,
    /// Do it.
    Real,
}

/// A standing hold that is not released, and how far it has looked.
pub(super) struct Standing {
    pub name: String,
    /// The SEAL leaf through which it was compared; `None`: with nothing yet.
    pub seen: Option<u64>,
}

impl Archive {
    /// Takes the place of the sealer, and seals what was accepted so far: an act is about sealed mail.
    pub(super) fn settled(&self, tools: &Tools<'_>) -> Result<MutexGuard<'_, ()>, Error> {
        let pass = lock(&self.inner.pass);
        self.seal_locked(
            tools.journal.durable_leaves(),
            &Means { journal: tools.journal, clock: tools.clock, summarize },
        )?;
        Ok(pass)
    }

    /// Step 3 and 4 of an act: all its leaves or none, then the log. The index of the first.
    pub(in crate::archive) fn append_acts(&self, journal: &Journal, acts: &[Act]) -> Result<u64, Error> {
        let leaves: Option<Vec<_>> = acts.iter().map(Act::to_leaf).collect();
        let leaves = leaves.ok_or(Error::Bug("an act leaf is too long"))?;
        let octets: usize = leaves.iter().map(|leaf| leaf.body.len() + 3).sum();
        if octets > crate::journal::GROUP_BYTES_MAX {
            return Err(Error::Refused("too many scattered messages for one act; take fewer at a time".into()));
        }
        let (sender, receiver) = mpsc::channel();
        // Should the receiver be gone, nobody needs the answer.
        journal.append_leaves(&leaves, Box::new(move |result| drop(sender.send(result))));
        let first = receiver.recv().map_err(|_| Error::Bug("the journal forgot a leaf"))??;
        // Decided from here: opening the archive after a crash does the rest.
        self.extend_log(journal)?;
        Ok(first)
    }

    /// What a hold is about, as its leaf has it.
    pub fn hold_file(&self, hold: &HoldId) -> Result<HoldFile, Error> {
        let layout = &self.inner.layout;
        let path = layout.hold(hold);
        let name = layout.name(&path);
        let octets = files::read(self.inner.disk.as_ref(), &path, HOLD_BYTES_MAX).map_err(|e| Error::io(&name, e))?;
        let file = HoldFile::parse(&octets).map_err(|what| Error::damaged(&name, what))?;
        let registry = self.acts()?;
        let known = registry.holds().get(hold).is_none_or(|state| state.file == sha256(&octets));
        if known && (file.hold, file.archive) == (*hold, self.id()) {
            return Ok(file);
        }
        Err(Error::damaged(name, Malformed("not the file its HOLD leaf names")))
    }

    /// The name of a hold; its id where the file cannot be read.
    pub fn hold_name(&self, hold: &HoldId) -> String {
        self.hold_file(hold).map_or_else(|_| hold.to_string(), |file| file.name)
    }

    /// How far a standing hold has been compared with the archive.
    pub fn hold_seen(&self, registry: &Registry, hold: &HoldId) -> Option<u64> {
        let path = self.inner.layout.hold_seen(hold);
        // Without the file the leaf counts: that makes acts refuse more, never less.
        let file = files::read(self.inner.disk.as_ref(), &path, SEEN_BYTES_MAX).ok();
        let file = file.and_then(|octets| parse_seen(&octets));
        file.max(registry.holds().get(hold).and_then(|state| state.seen))
    }

    /// All standing holds that go on. One whose file cannot be read might be one, and stops the act.
    pub(super) fn standing(&self, registry: &Registry) -> Result<Vec<Standing>, Error> {
        let mut standing = Vec::new();
        for (id, _) in registry.holds().iter().filter(|(_, state)| state.released.is_none()) {
            let file = self.hold_file(id)?;
            if file.query.is_some() {
                standing.push(Standing { name: file.name, seen: self.hold_seen(registry, id) });
            }
        }
        Ok(standing)
    }
}

/// What protects units from an act.
pub(super) struct Obstacles<'a> {
    pub registry: &'a Registry,
    pub standing: Vec<Standing>,
    /// ACCEPT indices of mail with a recipient that is not final.
    pub queued: BTreeSet<u64>,
    pub month: u32,
}

impl<'a> Obstacles<'a> {
    pub fn now(archive: &Archive, registry: &'a Registry, tools: &Tools<'_>) -> Result<Obstacles<'a>, Error> {
        let queued = tools.journal.pending().iter().map(|entry| entry.accept_index).collect();
        let month = month_of(tools.clock.now());
        Ok(Obstacles { registry, standing: archive.standing(registry)?, queued, month })
    }

    /// Holds on a unit: those that have its slot, or the slot of the message whose later results it holds.
    pub fn holds(&self, covers: &mut Covers<'_>, place: Place) -> Result<BTreeSet<HoldId>, Error> {
        let seal = covers.seal(place.segment)?;
        let (segment, is_event) = (seal.segment, place.slot >= seal.messages);
        let mut holds: BTreeSet<HoldId> = self.registry.holds_on(&segment, place.slot).collect();
        if is_event && !self.registry.holds().is_empty() {
            let accept_index = covers.accept_index(place)?;
            if let Some(message) = covers.message(accept_index)? {
                let segment = covers.seal(message.segment)?.segment;
                holds.extend(self.registry.holds_on(&segment, message.slot));
            }
        }
        Ok(holds)
    }

    /// Names of standing holds that have not looked at a segment: it may have what they are about.
    pub fn blind(&self, seal_index: u64) -> impl Iterator<Item = &str> + '_ {
        let blind = move |hold: &&Standing| hold.seen.is_none_or(|seen| seen < seal_index);
        self.standing.iter().filter(blind).map(|hold| hold.name.as_str())
    }
}

/// Slots of a plan, by segment, as act leaves name them.
pub(super) fn slots_of(
    covers: &Covers<'_>,
    places: &BTreeSet<Place>,
) -> Result<BTreeMap<crate::archive::SegmentId, Vec<u32>>, Error> {
    let mut slots: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for place in places {
        slots.entry(covers.seal(place.segment)?.segment).or_default().push(place.slot);
    }
    Ok(slots)
}

/// A few of many, for a message to people.
pub(super) fn few(items: impl IntoIterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let items: Vec<String> = items.into_iter().collect();
    match items.len().checked_sub(SHOWN) {
        None | Some(0) => items.join(", "),
        Some(more) => format!("{} and {more} more", items[..SHOWN].join(", ")),
    }
}

/// The first instant of a month, for people.
pub(super) fn month_text(month: u32) -> String {
    format!("{:04}-{:02}", month / 12, month % 12 + 1)
}

/// Times an order may be off into the future, for clocks that differ.
pub(super) const SKEW_S: i64 = 86_400;
/// How long an order may be carried out.
pub(super) const ORDER_DAYS: i64 = 30;

/// Whether an order is neither old nor from the future.
pub(super) fn is_current(dated: Timestamp, now: Timestamp) -> bool {
    dated <= now.plus_s(SKEW_S) && now <= dated.plus_s(ORDER_DAYS * 86_400)
}
