//! A gateway that cheats: it holds log key and journal, and seals other things than were accepted. Every object it writes is
//! whole; the leaves say otherwise.

use super::super::directory::month_of;
use super::super::seal::Means;
use super::super::segment_writer::{Message, Plan, SegmentWriter};
use super::super::*;
use super::disk::FakeDisk;
use super::world::{World, message};
use crate::clock::Clock;
use crate::crypto::random;
use crate::journal::Sealable;
use crate::mail::summary::summarize;
use std::path::Path;
use std::sync::Arc;

fn world() -> World {
    let world = World::new(Arc::new(FakeDisk::default()), Path::new("/gw"));
    for n in 0..3 {
        world.accept(&message(100 + n));
    }
    world
}

fn segment(world: &World) -> SegmentId {
    SegmentId::new(world.clock.now(), random::bytes().expect("random"))
}

/// Seals what `change` leaves, as if it were all.
fn seal_other(world: &World, change: impl FnOnce(&mut Sealable)) {
    let through = world.journal.durable_leaves();
    let mut sealable = world.journal.sealable(through);
    change(&mut sealable);
    let archive = &world.archive;
    let means = Means { journal: &world.journal, clock: world.clock.as_ref(), summarize };
    let seal = archive.write_segment(&means, segment(world), &sealable, through).expect("written");
    seal::append(&world.journal, seal.to_leaf().expect("a leaf")).expect("appended");
    archive.reconcile(&world.journal).expect("reconciled");
}

#[test]
fn a_message_left_out_is_missing() {
    let world = world();
    seal_other(&world, |sealable| drop(sealable.messages.remove(1)));
    let report = world.verify(None);
    assert_eq!((report.accepted, report.covered, report.missing), (3, 2, 1));
    assert_eq!((report.findings.len(), report.findings[0].kind), (1, FaultKind::Missing));
    assert_eq!(report.findings[0].object, "leaf 3");
}

#[test]
fn a_message_sealed_again_is_noticed() {
    let world = world();
    let mut again = Sealable::default();
    seal_other(&world, |sealable| again = sealable.clone());
    world.accept(&message(7));
    seal_other(&world, |sealable| sealable.messages.insert(0, again.messages[0].clone()));
    let report = world.verify(None);
    assert!(!report.is_ok() && report.findings.iter().all(|f| f.object.starts_with("log/cover/")), "{report:?}");
}

#[test]
fn other_octets_than_were_accepted_are_noticed_with_the_key() {
    let world = world();
    let through = world.journal.durable_leaves();
    let entry = world.journal.sealable(through).messages[0].clone();
    let plan = Plan {
        archive: world.archive.id(),
        segment: segment(&world),
        created: world.clock.now(),
        messages: 1,
        events: 0,
    };
    let path = world.archive.inner.layout.data(&plan.segment);
    let file = world.disk.create(&files::temporary(&path)).expect("a file");
    let key = unit::SegmentKey::generate(plan.segment).expect("a key");
    let wraps = vec![world.archive.wrap(&key, &plan.segment).expect("a wrap")];
    let mut writer = SegmentWriter::begin(file, plan, key).expect("begun");
    let octets = b"Subject: something else\r\n\r\n";
    let summary = summarize(octets);
    let meta = Meta::new(entry.accept_index, entry.accept_octets.to_vec(), Vec::new(), summary).encode();
    let (mek, accept_index, id, accepted_at) =
        (entry.mek().expect("a key"), entry.accept_index, entry.id, entry.accepted_at);
    writer
        .message(&Message {
            mek,
            accept_index,
            id,
            accepted_at,
            month: month_of(accepted_at),
            slice: 1,
            octets,
            meta: &meta,
        })
        .expect("added");
    let written = writer.finish(wraps).expect("written");
    let seal = world.archive.describe(&written, accept_index + 1, Vec::new());
    world.archive.publish(&seal, &written).expect("published");
    seal::append(&world.journal, seal.to_leaf().expect("a leaf")).expect("appended");
    world.archive.reconcile(&world.journal).expect("reconciled");
    assert!(world.verify(None).is_ok(), "nothing to see without the key");
    let report = world.verify(Some(&world.unlock()));
    let details: Vec<_> = report.findings.iter().map(|f| (f.level, f.detail.as_str())).collect();
    assert_eq!(details, [(2, "unit 0: the octets are not those that were accepted")]);
}
