//! The power goes at every operation of a seal pass; whatever the disk kept, everything accepted is sealed exactly once.

use super::super::seal::{Means, append, leaves};
use super::disk::{FakeDisk, Faults, Random};
use super::world::{World, kept, message};
use crate::journal::LeafKind;
use crate::mail::summary::summarize;
use crate::mail::{MailId, Retention};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

struct Scene {
    disk: FakeDisk,
    world: World,
    mails: BTreeMap<MailId, Vec<u8>>,
}

/// An archive with a segment, and a journal with a new message, a late result and a result in time.
fn scene(leaves_before: usize) -> Scene {
    let disk = FakeDisk::default();
    let world = World::new(Arc::new(disk.clone()), Path::new("/gw"));
    world.append_anchors(leaves_before);
    let mut mails = BTreeMap::new();
    let mut accept = |n: usize| {
        let octets = message(n);
        let id = world.accept(&octets);
        mails.insert(id, octets);
        id
    };
    accept(10);
    let early = accept(300);
    world.seal();
    let late = accept(5000);
    world.deliver(early, 0);
    world.deliver(late, 1);
    accept(70);
    Scene { disk, world, mails }
}

/// The same over four classes and buckets: three segments in the pass that is interrupted, one of them for events alone.
fn scene_of_classes(leaves_before: usize) -> Scene {
    let disk = FakeDisk::default();
    let world = World::new(Arc::new(disk.clone()), Path::new("/gw"));
    world.append_anchors(leaves_before);
    let mut mails = BTreeMap::new();
    let mut accept = |n: usize, retention: Retention| {
        let octets = message(n);
        let id = world.accept_in(&octets, retention);
        mails.insert(id, octets);
        id
    };
    accept(10, Retention::forever());
    let early = accept(300, kept("tax", 365));
    world.seal();
    let new = accept(5000, kept("short", 30));
    world.deliver(early, 0);
    accept(70, Retention::forever());
    world.deliver(new, 1);
    accept(80, kept("short", 31));
    Scene { disk, world, mails }
}

/// Restarts on what the disk has, seals, and holds the whole archive against what was accepted.
fn check(scene: Scene, seed: u64) {
    let Scene { disk, world, mails } = scene;
    let World { disk: shared, root, clock, journal, archive } = world;
    journal.close();
    drop(archive);
    disk.crash(&mut Random(seed));
    let world = World::resume(shared, root, clock);
    world.archive.reconcile(&world.journal).expect("reconciled");
    world.seal();
    let unlocked = world.unlock();
    let report = world.assert_whole(&unlocked);
    assert_eq!((report.covered, report.pending, report.missing), (mails.len() as u64, 0, 0), "seed {seed}");
    let mut sealed = BTreeMap::new();
    for segment in unlocked.segments().expect("segments") {
        for entry in unlocked.directory(&segment).expect("a directory") {
            let twice = sealed.insert(entry.id, unlocked.octets(&segment, entry.slot).expect("octets"));
            assert!(twice.is_none(), "covered twice");
        }
    }
    assert_eq!(sealed, mails, "seed {seed}");
    assert_whole_passes(&world);
    assert_no_leftovers(&world);
}

/// Every pass has all of its segments, one for each class and bucket.
fn assert_whole_passes(world: &World) {
    let segments = world.archive.segments().expect("segments");
    for pass in segments.chunk_by(|one, next| one.seal.through == next.seal.through) {
        let parts: Vec<(u64, u32)> = pass.iter().map(|info| (info.seal_index, info.seal.part)).collect();
        let whole = (pass[0].seal_index..).zip(0..pass[0].seal.parts).collect::<Vec<_>>();
        assert_eq!(parts, whole);
        let groups = pass.iter().map(|info| (info.seal.class.clone(), info.seal.expires)).collect::<BTreeSet<_>>();
        assert_eq!(groups.len(), pass.len());
    }
}

fn assert_no_leftovers(world: &World) {
    let segments = world.archive.segments().expect("segments").len();
    for (dir, each) in [("segments", 2), ("key-copies", 1), ("log/cover", 1)] {
        let names = world.disk.list(&world.dir().join(dir)).expect("a list");
        assert_eq!(names.len(), segments * each, "{dir}: {names:?}");
    }
}

fn operations(scene: Scene) -> u64 {
    let before = scene.disk.operations();
    scene.world.seal();
    scene.disk.operations() - before
}

/// `faults` makes the disk fail at an operation counted from now.
fn fail_everywhere(scene: impl Fn() -> Scene, faults: fn(u64) -> Faults, seeds: u64) {
    let total = operations(scene());
    assert!(total > 20, "a pass has many steps");
    for step in 1..=total + 2 {
        for seed in 0..seeds {
            let scene = scene();
            scene.disk.set(faults(scene.disk.operations() + step));
            let sealed = scene.world.archive.seal(&scene.world.journal, scene.world.clock.as_ref());
            assert!(sealed.is_ok() || step <= total, "step {step}: {sealed:?}");
            check(scene, step * 1000 + seed);
        }
    }
}

#[test]
fn power_lost_at_every_step() {
    let faults = |at| Faults { power_off_at: Some(at), ..Faults::default() };
    fail_everywhere(|| scene(0), faults, 1);
}

#[test]
fn power_lost_at_every_step_over_a_tiles_border() {
    let faults = |at| Faults { power_off_at: Some(at), ..Faults::default() };
    fail_everywhere(|| scene(250), faults, 1);
}

#[test]
fn power_lost_at_every_step_of_a_pass_with_several_segments() {
    let faults = |at| Faults { power_off_at: Some(at), ..Faults::default() };
    fail_everywhere(|| scene_of_classes(0), faults, 1);
    // The SEAL leaves of the pass lie on both sides of the border.
    fail_everywhere(|| scene_of_classes(244), faults, 1);
}

#[test]
fn one_failed_operation_and_the_same_process_goes_on() {
    goes_on(|| scene(0));
}

#[test]
fn one_failed_operation_in_a_pass_with_several_segments_and_the_same_process_goes_on() {
    goes_on(|| scene_of_classes(0));
}

fn goes_on(scene: impl Fn() -> Scene) {
    let total = operations(scene());
    for step in 1..=total {
        let scene = scene();
        let at = scene.disk.operations() + step;
        scene.disk.set(Faults { fail_at: Some(at), ..Faults::default() });
        let first = scene.world.archive.seal(&scene.world.journal, scene.world.clock.as_ref());
        scene.disk.set(Faults::default());
        // The journal may have lost its file to the failure and refuse; the archive must not make things worse.
        let second = scene.world.archive.seal(&scene.world.journal, scene.world.clock.as_ref());
        if second.is_ok() && first.is_ok() {
            scene.world.assert_whole(&scene.world.unlock());
        }
        check(scene, step);
    }
}

#[test]
fn a_message_nobody_can_read_is_declared_and_the_others_are_sealed() {
    let disk = FakeDisk::default();
    let world = World::new(Arc::new(disk.clone()), Path::new("/gw"));
    // Each message fills much of a journal file, so that one can be hit alone.
    let ids: Vec<_> = (0..3).map(|n| world.accept(&message(400_000 + n))).collect();
    let world = world.reopen();
    let files = world.disk.list(&world.root.join("journal")).expect("a list");
    let hit = files.iter().find_map(|name| {
        let path = world.root.join("journal").join(name);
        let octets = world.disk.read(&path).ok().filter(|o| o.len() > 200_000)?;
        octets[100_000..200_000].iter().any(|&o| o != 0).then_some(path)
    });
    disk.bend(&hit.expect("a file with mail"), |octets| octets[150_000] ^= 1);
    let report = world.seal();
    assert_eq!(report.messages, 2);
    let unlocked = world.unlock();
    let report = world.verify(Some(&unlocked));
    assert_eq!((report.findings, report.accepted, report.covered, report.gaps), (vec![], 3, 2, 1));
    assert!(unlocked.find(&ids[2]).expect("looked").is_some());
}

#[test]
fn what_a_pass_without_mail_let_go_is_not_missed_after_a_restart() {
    let world = World::new(Arc::new(FakeDisk::default()), Path::new("/gw"));
    // Waits for delivery, and is too long to be carried: its file stays.
    world.accept(&message(400_000));
    let world = world.reopen();
    world.seal();
    let world = world.reopen();
    assert_eq!(world.seal().segments, 0);
    // The file with the SEAL leaf is gone, which is in the log; the older one is not.
    let world = world.reopen();
    let gaps = world.journal.leaves(0, usize::MAX).iter().filter(|l| l.octets[0] == LeafKind::Gap as u8).count();
    assert_eq!(gaps, 0, "a leaf that is in the log is declared lost");
}

#[test]
fn what_stands_in_the_journal_alone_is_verified_too() {
    let world = World::new(Arc::new(FakeDisk::default()), Path::new("/gw"));
    let id = world.accept(&message(300));
    world.deliver(id, 0);
    let means = Means { journal: &world.journal, clock: world.clock.as_ref(), summarize };
    let through = world.journal.durable_leaves();
    let seals = world.archive.write_pass(&means, &world.journal.sealable(through), through).expect("written");
    append(&world.journal, &leaves(&seals).expect("leaves")).expect("durable");
    // Neither ACCEPT nor RESULT nor SEAL is in the log, as when it cannot be written.
    assert_eq!(world.archive.log_size(), 2);
    world.assert_whole(&world.unlock());
}
