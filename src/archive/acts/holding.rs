//! Legal holds: made, widened, released. A hold lists slots, so that those who keep and expire need no key.

use super::deed::Tools;
use super::deed::few;
use super::hold::HoldFile;
use super::hold::QUERY_INFO;
use super::hold::encode_seen;
use super::hold::is_name;
use super::leaves::Act;
use super::leaves::Hold;
use super::leaves::REASON_BYTES_MAX;
use super::leaves::Release;
use super::leaves::is_line;
use super::locate::Covers;
use super::registry::Registry;
use super::slots::Ranges;
use super::slots::Slots;
use crate::archive::Error;
use crate::archive::layout::HoldId;
use crate::archive::layout::SegmentId;
use crate::archive::open::Archive;
use crate::archive::open::lock;
use crate::clock::Timestamp;
use crate::crypto::random;
use crate::crypto::sha256;
use crate::durable;
use std::collections::{BTreeMap, BTreeSet};

/// A hold to be made, or to be widened if there is one of this name.
#[derive(Clone, Copy, Debug)]
pub struct NewHold<'a> {
    /// Its name.
    pub name: &'a str,
    /// Who makes it.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
    /// For a standing hold: its query.
    pub query: Option<&'a str>,
    /// For a standing hold: the SEAL leaf through which the query was answered.
    pub seen: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The hold.
    pub hold: HoldId,
    /// Index of the HOLD leaf; `None` when all of it was held already.
    pub act: Option<u64>,
    /// Messages that came under it now.
    pub messages: u64,
    /// Messages that are gone and cannot be held.
    pub gone: Vec<u64>,
}

/// A hold as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldInfo {
    /// Its id.
    pub hold: HoldId,
    /// What its file says; `None` where that cannot be read.
    pub file: Option<HoldFile>,
    /// Messages it holds.
    pub messages: u64,
    /// For a standing hold: the SEAL leaf through which it was compared with the archive.
    pub seen: Option<u64>,
    /// When it ended.
    pub released: Option<Timestamp>,
}

impl Archive {
    /// Puts messages, by ACCEPT index, under a hold.
    pub fn hold(&self, tools: &Tools<'_>, new: &NewHold<'_>, accepts: &BTreeSet<u64>) -> Result<Holding, Error> {
        if !is_name(new.name) {
            return Err(Error::Refused("a hold's name has 1 to 64 letters, digits, `.`, `_` and `-`".into()));
        }
        if !is_line(new.reason, REASON_BYTES_MAX) || !is_line(new.by, REASON_BYTES_MAX) {
            return Err(Error::Refused("a hold needs a reason, one line of at most 1000 octets".into()));
        }
        let _pass = self.settled(tools)?;
        let registry = self.acts()?;
        let known = self.active(&registry, new.name);
        if known.is_some() && new.query.is_some() {
            return Err(Error::Refused(format!("there is a hold {} already; release it first", new.name)));
        }
        let (hold, file) = match known {
            Some(hold) => (hold, registry.holds()[&hold].file),
            None if accepts.is_empty() && new.query.is_none() => {
                return Err(Error::Refused("no message matches, so there is nothing to hold".into()));
            }
            None => {
                let file = self.new_file(new, tools.clock.now())?;
                (file.0, sha256(&file.1))
            }
        };
        let added = self.unheld(&registry, &hold, accepts)?;
        if known.is_none() && added.slots.is_empty() && new.query.is_none() {
            let gone = few(added.gone.iter().map(u64::to_string));
            return Err(Error::Refused(format!("nothing is left to hold: erased or expired are {gone}")));
        }
        let act = self.append_hold(tools, (hold, file), &added.slots, new.seen, known.is_none())?;
        Ok(Holding { hold, act, messages: added.messages, gone: added.gone })
    }

    /// Adds what a standing hold matches of newly sealed mail, and notes how far it has looked.
    pub fn widen(
        &self,
        tools: &Tools<'_>,
        hold: &HoldId,
        accepts: &BTreeSet<u64>,
        seen: u64,
    ) -> Result<Holding, Error> {
        let _pass = lock(&self.inner.pass);
        self.catch_up(tools.journal)?;
        let registry = self.acts()?;
        let state = registry.holds().get(hold).filter(|state| state.released.is_none());
        let file = state.ok_or_else(|| Error::Refused(format!("hold {hold} is over")))?.file;
        let added = self.unheld(&registry, hold, accepts)?;
        let act = self.append_hold(tools, (*hold, file), &added.slots, Some(seen), false)?;
        let path = self.inner.layout.hold_seen(hold);
        durable::replace(self.inner.disk.as_ref(), &path, &encode_seen(seen))
            .map_err(|e| Error::io(self.inner.layout.name(&path), e))?;
        Ok(Holding { hold: *hold, act, messages: added.messages, gone: added.gone })
    }

    /// Ends a hold; others on the same messages go on.
    pub fn release(&self, tools: &Tools<'_>, name: &str, reason: &str) -> Result<u64, Error> {
        if !is_line(reason, REASON_BYTES_MAX) {
            return Err(Error::Refused("a release needs a reason, one line of at most 1000 octets".into()));
        }
        let _pass = lock(&self.inner.pass);
        self.catch_up(tools.journal)?;
        let registry = self.acts()?;
        let hold = self.active(&registry, name).ok_or_else(|| Error::Refused(format!("there is no hold {name}")))?;
        let (previous, at) = (self.last_act(), tools.clock.now());
        let release = Release { previous, part: 0, hold, at, reason: reason.to_owned() };
        self.append_acts(tools.journal, &[Act::Release(release)])
    }

    /// All holds, those that are over too, oldest first.
    pub fn holds(&self) -> Result<Vec<HoldInfo>, Error> {
        let registry = self.acts()?;
        let units: BTreeMap<SegmentId, u32> =
            self.segments()?.iter().map(|info| (info.seal.segment, info.seal.messages)).collect();
        let mut states: Vec<_> = registry.holds().iter().collect();
        states.sort_by_key(|(_, state)| state.since);
        let info = |(hold, state): (&HoldId, &super::registry::HoldState)| {
            let messages = |(segment, ranges): (&SegmentId, &Ranges)| {
                let below = units.get(segment).copied().unwrap_or_default();
                ranges.slots().filter(|slot| *slot < below).count() as u64
            };
            let file = self.hold_file(hold).ok();
            let is_standing = file.as_ref().is_some_and(|file| file.query.is_some());
            HoldInfo {
                hold: *hold,
                messages: state.slots.iter().map(messages).sum(),
                seen: if is_standing { self.hold_seen(&registry, hold) } else { None },
                released: state.released.map(|(_, at)| at),
                file,
            }
        };
        Ok(states.into_iter().map(info).collect())
    }

    /// Names of the holds on a message.
    pub fn holds_on(&self, segment: &SegmentId, slot: u32) -> Result<Vec<String>, Error> {
        let registry = self.acts()?;
        let mut names: Vec<String> = registry.holds_on(segment, slot).map(|hold| self.hold_name(&hold)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The hold of this name that goes on.
    fn active(&self, registry: &Registry, name: &str) -> Option<HoldId> {
        let mut active = registry.holds().iter().filter(|(_, state)| state.released.is_none());
        active.find(|(hold, _)| self.hold_name(hold) == name).map(|(hold, _)| *hold)
    }

    fn new_file(&self, new: &NewHold<'_>, now: Timestamp) -> Result<(HoldId, Vec<u8>), Error> {
        let hold = HoldId::from_octets(random::bytes()?);
        let aad = HoldFile::query_aad(&self.id(), &hold);
        let seal = |query: &str| self.public_key().seal(QUERY_INFO, &aad, query.as_bytes());
        let file = HoldFile {
            archive: self.id(),
            hold,
            name: new.name.to_owned(),
            created: now,
            by: new.by.to_owned(),
            reason: new.reason.to_owned(),
            query: new.query.map(seal).transpose()?,
        };
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let (path, octets) = (layout.hold(&hold), file.encode());
        let made = disk.create_dir(&layout.holds()).and_then(|()| durable::replace(disk, &path, &octets));
        // Without a leaf that names it a hold file means nothing.
        made.map(|()| (hold, octets)).map_err(|e| Error::io(layout.name(&path), e))
    }

    /// The units of these messages that a hold does not have yet.
    fn unheld(&self, registry: &Registry, hold: &HoldId, accepts: &BTreeSet<u64>) -> Result<Unheld, Error> {
        let mut covers = Covers::new(self)?;
        let (mut slots, mut gone) = (BTreeMap::<SegmentId, Vec<u32>>::new(), Vec::new());
        let (mut wanted, mut messages) = (BTreeSet::new(), 0);
        for accept_index in accepts {
            let missing = || Error::Refused(format!("no sealed message has ACCEPT leaf {accept_index}"));
            let place = covers.message(*accept_index)?.ok_or_else(missing)?;
            let segment = covers.seal(place.segment)?.segment;
            if registry.gone_by(&segment, place.slot).is_some() {
                gone.push(*accept_index);
                continue;
            }
            wanted.insert(*accept_index);
            if !registry.holds().get(hold).is_some_and(|state| state.has(&segment, place.slot)) {
                slots.entry(segment).or_default().push(place.slot);
                messages += 1;
            }
        }
        for (_, place) in covers.events(&wanted)? {
            let segment = covers.seal(place.segment)?.segment;
            if !registry.holds().get(hold).is_some_and(|state| state.has(&segment, place.slot)) {
                slots.entry(segment).or_default().push(place.slot);
            }
        }
        let slots = slots.into_iter().map(|(segment, slots)| (segment, Ranges::of(slots))).collect();
        Ok(Unheld { slots: Slots::of(slots), messages, gone })
    }

    fn append_hold(
        &self,
        tools: &Tools<'_>,
        (hold, file): (HoldId, crate::crypto::Digest),
        slots: &Slots,
        seen: Option<u64>,
        is_new: bool,
    ) -> Result<Option<u64>, Error> {
        let mut parts = slots.parts();
        if parts.is_empty() && is_new {
            parts.push(Slots::default());
        }
        let leaf = |(part, slots)| Act::Hold(Hold { previous: self.last_act(), part, hold, file, slots, seen });
        let acts: Vec<Act> = (0u32..).zip(parts).map(leaf).collect();
        if acts.is_empty() {
            return Ok(None);
        }
        self.append_acts(tools.journal, &acts).map(Some)
    }
}

/// What a hold would add.
struct Unheld {
    slots: Slots,
    messages: u64,
    gone: Vec<u64>,
}
