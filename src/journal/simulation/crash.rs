//! Power cuts at any operation: J1 to J3, J5, J7, J8, and the control that shows these tests can fail.

use super::super::Journal;
use super::disk::{Faults, Syncs};
use super::mirror::TWIN;
use super::world::World;
use std::path::PathBuf;

const SEEDS: u64 = 300;
const LIVES: u64 = 2;

/// Everything a replay gives but the octets.
fn picture(journal: &Journal) -> String {
    let entries: Vec<_> =
        journal.entries().into_iter().map(|e| (e.accept, e.accept_index, e.states, e.results)).collect();
    format!("{entries:?} {:?}", journal.leaves(0, usize::MAX))
}

/// Lives, crashes and comes back a few times; the first fault the whole-store check finds.
fn lives(seed: u64, syncs: Syncs) -> Result<(), String> {
    let mut world = World::new(seed);
    world.mirror = seed.is_multiple_of(3).then(|| PathBuf::from(TWIN));
    for _ in 0..LIVES {
        let now = world.disk.operations();
        let power_off_at = Some(now + 1 + world.random.below(120));
        world.disk.set(Faults { power_off_at, syncs, ..Faults::default() });
        let journal = world.open().ok().map(|(journal, _)| journal);
        if let Some(journal) = &journal {
            // Whatever fails here was not acknowledged.
            world.live(journal, 25).unwrap_or_default();
        }
        world.crash(journal);
        if world.mirror.is_some() && world.random.below(2) == 0 {
            super::mirror::lose_one_side(&mut world);
        }
        let (journal, report) = world.open().map_err(|e| e.to_string())?;
        world.check(&journal, &report).map_err(|e| format!("{e}; {report:?}"))?;
        let first = picture(&journal);
        drop(journal);
        let (journal, _) = world.open().map_err(|e| e.to_string())?;
        if first != picture(&journal) {
            return Err("a second replay differs from the first (J3)".to_owned());
        }
    }
    Ok(())
}

fn crashes(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        lives(seed, Syncs::Kept).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_any_crash() {
    crashes(0..SEEDS / 2);
}

#[test]
fn nothing_acknowledged_is_lost_in_any_other_crash() {
    crashes(SEEDS / 2..SEEDS);
}

#[test]
fn a_disk_that_ignores_syncs_is_found_out() {
    assert!((0..SEEDS).any(|seed| lives(seed, Syncs::Ignored).is_err()), "the check sees nothing");
}

#[test]
fn a_file_that_could_not_be_wiped_is_not_written_to_again() {
    let mut failed = 0;
    for step in 1..=24 {
        let mut world = World::new(2);
        let (journal, _) = world.open().expect("opens");
        world.seal(&journal).expect("sealed");
        journal.close();
        let (journal, _) = world.open().expect("opens");
        let fail_at = Some(world.disk.operations() + step);
        world.disk.set(Faults { fail_at, ..Faults::default() });
        // Its leaves are in the log: the former process's file goes, twice tried.
        for _ in 0..3 {
            failed += u32::from(world.seal(&journal).is_err());
        }
        journal.close();
        assert_eq!(world.disk.written_after_failure(), Vec::<PathBuf>::new(), "step {step}");
    }
    assert!(failed > 2, "some of it is in the way of a commit");
}
