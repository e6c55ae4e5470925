//! Levels 1 and 2: with the officers' key, units are opened and held against the leaves that commit to them; all of them, or a
//! random sample.

use super::Error;
use super::directory::MessageEntry;
use super::directory::month_of;
use super::group::Group;
use super::leaf::Seal;
use super::log::Leaves;
use super::meta::ResultRecord;
use super::open::SegmentInfo;
use super::segment_reader::OpenSegment;
use super::unlocked::Unlocked;
use super::verify::Facts;
use super::verify::FaultKind;
use super::verify::Report;
use super::verify::Seen;
use crate::crypto::Secret;
use crate::crypto::random;
use crate::crypto::sha256;
use crate::journal::Leaf;
use crate::journal::LeafEntry;
use std::sync::Arc;

/// A sample has one unit of each segment, and of the others one in this many.
const SAMPLE_ONE_IN: u64 = 50;

/// How much is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// A random sample: level 1.
    Sample,
    /// Every unit: level 2.
    #[default]
    Whole,
}

impl Depth {
    fn level(self) -> u8 {
        match self {
            Depth::Sample => 1,
            Depth::Whole => 2,
        }
    }
}

/// The slots of a segment that are opened.
enum Chosen {
    All,
    /// What nobody can know before: a seed of the kernel's.
    Sample {
        seed: [u8; 32],
        always: u64,
    },
}

impl Chosen {
    fn of(depth: Depth, units: u64) -> Chosen {
        match (depth, random::bytes::<32>()) {
            (Depth::Sample, Ok(seed)) => Chosen::Sample { seed, always: number(&seed, u64::MAX) % units.max(1) },
            // Without randomness nothing can be left out.
            _ => Chosen::All,
        }
    }
    fn has(&self, slot: u32) -> bool {
        match self {
            Chosen::All => true,
            Chosen::Sample { seed, always } => {
                u64::from(slot) == *always || number(seed, u64::from(slot)).is_multiple_of(SAMPLE_ONE_IN)
            }
        }
    }
}

/// A number that the seed and a slot give.
fn number(seed: &[u8; 32], slot: u64) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(&[&seed[..], &slot.to_be_bytes()].concat());
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Opens units of every segment.
pub fn verify(unlocked: &Unlocked, (facts, journal): (&Facts, &[LeafEntry]), depth: Depth, report: &mut Report) {
    let archive = &unlocked.archive().inner;
    let size = unlocked.archive().log_size();
    let level = depth.level();
    let leaves = Leaves::new(archive.disk.as_ref(), &archive.layout, size);
    let mut deep = Deep { unlocked, facts, depth, leaves, journal };
    for info in &facts.seals {
        let name = archive.layout.name(&archive.layout.data(&info.seal.segment));
        match unlocked.open(info) {
            // What became of it is level 0's.
            Err(Error::Erased) => {}
            Err(e) => report.error(level, &name, &e),
            Ok(open) => deep.segment(&name, info, &open, report),
        }
    }
}

struct Deep<'a> {
    unlocked: &'a Unlocked,
    facts: &'a Facts,
    depth: Depth,
    leaves: Leaves<'a>,
    /// Leaves that the log does not have yet, in order.
    journal: &'a [LeafEntry],
}

impl Deep<'_> {
    fn segment(&mut self, name: &str, info: &SegmentInfo, open: &OpenSegment, report: &mut Report) {
        let directory = open.directory();
        let messages = directory.messages.len() as u32;
        let level = self.depth.level();
        let chosen = Chosen::of(self.depth, u64::from(messages) + directory.events.len() as u64);
        for (slot, entry) in (0u32..).zip(&directory.messages).filter(|(slot, _)| chosen.has(*slot)) {
            let checked = self_checked(|wrong| self.message((info, open), slot, entry, wrong));
            conclude(level, name, slot, checked, report);
        }
        for (slot, entry) in (messages..).zip(&directory.events).filter(|(slot, _)| chosen.has(*slot)) {
            let checked = self_checked(|wrong| self.event((info, open), slot, entry.accept_index, wrong));
            conclude(level, name, slot, checked, report);
        }
    }

    fn message(
        &mut self,
        (info, open): (&SegmentInfo, &OpenSegment),
        slot: u32,
        entry: &MessageEntry,
        wrong: &mut Vec<String>,
    ) -> Result<(), Error> {
        let meta = open.meta(slot)?;
        let octets = open.octets(slot)?;
        let mek = open.message_key(slot)?;
        let accept = meta.accept().map_err(|what| Error::damaged(format!("accept record of unit {slot}"), what))?;
        if sha256(&octets) != accept.body_sha256 || octets.len() as u64 != accept.body_bytes {
            wrong.push("the octets are not those that were accepted".into());
        }
        let said = (meta.accept_index, accept.id, accept.accepted_at, month_of(accept.internal_date()));
        if said != (entry.accept_index, entry.id, entry.accepted_at, entry.month) {
            wrong.push("the directory says otherwise than the unit".into());
        }
        if !Group::of(&accept.retention()).is_of(&info.seal) {
            wrong.push("the segment is of another class or bucket than the unit".into());
        }
        let leaf = Leaf::accept(&mek, &accept.id, &meta.accept_record);
        self.committed(meta.accept_index, &leaf, wrong)?;
        self.results(&mek, meta.accept_index, &meta.results, wrong)
    }

    fn event(
        &mut self,
        (info, open): (&SegmentInfo, &OpenSegment),
        slot: u32,
        accept_index: u64,
        wrong: &mut Vec<String>,
    ) -> Result<(), Error> {
        let event = open.event(slot)?;
        if event.accept_index != accept_index {
            wrong.push("the directory says otherwise than the unit".into());
        }
        match self.message_key(event.accept_index)? {
            Some((message, mek)) => {
                let of = |seal: &Seal| (seal.class.clone(), seal.expires, seal.protected);
                if of(&message.seal) != of(&info.seal) {
                    wrong.push("the segment is of another class or bucket than the message".into());
                }
                self.results(&mek, event.accept_index, &event.results, wrong)
            }
            // A message lost to declared damage has no key any more.
            None if self.facts.in_gap(event.accept_index) => Ok(()),
            None => {
                wrong.push(format!("no segment before has the message of leaf {accept_index}"));
                Ok(())
            }
        }
    }

    fn results(
        &mut self,
        mek: &Secret<32>,
        accept_index: u64,
        results: &[ResultRecord],
        wrong: &mut Vec<String>,
    ) -> Result<(), Error> {
        for result in results {
            let leaf = Leaf::result(mek, accept_index, result.ordinal, &result.record);
            self.committed(result.leaf_index, &leaf, wrong)?;
        }
        Ok(())
    }

    /// Whether the log, or the journal behind it, has this very leaf at `index`.
    fn committed(&mut self, index: u64, leaf: &Leaf, wrong: &mut Vec<String>) -> Result<(), Error> {
        if self.facts.seen.get(index as usize) == Some(&Seen::Unknown) {
            // Its octets are damaged, which has its own finding.
            return Ok(());
        }
        let behind = self.journal.binary_search_by_key(&index, |entry| entry.index);
        let has = match self.leaves.get(index)? {
            None => behind.ok().map(|at| &self.journal[at].octets[..]),
            some => some,
        };
        if has != Some(&leaf.octets()[..]) {
            wrong.push(format!("leaf {index} commits to something else"));
        }
        Ok(())
    }

    /// The key of the message accepted at `accept_index`, with whichever segment of its pass covers it.
    fn message_key(&self, accept_index: u64) -> Result<Option<(&SegmentInfo, Secret<32>)>, Error> {
        let at = self.facts.seals.partition_point(|info| info.seal.through <= accept_index);
        let through = self.facts.seals.get(at).map(|info| info.seal.through);
        for info in self.facts.seals[at..].iter().take_while(|info| Some(info.seal.through) == through) {
            let open: Arc<OpenSegment> = self.open(info)?;
            let messages = &open.directory().messages;
            if let Ok(slot) = messages.binary_search_by_key(&accept_index, |entry| entry.accept_index) {
                return Ok(Some((info, open.message_key(slot as u32)?)));
            }
        }
        Ok(None)
    }

    fn open(&self, info: &SegmentInfo) -> Result<Arc<OpenSegment>, Error> {
        self.unlocked.open(info)
    }
}

fn conclude(level: u8, name: &str, slot: u32, checked: Checked, report: &mut Report) {
    report.opened += 1;
    match checked.result {
        Err(Error::Erased) | Ok(()) => {}
        Err(e) => report.error(level, name, &e),
    }
    for detail in checked.wrong {
        report.add(level, name, FaultKind::Inconsistent, format!("unit {slot}: {detail}"));
    }
}

/// What checking one unit gave: an error that stopped it, and what did not fit.
struct Checked {
    result: Result<(), Error>,
    wrong: Vec<String>,
}

fn self_checked(check: impl FnOnce(&mut Vec<String>) -> Result<(), Error>) -> Checked {
    let mut wrong = Vec::new();
    let result = check(&mut wrong);
    Checked { result, wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_one_unit_of_each_segment_and_few_of_many() {
        for units in [1u32, 2, 60] {
            let chosen = Chosen::of(Depth::Sample, u64::from(units));
            assert!((0..units).any(|slot| chosen.has(slot)), "{units}");
        }
        let opened = (0..50_000).filter(|slot| Chosen::of(Depth::Sample, 50_000).has(*slot)).count();
        assert!((700..1300).contains(&opened), "{opened} of 50,000, and not always the same");
        assert!((0..100).all(|slot| Chosen::of(Depth::Whole, 100).has(slot)));
    }
}
