//! Messages that meet a bug of ours while they are sealed, and passes that end by one: everything else is sealed.

use super::super::seal::Means;
use super::super::*;
use super::disk::FakeDisk;
use super::world::{World, message};
use crate::durable::Disk;
use crate::durable::DiskFile;
use crate::durable::Filesystem;
use crate::mail::MailId;
use crate::mail::Reported;
use crate::mail::ReportedEnvelope;
use crate::mail::Slice;
use crate::mail::summary::Summary;
use crate::mail::summary::summarize;
use crate::mail::unread::NOTICE;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

fn world() -> World {
    World::new(Arc::new(FakeDisk::default()), Path::new("/gw"))
}

fn poison() -> Vec<u8> {
    b"From: a@example.org\r\nSubject: poison\r\n\r\nbody\r\n".to_vec()
}

/// Has a bug that one message meets.
fn summarize_but_poison(octets: &[u8]) -> Summary {
    assert!(!octets.windows(6).any(|octets| octets == b"poison"), "a bug that this message meets");
    summarize(octets)
}

fn seal(world: &World) -> SealReport {
    let means = Means { journal: &world.journal, clock: world.clock.as_ref(), summarize: summarize_but_poison };
    world.archive.seal_with(&means).expect("sealed")
}

fn summary_of(unlocked: &Unlocked, id: &MailId) -> (Vec<u8>, Summary) {
    let (segment, slot) = unlocked.find(id).expect("looked").expect("found");
    (unlocked.octets(&segment, slot).expect("octets"), unlocked.meta(&segment, slot).expect("meta").summary)
}

#[test]
fn a_message_that_cannot_be_read_is_sealed_whole_and_says_so() {
    let world = world();
    let before = world.accept(&message(100));
    let poisoned = world.accept(&poison());
    let after = world.accept(&message(200));
    let report = seal(&world);
    assert_eq!((report.segments, report.messages), (1, 3), "one pass for all");
    let unlocked = world.unlock();
    let (octets, summary) = summary_of(&unlocked, &poisoned);
    assert_eq!((octets, summary.subject.as_str()), (poison(), NOTICE));
    assert_eq!(summary.structure.header.of(&poison()), b"From: a@example.org\r\nSubject: poison\r\n");
    assert_eq!(summary.structure.body.of(&poison()), b"body\r\n");
    for (id, subject) in [(before, "number 100"), (after, "number 200")] {
        assert_eq!(summary_of(&unlocked, &id).1.subject, subject);
    }
    for id in [before, poisoned] {
        let (segment, slot) = unlocked.find(&id).expect("looked").expect("found");
        let meta = unlocked.meta(&segment, slot).expect("meta");
        assert_eq!(unlocked.accept(&segment, slot).expect("a record"), meta.accept().expect("a record"));
    }
    world.assert_whole(&unlocked);
    world.accept(&message(300));
    assert_eq!(seal(&world).messages, 1, "it is not sealed again");
    world.assert_whole(&unlocked);
}

#[test]
fn the_summary_is_of_the_readable_form_read_or_not() {
    let world = world();
    let accept = |inner: &[u8], bytes_beyond: u64| {
        let readable = Slice { offset: 8, bytes: inner.len() as u64 + bytes_beyond };
        let reported =
            Reported::Report { envelope: ReportedEnvelope::default(), readable: Some(readable), problems: vec![] };
        let octets = [b"Around: ", inner, b"--"].concat();
        (world.accept_reported(&octets, Some(reported)), octets)
    };
    let inner = message(100);
    let cases = [(accept(&inner, 0), "number 100"), (accept(&poison(), 0), NOTICE), (accept(&inner, 3), "number 100")];
    seal(&world);
    let unlocked = world.unlock();
    for (number, ((id, received), subject)) in cases.iter().enumerate() {
        let (octets, summary) = summary_of(&unlocked, id);
        assert_eq!((&octets, summary.subject.as_str()), (received, *subject), "case {number}");
        let (segment, slot) = unlocked.find(id).expect("looked").expect("found");
        let readable = unlocked.accept(&segment, slot).expect("a record").readable();
        // A range beyond the octets is none, and the whole is read.
        assert_eq!(readable.is_some(), number < 2);
        let read = readable.and_then(|slice| slice.of(&octets)).unwrap_or(&octets);
        assert_eq!(summary.structure.body.end, read.len() as u64, "spans count from the readable form");
    }
    world.assert_whole(&unlocked);
}

/// A disk under a program that has a bug: it panics at one step in the directory of segments, which counts down to it.
#[derive(Default)]
struct Trap {
    disk: FakeDisk,
    steps_left: AtomicI32,
}

impl Trap {
    fn step(&self, path: &Path) {
        let is_segment = path.starts_with("/gw/archive/segments");
        assert!(!is_segment || self.steps_left.fetch_sub(1, Ordering::Relaxed) != 1, "a bug of the pass");
    }
}

impl Disk for Trap {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let created = self.disk.create(path);
        self.step(path);
        created
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step(path);
        self.disk.open_read(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        self.step(to);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step(dir);
        self.disk.sync_dir(dir)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
    fn filesystem(&self, path: &Path) -> io::Result<Filesystem> {
        self.disk.filesystem(path)
    }
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Any + Send>> {
        self.disk.lock(dir)
    }
}

#[test]
fn a_pass_that_panics_leaves_nothing_behind_and_the_next_one_goes_on() {
    let trap = Arc::new(Trap::default());
    let world = World::new(trap.clone(), Path::new("/gw"));
    world.accept(&message(100));
    let mut panics = 0;
    for at in 1.. {
        trap.steps_left.store(at, Ordering::Relaxed);
        let pass = catch_unwind(AssertUnwindSafe(|| seal(&world)));
        world.accept(&message(200));
        if pass.is_ok() {
            break;
        }
        panics += 1;
        for dir in ["segments", "key-copies", "log/cover"] {
            assert_eq!(trap.list(&world.dir().join(dir)).expect("listed"), [""; 0], "{dir} after a panic at step {at}");
        }
    }
    assert!(panics > 4, "{panics} steps");
    trap.steps_left.store(0, Ordering::Relaxed);
    assert_eq!(seal(&world).messages, 1);
    world.assert_whole(&world.unlock());
}
