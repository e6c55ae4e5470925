//! Makes the fixture: `SEALPOST_GOLDEN=write cargo test --test golden make`. The command is in README.md.

use super::fixture;
use sealpost::archive::{Archive, Certificate, CreateOptions, generate, passphrase};
use sealpost::clock::{Clock, Timestamp};
use sealpost::crypto::{Secret, hash, sha256};
use sealpost::durable::RealDisk;
use sealpost::journal;
use sealpost::journal::{AcceptDraft, Journal, Outcome, RecipientResult, RenditionDraft};
use sealpost::mail::{Address, BodyType, Client, Direction, Envelope, MailId, Recipient, Retention};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};

/// 2024-11-30T23:59:00Z: a minute before a month ends.
const START_S: i64 = 1_733_011_140;
const HOST_KEY: [u8; 32] = [0x42; 32];
const VERSION: u32 = 1;

#[derive(Default)]
struct Hand(AtomicI64);

impl Hand {
    fn advance_s(&self, s: i64) {
        self.0.fetch_add(s, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_s(START_S + self.0.load(Ordering::Relaxed))
    }
}

struct Maker {
    clock: Arc<Hand>,
    archive: Archive,
    journal: Journal,
    messages: String,
}

/// Makes officers, archive and mail in `dir`.
pub fn make(dir: &Path, journal_dir: &Path) {
    let clock = Arc::new(Hand::default());
    let passphrase = passphrase().expect("a passphrase");
    fs::create_dir_all(dir).expect("a directory");
    fs::write(dir.join("passphrase"), [passphrase.expose(), b"\n"].concat()).expect("written");
    fs::write(dir.join("host.key"), HOST_KEY).expect("written");
    let certificates: Vec<Certificate> = (1..=3)
        .map(|n| {
            let user = format!("Officer {n} <officer{n}@example.org>");
            let officer = generate(&user, &passphrase, clock.now()).expect("a key");
            fs::write(dir.join(format!("officer-{n}.key")), officer.key.expose()).expect("written");
            Certificate::parse(&officer.certificate, clock.now()).expect("a certificate")
        })
        .collect();
    let options = CreateOptions { officers: &certificates, threshold: 2, uid_base: 100, now: clock.now() };
    let host = Secret::new(HOST_KEY);
    let archive = Archive::create(Arc::new(RealDisk), &dir.join("archive"), &host, &options).expect("an archive");
    let journal = open_journal(journal_dir, &clock, &archive);
    let mut maker = Maker { clock, archive, journal, messages: String::new() };
    maker.fill();
    fs::write(dir.join("messages"), &maker.messages).expect("written");
    maker.journal.close();
}

pub fn open_journal(dir: &Path, clock: &Arc<impl Clock + 'static>, archive: &Archive) -> Journal {
    let settings = journal::Settings {
        dir: dir.to_owned(),
        mirror: None,
        file_bytes: journal::FILE_BYTES_MIN,
        spares: 0,
        low_space_bytes: 0,
        kept_bytes: 1 << 40,
        danger_volatile_filesystem: true,
    };
    let keys = journal::Keys { host: Secret::new(HOST_KEY), archive: archive.public_key() };
    let (size, through) = (archive.log_size(), archive.sealed_through());
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    Journal::open(Arc::new(RealDisk), clock, settings, keys, size, through).expect("a journal").0
}

impl Maker {
    /// Two passes over two classes; a month's border; an event unit. What later slices add to the format gets its place here.
    fn fill(&mut self) {
        let plain = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: The first\r\n\r\nA short text.\r\n";
        let first = self.accept(plain, Retention::forever());
        self.accept(b"", Retention::forever());
        let keep = |s: i64| Some(Timestamp::from_s(START_S + s));
        let six_years =
            Retention { class: "tax".into(), keep_until: keep(189_345_600), protected_until: keep(94_672_800) };
        self.accept(MULTIPART.as_bytes(), six_years.clone());
        self.deliver(first, 0);
        self.seal();
        self.clock.advance_s(3600);
        self.deliver(first, 1);
        let long = format!("From: c@example.org\r\nSubject: Long\r\n\r\n{}", "All work and no play.\r\n".repeat(2000));
        self.accept(long.as_bytes(), Retention::forever());
        let odd: Vec<u8> = (0..4096u32).map(|n| u8::try_from(n * 7919 % 251).expect("small")).collect();
        self.accept(&odd, six_years);
        self.seal();
    }

    fn seal(&self) {
        self.archive.seal(&self.journal, self.clock.as_ref()).expect("sealed");
    }

    fn accept(&mut self, octets: &[u8], retention: Retention) -> MailId {
        let number = u8::try_from(self.messages.lines().count()).expect("few");
        let id = MailId::new(self.clock.now(), [number; 10]);
        accept(&self.journal, id, octets, draft(self.clock.now(), retention));
        self.messages += &format!("{id} {} {}\n", hash::hex(&sha256(octets)), octets.len());
        id
    }

    fn deliver(&self, id: MailId, recipient: u32) {
        let outcome = Outcome::Delivered { reply: format!("250 2.0.0 taken {recipient}") };
        let result = RecipientResult { recipient, at: self.clock.now(), next_hop: "mx.example.net:25".into(), outcome };
        let (sender, receiver) = mpsc::channel();
        let done: journal::Done<()> = Box::new(move |answer| sender.send(answer).expect("sent"));
        self.journal.record_results(id, vec![result], journal::Sync::Now, Some(done)).expect("recorded");
        receiver.recv().expect("an answer").expect("durable");
    }
}

pub fn accept(journal: &Journal, id: MailId, octets: &[u8], draft_of: AcceptDraft) {
    let mut draft = journal.draft(id).expect("a draft");
    draft.append(octets).expect("appended");
    let (sender, receiver) = mpsc::channel();
    draft.commit(draft_of, Box::new(move |answer| sender.send(answer).expect("sent")));
    receiver.recv().expect("an answer").expect("accepted");
}

const MULTIPART: &str = "From: Accounts <accounts@example.org>\r\nTo: b@example.net\r\nSubject: =?utf-8?q?Rechnung_f=C3=BCr_M=C3=A4rz?=\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=part\r\n\r\n--part\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n\
    --part\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\n--part--\r\n";

pub fn draft(at: Timestamp, retention: Retention) -> AcceptDraft {
    let address = |text| Address::parse(text).expect("an address");
    let prefix = b"Received: by gw.example.org\r\n".to_vec();
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
            ip: std::net::IpAddr::from([192, 0, 2, 7]),
            ehlo: "client.example".into(),
            protocol: "ESMTP".into(),
            tls: None,
            account: None,
            direction: Direction::Outbound,
            at,
        },
        ruling: vec![0x80],
        retention,
        renditions: vec![RenditionDraft { recipients: vec![0, 1], prefix, content: None }],
        reported: None,
    }
}

/// With `SEALPOST_GOLDEN=write` replaces the fixture of the newest version; else shows in passing that it could be made.
#[test]
fn make_the_fixture() {
    let place = tempfile::tempdir().expect("a directory");
    let made = place.path().join("made");
    make(&made, &place.path().join("journal"));
    assert_eq!(fixture::messages(&made).len(), 5);
    if std::env::var("SEALPOST_GOLDEN").is_ok_and(|word| word == "write") {
        let golden = fixture::golden(VERSION);
        fs::remove_dir_all(&golden).unwrap_or_default();
        fixture::copy(&made, &golden);
    }
}
