//! Rot in acknowledged data: J4. Whatever octet flips, it is reported, everything else is recovered, and a GAP leaf says so.

use super::super::batch::{BLOCK_BYTES, Head};
use super::super::header::HEADER_BYTES;
use super::super::{Error, Journal, Leaf, LeafKind, Replay};
use super::disk::Random;
use super::world::{DIR, World};
use crate::durable::Disk;
use crate::mail::MailId;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// A closed journal with some messages, one of them streamed.
fn filled(seed: u64) -> (World, Vec<MailId>) {
    let mut world = World::new(seed);
    world.spares = 0;
    let (journal, _) = world.open().expect("opens");
    let mut ids = Vec::new();
    for bytes in [10, 3000, 270_000, 600, 5000] {
        let submitted = world.submit(&journal, bytes).expect("submitted");
        ids.push(world.wait(&journal, submitted).expect("accepted"));
    }
    journal.close();
    (world, ids)
}

fn only_file(world: &World) -> PathBuf {
    let names = world.disk.list(Path::new(DIR)).expect("names");
    let files: Vec<_> = names.iter().filter(|n| n.ends_with(".journal")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    Path::new(DIR).join(files[0])
}

/// Start and length of every batch.
fn batches(file: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = HEADER_BYTES;
    while let Some(head) = file.get(at..).and_then(Head::parse) {
        found.push((at, head.total_bytes()));
        at += head.total_bytes();
    }
    found
}

/// Messages that did not come back whole.
fn lost(world: &World, journal: &Journal) -> Vec<MailId> {
    let whole = |id: &MailId| journal.octets(id).as_ref() == Ok(&world.known[id].body);
    world.known.keys().filter(|id| !whole(id)).copied().collect()
}

fn has_gap(journal: &Journal) -> bool {
    journal.leaves(0, usize::MAX).iter().any(|leaf| leaf.octets[0] == LeafKind::Gap as u8)
}

fn check_reported(world: &World, journal: &Journal, report: &Replay, what: &str) {
    assert!(!report.damage.is_empty(), "{what}: not reported");
    assert!(!report.torn_tail, "{what}: taken for a torn write");
    assert!(has_gap(journal), "{what}: no GAP leaf");
    let copies = world.disk.list(&Path::new(DIR).join("quarantine")).expect("quarantine");
    assert_eq!(copies.len(), 1, "{what}: {copies:?}");
}

#[test]
fn a_flipped_bit_anywhere_is_reported_and_costs_one_frame_at_most() {
    let (pristine, _) = filled(1);
    let file = pristine.disk.read(&only_file(&pristine)).expect("read");
    let all = batches(&file);
    assert!(all.len() > 5);
    // The last batch is the beat of the clean end: it acknowledges nothing.
    for (start, bytes) in &all[..all.len() - 1] {
        for at in [0, 5, 9, 30, 35, 60, 70, 97, 101, 105, 120, 150, 400, *bytes - 1].into_iter().filter(|at| at < bytes)
        {
            let world = pristine.fork();
            world.disk.bend(&only_file(&world), |octets| octets[start + at] ^= 0x20);
            let (journal, report) = world.open().expect("opens");
            let what = format!("batch at {start}, octet {at}");
            check_reported(&world, &journal, &report, &what);
            assert!(lost(&world, &journal).len() <= 1, "{what}: lost more than one message");
        }
    }
}

#[test]
fn damage_is_told_once_and_copied_once() {
    let (world, _) = filled(2);
    let path = only_file(&world);
    world.disk.bend(&path, |octets| octets[HEADER_BYTES + 130] ^= 1);
    let (journal, first) = world.open().expect("opens");
    check_reported(&world, &journal, &first, "first start");
    assert_eq!(first.gaps.len(), 1);
    let gaps = journal.leaves(0, usize::MAX);
    journal.close();
    let (journal, second) = world.open().expect("opens");
    check_reported(&world, &journal, &second, "second start");
    assert_eq!(second.gaps, [], "declared already");
    assert_eq!(journal.leaves(0, usize::MAX), gaps);
}

#[test]
fn a_message_with_a_lost_piece_answers_damaged_and_is_not_sealed() {
    let (world, ids) = filled(3);
    let path = only_file(&world);
    let octets = world.disk.read(&path).expect("read");
    let (start, _) = batches(&octets).into_iter().find(|(_, bytes)| *bytes > 100_000).expect("a batch of pieces");
    world.disk.bend(&path, |octets| octets[start + 50_000..start + 50_000 + 4096].fill(0));
    let (journal, report) = world.open().expect("opens");
    check_reported(&world, &journal, &report, "lost piece");
    assert_eq!(report.damaged_messages, [ids[2]]);
    assert_eq!(lost(&world, &journal), [ids[2]]);
    assert!(matches!(journal.octets(&ids[2]), Err(Error::Damaged(..))));
    let sealable = journal.sealable(journal.durable_leaves());
    assert_eq!(sealable.messages.len(), ids.len() - 1);
    assert!(journal.entry(&ids[2]).is_some_and(|e| e.is_pending()), "its recipients must still hear of it");
}

#[test]
fn a_lost_header_area_is_survived_and_both_lost_are_noticed() {
    let (world, ids) = filled(4);
    let path = only_file(&world);
    world.disk.bend(&path, |octets| octets[..BLOCK_BYTES].fill(0));
    let (journal, report) = world.open().expect("opens");
    assert_eq!((report.damage.len(), journal.entries().len()), (0, ids.len()));
    journal.close();
    world.disk.bend(&path, |octets| {
        let last = octets.len() - HEADER_BYTES;
        octets[last..].fill(0);
    });
    let (journal, report) = world.open().expect("opens");
    assert!(!report.damage.is_empty());
    assert!(!world.disk.exists(&path), "it must not be recycled");
    assert_eq!(journal.entries().len(), 0);
}

#[test]
fn a_removed_or_shortened_file_is_noticed() {
    for shorten in [false, true] {
        let (mut world, _) = filled(5);
        let path = only_file(&world);
        let (journal, _) = world.open().expect("opens");
        let submitted = world.submit(&journal, 10).expect("submitted");
        let newer = world.wait(&journal, submitted).expect("accepted");
        journal.close();
        if shorten {
            world.disk.bend(&path, |octets| octets.truncate(HEADER_BYTES + BLOCK_BYTES));
        } else {
            world.disk.forget(&path);
        }
        let (journal, report) = world.open().expect("opens");
        assert!(!report.damage.is_empty() && has_gap(&journal), "shortened: {shorten}");
        assert!(journal.octets(&newer).is_ok(), "newer mail is untouched");
    }
}

/// Rot of any kind and any extent: opening neither panics nor hangs, nothing untrue comes back, and what is missing is reported.
#[test]
fn whatever_rots_nothing_untrue_comes_back() {
    let (pristine, _) = filled(6);
    let path = only_file(&pristine);
    let batches_end = batches(&pristine.disk.read(&path).expect("read")).last().map_or(0, |(at, _)| *at);
    for seed in 0..150 {
        let mut random = Random(seed);
        let world = pristine.fork();
        world.disk.bend(&path, |octets| {
            for _ in 0..=random.below(3) {
                let at = usize::try_from(random.below(batches_end as u64)).expect("small");
                let extent = 1 << random.below(14);
                let value = u8::try_from(random.below(256)).expect("an octet");
                octets[at..(at + extent).min(batches_end)].fill(value);
            }
        });
        let (journal, report) = world.open().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for entry in journal.entries() {
            let body = journal.octets(&entry.accept.id);
            let damaged = report.damaged_messages.contains(&entry.accept.id);
            assert!(damaged || body.as_ref() == Ok(&world.known[&entry.accept.id].body), "seed {seed}");
        }
        assert!(lost(&world, &journal).is_empty() || !report.damage.is_empty(), "seed {seed}: lost without a word");
    }
}

#[test]
fn leaves_that_belong_together_come_back_together_or_not_at_all() {
    let mut pristine = World::new(6);
    pristine.spares = 0;
    let (journal, _) = pristine.open().expect("opens");
    let small = pristine.submit(&journal, 10).expect("submitted");
    pristine.wait(&journal, small).expect("accepted");
    let leaves: Vec<Leaf> = (0..5).map(|n| Leaf::new(LeafKind::Seal, vec![n; 5000]).expect("short")).collect();
    let (sender, receiver) = mpsc::channel();
    journal.append_leaves(&leaves, Box::new(move |result| sender.send(result).expect("sent")));
    let first = receiver.recv().expect("an answer").expect("durable");
    journal.close();
    let path = only_file(&pristine);
    let file = pristine.disk.read(&path).expect("read");
    let (start, bytes) = batches(&file).into_iter().find(|(_, bytes)| *bytes > 25_000).expect("the batch of the group");
    let come_back = |at: usize| {
        let world = pristine.fork();
        world.disk.bend(&path, |octets| octets[start + at] ^= 1);
        let (journal, report) = world.open().expect("opens");
        check_reported(&world, &journal, &report, &format!("octet {at}"));
        assert_eq!(lost(&world, &journal), []);
        let found = journal.leaves(first, usize::MAX);
        found.iter().filter(|leaf| leaves.iter().any(|one| one.octets()[..] == leaf.octets[..])).count()
    };
    // In the batch's head nothing of the frame is hit; in its padding neither.
    let counts: Vec<usize> = (0..bytes).step_by(997).map(come_back).collect();
    assert!(counts.iter().all(|count| [0, 5].contains(count)), "{counts:?}");
    assert!(counts.contains(&0) && counts.contains(&5), "{counts:?}");
}
