//! Every file of an archive, as somebody may have bent it.

use crate::driver::run;
use sealpost::archive::checkpoint::Verifier;
use sealpost::archive::cover::Cover;
use sealpost::archive::data_object::{HEADER_BYTES, Header, Trailer};
use sealpost::archive::directory::{Directory, EventEntry, MessageEntry};
use sealpost::archive::key_object::{KeyObject, Slot, Wrap};
use sealpost::archive::keys;
use sealpost::archive::keys::{Generation, Officer, Older, Origin, Piece, PieceDigest, Subset};
use sealpost::archive::leaf::{Anchor, Epoch, Key, Totals};
use sealpost::archive::shares::Share;
use sealpost::archive::tile;
use sealpost::archive::unit;
use sealpost::archive::{ArchiveId, Event, Meta, ResultRecord, Seal, SegmentId, TreeHead, parse_hint};
use sealpost::clock::Timestamp;
use sealpost::crypto::hpke;
use sealpost::crypto::sha256;
use sealpost::gateway::drills::Drills;
use sealpost::mail::MailId;
use sealpost::mail::summary::summarize;

const ARCHIVE: [u8; 16] = [1; 16];
const SEGMENT: [u8; 16] = [2; 16];

fn covers(input: &[u8]) {
    let Ok(cover) = Cover::parse(input) else { return };
    assert_eq!(cover.encode(), input, "one form");
    assert!(cover.messages.is_sorted_by(|a, b| a < b), "ascending");
}

/// The last hash is made to hold, so that what lies before it is read.
fn key_objects(input: &[u8]) {
    let content = input.split_last_chunk::<32>().map_or(input, |(content, _)| content);
    let whole = [content, &sha256(content)].concat();
    for octets in [input, &whole] {
        let Ok(object) = KeyObject::parse(octets) else { continue };
        assert_eq!(object.encode(), octets, "one form");
    }
}

fn data_objects(input: &[u8]) {
    if let Ok(header) = Header::parse(input) {
        assert_eq!(header.encode(), input, "one form");
    }
    let length = input.len() as u64;
    if let Ok(trailer) = Trailer::parse(input, length.saturating_mul(7)) {
        assert_eq!(trailer.encode(), input, "one form");
        assert!(trailer.hashes_bytes() <= length.saturating_mul(7), "a list no longer than the object");
    }
}

fn records(input: &[u8]) {
    if let Ok(directory) = Directory::parse(input, HEADER_BYTES..1000) {
        assert!(directory.messages.iter().all(|m| m.offset >= HEADER_BYTES && m.offset <= 1000));
    }
    if let Ok(meta) = Meta::parse(input) {
        assert_eq!(meta.encode(), input, "one form");
        assert_eq!(Meta::parse_accept(input), meta.accept(), "the same record");
    }
    let _ = Meta::parse_accept(input);
    if let Ok(event) = Event::parse(input) {
        assert_eq!(event.encode(), input, "one form");
        let _ = event.results.iter().map(ResultRecord::result).count();
    }
    let _ = unit::decompress(input, 1 << 16).inspect(|octets| assert!(octets.len() <= 1 << 16));
}

fn leaves(input: &[u8]) {
    if let Ok(seal) = Seal::from_body(input) {
        assert_eq!(seal.to_leaf().expect("a leaf").body, input, "one form");
    }
    if let Ok(anchor) = Anchor::from_body(input) {
        assert_eq!(anchor.to_leaf().expect("a leaf").body, input, "one form");
    }
    if let Ok(epoch) = Epoch::from_body(input) {
        assert_eq!(epoch.to_leaf().expect("a leaf").body, input, "one form");
    }
    if let Ok(key) = Key::from_body(input) {
        assert_eq!(key.to_leaf().expect("a leaf").body, input, "one form");
    }
    if let Ok(anchor) = Anchor::from_body(input) {
        assert_eq!(anchor.to_leaf().expect("a leaf").body, input, "one form");
    }
}

fn log_files(input: &[u8]) {
    let verifier = Verifier::new(&ArchiveId::from_octets(ARCHIVE), [3; 32]);
    assert!(verifier.open(input).is_err(), "nobody has this key");
    if let Ok(other) = Verifier::parse_vkey(input) {
        assert_eq!(other.vkey().as_bytes(), input, "one form");
        let _ = other.open(input);
    }
    for width in [1, 3, 256] {
        if let Ok(leaves) = tile::parse_bundle(input, width) {
            assert_eq!((leaves.len(), tile::encode_bundle(&leaves)), (width, input.to_vec()));
        }
        let _ = tile::parse_tile(input, width);
    }
}

fn key_files(input: &[u8]) {
    if let Ok(epoch) = keys::parse_descriptor(input) {
        assert_eq!(keys::encode_descriptor(&epoch), input, "one form");
    }
    if let Ok(generation) = Generation::parse(input) {
        assert_eq!(generation.encode(), input, "one form");
        assert!(generation.officers.len() <= 7 && generation.older.len() < 256);
        assert!(generation.officer("1").is_some());
    }
    if let Some(leaf) = parse_hint(input) {
        assert_eq!(format!("{leaf}\n").as_bytes(), input, "one form");
    }
}

fn drill_files(input: &[u8]) {
    if let Ok(drills) = Drills::parse(input) {
        let _ = drills.of("AB", 1);
    }
}

fn share_texts(input: &[u8]) {
    let Ok(shares) = Share::parse_all(input) else { return };
    let written: Vec<u8> = shares.iter().flat_map(|share| share.text().expose().to_vec()).collect();
    assert_eq!(Share::parse_all(&written), Ok(shares), "one form");
}

fn seal() -> Seal {
    Seal {
        segment: SegmentId::from_octets(SEGMENT),
        through: 300,
        messages: 3,
        events: 1,
        data_bytes: 1000,
        data_root: [2; 32],
        keys_bytes: 500,
        keys_hash: [3; 32],
        slot_root: [4; 32],
        cover_hash: [5; 32],
        raw_bytes: 2000,
        previous: Some(4),
        tree: TreeHead { size: 2, root: [6; 32] },
        totals: Totals { segments: 2, messages: 5, stored_bytes: 9, raw_bytes: 10 },
        months: vec![(24_322, 2), (24_323, 1)],
        part: 1,
        parts: 3,
        class: "six-years".into(),
        expires: Some(24_400),
        protected: None,
        acts: Some(7),
    }
}

#[test]
fn archive_covers() {
    let cover = Cover { segment: SegmentId::from_octets(SEGMENT), messages: vec![2, 3, 900], events: vec![1] };
    run("archive_covers", &[&cover.encode()], &[&[0xff; 9], &[0x80], &[0, 0, 0, 2]], covers);
}

#[test]
fn archive_key_objects() {
    let object = KeyObject {
        archive: ArchiveId::from_octets(ARCHIVE),
        segment: SegmentId::from_octets(SEGMENT),
        messages: 1,
        events: 1,
        object_generation: 1,
        wraps: vec![Wrap { generation: 1, sealed: vec![7; 40] }],
        slots: vec![Slot::Live([3; 48]), Slot::Tomb { leaf: 9, hash: [4; 32] }],
    };
    run("archive_key_objects", &[&object.encode()], &[&[0xff; 4], &[2, 1], &[1, 1]], key_objects);
}

#[test]
fn archive_data_objects() {
    let segment = SegmentId::from_octets(SEGMENT);
    let header = Header {
        archive: ArchiveId::from_octets(ARCHIVE),
        segment,
        created: Timestamp::from_s(5),
        messages: 3,
        events: 4,
        commitment: [5; 32],
    };
    let trailer = Trailer::new(&segment, 108..352, &[9; 32]);
    run("archive_data_objects", &[&header.encode(), &trailer.encode()], &[&[0xff; 8], &[0; 8]], data_objects);
}

#[test]
fn archive_records() {
    let message = MessageEntry {
        accept_index: 2,
        id: MailId::from_octets([1; 16]),
        accepted_at: Timestamp::from_s(9),
        month: 24_322,
        slice: 1,
        octets: 9,
        offset: HEADER_BYTES,
        body_stored: 600,
        meta_stored: 200,
    };
    let event = EventEntry { accept_index: 1, offset: 908, meta_stored: 92 };
    let directory = Directory { messages: vec![message], events: vec![event] };
    let directory = minicbor::to_vec(&directory).expect("CBOR");
    Directory::parse(&directory, HEADER_BYTES..1000).expect("a directory");
    let result = ResultRecord { leaf_index: 9, ordinal: 0, record: vec![0x84, 0, 0, 0x60, 0x82, 3, 0x80] };
    let summary =
        summarize(b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x--\r\n");
    let meta = Meta::new(3, vec![0x80], vec![result.clone()], summary).encode();
    let event = Event::new(3, MailId::from_octets([1; 16]), vec![result]).encode();
    let frame = zstd::bulk::compress(&[7; 500], 3).expect("compressed");
    let seeds: &[&[u8]] = &[&directory, &meta, &event, &frame];
    run("archive_records", seeds, &[&[0x9f], &[0x9b, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], &[0x81; 200]], records);
}

#[test]
fn archive_leaves() {
    let epoch = Epoch {
        archive: ArchiveId::from_octets(ARCHIVE),
        created: Timestamp::from_s(9),
        uid_base: 7,
        log_public: [2; 32],
    };
    let key = Key { generation: 1, file: [1; 32], origin: Origin::Gateway, threshold: 1, officers: 1 };
    let anchor = Anchor::TimeStamp { tree: TreeHead { size: 9, root: [1; 32] }, token: [2; 32] };
    let bodies =
        [seal().to_leaf(), epoch.to_leaf(), key.to_leaf(), anchor.to_leaf()].map(|leaf| leaf.expect("a leaf").body);
    let seeds: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    run("archive_leaves", &seeds, &[&[0xf6], &[0x82, 0, 0], &[0x18, 0]], leaves);
}

#[test]
fn archive_log_files() {
    let verifier = Verifier::new(&ArchiveId::from_octets(ARCHIVE), [9; 32]);
    let note = "sealpost/01010101010101010101010101010101\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} \
                sealpost/01010101010101010101010101010101 AAAAAAAA\n";
    let bundle = tile::encode_bundle(&[vec![1; 34], vec![2; 42], vec![]]);
    let vkey = verifier.vkey();
    let seeds: &[&[u8]] = &[note.as_bytes(), vkey.as_bytes(), &bundle, &[0; 96]];
    run("archive_log_files", seeds, &[b"\n", b"\n\n", "\u{2014} ".as_bytes(), b"+", &[0xff, 0xff]], log_files);
}

#[test]
fn archive_key_files() {
    let (_, public) = hpke::generate().expect("a pair");
    let generation = Generation {
        archive: ArchiveId::from_octets(ARCHIVE),
        number: 2,
        public: public.octets(),
        origin: Origin::Gateway,
        threshold: 1,
        officers: vec![Officer { fingerprint: "AB".into(), certificate: vec![1] }],
        subsets: vec![Subset {
            members: vec![0],
            pieces: vec![Piece(vec![9; 20])],
            digests: vec![PieceDigest([8; 32])],
        }],
        created: Timestamp::from_s(9),
        older: vec![Older { generation: 1, sealed: vec![7; 20] }],
    };
    let epoch = Epoch {
        archive: ArchiveId::from_octets(ARCHIVE),
        created: Timestamp::from_s(9),
        uid_base: 7,
        log_public: [2; 32],
    };
    let (generation, descriptor) = (generation.encode(), keys::encode_descriptor(&epoch));
    assert!(Generation::parse(&generation).is_ok());
    run("archive_key_files", &[&generation, &descriptor, b"17\n"], &[&[0x80], &[0x81], &[0x9f]], key_files);
}

#[test]
fn archive_shares() {
    let text = format!(
        "sealpost archive key share 1\narchive {}\ngeneration 2\nofficers 1,3\nofficer 3\npiece {}\n",
        "01".repeat(16),
        "07".repeat(32)
    );
    assert!(Share::parse_all(text.as_bytes()).is_ok());
    let twice = text.replace('\n', "\r\n") + &text;
    run("archive_shares", &[text.as_bytes(), twice.as_bytes()], &[b"\n", b",", b"256", b"0", b"\r\n"], share_texts);
}

#[test]
fn archive_drills() {
    let file: &[u8] = br#"{"proofs":[{"officer":"AB","generation":1,"at_ms":1790000000000}]}"#;
    assert!(Drills::parse(file).is_ok());
    run("archive_drills", &[file], &[b"[", b"{", b"-1", b"1e999", b"\"", b"9223372036854775808"], drill_files);
}
