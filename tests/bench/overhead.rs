//! What the archive stores beyond bodies: `cargo bench --bench overhead`. The aim is at most 350 octets a message.

#![allow(clippy::expect_used, reason = "a bench ends where something fails")]

use sealpost::archive::unit::{Part, Place, Sealer};
use sealpost::archive::{Archive, Certificate, CreateOptions, SegmentId, generate, passphrase};
use sealpost::clock::{Clock, SystemClock};
use sealpost::crypto::{Secret, SecretBytes, random};
use sealpost::durable::{Disk, RealDisk};
use sealpost::journal::{self, AcceptDraft, Journal, Outcome, RecipientResult, RenditionDraft};
use sealpost::mail::{Address, BodyType, Client, Direction, Envelope, MailId, Recipient, Retention};
use sealpost::policy::{Disposition, RecipientRuling, Ruling, Treatment, Why};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};

struct Bench {
    archive: Archive,
    journal: Journal,
    key: SecretBytes,
    passphrase: SecretBytes,
}

fn open(dir: &Path) -> Bench {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let now = SystemClock.now();
    let secret = passphrase().expect("a passphrase");
    let made = generate("Officer <officer@example.org>", &secret, now).expect("a key");
    let officers = [Certificate::parse(&made.certificate, now).expect("a certificate")];
    let options = CreateOptions { officers: &officers, threshold: 1, uid_base: 0, now };
    let host = Secret::new([7; 32]);
    let archive = Archive::create(disk.clone(), &dir.join("archive"), &host, &options).expect("an archive");
    let settings = journal::Settings {
        dir: dir.join("journal"),
        mirror: None,
        file_bytes: 64 << 20,
        spares: 0,
        low_space_bytes: 0,
        kept_bytes: 1 << 40,
        danger_volatile_filesystem: true,
    };
    let keys = journal::Keys { host, archive: archive.public_key() };
    let (size, through) = (archive.log_size(), archive.sealed_through());
    let journal = Journal::open(disk, Arc::new(SystemClock), settings, keys, size, through).expect("a journal").0;
    Bench { archive, journal, key: made.key, passphrase: secret }
}

/// A short mail as programs of today write them, and its envelope's addresses.
fn message(n: u64) -> (Vec<u8>, [Address; 2]) {
    let people = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
    let person = |n: u64| people[usize::try_from(n % 8).expect("small")];
    let (from, to) = (person(n), person(n / 8 + 3));
    let noise = sealpost::crypto::hash::hex(&sealpost::crypto::sha256(&n.to_be_bytes()));
    let text = format!(
        "Message-ID: <{}@mail.example.org>\r\nDate: Tue, 24 Nov 2026 17:{:02}:{:02} +0100\r\nMIME-Version: 1.0\r\n\
         User-Agent: A Mail Program 115.4\r\nSubject: Re: order {n} of last week\r\nContent-Language: en\r\n\
         To: \"{to} Example\" <{to}@partner.example>\r\nFrom: {from} Example <{from}@example.org>\r\n\
         In-Reply-To: <{}@partner.example>\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\nDear {to},\r\n\r\nthank you for order {n}; reference {noise}.\r\n\r\nKind regards\r\n{from}\r\n",
        &noise[..32],
        n / 60 % 60,
        n % 60,
        &noise[32..],
    );
    let address = |name: &str, domain: &str| Address::parse(&format!("{name}@{domain}")).expect("an address");
    (text.into_bytes(), [address(from, "example.org"), address(to, "partner.example")])
}

/// The record that the gateway would make under a policy that says nothing.
fn accept(id: &MailId, addresses: [Address; 2]) -> AcceptDraft {
    let now = SystemClock.now();
    let [sender, recipient] = addresses;
    let prefix = format!(
        "Received: from client.example.org (client.example.org [192.0.2.7])\r\n\tby gw.example.org (Sealpost) with ESMTPSA \
         id {id}\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384);\r\n\t{}\r\n",
        now.rfc5322()
    );
    let why = |action: &str| Why { action: action.into(), value: "never".into(), because: "default".into() };
    let entry =
        RecipientRuling { disposition: Disposition::Deliver(Treatment::Plain), why: vec![why("sign"), why("encrypt")] };
    let ruling = Ruling { recipients: vec![entry], policy_digest: [0x5a; 32] };
    AcceptDraft {
        accepted_at: now,
        envelope: Envelope {
            sender: Some(sender),
            recipients: vec![Recipient::new(recipient)],
            body: BodyType::EightBitMime,
            ret: None,
            envid: None,
            smtputf8: false,
            require_tls: None,
        },
        client: Client {
            ip: IpAddr::from([192, 0, 2, 7]),
            ehlo: "client.example.org".into(),
            protocol: "ESMTPSA".into(),
            tls: None,
            account: Some("alice".into()),
            direction: Direction::Outbound,
            at: now,
        },
        ruling: journal::encode(&ruling),
        retention: Retention::forever(),
        renditions: vec![RenditionDraft { recipients: vec![0], prefix: prefix.into_bytes(), content: None }],
        reported: None,
    }
}

/// Accepts and delivers; the octets that the bodies alone take when they are stored.
fn fill(bench: &Bench, messages: u64) -> u64 {
    let mut sealer = Sealer::new().expect("a sealer");
    let place = Place { segment: SegmentId::from_octets([0; 16]), slot: 0 };
    let mut bodies = 0;
    let (sender, receiver) = mpsc::channel();
    let mut ids = Vec::new();
    for n in 0..messages {
        let id = MailId::new(SystemClock.now(), random::bytes().expect("random"));
        let (octets, addresses) = message(n);
        let stored = sealer.seal(&place, &Secret::new([1; 32]), Part::Body, &octets).expect("sealed");
        bodies += stored.len() as u64;
        let mut draft = bench.journal.draft(id).expect("a draft");
        draft.append(&octets).expect("appended");
        let sender = sender.clone();
        draft.commit(accept(&id, addresses), Box::new(move |result| sender.send(result.is_ok()).expect("heard")));
        ids.push(id);
    }
    assert!(receiver.iter().take(ids.len()).all(|accepted| accepted), "refused");
    for id in ids {
        let outcome = Outcome::Delivered { reply: "250 2.0.0 Ok: queued as 4XYZ12ab".into() };
        let result = RecipientResult { recipient: 0, at: SystemClock.now(), next_hop: "192.0.2.25:25".into(), outcome };
        let sender = sender.clone();
        let done: journal::Done<()> = Box::new(move |result| sender.send(result.is_ok()).expect("heard"));
        bench.journal.record_results(id, vec![result], journal::Sync::Now, Some(done)).expect("recorded");
    }
    let messages = usize::try_from(messages).expect("few");
    assert!(receiver.iter().take(messages).all(|recorded| recorded), "not recorded");
    bodies
}

/// Octets of all files below a directory.
fn octets_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { octets_below(&path) } else { path.metadata().expect("a file").len() }).sum()
}

/// The same messages as the gateway would seal them, in passes of as many as `each`.
fn measure(messages: u64) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let bench = open(dir.path());
    let bodies = fill(&bench, messages);
    let at = dir.path().join("archive");
    let before = octets_below(&at);
    let report = bench.archive.seal(&bench.journal, &SystemClock).expect("sealed");
    assert_eq!(report.messages, messages);
    let unlocked = bench.archive.unlock(bench.key.expose(), &bench.passphrase).expect("unlocked");
    let mut sealer = Sealer::new().expect("a sealer");
    let (mut metas, mut whole) = (0, 0);
    for segment in unlocked.segments().expect("segments") {
        for entry in unlocked.directory(&segment).expect("a directory") {
            let meta = unlocked.meta(&segment, entry.slot).expect("a meta").encode();
            let place = Place { segment: segment.seal.segment, slot: entry.slot };
            metas += sealer.seal(&place, &Secret::new([1; 32]), Part::Meta, &meta).expect("sealed").len() as u64;
            whole += meta.len() as u64;
        }
    }
    let each = |octets: u64| octets as f64 / messages as f64;
    let data = octets_below(&at.join("segments"));
    let keys = octets_below(&at.join("key-copies"));
    let total = octets_below(&at) - before - bodies;
    println!(
        "{messages:>6} messages in {} segments: {:.0} octets beyond bodies a message: metas {:.0} ({:.0} before \
         compression), directory and hashes {:.0}, key objects 2 x {:.0}, log and covers {:.0}; bodies {:.0}",
        report.segments,
        each(total),
        each(metas),
        each(whole),
        each(data - keys - bodies - metas),
        each(keys),
        each(octets_below(&at.join("log"))),
        each(bodies),
    );
}

fn main() {
    for messages in [30, 300, 3_000, 30_000] {
        measure(messages);
    }
}
