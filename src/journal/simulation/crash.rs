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
