//! S4 and S5: without the officers' secret nothing opens what is sealed and let go, and a unit opens under one key only.

use super::super::unit::{Part, Place};
use super::world::{RECIPIENTS, World};
use crate::clock::Clock;
use crate::crypto::hpke;
use crate::durable::Disk;
use crate::journal;
use crate::journal::{Outcome, RecipientResult};
use std::collections::BTreeMap;

/// A store in which everything is delivered and sealed, and no journal file is needed any more.
fn let_go(seed: u64) -> World {
    let mut world = World::new(seed);
    let store = world.open().expect("opens");
    while world.known.len() < 5 {
        world.step(&store).expect("no faults");
    }
    world.note_keys(&store);
    for id in store.journal.pending_ids() {
        for recipient in 0..RECIPIENTS {
            let outcome = Outcome::Delivered { reply: "250 ok".into() };
            let result = RecipientResult { recipient, at: world.clock.now(), next_hop: "hop".into(), outcome };
            store.journal.record_results(id, vec![result], journal::Sync::Lazy, None).expect("recorded");
        }
    }
    world.close(store);
    // The file of a process is let go by a later one.
    for _ in 0..2 {
        let store = world.open().expect("opens");
        world.seal(&store).expect("sealed");
        world.close(store);
    }
    world
}

#[test]
fn the_gateways_own_files_and_keys_open_nothing_that_is_sealed_and_let_go() {
    for seed in 0..20 {
        let mut world = let_go(seed);
        // The host key replays the journal, as a thief of host and key would.
        let store = world.open().expect("opens");
        assert!(store.journal.entries().is_empty(), "seed {seed}: the journal still knows of mail");
        assert!(!world.keys.is_empty());
        world.check_image().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let (other, _) = hpke::generate().expect("a pair");
        let thief = store.archive.unlock_by_key(&other);
        let segments = store.archive.segments().expect("segments");
        assert!(!segments.is_empty() && segments.iter().all(|segment| thief.directory(segment).is_err()));
        let host = hpke::PrivateKey::new(super::super::tests::world::host_key());
        let host = store.archive.unlock_by_key(&host);
        assert!(segments.iter().all(|segment| host.directory(segment).is_err()));
        // Which shows only that keys do not fit, unless the right one does.
        assert!(segments.iter().all(|segment| store.unlocked.directory(segment).is_ok()));
    }
}

#[test]
fn a_unit_opens_under_its_own_key_in_its_own_place_only() {
    let mut world = let_go(3);
    let store = world.open().expect("opens");
    let inner = &store.archive.inner;
    let mut units = BTreeMap::new();
    for segment in store.archive.segments().expect("segments") {
        let id = segment.seal.segment;
        let open = store.unlocked.open(&segment).expect("opened");
        let data = world.disk.read(&inner.layout.data(&id)).expect("a data object");
        for (slot, entry) in (0u32..).zip(&open.directory().messages) {
            let at = usize::try_from(entry.offset).expect("small");
            let sealed = data[at..at + usize::try_from(entry.body_stored).expect("small")].to_vec();
            units.insert((id, slot), (open.message_key(slot).expect("a key"), sealed, entry.octets));
        }
    }
    assert!(units.len() > 3);
    for ((segment, slot), (_, sealed, octets)) in &units {
        for (other, (key, _, _)) in &units {
            let place = Place { segment: *segment, slot: *slot };
            let opened = place.open(key, Part::Body, sealed, *octets).is_ok();
            assert_eq!(opened, (*segment, *slot) == *other, "a body under another unit's key");
            let elsewhere = Place { segment: other.0, slot: other.1 };
            let opened = elsewhere.open(&units[&(*segment, *slot)].0, Part::Body, sealed, *octets).is_ok();
            assert_eq!(opened, (*segment, *slot) == *other, "a body in another place");
        }
    }
}
