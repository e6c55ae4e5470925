//! What the journal knows in memory: messages, the unsealed end of the log, and what is sealed. Never does I/O.

use super::held::Held;
use super::message::{Health, Message, Reader};
use super::record::{Content, LateResult, LeafEntry, RecipientResult, RecipientState, Sealable};
use crate::clock::Timestamp;
use crate::mail::MailId;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Octets of bodies kept in memory because delivery follows at once: 100 messages of 20 KB, more than are on their way at a time
/// unless deliveries are behind. What falls out is read back from the disk, or from the system's cache of it.
pub const CACHE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a leaf in the unsealed range is about.
#[derive(Clone, Copy, Debug)]
enum Event {
    Accept(MailId),
    /// The message and the position of its result.
    Result(MailId, usize),
}

/// The journal's memory.
pub struct State {
    /// Boxed: the table has twice the places it needs, and more when many messages were waiting once.
    messages: HashMap<MailId, Box<Message>>,
    /// Accepts and results by leaf index, from `sealed_through` on.
    events: BTreeMap<u64, Event>,
    leaves: VecDeque<Arc<[u8]>>,
    first_leaf: u64,
    sealed_through: u64,
    unsealed_bytes: u64,
    cache: Cache,
}

impl State {
    /// Nothing yet; the next leaf gets index `first_leaf`.
    pub fn new(first_leaf: u64, sealed_through: u64) -> State {
        State {
            messages: HashMap::new(),
            events: BTreeMap::new(),
            leaves: VecDeque::new(),
            first_leaf,
            sealed_through,
            unsealed_bytes: 0,
            cache: Cache::default(),
        }
    }

    /// The index the next leaf gets; all below are durable.
    pub fn leaves_end(&self) -> u64 {
        self.first_leaf + self.leaves.len() as u64
    }
    /// Everything below is sealed.
    pub fn sealed_through(&self) -> u64 {
        self.sealed_through
    }
    /// Octets of messages not yet sealed.
    pub fn unsealed_bytes(&self) -> u64 {
        self.unsealed_bytes
    }
    /// When the oldest message not yet sealed was accepted.
    pub fn oldest_unsealed(&self) -> Option<Timestamp> {
        self.events.values().find_map(|event| match event {
            Event::Accept(id) => self.messages.get(id).map(|m| m.held.accepted_at),
            Event::Result(..) => None,
        })
    }

    /// The unsealed end of the log as a replay found it.
    pub fn restore_leaves(&mut self, first: u64, leaves: impl Iterator<Item = Arc<[u8]>>) {
        self.first_leaf = first;
        self.leaves = leaves.collect();
    }

    /// Appends a durable leaf.
    pub fn push_leaf(&mut self, octets: Arc<[u8]>) {
        self.leaves.push_back(octets);
    }

    /// Durable leaves from `from` on, at most `max`.
    pub fn leaves(&self, from: u64, max: usize) -> Vec<LeafEntry> {
        let skip = usize::try_from(from.saturating_sub(self.first_leaf)).unwrap_or(usize::MAX);
        let numbered = (self.first_leaf..).zip(&self.leaves).skip(skip).take(max);
        numbered.map(|(index, octets)| LeafEntry { index, octets: Arc::clone(octets) }).collect()
    }

    /// Adds an accepted message, whose ACCEPT is durable.
    pub fn accepted(&mut self, message: Box<Message>, cached: Option<Arc<[u8]>>) {
        let (id, index) = (message.held.id, message.held.accept_index);
        if index >= self.sealed_through {
            self.events.insert(index, Event::Accept(id));
            self.unsealed_bytes += message.held.body_bytes;
        }
        self.messages.insert(id, message);
        if let Some(octets) = cached {
            for fallen in self.cache.put(id, octets) {
                self.pack(&fallen);
            }
        }
    }

    /// A message that a replay finds carried, in place of what was known of it.
    pub fn carried(&mut self, message: Message) {
        self.messages.insert(message.held.id, Box::new(message));
    }

    /// Adds a terminal result, whose RESULT is durable with this leaf. The states must show it already.
    pub fn resulted(&mut self, id: &MailId, leaf: u64, result: RecipientResult) {
        let Some(message) = self.messages.get_mut(id) else { return };
        message.changes += 1;
        let results = Arc::make_mut(&mut message.held.results);
        if results.is_empty() {
            // Most messages have one result, which stays until it is sealed.
            results.reserve_exact(1);
        }
        results.push((leaf, result));
        if leaf >= self.sealed_through {
            self.events.insert(leaf, Event::Result(*id, results.len() - 1));
        }
    }

    /// Something came of a delivery: unless a first attempt is still to be made, the next reader comes in minutes.
    pub fn cool(&mut self, id: &MailId) {
        let is_new = |state: &RecipientState| matches!(state, RecipientState::Pending { attempts: 0, .. });
        if !self.messages.get(id).is_some_and(|message| message.held.states.iter().any(is_new)) {
            self.cache.drop(id);
            self.pack(id);
        }
    }

    /// Keeps the record of a message as octets alone: nobody will ask for it soon.
    fn pack(&mut self, id: &MailId) {
        if let Some(message) = self.messages.get_mut(id) {
            message.held.pack();
        }
    }

    /// A message.
    pub fn message(&self, id: &MailId) -> Option<&Message> {
        self.messages.get(id).map(Box::as_ref)
    }
    /// A message, to change its delivery.
    pub fn message_mut(&mut self, id: &MailId) -> Option<&mut Message> {
        self.messages.get_mut(id).map(Box::as_mut)
    }
    /// All messages, in no order.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().map(Box::as_ref)
    }
    /// All messages, to mark what replay finds about them.
    pub fn messages_mut(&mut self) -> impl Iterator<Item = &mut Message> {
        self.messages.values_mut().map(Box::as_mut)
    }

    /// Whether a rendition consists of octets that are still in memory.
    pub fn is_cached(&self, id: &MailId, rendition: usize) -> bool {
        let is_received = |message: &Message| {
            let accept = message.held.accept();
            accept.renditions.get(rendition).is_some_and(|rendition| rendition.content == Content::Original)
        };
        self.cache.bodies.contains_key(id) && self.message(id).is_some_and(is_received)
    }

    /// What reading a message's octets needs.
    pub fn reader(&self, id: &MailId) -> Option<Reader> {
        let message = self.messages.get(id)?;
        let (held, streams, kept) = (message.held.clone(), message.streams.clone(), message.kept.clone());
        Some(Reader { held, streams, kept, cached: self.cache.octets(id) })
    }

    /// What a seal pass up to `through` takes. Damaged messages are declared in a GAP leaf instead.
    pub fn sealable(&self, through: u64) -> Sealable {
        let mut sealable = Sealable::default();
        for (leaf, event) in self.events.range(self.sealed_through..through.max(self.sealed_through)) {
            match event {
                Event::Accept(id) => sealable.messages.extend(self.sealable_entry(id, through)),
                Event::Result(id, position) => sealable.results.extend(self.late_result(id, *leaf, *position)),
            }
        }
        sealable
    }

    fn sealable_entry(&self, id: &MailId, through: u64) -> Option<Held> {
        let message = self.messages.get(id).filter(|m| m.health == Health::Whole)?;
        message.held.mek()?;
        let mut held = message.held.clone();
        if held.results.last().is_some_and(|(leaf, _)| *leaf >= through) {
            Arc::make_mut(&mut held.results).retain(|(leaf, _)| *leaf < through);
        }
        Some(held)
    }

    fn late_result(&self, id: &MailId, leaf_index: u64, position: usize) -> Option<LateResult> {
        let held = &self.messages.get(id)?.held;
        let (_, result) = held.results.get(position)?;
        (held.accept_index < self.sealed_through).then(|| LateResult {
            id: *id,
            accept_index: held.accept_index,
            leaf_index,
            ordinal: held.ordinal(position),
            result: result.clone(),
            accept_octets: Arc::clone(&held.accept_octets),
        })
    }

    /// Everything below `through` is in durable segments and tiles: forgets what is sealed and final.
    pub fn sealed(&mut self, through: u64) {
        let through = through.min(self.leaves_end());
        if through <= self.sealed_through {
            return;
        }
        let unsealed = self.events.split_off(&through);
        for event in std::mem::replace(&mut self.events, unsealed).into_values() {
            if let Event::Accept(id) = event {
                let bytes = self.messages.get(&id).map_or(0, |m| m.held.body_bytes);
                self.unsealed_bytes = self.unsealed_bytes.saturating_sub(bytes);
            }
        }
        self.sealed_through = through;
        let sealed_leaves = usize::try_from(through.saturating_sub(self.first_leaf)).unwrap_or(usize::MAX);
        self.leaves.drain(..sealed_leaves.min(self.leaves.len()));
        self.first_leaf = self.first_leaf.max(through);
        self.forget_finished();
    }

    /// Drops messages that are final and wholly sealed; their files are then free to go.
    pub fn forget_finished(&mut self) {
        let through = self.sealed_through;
        let cache = &mut self.cache;
        self.messages.retain(|id, message| {
            let kept = message.leaves_end() > through || !message.is_final();
            if !kept {
                cache.drop(id);
            }
            kept
        });
    }
}

/// Small bodies whose delivery is near; the oldest go first.
#[derive(Default)]
struct Cache {
    bodies: HashMap<MailId, Arc<[u8]>>,
    order: VecDeque<MailId>,
    bytes: usize,
}

impl Cache {
    /// Those that fell out for it.
    fn put(&mut self, id: MailId, octets: Arc<[u8]>) -> Vec<MailId> {
        let mut fallen = Vec::new();
        self.bytes += octets.len();
        self.order.push_back(id);
        self.bodies.insert(id, octets);
        while self.bytes > CACHE_BYTES_MAX || self.order.len() > 2 * self.bodies.len() + 64 {
            let Some(oldest) = self.order.pop_front() else { break };
            if self.bodies.contains_key(&oldest) {
                self.drop(&oldest);
                fallen.push(oldest);
            }
        }
        fallen
    }
    fn octets(&self, id: &MailId) -> Option<Arc<[u8]>> {
        self.bodies.get(id).map(Arc::clone)
    }
    fn drop(&mut self, id: &MailId) {
        self.bytes -= self.bodies.remove(id).map_or(0, |octets| octets.len());
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::id;
    use super::*;

    #[test]
    fn the_cache_holds_what_it_may_and_drops_the_oldest() {
        let mut cache = Cache::default();
        let octets: Arc<[u8]> = vec![0; CACHE_BYTES_MAX / 4].into();
        for n in 0..4 {
            cache.put(id(n), Arc::clone(&octets));
        }
        assert!((0..4).all(|n| cache.octets(&id(n)).is_some()), "at the bound");
        cache.put(id(4), vec![0; 1].into());
        assert!(cache.octets(&id(0)).is_none() && cache.octets(&id(1)).is_some(), "one past it");
        (0..5).for_each(|n| cache.drop(&id(n)));
        assert_eq!(cache.bytes, 0);
        (0..1000).for_each(|n| {
            cache.put(id(n), vec![0; 1].into());
            cache.drop(&id(n));
        });
        assert!(cache.order.len() < 100, "names of what is gone go too");
    }
}
