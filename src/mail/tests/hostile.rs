//! Input meant to exhaust: each of megabytes, each read in linear time and within the bounds.

use super::preorder;
use crate::mail::header;
use crate::mail::structure::DEPTH_MAX;
use crate::mail::structure::PARTS_MAX;
use crate::mail::structure::scan;
use crate::mail::summary::ListEntry;
use crate::mail::summary::Summary;
use crate::mail::summary::summarize;

fn depth(message: &[u8]) -> usize {
    preorder(&scan(message)).len()
}

/// `levels` multiparts, each the only part of the one before.
fn multiparts(levels: usize) -> Vec<u8> {
    (0..levels).flat_map(|n| format!("Content-Type: multipart/x; boundary=b{n}\n\n--b{n}\n").into_bytes()).collect()
}

#[test]
fn depth_holds_at_its_bound() {
    assert_eq!(depth(&multiparts(DEPTH_MAX - 1)), DEPTH_MAX);
    assert_eq!(depth(&multiparts(DEPTH_MAX)), DEPTH_MAX);
    assert_eq!(depth(&multiparts(2000)), DEPTH_MAX);
    let message = "Content-Type: message/rfc822\n\n";
    assert_eq!(depth(message.repeat(DEPTH_MAX - 1).as_bytes()), DEPTH_MAX);
    assert_eq!(depth(message.repeat(2000).as_bytes()), DEPTH_MAX);
}

#[test]
fn parts_hold_at_their_bound() {
    let with = |parts: usize| format!("Content-Type: multipart/x; boundary=a\n\n{}", "--a\n\nx\n".repeat(parts));
    assert_eq!(depth(with(PARTS_MAX - 1).as_bytes()), PARTS_MAX);
    let more = with(PARTS_MAX + 5);
    let part = scan(more.as_bytes());
    let parts = preorder(&part);
    assert_eq!(parts.len(), PARTS_MAX);
    assert!(parts[1..].iter().all(|p| p.body.of(more.as_bytes()) == b"x"), "no part takes in what follows the last");
}

/// Half of the smallest stack our threads have.
const STACK_BYTES: usize = 1024 * 1024;

#[test]
fn deep_summaries_survive_cbor_on_a_small_stack() {
    let check = |message: Vec<u8>| {
        let summary = summarize(&message);
        let octets = minicbor::to_vec(&summary).expect("encode");
        assert_eq!(minicbor::decode::<Summary>(&octets).expect("decode"), summary);
    };
    let run = move || {
        check(multiparts(2000));
        check("Subject: x\nContent-Type: message/rfc822\n\n".repeat(200).into_bytes());
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).expect("a thread");
    thread.join().expect("no panic");
}

#[test]
fn long_headers() {
    let fields: String = (0..100_000).map(|n| format!("X-{n}: y\r\n")).collect();
    assert_eq!(header::fields(fields.as_bytes()).count(), 100_000);
    assert_eq!(header::named(fields.as_bytes(), "X-99999").count(), 1);
    assert_eq!(summarize(fields.as_bytes()).structure.header.end, fields.len() as u64);
    let folded = format!("Subject: a{}", "\r\n b".repeat(300_000));
    assert!(summarize(folded.as_bytes()).subject.starts_with("a b b"));
}

/// Patterns on which a reader that looks ahead again and again would take hours.
#[test]
fn nothing_is_read_again_and_again() {
    let text_patterns = [
        "=?",
        "=?a?q?",
        "=?a?b?",
        "=?utf-8?q?a?= ",
        "\"",
        "(",
        "<",
        "a@",
        "\\",
        ",",
        ":",
        "a:;",
        "(\\",
        "=?a?q?x ",
        "*0=",
        ";a*1=b",
        "a ",
        ". ",
    ];
    for pattern in text_patterns {
        let value = pattern.repeat(1_000_000 / pattern.len());
        header::decode(value.as_bytes());
        header::structured(value.as_bytes());
        header::structured(format!("a/b; c=\"d{value}").as_bytes());
        let list = header::addresses(value.as_bytes());
        assert!(list.len() <= 20_001, "{pattern}");
        header::author(format!("From: {value}\r\n").as_bytes());
    }
    let boundary = "b".repeat(200);
    for pattern in ["--", "\n", "--\n", "--b\n", "--b--\n", "--a\n--b\n", "\r", &format!("--{boundary}c\n")] {
        let mut message: Vec<u8> = multiparts(50);
        message.extend(format!("Content-Type: multipart/x; boundary={boundary}\n\n").bytes());
        message.extend(pattern.repeat(1_000_000 / pattern.len()).bytes());
        assert!(preorder(&scan(&message)).len() <= PARTS_MAX);
    }
}

#[test]
fn addresses_of_all_inner_messages_are_bounded() {
    let inner = format!("--a\nContent-Type: message/rfc822\n\nTo: {}\n\nx\n", "a,".repeat(10_000));
    let message = format!("Content-Type: multipart/x; boundary=a\n\n{}", inner.repeat(4));
    let lists = |part: &crate::mail::structure::Part| match &part.content {
        crate::mail::structure::Content::Message(_, envelope) => envelope.to.len(),
        _ => 0,
    };
    let part = scan(message.as_bytes());
    assert_eq!(preorder(&part).into_iter().map(lists).sum::<usize>(), 20_000);
}

#[test]
fn eight_bit_and_nul_stay_octets() {
    let message = b"Subject: \xe9\0\r\nFrom: \xe9 <a@x>\r\n\r\n\0\xff\r\n";
    let summary = summarize(message);
    assert_eq!(summary.structure.body.of(message), b"\0\xff\r\n");
    assert_eq!(summary.envelope.subject.as_deref(), Some("?\0"));
    let from = ListEntry::Mailbox { name: Some("?".into()), local: "a".into(), domain: "x".into() };
    assert_eq!(summary.envelope.from, [from]);
}
