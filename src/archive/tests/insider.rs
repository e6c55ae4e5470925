//! A gateway that cheats: it holds log key and journal, and seals other things than were accepted. Every object it writes is
//! whole; the leaves say otherwise.

use super::super::directory::month_of;
use super::super::seal::Means;
use super::super::segment_writer::{Message, Plan, SegmentWriter};
use super::super::*;
use super::disk::FakeDisk;
use super::world::{World, kept, message};
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
    let seals = archive.write_pass(&means, &sealable, through).expect("written");
    seal::append(&world.journal, &seal::leaves(&seals).expect("leaves")).expect("appended");
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
    let group = group::Group::of(&entry.retention());
    let mut pass = seal::Pass::behind(&world.archive, accept_index + 1, 1);
    pass.slice(accepted_at);
    let seal = pass.describe(&written, &group);
    world.archive.publish(&[(seal.clone(), written)]).expect("published");
    seal::append(&world.journal, &seal::leaves(&[seal]).expect("leaves")).expect("appended");
    world.archive.reconcile(&world.journal).expect("reconciled");
    assert!(world.verify(None).is_ok(), "nothing to see without the key");
    let report = world.verify(Some(&world.unlock()));
    let details: Vec<_> = report.findings.iter().map(|f| (f.level, f.detail.as_str())).collect();
    assert_eq!(details, [(2, "unit 0: the octets are not those that were accepted")]);
}

/// A pass of two segments whose SEAL leaves `change` has changed.
fn seal_two(change: impl FnOnce(&mut Vec<Seal>)) -> (World, Report) {
    let world = world();
    world.accept_in(&message(7), kept("tax", 10));
    let through = world.journal.durable_leaves();
    let sealable = world.journal.sealable(through);
    let means = Means { journal: &world.journal, clock: world.clock.as_ref(), summarize };
    let mut seals = world.archive.write_pass(&means, &sealable, through).expect("written");
    change(&mut seals);
    seal::append(&world.journal, &seal::leaves(&seals).expect("leaves")).expect("appended");
    world.archive.reconcile(&world.journal).expect("reconciled");
    let report = world.verify(Some(&world.unlock()));
    (world, report)
}

/// The findings in short.
fn told(report: &Report) -> Vec<(u8, FaultKind, String)> {
    report.findings.iter().map(|f| (f.level, f.kind, f.detail.clone())).collect()
}

#[test]
fn a_segment_left_out_of_its_pass_is_missing() {
    assert!(seal_two(|_| {}).1.is_ok());
    let (_, report) = seal_two(|seals| drop(seals.pop()));
    let expected = [
        (0, FaultKind::Missing, "its seal pass has 2 segments, those after 1 are missing".to_owned()),
        (0, FaultKind::Missing, "an accepted message is in no segment".to_owned()),
    ];
    assert_eq!(told(&report), expected);
    let (world, report) = seal_two(|seals| drop(seals.remove(0)));
    assert_eq!(report.missing, 3, "{report:?}");
    assert!(told(&report).contains(&(
        0,
        FaultKind::Inconsistent,
        "does not continue the SEAL leaf before it".to_owned()
    )));
    drop(world);
}

#[test]
fn segments_of_a_pass_in_another_order_are_noticed() {
    let (_, report) = seal_two(|seals| seals.swap(0, 1));
    assert!(report.findings.iter().any(|f| f.kind == FaultKind::Inconsistent && f.object.starts_with("leaf ")));
}

#[test]
fn a_pass_whose_segments_end_at_different_leaves_is_noticed() {
    let (_, report) = seal_two(|seals| seals[1].through -= 1);
    assert!(report.findings.iter().any(|f| f.kind == FaultKind::Inconsistent && f.object.starts_with("leaf ")));
}

#[test]
fn a_segment_of_another_class_or_bucket_than_its_mail_is_noticed_with_the_key() {
    for change in [
        (|seal| seal.class = "default".into()) as fn(&mut Seal),
        |seal| seal.expires = seal.expires.map(|month| month - 1),
        |seal| seal.protected = Some(1),
    ] {
        let (_, report) = seal_two(|seals| change(&mut seals[1]));
        let detail = "unit 0: the segment is of another class or bucket than the unit".to_owned();
        assert_eq!(told(&report), [(2, FaultKind::Inconsistent, detail)]);
    }
}

#[test]
fn an_act_that_a_seal_leaf_hides_is_noticed() {
    let world = world();
    let (hold, at) = (HoldId::from_octets([1; 16]), super::world::start());
    let release = acts::leaves::Release { previous: None, part: 0, hold, at, reason: "over".into() };
    let leaf = acts::Act::Release(release).to_leaf().expect("a leaf");
    let hold = seal::append(&world.journal, &[leaf]).expect("appended");
    world.seal();
    assert_eq!(world.archive.last_segment().map(|info| info.seal.acts), Some(Some(hold)));
    assert!(world.verify(None).is_ok());
    for acts in [None, Some(hold - 1)] {
        let (_, report) = seal_two(|seals| seals.iter_mut().for_each(|seal| seal.acts = acts));
        let expected = if acts.is_none() { 0 } else { 2 };
        assert_eq!(report.findings.len(), expected, "{report:?}");
    }
}
