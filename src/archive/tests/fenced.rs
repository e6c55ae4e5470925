//! Messages that meet a bug of ours while they are sealed, and passes that end by one: everything else is sealed.

use super::super::seal::Means;
use super::super::*;
use super::disk::FakeDisk;
use super::world::{World, message};
use crate::mail::MailId;
use crate::mail::summary::Summary;
use crate::mail::summary::summarize;
use crate::mail::unread::NOTICE;
use std::path::Path;
use std::sync::Arc;

fn world() -> World {
    World::new(Arc::new(FakeDisk::default()), Path::new("/gw"))
}

fn poison() -> Vec<u8> {
    b"From: a@example.org\r\nSubject: poison\r\n\r\nbody\r\n".to_vec()
}

/// Has a bug that one message meets.
fn summarize_but_poison(octets: &[u8]) -> Summary {
    assert!(!octets.windows(6).any(|octets| octets == b"poison"), "a bug that this message meets");
    summarize(octets)
}

fn seal(world: &World) -> SealReport {
    let means = Means { journal: &world.journal, clock: world.clock.as_ref(), summarize: summarize_but_poison };
    world.archive.seal_with(&means).expect("sealed")
}

fn summary_of(unlocked: &Unlocked, id: &MailId) -> (Vec<u8>, Summary) {
    let (segment, slot) = unlocked.find(id).expect("looked").expect("found");
    (unlocked.octets(&segment, slot).expect("octets"), unlocked.meta(&segment, slot).expect("meta").summary)
}

#[test]
fn a_message_that_cannot_be_read_is_sealed_whole_and_says_so() {
    let world = world();
    let before = world.accept(&message(100));
    let poisoned = world.accept(&poison());
    let after = world.accept(&message(200));
    let report = seal(&world);
    assert_eq!((report.segments, report.messages), (1, 3), "one pass for all");
    let unlocked = world.unlock();
    let (octets, summary) = summary_of(&unlocked, &poisoned);
    assert_eq!((octets, summary.subject.as_str()), (poison(), NOTICE));
    assert_eq!(summary.structure.header.of(&poison()), b"From: a@example.org\r\nSubject: poison\r\n");
    assert_eq!(summary.structure.body.of(&poison()), b"body\r\n");
    for (id, subject) in [(before, "number 100"), (after, "number 200")] {
        assert_eq!(summary_of(&unlocked, &id).1.subject, subject);
    }
    world.assert_whole(&unlocked);
    world.accept(&message(300));
    assert_eq!(seal(&world).messages, 1, "it is not sealed again");
    world.assert_whole(&unlocked);
}
