//! What the outside remembers of a store: every acknowledgement given, every checkpoint seen, every key ever made. And the store:
//! journal and archive, opened and cut off.

use super::super::tests::world::{TestClock, host_key, start};
use super::super::tile::TreeHead;
use super::super::*;
use super::check::Sealed;
use super::template::{archive_dir, template};
use crate::clock::Clock;
use crate::durable::Disk;
use crate::durable::simulated::{FakeDisk, Faults, Random};
use crate::journal;
use crate::journal::Journal;
use crate::journal::Replay;
use crate::mail::MailId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const JOURNAL: &str = "/gw/journal";
pub const MIRROR: &str = "/gw/mirror";
/// Recipients of every message.
pub const RECIPIENTS: u32 = 2;

/// A message as its sender knows it.
#[derive(Clone, Debug)]
pub struct Known {
    pub octets: Vec<u8>,
    pub accept_index: u64,
    /// Recipients whose delivery was acknowledged as ended, with the leaf that says so.
    pub ended: BTreeMap<u32, u64>,
    /// Recipients of whom either may be true.
    pub unsure: BTreeSet<u32>,
}

/// The outside.
pub struct World {
    pub disk: FakeDisk,
    pub random: Random,
    pub clock: Arc<TestClock>,
    pub mirror: Option<PathBuf>,
    /// Acknowledged messages.
    pub known: BTreeMap<MailId, Known>,
    /// Octets of messages whose acknowledgement never came: they may be there.
    pub perhaps: BTreeMap<MailId, Vec<u8>>,
    /// Every checkpoint anybody saw.
    pub heads: BTreeSet<(u64, [u8; 32])>,
    /// Every message key and segment key that was met: none may stand on the disk in the clear.
    pub keys: BTreeSet<[u8; 32]>,
    /// Segments whose key is among them.
    pub segments: BTreeSet<SegmentId>,
    /// How often the store was opened, and the opening and log size that were last verified.
    pub openings: u64,
    pub verified: Option<(u64, u64)>,
    pub sealed: Sealed,
    /// Operations in which the power went, by name.
    pub cuts: BTreeSet<&'static str>,
    pub next: u64,
}

/// A running gateway's half of the world.
pub struct Store {
    pub archive: Archive,
    pub journal: Journal,
    /// Kept from step to step, so that segment keys are unwrapped once.
    pub unlocked: Unlocked,
    pub replay: Replay,
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            disk: template().disk.fork(),
            random: Random(seed),
            clock: Arc::new(TestClock::at(start())),
            mirror: seed.is_multiple_of(5).then(|| PathBuf::from(MIRROR)),
            known: BTreeMap::new(),
            perhaps: BTreeMap::new(),
            heads: BTreeSet::new(),
            keys: BTreeSet::new(),
            segments: BTreeSet::new(),
            openings: 0,
            verified: None,
            sealed: Sealed::default(),
            cuts: BTreeSet::new(),
            next: 0,
        }
    }

    pub fn shared_disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    /// As the gateway starts: archive, journal, and what a crash left undone.
    pub fn open(&mut self) -> Result<Store, Error> {
        self.openings += 1;
        let archive = Archive::open(self.shared_disk(), &archive_dir(), &host_key())?;
        let settings = journal::Settings {
            dir: PathBuf::from(JOURNAL),
            mirror: self.mirror.clone(),
            file_bytes: journal::FILE_BYTES_MIN,
            spares: 0,
            low_space_bytes: 0,
            kept_bytes: 1 << 40,
            danger_volatile_filesystem: false,
        };
        let keys = journal::Keys { host: host_key(), archive: archive.public_key() };
        let (size, through) = (archive.log_size(), archive.sealed_through());
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (journal, replay) = Journal::open(self.shared_disk(), clock, settings, keys, size, through)?;
        archive.reconcile(&journal)?;
        let unlocked = archive.unlock_by_key(&template().secret);
        Ok(Store { archive, journal, unlocked, replay })
    }

    /// With `SEALPOST_SIMULATION_TELL` the story of a seed.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if std::env::var_os("SEALPOST_SIMULATION_TELL").is_some() {
            println!("{} operations: {}", self.disk.operations(), what());
        }
    }

    /// The power goes, unless it is gone, and comes back.
    pub fn crash(&mut self, store: Option<Store>) {
        self.tell(|| format!("crash after {:?}", self.disk.last_operations(30)));
        if let Some(trace) = self.disk.cut() {
            self.cuts.extend(super::points::name(&trace));
        }
        self.disk.set(Faults { power_off_at: Some(0), ..Faults::default() });
        drop(store);
        self.disk.crash(&mut self.random);
    }

    /// The process ends as it should.
    pub fn close(&mut self, store: Store) {
        store.journal.close();
        self.disk.forget_failures();
    }

    /// Looks at the newest checkpoint as somebody would who keeps it.
    pub fn see(&mut self, store: &Store) {
        let TreeHead { size, root } = store.archive.tree_head();
        self.heads.insert((size, root));
    }
}

/// The names of a directory of the archive.
pub fn names(disk: &FakeDisk, dir: &str) -> Vec<String> {
    disk.list(&archive_dir().join(Path::new(dir))).expect("a list")
}
