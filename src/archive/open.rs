//! The archive as a handle: made once, opened by the gateway with its host key, or by anyone for reading. Opening changes
//! nothing on disk.

use super::Error;
use super::acts::Registry;
use super::census::Census;
use super::ceremony;
use super::ceremony::Wanted;
use super::checkpoint::Signer;
use super::checkpoint::Verifier;
use super::current_key;
use super::current_key::CurrentKey;
use super::cursor::Malformed;
use super::files;
use super::keys;
use super::keys::GENERATION_BYTES_MAX;
use super::keys::Generation;
use super::keys::Origin;
use super::layout::ArchiveId;
use super::layout::Layout;
use super::leaf::Epoch;
use super::leaf::Key;
use super::leaf::Seal;
use super::log;
use super::log::Leaves;
use super::log::Log;
use super::officers::Certificate;
use super::recovery;
use super::settled::settled;
use super::tile::TreeHead;
use super::tile::WIDTH;
use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::crypto::hpke;
use crate::crypto::random;
use crate::durable;
use crate::durable::Disk;
use crate::journal::Leaf;
use crate::journal::LeafKind;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How an archive is made.
#[derive(Clone, Copy, Debug)]
pub struct CreateOptions<'a> {
    /// Who can open it.
    pub officers: &'a [Certificate],
    /// How many of them it takes.
    pub threshold: u8,
    /// UIDs begin above this.
    pub uid_base: u32,
    /// When.
    pub now: Timestamp,
}

/// A segment with the place of its SEAL leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Index of the SEAL leaf. MODSEQ of its messages is this + 1.
    pub seal_index: u64,
    /// The SEAL leaf.
    pub seal: Seal,
}

/// The newest leaves that say where the archive stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest {
    /// The last segment of the last seal pass.
    pub seal: Option<SegmentInfo>,
    /// Index of the newest act leaf.
    pub act: Option<u64>,
}

impl Newest {
    /// Takes in the next leaf of the log.
    pub fn take(&mut self, index: u64, octets: &[u8]) -> Result<(), Malformed> {
        if let Some(seal) = as_seal(octets) {
            self.seal = Some(SegmentInfo { seal_index: index, seal: seal? });
        } else if is_act(octets) {
            self.act = Some(index);
        }
        Ok(())
    }
}

/// What changes while an archive is open.
pub(super) struct State {
    pub log: Log,
    /// What the log's newest leaves of certain kinds are.
    pub newest: Newest,
    /// Every ACCEPT and RESULT below is in segments.
    pub settled: u64,
    /// What is sealed from now on is sealed to this generation.
    pub current_key: Arc<CurrentKey>,
    /// What the act leaves say, as of the newest of them that was read.
    pub acts: Arc<Registry>,
    /// Whether the leftovers of a crash have been looked for.
    pub swept: bool,
}

/// An open archive. Cheap to clone; clones share one state.
#[derive(Clone)]
pub struct Archive {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub disk: Arc<dyn Disk>,
    pub layout: Layout,
    pub epoch: Epoch,
    /// Only with the host key.
    pub signer: Option<Signer>,
    pub state: Mutex<State>,
    /// Held during a seal pass: one at a time.
    pub pass: Mutex<()>,
    /// What was counted of the segments, and how far.
    pub census: Mutex<Census>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // State is replaced whole after each durable step, so that a panic elsewhere leaves it true.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Archive {
    /// Makes an archive in `dir`: archive key (its secret split among the officers and forgotten), log key under the host key,
    /// and a log whose first leaves are EPOCH and KEY. Refuses a directory that has one.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        host_key: &Secret<32>,
        options: &CreateOptions<'_>,
    ) -> Result<Archive, Error> {
        let layout = Layout::new(dir);
        if disk.exists(&layout.descriptor()) {
            return Err(Error::Exists);
        }
        let archive = ArchiveId::from_octets(random::bytes()?);
        let seed = random::hedged("log key", &[archive.octets()])?;
        let signer = Signer::new(&archive, &seed)?;
        let epoch =
            Epoch { archive, created: options.now, uid_base: options.uid_base, log_public: signer.verifier().public() };
        let CreateOptions { officers, threshold, now, .. } = *options;
        let generation = ceremony::first(archive, &Wanted { officers, threshold, origin: Origin::Gateway, now })?;
        let leaves = first_leaves(&epoch, &generation).ok_or(Error::Bug("a first leaf is too long"))?;
        let log_key = keys::seal_log_key(host_key, &archive, &seed)?;
        for dir in [layout.segments(), layout.key_copies(), layout.covers()] {
            disk.create_dir(&dir).map_err(|e| Error::io(layout.name(&dir), e))?;
        }
        let vkey = signer.verifier().vkey().into_bytes();
        let mut new =
            vec![(layout.generation(1), generation.encode()), (layout.log_key(), log_key), (layout.vkey(), vkey)];
        new.extend(recovery::files(&layout));
        files::write_new(disk.as_ref(), &new).map_err(|e| Error::io("keys", e))?;
        Log::empty().extend(disk.as_ref(), &layout, &signer, leaves)?;
        let path = layout.descriptor();
        // crash point create-5: written; crash point create-6: synced; crash point create-7: named.
        durable::replace(disk.as_ref(), &path, &keys::encode_descriptor(&epoch))
            .map_err(|e| Error::io(layout.name(&path), e))?;
        // An archive from here; what an earlier crash left is overwritten by the next attempt.
        Archive::open(disk, dir, host_key)
    }

    /// Opens the archive in `dir` for the gateway, which seals.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, host_key: &Secret<32>) -> Result<Archive, Error> {
        let layout = Layout::new(dir);
        let epoch = keys::load_descriptor(disk.as_ref(), &layout)?;
        let signer = keys::load_signer(disk.as_ref(), &layout, host_key, &epoch)?;
        Archive::load(disk, layout, epoch, Some(signer))
    }

    /// Opens the archive in `dir` for reading: without the host key nothing can be sealed.
    pub fn open_read_only(disk: Arc<dyn Disk>, dir: &Path) -> Result<Archive, Error> {
        let layout = Layout::new(dir);
        let epoch = keys::load_descriptor(disk.as_ref(), &layout)?;
        Archive::load(disk, layout, epoch, None)
    }

    fn load(disk: Arc<dyn Disk>, layout: Layout, epoch: Epoch, signer: Option<Signer>) -> Result<Archive, Error> {
        let verifier = Verifier::new(&epoch.archive, epoch.log_public);
        let log = Log::load(disk.as_ref(), &layout, &verifier)?;
        let newest = newest(disk.as_ref(), &layout, log.size())?;
        let settled = settled(disk.as_ref(), &layout, log.size(), newest.seal.as_ref(), 0);
        let current_key = CurrentKey::find(disk.as_ref(), &layout, &epoch.archive, log.size())?;
        current_key.check_sealed(disk.as_ref(), &layout, newest.seal.as_ref())?;
        let (current_key, acts) = (Arc::new(current_key), Arc::default());
        let state = Mutex::new(State { log, newest, settled, current_key, acts, swept: false });
        let (pass, census) = (Mutex::new(()), Mutex::default());
        let inner = Inner { disk, layout, epoch, signer, state, pass, census };
        Ok(Archive { inner: Arc::new(inner) })
    }

    /// Reads the checkpoint again: another process may have sealed since.
    pub fn refresh(&self) -> Result<(), Error> {
        let _pass = lock(&self.inner.pass);
        let verifier = Verifier::new(&self.inner.epoch.archive, self.inner.epoch.log_public);
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let log = Log::load(disk, layout, &verifier)?;
        let newest = newest(disk, layout, log.size())?;
        let settled = settled(disk, layout, log.size(), newest.seal.as_ref(), 0);
        let current_key = CurrentKey::find(disk, layout, &self.inner.epoch.archive, log.size())?;
        let mut state = lock(&self.inner.state);
        state.log = log;
        state.newest = newest;
        state.current_key = Arc::new(current_key);
        state.settled = settled;
        Ok(())
    }

    /// The archive's id.
    pub fn id(&self) -> ArchiveId {
        self.inner.epoch.archive
    }
    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.inner.epoch.created
    }
    /// UID of a message = this + its ACCEPT index + 1.
    pub fn uid_base(&self) -> u32 {
        self.inner.epoch.uid_base
    }
    /// The public half of the newest archive key: seals segment keys and journal keys.
    pub fn public_key(&self) -> hpke::PublicKey {
        self.current_key().public.clone()
    }
    /// The newest generation of the archive key.
    pub fn generation(&self) -> Arc<Generation> {
        self.current_key().generation.clone()
    }
    /// The generations of the archive key up to this one, as far as their files can be read; ascending.
    pub fn generations(&self, newest: u32) -> Result<Vec<Arc<Generation>>, Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let numbers = current_key::numbers(disk, layout)?.into_iter().filter(|number| *number <= newest);
        let read = |number| {
            let octets = files::read(disk, &layout.generation(number), GENERATION_BYTES_MAX).ok()?;
            Generation::parse(&octets).ok().filter(|g| g.number == number && g.archive == self.id()).map(Arc::new)
        };
        Ok(numbers.filter_map(read).collect())
    }
    pub(super) fn current_key(&self) -> Arc<CurrentKey> {
        lock(&self.inner.state).current_key.clone()
    }
    /// Leaves in the signed log: what `Journal::open` calls `leaves_before`.
    pub fn log_size(&self) -> u64 {
        lock(&self.inner.state).log.size()
    }
    /// The newest checkpoint's size and root.
    pub fn tree_head(&self) -> TreeHead {
        lock(&self.inner.state).log.head()
    }
    /// Every ACCEPT and RESULT below this is in segments.
    pub fn sealed_through(&self) -> u64 {
        lock(&self.inner.state).settled
    }
    /// The newest segment.
    pub fn last_segment(&self) -> Option<SegmentInfo> {
        lock(&self.inner.state).newest.seal.clone()
    }
    /// Index of the newest act leaf: HOLD, RELEASE, ERASE or EXPIRE.
    pub fn last_act(&self) -> Option<u64> {
        lock(&self.inner.state).newest.act
    }
    /// One leaf of the signed log, as it was hashed; `None` behind its end.
    pub fn leaf(&self, index: u64) -> Result<Option<Vec<u8>>, Error> {
        let size = self.log_size();
        let mut leaves = Leaves::new(self.inner.disk.as_ref(), &self.inner.layout, size);
        Ok(leaves.get(index)?.map(<[u8]>::to_vec))
    }
    /// All segments in the order they were sealed.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, Error> {
        self.segments_after(None)
    }
    /// The segments whose SEAL leaf has a greater index, in order.
    pub fn segments_after(&self, seal_index: Option<u64>) -> Result<Vec<SegmentInfo>, Error> {
        let (size, last) = {
            let state = lock(&self.inner.state);
            (state.log.size(), state.newest.seal.clone())
        };
        let mut leaves = Leaves::new(self.inner.disk.as_ref(), &self.inner.layout, size);
        let mut found = Vec::new();
        let mut next = last;
        while let Some(info) = next.filter(|info| seal_index.is_none_or(|known| info.seal_index > known)) {
            next = info
                .seal
                .leaf_before(info.seal_index)
                .map(|index| seal_at(&mut leaves, index, info.seal_index))
                .transpose()?;
            found.push(info);
        }
        found.reverse();
        Ok(found)
    }
}

fn first_leaves(epoch: &Epoch, generation: &Generation) -> Option<Vec<Vec<u8>>> {
    Some(vec![epoch.to_leaf()?.octets(), Key::of(generation).to_leaf()?.octets()])
}

/// The SEAL leaf of a leaf's octets; `None` for another kind.
pub(super) fn as_seal(octets: &[u8]) -> Option<Result<Seal, Malformed>> {
    let leaf = Leaf::parse(octets)?;
    (leaf.kind == LeafKind::Seal).then(|| Seal::from_body(&leaf.body))
}

fn is_act(octets: &[u8]) -> bool {
    octets.first().and_then(|kind| LeafKind::from_octet(*kind)).is_some_and(LeafKind::is_act)
}

/// The SEAL leaf nearest to the end of a log, and the act leaf: behind that SEAL, or named by it. Every pass ends with a SEAL leaf,
/// so that it is seldom far.
fn newest(disk: &dyn Disk, layout: &Layout, size: u64) -> Result<Newest, Error> {
    let mut newest = Newest::default();
    for number in (0..size.div_ceil(WIDTH as u64)).rev() {
        let width = log::bundle_width(size, number);
        let leaves = log::read_bundle(disk, layout, number, width)?;
        for (at, leaf) in leaves.iter().enumerate().rev() {
            if let Some(seal) = as_seal(leaf) {
                let path = layout.bundle(number, width);
                let seal = seal.map_err(|what| Error::damaged(layout.name(&path), what))?;
                newest.act = newest.act.or(seal.acts);
                newest.seal = Some(SegmentInfo { seal_index: number * WIDTH as u64 + at as u64, seal });
                return Ok(newest);
            }
            if newest.act.is_none() && is_act(leaf) {
                newest.act = Some(number * WIDTH as u64 + at as u64);
            }
        }
    }
    Ok(newest)
}

/// The SEAL leaf at `index`, which must lie before the one that named it.
fn seal_at(leaves: &mut Leaves<'_>, index: u64, named_by: u64) -> Result<SegmentInfo, Error> {
    let damaged = |what| Error::damaged(format!("leaf {index}"), Malformed(what));
    if index >= named_by {
        return Err(damaged("a SEAL leaf names a later one"));
    }
    match leaves.get(index)?.and_then(as_seal) {
        Some(Ok(seal)) => Ok(SegmentInfo { seal_index: index, seal }),
        _ => Err(damaged("no SEAL leaf")),
    }
}
