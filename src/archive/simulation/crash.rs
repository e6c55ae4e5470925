//! Power cuts, failed operations and a full disk, at moments drawn from a seed; and the controls that show these tests can fail.

use super::super::tests::world::{host_key, officers};
use super::super::*;
use super::points;
use super::template::{archive_dir, options};
use super::world::{JOURNAL, World};
use crate::durable::Disk;
use crate::durable::simulated::{FakeDisk, Faults, Random};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Seeds in every test run, of which each of the parallel tests takes its part.
const SEEDS: u64 = 2000;
const PARTS: u64 = 2;
const LIVES: u64 = 2;
const STEPS: u64 = 6;
/// Operations of a life within which something goes wrong.
const OPERATIONS: u64 = 150;

pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The seeds of one of the parallel tests.
pub fn seeds(usual: u64, part: u64, parts: u64) -> impl Iterator<Item = u64> {
    let first = setting("SEALPOST_SIMULATION_FIRST").unwrap_or(0);
    let count = setting("SEALPOST_SIMULATION_SEEDS").unwrap_or(usual);
    (first..first + count).filter(move |seed| seed % parts == part)
}

/// What goes wrong in a life.
fn faults(world: &mut World, deaf: &[PathBuf]) -> Faults {
    let now = world.disk.operations();
    let mut soon = || Some(now + 1 + world.random.below(OPERATIONS));
    let (cut, fail) = (soon(), soon());
    let deaf_dirs = deaf.to_vec();
    let (power_off_at, fail_at) = match world.random.below(8) {
        0..5 => (cut, None),
        5 => (None, fail),
        // Something fails, and what is done about it is interrupted.
        6 => (fail.map(|at| at + 1 + world.random.below(12)), fail),
        _ => (None, None),
    };
    let room = world.random.below(1 << 20);
    let is_full = power_off_at.is_none() && fail_at.is_none();
    let capacity = is_full.then(|| world.disk.used() + room);
    Faults { power_off_at, fail_at, capacity, deaf_dirs, ..Faults::default() }
}

/// Lives, crashes and comes back a few times; the first fault that a check finds.
pub fn lives(world: &mut World, deaf: &[PathBuf]) -> Result<(), String> {
    for life in 0..LIVES {
        let faults = faults(world, deaf);
        let is_full = faults.capacity.is_some();
        world.tell(|| format!("life {life}: {faults:?}"));
        world.disk.set(faults);
        let opened = world.open();
        if let Ok(store) = &opened {
            for step in 0..STEPS {
                if is_full && step == STEPS / 2 {
                    // There is room again, and the same process goes on.
                    world.disk.set(Faults { deaf_dirs: deaf.to_vec(), ..Faults::default() });
                }
                // Whatever fails here was not acknowledged.
                let done = world.step(store);
                world.tell(|| format!("step {step}: {done:?}, log {}", store.journal.durable_leaves()));
                if world.disk.is_off() {
                    break;
                }
                world.check(store).map_err(|e| format!("life {life}, step {step}: {e}"))?;
            }
        }
        match opened {
            Ok(store) if is_full && world.random.below(2) == 0 => world.close(store),
            other => world.crash(other.ok()),
        }
        while world.random.below(3) == 0 {
            // The power goes again while the start puts things in order.
            let power_off_at = Some(world.disk.operations() + 1 + world.random.below(24));
            world.disk.set(Faults { power_off_at, ..Faults::default() });
            let opened = world.open();
            world.crash(opened.ok());
        }
        world.disk.set(Faults::default());
        let store = world.open().map_err(|e| format!("after life {life}: {e}"))?;
        world.check_start(&store).map_err(|e| format!("after life {life}: {e}"))?;
        if world.disk.writes_after_failure() > 0 {
            return Err(format!("written to after a failure (J5): {:?}", world.disk.written_after_failure()));
        }
        if world.random.below(2) == 0 {
            world.seal(&store).map_err(|e| format!("after life {life}: {e}"))?;
            world.check(&store).map_err(|e| format!("after life {life}, sealed: {e}"))?;
        }
        world.close(store);
    }
    Ok(())
}

fn crashes(part: u64) -> BTreeSet<&'static str> {
    let mut cuts = BTreeSet::new();
    for seed in seeds(SEEDS, part, PARTS) {
        let mut world = World::new(seed);
        lives(&mut world, &[]).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        cuts.extend(world.cuts);
    }
    cuts
}

/// What a run of seeds must have cut; creation has a test of its own, and a long run from elsewhere its own seeds.
fn assert_cut(cuts: &BTreeSet<&'static str>) {
    let is_usual = setting("SEALPOST_SIMULATION_SEEDS").is_none_or(|count| count >= SEEDS);
    let missed: Vec<_> =
        points::NAMES.iter().filter(|name| !name.starts_with("create-") && !cuts.contains(*name)).collect();
    assert!(missed.is_empty() || !is_usual, "the power never went at {missed:?}");
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens_to_the_disk() {
    assert_cut(&crashes(0));
}

#[test]
fn nothing_acknowledged_is_lost_whatever_else_happens_to_the_disk() {
    assert_cut(&crashes(1));
}

/// Some seed must find out a disk that does not keep what it syncs in a directory, and say what is wrong.
fn assert_found_out(dir: PathBuf) {
    let found = (0..SEEDS).find_map(|seed| lives(&mut World::new(seed), std::slice::from_ref(&dir)).err());
    println!("{}: {}", dir.display(), found.expect("the checks see nothing"));
}

#[test]
fn a_seal_leaf_before_its_files_are_synced_is_found_out() {
    for dir in ["segments", "key-copies", "log/cover"] {
        assert_found_out(archive_dir().join(dir));
    }
}

#[test]
fn a_journal_that_answers_before_it_syncs_is_found_out() {
    assert_found_out(JOURNAL.into());
}

#[test]
fn a_checkpoint_before_its_tiles_are_synced_is_found_out() {
    for dir in ["log/tile", "log"] {
        assert_found_out(archive_dir().join(dir));
    }
}

#[test]
fn making_an_archive_is_cut_at_every_operation() {
    let certificate = [officers()[0].certificate.clone()];
    let create =
        |disk: &FakeDisk| Archive::create(Arc::new(disk.clone()), &archive_dir(), &host_key(), &options(&certificate));
    let whole = FakeDisk::default();
    create(&whole).expect("made");
    let mut cuts = BTreeSet::new();
    for at in 1..=whole.operations() {
        let disk = FakeDisk::default();
        disk.set(Faults { power_off_at: Some(at), ..Faults::default() });
        let made = create(&disk);
        cuts.extend(disk.cut().and_then(|trace| points::name(&trace)));
        assert!(made.is_err(), "operation {at}");
        drop(made);
        disk.crash(&mut Random(at));
        match create(&disk) {
            Ok(_) => {}
            // The last rename may have survived.
            Err(Error::Exists) => {}
            Err(other) => panic!("operation {at}: {other}"),
        }
        Archive::open(Arc::new(disk.clone()), &archive_dir(), &host_key()).expect("an archive");
        let report = verify(&disk, &archive_dir(), &VerifyOptions::default());
        assert_eq!(report.findings, [], "operation {at}");
        let temporary: Vec<_> = disk.files(&archive_dir()).into_iter().filter(|p| p.ends_with(".tmp")).collect();
        assert_eq!(temporary, Vec::<PathBuf>::new(), "operation {at}");
    }
    let all: BTreeSet<&str> = points::NAMES.iter().copied().filter(|name| name.starts_with("create-")).collect();
    assert!(cuts.is_superset(&all), "{cuts:?}");
    assert!(whole.exists(&archive_dir().join("archive")));
}

/// Each name stands in a comment where the product does it, and no comment names another.
#[test]
fn every_crash_point_is_named_where_it_is() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = ["archive/seal.rs", "archive/catch_up.rs", "archive/files.rs", "archive/log.rs", "archive/open.rs"];
    let more = ["archive/attempt.rs", "archive/segment_writer.rs", "journal/spares.rs", "journal/writer.rs"];
    let mut named = BTreeSet::new();
    for file in files.iter().chain(&more) {
        let text = std::fs::read_to_string(root.join(file)).expect("a source");
        for rest in text.split("crash point ").skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
            named.insert(rest[..end].to_owned());
        }
    }
    assert_eq!(named, points::NAMES.iter().map(|name| (*name).to_owned()).collect());
}
