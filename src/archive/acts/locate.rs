//! Where messages lie, found through cover files: their message slot, and the slots of later results. Needs no key.

use crate::archive::Error;
use crate::archive::cover::COVER_BYTES_MAX;
use crate::archive::cover::Cover;
use crate::archive::cursor::Malformed;
use crate::archive::files;
use crate::archive::layout::SegmentId;
use crate::archive::leaf::Seal;
use crate::archive::open::Archive;
use crate::archive::open::SegmentInfo;
use crate::crypto::sha256;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Cover files kept for the next look.
const COVERS_MAX: usize = 4096;

/// A unit's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment's number among all, in log order.
    pub segment: usize,
    /// The slot.
    pub slot: u32,
}

/// All segments and, as they are needed, their cover files.
pub struct Covers<'a> {
    archive: &'a Archive,
    seals: Vec<SegmentInfo>,
    numbers: HashMap<SegmentId, usize>,
    read: BTreeMap<SegmentId, Arc<Cover>>,
}

impl<'a> Covers<'a> {
    /// Of all segments sealed so far.
    pub fn new(archive: &'a Archive) -> Result<Covers<'a>, Error> {
        let seals = archive.segments()?;
        let numbers = seals.iter().enumerate().map(|(number, info)| (info.seal.segment, number)).collect();
        Ok(Covers { archive, seals, numbers, read: BTreeMap::new() })
    }
    /// All segments in log order.
    pub fn segments(&self) -> &[SegmentInfo] {
        &self.seals
    }
    /// The SEAL leaf of a segment.
    pub fn seal(&self, number: usize) -> Result<&Seal, Error> {
        self.seals.get(number).map(|info| &info.seal).ok_or(Error::NoSuchUnit)
    }

    /// A segment's cover file, which must be the one its SEAL leaf names.
    pub fn cover(&mut self, number: usize) -> Result<Arc<Cover>, Error> {
        let seal = self.seal(number)?;
        if let Some(cover) = self.read.get(&seal.segment) {
            return Ok(Arc::clone(cover));
        }
        let cover = Arc::new(load(self.archive, seal)?);
        let id = seal.segment;
        if self.read.len() >= COVERS_MAX {
            self.read.clear();
        }
        self.read.insert(id, Arc::clone(&cover));
        Ok(cover)
    }

    /// The message slot of an acceptance; `None` when no segment covers it.
    pub fn message(&mut self, accept_index: u64) -> Result<Option<Place>, Error> {
        let from = self.seals.partition_point(|info| info.seal.through <= accept_index);
        let Some(through) = self.seals.get(from).map(|info| info.seal.through) else { return Ok(None) };
        // The segments of one pass share `through`.
        for number in from..self.seals.len() {
            if self.seals[number].seal.through != through {
                break;
            }
            if let Ok(slot) = self.cover(number)?.messages.binary_search(&accept_index) {
                return Ok(Some(Place { segment: number, slot: slot as u32 }));
            }
        }
        Ok(None)
    }

    /// The slots of later results of these messages.
    pub fn events(&mut self, accepts: &BTreeSet<u64>) -> Result<Vec<(u64, Place)>, Error> {
        let Some(first) = accepts.first() else { return Ok(Vec::new()) };
        let from = self.seals.partition_point(|info| info.seal.through <= *first);
        let mut found = Vec::new();
        for number in from..self.seals.len() {
            if self.seals[number].seal.events == 0 {
                continue;
            }
            let cover = self.cover(number)?;
            let messages = cover.messages.len() as u32;
            let events = (messages..).zip(&cover.events).filter(|(_, index)| accepts.contains(index));
            found.extend(events.map(|(slot, index)| (*index, Place { segment: number, slot })));
        }
        Ok(found)
    }

    /// The acceptance that a unit belongs to.
    pub fn accept_index(&mut self, place: Place) -> Result<u64, Error> {
        let cover = self.cover(place.segment)?;
        let slot = place.slot as usize;
        let event = || cover.events.get(slot.checked_sub(cover.messages.len())?);
        cover.messages.get(slot).or_else(event).copied().ok_or(Error::NoSuchUnit)
    }

    /// Which segment has this id.
    pub fn number(&self, segment: &SegmentId) -> Option<usize> {
        self.numbers.get(segment).copied()
    }
}

/// Reads a cover file and holds it against its SEAL leaf.
pub fn load(archive: &Archive, seal: &Seal) -> Result<Cover, Error> {
    let (disk, layout) = (archive.inner.disk.as_ref(), &archive.inner.layout);
    let path = layout.cover(&seal.segment);
    let name = layout.name(&path);
    let octets = files::read(disk, &path, COVER_BYTES_MAX).map_err(|e| Error::io(&name, e))?;
    if sha256(&octets) != seal.cover_hash {
        return Err(Error::damaged(name, Malformed("another hash than in the SEAL leaf")));
    }
    Cover::parse(&octets).map_err(|what| Error::damaged(name, what))
}
