//! Someone bends a file. `verify` without a key finds it and names it, whichever file and whichever bit.

use super::super::*;
use super::world::{World, message};
use crate::durable::RealDisk;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Two segments, an event, and pending mail, on real files.
fn world(dir: &Path) -> World {
    let world = World::new(Arc::new(RealDisk), dir);
    let first = world.accept(&message(300));
    world.accept(&message(2000));
    world.seal();
    world.deliver(first, 0);
    world.accept(&message(30));
    world.seal();
    world.accept(&message(40));
    world
}

const UNPROVED: [&str; 3] = ["keys/log", "recover.py", "RECOVERY.md"];

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Everything but the log key, which only the gateway's host key proves, and what is no evidence.
fn objects(world: &World) -> Vec<(PathBuf, String)> {
    let named = |path: PathBuf| {
        let name = path.strip_prefix(world.dir()).expect("inside").display().to_string();
        (path, name)
    };
    files(&world.dir()).into_iter().map(named).filter(|(_, name)| !UNPROVED.contains(&name.as_str())).collect()
}

/// Exactly one finding, and it names the object.
fn assert_named(world: &World, name: &str, kinds: &[FaultKind], what: &str) {
    let report = world.verify(None);
    let named = report.findings.iter().filter(|f| f.object == name).count();
    assert!(named > 0, "{name} {what}: {:?}", report.findings);
    assert_eq!(named, report.findings.len(), "{name} {what}: {:?}", report.findings);
    assert!(report.findings.iter().all(|f| kinds.contains(&f.kind)), "{name} {what}: {:?}", report.findings);
    assert!(report.findings.iter().all(|f| f.level == 0 && !f.detail.is_empty()));
}

#[test]
fn flipped_bits_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path());
    world.assert_whole(&world.unlock());
    for (path, name) in objects(&world) {
        let octets = fs::read(&path).expect("read");
        let step = (octets.len() / 60).max(1);
        let edges = (0..64).chain(octets.len().saturating_sub(64)..octets.len());
        for at in edges.chain((0..octets.len()).step_by(step)).filter(|at| *at < octets.len()) {
            let mut bent = octets.clone();
            bent[at] ^= 1 << (at % 8);
            fs::write(&path, &bent).expect("written");
            assert_named(&world, &name, &[FaultKind::Changed, FaultKind::Inconsistent], &format!("octet {at}"));
        }
        fs::write(&path, &octets).expect("restored");
    }
    world.assert_whole(&world.unlock());
}

#[test]
fn missing_and_cut_files_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path());
    for (path, name) in objects(&world) {
        let octets = fs::read(&path).expect("read");
        fs::remove_file(&path).expect("removed");
        assert_named(&world, &name, &[FaultKind::Missing], "removed");
        for (cut, what) in [(0, "emptied"), (octets.len() / 2, "halved"), (octets.len() - 1, "one short")] {
            fs::write(&path, &octets[..cut]).expect("written");
            assert_named(&world, &name, &[FaultKind::Changed], what);
        }
        fs::write(&path, [&octets[..], b"x"].concat()).expect("written");
        assert_named(&world, &name, &[FaultKind::Changed], "one octet longer");
        fs::write(&path, &octets).expect("restored");
    }
    assert!(world.verify(None).is_ok());
}

#[test]
fn a_lost_copy_of_the_keys_does_not_stop_reading() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path());
    let segment = world.archive.last_segment().expect("a segment");
    let copies =
        [format!("segments/{}.keys", segment.seal.segment), format!("key-copies/{}.keys", segment.seal.segment)];
    for copy in &copies {
        let path = world.dir().join(copy);
        let octets = fs::read(&path).expect("read");
        fs::write(&path, b"gone").expect("written");
        assert_eq!(world.unlock().octets(&segment, 0).expect("from the other copy"), message(30));
        fs::write(&path, octets).expect("restored");
    }
}

#[test]
fn checkpoints_from_outside_are_continued_or_the_finding_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::new(Arc::new(RealDisk), dir.path());
    let mut kept = Vec::new();
    for n in 0..4 {
        kept.push(fs::read(world.dir().join("log/checkpoint")).expect("read"));
        for _ in 0..90 {
            world.accept(&message(n));
        }
        world.seal();
    }
    let with = |world: &World, note: &[u8]| {
        verify(&RealDisk, &world.dir(), &VerifyOptions { checkpoint: Some(note), ..VerifyOptions::default() })
    };
    kept.push(fs::read(world.dir().join("log/checkpoint")).expect("read"));
    for note in &kept {
        assert_eq!(with(&world, note).findings, []);
    }
    let elsewhere = tempfile::tempdir().expect("a directory");
    let other = World::new(Arc::new(RealDisk), elsewhere.path());
    let foreign = fs::read(other.dir().join("log/checkpoint")).expect("read");
    let report = with(&world, &foreign);
    assert_eq!((report.findings.len(), report.findings[0].kind), (1, FaultKind::Inconsistent));
    // The newest state was seen outside, then an old copy of the archive was put back.
    fs::write(world.dir().join("log/checkpoint"), &kept[0]).expect("written");
    let report = with(&world, &kept[4]);
    assert!(report.findings.iter().any(|f| f.object == "checkpoint from outside" && f.kind == FaultKind::Missing));
}

#[test]
fn the_gateways_files_alone_open_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path());
    let unlocked = world.unlock();
    let segment = world.archive.last_segment().expect("a segment");
    let needles = [&b"Subject"[..], b"example.net", b"says little"];
    for (path, name) in objects(&world) {
        let octets = fs::read(&path).expect("read");
        for needle in needles {
            assert!(!octets.windows(needle.len()).any(|w| w == needle), "{name} holds clear text");
        }
    }
    let none = segment_reader::ArchiveKeys::new();
    let inner = &world.archive.inner;
    let closed = segment_reader::OpenSegment::open(&RealDisk, &inner.layout, &inner.epoch, &segment.seal, &none);
    assert!(matches!(closed.err(), Some(Error::KeyMissing)));
    assert!(unlocked.octets(&segment, 0).is_ok());
}
