//! Groups: which mail of a seal pass shares a segment. One retention class and one bucket each, so that a segment expires whole
//! or not at all. Never reads mail.

use super::Error;
use super::directory::month_name;
use super::directory::month_of;
use super::leaf::PARTS_MAX;
use super::leaf::Seal;
use super::unit::UNITS_MAX;
use crate::clock::Timestamp;
use crate::journal::GROUP_BYTES_MAX;
use crate::journal::Held;
use crate::journal::LateResult;
use crate::journal::Sealable;
use crate::mail::Retention;
use std::collections::{BTreeMap, BTreeSet};

/// Octets of messages that one pass takes; a longer backlog makes several.
const PASS_BYTES_MAX: u64 = 1 << 30;
/// Octets of a SEAL leaf but for its months, at most.
const SEAL_BYTES: usize = 512;
/// Octets of a month in a SEAL leaf, at most: two numbers below 2^32 and 2^64 in CBOR.
const MONTH_BYTES: usize = 16;

/// What the units of a segment have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The retention class.
    pub class: String,
    /// The month at whose first instant the keep has run out; `None`: kept for ever.
    pub expires: Option<u32>,
    /// The month before which no order may erase; `None`: at any time.
    pub protected: Option<u32>,
}

impl Group {
    /// Where mail of this retention goes.
    pub fn of(retention: &Retention) -> Group {
        Group {
            class: retention.class.clone(),
            expires: retention.keep_until.map(bucket),
            protected: retention.protected_until.map(bucket),
        }
    }

    /// `2032-12`, where it may expire.
    pub fn expires_month(&self) -> Option<String> {
        self.expires.map(month_name)
    }
    /// The same of the protection.
    pub fn protected_month(&self) -> Option<String> {
        self.protected.map(month_name)
    }

    fn of_late(late: &LateResult) -> Result<Group, Error> {
        late.retention().map(|r| Group::of(&r)).ok_or(Error::Bug("the journal holds no record of a sealed message"))
    }

    /// Whether a segment is for this.
    pub fn is_of(&self, seal: &Seal) -> bool {
        (self.class.as_str(), self.expires, self.protected) == (seal.class.as_str(), seal.expires, seal.protected)
    }
}

/// The first month whose first instant is not before `until`.
pub fn bucket(until: Timestamp) -> u32 {
    let (year, month) = until.year_month();
    let is_first_instant = Timestamp::from_date(year, month, 1) == Some(until);
    month_of(until) + u32::from(!is_first_instant)
}

/// What goes into one segment.
#[derive(Default)]
pub struct Content<'a> {
    /// Messages in log order.
    pub messages: Vec<&'a Held>,
    /// Late results by ACCEPT index: each entry an event unit.
    pub late: BTreeMap<u64, Vec<&'a LateResult>>,
}

/// A pass's mail by group, in the order of its segments. A late result goes where its message would go.
pub fn split(sealable: &Sealable) -> Result<BTreeMap<Group, Content<'_>>, Error> {
    let mut groups: BTreeMap<Group, Content<'_>> = BTreeMap::new();
    for entry in &sealable.messages {
        groups.entry(Group::of(&entry.retention())).or_default().messages.push(entry);
    }
    for late in &sealable.results {
        let content = groups.entry(Group::of_late(late)?).or_default();
        content.late.entry(late.accept_index).or_default().push(late);
    }
    Ok(groups)
}

/// The leaf below which all fits into one pass behind `last`, if not everything does.
pub fn bound(sealable: &Sealable, last: Option<&Seal>) -> Result<Option<u64>, Error> {
    let messages = sealable.messages.iter().map(Candidate::Message);
    // Each result counts as a unit, which is never less than the event units it makes.
    let results = sealable.results.iter().map(Candidate::Late);
    let mut candidates: Vec<Candidate<'_>> = messages.chain(results).collect();
    candidates.sort_unstable_by_key(Candidate::index);
    let mut load = Load::behind(last);
    for (before, candidate) in candidates.iter().enumerate() {
        load.add(candidate)?;
        if before > 0 && (before >= UNITS_MAX || load.is_too_much()) {
            return Ok(Some(candidate.index()));
        }
    }
    Ok(None)
}

enum Candidate<'a> {
    Message(&'a Held),
    Late(&'a LateResult),
}

impl Candidate<'_> {
    fn index(&self) -> u64 {
        match self {
            Candidate::Message(entry) => entry.accept_index,
            Candidate::Late(late) => late.leaf_index,
        }
    }
}

/// What a pass would hold.
struct Load {
    octets: u64,
    months: BTreeSet<u32>,
    groups: BTreeSet<Group>,
}

impl Load {
    fn behind(last: Option<&Seal>) -> Load {
        let months = last.iter().flat_map(|seal| seal.months.iter().map(|(month, _)| *month)).collect();
        Load { octets: 0, months, groups: BTreeSet::new() }
    }

    fn add(&mut self, candidate: &Candidate<'_>) -> Result<(), Error> {
        let group = match candidate {
            Candidate::Message(entry) => {
                self.octets = self.octets.saturating_add(entry.body_bytes);
                self.months.insert(month_of(entry.accepted_at));
                Group::of(&entry.retention())
            }
            Candidate::Late(late) => Group::of_late(late)?,
        };
        self.groups.insert(group);
        Ok(())
    }

    fn is_too_much(&self) -> bool {
        self.octets > PASS_BYTES_MAX || self.groups.len() > parts_max(self.months.len())
    }
}

/// Segments of a pass whose SEAL leaves count so many months each: the leaves share a frame of the journal.
fn parts_max(months: usize) -> usize {
    (GROUP_BYTES_MAX / (SEAL_BYTES + MONTH_BYTES * months)).clamp(1, PARTS_MAX as usize)
}

#[cfg(test)]
mod tests {
    use super::super::layout::SegmentId;
    use super::super::leaf::{MONTHS_MAX, Totals};
    use super::super::tile::TreeHead;
    use super::*;

    #[test]
    fn buckets_begin_at_the_first_instant_of_a_month() {
        let day = |text| Timestamp::parse_date(text).expect("a day");
        let ms = |at: Timestamp, ms: i64| Timestamp::from_ms(at.ms() + ms);
        let (november, december) = (2026 * 12 + 10, 2026 * 12 + 11);
        for (until, expected) in [
            (day("2026-11-01"), november),
            (ms(day("2026-11-01"), 1), december),
            (day("2026-11-24"), december),
            (ms(day("2026-12-01"), -1), december),
            (day("2026-12-01"), december),
            (day("2026-12-02"), december + 1),
        ] {
            assert_eq!(bucket(until), expected, "{}", until.rfc3339());
        }
        assert_eq!(december + 1, 2027 * 12);
    }

    #[test]
    fn the_leaves_of_a_pass_fit_into_a_frame() {
        let leaf = |months: u32| {
            let seal = Seal {
                segment: SegmentId::from_octets([1; 16]),
                through: u64::MAX,
                messages: u32::MAX,
                events: u32::MAX,
                data_bytes: u64::MAX,
                data_root: [2; 32],
                keys_bytes: u64::MAX,
                keys_hash: [3; 32],
                slot_root: [4; 32],
                cover_hash: [5; 32],
                raw_bytes: u64::MAX,
                previous: Some(u64::MAX),
                tree: TreeHead { size: u64::MAX, root: [6; 32] },
                totals: Totals { segments: u64::MAX, messages: u64::MAX, stored_bytes: u64::MAX, raw_bytes: u64::MAX },
                months: (0..months).map(|n| (u32::MAX - MONTHS_MAX as u32 + n, u64::MAX)).collect(),
                part: 0,
                parts: PARTS_MAX,
                class: "c".repeat(32),
                expires: Some(u32::MAX),
                protected: Some(u32::MAX),
                acts: Some(u64::MAX),
            };
            seal.to_leaf().expect("a leaf").octets().len() + 2
        };
        for months in [0, 1, 120, 360, 2000, 4000] {
            let most = parts_max(months as usize);
            assert!(most * leaf(months) <= GROUP_BYTES_MAX, "{most} leaves of {} octets", leaf(months));
        }
        assert_eq!([0, 1, 64].map(parts_max), [256, 256, 256], "five years of months are free");
        assert_eq!(parts_max(MONTHS_MAX), 5);
    }
}
