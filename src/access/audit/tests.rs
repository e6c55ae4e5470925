//! Chains, torn tails, flipped bits, rotation, and disks that fail: what is written is read, and what is wrong is found.

use super::file;
use super::*;
use crate::clock::Timestamp;
use crate::durable::{Disk, DiskFile, RealDisk};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub(super) fn record(n: u64) -> Record {
    let event = Event::End { commands: n, messages: 0, bytes: 0 };
    Record { at: Timestamp::from_s(1), session: [7; 8], account: "alice".into(), client: "::1".into(), event }
}

/// The real disk, until it fails; syncs are counted and may take a while.
#[derive(Default)]
pub(super) struct FailingDisk {
    shared: Arc<Switch>,
}

#[derive(Default)]
struct Switch {
    fails: AtomicBool,
    syncs: AtomicU64,
    sync_ms: AtomicU64,
}

struct FailingFile(Box<dyn DiskFile>, Arc<Switch>);

impl FailingDisk {
    pub(super) fn slow(sync: Duration) -> FailingDisk {
        let disk = FailingDisk::default();
        disk.shared.sync_ms.store(sync.as_millis() as u64, Ordering::SeqCst);
        disk
    }
    pub(super) fn fail(&self, fails: bool) {
        self.shared.fails.store(fails, Ordering::SeqCst);
    }
    pub(super) fn syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::SeqCst)
    }
    fn wrap(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FailingFile(file, self.shared.clone()))
    }
}

impl DiskFile for FailingFile {
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
    /// A failing disk has written and does not say whether it is durable: the worst kind.
    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(Duration::from_millis(self.1.sync_ms.load(Ordering::SeqCst)));
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        if self.1.fails.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(28));
        }
        self.0.sync()
    }
}

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path).map(|file| self.wrap(file))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path).map(|file| self.wrap(file))
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

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("a directory") }
    }
    fn writer(&self) -> Writer {
        Writer::open(Arc::new(RealDisk), self.dir.path()).expect("a writer")
    }
    /// Records `from..until`, each synced on its own.
    fn write(&self, from: u64, until: u64) -> Head {
        let mut writer = self.writer();
        for n in from..until {
            writer.append(&[record(n)]).expect("durable");
        }
        writer.head()
    }
    fn file(&self, number: u32) -> PathBuf {
        file::path(self.dir.path(), number)
    }
    fn bend(&self, number: u32, change: impl FnOnce(&mut Vec<u8>)) {
        let mut octets = std::fs::read(self.file(number)).expect("a file");
        change(&mut octets);
        std::fs::write(self.file(number), octets).expect("written");
    }
    /// The counts in the records, and the rest.
    fn read(&self) -> (Vec<Option<u64>>, Trail) {
        let mut found = Vec::new();
        let trail = Trail::read(&RealDisk, self.dir.path(), |entry| {
            assert!(entry.head.records >= 1);
            found.push(entry.record.map(|record| match record.event {
                Event::End { commands, .. } => commands,
                other => panic!("{other:?}"),
            }));
            ControlFlow::Continue(())
        });
        (found, trail.expect("readable"))
    }
    fn whole(&self, expected: std::ops::Range<u64>) -> Trail {
        let (found, trail) = self.read();
        assert_eq!(found, expected.map(Some).collect::<Vec<_>>());
        assert_eq!(trail.faults, [], "no fault");
        trail
    }
}

/// Octets of one record made by `record` with a count below 24.
fn frame_bytes() -> usize {
    let mut out = Vec::new();
    file::append(&mut out, &Head::default(), &record(0).encode());
    out.len()
}

#[test]
fn a_chain_goes_on_over_restarts_in_one_file() {
    let place = Place::new();
    assert_eq!(place.write(0, 0), Head::default());
    let first = place.write(0, 3);
    let second = place.write(3, 5);
    let trail = place.whole(0..5);
    assert_eq!((trail.head, trail.files, trail.torn_bytes), (second, 1, 0));
    assert_eq!((first.records, second.records), (3, 5));
    let mut by_hand = Head::default();
    (0..5).for_each(|n| by_hand = by_hand.after(&record(n).encode()));
    assert_eq!(by_hand, second, "the documented chain");
}

#[test]
fn files_of_their_full_size_are_followed_by_others() {
    let place = Place::new();
    let mut writer = place.writer();
    let mut large = record(0);
    large.account = "a".repeat(128);
    let event = Event::Read {
        command: "FETCH".into(),
        mailbox: "m".repeat(255),
        uids: Uids::new(&(0..1024).map(|n| (70_000 + 2 * n, 70_000 + 2 * n)).collect::<Vec<_>>()).0,
        messages: 1024,
        exact: true,
        items: "i".repeat(1000),
    };
    large.event = event;
    let batch = vec![large; 256];
    let octets = batch[0].encode().len() as u64 * 256;
    let batches = 3 * FILE_BYTES_MAX / octets;
    for _ in 0..batches {
        writer.append(&batch).expect("durable");
    }
    let (mut count, mut last) = (0, Head::default());
    let trail = Trail::read(&RealDisk, place.dir.path(), |entry| {
        count += 1;
        last = entry.head;
        ControlFlow::Continue(())
    })
    .expect("readable");
    assert_eq!(
        (count, trail.head, last, trail.faults.as_slice()),
        (256 * batches, writer.head(), writer.head(), &[][..])
    );
    assert!(trail.files >= 2);
    for number in 1..=u32::try_from(trail.files).expect("few") {
        let bytes = std::fs::metadata(place.file(number)).expect("a file").len();
        assert!(bytes < file::READ_BYTES_MAX, "{bytes}");
    }
}

#[test]
fn a_torn_tail_is_left_and_told_and_no_fault() {
    for cut in 1..frame_bytes() {
        let place = Place::new();
        place.write(0, 3);
        place.bend(1, |octets| octets.truncate(octets.len() - cut));
        let trail = place.whole(0..2);
        assert_eq!(trail.torn_bytes as usize, frame_bytes() - cut);
        let head = place.write(2, 4);
        let trail = place.whole(0..4);
        assert_eq!((trail.head, trail.files, trail.torn_bytes), (head, 2, 0));
    }
}

#[test]
fn a_torn_tail_may_have_its_length_and_no_content() {
    let place = Place::new();
    place.write(0, 3);
    // The size is there, the pages are not: what a power cut leaves of an append.
    place.bend(1, |octets| {
        let from = octets.len() - frame_bytes();
        octets[from + 10..].fill(0);
    });
    assert_eq!(place.whole(0..2).torn_bytes as usize, frame_bytes());
    place.write(2, 3);
    assert_eq!(place.whole(0..3).files, 2);
}

#[test]
fn a_file_without_a_header_is_passed_over() {
    let place = Place::new();
    place.write(0, 2);
    std::fs::write(place.file(2), b"sealpost aud").expect("written");
    place.whole(0..2);
    place.write(2, 4);
    assert_eq!(place.whole(0..4).files, 3);
}

#[test]
fn every_flipped_bit_is_found() {
    let place = Place::new();
    let head = place.write(0, 4);
    let octets = std::fs::read(place.file(1)).expect("a file");
    // In the last record it looks like a torn tail; the anchored head tells them apart.
    for at in 0..octets.len() - frame_bytes() {
        let mut bent = octets.clone();
        bent[at] ^= 1 << (at % 8);
        std::fs::write(place.file(1), bent).expect("written");
        let (_, trail) = place.read();
        assert!(!trail.faults.is_empty() || trail.head != head, "octet {at}: {trail:?}");
        let is_length = at >= 60 && (at - 60) % frame_bytes() < 4;
        assert!(is_length || !trail.faults.is_empty(), "octet {at}: {trail:?}");
    }
}

#[test]
fn reading_goes_on_behind_a_record_that_changed() {
    let place = Place::new();
    let head = place.write(0, 4);
    place.bend(1, |octets| octets[60 + frame_bytes() + 20] ^= 1);
    let (found, trail) = place.read();
    assert_eq!(found, [Some(0), None, Some(2), Some(3)]);
    assert_eq!((trail.head, trail.faults.len(), trail.faults[0].kind), (head, 1, FaultKind::Changed));
    // The writer counts as the reader does.
    let head = place.write(4, 6);
    let (found, trail) = place.read();
    assert_eq!((found.len(), trail.head, trail.faults.len()), (6, head, 1));
}

/// A forger who knows the format writes CRC and chain anew; only what was anchored before tells.
#[test]
fn a_record_written_anew_needs_all_behind_it_written_anew() {
    let place = Place::new();
    let head = place.write(0, 4);
    let forged = |from: u64, place: &Place| {
        let mut octets = file::header(&Head::default());
        let mut head = Head::default();
        for n in 0..4 {
            head = file::append(&mut octets, &head, &record(if n == from { 9 } else { n }).encode());
        }
        let at = 60 + (usize::try_from(from).expect("small") + 1) * frame_bytes();
        place.bend(1, |old| old[..at].copy_from_slice(&octets[..at]));
        octets
    };
    let all = forged(1, &place);
    let (_, trail) = place.read();
    assert_eq!(trail.faults.first().map(|fault| fault.kind), Some(FaultKind::Inconsistent));
    std::fs::write(place.file(1), all).expect("written");
    let trail = place.read().1;
    assert_eq!(trail.faults, []);
    assert_ne!(trail.head, head, "the head is another one");
}

#[test]
fn files_that_are_away_are_missed() {
    let place = Place::new();
    for round in 0..3 {
        place.write(2 * round, 2 * round + 2);
        // A torn tail makes the next start begin a new file.
        place.bend(u32::try_from(round).expect("small") + 1, |octets| octets.push(0));
    }
    assert_eq!(place.whole(0..6).files, 3);
    for (away, expected) in [(1, vec![2, 3, 4, 5]), (2, vec![0, 1, 4, 5])] {
        let octets = std::fs::read(place.file(away)).expect("a file");
        std::fs::remove_file(place.file(away)).expect("removed");
        let (found, trail) = place.read();
        assert_eq!(found, expected.into_iter().map(Some).collect::<Vec<_>>());
        assert_eq!(trail.faults.iter().map(|f| f.kind).collect::<Vec<_>>(), [FaultKind::Missing], "{trail:?}");
        std::fs::write(place.file(away), octets).expect("put back");
    }
    // The newest one: only an anchored head knows that it was there.
    std::fs::remove_file(place.file(3)).expect("removed");
    assert_eq!(place.whole(0..4).head.records, 4);
}

#[test]
fn what_a_failing_disk_may_have_written_does_not_count() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(FailingDisk::default());
    let mut writer = Writer::open(disk.clone(), dir.path()).expect("a writer");
    writer.append(&[record(0)]).expect("durable");
    disk.fail(true);
    assert!(writer.append(&[record(1)]).is_err());
    assert!(writer.append(&[record(1)]).is_err(), "and the file that was begun then is left alone");
    disk.fail(false);
    let head = writer.append(&[record(2)]).expect("durable");
    let place = Place { dir };
    let (found, trail) = place.read();
    assert_eq!(trail.files, 3, "a file that could not be synced is left alone");
    assert_eq!((found, trail.head, trail.faults), (vec![Some(0), Some(2)], head, Vec::new()));
    drop(writer);
    let head = place.write(3, 4);
    let (found, trail) = place.read();
    assert_eq!((found, trail.head, trail.faults), (vec![Some(0), Some(2), Some(3)], head, Vec::new()));
}

#[test]
fn groups_may_read_and_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write(0, 1);
    let mode = std::fs::metadata(place.file(1)).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}
