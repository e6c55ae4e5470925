//! Time stamps of a real authority, and checkpoints that are compared with the log.

use super::super::timestamp::{self, Authorities, Fault, NONCE_BYTES, Response};
use super::super::*;
use super::tsa::{Bound, Kind, Tsa};
use super::world::{World, message};
use crate::crypto::sha256;
use crate::durable::RealDisk;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const NONCE: [u8; NONCE_BYTES] = [0x9a; NONCE_BYTES];

fn reply(tsa: &Tsa, stamped: &[u8]) -> Vec<u8> {
    tsa.reply(&timestamp::request(&sha256(stamped), &NONCE).expect("a request"))
}

fn authorities(tsa: &Tsa) -> Authorities {
    Authorities::from_pem(&fs::read(tsa.ca()).expect("PEM")).expect("certificates")
}

#[test]
fn stamps_of_usual_keys_are_believed_and_no_others() {
    let stranger = authorities(&Tsa::proper());
    for key in [
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    ] {
        let tsa = Tsa::new(Kind::Proper, key);
        let response = Response::parse(&reply(&tsa, b"a checkpoint")).expect("a response");
        let imprint = sha256(b"a checkpoint");
        let own = authorities(&tsa);
        assert_eq!(response.verify(&imprint, Some(&own)), Ok(()), "{key:?}");
        assert_eq!(response.verify(&imprint, None), Ok(()), "{key:?}");
        assert!(matches!(response.verify(&imprint, Some(&stranger)), Err(Fault::Untrusted(_))), "{key:?}");
        assert_eq!(response.verify(&sha256(b"another"), Some(&own)), Err(Fault::Other("another imprint")));
        assert_eq!(
            (response.answers(&NONCE), response.answers(&[1; NONCE_BYTES])),
            (Ok(()), Err(Fault::Other("another nonce")))
        );
        assert!(response.authority().contains("CN=Stamper"), "{}", response.authority());
        assert!(!response.certificates().is_empty());
    }
}

#[test]
fn only_a_certificate_for_time_stamps_makes_them() {
    let key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    // Before the stamp: a certificate has to be valid at the time that it states.
    let signers = [(Kind::Proper, true), (Kind::ForMail, false)].map(|(kind, ok)| (Tsa::new(kind, &key), kind, ok));
    let made = reply(&Tsa::proper(), b"x");
    for (tsa, kind, believed) in signers {
        let response = Response::parse(&tsa.resigned(&made, Bound::ByTheCertificate)).expect("a response");
        for authorities in [Some(&authorities(&tsa)), None] {
            assert_eq!(response.verify(&sha256(b"x"), authorities).is_ok(), believed, "{kind:?}");
        }
        // Any other certificate of the same key could be put in its place.
        let unbound = Response::parse(&tsa.resigned(&made, Bound::ToNothing)).expect_err("refused");
        assert!(unbound.to_string().contains("another certificate"), "{unbound}");
    }
}

#[test]
fn a_bent_stamp_is_refused_or_says_the_same() {
    let tsa = Tsa::proper();
    let (octets, own) = (reply(&tsa, b"x"), authorities(&tsa));
    let stated = Response::parse(&octets).expect("a response").stated().clone();
    let mut refused = 0;
    for at in 0..octets.len() {
        let mut bent = octets.clone();
        bent[at] ^= 1 << (at % 8);
        let read = Response::parse(&bent).and_then(|r| r.verify(&sha256(b"x"), Some(&own)).map(|()| r));
        match read {
            Ok(read) => assert_eq!(*read.stated(), stated, "octet {at}"),
            Err(_) => refused += 1,
        }
        assert!(Response::parse(&octets[..at]).is_err(), "cut at {at}");
    }
    // The rest is the certificate of its authority, which it need not carry.
    assert!(refused * 3 > octets.len() * 2, "{refused} of {}", octets.len());
}

#[test]
fn a_refusal_says_why() {
    let tsa = Tsa::proper();
    // A hash that this authority does not take: SHA-1 of 20 octets.
    let sha1 = [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];
    let query = [&[0x30, 0x26, 2, 1, 1][..], &sha1, &[7; 20]].concat();
    let refused = Response::parse(&tsa.reply(&query)).expect_err("refused");
    assert!(matches!(&refused, Fault::Refused { status: 2, .. }), "{refused}");
}

fn stamped_world(dir: &Path, tsa: &Tsa) -> World {
    let world = World::new(Arc::new(RealDisk), dir);
    world.accept(&message(300));
    world.seal();
    let checkpoint = world.archive.checkpoint().expect("a checkpoint");
    let response = reply(tsa, &checkpoint.note);
    let stated =
        world.archive.keep_stamp(&world.journal, &checkpoint, &response, Some(&authorities(tsa))).expect("kept");
    assert_eq!(stated.imprint, sha256(&checkpoint.note));
    world
}

fn verified(world: &World, authorities: Option<&Authorities>) -> Report {
    let journal = world.journal_leaves();
    let options = VerifyOptions { journal: &journal, authorities, ..VerifyOptions::default() };
    verify(world.disk.as_ref(), &world.dir(), &options)
}

#[test]
fn a_kept_stamp_is_verified_with_the_log() {
    let (dir, tsa) = (tempfile::tempdir().expect("a directory"), Tsa::proper());
    let world = stamped_world(dir.path(), &tsa);
    let report = world.assert_whole(&world.unlock());
    assert_eq!(report.anchors, 1);
    assert_eq!(verified(&world, Some(&authorities(&tsa))).findings, []);
    let found = verified(&world, Some(&authorities(&Tsa::proper()))).findings;
    assert!(found.len() == 1 && found[0].object.ends_with(".tsr"), "{found:?}");
    for name in fs::read_dir(world.dir().join("log/anchors")).expect("files").map(|e| e.expect("a file").path()) {
        let octets = fs::read(&name).expect("read");
        let object = name.strip_prefix(world.dir()).expect("inside").display().to_string();
        for at in (0..octets.len()).step_by(7) {
            let mut bent = octets.clone();
            bent[at] ^= 0x20;
            fs::write(&name, &bent).expect("written");
            let found = verified(&world, None).findings;
            assert!(!found.is_empty() && found.iter().all(|f| f.object == object), "octet {at} of {object}: {found:?}");
        }
        fs::remove_file(&name).expect("removed");
        let found = verified(&world, None).findings;
        assert!(found.len() == 1 && found[0].object == object && found[0].kind == FaultKind::Missing, "{found:?}");
        fs::write(&name, &octets).expect("restored");
    }
    let world = world.reopen();
    world.accept(&message(20));
    world.seal();
    world.assert_whole(&world.unlock());
}

#[test]
fn what_is_not_a_stamp_of_it_is_not_kept() {
    let (dir, tsa) = (tempfile::tempdir().expect("a directory"), Tsa::proper());
    let world = World::new(Arc::new(RealDisk), dir.path());
    let checkpoint = world.archive.checkpoint().expect("a checkpoint");
    let (own, stranger) = (authorities(&tsa), authorities(&Tsa::proper()));
    let keep = |response: &[u8], who: &Authorities| {
        world.archive.keep_stamp(&world.journal, &checkpoint, response, Some(who)).map(drop)
    };
    let response = reply(&tsa, &checkpoint.note);
    for (response, who) in [(reply(&tsa, b"another"), &own), (response.clone(), &stranger), (vec![0x30, 0], &own)] {
        assert!(matches!(keep(&response, who), Err(Error::Stamp(_))));
    }
    assert_eq!(world.archive.stamp_of(&checkpoint), None);
    assert_eq!(verified(&world, None).anchors, 0);
    // A crash between files and leaf: the files mean nothing yet, and are used instead of asking again.
    let layout = &world.archive.inner.layout;
    let new = [
        (layout.anchored(checkpoint.head.size), checkpoint.note.clone()),
        (layout.stamp(checkpoint.head.size), response.clone()),
    ];
    files::write_new(world.disk.as_ref(), &new).expect("written");
    assert_eq!((verified(&world, None).findings, verified(&world, None).anchors), (vec![], 0));
    let kept = world.archive.stamp_of(&checkpoint).expect("what the crash left");
    keep(&kept, &own).expect("kept");
    assert_eq!((verified(&world, None).findings, verified(&world, None).anchors), (vec![], 1));
}

#[test]
fn a_leaf_that_names_another_tree_is_found() {
    let (dir, tsa) = (tempfile::tempdir().expect("a directory"), Tsa::proper());
    let world = stamped_world(dir.path(), &tsa);
    let token = sha256(b"x");
    for tree in [TreeHead { size: 2, root: [9; 32] }, TreeHead { size: 10_000, root: [9; 32] }] {
        let leaf = Anchor::TimeStamp { tree, token }.to_leaf().expect("a leaf");
        seal::append(&world.journal, &[leaf]).expect("appended");
    }
    world.archive.reconcile(&world.journal).expect("reconciled");
    let details: Vec<String> = verified(&world, None).findings.into_iter().map(|f| f.detail).collect();
    assert!(details.iter().any(|d| d.contains("of another log")), "{details:?}");
    assert!(details.iter().any(|d| d.contains("not yet signed")), "{details:?}");
}

#[test]
fn checkpoints_from_elsewhere_are_compared() {
    let disk: Arc<dyn crate::durable::Disk> = Arc::new(RealDisk);
    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let world = World::new(disk.clone(), dir.path());
    let early = world.archive.checkpoint().expect("a checkpoint");
    world.accept(&message(10));
    world.seal();
    let late = world.archive.checkpoint().expect("a checkpoint");
    for checkpoint in [&early, &late] {
        assert_eq!(world.archive.compare(&checkpoint.note).expect("compared"), Compared::Continues(checkpoint.head));
    }
    let stranger = World::new(disk, other.path()).archive.checkpoint().expect("a checkpoint");
    assert!(matches!(world.archive.compare(&stranger.note).expect("compared"), Compared::Foreign(_)));
    // Two branches of one archive: as if it was copied, and both copies went on.
    let signer = world.archive.inner.signer.as_ref().expect("a signer");
    let branch = |size, root| signer.sign(&TreeHead { size, root }).into_bytes();
    let ahead = TreeHead { size: late.head.size + 1, root: [1; 32] };
    assert_eq!(world.archive.compare(&branch(ahead.size, ahead.root)).expect("compared"), Compared::Behind(ahead));
    let fork = TreeHead { size: early.head.size, root: [1; 32] };
    assert_eq!(world.archive.compare(&branch(fork.size, fork.root)).expect("compared"), Compared::Forked(fork));
}
