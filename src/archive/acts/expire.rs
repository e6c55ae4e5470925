//! Expiry: everything whose bucket has begun, but what is held or still to be delivered. Never opens a message.

use super::deed::Obstacles;
use super::deed::Run;
use super::deed::Tools;
use super::leaves::Act;
use super::leaves::Expire;
use super::locate::Covers;
use super::locate::Place;
use super::registry::Registry;
use super::slots::Ranges;
use super::slots::Slots;
use crate::archive::Error;
use crate::archive::layout::SegmentId;
use crate::archive::open::Archive;
use std::collections::BTreeMap;

/// What may expire.
#[derive(Clone, Copy, Debug)]
pub struct ExpireTerms<'a> {
    /// Only this class.
    pub class: Option<&'a str>,
    /// Only buckets before this month (year * 12 + month - 1).
    pub before: Option<u32>,
    /// Messages at most.
    pub messages_max: u64,
    /// Whether to do it.
    pub run: Run,
}

/// What expires of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Its class.
    pub class: String,
    /// Its bucket.
    pub expires: u32,
    /// Messages that go.
    pub messages: u64,
    /// Messages that a hold spares.
    pub held: u64,
    /// Messages that are still to be delivered.
    pub queued: u64,
}

/// What expired, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Index of the first EXPIRE leaf; `None` when there was nothing to do or it was only tried.
    pub act: Option<u64>,
    /// Segments of which something goes or is spared.
    pub segments: Vec<ExpiredSegment>,
    /// Messages that go.
    pub messages: u64,
    /// Slots that go: messages and later results.
    pub slots: u64,
    /// Standing holds that have not looked at a segment yet, which is left alone for that.
    pub blind: Vec<String>,
}

impl Archive {
    /// Expires what is due.
    pub fn expire(&self, tools: &Tools<'_>, terms: &ExpireTerms<'_>) -> Result<Expired, Error> {
        let now = tools.clock.now();
        let _pass = self.settled(tools)?;
        let registry = self.acts()?;
        let mut covers = Covers::new(self)?;
        let obstacles = Obstacles::now(self, &registry, tools)?;
        let (mut expired, mut slots) = (Expired::default(), BTreeMap::new());
        for number in 0..covers.segments().len() {
            let info = covers.segments()[number].clone();
            let due = |month: &u32| *month <= obstacles.month && terms.before.is_none_or(|before| *month < before);
            let Some(expires) = info.seal.expires.filter(due) else { continue };
            let is_other = terms.class.is_some_and(|class| class != info.seal.class);
            if is_other || registry.gone_count(&info.seal.segment) == info.seal.units() {
                continue;
            }
            let blind: Vec<String> = obstacles.blind(info.seal_index).map(str::to_owned).collect();
            if !blind.is_empty() {
                expired.blind.extend(blind);
                continue;
            }
            let (taken, told) = one(&registry, &obstacles, &mut covers, number, expires)?;
            expired.messages += told.messages;
            slots.insert(info.seal.segment, taken);
            expired.segments.push(told);
        }
        expired.blind.sort_unstable();
        expired.blind.dedup();
        if expired.messages > terms.messages_max && terms.run == Run::Real {
            let (count, most) = (expired.messages, terms.messages_max);
            return Err(Error::Refused(format!("{count} messages are due, more than the limit of {most}")));
        }
        let slots = Slots::of(slots);
        expired.slots = slots.count();
        if terms.run == Run::Dry || slots.is_empty() {
            return Ok(expired);
        }
        let leaf = |(part, slots)| Act::Expire(Expire { previous: self.last_act(), part, at: now, slots });
        let acts: Vec<Act> = (0u32..).zip(slots.parts()).map(leaf).collect();
        expired.act = Some(self.append_acts(tools.journal, &acts)?);
        self.bury_or_later(&slots);
        Ok(expired)
    }
}

/// What goes of one segment.
fn one(
    registry: &Registry,
    obstacles: &Obstacles<'_>,
    covers: &mut Covers<'_>,
    number: usize,
    expires: u32,
) -> Result<(Ranges, ExpiredSegment), Error> {
    let seal = covers.seal(number)?.clone();
    let segment = seal.segment;
    let mut told = ExpiredSegment { segment, class: seal.class, expires, messages: 0, held: 0, queued: 0 };
    let mut taken = Vec::new();
    for slot in 0..seal.messages + seal.events {
        let place = Place { segment: number, slot };
        if registry.gone_by(&segment, slot).is_some() {
            continue;
        }
        let counts = u64::from(slot < seal.messages);
        let is_queued = !obstacles.queued.is_empty() && obstacles.queued.contains(&covers.accept_index(place)?);
        if !obstacles.holds(covers, place)?.is_empty() {
            told.held += counts;
        } else if is_queued {
            told.queued += counts;
        } else {
            told.messages += counts;
            taken.push(slot);
        }
    }
    Ok((Ranges::of(taken), told))
}
