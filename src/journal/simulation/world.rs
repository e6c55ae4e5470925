//! What the outside remembers: every acknowledgement given, every leaf made known, what the archive sealed. After each crash
//! the whole journal is held against it.

use super::super::fixtures;
use super::super::inspect;
use super::super::settings;
use super::super::{
    AcceptDraft, Done, Error, Journal, LEAF_VERSION, Leaf, LeafKind, Outcome, RecipientResult, RecipientState,
    RenditionDraft, Replay, Settings, Sync,
};
use super::disk::{FakeDisk, Faults, Random};
use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::durable::Disk;
use crate::mail::{MailId, Retention};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A clock that stands.
pub struct Still;
impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_s(1_700_000_000)
    }
}

/// A message as its sender knows it.
#[derive(Clone)]
pub struct Known {
    pub body: Vec<u8>,
    pub renditions: Vec<Vec<u8>>,
    pub accept_leaf: Option<u64>,
    /// What was last acknowledged as durable about a recipient, unless something later may have come of it.
    pub standing: BTreeMap<u32, Standing>,
}

/// Where an acknowledged result left a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Waiting,
    Warned,
    Parked,
    Ended,
}

impl Standing {
    fn of(state: &RecipientState) -> Standing {
        match state {
            RecipientState::Pending { warned_at: Some(_), .. } => Standing::Warned,
            RecipientState::Pending { .. } => Standing::Waiting,
            RecipientState::Parked { .. } => Standing::Parked,
            _ => Standing::Ended,
        }
    }
}

/// The outside.
pub struct World {
    pub disk: FakeDisk,
    pub random: Random,
    pub spares: usize,
    pub low_space_bytes: u64,
    pub kept_bytes: u64,
    pub mirror: Option<PathBuf>,
    /// Acknowledged messages.
    pub known: BTreeMap<MailId, Known>,
    /// The archive: octets of sealed messages, its log.
    pub sealed: BTreeMap<MailId, Vec<u8>>,
    pub log: Vec<Arc<[u8]>>,
    pub sealed_through: u64,
    /// Groups of leaves begun; those acknowledged, with the index of their first.
    pub groups: u64,
    pub acknowledged: Vec<(u64, u64)>,
    pub next: u64,
}

pub const DIR: &str = "/journal";

impl World {
    pub fn new(seed: u64) -> World {
        World {
            disk: FakeDisk::default(),
            random: Random(seed),
            spares: usize::try_from(seed % 2).expect("0 or 1"),
            low_space_bytes: 0,
            kept_bytes: 1 << 40,
            mirror: None,
            known: BTreeMap::new(),
            sealed: BTreeMap::new(),
            log: Vec::new(),
            sealed_through: 0,
            groups: 0,
            acknowledged: Vec::new(),
            next: 0,
        }
    }

    /// The same outside with a disk of its own.
    pub fn fork(&self) -> World {
        World {
            disk: self.disk.fork(),
            mirror: self.mirror.clone(),
            random: Random(self.random.0),
            known: self.known.clone(),
            sealed: self.sealed.clone(),
            log: self.log.clone(),
            acknowledged: self.acknowledged.clone(),
            ..*self
        }
    }

    pub fn settings(&self) -> Settings {
        let dir = PathBuf::from(DIR);
        Settings {
            dir,
            mirror: self.mirror.clone(),
            file_bytes: 1 << 20,
            spares: self.spares,
            low_space_bytes: self.low_space_bytes,
            kept_bytes: self.kept_bytes,
            danger_volatile_filesystem: false,
        }
    }

    pub fn open(&self) -> Result<(Journal, Replay), Error> {
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::new(Still));
        let size = self.log.len() as u64;
        Journal::open(disk, clock, self.settings(), settings::test_keys(), size, self.sealed_through)
    }

    /// Octets that differ from message to message.
    pub fn octets(&mut self, bytes: usize) -> Vec<u8> {
        let block: Vec<u8> = (0..32).flat_map(|_| self.random.next().to_be_bytes()).collect();
        let mut octets = block.repeat(bytes / block.len() + 1);
        octets.truncate(bytes);
        octets
    }

    /// Where an acknowledgement goes, and where it arrives if it still leaves the machine.
    fn answer<T: Send + 'static>(&self) -> (Done<T>, Answered<T>) {
        let (sender, receiver) = mpsc::channel();
        let (disk, has_mirror) = (self.disk.clone(), self.mirror.is_some());
        let answer = move |answer: Result<T, Error>| drop(sender.send(heard(&disk, has_mirror).and(answer)));
        (Box::new(answer), receiver)
    }

    /// Begins committing a message; what it will be, and where the acknowledgement arrives.
    pub fn submit(&mut self, journal: &Journal, bytes: usize) -> Result<Submitted, Error> {
        self.next += 1;
        let id = fixtures::id(self.next);
        let body = self.octets(bytes);
        let recipients = 1 + self.random.below(3);
        let own = (self.random.below(2) == 0).then(|| [&b"own rendition"[..], &body].concat());
        let mut draft = journal.draft(id)?;
        for piece in body.chunks(50_000) {
            draft.append(piece)?;
        }
        let prefix = b"Received: by simulation\r\n".to_vec();
        let first = RenditionDraft { recipients: vec![0], prefix: prefix.clone(), content: own.clone() };
        let rest: Vec<u32> = (1..u32::try_from(recipients).expect("few")).collect();
        let second = RenditionDraft { recipients: rest, prefix: prefix.clone(), content: None };
        let (answer, receiver) = self.answer();
        draft.commit(accept_draft(recipients, vec![first, second]), answer);
        let renditions = vec![[&prefix[..], own.as_deref().unwrap_or(&body)].concat(), [&prefix[..], &body].concat()];
        Ok(Submitted { id, known: Known { body, renditions, accept_leaf: None, standing: BTreeMap::new() }, receiver })
    }

    /// Waits for an acknowledgement and remembers it.
    pub fn wait(&mut self, journal: &Journal, submitted: Submitted) -> Result<MailId, Error> {
        let Submitted { id, mut known, receiver } = submitted;
        assert_eq!(receiver.recv().expect("an answer comes")?, id);
        known.accept_leaf = journal.entry(&id).map(|e| e.accept_index);
        self.known.insert(id, known);
        Ok(id)
    }

    /// Records a result for some pending recipient; an acknowledged end is remembered.
    pub fn deliver(&mut self, journal: &Journal) -> Result<(), Error> {
        let pending = journal.pending();
        let Some(entry) = pending.get(usize::try_from(self.random.below(pending.len() as u64)).expect("small")) else {
            return Ok(());
        };
        let place = entry.states.iter().position(RecipientState::is_pending).expect("pending");
        let recipient = u32::try_from(place).expect("few");
        let outcome = self.outcome(&entry.states[place]);
        let result = RecipientResult { recipient, at: Timestamp::from_s(8), next_hop: "hop".into(), outcome };
        let id = entry.accept.id;
        // Until it is acknowledged either may come back.
        self.known.get_mut(&id).and_then(|known| known.standing.remove(&recipient));
        if self.random.below(2) == 0 {
            return journal.record_results(id, vec![result], Sync::Lazy, None);
        }
        let (answer, receiver) = self.answer();
        journal.record_results(id, vec![result], Sync::Now, Some(answer))?;
        receiver.recv().expect("an answer comes")?;
        if let (Some(known), Some(entry)) = (self.known.get_mut(&id), journal.entry(&id)) {
            known.standing.insert(recipient, Standing::of(&entry.states[place]));
        }
        Ok(())
    }

    /// Something that may happen to a recipient in this state.
    fn outcome(&mut self, state: &RecipientState) -> Outcome {
        let next_at = Timestamp::from_s(9);
        let failed = || Outcome::Failed { status: "5.1.1".into(), reply: "550 no".into() };
        let dropped = || Outcome::Dropped { reason: "unwanted".into() };
        match (state, self.random.below(8)) {
            (RecipientState::Parked { .. }, 0..5) => Outcome::Released { next_at },
            (RecipientState::Parked { .. }, 5) => dropped(),
            (RecipientState::Parked { .. }, _) => failed(),
            (_, 0) => Outcome::Deferred { reply: "451 later".into(), next_at },
            (_, 1) => failed(),
            (_, 2 | 3) => Outcome::Parked { reason: "poison".into(), until: Some(next_at) },
            (_, 4) => Outcome::Warned,
            (_, 5) => dropped(),
            _ => Outcome::Delivered { reply: "250 ok".into() },
        }
    }

    /// A seal pass of a simulated archive, whose own disk never fails.
    pub fn seal(&mut self, journal: &Journal) -> Result<(), Error> {
        let through = journal.durable_leaves();
        for entry in journal.sealable(through).messages {
            self.sealed.insert(entry.id, journal.octets(&entry.id)?);
        }
        self.group(journal)?;
        let leaves = journal.leaves(self.log.len() as u64, usize::MAX);
        heard(&self.disk, self.mirror.is_some())?;
        self.log.extend(leaves.into_iter().map(|leaf| leaf.octets));
        self.sealed_through = through;
        journal.sealed(through)
    }

    /// Leaves that stand or fall together. Each says which group it is of, how many they are and which one it is.
    fn group(&mut self, journal: &Journal) -> Result<(), Error> {
        self.groups += 1;
        let (group, count) = (self.groups, 1 + u8::try_from(self.random.below(9)).expect("small"));
        // Some span blocks and kilobytes, so that a torn write would show.
        let padding = usize::try_from(self.random.below(3)).expect("small") * 3000;
        let leaf = |place: u8| {
            let body = [&[LEAF_VERSION, count, place], &group.to_be_bytes()[..], &vec![place; padding]].concat();
            Leaf::new(LeafKind::Seal, body).expect("short")
        };
        let (answer, receiver) = self.answer();
        journal.append_leaves(&(0..count).map(leaf).collect::<Vec<_>>(), answer);
        let first = receiver.recv().expect("an answer comes")?;
        let at = journal.leaves(first, 1).pop().map(|entry| (entry.index, entry.octets[3]));
        assert_eq!(at, Some((first, 0)), "the answer is the index of the first");
        self.acknowledged.push((first, group));
        Ok(())
    }

    /// Every group in the log is whole and its leaves follow each other; those acknowledged are where they were said to be.
    fn check_groups(&self, journal: &Journal) -> Result<(), String> {
        let size = self.log.len() as u64;
        let logged = (0u64..).zip(self.log.iter().cloned());
        let rest = journal.leaves(size, usize::MAX).into_iter().map(|entry| (entry.index, entry.octets));
        let mut leaves = logged.chain(rest).filter(|(_, octets)| octets[0] == LeafKind::Seal as u8);
        let mut seen = BTreeMap::new();
        while let Some((first, octets)) = leaves.next() {
            let group = u64::from_be_bytes(octets[4..12].try_into().expect("8 octets"));
            seen.insert(first, group);
            for place in 1..octets[2] {
                let next = leaves.next().filter(|(index, _)| *index == first + u64::from(place));
                let next =
                    next.filter(|(_, next)| next[2] == octets[2] && next[3] == place && next[4..12] == octets[4..12]);
                next.ok_or(format!("group {group} at {first} has no part {place}"))?;
            }
            if octets[3] != 0 {
                return Err(format!("group {group} begins with part {} at {first}", octets[3]));
            }
        }
        let lost = self.acknowledged.iter().find(|(first, group)| seen.get(first) != Some(group));
        lost.map_or(Ok(()), |(first, group)| Err(format!("group {group} at {first} is lost")))
    }

    /// Holds the whole journal against what the outside remembers; the first fault found.
    pub fn check(&self, journal: &Journal, report: &Replay) -> Result<(), String> {
        if !report.damage.is_empty() {
            return Err(format!("false alarm: {:?}", report.damage));
        }
        self.known.iter().try_for_each(|(id, known)| self.check_known(journal, id, known))?;
        for entry in journal.entries() {
            let index = entry.accept_index;
            let kept = journal.leaves(index, 1).into_iter().find(|leaf| leaf.index == index);
            let leaf = kept.map(|leaf| leaf.octets).or_else(|| self.logged(index));
            let held = journal.held(&entry.accept.id).ok_or("gone meanwhile")?;
            let accept = held.mek().map(|mek| Leaf::accept(mek, &held.id, &held.accept_octets));
            if accept.is_some_and(|accept| leaf.as_deref() != Some(&accept.octets()[..])) {
                return Err(format!("{:?}: its leaf differs", entry.accept.id));
            }
            if !self.known.contains_key(&entry.accept.id) && held.mek().is_some() {
                journal.octets(&entry.accept.id).map_err(|e| e.to_string())?;
            }
        }
        self.check_groups(journal)?;
        self.check_log(journal)
    }

    fn logged(&self, index: u64) -> Option<Arc<[u8]>> {
        self.log.get(usize::try_from(index).expect("small")).map(Arc::clone)
    }

    fn check_known(&self, journal: &Journal, id: &MailId, known: &Known) -> Result<(), String> {
        let Some(entry) = journal.entry(id) else {
            return if self.sealed.get(id) == Some(&known.body) { Ok(()) } else { Err(format!("{id:?} is lost")) };
        };
        if known.accept_leaf.is_some_and(|index| index != entry.accept_index) {
            return Err(format!("{id:?}: its leaf moved"));
        }
        let state = |recipient: u32| &entry.states[usize::try_from(recipient).expect("small")];
        // What nobody needed when the message was carried is in the archive alone.
        let is_sealed = self.sealed.get(id) == Some(&known.body);
        match journal.octets(id) {
            Ok(octets) if octets == known.body => {}
            Err(Error::NotKept(_)) if is_sealed => {}
            _ => return Err(format!("{id:?}: other octets")),
        }
        for (number, rendition) in known.renditions.iter().enumerate() {
            let is_open = entry.accept.renditions[number].recipients.iter().any(|r| state(*r).is_pending());
            match journal.rendition_octets(id, number) {
                Ok(octets) if octets == *rendition => {}
                Err(Error::NotKept(_)) if is_sealed && !is_open => {}
                _ => return Err(format!("{id:?}: other octets of rendition {number}")),
            }
        }
        let changed =
            known.standing.iter().find(|(recipient, standing)| Standing::of(state(**recipient)) != **standing);
        changed.map_or(Ok(()), |(recipient, standing)| {
            Err(format!("{id:?}: recipient {recipient} is {:?}, no longer {standing:?}", state(*recipient)))
        })
    }

    /// The journal continues the archive's log without a hole.
    fn check_log(&self, journal: &Journal) -> Result<(), String> {
        let (size, end) = (self.log.len() as u64, journal.durable_leaves());
        let next = journal.leaves(size, usize::MAX);
        if end < size || next.len() as u64 != end - size || next.iter().zip(size..).any(|(leaf, at)| leaf.index != at) {
            return Err(format!("the log ends at {end} with {} leaves from {size} on", next.len()));
        }
        for leaf in journal.leaves(self.sealed_through, usize::MAX) {
            if self.logged(leaf.index).is_some_and(|logged| logged != leaf.octets) {
                return Err(format!("leaf {} differs from the log", leaf.index));
            }
        }
        Ok(())
    }

    /// Lives until something fails: traffic of all kinds.
    pub fn live(&mut self, journal: &Journal, steps: u64) -> Result<(), Error> {
        for _ in 0..steps {
            match self.random.below(24) {
                0 | 1 => self.seal(journal)?,
                12 | 13 => self.group(journal)?,
                2 => {
                    let bytes = usize::try_from(250_000 + self.random.below(100_000)).expect("small");
                    let large = self.submit(journal, bytes)?;
                    let small = self.submit(journal, 100)?;
                    // Both are waited for even when one fails, so that no acknowledgement goes unnoticed.
                    let (large, small) = (self.wait(journal, large), self.wait(journal, small));
                    large.and(small)?;
                }
                3 => {
                    let mut draft = journal.draft(fixtures::id(1 << 40 | self.next))?;
                    draft.append(&self.octets(270_000))?;
                }
                4..12 => self.deliver(journal)?,
                _ => self.burst(journal)?,
            }
        }
        Ok(())
    }

    fn burst(&mut self, journal: &Journal) -> Result<(), Error> {
        let mut submitted = Vec::new();
        for _ in 0..1 + self.random.below(5) {
            let bytes = usize::try_from(self.random.below(6000)).expect("small");
            submitted.push(self.submit(journal, bytes)?);
        }
        let answers: Vec<_> = submitted.into_iter().map(|s| self.wait(journal, s)).collect();
        answers.into_iter().try_for_each(|answer| answer.map(|_| ()))
    }

    /// The power goes, and comes back.
    pub fn crash(&mut self, journal: Option<Journal>) {
        self.disk.set(Faults { power_off_at: Some(0), ..Faults::default() });
        drop(journal);
        self.disk.crash(&mut self.random);
    }
}

/// Nobody hears a program whose power is gone. On a single disk its acknowledgements count even so; on a mirror it may have taken
/// one side for broken, and half of its files may be on the one side and half on the other.
fn heard(disk: &FakeDisk, has_mirror: bool) -> Result<(), Error> {
    if has_mirror && disk.is_off() { Err(Error::Unavailable("the power is gone".into())) } else { Ok(()) }
}

type Answered<T> = mpsc::Receiver<Result<T, Error>>;

/// A commit on its way.
pub struct Submitted {
    pub id: MailId,
    pub known: Known,
    pub receiver: Answered<MailId>,
}

/// What a commit adds, for `recipients` recipients.
pub fn accept_draft(recipients: u64, renditions: Vec<RenditionDraft>) -> AcceptDraft {
    AcceptDraft {
        accepted_at: Timestamp::from_s(1_700_000_000),
        envelope: fixtures::envelope(recipients),
        client: fixtures::client(),
        ruling: vec![0x80],
        retention: Retention::forever(),
        renditions,
        reported: None,
    }
}

/// Files with a header.
pub fn live_files(world: &World) -> Vec<PathBuf> {
    let names = world.disk.list(Path::new(DIR)).expect("names");
    let paths = names.iter().filter(|n| n.ends_with(".journal")).map(|n| Path::new(DIR).join(n));
    // A file may be removed while this looks.
    paths.filter(|path| world.disk.read(path).is_ok_and(|octets| inspect(&octets).ordinal.is_some())).collect()
}

/// Polls; what does not become so in twenty seconds fails.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
