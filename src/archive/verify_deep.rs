//! Level 2: with the officers' key, every unit is opened and held against the leaves that commit to it.

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
use crate::crypto::sha256;
use crate::journal::Leaf;
use crate::journal::LeafEntry;
use std::sync::Arc;

const LEVEL: u8 = 2;

/// Opens everything.
pub fn verify(unlocked: &Unlocked, facts: &Facts, journal: &[LeafEntry], report: &mut Report) {
    let archive = &unlocked.archive().inner;
    let size = unlocked.archive().log_size();
    let leaves = Leaves::new(archive.disk.as_ref(), &archive.layout, size);
    let mut deep = Deep { unlocked, facts, leaves, journal };
    for info in &facts.seals {
        let name = archive.layout.name(&archive.layout.data(&info.seal.segment));
        match unlocked.open(info) {
            Err(e) => report.error(LEVEL, &name, &e),
            Ok(open) => deep.segment(&name, info, &open, report),
        }
    }
}

struct Deep<'a> {
    unlocked: &'a Unlocked,
    facts: &'a Facts,
    leaves: Leaves<'a>,
    /// Leaves that the log does not have yet, in order.
    journal: &'a [LeafEntry],
}

impl Deep<'_> {
    fn segment(&mut self, name: &str, info: &SegmentInfo, open: &OpenSegment, report: &mut Report) {
        let messages = open.directory().messages.len() as u32;
        for (slot, entry) in (0u32..).zip(&open.directory().messages) {
            let checked = self_checked(|wrong| self.message((info, open), slot, entry, wrong));
            conclude(name, slot, checked, report);
        }
        for (slot, entry) in (messages..).zip(&open.directory().events) {
            let checked = self_checked(|wrong| self.event((info, open), slot, entry.accept_index, wrong));
            conclude(name, slot, checked, report);
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
        let said = (meta.accept_index, accept.id, accept.accepted_at, month_of(accept.accepted_at));
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

fn conclude(name: &str, slot: u32, checked: Checked, report: &mut Report) {
    match checked.result {
        Err(Error::Erased) | Ok(()) => {}
        Err(e) => report.error(LEVEL, name, &e),
    }
    for detail in checked.wrong {
        report.add(LEVEL, name, FaultKind::Inconsistent, format!("unit {slot}: {detail}"));
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
