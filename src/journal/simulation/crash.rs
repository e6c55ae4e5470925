//! Power cuts at any operation: J1 to J3, J5, J7, J8, and the control that shows these tests can fail.

use super::disk::Faults;
use super::world::World;

const SEEDS: u64 = 12;
const LIVES: u64 = 3;

/// Lives, crashes and comes back a few times; the first fault the whole-store check finds.
fn lives(seed: u64, lies: bool) -> Result<(), String> {
    let mut world = World::new(seed);
    for _ in 0..LIVES {
        let now = world.disk.operations();
        let power_off_at = Some(now + 1 + world.random.below(150));
        world.disk.set(Faults { power_off_at, lies, ..Faults::default() });
        let journal = world.open().ok().map(|(journal, _)| journal);
        if let Some(journal) = &journal {
            // Whatever fails here was not acknowledged.
            world.live(journal, 40).unwrap_or_default();
        }
        world.crash(journal);
        let (journal, report) = world.open().map_err(|e| e.to_string())?;
        world.check(&journal, &report)?;
        drop(journal);
        // J3: a second replay finds the same.
        let (journal, report) = world.open().map_err(|e| e.to_string())?;
        world.check(&journal, &report)?;
    }
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_in_any_crash() {
    for seed in 0..SEEDS {
        lives(seed, false).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
}

#[test]
fn a_disk_that_ignores_syncs_is_found_out() {
    eprintln!("first {:?}", (0..SEEDS).position(|seed| lives(seed, true).is_err()));
    assert!((0..SEEDS).any(|seed| lives(seed, true).is_err()), "the check sees nothing");
}
