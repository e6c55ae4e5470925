//! The post: what all parts of a running gateway share. Opens everything, replaces policy, keys and certificates under running
//! sessions, and keeps what it has when a new version has faults.

use super::acts::Office;
use super::acts::settle::{Settled, Settling};
use super::config::{Changed, Config};
use super::door::certificates::Authorities;
use super::door::logins::Logins;
use super::error::Error;
use super::fence::Fence;
use super::files;
use super::import::{self, Imports};
use super::observe::{Audit, Event};
use super::read_audit::ReadAudit;
use super::room::Room;
use super::tls::Presented;
use crate::access::Accounts;
use crate::archive::Archive;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::crypto::Digest;
use crate::crypto::{Secret, kdf, random};
use crate::durable::{Disk, RealDisk};
use crate::journal::{self, Accept, Draft, Journal};
use crate::keyring::Keyring;
use crate::mail::{Client, Envelope, MailId};
use crate::policy::{Disposition, Policy, Ruling};
use arc_swap::ArcSwap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Everything that is shared.
pub struct Post {
    config_path: PathBuf,
    config: ArcSwap<Config>,
    policy: ArcSwap<Policy>,
    keyring: ArcSwap<Keyring>,
    presented: Arc<Presented>,
    authorities: Arc<Authorities>,
    /// One use: marks of the loop guard.
    loop_key: Secret<32>,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    journal: Journal,
    archive: Archive,
    accounts: Accounts,
    audit: Audit,
    read_audit: ReadAudit,
    rendering: Semaphore,
    logins: Logins,
    rooms: Rooms,
    fence: Fence<Digest>,
    settling: Settling,
    imports: Imports,
    accepted: mpsc::UnboundedSender<MailId>,
}

/// Octets of large messages that are looked at, from their last octet until they are ruled on and rendered.
const INCOMING_BYTES_MAX: u64 = 96 * 1024 * 1024;
/// Octets of renditions that are being made or wait for the disk.
const RENDITION_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Octets of large renditions that are being sent to next hops.
const OUTGOING_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How long a message waits for room: once to be looked at, once to be rendered, and once more when its signer turns out to be of no
/// use. In all less than its client waits.
const ROOM_WAIT: Duration = Duration::from_secs(180);

/// Bounds on memory. Rooms are entered in this order, and none is waited for from within a later one.
#[derive(Debug)]
pub struct Rooms {
    /// For large messages as received.
    pub incoming: Room,
    /// For what is rendered of them.
    pub renditions: Room,
    /// For large renditions under way to a next hop.
    pub outgoing: Room,
    /// How long a message that has no reply yet waits for each of the first two.
    pub wait: Duration,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms {
            incoming: Room::new(INCOMING_BYTES_MAX),
            renditions: Room::new(RENDITION_BYTES_MAX),
            outgoing: Room::new(OUTGOING_BYTES_MAX),
            wait: ROOM_WAIT,
        }
    }
}

/// Ids of messages as they are accepted, for delivery.
pub type AcceptedIds = mpsc::UnboundedReceiver<MailId>;

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Post({})", self.config_path.display())
    }
}

impl Post {
    /// Opens all that `serve` needs; replays the journal.
    pub fn open(config_path: &Path, rooms: Rooms) -> Result<(Post, AcceptedIds), Error> {
        let config = files::configuration(config_path)?;
        let places = Places::of(&config);
        let policy = files::policies(&places.policies)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let host_key = super::host_key::read(&*disk, &places.host_key)?;
        let keyring = Keyring::load(&*disk, &places.root, &host_key)?;
        let presented = Presented::load(&config.tls.certificate, &config.tls.key)?;
        let authorities = Arc::new(Authorities::load(&config)?);
        let (journal, archive) = open_store(&config, &places, &disk, &clock, &host_key)?;
        let accounts = Accounts::open(disk.clone(), clock.clone(), &places.accounts)?;
        let audit = Audit::open(&places.audit).map_err(|e| Error::io(&places.audit, &e))?;
        let read_audit =
            ReadAudit::start(disk.clone(), &places.read_audit).map_err(|e| Error::of("thread of the read audit", e))?;
        let (accepted, accepted_ids) = mpsc::unbounded_channel();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let post = Post {
            config_path: config_path.to_owned(),
            config: ArcSwap::from_pointee(config),
            policy: ArcSwap::from_pointee(policy),
            keyring: ArcSwap::from_pointee(keyring),
            presented: Arc::new(presented),
            authorities,
            loop_key: kdf::derive(host_key.expose(), "loop guard", &[]),
            clock,
            disk,
            journal,
            archive,
            accounts,
            audit,
            read_audit,
            rendering: Semaphore::new(cores),
            logins: Logins::start().map_err(|e| Error::of("threads for logins", e))?,
            rooms,
            fence: Fence::default(),
            settling: Settling::default(),
            imports: Imports::default(),
            accepted,
        };
        Ok((post, accepted_ids))
    }

    /// Reads configuration, policies, keys and certificates again. All of it, or on any fault nothing, is taken.
    pub fn reload(&self) -> Result<(), Error> {
        let former = self.config();
        let mut config = files::configuration(&self.config_path)?;
        let places = Places::of(&former);
        let policy = files::policies(&places.policies)?;
        let host_key = super::host_key::read(&*self.disk, &places.host_key)?;
        let keyring = Keyring::load(&*self.disk, &places.root, &host_key)?;
        let authorities = Authorities::read(&former)?;
        self.audit.reopen().map_err(|e| Error::io(&places.audit, &e))?;
        // The last that can fail, and itself all or nothing: from here on everything is taken.
        self.presented.reload(&config.tls.certificate, &config.tls.key)?;
        self.authorities.replace(authorities);
        if config.keep_fixed(&former) == Changed::Yes {
            tracing::warn!(
                "changes to hostname, data_dir, listener, route, limits and journal take effect at the next start"
            );
        }
        self.config.store(Arc::new(config));
        self.policy.store(Arc::new(policy));
        self.keyring.store(Arc::new(keyring));
        self.audit.write(&Event::new(self.now(), "reloaded"));
        Ok(())
    }

    /// Keeps out messages that meet a bug before their reply.
    pub fn fence(&self) -> &Fence<Digest> {
        &self.fence
    }
    /// What carries out acts on sealed mail.
    pub fn office(&self) -> Office<'_> {
        let signatures = self.config().archive.erase_signatures;
        let (journal, clock) = (&self.journal, &*self.clock);
        Office { archive: &self.archive, journal, clock, signatures, audit: Some(&self.audit) }
    }
    /// Goes on with what follows erasures and expiries; `forget` has the catalog forget.
    pub fn settle(&self, forget: impl FnOnce() -> Result<(), String>) -> Result<Settled, String> {
        self.settling.settle(&self.office(), self.config().archive.key_backup_days, forget)
    }
    /// Keeps imports and seal passes apart.
    pub fn imports(&self) -> &Imports {
        &self.imports
    }
    /// The configuration now.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }
    /// The policy now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }
    /// The keys now.
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.load_full()
    }
    /// What listeners present.
    pub fn presented(&self) -> Arc<Presented> {
        self.presented.clone()
    }
    /// Who vouches for clients' certificates.
    pub fn authorities(&self) -> &Arc<Authorities> {
        &self.authorities
    }
    /// What marks of the loop guard are made with.
    pub fn loop_key(&self) -> &Secret<32> {
        &self.loop_key
    }
    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
    /// Where time comes from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
    /// The disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }
    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
    /// The archive.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }
    /// Who may read.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }
    /// The audit trail.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }
    /// Who read what.
    pub fn read_audit(&self) -> &ReadAudit {
        &self.read_audit
    }
    /// As many renderings at once as there are cores.
    pub fn rendering(&self) -> &Semaphore {
        &self.rendering
    }

    /// Where passwords are checked, as many at once as there are cores: each takes a core's time and 19 MiB.
    pub fn logins(&self) -> &Logins {
        &self.logins
    }
    /// Bounds on memory.
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// An id for a message that arrives now.
    pub fn new_id(&self) -> Result<MailId, crate::crypto::Error> {
        Ok(MailId::new(self.now(), random::bytes()?))
    }
    /// The octets of a draft, from memory or, when it is large, from the disk.
    pub fn octets_of(&self, draft: &Draft) -> Result<Vec<u8>, journal::Error> {
        match is_in_memory(draft) {
            true => draft.octets(),
            false => tokio::task::block_in_place(|| draft.octets()),
        }
    }
    /// A message is durable: tells delivery and the audit trail.
    pub fn accepted(&self, id: MailId) {
        if let Some(entry) = self.journal.entry(&id) {
            self.audit_acceptance(&entry.accept);
        }
        if self.accepted.send(id).is_err() {
            // Delivery has ended: the gateway is stopping. The journal keeps the message for the next start.
            tracing::debug!("{id} waits for the next start");
        }
    }
    fn audit_acceptance(&self, accept: &Accept) {
        let recipients = match accept.envelope.recipients.as_slice() {
            [only] => only.address.to_string(),
            several => format!("{} recipients", several.len()),
        };
        self.audit.write(&Event {
            id: Some(accept.id.to_string()),
            who: Some(sender_and_client(&accept.envelope, &accept.client)),
            recipient: Some(recipients),
            detail: &format!("{} octets", accept.body_bytes),
            ..Event::new(self.now(), "accepted")
        });
    }
    /// Records that recipients were refused.
    pub fn audit_refusals(&self, client: &Client, envelope: &Envelope, ruling: &Ruling) {
        for (recipient, entry) in envelope.recipients.iter().zip(&ruling.recipients) {
            let Disposition::Refuse { text } = &entry.disposition else { continue };
            self.audit.write(&Event {
                who: Some(sender_and_client(envelope, client)),
                recipient: Some(recipient.address.to_string()),
                detail: text,
                ..Event::new(self.now(), "refused")
            });
        }
    }
}

fn sender_and_client(envelope: &Envelope, client: &Client) -> String {
    let sender = envelope.sender.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
    format!("{sender} [{}]", client.ip)
}

/// Whether a draft's octets are all in memory, so that nothing done with it waits for the disk.
pub fn is_in_memory(draft: &Draft) -> bool {
    !is_large(draft.bytes())
}

/// Whether so many octets count against a room. What is smaller is bounded by the number of connections.
pub fn is_large(bytes: u64) -> bool {
    usize::try_from(bytes).map_or(true, |bytes| bytes > journal::DRAFT_MEMORY_BYTES)
}

/// Where things lie below `data_dir`.
#[derive(Clone, Debug)]
pub struct Places {
    /// `data_dir` itself; the keyring lies below it in `keyring/`.
    pub root: PathBuf,
    /// Policies.
    pub policies: PathBuf,
    /// The key that seals private keys and journal keys at rest.
    pub host_key: PathBuf,
    /// Keys and certificates.
    pub keyring: PathBuf,
    /// The journal.
    pub journal: PathBuf,
    /// The archive.
    pub archive: PathBuf,
    /// The derived index.
    pub catalog: PathBuf,
    /// Accounts.
    pub accounts: PathBuf,
    /// The audit trail.
    pub audit: PathBuf,
    /// The read audit.
    pub read_audit: PathBuf,
    /// What the gateway remembers besides: the last checkpoint, what was sent where, how far a scrub is.
    pub state: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// When officers last proved that they can open the archive.
    pub drills: PathBuf,
}

impl Places {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Places {
        Places::below(&config.data_dir)
    }
    /// Those below a `data_dir`.
    pub fn below(root: &Path) -> Places {
        let below = |name: &str| root.join(name);
        Places {
            root: root.to_owned(),
            policies: below("policies"),
            host_key: below("host.key"),
            keyring: below("keyring"),
            journal: below("journal"),
            archive: below("archive"),
            catalog: below("catalog"),
            accounts: below("access"),
            audit: below("audit.jsonl"),
            read_audit: below("audit"),
            state: below("state"),
            control: below("run/control.sock"),
            drills: below("drills"),
        }
    }
}

fn tell_replay(replay: &journal::Replay) {
    let journal::Replay { files, messages, pending, torn_tail, damage, damaged_messages, gaps, recovered, remembered } =
        replay;
    let tail = if *torn_tail { ", a torn tail was cut" } else { "" };
    tracing::info!("journal: {files} files, {messages} messages, {pending} to deliver{tail}");
    if *remembered > 0 {
        tracing::info!(
            "journal: {remembered} deliveries just before the last end were still unrecorded, and are recorded now"
        );
    }
    for what in recovered {
        tracing::error!("journal: one side failed and was recovered from the other: {what}");
    }
    for what in damage {
        tracing::error!("journal: ACKNOWLEDGED DATA IS DAMAGED: {what}");
    }
    for id in damaged_messages {
        tracing::error!("journal: message {id} cannot be read whole");
    }
    for (from, to) in gaps {
        tracing::error!("journal: leaves {from} to {to} are lost; a GAP leaf says so");
    }
}

/// Opens archive and journal together: the log says where the journal's leaves go on.
pub fn open_store(
    config: &Config,
    places: &Places,
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    host_key: &crate::crypto::Secret<32>,
) -> Result<(Journal, Archive), Error> {
    let archive =
        Archive::open(disk.clone(), &places.archive, host_key).map_err(|e| Error::archive(&places.archive, &e))?;
    super::anchoring::memory::compare(&**disk, config, &archive)?;
    // The journal would make its directory; where it has vanished, a volume is not mounted and mail would go to the wrong disk.
    if !disk.exists(&places.journal) {
        return Err(Error::of(places.journal.display(), "the journal's directory is not there")
            .with_help("is its volume mounted? after a restore without the journal: mkdir -m 700 makes an empty one"));
    }
    if let Some(mirror) = config.journal.mirror.as_ref().filter(|mirror| !disk.exists(mirror)) {
        return Err(Error::of(mirror.display(), "the journal's mirror is not there")
            .with_help("is its volume mounted? for a new mirror: mkdir -m 700 makes an empty one"));
    }
    let settings = journal::Settings {
        dir: places.journal.clone(),
        mirror: config.journal.mirror.clone(),
        file_bytes: config.journal.file_bytes.get(),
        spares: config.journal.spares,
        low_space_bytes: config.journal.low_space_bytes,
        kept_bytes: config.journal.kept_bytes,
        danger_volatile_filesystem: config.journal.danger_volatile_filesystem,
    };
    let keys = journal::Keys { host: host_key.clone(), archive: archive.public_key() };
    let (journal, replay) =
        Journal::open(disk.clone(), clock.clone(), settings, keys, archive.log_size(), archive.sealed_through())
            .map_err(|e| Error::journal(&places.journal, &e))?;
    tell_replay(&replay);
    import::intake::reconcile(&**disk, places, &journal).map_err(|e| Error::io(&places.root.join("import"), &e))?;
    archive.reconcile(&journal).map_err(|e| Error::archive(&places.archive, &e))?;
    Ok((journal, archive))
}
