//! `recover.py` with gpg and stock Python packages, without our program: the golden archives and a fresh one.

use super::fixture::{self, Expected, golden, messages};
use super::make;
use sealpost::archive::{Archive, SegmentId};
use sealpost::clock::SystemClock;
use sealpost::crypto::{Secret, hash, sha256};
use sealpost::durable::RealDisk;
use sealpost::journal::{LEAF_VERSION, Leaf, LeafKind};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, mpsc};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Python that `tests/run.sh` sets up, or else the system's, if it has what recovery needs.
fn python() -> PathBuf {
    let own = root().join("target/python/bin/python3");
    let python = if own.exists() { own } else { PathBuf::from("python3") };
    let needs = "from cryptography.hazmat.primitives.asymmetric import mlkem";
    let has = Command::new(&python).args(["-c", needs]).output().is_ok_and(|done| done.status.success());
    assert!(has, "{} lacks cryptography 48: run `. packaging/debian.sh; need_python`", python.display());
    python
}

/// GnuPG with officers' keys in a home of its own.
struct Gpg {
    home: tempfile::TempDir,
    passphrase: PathBuf,
}

impl Gpg {
    fn new(fixture: &Path, officers: &[u32]) -> Gpg {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").expect("a short path");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("private");
        let gpg = Gpg { home, passphrase: fixture.join("passphrase") };
        for n in officers {
            let done = gpg.command().arg("--import").arg(fixture.join(format!("officer-{n}.key"))).output();
            assert!(done.expect("gpg").status.success(), "officer {n}");
        }
        let script = format!(
            "#!/bin/sh\nexec gpg --homedir {} --batch --pinentry-mode loopback --passphrase-file {} \"$@\"\n",
            gpg.home.path().display(),
            gpg.passphrase.display()
        );
        fs::write(gpg.program(), script).expect("written");
        fs::set_permissions(gpg.program(), fs::Permissions::from_mode(0o700)).expect("executable");
        gpg
    }
    fn command(&self) -> Command {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).args(["--batch", "--pinentry-mode", "loopback"]);
        command.arg("--passphrase-file").arg(&self.passphrase);
        command
    }
    /// What asks for no passphrase, as an officer's agent with a token would.
    fn program(&self) -> PathBuf {
        self.home.path().join("gpg.sh")
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        // The agent that served this home alone ends with it.
        let ended = Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
        ended.map_or_else(|e| println!("gpgconf: {e}"), |_| ());
    }
}

/// With the newest script, which opens archives of every version.
fn recover(archive: &Path, gpg: &Gpg, arguments: &[&str]) -> Output {
    recover_with(&root().join("packaging/recover.py"), archive, gpg, arguments)
}

fn recover_with(script: &Path, archive: &Path, gpg: &Gpg, arguments: &[&str]) -> Output {
    let mut command = Command::new(python());
    command.arg(script).arg(archive).arg("--gpg").arg(gpg.program()).args(arguments);
    command.env_remove("PYTHONPATH").output().expect("python runs")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Messages that were written out, by id.
fn written(out: &Path) -> BTreeMap<String, Expected> {
    let mut found = BTreeMap::new();
    for month in fs::read_dir(out).expect("a directory").map(|e| e.expect("an entry").path()).filter(|p| p.is_dir()) {
        for path in fs::read_dir(month).expect("a directory").map(|e| e.expect("an entry").path()) {
            let name = path.file_stem().and_then(|n| n.to_str()).expect("a name").to_owned();
            let octets = fs::read(&path).expect("a message");
            let (_, id) = name.split_once('-').expect("number and id");
            let expected = Expected { sha256: hash::hex(&sha256(&octets)), octets: octets.len() as u64 };
            found.insert(id.to_owned(), expected);
        }
    }
    found
}

fn recovers_all(fixture: &Path, script: &Path) {
    let archive = fixture.join("archive");
    let gpg = Gpg::new(fixture, &[2, 3]);
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().join("mail");
    let done = recover_with(script, &archive, &gpg, &["--out", out.to_str().expect("text")]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(written(&out), messages(fixture));
    let listing = fs::read_to_string(out.join("listing.csv")).expect("a listing");
    assert!(listing.contains("c@example.net: delivered") && listing.contains(",tax,"), "{listing}");
    assert!(text(&done.stderr).contains("5 messages whole, 0 erased or expired, 0 damaged; 0 faults"));
}

#[test]
fn the_golden_archive_opens_without_sealpost() {
    recovers_all(&golden(1), &root().join("packaging/recover.py"));
}

#[test]
fn a_fresh_archive_opens_without_sealpost() {
    let place = tempfile::tempdir().expect("a directory");
    make::make(&place.path().join("made"), &place.path().join("journal"));
    let archive = place.path().join("made/archive");
    // The script beside the archive is the one that people will find.
    recovers_all(&place.path().join("made"), &archive.join("recover.py"));
    for (copy, ours) in [("recover.py", "packaging/recover.py"), ("RECOVERY.md", "docs/recovery.md")] {
        assert_eq!(fs::read(archive.join(copy)).expect("a copy"), fs::read(root().join(ours)).expect("a file"));
    }
}

/// As on different machines: each officer decrypts a file, nobody needs gpg where the shares come together.
#[test]
fn shares_that_officers_decrypted_elsewhere_open_it() {
    let (fixture, place) = (golden(1), tempfile::tempdir().expect("a directory"));
    let gpg = Gpg::new(&fixture, &[1, 3]);
    let shares = place.path().join("shares");
    let exported = recover(&fixture.join("archive"), &gpg, &["--export-shares", shares.to_str().expect("text")]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let mut files = Vec::new();
    for officer in [1, 3] {
        let name = format!("generation-1-officers-1-3-officer-{officer}.pgp");
        let opened = gpg.command().arg("--decrypt").arg(shares.join(&name)).output().expect("gpg");
        // As a mail program might have changed it.
        let share = text(&opened.stdout).replace('\n', "\r\n");
        files.push(place.path().join(format!("share-{officer}.txt")));
        fs::write(files.last().expect("one"), share).expect("written");
    }
    let id = messages(&fixture).into_keys().next().expect("a message");
    let out = place.path().join("one");
    let file = |n: usize| files[n].to_str().expect("text");
    let arguments = ["--share", file(0), "--share", file(1), "--id", &id, "--out", out.to_str().expect("text")];
    let done = recover(&fixture.join("archive"), &Gpg::new(&fixture, &[]), &arguments);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(written(&out).into_keys().collect::<Vec<_>>(), [id]);
    let one = recover(&fixture.join("archive"), &Gpg::new(&fixture, &[]), &["--share", file(0), "--list"]);
    assert_eq!(one.status.code(), Some(1), "one share of two");
    assert!(text(&one.stderr).contains("no archive key could be put together"), "{}", text(&one.stderr));
}

#[test]
fn what_is_damaged_is_named_and_the_rest_is_written() {
    let (fixture, place) = (golden(1), tempfile::tempdir().expect("a directory"));
    let gpg = Gpg::new(&fixture, &[1, 2]);
    let files = |archive: &Path, dir: &str, end: &str| -> Vec<PathBuf> {
        let all = fs::read_dir(archive.join(dir)).expect("a directory").map(|e| e.expect("an entry").path());
        let mut found: Vec<_> = all.filter(|p| p.is_file() && p.to_str().is_some_and(|n| n.ends_with(end))).collect();
        found.sort();
        found
    };
    let cases = [
        ("segments", ".data", 200, 1),
        ("segments", ".keys", 60, 0),
        ("segments", ".data", 60, 2),
        ("log/tile/entries/000.p", "", 660, 0),
        ("log", "checkpoint", 60, 0),
    ];
    for (number, (dir, end, at, lost)) in cases.into_iter().enumerate() {
        let archive = place.path().join(format!("bent-{number}"));
        fixture::copy(&fixture.join("archive"), &archive);
        let path = &files(&archive, dir, end)[0];
        let mut octets = fs::read(path).expect("read");
        octets[at] ^= 1;
        fs::write(path, octets).expect("written");
        let out = place.path().join(format!("out-{number}"));
        let done = recover(&archive, &gpg, &["--out", out.to_str().expect("text")]);
        let name =
            if dir.starts_with("log") { "log" } else { path.file_name().and_then(|n| n.to_str()).expect("a name") };
        assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
        assert!(text(&done.stderr).contains(name), "{}", text(&done.stderr));
        let left = written(&out);
        assert!(left.iter().all(|(id, message)| messages(&fixture).get(id) == Some(message)));
        assert!(5 - left.len() <= lost, "{dir} {end} at {at}: {left:?}");
    }
}

/// Leaves decide, even where key objects lag behind them.
#[test]
fn what_was_erased_or_has_expired_is_said_and_not_written() {
    let place = tempfile::tempdir().expect("a directory");
    let (made, journal_dir) = (place.path().join("made"), place.path().join("journal"));
    make::make(&made, &journal_dir);
    let host = fs::read(made.join("host.key")).expect("a key").try_into().expect("32 octets");
    let archive = Archive::open(Arc::new(RealDisk), &made.join("archive"), &Secret::new(host)).expect("opened");
    let segments = archive.segments().expect("segments");
    let of = |class: &str| segments.iter().find(|s| s.seal.class == class).expect("a segment").seal.segment;
    let journal = make::open_journal(&journal_dir, &Arc::new(SystemClock), &archive);
    for (kind, body) in [(LeafKind::Erase, erase(of("default"))), (LeafKind::Expire, expire(of("tax")))] {
        let leaf = Leaf::new(kind, [&[LEAF_VERSION][..], &body].concat()).expect("short");
        let (sender, receiver) = mpsc::channel();
        journal.append_leaf(leaf, Box::new(move |answer| sender.send(answer).expect("sent")));
        receiver.recv().expect("an answer").expect("durable");
    }
    archive.reconcile(&journal).expect("in the log");
    journal.close();
    let out = place.path().join("mail");
    let done = recover(&made.join("archive"), &Gpg::new(&made, &[1, 2]), &["--out", out.to_str().expect("text")]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(written(&out).len(), 3, "the second message of the one segment, and the later pass");
    let listing = fs::read_to_string(out.join("listing.csv")).expect("a listing");
    assert_eq!((listing.matches("\nerased (leaf ").count(), listing.matches("\nexpired (leaf ").count()), (1, 1));
}

/// `[previous act, H(order), at ms, [[segment id, ranges]]]` of one message.
fn erase(segment: SegmentId) -> Vec<u8> {
    let mut body = Vec::new();
    let mut cbor = minicbor::Encoder::new(&mut body);
    let header = cbor.array(4).and_then(|e| e.null()).and_then(|e| e.bytes(&[7; 32])).and_then(|e| e.u64(9));
    let slots = header.and_then(|e| e.array(1)).and_then(|e| e.array(2)).and_then(|e| e.bytes(segment.octets()));
    slots.and_then(|e| e.array(2)).and_then(|e| e.u8(0)).and_then(|e| e.u8(1)).expect("CBOR");
    body
}

/// `[previous act, at ms, [[segment id, spared]]]` of a whole segment.
fn expire(segment: SegmentId) -> Vec<u8> {
    let mut body = Vec::new();
    let mut cbor = minicbor::Encoder::new(&mut body);
    let header = cbor.array(3).and_then(|e| e.null()).and_then(|e| e.u64(9));
    let slots = header.and_then(|e| e.array(1)).and_then(|e| e.array(2)).and_then(|e| e.bytes(segment.octets()));
    slots.and_then(|e| e.array(0)).expect("CBOR");
    body
}
