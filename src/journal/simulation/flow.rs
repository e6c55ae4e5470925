//! What the journal promises besides surviving: poisoning, full and unwritable disks, fair turns, bounded files.

use super::super::fixtures;
use super::super::{Error, Outcome, RecipientResult, RecipientState, RenditionDraft, Sync};
use super::disk::{Access, Faults, Random};
use super::world::{DIR, World, accept_draft, live_files, wait_until};
use crate::clock::Timestamp;
use crate::durable::Disk;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn journal_files(world: &World) -> usize {
    world.disk.list(Path::new(DIR)).expect("names").iter().filter(|n| n.ends_with(".journal")).count()
}

/// J5: a file on which a write or sync failed is never written to again; the next commit goes elsewhere.
#[test]
fn a_failed_write_or_sync_poisons_its_file_and_no_other() {
    for operation in 1..40 {
        let mut world = World::new(operation);
        let (journal, _) = world.open().expect("opens");
        let first = world.submit(&journal, 10).expect("submitted");
        world.wait(&journal, first).expect("accepted");
        world.spares = 0;
        let fail_at = Some(world.disk.operations() + operation);
        world.disk.set(Faults { fail_at, ..Faults::default() });
        let mut refused = 0;
        for _ in 0..6 {
            let Ok(submitted) = world.submit(&journal, 2000) else { continue };
            match world.wait(&journal, submitted) {
                Ok(_) => {}
                Err(Error::Unavailable(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused <= 1, "operation {operation}: the next commit takes another file");
        assert_eq!(world.disk.writes_after_failure(), 0, "operation {operation}");
        journal.close();
        world.disk.set(Faults::default());
        let (journal, report) = world.open().expect("opens");
        world.check(&journal, &report).unwrap_or_else(|fault| panic!("operation {operation}: {fault}"));
    }
}

#[test]
fn an_unwritable_directory_refuses_every_commit_until_it_is_writable() {
    let mut world = World::new(7);
    world.spares = 0;
    let (journal, _) = world.open().expect("opens");
    world.disk.set(Faults { access: Access::ReadOnly, ..Faults::default() });
    for bytes in [10, 10, 300_000] {
        let answer = world.submit(&journal, bytes).and_then(|submitted| world.wait(&journal, submitted));
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    }
    world.disk.set(Faults::default());
    let submitted = world.submit(&journal, 10).expect("submitted");
    world.wait(&journal, submitted).expect("accepted again");
}

/// J8: the disk fills up at every possible point; what was acknowledged stays, results go on.
#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    for room in 0..12 {
        let mut world = World::new(room);
        world.spares = 0;
        world.disk.set(Faults { capacity: Some((1 << 20) * 2 + room * 100_000), ..Faults::default() });
        let (journal, _) = world.open().expect("opens");
        let mut refusal = None;
        while refusal.is_none() {
            let answer = world.submit(&journal, 60_000).and_then(|submitted| world.wait(&journal, submitted));
            refusal = answer.err();
        }
        assert_eq!(refusal, Some(Error::StorageFull));
        journal.close();
        let (journal, report) = world.open().expect("opens on a full disk");
        world.check(&journal, &report).expect("nothing is lost");
    }
}

#[test]
fn low_space_refuses_new_mail_while_results_go_on() {
    let mut world = World::new(3);
    (world.spares, world.low_space_bytes) = (0, 1 << 20);
    let (journal, _) = world.open().expect("opens");
    let submitted = world.submit(&journal, 10).expect("submitted");
    world.wait(&journal, submitted).expect("accepted");
    // A journal file, the ring, and what is free.
    let at = |free: u64| Faults { capacity: Some((1 << 20) + (2 << 20) + free), ..Faults::default() };
    world.disk.set(at(1 << 20));
    assert!(journal.draft(fixtures::id(99)).is_ok());
    world.disk.set(at((1 << 20) - 1));
    assert!(matches!(journal.draft(fixtures::id(99)), Err(Error::StorageFull)));
    world.deliver(&journal).expect("results are recorded");
}

/// Used files that are kept for later give way before mail is refused.
#[test]
fn free_files_give_way_to_mail() {
    let mut world = World::new(3);
    (world.spares, world.low_space_bytes) = (1, 1 << 20);
    let (journal, _) = world.open().expect("opens");
    for _ in 0..40 {
        let submitted = world.submit(&journal, 100_000).expect("submitted");
        world.wait(&journal, submitted).expect("accepted");
    }
    while !journal.pending().is_empty() {
        world.deliver(&journal).expect("recorded");
    }
    world.seal(&journal).expect("sealed");
    world.seal(&journal).expect("sealed");
    wait_until("nothing is needed any more", || live_files(&world).len() == 1);
    let before = journal_files(&world);
    assert!(before > 3, "{before} files");
    let set = |capacity| world.disk.set(Faults { capacity: Some(capacity), ..Faults::default() });
    set(1 << 40);
    let used = (1 << 40) - world.disk.free_bytes(Path::new(DIR)).expect("known");
    set(used + (1 << 20) - 1);
    assert!(journal.draft(fixtures::id(99)).is_ok());
    assert!(journal_files(&world) < before);
}

/// At the bound on kept files new mail waits for sealing and delivery, which go on, and is taken again afterwards.
#[test]
fn kept_files_are_bounded_and_results_go_on() {
    let mut world = World::new(4);
    (world.spares, world.kept_bytes) = (0, 4 << 20);
    let (journal, _) = world.open().expect("opens");
    let refusal = loop {
        let answer = world.submit(&journal, 100_000).and_then(|submitted| world.wait(&journal, submitted));
        if let Err(error) = answer {
            break error;
        }
    };
    assert_eq!(refusal, Error::StorageFull);
    assert_eq!(journal_files(&world), 4);
    while !journal.pending().is_empty() {
        world.deliver(&journal).expect("recorded");
    }
    world.seal(&journal).expect("sealed");
    world.seal(&journal).expect("sealed");
    let deadline = Instant::now() + Duration::from_secs(20);
    while journal.draft(fixtures::id(99)).is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let submitted = world.submit(&journal, 10).expect("submitted");
    world.wait(&journal, submitted).expect("accepted again");
    journal.close();
    let (journal, report) = world.open().expect("opens");
    world.check(&journal, &report).expect("nothing is lost");
}

/// J7 and retirement: sealed and delivered mail frees its files; a recycled one gives only what was written since.
#[test]
fn files_are_recycled_when_all_in_them_is_sealed_and_final() {
    let mut world = World::new(1);
    world.spares = 1;
    let (journal, _) = world.open().expect("opens");
    for _ in 0..12 {
        for _ in 0..4 {
            let submitted = world.submit(&journal, 100_000).expect("submitted");
            world.wait(&journal, submitted).expect("accepted");
        }
        while !journal.pending().is_empty() {
            world.deliver(&journal).expect("recorded");
        }
        // The pass behind the last result seals it, the next finds the files free.
        world.seal(&journal).expect("sealed");
        world.seal(&journal).expect("sealed");
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while journal_files(&world) > 3 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(journal_files(&world) <= 3, "{} files", journal_files(&world));
    assert!(journal.entries().is_empty());
    drop(journal);
    world.disk.crash(&mut Random(5));
    let (journal, report) = world.open().expect("opens");
    world.check(&journal, &report).expect("nothing old, nothing lost");
    assert_eq!(report.messages, 0);
}

/// J9: a small message waits for a batch or two of a huge upload, not for the upload.
#[test]
fn a_huge_upload_does_not_delay_small_mail() {
    let mut world = World::new(1);
    let (journal, _) = world.open().expect("opens");
    let mut huge = journal.draft(fixtures::id(500)).expect("a draft");
    let octets = world.octets(1 << 20);
    for _ in 0..8 {
        huge.append(&octets).expect("appended");
        let before = world.disk.syncs();
        let submitted = world.submit(&journal, 100).expect("submitted");
        world.wait(&journal, submitted).expect("accepted");
        assert!(world.disk.syncs() - before <= 6, "{} syncs", world.disk.syncs() - before);
    }
    let (sender, receiver) = mpsc::channel();
    let rendition = RenditionDraft { recipients: vec![0], prefix: vec![], content: None };
    huge.commit(accept_draft(1, vec![rendition]), Box::new(move |r| drop(sender.send(r))));
    let id = receiver.recv().expect("an answer").expect("accepted");
    assert_eq!(journal.octets(&id).expect("read").len(), 8 << 20);
}

#[test]
fn a_record_longer_than_a_frame_is_streamed() {
    let world = World::new(1);
    let (journal, _) = world.open().expect("opens");
    let (sender, receiver) = mpsc::channel();
    let mut draft = journal.draft(fixtures::id(1)).expect("a draft");
    draft.append(b"body").expect("appended");
    let accept = super::super::AcceptDraft { ruling: vec![7; 300_000], ..accept_draft(1, vec![]) };
    draft.commit(accept, Box::new(move |r| drop(sender.send(r))));
    let id = receiver.recv().expect("an answer").expect("accepted");
    let before = journal.held(&id).expect("there").accept_octets;
    journal.close();
    let (journal, report) = world.open().expect("opens");
    assert_eq!(report.damage, [""; 0]);
    assert_eq!(journal.held(&id).expect("there").accept_octets, before);
}

#[test]
fn a_second_result_for_an_ended_recipient_is_ignored() {
    let mut world = World::new(2);
    let (journal, _) = world.open().expect("opens");
    let submitted = world.submit(&journal, 10).expect("submitted");
    let id = world.wait(&journal, submitted).expect("accepted");
    let at = Timestamp::from_s(1);
    let result = |recipient, outcome| RecipientResult { recipient, at, next_hop: "h".repeat(5000), outcome };
    let record = |results, sync| {
        let (sender, receiver) = mpsc::channel();
        journal.record_results(id, results, sync, Some(Box::new(move |r| drop(sender.send(r)))))?;
        receiver.recv().expect("an answer comes")
    };
    let delivered = || Outcome::Delivered { reply: "250 ok".into() };
    record(vec![result(0, delivered()), result(0, delivered())], Sync::Now).expect("recorded");
    record(vec![result(0, delivered())], Sync::Now).expect("ignored");
    record(vec![result(0, delivered())], Sync::Lazy).expect("ignored");
    assert_eq!(record(vec![result(9, delivered())], Sync::Now), Err(Error::OutOfBounds("no such recipient")));
    let entry = journal.entry(&id).expect("there");
    assert_eq!(entry.results.len(), 1);
    assert_eq!(entry.results[0].1.next_hop.len(), super::super::REPLY_BYTES_MAX);
    assert_eq!(entry.results[0].0, journal.durable_leaves() - 1);
    assert_eq!(
        journal.record_results(fixtures::id(77), vec![], Sync::Now, None),
        Err(Error::Unknown(fixtures::id(77)))
    );
}

/// What nobody waits for stands before what somebody waits for, if it came before: a replay sees the same order.
#[test]
fn results_of_a_message_keep_their_order() {
    let mut world = World::new(2);
    let (journal, _) = world.open().expect("opens");
    let submitted = world.submit(&journal, 10).expect("submitted");
    let id = world.wait(&journal, submitted).expect("accepted");
    let at = Timestamp::from_s(1);
    let record = |outcome, sync| {
        let (sender, receiver) = mpsc::channel();
        let result = RecipientResult { recipient: 0, at, next_hop: String::new(), outcome };
        journal.record_results(id, vec![result], sync, Some(Box::new(move |r| drop(sender.send(r))))).expect("queued");
        receiver
    };
    let parked = record(Outcome::Parked { reason: "poison".into(), until: None }, Sync::Lazy);
    record(Outcome::Released { next_at: at }, Sync::Now).recv().expect("an answer").expect("recorded");
    parked.recv().expect("an answer").expect("recorded");
    let states = journal.entry(&id).expect("there").states;
    assert!(matches!(states[0], RecipientState::Pending { .. }));
    journal.close();
    let (journal, _) = world.open().expect("opens");
    assert_eq!(journal.entry(&id).expect("there").states, states);
}

/// A body stays in memory for the first attempt, not for those of the next days.
#[test]
fn a_deferred_message_leaves_the_cache() {
    let mut world = World::new(2);
    let (journal, _) = world.open().expect("opens");
    let submitted = world.submit(&journal, 10).expect("submitted");
    let id = world.wait(&journal, submitted).expect("accepted");
    let recipients = u32::try_from(journal.entry(&id).expect("there").states.len()).expect("few");
    assert!(journal.is_cached(&id));
    for recipient in 0..recipients {
        let (sender, receiver) = mpsc::channel();
        let outcome = Outcome::Deferred { reply: "451 later".into(), next_at: Timestamp::from_s(9) };
        let result = RecipientResult { recipient, at: Timestamp::from_s(1), next_hop: String::new(), outcome };
        let done = Box::new(move |r| drop(sender.send(r)));
        journal.record_results(id, vec![result], Sync::Now, Some(done)).expect("queued");
        receiver.recv().expect("an answer").expect("recorded");
        assert_eq!(journal.is_cached(&id), recipient + 1 < recipients, "after {recipient}");
    }
    assert_eq!(journal.octets(&id).as_ref(), Ok(&world.known[&id].body));
}

/// A record longer than a frame may stand in an older file than its ACCEPT: that file must not go before the message.
#[test]
fn the_file_of_a_long_record_outlives_it() {
    for fill in (400_000..900_000).step_by(60_000) {
        let mut world = World::new(4);
        let (journal, _) = world.open().expect("opens");
        let submitted = world.submit(&journal, fill).expect("submitted");
        world.wait(&journal, submitted).expect("accepted");
        while !journal.pending().is_empty() {
            world.deliver(&journal).expect("recorded");
        }
        let (sender, receiver) = mpsc::channel();
        let draft = journal.draft(fixtures::id(77)).expect("a draft");
        let rendition = RenditionDraft { recipients: vec![0], prefix: vec![], content: None };
        let accept = super::super::AcceptDraft { ruling: vec![7; 300_000], ..accept_draft(1, vec![rendition]) };
        draft.commit(accept, Box::new(move |r| drop(sender.send(r))));
        let id = receiver.recv().expect("an answer").expect("accepted");
        for _ in 0..3 {
            world.seal(&journal).expect("sealed");
        }
        journal.close();
        let (journal, report) = world.open().expect("opens");
        assert_eq!(report.damage, [""; 0], "{fill}");
        assert!(journal.entry(&id).is_some_and(|entry| entry.is_pending()), "{fill}: lost");
    }
}
