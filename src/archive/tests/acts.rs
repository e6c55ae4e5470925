//! Acts on sealed mail: invariants E1 to E3, and what verify says of those who break them.

use super::super::acts::*;
use super::super::*;
use super::disk::FakeDisk;
use super::world::{World, message, officers};
use crate::clock::Clock;
use crate::mail::MailId;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub const ONE: EraseTerms = EraseTerms { signatures: 1, messages_max: 1000, run: Run::Real };

pub fn world() -> (FakeDisk, World) {
    let disk = FakeDisk::default();
    (disk.clone(), World::new(Arc::new(disk), Path::new("/gw")))
}

impl World {
    pub fn tools(&self) -> Tools<'_> {
        Tools { journal: &self.journal, clock: self.clock.as_ref() }
    }
    /// A message that is delivered to both recipients and sealed.
    pub fn archived(&self, n: usize) -> MailId {
        let id = self.accept(&message(n));
        (0..2).for_each(|recipient| self.deliver(id, recipient));
        self.seal();
        id
    }
    pub fn named(&self, id: &MailId) -> Named {
        let unlocked = self.unlock();
        let (segment, slot) = unlocked.find(id).expect("looked").expect("found");
        let accept_index = unlocked.directory(&segment).expect("a directory")[slot as usize].accept_index;
        Named { accept_index, id: *id }
    }
    pub fn order_for(&self, ids: &[MailId]) -> Order {
        let messages = ids.iter().map(|id| self.named(id)).collect();
        self.archive.order(messages, "request of a person", self.clock.now()).expect("an order")
    }
    pub fn signed(&self, ids: &[MailId], by: &[usize]) -> SignedOrder {
        let text = self.order_for(ids).text();
        let secret =
            |n: &usize| OfficerSecret { key: officers()[*n].key.expose(), passphrase: &officers()[*n].passphrase };
        let signatures: Vec<_> =
            by.iter().map(|n| sign(&text, &secret(n), self.clock.now()).expect("signed")).collect();
        take(text.as_bytes(), &signatures).expect("taken")
    }
    pub fn erase(&self, ids: &[MailId]) -> Result<Erased, Error> {
        self.archive.erase(&self.tools(), &self.signed(ids, &[0]), &ONE)
    }
    pub fn hold(&self, name: &str, ids: &[MailId]) -> Result<Holding, Error> {
        let accepts = ids.iter().map(|id| self.named(id).accept_index).collect();
        let new = NewHold { name, by: "officer", reason: "a case", query: None, seen: None };
        self.archive.hold(&self.tools(), &new, &accepts)
    }
    pub fn octets_of(&self, id: &MailId) -> Result<Vec<u8>, Error> {
        let unlocked = self.unlock();
        let (segment, slot) = unlocked.find(id)?.ok_or(Error::Erased)?;
        unlocked.octets(&segment, slot)
    }
}

fn refused<T: std::fmt::Debug>(done: Result<T, Error>, expected: &str) {
    let error = done.expect_err(expected).to_string();
    assert!(error.contains(expected), "{expected} in {error}");
}

fn findings(world: &World) -> Vec<String> {
    let report = world.verify(Some(&world.unlock()));
    report.findings.iter().map(|found| format!("{}: {}", found.object, found.detail)).collect()
}

#[test]
fn e1_what_is_erased_opens_no_more_and_all_else_does() {
    let (_, world) = world();
    let ids: Vec<_> = (0..3).map(|n| world.accept(&message(100 + n))).collect();
    world.deliver(ids[1], 0);
    world.seal();
    // A later result makes an event unit, which goes too.
    ids.iter().for_each(|id| world.deliver(*id, 1));
    ids.iter().for_each(|id| world.deliver(*id, 0));
    world.seal();
    let opened_before = world.unlock();
    let (segment, slot) = opened_before.find(&ids[1]).expect("looked").expect("found");
    opened_before.octets(&segment, slot).expect("still there, and its segment stays open");
    let roots: Vec<_> = world.archive.segments().expect("segments").iter().map(|info| info.seal.slot_root).collect();
    let head = world.archive.tree_head();
    let erased = world.erase(&ids[1..2]).expect("erased");
    assert_eq!((erased.messages.len(), erased.slots, erased.already), (1, 2, 0));
    assert!(matches!(opened_before.octets(&segment, slot), Err(Error::Erased)), "not from an open segment either");
    assert!(matches!(opened_before.meta(&segment, slot), Err(Error::Erased)));
    for world in [world.reopen()] {
        assert!(matches!(world.octets_of(&ids[1]), Err(Error::Erased)));
        for n in [0, 2] {
            assert_eq!(world.octets_of(&ids[n]).expect("still there"), message(100 + n));
        }
        let events = world.archive.segments().expect("segments");
        let left = world.unlock().events(&events[1]).expect("read");
        assert!(left.iter().all(|event| event.id != ids[1]) && left.len() == 2);
        let now: Vec<_> = events.iter().map(|info| info.seal.slot_root).collect();
        assert_eq!(now, roots);
        assert!(world.archive.tree_head().size > head.size);
        let report = world.assert_whole(&world.unlock());
        assert_eq!((report.erased, report.expired, report.accepted, report.covered), (1, 0, 3, 3));
        // Both copies, on the disk.
        for path in world.archive.inner.layout.keys(&segment.seal.segment) {
            let keys = key_object::KeyObject::parse(&world.disk.read(&path).expect("read")).expect("whole");
            let tomb = |slot: &key_object::Slot| matches!(slot, key_object::Slot::Tomb { leaf, .. } if Some(*leaf) == erased.act);
            assert_eq!(keys.slots.iter().map(tomb).collect::<Vec<_>>(), [false, true, false]);
            assert_eq!(keys.object_generation, 2);
        }
        let again = world.archive.erase(&world.tools(), &world.signed(&ids[..1], &[0]), &ONE).expect("the other");
        assert_eq!((again.slots, again.already), (2, 0));
    }
}

#[test]
fn an_order_carried_out_twice_does_nothing_more() {
    let (_, world) = world();
    let id = world.archived(10);
    let signed = world.signed(&[id], &[0]);
    assert!(world.archive.erase(&world.tools(), &signed, &ONE).expect("erased").act.is_some());
    let size = world.archive.log_size();
    let again = world.archive.erase(&world.tools(), &signed, &ONE).expect("nothing to do");
    assert_eq!((again.act, again.already, again.messages.len()), (None, 1, 0));
    assert_eq!(world.archive.log_size(), size);
}

#[test]
fn a_dry_run_changes_nothing() {
    let (_, world) = world();
    let id = world.archived(10);
    let dry = EraseTerms { run: Run::Dry, ..ONE };
    let size = world.archive.log_size();
    let told = world.archive.erase(&world.tools(), &world.signed(&[id], &[0]), &dry).expect("told");
    assert_eq!((told.act, told.messages.len()), (None, 1));
    assert_eq!(world.archive.log_size(), size);
    world.octets_of(&id).expect("still there");
}

#[test]
fn e2_orders_need_signatures_of_officers_that_stand() {
    let (_, world) = world();
    let id = world.archived(10);
    let tools = world.tools();
    let erase = |signed: &SignedOrder| world.archive.erase(&tools, signed, &ONE);
    refused(erase(&world.signed(&[id], &[])), "0 of the 1 officers");
    // The archive of this world has officer 0 alone.
    refused(erase(&world.signed(&[id], &[1])), "nobody who is an officer");
    let two = EraseTerms { signatures: 2, ..ONE };
    refused(world.archive.erase(&tools, &world.signed(&[id], &[0, 0]), &two), "1 of the 2 officers");
    let mut bent = world.signed(&[id], &[0]);
    bent.text = bent.text.replace("a person", "b person");
    refused(erase(&bent), "0 of the 1 officers");
    let mut elsewhere = world.order_for(&[id]);
    elsewhere.archive = ArchiveId::from_octets([9; 16]);
    refused(erase(&take(elsewhere.text().as_bytes(), &[]).expect("taken")), "for archive 0909");
    let old = world.signed(&[id], &[0]);
    for (days, is_taken) in [(31, false), (-1, true), (0, true)] {
        world.clock.advance_s(days * 86_400);
        let dry = EraseTerms { run: Run::Dry, ..ONE };
        assert_eq!(world.archive.erase(&tools, &old, &dry).is_ok(), is_taken, "{days} days more");
    }
    world.clock.advance_s(-30 * 86_400);
    let few = EraseTerms { messages_max: 0, ..ONE };
    refused(world.archive.erase(&tools, &world.signed(&[id], &[0]), &few), "more than the limit of 0");
    let mut unknown = world.order_for(&[id]);
    unknown.messages[0].accept_index += 1000;
    let text = unknown.text();
    let secret = OfficerSecret { key: officers()[0].key.expose(), passphrase: &officers()[0].passphrase };
    let signature = sign(&text, &secret, world.clock.now()).expect("signed");
    refused(erase(&take(text.as_bytes(), &[signature]).expect("taken")), "no sealed message");
    assert!(world.archive.acts().expect("acts").acts().is_empty(), "nothing of all that is in the log");
    world.octets_of(&id).expect("still there");
}

#[test]
fn mail_in_the_queue_is_not_erased_and_fresh_mail_is_sealed_first() {
    let (_, world) = world();
    let id = world.accept(&message(10));
    world.deliver(id, 0);
    world.seal();
    refused(world.erase(&[id]), "still in the delivery queue");
    world.deliver(id, 1);
    // The result is not sealed yet: the act seals it and takes it along.
    let erased = world.erase(&[id]).expect("erased");
    assert_eq!(erased.slots, 2);
    assert_eq!(findings(&world), [""; 0]);
}

#[test]
fn e3_what_is_held_cannot_go_until_every_hold_is_released() {
    let (_, world) = world();
    let (id, other) = (world.archived(10), world.archived(11));
    world.hold("case-1", &[id]).expect("held");
    world.hold("case-2", &[id]).expect("held");
    assert_eq!(world.hold("case-1", &[id, other]).expect("widened").messages, 1);
    refused(world.erase(&[id, other]), "held by case-1, case-2");
    let world = world.reopen();
    refused(world.erase(&[id]), "held by case-1, case-2");
    world.archive.release(&world.tools(), "case-2", "over").expect("released");
    refused(world.erase(&[id]), "held by case-1");
    refused(world.archive.release(&world.tools(), "case-2", "over"), "no hold case-2");
    world.archive.release(&world.tools(), "case-1", "over").expect("released");
    world.erase(&[id]).expect("erased");
    refused(world.hold("case-3", &[]), "nothing to hold");
    let accepts = BTreeSet::from([world.archive.decided().expect("read")[0].act - 1]);
    let new = NewHold { name: "case-3", by: "officer", reason: "r", query: None, seen: None };
    assert!(world.archive.hold(&world.tools(), &new, &accepts).is_err());
    let info = world.archive.holds().expect("holds");
    assert_eq!(info.len(), 2);
    assert!(info.iter().all(|hold| hold.released.is_some()));
    assert_eq!(findings(&world), [""; 0]);
}

#[test]
fn a_held_messages_later_results_are_held_too() {
    let (_, world) = world();
    let id = world.accept(&message(10));
    world.seal();
    world.hold("case", &[id]).expect("held");
    world.deliver(id, 0);
    world.deliver(id, 1);
    world.seal();
    refused(world.erase(&[id]), "held by case");
}

#[test]
fn e3_a_standing_hold_protects_what_it_has_not_seen() {
    let (_, world) = world();
    let id = world.archived(10);
    let seen = world.archive.last_segment().map(|info| info.seal_index);
    let new = NewHold { name: "watch", by: "officer", reason: "r", query: Some("from:a"), seen };
    let made = world.archive.hold(&world.tools(), &new, &BTreeSet::new()).expect("made");
    let file = world.archive.hold_file(&made.hold).expect("its file");
    assert!(!String::from_utf8_lossy(&file.encode()).contains("from:a"), "the query is for officers");
    let query = world.unlock().open_secret(
        QUERY_INFO,
        &HoldFile::query_aad(&world.archive.id(), &made.hold),
        &file.query.expect("a query"),
    );
    assert_eq!(query.expect("opened"), b"from:a");
    let (later, last) = (world.archived(11), world.archived(12));
    refused(world.erase(&[later]), "standing hold watch has not been compared");
    let segments = world.archive.segments().expect("segments");
    let accepts = BTreeSet::from([world.named(&last).accept_index]);
    world.archive.widen(&world.tools(), &made.hold, &accepts, segments[2].seal_index).expect("widened");
    refused(world.erase(&[last]), "held by watch");
    let world = world.reopen();
    world.erase(&[later]).expect("seen, and not what it is about");
    world.erase(&[id]).expect("seen when it was made");
    assert_eq!(findings(&world), [""; 0]);
}

#[test]
fn e3_hold_and_erase_at_the_same_time() {
    for round in 0..12 {
        let (_, world) = world();
        let id = world.archived(10);
        let signed = world.signed(&[id], &[0]);
        let accepts = BTreeSet::from([world.named(&id).accept_index]);
        let new = NewHold { name: "case", by: "officer", reason: "r", query: None, seen: None };
        let (held, erased) = std::thread::scope(|scope| {
            let hold = scope.spawn(|| {
                (0..round % 4).for_each(|_| std::thread::yield_now());
                world.archive.hold(&world.tools(), &new, &accepts)
            });
            let erase = scope.spawn(|| world.archive.erase(&world.tools(), &signed, &ONE));
            (hold.join().expect("no panic"), erase.join().expect("no panic"))
        });
        assert_ne!(held.is_ok(), erased.is_ok(), "one of them: {held:?} {erased:?}");
        assert_eq!(world.octets_of(&id).is_ok(), held.is_ok());
        assert_eq!(findings(&world), [""; 0]);
    }
}

#[test]
fn a_wholly_dead_segments_data_object_is_removed_and_not_missed() {
    let (_, world) = world();
    let (id, other) = (world.archived(10), world.archived(11));
    let (segment, _) = world.unlock().find(&id).expect("looked").expect("found");
    world.erase(&[id]).expect("erased");
    let data = world.archive.inner.layout.data(&segment.seal.segment);
    assert!(!world.disk.exists(&data));
    let world = world.reopen();
    world.archived(12);
    assert_eq!(findings(&world), [""; 0]);
    world.octets_of(&other).expect("still there");
    // Where it is missing without being dead, it is missed.
    let (segment, _) = world.unlock().find(&other).expect("looked").expect("found");
    world.disk.remove(&world.archive.inner.layout.data(&segment.seal.segment)).expect("removed");
    assert!(findings(&world).iter().any(|found| found.contains(".data")));
}

#[test]
fn a_restored_key_object_is_named_and_brought_up_at_the_next_opening() {
    let (disk, world) = world();
    let (id, _other) = (world.archived(10), world.accept(&message(11)));
    world.deliver(_other, 0);
    let path = {
        let (segment, _) = world.unlock().find(&id).expect("looked").expect("found");
        world.archive.inner.layout.keys(&segment.seal.segment)
    };
    let before = world.disk.read(&path[1]).expect("read");
    world.erase(&[id]).expect("erased");
    disk.bend(&path[1], |octets| octets.clone_from(&before));
    let found = findings(&world);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|found| found.starts_with("key-copies/")), "{found:?}");
    assert!(found[0].contains("still have their key") && found[1].contains("newer"), "{found:?}");
    let world = world.reopen();
    world.archive.reconcile(&world.journal).expect("reconciled");
    assert_eq!(findings(&world), [""; 0]);
    assert!(matches!(world.octets_of(&id), Err(Error::Erased)));
}

#[test]
fn verify_names_tombs_without_a_leaf_and_orders_that_changed() {
    let (disk, world) = world();
    let (id, other) = (world.archived(10), world.archived(11));
    let erased = world.erase(&[id]).expect("erased");
    world.hold("case", &[other]).expect("held");
    let (segment, _) = world.unlock().find(&other).expect("looked").expect("found");
    let paths = world.archive.inner.layout.keys(&segment.seal.segment);
    let whole = world.disk.read(&paths[0]).expect("read");
    let mut keys = key_object::KeyObject::parse(&whole).expect("whole");
    keys.slots[0] = key_object::Slot::Tomb { leaf: erased.act.expect("an act"), hash: keys.slots[0].hash() };
    keys.object_generation = 2;
    for path in &paths {
        disk.bend(path, |octets| *octets = keys.encode());
    }
    let found = findings(&world);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|found| found.contains("that no such leaf ordered")), "{found:?}");
    for path in &paths {
        disk.bend(path, |octets| octets.clone_from(&whole));
    }
    let order = world.archive.inner.layout.order(&erased.order);
    disk.bend(&order, |octets| octets[40] ^= 1);
    assert!(findings(&world)[0].contains("log/orders/"));
    disk.bend(&order, |octets| octets[40] ^= 1);
    let hold = world.archive.holds().expect("holds")[0].hold;
    disk.bend(&world.archive.inner.layout.hold(&hold), |octets| octets[40] ^= 1);
    assert!(findings(&world)[0].contains("holds/"));
}

#[test]
fn verify_names_acts_that_break_a_hold_or_do_not_follow_an_order() {
    let (_, world) = world();
    let (id, other) = (world.archived(10), world.archived(11));
    let erased = world.erase(&[id]).expect("erased");
    world.hold("case", &[other]).expect("held");
    let (segment, _) = world.unlock().find(&other).expect("looked").expect("found");
    // What a gateway that does not keep the rules would write.
    let slots = Slots::of([(segment.seal.segment, Ranges::of([0]))].into());
    let (previous, order, at) = (world.archive.last_act(), erased.order, world.clock.now());
    let act = Act::Erase(leaves::Erase { previous, part: 0, order, at, slots });
    {
        let _pass = open::lock(&world.archive.inner.pass);
        world.archive.append_acts(&world.journal, &[act]).expect("appended");
        world.archive.bury(None).expect("buried");
    }
    let found = findings(&world);
    assert!(found.iter().any(|found| found.contains("takes what hold")), "{found:?}");
    assert!(found.iter().any(|found| found.contains("which it does not name")), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn receipts_are_written_once_everything_followed() {
    let (_, world) = world();
    let id = world.archived(10);
    let erased = world.erase(&[id]).expect("erased");
    let pending = world.archive.unreceipted().expect("read");
    assert_eq!(pending.iter().map(|one| Some(one.act)).collect::<Vec<_>>(), [erased.act]);
    let followup = Followup { completed: world.clock.now(), journal_files: 1, key_backup_days: 30 };
    let receipt = world.archive.write_receipt(&pending[0], &followup).expect("written");
    assert_eq!(receipt["messages"][0]["id"], id.to_string());
    assert_eq!(receipt["key_backups_until"], world.clock.now().plus_s(30 * 86_400).rfc3339());
    assert_eq!(receipt["signers"][0], officers()[0].certificate.fingerprint());
    assert_eq!(receipt["segments"][0]["data_removed"], true);
    let world = world.reopen();
    assert_eq!(world.archive.receipt(pending[0].act).expect("read"), Some(receipt));
    assert_eq!(world.archive.unreceipted().expect("read"), []);
}
