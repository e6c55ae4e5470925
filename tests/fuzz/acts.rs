//! Acts on an archive: their leaves, hold files and orders, as somebody may have written them.

use crate::driver::run;
use sealpost::archive::acts::hold::{encode_seen, parse_seen};
use sealpost::archive::acts::leaves::{Erase, Expire, Hold, Release};
use sealpost::archive::acts::order::SignatureOctets;
use sealpost::archive::acts::{Act, HoldFile, Named, Order, Ranges, SignedOrder, Slots, take};
use sealpost::archive::{ArchiveId, HoldId, SegmentId};
use sealpost::clock::Timestamp;
use sealpost::mail::MailId;

fn leaves(input: &[u8]) {
    for kind in 5..=8 {
        let octets = [&[kind], input].concat();
        let Some(Ok(act)) = Act::of_leaf(&octets) else { continue };
        // Only what is longer than we write has no leaf.
        if let Some(leaf) = act.to_leaf() {
            assert_eq!(leaf.octets(), octets, "one form");
        }
        for (_, ranges) in act.slots().into_iter().flat_map(Slots::segments) {
            assert!(ranges.count() <= 65_536 && ranges.slots().is_sorted_by(|a, b| a < b), "bounded, ascending");
            assert!(ranges.slots().all(|slot| ranges.contains(slot)));
        }
    }
}

fn holds(input: &[u8]) {
    if let Ok(file) = HoldFile::parse(input) {
        assert_eq!(file.encode(), input, "one form");
    }
    if let Some(seen) = parse_seen(input) {
        assert_eq!(encode_seen(seen), input, "one form");
    }
}

fn orders(input: &[u8]) {
    if let Ok(signed) = SignedOrder::parse(input) {
        assert_eq!(signed.encode(), input, "one form");
    }
    if let Some(order) = std::str::from_utf8(input).ok().and_then(|text| Order::parse(text).ok()) {
        assert_eq!(Order::parse(&order.text()), Ok(order.clone()), "its text says the same");
        assert!(order.messages.is_sorted_by(|a, b| a.accept_index < b.accept_index));
    }
    if let Ok(signed) = take(input, &[]) {
        assert!(signed.signatures.len() <= 16);
    }
    let _ = take(b"", &[input.to_vec()]);
}

fn slots() -> Slots {
    let segment = |n: u8| SegmentId::from_octets([n; 16]);
    Slots::of([(segment(1), Ranges::of([0, 1, 7])), (segment(2), Ranges::of([65_535]))].into())
}

#[test]
fn act_leaves() {
    let (hold, at) = (HoldId::from_octets([3; 16]), Timestamp::from_s(5));
    let acts = [
        Act::Hold(Hold { previous: None, part: 0, hold, file: [1; 32], slots: slots(), seen: Some(9) }),
        Act::Release(Release { previous: Some(9), part: 0, hold, at, reason: "over".into() }),
        Act::Erase(Erase { previous: Some(10), part: 1, order: [2; 32], at, slots: slots() }),
        Act::Expire(Expire { previous: None, part: 0, at, slots: slots() }),
    ];
    let bodies: Vec<Vec<u8>> = acts.iter().map(|act| act.to_leaf().expect("a leaf").body).collect();
    let seeds: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    run("act leaves", &seeds, &[&[0x80], &[0xf6], &[0x1a, 0xff, 0xff, 0xff, 0xff], &[0x9b]], leaves);
}

#[test]
fn hold_files() {
    let file = HoldFile {
        archive: ArchiveId::from_octets([1; 16]),
        hold: HoldId::from_octets([2; 16]),
        name: "case-7".into(),
        created: Timestamp::from_s(5),
        by: "officer".into(),
        reason: "litigation".into(),
        query: Some(vec![3; 40]),
    };
    run("hold files", &[&file.encode(), b"17\n"], &[b"\xf6", b"0", b"\n"], holds);
}

const CLEAR_SIGNED: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nsealpost erase order 1\n- -dash\n\
    -----BEGIN PGP SIGNATURE-----\n\niHUEARYKAB0WIQQ=\n-----END PGP SIGNATURE-----\n";

#[test]
fn order_texts_and_files() {
    let order = Order {
        archive: ArchiveId::from_octets([0xab; 16]),
        dated: Timestamp::from_s(1_733_011_170),
        reason: "request".into(),
        messages: vec![Named { accept_index: 7, id: MailId::from_octets([1; 16]) }],
    };
    let text = order.text();
    let signed = SignedOrder { text: text.clone(), signatures: vec![SignatureOctets(vec![0xc2, 1, 2])] };
    let seeds: [&[u8]; 3] = [text.as_bytes(), &signed.encode(), CLEAR_SIGNED];
    run("orders", &seeds, &[b"\r\n", b"message ", b"\n\n", b"-----", b"- ", b"\xc2", b"Z\n"], orders);
}
