//! The power goes at every operation of an act. Afterwards it is decided or it never was, and what is decided is carried through
//! by the next opening.

use super::super::acts::*;
use super::super::*;
use super::acts::ONE;
use super::disk::{FakeDisk, Faults, Random};
use super::world::{TestClock, World, message};
use crate::mail::MailId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A gateway that stands still, of which every test case starts a copy.
struct Scene {
    disk: FakeDisk,
    root: PathBuf,
    clock: Arc<TestClock>,
    /// To be erased: one with a later result, one that is a segment of its own.
    doomed: [MailId; 2],
    kept: MailId,
    signed: SignedOrder,
    accepts: BTreeSet<u64>,
}

fn scene() -> Scene {
    let disk = FakeDisk::default();
    let world = World::new(Arc::new(disk.clone()), Path::new("/gw"));
    let [first, kept] = [100, 101].map(|n| world.accept(&message(n)));
    world.seal();
    [first, kept].iter().for_each(|id| (0..2).for_each(|recipient| world.deliver(*id, recipient)));
    let doomed = [first, world.archived(102)];
    let signed = world.signed(&doomed, &[0]);
    let accepts = [world.named(&first).accept_index].into();
    let World { root, clock, journal, .. } = world;
    journal.close();
    Scene { disk, root, clock, doomed, kept, signed, accepts }
}

impl Scene {
    fn start(&self) -> (FakeDisk, World) {
        let disk = self.disk.fork();
        (disk.clone(), World::resume(Arc::new(disk), self.root.clone(), Arc::clone(&self.clock)))
    }

    /// Whether it was decided; checks that it is whole either way.
    fn check(&self, world: &World, at: &str) -> bool {
        let unlocked = world.unlock();
        let octets_of = |id: &MailId| {
            let (segment, slot) = unlocked.find(id).expect("looked")?;
            unlocked.octets(&segment, slot).ok()
        };
        let left = self.doomed.each_ref().map(|id| octets_of(id).is_some());
        assert_eq!(left[0], left[1], "{at}: one went without the other");
        assert_eq!(octets_of(&self.kept), Some(message(101)), "{at}");
        let report = world.assert_whole(&unlocked);
        assert_eq!(report.erased, if left[0] { 0 } else { 2 }, "{at}");
        assert_eq!(world.archive.decided().expect("read").len(), usize::from(!left[0]), "{at}");
        !left[0]
    }

    fn erase(&self, world: &World) -> Result<Erased, Error> {
        world.archive.erase(&world.tools(), &self.signed, &ONE)
    }
}

fn restart(world: World, disk: &FakeDisk, seed: u64) -> World {
    let World { disk: shared, root, clock, journal, archive } = world;
    journal.close();
    drop(archive);
    disk.crash(&mut Random(seed));
    let world = World::resume(shared, root, clock);
    world.archive.reconcile(&world.journal).expect("reconciled");
    world
}

#[test]
fn power_lost_at_every_step_of_an_erasure() {
    let scene = scene();
    let total = {
        let (disk, world) = scene.start();
        let before = disk.operations();
        scene.erase(&world).expect("erased");
        disk.operations() - before
    };
    assert!(total > 30, "an erasure has many steps");
    let mut decided = 0;
    for step in 1..=total + 1 {
        let (disk, world) = scene.start();
        disk.set(Faults { power_off_at: Some(disk.operations() + step), ..Faults::default() });
        let erased = scene.erase(&world);
        let world = restart(world, &disk, step);
        let at = format!("step {step}");
        let is_decided = scene.check(&world, &at);
        assert!(is_decided || erased.is_err(), "{at}: told to be done, and is not");
        decided += u64::from(is_decided);
        let again = scene.erase(&world).expect("carried out");
        assert_eq!(again.act.is_none(), is_decided, "{at}");
        assert!(is_decided || scene.check(&world, &at));
        assert_eq!(world.archive.unreceipted().expect("read").len(), 1, "{at}: the receipt is still to come");
    }
    assert!(decided > 10 && decided < total, "both were met: {decided} of {total}");
}

#[test]
fn power_lost_at_every_step_of_a_hold() {
    let scene = scene();
    let new = NewHold { name: "case", by: "officer", reason: "r", query: None, seen: None };
    let mut holds = 0;
    for step in 1..=40 {
        let (disk, world) = scene.start();
        disk.set(Faults { power_off_at: Some(disk.operations() + step), ..Faults::default() });
        let held = world.archive.hold(&world.tools(), &new, &scene.accepts);
        let world = restart(world, &disk, step);
        let erased = scene.erase(&world);
        assert!(held.is_err() || erased.is_err(), "step {step}: told to be held, and is not");
        holds += u32::from(erased.is_err());
    }
    assert!(holds > 3, "both were met");
}

#[test]
fn one_failed_operation_and_the_same_process_goes_on() {
    let scene = scene();
    for step in 1..=60 {
        let (disk, world) = scene.start();
        disk.set(Faults { fail_at: Some(disk.operations() + step), ..Faults::default() });
        let _first = scene.erase(&world);
        disk.set(Faults::default());
        if scene.erase(&world).is_ok() {
            // What failed after the decision is made up for.
            world.archive.bring_up().expect("brought up");
            assert!(scene.check(&world, &format!("step {step}")));
        }
        let world = restart(world, &disk, step);
        scene.check(&world, &format!("step {step}"));
    }
}
