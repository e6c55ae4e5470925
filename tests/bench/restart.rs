//! How long a start takes with a full queue: `cargo bench --bench restart`. The aim is to accept mail again within 2 seconds with
//! 100,000 messages waiting.

#![allow(clippy::expect_used, reason = "a bench ends where something fails")]

#[allow(dead_code, reason = "shared with the throughput benchmark")]
#[path = "process.rs"]
mod process;

use sealpost::clock::{Clock, SystemClock};
use sealpost::crypto::{Secret, hpke};
use sealpost::durable::RealDisk;
use sealpost::journal::{AcceptDraft, Journal, Keys, RenditionDraft, Replay, Settings};
use sealpost::mail::{Address, BodyType, Client, Direction, Envelope, MailId, Recipient, Retention};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;

const MESSAGES: u64 = 100_000;

fn open(dir: &Path, keys: &Keys) -> (Journal, Replay) {
    let settings = Settings {
        dir: dir.to_owned(),
        mirror: None,
        file_bytes: 64 << 20,
        spares: 1,
        low_space_bytes: 0,
        kept_bytes: 1 << 40,
        danger_volatile_filesystem: true,
    };
    Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), settings, keys.clone(), 0, 0).expect("opens")
}

fn accept(n: u64) -> AcceptDraft {
    let now = SystemClock.now();
    let address = |name: &str| Address::parse(&format!("{name}{n}@example.org")).expect("an address");
    AcceptDraft {
        accepted_at: now,
        envelope: Envelope {
            sender: Some(address("sender")),
            recipients: vec![Recipient::new(address("recipient"))],
            body: BodyType::SevenBit,
            ret: None,
            envid: None,
            smtputf8: false,
            require_tls: None,
        },
        client: Client {
            ip: IpAddr::from([127, 0, 0, 1]),
            ehlo: "client.example".into(),
            protocol: "ESMTP".into(),
            tls: None,
            account: None,
            direction: Direction::Outbound,
            at: now,
        },
        ruling: vec![0x80; 200],
        retention: Retention::forever(),
        renditions: vec![RenditionDraft {
            recipients: vec![0],
            prefix: b"Received: from a bench\r\n".repeat(8),
            content: None,
        }],
        reported: None,
    }
}

/// Commits `count` messages; returns when all are durable.
fn commit(journal: &Journal, from: u64, count: u64, octets: &[u8]) {
    let (sender, receiver) = mpsc::channel();
    for n in from..from + count {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&n.to_be_bytes());
        let mut draft = journal.draft(MailId::new(SystemClock.now(), random)).expect("a draft");
        draft.append(octets).expect("appended");
        let sender = sender.clone();
        draft.commit(accept(n), Box::new(move |result| sender.send(result.is_ok()).expect("heard")));
    }
    assert!(receiver.iter().take(usize::try_from(count).expect("few")).all(|accepted| accepted), "refused");
}

/// Memory of this process, in MB.
fn memory_mb() -> u64 {
    process::resident_memory(std::process::id()) / 1_000_000
}

/// Processor time of this process so far, in seconds: what a start costs however busy the machine is.
fn processor_s() -> f64 {
    process::cpu_time(std::process::id()).as_secs_f64()
}

fn measure(bytes: usize) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let keys = Keys { host: Secret::new([7; 32]), archive: hpke::generate().expect("a pair").1 };
    let octets = vec![b'x'; bytes];
    let (journal, _) = open(dir.path(), &keys);
    let start = Instant::now();
    commit(&journal, 0, MESSAGES, &octets);
    let filled = start.elapsed();
    journal.close();
    let (start, processor, memory) = (Instant::now(), processor_s(), memory_mb());
    let (journal, replay) = open(dir.path(), &keys);
    let (opened, processor) = (start.elapsed(), processor_s() - processor);
    commit(&journal, MESSAGES, 1, &octets);
    let accepted = start.elapsed();
    assert_eq!(u64::try_from(replay.pending).expect("fits"), MESSAGES);
    println!(
        "{MESSAGES} messages of {bytes} octets: filled in {filled:.1?}, opened in {opened:.2?} \
         ({processor:.2} s of processor time), accepts after {accepted:.2?}; memory from {memory} to {} MB",
        memory_mb()
    );
}

fn main() {
    for bytes in [2048, 20_480] {
        measure(bytes);
    }
}
