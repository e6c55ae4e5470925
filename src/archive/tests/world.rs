//! A gateway's journal and archive in one place, and mail to put into them.

use super::super::*;
use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::crypto::SecretBytes;
use crate::crypto::random;
use crate::durable::Disk;
use crate::journal;
use crate::journal::AcceptDraft;
use crate::journal::Journal;
use crate::journal::LeafEntry;
use crate::journal::Outcome;
use crate::journal::RecipientResult;
use crate::journal::RenditionDraft;
use crate::mail::Address;
use crate::mail::BodyType;
use crate::mail::Client;
use crate::mail::Direction;
use crate::mail::Envelope;
use crate::mail::MailId;
use crate::mail::Recipient;
use crate::mail::Reported;
use crate::mail::Retention;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

/// 2024-11-30T23:59:30Z: half a minute before a month ends.
const START_S: i64 = 1_733_011_170;

/// A clock that the test moves.
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn at(start: Timestamp) -> TestClock {
        TestClock(AtomicI64::new(start.ms()))
    }
    pub fn advance_s(&self, s: i64) {
        self.0.fetch_add(s * 1000, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::Relaxed))
    }
}

pub fn start() -> Timestamp {
    Timestamp::from_s(START_S)
}

pub fn host_key() -> Secret<32> {
    Secret::new([0x42; 32])
}

pub struct TestOfficer {
    pub key: SecretBytes,
    pub passphrase: SecretBytes,
    pub certificate: Certificate,
}

/// Three officers, made once: deriving keys from passphrases takes its time.
pub fn officers() -> &'static [TestOfficer] {
    static OFFICERS: OnceLock<Vec<TestOfficer>> = OnceLock::new();
    OFFICERS.get_or_init(|| {
        let officer = |n: u32| {
            let passphrase = passphrase().expect("a passphrase");
            let made = generate(&format!("Officer {n} <officer{n}@example.org>"), &passphrase, start()).expect("a key");
            let certificate = Certificate::parse(&made.certificate, start()).expect("a certificate");
            TestOfficer { key: made.key, passphrase, certificate }
        };
        (1..=3).map(officer).collect()
    })
}

pub struct World {
    pub disk: Arc<dyn Disk>,
    pub root: PathBuf,
    pub clock: Arc<TestClock>,
    pub archive: Archive,
    pub journal: Journal,
}

fn open_journal(disk: &Arc<dyn Disk>, root: &Path, clock: &Arc<TestClock>, archive: &Archive) -> Journal {
    let settings = journal::Settings {
        dir: root.join("journal"),
        mirror: None,
        file_bytes: 1 << 20,
        spares: 0,
        low_space_bytes: 0,
        kept_bytes: 1 << 40,
        danger_volatile_filesystem: true,
    };
    let keys = journal::Keys { host: host_key(), archive: archive.public_key() };
    let (size, through) = (archive.log_size(), archive.sealed_through());
    let clock: Arc<dyn Clock> = clock.clone();
    Journal::open(disk.clone(), clock, settings, keys, size, through).expect("a journal").0
}

impl World {
    pub fn new(disk: Arc<dyn Disk>, root: &Path) -> World {
        World::with(disk, root, &[officers()[0].certificate.clone()])
    }

    /// On a disk in memory, with these officers.
    pub fn of(officers: &[Certificate]) -> World {
        World::with(Arc::new(super::disk::FakeDisk::default()), Path::new("/gw"), officers)
    }

    fn with(disk: Arc<dyn Disk>, root: &Path, officers: &[Certificate]) -> World {
        let options = CreateOptions { officers, threshold: 1, uid_base: 100, now: start() };
        let archive = Archive::create(disk.clone(), &root.join("archive"), &host_key(), &options).expect("an archive");
        let clock = Arc::new(TestClock::at(start()));
        let journal = open_journal(&disk, root, &clock, &archive);
        World { disk, root: root.to_owned(), clock, archive, journal }
    }

    pub fn dir(&self) -> PathBuf {
        self.root.join("archive")
    }

    /// As after a restart of the gateway.
    pub fn reopen(self) -> World {
        let World { disk, root, clock, journal, .. } = self;
        journal.close();
        World::resume(disk, root, clock)
    }

    /// From what is on the disk.
    pub fn resume(disk: Arc<dyn Disk>, root: PathBuf, clock: Arc<TestClock>) -> World {
        let archive = Archive::open(disk.clone(), &root.join("archive"), &host_key()).expect("the archive");
        let journal = open_journal(&disk, &root, &clock, &archive);
        World { disk, root, clock, archive, journal }
    }

    pub fn accept(&self, octets: &[u8]) -> MailId {
        self.accept_with(octets, Retention::forever(), None)
    }

    /// What came in as a journal report.
    pub fn accept_reported(&self, octets: &[u8], reported: Option<Reported>) -> MailId {
        self.accept_with(octets, Retention::forever(), reported)
    }

    /// What is kept as a class says.
    pub fn accept_in(&self, octets: &[u8], retention: Retention) -> MailId {
        self.accept_with(octets, retention, None)
    }

    fn accept_with(&self, octets: &[u8], retention: Retention, reported: Option<Reported>) -> MailId {
        let id = MailId::new(self.clock.now(), random::bytes().expect("random"));
        let mut draft = self.journal.draft(id).expect("a draft");
        draft.append(octets).expect("appended");
        let (sender, receiver) = mpsc::channel();
        let accept = AcceptDraft { reported, ..accept_draft(self.clock.now(), retention) };
        draft.commit(accept, Box::new(move |r| sender.send(r).expect("sent")));
        receiver.recv().expect("an answer").expect("accepted")
    }

    pub fn deliver(&self, id: MailId, recipient: u32) {
        let outcome = Outcome::Delivered { reply: format!("250 ok {recipient}") };
        let result = RecipientResult { recipient, at: self.clock.now(), next_hop: "127.0.0.1:25".into(), outcome };
        let (sender, receiver) = mpsc::channel();
        let done: journal::Done<()> = Box::new(move |r| sender.send(r).expect("sent"));
        self.journal.record_results(id, vec![result], journal::Sync::Now, Some(done)).expect("recorded");
        receiver.recv().expect("an answer").expect("durable");
    }

    /// Leaves that need no sealing.
    pub fn append_anchors(&self, n: usize) {
        let (sender, receiver) = mpsc::channel();
        for records in 1..=n as u64 {
            let leaf = leaf::Anchor::AuditHead { records, chain: [7; 32] }.to_leaf().expect("short");
            let sender = sender.clone();
            self.journal.append_leaf(leaf, Box::new(move |r| sender.send(r).expect("sent")));
        }
        (0..n).for_each(|_| assert!(receiver.recv().expect("an answer").is_ok()));
    }

    pub fn seal(&self) -> SealReport {
        self.archive.seal(&self.journal, self.clock.as_ref()).expect("sealed")
    }

    pub fn unlock(&self) -> Unlocked {
        let officer = &officers()[0];
        self.archive.unlock(officer.key.expose(), &officer.passphrase).expect("unlocked")
    }

    pub fn journal_leaves(&self) -> Vec<LeafEntry> {
        self.journal.leaves(self.archive.log_size(), usize::MAX)
    }

    /// Both levels, with the journal's leaves.
    pub fn verify(&self, unlocked: Option<&Unlocked>) -> Report {
        let journal = self.journal_leaves();
        let options = VerifyOptions { unlocked, journal: &journal, ..VerifyOptions::default() };
        verify(self.disk.as_ref(), &self.dir(), &options)
    }

    pub fn assert_whole(&self, unlocked: &Unlocked) -> Report {
        let report = self.verify(Some(unlocked));
        assert_eq!(report.findings, [], "a whole archive");
        assert_eq!(report.accepted, report.covered + report.pending);
        report
    }
}

/// Kept in a class until so many days after the start.
pub fn kept(class: &str, days: i64) -> Retention {
    Retention { class: class.into(), keep_until: Some(start().plus_s(days * 86_400)), protected_until: None }
}

/// A message of about `n` octets.
pub fn message(n: usize) -> Vec<u8> {
    let mut text = format!("From: a@example.org\r\nTo: b@example.net\r\nSubject: number {n}\r\n\r\n");
    while text.len() < n {
        text.push_str(&format!("Line {} of a message that says little.\r\n", text.len()));
    }
    text.into_bytes()
}

pub fn accept_draft(at: Timestamp, retention: Retention) -> AcceptDraft {
    let address = |text| Address::parse(text).expect("an address");
    let rendition =
        RenditionDraft { recipients: vec![0, 1], prefix: b"Received: by gw.example.org\r\n".to_vec(), content: None };
    AcceptDraft {
        accepted_at: at,
        envelope: Envelope {
            sender: Some(address("a@example.org")),
            recipients: ["b@example.net", "c@example.net"].map(|a| Recipient::new(address(a))).to_vec(),
            body: BodyType::SevenBit,
            ret: None,
            envid: None,
            smtputf8: false,
            require_tls: None,
        },
        client: Client {
            ip: std::net::IpAddr::from([127, 0, 0, 1]),
            ehlo: "client.example".into(),
            protocol: "ESMTP".into(),
            tls: None,
            account: None,
            direction: Direction::Outbound,
            at,
        },
        ruling: vec![0x80],
        retention,
        renditions: vec![rendition],
        reported: None,
    }
}
