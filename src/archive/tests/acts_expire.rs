//! Expiry: whole buckets go when they begin, but what is held, queued or not yet seen; and minimums against orders.

use super::super::acts::*;
use super::super::*;
use super::acts::{ONE, world};
use super::disk::{Faults, Random};
use super::world::{World, kept, message, start};
use crate::clock::Clock;
use crate::mail::MailId;
use crate::mail::Retention;
use std::collections::BTreeSet;
use std::sync::Arc;

const ALL: ExpireTerms<'static> = ExpireTerms { class: None, before: None, messages_max: 10_000, run: Run::Real };

/// A message that is delivered, in this class.
fn delivered(world: &World, n: usize, retention: Retention) -> MailId {
    let id = world.accept_in(&message(n), retention);
    (0..2).for_each(|recipient| world.deliver(id, recipient));
    id
}

fn day(world: &World, day: i64) {
    let to = start().plus_s(day * 86_400).s() - world.clock.now().s();
    world.clock.advance_s(to);
}

fn expire(world: &World, terms: &ExpireTerms<'_>) -> Expired {
    world.archive.expire(&world.tools(), terms).expect("expired")
}

#[test]
fn a_bucket_goes_when_it_begins_and_takes_its_data_object_along() {
    let (_, world) = world();
    let short = delivered(&world, 1, kept("short", 10));
    let (long, forever) = (delivered(&world, 2, kept("long", 400)), delivered(&world, 3, Retention::forever()));
    world.seal();
    assert_eq!(expire(&world, &ALL), Expired::default(), "nothing is due");
    // Kept until the middle of December: the bucket begins with January.
    day(&world, 31);
    assert_eq!(expire(&world, &ALL).messages, 0, "the last day of December");
    day(&world, 32);
    let dry = expire(&world, &ExpireTerms { run: Run::Dry, ..ALL });
    assert_eq!((dry.act, dry.messages, dry.slots), (None, 1, 1));
    for (class, before, due) in [("long", None, 0), ("short", Some(2025 * 12), 0), ("short", Some(2025 * 12 + 1), 1)] {
        let terms = ExpireTerms { class: Some(class), before, run: Run::Dry, ..ALL };
        assert_eq!(expire(&world, &terms).messages, due, "{class} {before:?}");
    }
    let few = ExpireTerms { messages_max: 0, ..ALL };
    let refused = world.archive.expire(&world.tools(), &few).expect_err("over the limit");
    assert!(refused.to_string().contains("more than the limit of 0"));
    let (segment, _) = world.unlock().find(&short).expect("looked").expect("found");
    let done = expire(&world, &ALL);
    assert_eq!((done.messages, done.segments.len(), done.segments[0].class.as_str()), (1, 1, "short"));
    assert!(!world.disk.exists(&world.archive.inner.layout.data(&segment.seal.segment)));
    assert_eq!(expire(&world, &ALL), Expired::default(), "once");
    let world = world.reopen();
    assert!(matches!(world.octets_of(&short), Err(Error::Erased)));
    assert!([long, forever].iter().all(|id| world.octets_of(id).is_ok()));
    let report = world.assert_whole(&world.unlock());
    assert_eq!((report.expired, report.erased, report.covered), (1, 0, 3));
}

#[test]
fn e3_what_is_held_is_spared_and_goes_once_it_is_released() {
    let (_, world) = world();
    let ids: Vec<_> = (0..3).map(|n| delivered(&world, n, kept("short", 10))).collect();
    world.seal();
    world.hold("case", &ids[1..2]).expect("held");
    day(&world, 32);
    let done = expire(&world, &ALL);
    assert_eq!((done.messages, done.segments[0].held), (2, 1));
    assert_eq!(ids.iter().map(|id| world.octets_of(id).is_ok()).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(world.assert_whole(&world.unlock()).expired, 2);
    world.archive.release(&world.tools(), "case", "over").expect("released");
    assert_eq!(expire(&world, &ALL).messages, 1);
    assert!(world.octets_of(&ids[1]).is_err());
    assert_eq!(world.assert_whole(&world.unlock()).expired, 3);
}

#[test]
fn what_is_queued_is_spared_and_later_results_of_the_held_too() {
    let (_, world) = world();
    let [queued, held] = [1, 2].map(|n| world.accept_in(&message(n), kept("short", 10)));
    world.seal();
    world.hold("case", &[held]).expect("held");
    (0..2).for_each(|recipient| world.deliver(held, recipient));
    world.deliver(queued, 0);
    world.seal();
    day(&world, 32);
    let dry = expire(&world, &ExpireTerms { run: Run::Dry, ..ALL });
    assert_eq!((dry.messages, dry.slots), (0, 0), "{dry:?}");
    assert_eq!(dry.segments.iter().map(|one| (one.held, one.queued)).collect::<Vec<_>>(), [(1, 1), (0, 0)]);
    world.deliver(queued, 1);
    let done = expire(&world, &ALL);
    assert_eq!((done.messages, done.slots), (1, 3), "its two later results go with it");
    assert!(world.octets_of(&held).is_ok() && world.octets_of(&queued).is_err());
    world.assert_whole(&world.unlock());
}

#[test]
fn e3_a_standing_hold_spares_the_segments_it_has_not_seen() {
    let (_, world) = world();
    let new = NewHold { name: "watch", by: "officer", reason: "r", query: Some("from:a"), seen: None };
    let hold = world.archive.hold(&world.tools(), &new, &BTreeSet::new()).expect("made").hold;
    let id = delivered(&world, 1, kept("short", 10));
    world.seal();
    day(&world, 32);
    let blind = expire(&world, &ALL);
    assert_eq!((blind.messages, blind.blind), (0, vec!["watch".to_owned()]));
    let seen = world.archive.last_segment().expect("a segment").seal_index;
    world.archive.widen(&world.tools(), &hold, &BTreeSet::new(), seen).expect("seen");
    assert_eq!(expire(&world, &ALL).messages, 1);
    assert!(world.octets_of(&id).is_err());
}

#[test]
fn no_order_erases_inside_a_minimum() {
    let (_, world) = world();
    let protected_until = Some(start().plus_s(10 * 86_400));
    let id = delivered(&world, 1, Retention { protected_until, ..kept("tax", 400) });
    world.seal();
    for (at, is_taken) in [(31, false), (32, true)] {
        day(&world, at);
        let erased = world.archive.erase(&world.tools(), &world.signed(&[id], &[0]), &ONE);
        assert_eq!(erased.is_ok(), is_taken, "day {at}: {erased:?}");
        assert!(is_taken || erased.expect_err("refused").to_string().contains("kept by law until 2025-01"));
    }
    world.assert_whole(&world.unlock());
}

#[test]
fn verify_names_an_expiry_before_its_time() {
    let (_, world) = world();
    let id = delivered(&world, 1, kept("short", 10));
    world.seal();
    let (segment, _) = world.unlock().find(&id).expect("looked").expect("found");
    let slots = Slots::of([(segment.seal.segment, Ranges::of([0]))].into());
    let act = Act::Expire(leaves::Expire { previous: world.archive.last_act(), part: 0, at: world.clock.now(), slots });
    {
        let _pass = open::lock(&world.archive.inner.pass);
        world.archive.append_acts(&world.journal, &[act]).expect("appended");
        world.archive.bury(None).expect("buried");
    }
    let report = world.verify(None);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert!(report.findings[0].detail.contains("before their time"));
}

#[test]
fn power_lost_at_every_step_of_an_expiry() {
    let (disk, world) = world();
    let ids: Vec<_> = (0..3).map(|n| delivered(&world, n, kept(["a", "b", "a"][n], 10))).collect();
    world.seal();
    world.hold("case", &ids[2..]).expect("held");
    day(&world, 32);
    let World { root, clock, journal, .. } = world;
    journal.close();
    let start = || {
        let disk = disk.fork();
        (disk.clone(), World::resume(Arc::new(disk), root.clone(), Arc::clone(&clock)))
    };
    let total = {
        let (disk, world) = start();
        let before = disk.operations();
        expire(&world, &ALL);
        disk.operations() - before
    };
    let mut decided = 0;
    for step in 1..=total + 1 {
        let (disk, world) = start();
        disk.set(Faults { power_off_at: Some(disk.operations() + step), ..Faults::default() });
        let done = world.archive.expire(&world.tools(), &ALL);
        let World { disk: shared, root, clock, journal, archive } = world;
        journal.close();
        drop(archive);
        disk.crash(&mut Random(step));
        let world = World::resume(shared, root, clock);
        world.archive.reconcile(&world.journal).expect("reconciled");
        let unlocked = world.unlock();
        let left = |id: &MailId| {
            let found = unlocked.find(id).expect("looked");
            found.is_some_and(|(segment, slot)| unlocked.octets(&segment, slot).is_ok())
        };
        let left: Vec<bool> = ids.iter().map(left).collect();
        assert!(left[2] && left[0] == left[1], "step {step}: {left:?}");
        assert!(done.is_err() || !left[0], "step {step}: told to be done, and is not");
        assert_eq!(world.assert_whole(&unlocked).expired, if left[0] { 0 } else { 2 }, "step {step}");
        decided += u64::from(!left[0]);
    }
    assert!(total > 40 && decided > 10 && decided < total, "both were met: {decided} of {total}");
}
