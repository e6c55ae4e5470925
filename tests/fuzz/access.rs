//! Logins: whatever a client says in SCRAM, it is answered or refused, and nobody gets in without the password. And the files of
//! the read audit, as somebody may have bent them.

use crate::driver::run;
use sealpost::access::audit;
use sealpost::access::audit::{Entry, Record, Terms, Trail, Uids, Writer};
use sealpost::access::scram::Reached;
use sealpost::access::{Account, AccountName, Accounts, Mechanisms, Password, Role};
use sealpost::clock::SystemClock;
use sealpost::crypto::hpke;
use sealpost::durable::{Disk, DiskFile, RealDisk};
use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

fn accounts() -> &'static Accounts {
    static ACCOUNTS: OnceLock<(tempfile::TempDir, Accounts)> = OnceLock::new();
    let (_, accounts) = ACCOUNTS.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let accounts = Accounts::open(Arc::new(RealDisk), Arc::new(SystemClock), dir.path()).expect("accounts");
        let name = AccountName::parse("alice").expect("a name");
        let account = Account { name, role: Role::User, addresses: Vec::new() };
        let password = Password::parse(b"correct horse").expect("a password");
        accounts.add(account, &password, Mechanisms::PasswordAndScram).expect("added");
        (dir, accounts)
    });
    accounts
}

/// The input is the client's messages, a line each. An answer holds the client's nonce, and one of ours behind it.
fn scram(input: &[u8]) {
    let mut messages = input.split(|&octet| octet == b'\n');
    let first = messages.next().unwrap_or_default();
    let Ok(Reached::Challenge(exchange, answer)) = accounts().scram(first) else { return };
    let answer = String::from_utf8(answer).expect("ASCII");
    let nonce = answer.strip_prefix("r=").and_then(|rest| rest.split(',').next()).expect("a nonce");
    let said = String::from_utf8_lossy(first);
    let own = said.split(",r=").nth(1).and_then(|rest| rest.split(',').next()).expect("the client's nonce");
    assert!(nonce.starts_with(own) && nonce.len() > own.len() + 20, "{answer}");
    let last = String::from_utf8_lossy(messages.next().unwrap_or_default()).replace("NONCE", nonce);
    assert!(exchange.respond(last.as_bytes()).is_err(), "{said:?} {last:?}");
}

#[test]
fn logins_by_scram() {
    let seeds: &[&[u8]] = &[
        b"n,,n=alice,r=abc\nc=biws,r=NONCE,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        b"y,a=bob,n=bob,r=x,e=1\nc=eSxhPWJvYiw=,r=NONCE,x=1,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"p=tls-exporter,,n=a=2Cb=3D,r=y\n",
    ];
    let tokens: &[&[u8]] = &[b",", b"=", b"=2C", b"n=", b"r=", b"c=", b"p=", b"m=", b"a=", b"NONCE", b"\n", b"\0"];
    run("scram", seeds, tokens, scram);
}

/// Files in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<PathBuf, Octets>>>);

type Octets = Arc<Mutex<Vec<u8>>>;

struct MemoryFile(Octets);

impl DiskFile for MemoryFile {
    fn write_all_at(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
        let (mut all, at) = (self.0.lock().expect("whole"), usize::try_from(offset).expect("small"));
        let end = at + octets.len();
        if all.len() < end {
            all.resize(end, 0);
        }
        all[at..end].copy_from_slice(octets);
        Ok(())
    }
    fn read_exact_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let (all, at) = (self.0.lock().expect("whole"), usize::try_from(offset).expect("small"));
        into.copy_from_slice(all.get(at..at + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().expect("whole").len() as u64)
    }
    fn set_len(&self, octets: u64) -> io::Result<()> {
        self.0.lock().expect("whole").resize(usize::try_from(octets).expect("small"), 0);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for Memory {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        assert!(!self.exists(path), "a new file");
        self.0.lock().expect("whole").insert(path.to_owned(), Octets::default());
        self.open(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.lock().expect("whole").get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile(file)))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        unreachable!("files are opened")
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let names = self.0.lock().expect("whole");
        Ok(names.keys().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }
    fn exists(&self, path: &Path) -> bool {
        self.0.lock().expect("whole").contains_key(path)
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!("nothing is renamed")
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        unreachable!("nothing is removed")
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 30)
    }
    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send>> {
        Ok(Box::new(()))
    }
    fn let_group_read(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// Separates the files in an input.
const NEXT_FILE: &[u8] = b"\n--\n";

fn files(input: &[u8]) -> Memory {
    let disk = Memory::default();
    let mut rest = input;
    for number in 1..=4 {
        let at = rest.windows(NEXT_FILE.len()).position(|window| window == NEXT_FILE);
        let (file, more) = at.map_or((rest, None), |at| (&rest[..at], Some(&rest[at + NEXT_FILE.len()..])));
        let path = PathBuf::from(format!("audit/{number:08}.log"));
        disk.0.lock().expect("whole").insert(path, Arc::new(Mutex::new(file.to_vec())));
        match more {
            Some(more) => rest = more,
            None => break,
        }
    }
    disk
}

fn trail(disk: &Memory) -> (Vec<Entry>, Trail) {
    let mut entries = Vec::new();
    let trail = Trail::read(disk, Path::new("audit"), |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    });
    (entries, trail.expect("a disk that works"))
}

fn end(n: u64) -> Record {
    let event = audit::Event::End { commands: n, messages: 2, bytes: 3 };
    let at = sealpost::clock::Timestamp::from_s(1);
    Record { at, session: [7; 8], account: "alice".into(), client: "::1".into(), event }
}

/// Whatever the files hold, records come in order, the writer goes on where the reader ends, and what it writes is read.
fn audit_files(input: &[u8]) {
    let disk = files(input);
    let (before, was) = trail(&disk);
    let faults = was.faults.len();
    if faults == 0 {
        assert!(before.windows(2).all(|pair| pair[0].head.records + 1 == pair[1].head.records), "in order");
    }
    for record in before.iter().filter_map(|entry| entry.record.as_ref()) {
        assert_eq!(Record::decode(&record.encode()).as_ref(), Some(record), "one form");
    }
    let mut writer = Writer::open(Arc::new(disk.clone()), Path::new("audit")).expect("a disk that works");
    assert_eq!(writer.head(), was.head, "both end at the same record");
    let head = writer.append(&[end(77)]).expect("a disk that works");
    let (after, now) = trail(&disk);
    if head.records == u64::MAX {
        return;
    }
    assert_eq!((after.last().map(|entry| entry.head), now.head), (Some(head), head));
    assert_eq!(after.last().and_then(|entry| entry.record.clone()), Some(end(77)));
    assert_eq!(after[..after.len() - 1], before[..], "nothing is lost by going on");
    assert_eq!(now.faults.len(), faults, "{:?}", now.faults);
}

#[test]
fn read_audit() {
    let disk = Memory::default();
    let mut writer = Writer::open(Arc::new(disk.clone()), Path::new("audit")).expect("a writer");
    let first = writer.append(&[end(1), end(2), end(3)]).expect("written");
    drop(writer);
    let one = disk.0.lock().expect("whole")[Path::new("audit/00000001.log")].lock().expect("whole").clone();
    // A torn tail: the next one begins a file of its own.
    let torn = [&one[..], &one[60..80]].concat();
    let disk = files(&torn);
    let mut writer = Writer::open(Arc::new(disk.clone()), Path::new("audit")).expect("a writer");
    assert_eq!(writer.head(), first);
    let terms =
        hpke::generate().map(|(_, public)| Terms::seal(&public, &[7; 8], end(0).at, b"SEARCH ALL")).expect("a pair");
    let (terms, whole) = terms.expect("sealed");
    let text = || "x".to_owned();
    let (uids, exact) = Uids::new(&[(1, 4), (9, 9)]);
    for event in [
        audit::Event::Login { role: text(), protocol: text(), tls: text() },
        audit::Event::Refused { protocol: text(), tls: text(), reason: text() },
        audit::Event::Read { command: text(), mailbox: text(), uids, messages: 5, exact, items: text() },
        audit::Event::Search { command: text(), mailbox: text(), terms, whole },
    ] {
        writer.append(&[Record { event, ..end(0) }]).expect("written");
    }
    let two = disk.0.lock().expect("whole")[Path::new("audit/00000002.log")].lock().expect("whole").clone();
    let both = [&torn[..], NEXT_FILE, &two].concat();
    let swapped = [&two[..], NEXT_FILE, &one].concat();
    let seeds: &[&[u8]] = &[b"", &one, &torn, &both, &swapped, NEXT_FILE];
    run("read_audit", seeds, &[NEXT_FILE, b"sealpost audit 1", &one[60..], &one[..60], &[0; 60]], audit_files);
}
