//! What happens to a store, by seed: mail of several sizes and classes, results early and late, seal passes, leaves of other kinds.

use super::super::Error;
use super::super::tests::world::{accept_draft, kept};
use super::world::{Known, Store, World};
use crate::clock::Clock;
use crate::journal;
use crate::journal::Leaf;
use crate::journal::Outcome;
use crate::journal::RecipientResult;
use crate::journal::RecipientState;
use crate::mail::{MailId, Retention};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;

/// Stands in every message, in its header, its body and its envelope's reply; never in the clear on the disk.
pub const MARKER: &str = "Quixotic-Zephyr-Marker";

impl World {
    /// One step. An error means that something was not acknowledged.
    pub fn step(&mut self, store: &Store) -> Result<(), Error> {
        match self.random.below(16) {
            0..6 => self.burst(store),
            6..10 => self.deliver(store),
            10 => self.append(store),
            11 => {
                // A month or an hour.
                let s = if self.random.below(3) == 0 { 31 * 86_400 } else { 3_600 };
                self.clock.advance_s(s);
                Ok(())
            }
            _ => self.seal(store),
        }
    }

    /// Messages from several connections at once.
    fn burst(&mut self, store: &Store) -> Result<(), Error> {
        let mut waiting = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            waiting.push(self.submit(store)?);
        }
        let mut first = Ok(());
        for (id, answer) in waiting {
            let answered = answer.recv().expect("an answer comes");
            first = first.and(self.acknowledge(store, id, answered));
        }
        first
    }

    fn submit(&mut self, store: &Store) -> Result<(MailId, mpsc::Receiver<Result<MailId, journal::Error>>), Error> {
        self.next += 1;
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.next.to_be_bytes());
        let id = MailId::new(self.clock.now(), random);
        let octets = self.message();
        let mut draft = store.journal.draft(id)?;
        draft.append(&octets)?;
        self.perhaps.insert(id, octets);
        let draft_of = accept_draft(self.clock.now(), self.retention());
        let (sender, receiver) = mpsc::channel();
        draft.commit(draft_of, Box::new(move |answer| drop(sender.send(answer))));
        Ok((id, receiver))
    }

    /// Half of the mail is kept for ever, the rest goes to other segments.
    fn retention(&mut self) -> Retention {
        match self.random.below(6) {
            0 => kept("ledger", 3650),
            1 => kept("ledger", 3700),
            2 => kept("news", 30),
            _ => Retention::forever(),
        }
    }

    fn acknowledge(
        &mut self,
        store: &Store,
        id: MailId,
        answered: Result<MailId, journal::Error>,
    ) -> Result<(), Error> {
        answered?;
        let octets = self.perhaps.remove(&id).expect("submitted");
        let entry = store.journal.entry(&id).ok_or(Error::Bug("acknowledged, and not there"))?;
        let (ended, unsure) = (BTreeMap::new(), BTreeSet::new());
        self.known.insert(id, Known { octets, accept_index: entry.accept_index, ended, unsure });
        Ok(())
    }

    fn message(&mut self) -> Vec<u8> {
        let lines = match self.random.below(8) {
            0 => 0,
            1 => 600,
            _ => 1 + self.random.below(9),
        };
        let number = self.next;
        let mut text = format!("From: {MARKER}@example.org\r\nTo: b@example.net\r\nSubject: {MARKER} {number}\r\n\r\n");
        for _ in 0..lines {
            text.push_str(&format!("{MARKER} {:016x} {:016x}\r\n", self.random.next(), self.random.next()));
        }
        text.into_bytes()
    }

    /// A result for some recipient who waits, before or after the message was sealed.
    fn deliver(&mut self, store: &Store) -> Result<(), Error> {
        let pending = store.journal.pending();
        let Some(entry) = pending.get(usize::try_from(self.random.below(pending.len() as u64)).expect("small")) else {
            return Ok(());
        };
        let place = entry.states.iter().position(RecipientState::is_pending).expect("pending");
        let (id, recipient) = (entry.accept.id, u32::try_from(place).expect("few"));
        let (is_last, is_lazy) = (self.random.below(4) != 0, self.random.below(3) == 0);
        let outcome = match is_last {
            true => Outcome::Delivered { reply: format!("250 {MARKER}") },
            false => Outcome::Deferred { reply: "451 later".into(), next_at: self.clock.now() },
        };
        let result = RecipientResult { recipient, at: self.clock.now(), next_hop: "hop".into(), outcome };
        if is_last && let Some(known) = self.known.get_mut(&id) {
            known.unsure.insert(recipient);
        }
        if is_lazy {
            return Ok(store.journal.record_results(id, vec![result], journal::Sync::Lazy, None)?);
        }
        let (sender, receiver) = mpsc::channel();
        let done: journal::Done<()> = Box::new(move |answer| drop(sender.send(answer)));
        store.journal.record_results(id, vec![result], journal::Sync::Now, Some(done))?;
        receiver.recv().expect("an answer comes")?;
        let leaf = store.journal.entry(&id).and_then(|entry| {
            entry.results.iter().find(|(_, result)| result.recipient == recipient).map(|(leaf, _)| *leaf)
        });
        if let (true, Some(leaf), Some(known)) = (is_last, leaf, self.known.get_mut(&id)) {
            known.ended.insert(recipient, leaf);
            known.unsure.remove(&recipient);
        }
        Ok(())
    }

    /// Leaves that no segment needs; sometimes as many as fill a tile.
    fn append(&mut self, store: &Store) -> Result<(), Error> {
        let count = if self.random.below(3) == 0 { 250 } else { 1 + self.random.below(4) };
        let leaf =
            |records| super::super::leaf::Anchor::AuditHead { records, chain: [7; 32] }.to_leaf().expect("short");
        let leaves: Vec<Leaf> = (0..count).map(leaf).collect();
        let (sender, receiver) = mpsc::channel();
        store.journal.append_leaves(&leaves, Box::new(move |answer| drop(sender.send(answer))));
        receiver.recv().expect("an answer comes")?;
        Ok(())
    }

    /// A seal pass. The keys of what it takes are noted first.
    pub fn seal(&mut self, store: &Store) -> Result<(), Error> {
        self.note_keys(store);
        store.archive.seal(&store.journal, self.clock.as_ref())?;
        Ok(())
    }

    pub fn note_keys(&mut self, store: &Store) {
        let sealable = store.journal.sealable(store.journal.durable_leaves());
        self.keys.extend(sealable.messages.iter().filter_map(|held| held.mek().map(|mek| *mek.expose())));
    }
}
