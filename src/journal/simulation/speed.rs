//! Group commit on the machine's own disk.

use super::super::fixtures;
use super::super::settings;
use super::super::{Error, Journal, RenditionDraft, Settings};
use super::world::accept_draft;
use crate::clock::SystemClock;
use crate::durable::{Disk, DiskFile, RealDisk};
use crate::mail::MailId;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

/// The real disk, syncs counted.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU64>);

struct CountingFile(Box<dyn DiskFile>, Arc<AtomicU64>);

impl DiskFile for CountingFile {
    fn write_all_at(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.0.write_all_at(offset, octets)
    }
    fn read_exact_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, into)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, octets: u64) -> io::Result<()> {
        self.0.set_len(octets)
    }
    fn sync(&self) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sync()
    }
}

impl Disk for Counting {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(CountingFile(RealDisk.create(path)?, Arc::clone(&self.0))))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(CountingFile(RealDisk.open(path)?, Arc::clone(&self.0))))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open_read(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(path)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }
}

fn commit(journal: &Journal, n: u64) -> Result<MailId, Error> {
    let mut draft = journal.draft(fixtures::id(n))?;
    draft.append(&[b'x'; 2048])?;
    let rendition = RenditionDraft { recipients: vec![0], prefix: b"Received: x\r\n".to_vec(), content: None };
    let (sender, receiver) = mpsc::channel();
    draft.commit(accept_draft(1, vec![rendition]), Box::new(move |r| drop(sender.send(r))));
    receiver.recv().map_err(|_| Error::closed())?
}

#[test]
fn many_committers_share_a_sync() {
    const COMMITTERS: u64 = 20;
    const EACH: u64 = 100;
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        dir: dir.path().to_owned(),
        mirror: None,
        file_bytes: 16 << 20,
        spares: 1,
        low_space_bytes: 0,
        kept_bytes: 1 << 40,
        danger_volatile_filesystem: true,
    };
    let disk = Counting::default();
    let (journal, _) =
        Journal::open(Arc::new(disk.clone()), Arc::new(SystemClock), settings, settings::test_keys(), 0, 0)
            .expect("opens");
    commit(&journal, 0).expect("warm");
    let (before, start) = (disk.0.load(Ordering::Relaxed), Instant::now());
    std::thread::scope(|scope| {
        for committer in 1..=COMMITTERS {
            let journal = &journal;
            scope.spawn(move || {
                for n in 0..EACH {
                    commit(journal, committer << 32 | n).expect("accepted");
                }
            });
        }
    });
    let syncs = disk.0.load(Ordering::Relaxed) - before;
    let commits = COMMITTERS * EACH;
    println!("{commits} commits, {syncs} syncs, {:?}", start.elapsed());
    assert!(syncs * 3 <= commits, "{syncs} syncs for {commits} commits");
    assert_eq!(journal.pending().len() as u64, commits + 1);
}
