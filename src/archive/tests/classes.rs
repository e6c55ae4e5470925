//! Seal passes over several classes and buckets, and what a SEAL leaf says of acts.

use super::super::group::bucket;
use super::super::*;
use super::disk::FakeDisk;
use super::world::{World, kept, message, start};
use crate::journal::{LEAF_VERSION, Leaf, LeafKind};
use crate::mail::{MailId, Retention};
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

/// Class, expires and units of the segments of the last pass.
fn last_pass(world: &World) -> Vec<(String, Option<u32>, u32, u32)> {
    let segments = world.archive.segments().expect("segments");
    let through = segments.last().expect("a segment").seal.through;
    let of_pass = segments.iter().filter(|info| info.seal.through == through);
    of_pass.map(|i| (i.seal.class.clone(), i.seal.expires, i.seal.messages, i.seal.events)).collect()
}

#[test]
fn a_pass_has_a_segment_for_each_class_and_bucket() {
    let world = world();
    let accept = |n: usize, retention: &Retention| world.accept_in(&message(n), retention.clone());
    let protected = Retention { protected_until: Some(start()), ..kept("tax", 365) };
    let late = accept(1, &kept("tax", 365));
    let ids: Vec<MailId> = [
        (2, Retention::forever()),
        (3, kept("short", 10)),
        (4, Retention::forever()),
        (5, kept("short", 40)),
        (6, kept("tax", 365)),
        (7, protected),
        (8, kept("short", 11)),
    ]
    .map(|(n, retention)| accept(n, &retention))
    .to_vec();
    let report = world.seal();
    assert_eq!((report.segments, report.messages), (5, 8));
    let month = |days: i64| Some(bucket(start().plus_s(days * 86_400)));
    let text = |class: &str| class.to_owned();
    assert_eq!(
        last_pass(&world),
        [
            (text("default"), None, 2, 0),
            (text("short"), month(10), 2, 0),
            (text("short"), month(40), 1, 0),
            (text("tax"), month(365), 2, 0),
            (text("tax"), month(365), 1, 0),
        ]
    );
    let segments = world.archive.segments().expect("segments");
    let totals: Vec<_> = segments.iter().map(|i| (i.seal.totals.segments, i.seal.totals.messages)).collect();
    assert_eq!(totals, [(1, 2), (2, 4), (3, 5), (4, 7), (5, 8)]);
    assert_eq!(segments[4].seal.protected, Some(bucket(start())));
    // What comes late goes where its message is, also when that is the only thing of its kind.
    world.deliver(late, 0);
    world.deliver(ids[1], 0);
    accept(9, &Retention::forever());
    let world = world.reopen();
    world.seal();
    assert_eq!(
        last_pass(&world),
        [(text("default"), None, 1, 0), (text("short"), month(10), 0, 1), (text("tax"), month(365), 0, 1),]
    );
    let unlocked = world.unlock();
    let report = world.assert_whole(&unlocked);
    assert_eq!((report.accepted, report.covered, report.pending), (9, 9, 0));
}

#[test]
fn slices_of_mailboxes_count_on_over_the_segments_of_a_pass() {
    let world = world();
    for (n, retention) in [(1, kept("b", 10)), (2, kept("a", 10)), (3, kept("b", 10))] {
        world.accept_in(&message(n), retention);
    }
    world.seal();
    let months: Vec<Vec<(u32, u64)>> =
        world.archive.segments().expect("segments").into_iter().map(|info| info.seal.months).collect();
    let month = 2024 * 12 + 10;
    assert_eq!(months, [vec![(month, 1)], vec![(month, 3)]], "class a comes first");
}

#[test]
fn a_pass_takes_no_more_segments_than_its_leaves_fit() {
    let world = world();
    for n in 0..300 {
        world.accept_in(&message(1), kept("many", 31 * n));
    }
    let report = world.seal();
    assert_eq!((report.segments, report.messages), (300, 300));
    let segments = world.archive.segments().expect("segments");
    let passes: Vec<usize> =
        segments.chunk_by(|one, next| one.seal.through == next.seal.through).map(<[_]>::len).collect();
    assert_eq!(passes, [256, 44]);
    assert!(world.verify(None).is_ok());
}

#[test]
fn no_step_of_the_log_ends_inside_a_pass() {
    let world = world();
    for (n, class) in (0..).zip(["a", "b", "c"]) {
        world.accept_in(&message(n), kept(class, 10));
    }
    let through = world.journal.durable_leaves();
    let sealable = world.journal.sealable(through);
    let means = seal::Means {
        journal: &world.journal,
        clock: world.clock.as_ref(),
        summarize: crate::mail::summary::summarize,
    };
    let seals = world.archive.write_pass(&means, &sealable, through).expect("written");
    let first = seal::append(&world.journal, &seal::leaves(&seals).expect("leaves")).expect("appended");
    let from = world.archive.log_size();
    let before = usize::try_from(first - from).expect("few");
    for step in 1..before + 5 {
        let taken = catch_up::whole_passes(&world.journal, from, step).expect("leaves").len();
        assert_eq!(taken, if step <= before { step } else { before + 3 }, "{step}");
    }
}

#[test]
fn the_census_counts_what_was_sealed_since() {
    let world = world();
    let counted = |archive: &Archive| -> Vec<(String, u64, u64)> {
        let census = archive.census().expect("a census");
        let stored: u64 = census.buckets().map(|(_, kept)| kept.stored_bytes).sum();
        let totals = archive.last_segment().map(|info| info.seal.totals).unwrap_or_default();
        assert_eq!(stored, totals.stored_bytes);
        assert_eq!(census.classes().values().map(|kept| kept.segments).sum::<u64>(), totals.segments);
        census
            .buckets()
            .map(|(g, kept)| (format!("{} {:?}", g.class, g.expires_month()), kept.segments, kept.messages))
            .collect()
    };
    assert_eq!(counted(&world.archive), []);
    for (n, retention) in [(1, kept("a", 1)), (2, kept("a", 40)), (3, Retention::forever()), (4, kept("a", 1))] {
        world.accept_in(&message(n), retention);
    }
    world.seal();
    let text = |text: &str| text.to_owned();
    let first =
        [(text("a Some(\"2025-01\")"), 1, 2), (text("a Some(\"2025-02\")"), 1, 1), (text("default None"), 1, 1)];
    assert_eq!(counted(&world.archive), first);
    assert_eq!(counted(&world.archive), first, "nothing twice");
    world.accept_in(&message(5), kept("a", 40));
    world.seal();
    let second = [first[0].clone(), (text("a Some(\"2025-02\")"), 2, 2), first[2].clone()];
    assert_eq!(counted(&world.archive), second);
    assert_eq!(counted(&world.reopen().archive), second);
}
