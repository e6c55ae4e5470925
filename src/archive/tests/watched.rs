//! Verification that somebody looks on: its pace, its end in between, where it goes on, and what a sample opens.

use super::super::*;
use super::world::{World, message};
use crate::durable::RealDisk;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Looker {
    expected: AtomicU64,
    read: AtomicU64,
    /// Octets after which it wants an end; 0: never.
    enough: u64,
    checked: Mutex<Vec<(u64, usize)>>,
}

impl Watch for Looker {
    fn begin(&self, bytes: u64) {
        self.expected.store(bytes, Ordering::Relaxed);
    }
    fn read(&self, bytes: u64) -> Pace {
        let read = self.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.enough > 0 && read >= self.enough { Pace::Stop } else { Pace::GoOn }
    }
    fn checked(&self, seal_index: u64, report: &Report) {
        self.checked.lock().expect("whole").push((seal_index, report.findings.len()));
    }
}

/// Four segments of a message each.
fn world(dir: &Path) -> World {
    let world = World::new(Arc::new(RealDisk), dir);
    for n in 0..4 {
        world.accept(&message(100 + n));
        world.seal();
    }
    world
}

fn verified(world: &World, reading: Reading<'_>) -> Report {
    verify(world.disk.as_ref(), &world.dir(), &VerifyOptions { reading, ..VerifyOptions::default() })
}

fn bend(world: &World, info: &SegmentInfo) {
    let path = world.archive.inner.layout.data(&info.seal.segment);
    let mut octets = fs::read(&path).expect("read");
    octets[150] ^= 1;
    fs::write(&path, &octets).expect("written");
}

#[test]
fn it_can_end_and_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path());
    let segments = world.archive.segments().expect("segments");
    bend(&world, &segments[0]);
    bend(&world, &segments[3]);
    let looker = Looker { enough: segments[0].seal.data_bytes + 1, ..Looker::default() };
    let first = verified(&world, Reading { after: None, workers: Workers::One, watch: Some(&looker) });
    assert!(first.stopped && first.findings.len() == 1, "{first:?}");
    let checked = looker.checked.lock().expect("whole").clone();
    assert_eq!(checked, [(segments[0].seal_index, 1)], "what was broken off is not done");
    let rest = Looker::default();
    let reading = Reading { after: Some(checked[0].0), workers: Workers::One, watch: Some(&rest) };
    let second = verified(&world, reading);
    assert!(!second.stopped && second.findings.len() == 1, "{second:?}");
    assert_eq!(rest.checked.lock().expect("whole").len(), 3);
    let stored: u64 = segments[1..].iter().map(|info| info.seal.data_bytes).sum();
    assert_eq!(rest.expected.load(Ordering::Relaxed), stored);
    assert!(
        rest.read.load(Ordering::Relaxed) > stored * 9 / 10 - 400 && second.bytes == rest.read.load(Ordering::Relaxed)
    );
}

#[test]
fn findings_are_in_log_order_however_many_work() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path());
    let segments = world.archive.segments().expect("segments");
    segments.iter().for_each(|info| bend(&world, info));
    let names: Vec<String> = segments.iter().map(|info| format!("segments/{}.data", info.seal.segment)).collect();
    for workers in [Workers::Cores, Workers::One] {
        let report = verified(&world, Reading { workers, ..Reading::default() });
        assert_eq!(report.findings.iter().map(|f| f.object.clone()).collect::<Vec<_>>(), names);
    }
}

#[test]
fn a_sample_opens_a_unit_of_each_segment() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path());
    let unlocked = world.unlock();
    let level = |depth| {
        let options = VerifyOptions { unlocked: Some(&unlocked), depth, ..VerifyOptions::default() };
        verify(world.disk.as_ref(), &world.dir(), &options)
    };
    let (sample, whole) = (level(Depth::Sample), level(Depth::Whole));
    assert_eq!((sample.opened, whole.opened, sample.findings.len()), (4, 4, 0), "one unit of each segment at least");
    // Damage within the only unit of a segment: both its hash and its opening show it.
    let info = &world.archive.segments().expect("segments")[1];
    bend(&world, info);
    let found: Vec<u8> = level(Depth::Sample).findings.iter().map(|f| f.level).collect();
    assert!(found.contains(&0) && found.contains(&1), "{found:?}");
}
