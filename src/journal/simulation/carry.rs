//! Carrying: what waits for long lets its file go, keeps no message key, and survives any crash in between.

use super::super::carried::Carried;
use super::super::file::JournalFile;
use super::super::fixtures;
use super::super::replay::{Standing, replay};
use super::super::settings;
use super::super::{AcceptDraft, Error, Journal, Outcome, RecipientResult, RecipientState, RenditionDraft, Sync};
use super::disk::{Faults, Random, Syncs};
use super::world::{DIR, World, accept_draft, live_files, wait_until};
use crate::clock::Timestamp;
use crate::durable::Disk;
use crate::mail::MailId;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

fn record(journal: &Journal, id: MailId, recipient: u32, outcome: Outcome) {
    let (sender, receiver) = mpsc::channel();
    let result = RecipientResult { recipient, at: Timestamp::from_s(8), next_hop: "hop".into(), outcome };
    journal.record_results(id, vec![result], Sync::Now, Some(Box::new(move |r| drop(sender.send(r))))).expect("queued");
    receiver.recv().expect("an answer comes").expect("recorded");
}

fn submit(world: &mut World, journal: &Journal, bytes: usize) -> MailId {
    let submitted = world.submit(journal, bytes).expect("submitted");
    world.wait(journal, submitted).expect("accepted")
}

/// A journal whose former file holds a few pending messages, sealed but for the leaf that the next pass takes.
fn with_old_file(seed: u64) -> (World, Vec<MailId>) {
    let mut world = World::new(seed);
    let (journal, _) = world.open().expect("opens");
    let ids = [10, 3000, 60_000, 500].map(|bytes| submit(&mut world, &journal, bytes)).to_vec();
    record(&journal, ids[0], 0, Outcome::Deferred { reply: "451 later".into(), next_at: Timestamp::from_s(99) });
    record(&journal, ids[1], 0, Outcome::Parked { reason: "poison".into(), until: None });
    world.seal(&journal).expect("sealed");
    journal.close();
    (world, ids)
}

fn is_carried(journal: &Journal, id: &MailId) -> bool {
    journal.held(id).is_some_and(|held| held.mek().is_none())
}

#[test]
fn pending_mail_is_carried_out_of_an_old_file() {
    let (mut world, ids) = with_old_file(2);
    let old = live_files(&world);
    let (journal, report) = world.open().expect("opens");
    assert_eq!(report.damage, [""; 0]);
    let before: Vec<_> = ids.iter().map(|id| journal.entry(id).expect("there").states).collect();
    world.seal(&journal).expect("sealed");
    wait_until("the old file goes", || live_files(&world).iter().all(|path| !old.contains(path)));
    assert!(ids.iter().all(|id| is_carried(&journal, id)));
    for reopened in [false, true, true] {
        let (journal, report) =
            if reopened { world.open().expect("opens") } else { (journal.clone(), Default::default()) };
        world.check(&journal, &report).expect("nothing is lost");
        let now: Vec<_> = ids.iter().map(|id| journal.entry(id).expect("there").states).collect();
        assert_eq!(now, before, "attempts, times and reasons stay");
        assert_eq!(journal.pending().len(), ids.len());
    }
}

/// The blinds that were carried make the leaf that the message key would have made.
#[test]
fn a_result_after_the_carry_has_its_leaf_and_its_ordinal() {
    let (mut world, ids) = with_old_file(4);
    let (journal, _) = world.open().expect("opens");
    let key = journal.held(&ids[3]).expect("there").mek().expect("a key").clone();
    world.seal(&journal).expect("sealed");
    wait_until("carried", || is_carried(&journal, &ids[3]));
    journal.close();
    let (journal, _) = world.open().expect("opens");
    record(&journal, ids[3], 0, Outcome::Failed { status: "5.1.1".into(), reply: "550 no".into() });
    let entry = journal.entry(&ids[3]).expect("there");
    let (leaf, result) = entry.results.last().expect("a result");
    let expected = super::super::Leaf::result(&key, entry.accept_index, 0, &super::super::encode(result));
    assert_eq!(journal.leaves(*leaf, 1)[0].octets[..], expected.octets());
    let late = journal.sealable(journal.durable_leaves()).results;
    assert_eq!(late.iter().map(|late| (late.id, late.ordinal)).collect::<Vec<_>>(), [(ids[3], 0)]);
    journal.close();
    let (journal, report) = world.open().expect("opens");
    assert_eq!(journal.leaves(*leaf, 1)[0].octets[..], expected.octets());
    world.check(&journal, &report).expect("the log is whole");
}

#[test]
fn received_octets_come_along_only_where_somebody_needs_them() {
    let mut world = World::new(0);
    let (journal, _) = world.open().expect("opens");
    let ids: Vec<_> = (0..12).map(|_| submit(&mut world, &journal, 700)).collect();
    // Of a message with two renditions only the first stays open: the other one is the original.
    for id in &ids {
        for recipient in 1..u32::try_from(journal.entry(id).expect("there").states.len()).expect("few") {
            record(&journal, *id, recipient, Outcome::Delivered { reply: "250 ok".into() });
        }
    }
    world.seal(&journal).expect("sealed");
    journal.close();
    let (journal, _) = world.open().expect("opens");
    world.seal(&journal).expect("sealed");
    wait_until("carried", || ids.iter().all(|id| is_carried(&journal, id)));
    let kept = ids.iter().filter(|id| journal.octets(id).is_ok()).count();
    assert!(0 < kept && kept < ids.len(), "{kept}: those whose open rendition is the original");
    let (journal, report) = {
        drop(journal);
        world.open().expect("opens")
    };
    assert_eq!(ids.iter().filter(|id| journal.octets(id).is_ok()).count(), kept);
    world.check(&journal, &report).expect("nothing is lost");
}

/// A file stays while more than a quarter of it is needed, and while something in it is not sealed.
#[test]
fn a_file_that_is_still_needed_is_not_carried_from() {
    for (bytes, seals) in [(90_000, 2), (10, 0)] {
        let mut world = World::new(8);
        let (journal, _) = world.open().expect("opens");
        let ids: Vec<_> = (0..3).map(|_| submit(&mut world, &journal, bytes)).collect();
        journal.close();
        let old = live_files(&world);
        let (journal, _) = world.open().expect("opens");
        submit(&mut world, &journal, 10);
        for _ in 0..seals {
            world.seal(&journal).expect("sealed");
        }
        journal.close();
        assert!(live_files(&world).iter().any(|path| old.contains(path)), "{bytes} {seals}");
        let (journal, _) = world.open().expect("opens");
        assert!(ids.iter().all(|id| !is_carried(&journal, id)));
    }
}

/// Mail that was carried, and the homes it had before.
struct CarriedOut {
    world: World,
    ids: Vec<MailId>,
    journal: Journal,
    former: Vec<Arc<JournalFile>>,
}

fn carried_out() -> CarriedOut {
    let (mut world, ids) = with_old_file(2);
    let (journal, _) = world.open().expect("opens");
    let former = ids.iter().map(|id| journal.home_of(id).expect("there")).collect();
    world.seal(&journal).expect("sealed");
    wait_until("carried", || ids.iter().all(|id| is_carried(&journal, id)));
    CarriedOut { world, ids, journal, former }
}

/// Somebody still reads a file whose mail was carried and has ended meanwhile: as long as it stays, so does what came later, or a
/// replay would deliver again.
#[test]
fn a_former_home_that_stays_keeps_what_came_later() {
    let CarriedOut { mut world, journal, former: reading, .. } = carried_out();
    let finish = |world: &mut World| {
        for entry in journal.pending() {
            for recipient in 0..u32::try_from(entry.states.len()).expect("few") {
                record(&journal, entry.accept.id, recipient, Outcome::Delivered { reply: "250 ok".into() });
            }
        }
        world.seal(&journal).expect("sealed");
    };
    finish(&mut world);
    let then = live_files(&world);
    // Files come and go, until those with the CARRYs and the results would be free.
    for _ in 0..6 {
        submit(&mut world, &journal, 600_000);
        finish(&mut world);
    }
    wait_until("other files go", || live_files(&world).len() < then.len() + 6);
    drop((journal, reading));
    let (journal, report) = world.open().expect("opens");
    assert_eq!(report.damage, [""; 0]);
    assert_eq!(report.pending, 0, "what had ended does not come back");
    world.check(&journal, &report).expect("nothing is lost");
}

/// The same after a start: the file with the CARRY needs the former home gone first.
#[test]
fn a_replay_knows_former_homes() {
    let CarriedOut { world, ids, journal, former } = carried_out();
    journal.close();
    let standing = Standing { leaves_before: world.log.len() as u64, sealed_through: world.sealed_through };
    let replayed = replay(&world.disk, Path::new(DIR), &settings::test_keys(), standing).expect("replayed");
    for (id, former) in ids.iter().zip(&former) {
        let home = replayed.state.message(id).expect("there").home.ordinal;
        assert_ne!(home, former.ordinal);
        assert!(
            replayed.files[&former.ordinal].homes.iter().all(|other| *other == former.ordinal),
            "nothing before it"
        );
        assert!(replayed.files[&home].homes.contains(&former.ordinal));
    }
}

/// One life that carries, cut at an operation; whether anything was carried when it ended.
fn cut(seed: u64, power_off_at: u64, syncs: Syncs) -> Result<bool, String> {
    let (mut world, ids) = with_old_file(seed);
    let (journal, _) = world.open().map_err(|e| e.to_string())?;
    let power_off_at = Some(world.disk.operations() + power_off_at);
    world.disk.set(Faults { power_off_at, syncs, ..Faults::default() });
    // Whatever fails here was not acknowledged.
    world.seal(&journal).unwrap_or_default();
    world.live(&journal, 3).unwrap_or_default();
    world.seal(&journal).unwrap_or_default();
    std::thread::sleep(Duration::from_millis(10));
    world.crash(Some(journal));
    let (journal, report) = world.open().map_err(|e| e.to_string())?;
    world.check(&journal, &report)?;
    let states = |journal: &Journal| format!("{:?}", journal.entries().iter().map(|e| &e.states).collect::<Vec<_>>());
    let (first, carried) = (states(&journal), ids.iter().any(|id| is_carried(&journal, id)));
    drop(journal);
    let (journal, report) = world.open().map_err(|e| e.to_string())?;
    world.check(&journal, &report)?;
    if states(&journal) == first { Ok(carried) } else { Err("a second replay differs (J3)".to_owned()) }
}

#[test]
fn nothing_is_lost_wherever_a_carry_is_cut() {
    let mut carried = 0;
    for operation in 1..60 {
        for seed in 0..4 {
            let seed = operation * 4 + seed;
            let cut = cut(seed, operation, Syncs::Kept);
            carried += u32::from(cut.unwrap_or_else(|fault| panic!("seed {seed}, operation {operation}: {fault}")));
        }
    }
    assert!(carried > 20, "only {carried} lives carried anything");
}

/// The control: were a header wiped while the CARRY is not durable, this would be seen.
#[test]
fn a_carry_that_is_not_durable_before_the_wipe_is_found_out() {
    assert!((0..60).any(|seed| cut(seed, 1000, Syncs::HeadersOnly).is_err()), "the check sees nothing");
}

/// J8: the disk fills at any point of a carry.
#[test]
fn a_full_disk_stops_a_carry_and_loses_nothing() {
    for room in 0..8u64 {
        let (mut world, _) = with_old_file(room * 2);
        let (journal, _) = world.open().expect("opens");
        let used: u64 = world.disk.list(Path::new(DIR)).expect("names").len() as u64 * (1 << 20);
        world.disk.set(Faults { capacity: Some(used + room * 300_000), ..Faults::default() });
        world.seal(&journal).unwrap_or_default();
        world.seal(&journal).unwrap_or_default();
        world.deliver(&journal).unwrap_or_default();
        world.disk.set(Faults::default());
        drop(journal);
        world.disk.crash(&mut Random(room));
        let (journal, report) = world.open().expect("opens");
        world.check(&journal, &report).unwrap_or_else(|fault| panic!("room {room}: {fault}"));
    }
}

#[test]
fn a_parked_message_stays_parked_with_its_octets() {
    let (mut world, ids) = with_old_file(6);
    for _ in 0..3 {
        let (journal, _) = world.open().expect("opens");
        world.seal(&journal).expect("sealed");
        journal.close();
    }
    let (journal, _) = world.open().expect("opens");
    let entry = journal.entry(&ids[1]).expect("there");
    assert!(matches!(&entry.states[0], RecipientState::Parked { reason, .. } if reason == "poison"));
    assert_eq!(journal.octets(&ids[1]).as_ref(), Ok(&world.known[&ids[1]].body));
    assert_ne!(journal.octets(&ids[0]), Err(Error::Unknown(ids[0])));
}

/// Whatever stands in an authentic record, reading it back neither panics nor makes a message that contradicts itself.
#[test]
fn a_bent_record_is_refused_or_makes_sense() {
    let (mut world, ids) = with_old_file(12);
    let (journal, _) = world.open().expect("opens");
    let submitted = submit(&mut world, &journal, 10);
    let home = journal.home_of(&submitted).expect("there");
    let record = journal.carried(&ids[1]).expect("can be carried");
    let restored = |octets: &[u8]| {
        let carried: Carried = minicbor::decode(octets).ok()?;
        carried.restore(ids[1], Default::default(), &home)
    };
    let whole = restored(&record).expect("reads back");
    assert_eq!(whole.held.states, journal.entry(&ids[1]).expect("there").states);
    let mut random = Random(1);
    for _ in 0..20_000 {
        let mut bent = record.clone();
        for _ in 0..=random.below(2) {
            let at = usize::try_from(random.below(bent.len() as u64)).expect("small");
            match random.below(3) {
                0 => bent.truncate(at.max(1)),
                1 => bent[at] ^= 1 << random.below(8),
                _ => bent[at] = u8::try_from(random.below(256)).expect("an octet"),
            }
        }
        let Some(message) = restored(&bent) else { continue };
        assert_eq!(message.held.id, ids[1]);
        assert_eq!(message.held.states.len(), message.held.accept().envelope.recipients.len());
    }
}

/// A CARRY whose record is too long for a frame: streamed, pinned, and carried again.
#[test]
fn a_long_record_is_carried_as_a_stream() {
    let mut world = World::new(3);
    world.spares = 0;
    let (journal, _) = world.open().expect("opens");
    let (sender, receiver) = mpsc::channel();
    let draft = journal.draft(fixtures::id(77)).expect("a draft");
    let rendition = RenditionDraft { recipients: vec![0], prefix: vec![], content: None };
    let accept = AcceptDraft { ruling: vec![7; 200_000], ..accept_draft(1, vec![rendition]) };
    draft.commit(accept, Box::new(move |r| drop(sender.send(r))));
    let id = receiver.recv().expect("an answer").expect("accepted");
    let before = journal.held(&id).expect("there").accept_octets;
    world.seal(&journal).expect("sealed");
    journal.close();
    for life in 0..4 {
        let (journal, report) = world.open().expect("opens");
        assert_eq!(report.damage, [""; 0], "life {life}");
        let old = live_files(&world);
        world.seal(&journal).expect("sealed");
        world.seal(&journal).expect("sealed");
        wait_until("carried", || {
            is_carried(&journal, &id) && live_files(&world).iter().all(|path| !old.contains(path))
        });
        assert_eq!(journal.held(&id).expect("there").accept_octets, before, "life {life}");
        submit(&mut world, &journal, 600_000);
        while journal.pending().len() > 1 {
            let other = journal.pending().into_iter().find(|e| e.accept.id != id).expect("another").accept.id;
            let recipients = journal.entry(&other).expect("there").states.len();
            for recipient in 0..u32::try_from(recipients).expect("few") {
                record(&journal, other, recipient, Outcome::Delivered { reply: "250 ok".into() });
            }
        }
        world.seal(&journal).expect("sealed");
        journal.close();
    }
}
