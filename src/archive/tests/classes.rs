//! Seal passes over several classes and buckets, and what a SEAL leaf says of acts.

use super::super::*;
use super::disk::FakeDisk;
use super::world::{World, message};
use crate::journal::{LEAF_VERSION, Leaf, LeafKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

fn world() -> World {
    World::new(Arc::new(FakeDisk::default()), Path::new("/gw"))
}

fn act(world: &World, kinds: &[LeafKind]) -> u64 {
    let leaf = |kind: &LeafKind| Leaf::new(*kind, vec![LEAF_VERSION, 0x80]).expect("short");
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |r| sender.send(r).expect("sent"));
    world.journal.append_leaves(&kinds.iter().map(leaf).collect::<Vec<_>>(), done);
    receiver.recv().expect("an answer").expect("durable") + kinds.len() as u64 - 1
}

#[test]
fn the_newest_act_is_known_however_the_archive_was_opened() {
    let mut world = world();
    assert_eq!(world.archive.last_act(), None);
    world.append_anchors(300);
    let first = act(&world, &[LeafKind::Hold, LeafKind::Hold]);
    world.archive.reconcile(&world.journal).expect("reconciled");
    assert_eq!(world.archive.last_act(), Some(first), "taken into the log");
    world = world.reopen();
    assert_eq!(world.archive.last_act(), Some(first), "no SEAL leaf yet");
    world.accept(&message(10));
    world.seal();
    assert_eq!(world.archive.last_segment().map(|info| info.seal.acts), Some(Some(first)));
    world.append_anchors(300);
    world.archive.reconcile(&world.journal).expect("reconciled");
    world = world.reopen();
    assert_eq!(world.archive.last_act(), Some(first), "named by the SEAL leaf");
    for kind in [LeafKind::Release, LeafKind::Erase, LeafKind::Expire] {
        let behind = act(&world, &[kind]);
        world.append_anchors(1);
        world.archive.reconcile(&world.journal).expect("reconciled");
        world = world.reopen();
        assert_eq!(world.archive.last_act(), Some(behind), "behind the SEAL leaf");
    }
    let reader = Archive::open_read_only(world.disk.clone(), &world.dir()).expect("opened");
    let last = act(&world, &[LeafKind::Release]);
    world.archive.reconcile(&world.journal).expect("reconciled");
    reader.refresh().expect("refreshed");
    assert_eq!(reader.last_act(), Some(last));
}
