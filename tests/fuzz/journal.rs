//! Journal files and leaves.

use crate::driver::run;
use sealpost::clock::SystemClock;
use sealpost::crypto::Secret;
use sealpost::crypto::hpke;
use sealpost::durable::RealDisk;
use sealpost::journal::{
    FILE_BYTES_MIN, GROUP_BYTES_MAX, Journal, Keys, Leaf, Settings, encode_group, inspect, parse_group, read_ring,
};
use std::sync::{Arc, mpsc};

/// Octets of a header area; batches lie between two of them.
const AREA: usize = 32 * 1024;

/// A header area and the batches behind it, of a journal with a few leaves.
fn sample() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        dir: dir.path().to_owned(),
        mirror: None,
        file_bytes: FILE_BYTES_MIN,
        spares: 0,
        low_space_bytes: 0,
        kept_bytes: 1 << 40,
        danger_volatile_filesystem: true,
    };
    let keys = Keys { host: Secret::new([7; 32]), archive: hpke::generate().expect("a pair").1 };
    let journal = Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), settings, keys, 0, 0).expect("opens").0;
    for n in 0..3 {
        let (sender, receiver) = mpsc::channel();
        journal.append_leaf(Leaf::gap(n, n), Box::new(move |r| drop(sender.send(r))));
        receiver.recv().expect("an answer").expect("durable");
    }
    journal.close();
    let file = std::fs::read(dir.path().join("00000000.journal")).expect("the file");
    assert_eq!(inspect(&file).batches.len(), 4, "three leaves and a beat");
    file[..AREA + 4 * 4096].to_vec()
}

fn file(input: &[u8]) {
    let inspected = inspect(input);
    assert!(inspected.batches.len() <= input.len() / 4096);
    assert!(inspected.ordinal.is_some() || inspected.batches.is_empty());
}

fn leaf(input: &[u8]) {
    let Some(leaf) = Leaf::parse(input) else { return };
    assert_eq!(leaf.octets(), input);
    assert!(leaf.gap_range().is_none() || input.len() == 18);
}

fn group(input: &[u8]) {
    let Some(members) = parse_group(input) else { return };
    let leaves: Vec<Leaf> = members.iter().map(|octets| Leaf::parse(octets).expect("a leaf")).collect();
    assert_eq!(encode_group(&leaves).as_deref(), Some(input).filter(|octets| octets.len() <= GROUP_BYTES_MAX));
}

#[test]
fn journal_groups_of_leaves() {
    let sample = encode_group(&[Leaf::gap(1, 2), Leaf::gap(3, 4)]).expect("a group");
    run("journal groups of leaves", &[&sample, b""], &[b"\x00\x02", b"\xff\xff", b"\x04\x01", b"\x00"], group);
}

fn ring(input: &[u8]) {
    // Nothing authenticates but what was written under this key, and that was nothing.
    assert!(read_ring(&Secret::new([7; 32]), input).is_empty());
}

#[test]
fn journal_rings() {
    let slot = [[1; 33].as_slice(), &[64], &[2; 478]].concat();
    run("journal ring", &[&slot, &slot.repeat(3), b""], &[b"\x00\x10", b"\xff\xff"], ring);
}

#[test]
fn journal_leaves() {
    let gap = Leaf::gap(3, 9).octets();
    run("journal leaf", &[&gap, b"\x01\x01", b""], &[b"\x09", b"\x01"], leaf);
}

#[test]
fn journal_files() {
    let sample = sample();
    let short = &sample[..AREA];
    run("journal file", &[&sample, short], &[b"SPJB", b"SPJOURN1", &[0; 8], &[255; 8]], file);
}
