//! How fast `archive verify` reads, and what memory it takes: `cargo bench --bench verify [-- MESSAGES]`. The aims: level 0 at 800 MB/s
//! per core at least, and a million messages in less than 300 MiB.

#![allow(clippy::expect_used, reason = "a bench ends where something fails")]

#[allow(dead_code, reason = "shared with the throughput benchmark")]
#[path = "process.rs"]
mod process;

use sealpost::archive::{
    Archive, Certificate, CreateOptions, Reading, Report, VerifyOptions, Workers, generate, passphrase, verify,
};
use sealpost::clock::{Clock, SystemClock};
use sealpost::crypto::Secret;
use sealpost::durable::RealDisk;
use sealpost::journal::{AcceptDraft, Journal, Keys, Outcome, RecipientResult, RenditionDraft, Settings, Sync};
use sealpost::mail::{Address, BodyType, Client, Direction, Envelope, MailId, Recipient, Retention};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// Messages of the second archive, when nothing is said.
const MESSAGES: u64 = 1_000_000;
/// Messages that wait for one pass.
const PASS: u64 = 20_000;
/// Octets of the first archive's messages, which no compression makes smaller.
const LARGE_BYTES: usize = 4 << 20;
const LARGE: u64 = 512;

fn create(dir: &Path) -> (Archive, Journal) {
    let (now, words) = (SystemClock.now(), passphrase().expect("a passphrase"));
    let officer = generate("Officer <officer@example.org>", &words, now).expect("a key");
    let officers = [Certificate::parse(&officer.certificate, now).expect("a certificate")];
    let host = Secret::new([7; 32]);
    let options = CreateOptions { officers: &officers, threshold: 1, uid_base: 0, now };
    let archive = Archive::create(Arc::new(RealDisk), &dir.join("archive"), &host, &options).expect("an archive");
    let settings = Settings {
        dir: dir.join("journal"),
        mirror: None,
        file_bytes: 64 << 20,
        spares: 1,
        low_space_bytes: 0,
        kept_bytes: 1 << 40,
        danger_volatile_filesystem: true,
    };
    let keys = Keys { host, archive: archive.public_key() };
    let (size, through) = (archive.log_size(), archive.sealed_through());
    let opened = Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), settings, keys, size, through);
    (archive, opened.expect("a journal").0)
}

fn accept() -> AcceptDraft {
    let now = SystemClock.now();
    let address = |text| Address::parse(text).expect("an address");
    AcceptDraft {
        accepted_at: now,
        envelope: Envelope {
            sender: Some(address("sender@example.org")),
            recipients: vec![Recipient::new(address("recipient@example.net"))],
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
        ruling: vec![0x80],
        retention: Retention::forever(),
        reported: None,
        renditions: vec![RenditionDraft { recipients: vec![0], prefix: Vec::new(), content: None }],
    }
}

/// Accepts and delivers `count` messages, and seals them.
fn fill(archive: &Archive, journal: &Journal, from: u64, count: u64, octets: &[u8]) {
    let (sender, receiver) = mpsc::channel();
    for n in from..from + count {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&n.to_be_bytes());
        let mut draft = journal.draft(MailId::new(SystemClock.now(), random)).expect("a draft");
        draft.append(octets).expect("appended");
        let sender = sender.clone();
        draft.commit(accept(), Box::new(move |result| sender.send(result).expect("heard")));
    }
    for _ in 0..count {
        let id = receiver.recv().expect("an answer").expect("accepted");
        let outcome = Outcome::Delivered { reply: "250 2.0.0 ok".into() };
        let result = RecipientResult { recipient: 0, at: SystemClock.now(), next_hop: "127.0.0.1:25".into(), outcome };
        journal.record_results(id, vec![result], Sync::Lazy, None).expect("recorded");
    }
    archive.seal(journal, &SystemClock).expect("sealed");
}

/// Octets that no compression makes smaller (splitmix64).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)).to_le_bytes()
    };
    (0..bytes / 8).flat_map(|_| next()).collect()
}

/// The most memory this process had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}

/// In a process of its own, whose memory is that of the verification alone.
fn measured(dir: &Path, workers: &str) {
    let done = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([Path::new("--measure"), dir, Path::new(workers)])
        .status()
        .expect("runs");
    assert!(done.success(), "verification failed");
}

fn measure(dir: &Path, workers: Workers) {
    let start = Instant::now();
    let reading = Reading { workers, ..Reading::default() };
    let options = VerifyOptions { reading, ..VerifyOptions::default() };
    let report: Report = verify(&RealDisk, &dir.join("archive"), &options);
    let seconds = start.elapsed().as_secs_f64();
    assert!(report.is_ok() && report.accepted == report.covered + report.pending, "{:?}", report.findings.first());
    let processor_s = process::cpu_time(std::process::id()).as_secs_f64();
    let megabytes = report.bytes as f64 / 1e6;
    println!(
        "  {workers:?}: {} messages, {megabytes:.0} MB in {seconds:.2} s: {:.0} MB/s, {:.0} messages/s; per second of processor time \
         {:.0} MB; at most {} MiB",
        report.accepted,
        megabytes / seconds,
        report.accepted as f64 / seconds,
        megabytes / processor_s,
        peak_mib()
    );
}

fn both(dir: &Path) {
    // The first reads from the disk what is not in memory; what is measured is the program.
    for workers in ["one", "one", "cores"] {
        measured(dir, workers);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, dir, workers] = arguments.as_slice()
        && flag == "--measure"
    {
        return measure(Path::new(dir), if workers == "one" { Workers::One } else { Workers::Cores });
    }
    let messages = arguments.first().map_or(MESSAGES, |count| count.parse().expect("a number of messages"));
    let (large, small) =
        (noise(LARGE_BYTES), format!("Subject: x\r\n\r\n{}\r\n", "a line of text ".repeat(40)).into_bytes());
    let place = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    {
        let dir = place();
        let (archive, journal) = create(dir.path());
        (0..LARGE).step_by(128).for_each(|from| fill(&archive, &journal, from, 128, &large));
        journal.close();
        println!("{LARGE} messages of {LARGE_BYTES} octets:");
        both(dir.path());
    }
    let dir = place();
    let (archive, journal) = create(dir.path());
    let start = Instant::now();
    for from in (0..messages).step_by(usize::try_from(PASS).expect("small")) {
        fill(&archive, &journal, from, PASS.min(messages - from), &small);
    }
    journal.close();
    println!("{messages} messages of {} octets (made in {:.0?}):", small.len(), start.elapsed());
    both(dir.path());
}
