//! Bits that flip in what was synced, in any file of the archive or the journal: reported or without meaning, never accepted, and
//! everything else stays readable.

use super::super::*;
use super::crash::seeds;
use super::template::{archive_dir, template};
use super::world::{JOURNAL, Store, World};
use crate::durable::Disk;
use crate::durable::simulated::Faults;
use crate::mail::MailId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const SEEDS: u64 = 200;
const STEPS: u64 = 8;

/// A store that lived without faults, closed.
fn store(seed: u64) -> World {
    let mut world = World::new(seed);
    world.mirror = None;
    let store = world.open().expect("opens");
    for _ in 0..STEPS {
        world.step(&store).expect("no faults");
    }
    world.seal(&store).expect("sealed");
    world.step(&store).expect("no faults");
    world.check(&store).expect("whole");
    world.close(store);
    world
}

/// Flips a bit that is not in a stretch of zeros.
fn flip(world: &mut World, path: &Path) {
    let octets = world.disk.read(path).expect("a file");
    let used: Vec<usize> = (0..octets.len()).filter(|at| octets[*at] != 0).collect();
    let at = used[usize::try_from(world.random.below(used.len() as u64)).expect("small")];
    let bit = world.random.below(8);
    world.disk.bend(path, |octets| octets[at] ^= 1 << bit);
}

fn pick(world: &mut World, dir: &Path) -> Option<PathBuf> {
    let has_content = |path: &PathBuf| world.disk.read(path).is_ok_and(|octets| octets.iter().any(|o| *o != 0));
    let files: Vec<PathBuf> = world.disk.files(dir).into_iter().filter(has_content).collect();
    files.get(usize::try_from(world.random.below(files.len() as u64)).expect("small")).cloned()
}

/// Messages that can be read, from the archive or the journal; every one of them must be what was sent.
fn readable(world: &World, store: &Store) -> BTreeSet<MailId> {
    let mut readable = BTreeSet::new();
    for segment in store.unlocked.segments().unwrap_or_default() {
        for entry in store.unlocked.directory(&segment).unwrap_or_default() {
            if let Ok(octets) = store.unlocked.octets(&segment, entry.slot) {
                assert_eq!(octets, world.known[&entry.id].octets, "other octets are taken for the message");
                readable.insert(entry.id);
            }
        }
    }
    for (id, known) in &world.known {
        if let Ok(octets) = store.journal.octets(id) {
            assert_eq!(octets, known.octets, "other octets are taken for the message");
            readable.insert(*id);
        }
    }
    readable
}

fn archive_rots(seed: u64) {
    let mut world = store(seed);
    let path = pick(&mut world, &archive_dir()).expect("a file");
    let name = path.strip_prefix(archive_dir()).expect("inside").to_str().expect("text").to_owned();
    flip(&mut world, &path);
    // As an auditor's machine sees it: no journal, the officers' key.
    let archive = Archive::open_read_only(world.shared_disk(), &archive_dir());
    let unlocked = archive.as_ref().ok().map(|archive| archive.unlock_by_key(&template().secret));
    let options = VerifyOptions { unlocked: unlocked.as_ref(), ..VerifyOptions::default() };
    let report = verify(&world.disk, &archive_dir(), &options);
    if name == "recover.py" || name == "RECOVERY.md" {
        let store = world.open().expect("opens");
        assert!(world.disk.read(&path).is_ok_and(|octets| octets.is_ascii()), "seed {seed}: {name} is made anew");
        return world.close(store);
    }
    // The sealed log key has nothing in public to be compared with; whoever opens it for sealing notices.
    if name == "keys/log" {
        assert!(world.open().is_err(), "seed {seed}: a bent log key is used");
        return;
    }
    // With the key a finding may name a unit or a slot of the file.
    let file = |finding: &Finding| finding.object.split(' ').next().unwrap_or_default().to_owned();
    let mut objects: BTreeSet<String> = report.findings.iter().map(file).collect();
    assert!(objects.remove(name.as_str()), "seed {seed}: {name} has no finding: {:?}", report.findings);
    if name.starts_with("log/tile/entries/") {
        // Where a SEAL leaf cannot be read, an event unit has no message to belong to.
        objects.retain(|object| !object.ends_with(".data"));
    }
    assert_eq!(
        objects,
        BTreeSet::new(),
        "seed {seed}: findings of files that are whole, {name} is not: {:?}",
        report.findings
    );
    let Ok(archive) = archive else { return };
    let unlocked = archive.unlock_by_key(&template().secret);
    let (mut lost, mut read) = (0, 0);
    for segment in unlocked.segments().unwrap_or_default() {
        for entry in unlocked.directory(&segment).unwrap_or_default() {
            match unlocked.octets(&segment, entry.slot) {
                Ok(octets) => {
                    assert_eq!(octets, world.known[&entry.id].octets, "seed {seed}: other octets");
                    read += 1;
                }
                Err(_) => lost += 1,
            }
        }
    }
    // A flipped bit in a data object costs a unit or its directory; anything else costs no message.
    assert!(lost <= u32::from(name.ends_with(".data")), "seed {seed}: {name} cost {lost} of {read} messages");
}

/// In the journal a bit may be one of a batch that counts no more. Then nothing is lost; else it is reported.
fn journal_rots(seed: u64) -> bool {
    let mut world = store(seed);
    let Some(path) = pick(&mut world, Path::new(JOURNAL)) else { return false };
    flip(&mut world, &path);
    world.disk.set(Faults::default());
    let opened = world.open().unwrap_or_else(|e| panic!("seed {seed}: {}: {e}", path.display()));
    if opened.replay.damage.is_empty() {
        world.check(&opened).unwrap_or_else(|e| panic!("seed {seed}: {}: lost in silence: {e}", path.display()));
        return false;
    }
    let lost = world.known.len() - readable(&world, &opened).len();
    assert!(lost <= 1, "seed {seed}: {}: {lost} messages lost", path.display());
    // The others are sealed, and the loss stands in the log.
    world.seal(&opened).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let journal = opened.journal.leaves(opened.archive.log_size(), usize::MAX);
    let options = VerifyOptions { unlocked: Some(&opened.unlocked), journal: &journal, ..VerifyOptions::default() };
    let report = verify(&world.disk, &archive_dir(), &options);
    assert_eq!((report.missing, report.findings), (0, vec![]), "seed {seed}: {}", path.display());
    world.close(opened);
    true
}

#[test]
fn a_flipped_bit_in_the_archive_is_one_finding() {
    seeds(SEEDS, 0, 1).for_each(archive_rots);
}

#[test]
fn a_flipped_bit_in_the_journal_is_reported_and_the_rest_is_sealed() {
    let reported = seeds(SEEDS, 0, 1).filter(|seed| journal_rots(*seed)).count();
    assert!(reported > 0, "no seed hit what counts");
}
