//! The mirror: one side may be lost, rot or die at any moment, and nothing acknowledged is.

use super::disk::{Faults, Random};
use super::world::{DIR, World};
use crate::durable::Disk;
use std::path::{Path, PathBuf};

pub const TWIN: &str = "/twin";

fn mirrored(seed: u64) -> World {
    let mut world = World::new(seed);
    (world.spares, world.mirror) = (0, Some(PathBuf::from(TWIN)));
    world
}

/// A closed journal on two sides, over two lives.
fn filled(seed: u64) -> World {
    let mut world = mirrored(seed);
    for bytes in [10, 3000, 270_000, 600] {
        let (journal, report) = world.open().expect("opens");
        assert_eq!((report.damage, report.recovered), (vec![], vec![]), "a sound pair gives no alarm");
        let submitted = world.submit(&journal, bytes).expect("submitted");
        world.wait(&journal, submitted).expect("accepted");
        world.deliver(&journal).expect("recorded");
        journal.close();
    }
    world
}

fn files(world: &World, dir: &str) -> Vec<PathBuf> {
    let names = world.disk.list(Path::new(dir)).expect("names");
    names.iter().filter(|name| name.ends_with(".journal")).map(|name| Path::new(dir).join(name)).collect()
}

/// All files of one side vanish.
pub fn lose_one_side(world: &mut World) {
    let side = if world.random.below(2) == 0 { DIR } else { TWIN };
    files(world, side).iter().for_each(|path| world.disk.forget(path));
}

fn assert_equal(world: &World, what: &str) {
    let of = |dir| files(world, dir).iter().map(|path| world.disk.read(path).expect("read")).collect::<Vec<_>>();
    assert!(of(DIR) == of(TWIN), "{what}: the sides differ");
}

/// Opens what was damaged on one side: all is there, it is told, and either side can be lost next.
fn check_recovered(world: &World, what: &str) {
    let (journal, report) = world.open().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!report.recovered.is_empty(), "{what}: not told");
    world.check(&journal, &report).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    journal.close();
    assert_equal(world, what);
    let (journal, report) = world.open().expect("opens");
    assert_eq!(report.recovered, [""; 0], "{what}: told twice");
    world.check(&journal, &report).unwrap_or_else(|fault| panic!("{what}: {fault}"));
}

#[test]
fn both_sides_hold_the_same_octets() {
    let world = filled(1);
    assert_equal(&world, "at rest");
    assert!(files(&world, DIR).len() > 2);
}

#[test]
fn one_side_lost_whole_comes_back_from_the_other() {
    for seed in 0..4 {
        let mut world = filled(seed);
        lose_one_side(&mut world);
        check_recovered(&world, &format!("seed {seed}"));
    }
}

#[test]
fn a_file_lost_or_shortened_on_one_side_comes_back() {
    for dir in [DIR, TWIN] {
        for at in 0..3 {
            let world = filled(7);
            world.disk.forget(&files(&world, dir)[at]);
            check_recovered(&world, &format!("{dir} lost {at}"));
            let world = filled(7);
            world.disk.bend(&files(&world, dir)[at], |octets| octets.truncate(40_000));
            check_recovered(&world, &format!("{dir} cut {at}"));
        }
    }
}

/// Rot of any extent on both sides, never at the same place.
#[test]
fn what_rots_on_one_side_comes_from_the_other() {
    let pristine = filled(3);
    for seed in 0..60 {
        let world = pristine.fork();
        let mut random = Random(seed);
        for (at, path) in files(&world, DIR).iter().enumerate() {
            let bad = if random.below(2) == 0 {
                path.clone()
            } else {
                Path::new(TWIN).join(path.file_name().expect("a name"))
            };
            world.disk.bend(&bad, |octets| {
                let from = usize::try_from(random.below(if at == 2 { 250_000 } else { 36_000 })).expect("small");
                octets[from..from + (1 << random.below(13))].fill(0xa5);
            });
        }
        check_recovered(&world, &format!("seed {seed}"));
    }
}

/// The control: rot at the same place on both sides is no longer recovered, and is damage.
#[test]
fn rot_on_both_sides_is_damage() {
    let world = filled(5);
    for dir in [DIR, TWIN] {
        world.disk.bend(&files(&world, dir)[0], |octets| octets[32 * 1024 + 130] ^= 1);
    }
    let (_, report) = world.open().expect("opens");
    assert!(!report.damage.is_empty());
}

/// A side that dies is written to no more; mail goes on, and the side is made whole at the next start.
#[test]
fn a_side_that_dies_does_not_stop_mail() {
    for dir in [DIR, TWIN] {
        let mut world = mirrored(9);
        let (journal, _) = world.open().expect("opens");
        let submitted = world.submit(&journal, 500).expect("submitted");
        world.wait(&journal, submitted).expect("accepted");
        world.disk.set(Faults { dead_dir: Some(PathBuf::from(dir)), ..Faults::default() });
        for bytes in [10, 300_000, 300_000, 300_000, 300_000, 10] {
            let submitted = world.submit(&journal, bytes).expect("submitted");
            world.wait(&journal, submitted).expect("accepted on the other side");
            world.deliver(&journal).expect("recorded");
        }
        world.seal(&journal).expect("sealed");
        assert_eq!(world.disk.writes_after_failure(), 0, "{dir}: J5");
        world.crash(Some(journal));
        check_recovered(&world, dir);
    }
}
