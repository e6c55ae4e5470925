//! From frames to state: what a replay learns from each frame. Never touches the disk but to read a long record back.

use super::carried::{CARRIED_BYTES_MAX, Carried};
use super::file::JournalFile;
use super::frame::{Acceptance, Carrying, Frame, RECORD_BYTES_MAX, RECORD_STREAM, Resulting};
use super::leaf;
use super::leaf::{Leaf, LeafKind};
use super::message::{Kept, Message, Parts};
use super::readers;
use super::readers::{Accepted, Said};
use super::record::RecipientResult;
use super::state::State;
use super::streams::Streams;
use super::walk::Found;
use crate::mail::MailId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What frames have said so far.
pub struct Ingest {
    pub state: State,
    /// Leaves by index.
    pub leaves: BTreeMap<u64, Arc<[u8]>>,
    /// Files that were about to become free.
    pub retired: BTreeSet<u64>,
    /// Authentic frames that make no sense.
    pub faults: Vec<String>,
    /// Messages not accepted yet, and perhaps never.
    drafts: HashMap<MailId, Streams>,
}

/// What a file's frames need before the file may go.
#[derive(Default)]
pub struct Needs {
    pub leaves_end: u64,
    pub homes: BTreeSet<u64>,
}

impl Ingest {
    pub fn new(state: State) -> Ingest {
        Ingest { state, leaves: BTreeMap::new(), retired: BTreeSet::new(), faults: Vec::new(), drafts: HashMap::new() }
    }

    /// Takes in what one frame said.
    pub fn hear(&mut self, file: &Arc<JournalFile>, needs: &mut Needs, said: Said) {
        match said {
            Said::Piece { id, stream, chunk } => self.drafts.entry(id).or_default().add(stream, chunk),
            Said::Accepted(accepted) => {
                let (id, index) = (accepted.accept.id, accepted.index);
                if self.accepted(file, needs, *accepted).is_none() {
                    self.faults.push(format!("{}: {id} is accepted twice, as leaf {index}", file.path.display()));
                }
            }
            Said::Other(found) => self.frame(file, needs, &found),
        }
    }

    fn frame(&mut self, file: &Arc<JournalFile>, needs: &mut Needs, found: &Found) {
        let taken = match Frame::decode(&found.plain) {
            Some(Frame::Accept(acceptance)) => self.accept(file, needs, &acceptance),
            Some(Frame::Carry(carrying)) => self.carry(file, needs, &carrying),
            Some(Frame::Result(resulting)) => self.result(needs, &resulting),
            Some(Frame::Abort(id)) => {
                self.drafts.remove(&id);
                Some(())
            }
            Some(Frame::Leaves(leafing)) => leaf::parse_group(leafing.group).map(|members| {
                for (index, octets) in (leafing.first..).zip(members) {
                    self.leaf(needs, index, octets.into());
                }
            }),
            Some(Frame::Retire(ordinal)) => {
                self.retired.insert(ordinal);
                Some(())
            }
            // A piece is told of as one; here it can only be none.
            Some(Frame::Body(_)) | None => None,
        };
        if taken.is_none() {
            let name = file.path.display();
            self.faults.push(format!("{name}: frame {} of batch {} makes no sense", found.place, found.sequence));
        }
    }

    fn leaf(&mut self, needs: &mut Needs, index: u64, octets: Arc<[u8]>) {
        needs.leaves_end = needs.leaves_end.max(index.saturating_add(1));
        self.leaves.insert(index, octets);
    }

    /// An ACCEPT whose record is a stream.
    fn accept(&mut self, file: &Arc<JournalFile>, needs: &mut Needs, acceptance: &Acceptance<'_>) -> Option<()> {
        let streams = self.drafts.get(&acceptance.id)?;
        let (record, bytes) = (acceptance.record, acceptance.record_bytes);
        let record = record_octets(&acceptance.id, record, bytes, RECORD_BYTES_MAX, streams)?;
        self.accepted(file, needs, readers::restore(acceptance, &record)?)
    }

    fn accepted(&mut self, file: &Arc<JournalFile>, needs: &mut Needs, accepted: Accepted) -> Option<()> {
        let Accepted { accept, record, index, leaf, blinding } = accepted;
        let streams = self.drafts.remove(&accept.id).unwrap_or_default();
        self.leaf(needs, index, leaf);
        if self.state.message(&accept.id).is_some() {
            return None;
        }
        let parts = Parts { streams, kept: Kept::All, blinding };
        self.state.accepted(Box::new(Message::new(accept, record, index, parts, file)), None);
        Some(())
    }

    fn carry(&mut self, file: &Arc<JournalFile>, needs: &mut Needs, carrying: &Carrying<'_>) -> Option<()> {
        let id = carrying.id;
        let streams = self.drafts.remove(&id).unwrap_or_default();
        let bound = CARRIED_BYTES_MAX;
        let record = record_octets(&id, carrying.record, carrying.record_bytes, bound, &streams)?;
        let carried: Carried = minicbor::decode(&record).ok()?;
        let mut message = carried.restore(id, streams, file)?;
        if let Some(former) = self.state.message(&id) {
            needs.homes.insert(former.home.ordinal);
            if carried.accept_index() >= self.state.sealed_through() && former.held.mek().is_some() {
                // This archive is older than the CARRY: the message must be sealed again, and stays where all of it is.
                return Some(());
            }
            for stream in carried.streams() {
                if !message.has_whole(*stream) && former.has_whole(*stream) {
                    message.streams.replace(*stream, &former.streams);
                }
            }
        }
        self.state.carried(message);
        Some(())
    }

    fn result(&mut self, needs: &mut Needs, resulting: &Resulting<'_>) -> Option<()> {
        let result: RecipientResult = minicbor::decode(resulting.record).ok()?;
        if resulting.leaf.is_some() != result.outcome.is_terminal() {
            return None;
        }
        needs.leaves_end = needs.leaves_end.max(resulting.leaf.map_or(0, |leaf| leaf.saturating_add(1)));
        // The message is gone when its file is: all about it is sealed then, and this file follows.
        let Some(message) = self.state.message_mut(&resulting.id) else { return Some(()) };
        message.apply(&result);
        if result.outcome.is_lasting() {
            needs.homes.insert(message.home.ordinal);
        }
        if let Some(index) = resulting.leaf {
            let accept_index = message.held.accept_index;
            let leaf = message.held.blinding.result_leaf(accept_index, resulting.ordinal, resulting.record)?;
            message.held.skip_to(resulting.ordinal);
            self.state.resulted(&resulting.id, index, result);
            self.leaf(needs, index, leaf.octets().into());
        }
        Some(())
    }

    /// Ranges that GAP leaves have declared lost.
    pub fn declared(&self) -> Vec<(u64, u64)> {
        let gaps = self.leaves.values().filter(|octets| octets.first() == Some(&(LeafKind::Gap as u8)));
        gaps.filter_map(|octets| Leaf::parse(octets)?.gap_range()).collect()
    }
}

/// A record of `bytes` octets, at most `most`: from its frame, or a stream when it was too long for one.
fn record_octets(id: &MailId, record: Option<&[u8]>, bytes: u64, most: u64, streams: &Streams) -> Option<Vec<u8>> {
    let octets = match record {
        Some(record) => record.to_vec(),
        None if bytes <= most && streams.is_complete(RECORD_STREAM, bytes) => streams.read(id, RECORD_STREAM).ok()?,
        None => return None,
    };
    (octets.len() as u64 == bytes).then_some(octets)
}
