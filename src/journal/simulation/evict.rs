//! Eviction: what an erased message may stand in goes, key and all, and nothing that is still needed is lost.

use super::super::Journal;
use super::super::eviction::Evicted;
use super::world::{World, live_files, wait_until};
use crate::durable::Disk;
use crate::mail::MailId;
use std::path::PathBuf;

fn submit(world: &mut World, journal: &Journal, bytes: usize) -> MailId {
    let submitted = world.submit(journal, bytes).expect("submitted");
    world.wait(journal, submitted).expect("accepted")
}

fn octets(world: &World, paths: &[PathBuf]) -> Vec<Vec<u8>> {
    paths.iter().filter_map(|path| world.disk.read(path).ok()).collect()
}

#[test]
fn every_file_that_was_live_goes_with_its_key_and_nothing_pending_is_lost() {
    let mut world = World::new(7);
    let (journal, _) = world.open().expect("opens");
    // Far more than a quarter of the file stays needed.
    let ids = [200_000, 150_000, 90_000].map(|bytes| submit(&mut world, &journal, bytes));
    let old = live_files(&world);
    let headers = octets(&world, &old);
    world.seal(&journal).expect("sealed");
    let eviction = journal.evict().expect("begun");
    assert_eq!(eviction.files, old.len() as u64);
    world.seal(&journal).expect("sealed");
    wait_until("the old files go", || journal.evicted(&eviction) == Ok(Evicted::Done));
    for now in octets(&world, &old) {
        assert!(headers.iter().all(|before| before[..64] != now[..64]), "its header is overwritten");
    }
    assert!(ids.iter().all(|id| journal.entry(id).is_some_and(|entry| entry.is_pending())));
    journal.close();
    let (journal, report) = world.open().expect("opens");
    world.check(&journal, &report).expect("nothing is lost");
    // What came before this start may be in any file that is live now.
    let again = journal.evict().expect("begun");
    world.seal(&journal).expect("sealed");
    wait_until("they go again", || journal.evicted(&again) == Ok(Evicted::Done));
}

#[test]
fn mail_that_is_not_sealed_keeps_its_file() {
    let mut world = World::new(8);
    let (journal, _) = world.open().expect("opens");
    submit(&mut world, &journal, 5000);
    let eviction = journal.evict().expect("begun");
    for _ in 0..20 {
        assert!(matches!(journal.evicted(&eviction), Ok(Evicted::Not(_))), "not sealed");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    world.seal(&journal).expect("sealed");
    wait_until("the old file goes", || journal.evicted(&eviction) == Ok(Evicted::Done));
}

#[test]
fn a_quarantined_copy_with_its_key_is_in_the_way() {
    let mut world = World::new(9);
    let (journal, _) = world.open().expect("opens");
    submit(&mut world, &journal, 5000);
    let copy = world.settings().dir.join("quarantine/00000001-x.journal");
    let file = octets(&world, &live_files(&world)).remove(0);
    world.disk.create_dir(copy.parent().expect("a directory")).expect("made");
    crate::durable::replace(&world.disk, &copy, &file).expect("copied");
    let eviction = journal.evict().expect("begun");
    world.seal(&journal).expect("sealed");
    let why = |evicted| if let Ok(Evicted::Not(why)) = evicted { why } else { String::new() };
    wait_until("the copy is named", || why(journal.evicted(&eviction)).contains("quarantine"));
    world.disk.remove(&copy).expect("removed");
    assert_eq!(journal.evicted(&eviction), Ok(Evicted::Done));
}
