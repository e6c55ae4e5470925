//! What went in comes out, in its mailbox, under its UID; and whatever the journal still holds is counted.

use super::super::*;
use super::disk::FakeDisk;
use super::world::{World, message, start};
use crate::journal::Outcome;
use std::path::Path;
use std::sync::Arc;

fn world() -> World {
    World::new(Arc::new(FakeDisk::default()), Path::new("/gw"))
}

#[test]
fn messages_come_back_octet_for_octet() {
    let world = world();
    let sizes = [0, 1, 200, 20_000, 3_000_000];
    let mails: Vec<_> = sizes.iter().map(|&n| message(n)).collect();
    let ids: Vec<_> = mails.iter().map(|octets| world.accept(octets)).collect();
    world.deliver(ids[1], 0);
    let report = world.seal();
    assert_eq!((report.segments, report.messages, report.events), (1, 5, 0));
    let unlocked = world.unlock();
    let segments = unlocked.segments().expect("segments");
    let directory = unlocked.directory(&segments[0]).expect("a directory");
    assert_eq!(directory.iter().map(|e| e.id).collect::<Vec<_>>(), ids);
    for (entry, octets) in directory.iter().zip(&mails) {
        assert_eq!(&unlocked.octets(&segments[0], entry.slot).expect("octets"), octets);
        assert_eq!(u64::from(entry.uid), 100 + entry.accept_index + 1);
        assert_eq!((entry.mailbox.as_str(), entry.octets), ("Archive/2024/2024-11", octets.len() as u64));
    }
    let meta = unlocked.meta(&segments[0], 1).expect("meta");
    assert_eq!(meta.accept().expect("a record").id, ids[1]);
    assert_eq!(meta.results.len(), 1);
    assert!(matches!(meta.results[0].result().expect("a result").outcome, Outcome::Delivered { .. }));
    assert_eq!(meta.summary.subject, "number 1");
    let report = world.assert_whole(&unlocked);
    assert_eq!((report.accepted, report.covered, report.pending), (5, 5, 0));
}

#[test]
fn later_results_are_events_and_sealed_mail_is_let_go() {
    let world = world();
    let first = world.accept(&message(100));
    world.seal();
    assert!(world.journal.entry(&first).is_some(), "still to be delivered");
    world.deliver(first, 0);
    world.deliver(first, 1);
    let second = world.accept(&message(200));
    let report = world.seal();
    assert_eq!((report.messages, report.events), (1, 1));
    assert!(world.journal.entry(&first).is_none(), "sealed and final");
    let unlocked = world.unlock();
    let segments = unlocked.segments().expect("segments");
    let events = unlocked.events(&segments[1]).expect("events");
    assert_eq!((events[0].id, events[0].results.len()), (first, 2));
    assert!(unlocked.events(&segments[0]).expect("events").is_empty());
    let (segment, slot) = unlocked.find(&second).expect("looked").expect("found");
    assert_eq!((segment.seal_index, slot), (segments[1].seal_index, 0));
    assert_eq!(unlocked.segments_after(Some(segments[0].seal_index)).expect("segments"), [segments[1].clone()]);
    world.assert_whole(&unlocked);
}

#[test]
fn a_pass_without_mail_writes_nothing() {
    let world = world();
    assert_eq!(world.seal().segments, 0);
    world.accept(&message(10));
    assert_eq!(world.seal().segments, 1);
    let size = world.archive.log_size();
    for _ in 0..3 {
        assert_eq!(world.seal().segments, 0);
    }
    assert_eq!(world.archive.log_size(), size, "SEAL leaves do not beget SEAL leaves");
    let world = world.reopen();
    assert_eq!(world.seal().segments, 0);
    assert_eq!(world.archive.log_size(), size);
    world.accept(&message(11));
    assert_eq!(world.seal().messages, 1);
    world.assert_whole(&world.unlock());
}

#[test]
fn months_turn_at_midnight_utc_and_pending_mail_is_counted() {
    let world = world();
    world.accept(&message(10));
    world.seal();
    world.clock.advance_s(60);
    world.accept(&message(20));
    let status = world.archive.status(Some(&world.journal)).expect("status");
    assert_eq!((status.messages, status.pending, status.segments), (1, 1, 1));
    let report = world.verify(None);
    assert_eq!((report.findings.len(), report.accepted, report.pending), (0, 2, 1));
    world.seal();
    let unlocked = world.unlock();
    let last = world.archive.last_segment().expect("a segment");
    assert_eq!(unlocked.directory(&last).expect("a directory")[0].mailbox, "Archive/2024/2024-12");
    assert_eq!(last.seal.months, [(2024 * 12 + 10, 1), (2024 * 12 + 11, 1)]);
    let status = world.archive.status(None).expect("status");
    assert_eq!((status.messages, status.pending, status.raw_bytes), (2, 0, last.seal.totals.raw_bytes));
}

#[test]
fn many_restarts_leave_one_chain() {
    let mut world = world();
    let mut ids = Vec::new();
    for round in 0..6 {
        ids.extend((0..60).map(|n| world.accept(&message(n))));
        if round % 2 == 0 {
            world.seal();
        }
        world = world.reopen();
    }
    world.seal();
    let unlocked = world.unlock();
    let report = world.assert_whole(&unlocked);
    assert_eq!((report.covered, report.pending), (360, 0));
    assert!(world.archive.log_size() > 256, "over a tile's border");
    let mut sealed = Vec::new();
    for segment in unlocked.segments().expect("segments") {
        sealed.extend(unlocked.directory(&segment).expect("a directory").into_iter().map(|e| e.id));
    }
    assert_eq!(sealed, ids);
    assert_eq!(world.archive.created(), start());
}

#[test]
fn another_process_sees_what_was_sealed_after_a_refresh() {
    let world = world();
    let reader = Archive::open_read_only(world.disk.clone(), &world.dir()).expect("opened");
    world.accept(&message(10));
    world.seal();
    assert!(reader.last_segment().is_none());
    reader.refresh().expect("refreshed");
    assert_eq!(reader.last_segment(), world.archive.last_segment());
    let refused = reader.seal(&world.journal, world.clock.as_ref());
    assert!(matches!(refused, Err(Error::ReadOnly)));
}

#[test]
fn verifying_while_the_gateway_seals_finds_nothing() {
    let world = world();
    std::thread::scope(|scope| {
        let sealing = scope.spawn(|| {
            for n in 0..40 {
                world.accept(&message(n));
                world.seal();
            }
        });
        while !sealing.is_finished() {
            let report = verify(world.disk.as_ref(), &world.dir(), &VerifyOptions::default());
            assert_eq!(report.findings, []);
        }
    });
    assert_eq!(world.assert_whole(&world.unlock()).covered, 40);
}

#[test]
fn an_archive_is_made_once_and_opened_with_its_host_key() {
    let world = world();
    let certificate = [super::world::officers()[0].certificate.clone()];
    let options = CreateOptions { officers: &certificate, threshold: 1, uid_base: 0, now: start() };
    let again = Archive::create(world.disk.clone(), &world.dir(), &super::world::host_key(), &options);
    assert!(matches!(again, Err(Error::Exists)));
    let other = crate::crypto::Secret::new([9; 32]);
    assert!(matches!(Archive::open(world.disk.clone(), &world.dir(), &other), Err(Error::Damaged { .. })));
}
