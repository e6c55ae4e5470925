//! Import and restore: mbox, what a header says of its transport, line ends, files of any kind, frames on the control socket, and what
//! IMAP servers say.

use crate::driver::run;
use sealpost::clock::Timestamp;
use sealpost::gateway::import::walk::{Item, Walk};
use sealpost::gateway::import::wire;
use sealpost::gateway::restore::target::Target;
use sealpost::imap::client::{Capabilities, REPLY_BYTES_MAX, Replies, Reply};
use sealpost::mail::derived::{RECIPIENTS_MAX, derive};
use sealpost::mail::line_ends::{LineEnds, wire_form};
use sealpost::mail::mbox::{FromLine, Messages, is_exact, quoted};
use std::ops::ControlFlow;

const MBOXES: &[&[u8]] = &[
    b"From a@x Tue Nov 24 17:03:42 2026\nA: b\n\n>From x\n>>From y\n\nFrom - Tue Nov 24 17:03 +0100 2026\r\nC: d\r\n\r\n",
    b"\n\nFrom a@x Tue, 24 Nov 2026 17:03:42 +0100\nContent-Length: 9\n\nFrom here\n\nFrom b Mon Jan  1 00:00:00 EST 2001\n\n",
    b"A: b\r\nFrom c\r\n>From d\r\r\n\r\n",
];
const TOKENS: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"\r",
    b"\n\n",
    b"From ",
    b">From ",
    b">",
    b"\n\nFrom a Tue Nov 24 17:03:42 2026\n",
    b"Tue",
    b"2026",
    b"17:03",
    b"Content-Length: 5\n",
    b"\xff",
];

fn mbox(input: &[u8]) {
    let mut last = None;
    for message in Messages::new(input, 100).map_while(Result::ok) {
        assert!(last < Some(message.position) && message.position < input.len() as u64, "positions ascend");
        last = Some(message.position);
        assert!(input[usize::try_from(message.position).expect("fits")..].starts_with(b"From "));
        assert!(message.octets.is_ok_and(|octets| octets.len() <= 100) || input.len() > 100);
    }
    // Whatever a message is, in an mbox it hides nobody and pretends to be nobody else.
    let line = b"From a@x Tue Nov 24 17:03:42 2026\n";
    let file = [line, &quoted(input)[..], line, b"Subject: next\n\n"].concat();
    let read: Vec<Vec<u8>> =
        Messages::new(&file[..], 1 << 20).map(|message| message.expect("an mbox").octets.expect("short")).collect();
    assert_eq!(read.len(), 2);
    assert_eq!(read[1], b"Subject: next\n");
    if is_exact(input) {
        assert_eq!(wire_form(read[0].clone()).0, input, "had back");
    }
}

#[test]
fn mbox_files() {
    run("mbox", MBOXES, TOKENS, mbox);
}

fn from_line(input: &[u8]) {
    if let Some(line) = FromLine::parse(input) {
        assert!(input.starts_with(b"From ") && line.sender.len() <= 3 * input.len());
    }
}

#[test]
fn from_lines() {
    let seeds: &[&[u8]] = &[
        b"From a@x Tue Nov 24 17:03:42 2026\n",
        b"From - Tue, 24 Nov 2026 17:03:42 +0100",
        b"From a b Sun Nov  1 1:03 EST 2026",
    ];
    run("from line", seeds, TOKENS, from_line);
}

fn derived(input: &[u8]) {
    let now = Timestamp::from_s(1_800_000_000);
    let found = derive(input, FromLine::parse(input).as_ref(), now);
    assert!(found.recipients.len() <= RECIPIENTS_MAX);
    assert!(found.dated_at.is_none_or(|at| at > Timestamp::from_s(0) && at <= now.plus_s(86_400)));
}

#[test]
fn derived_envelopes() {
    let seeds: &[&[u8]] = &[
        b"Return-Path: <a@x>\r\nReceived: by b; Tue, 1 Jul 2025 10:00:00 +0200 (CEST)\r\nTo: \"c d\"@x, g: e@x;\r\nBcc: f@x\r\n\r\n",
        b"Delivered-To: a@x\nX-Original-To: b@x\nDate: 1 Jan 70 00:00 Z\nReturn-Path: <>\n\n",
    ];
    run(
        "derived",
        seeds,
        &[b"Received: ", b"To: ", b";", b"<", b">", b"@", b"\r\n", b",", b"From a Tue Nov 24 17:03:42 2026\n"],
        derived,
    );
}

fn line_ends(input: &[u8]) {
    let (once, done) = wire_form(input.to_vec());
    assert_eq!(wire_form(once.clone()), (once.clone(), LineEnds::Kept), "done once is done");
    let without = |octets: &[u8]| octets.iter().copied().filter(|b| *b != b'\r').collect::<Vec<u8>>();
    assert_eq!(without(&once), without(input), "nothing but CR is added");
    assert!(done == LineEnds::MadeCrlf || once == input);
}

#[test]
fn ends_of_lines() {
    run("line ends", MBOXES, TOKENS, line_ends);
}

/// Any octets as a file that somebody imports.
fn file(input: &[u8]) {
    const BYTES_MAX: u64 = 5000;
    let path = std::env::temp_dir().join(format!("sealpost-fuzz-{}", std::process::id()));
    std::fs::write(&path, input).expect("written");
    let mut each = |item| {
        if let Item::Found(found) = item {
            // Each LF may have become CRLF.
            assert!(found.octets.len() as u64 <= 2 * BYTES_MAX && found.origin().len() <= 1100);
        }
        ControlFlow::Continue(())
    };
    assert!(Walk { bytes_max: BYTES_MAX, each: &mut each }.path(&path).is_continue());
    std::fs::remove_file(&path).expect("removed");
}

/// `gzip` of `Subject: x LF LF`, stored.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x0c\0\xf3\xffSubject: x\n\n\xd0\x7f\x8d\xd1\x0c\0\0\0";

#[test]
fn files_of_any_kind() {
    let zip = {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, octets) in
            [("d/a.eml", &b"Subject: a\n\n"[..]), ("cur/b:2,S", b"Subject: b\n\n"), ("c.gz", GZIP), ("d", MBOXES[0])]
        {
            writer.start_file(name, zip::write::SimpleFileOptions::default()).expect("an entry");
            std::io::Write::write_all(&mut writer, octets).expect("written");
        }
        writer.finish().expect("a zip").into_inner()
    };
    let seeds: &[&[u8]] = &[&zip, GZIP, MBOXES[0], MBOXES[2], b"Subject: x\n\n", b"PK\x05\x06"];
    run(
        "file",
        seeds,
        &[b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"\xff\xff\xff\xff", b"From "],
        file,
    );
}

fn frame(input: &[u8]) {
    if let Ok(found) = wire::parse(input) {
        assert!(found.len() <= wire::FRAME_MESSAGES_MAX);
        let again = minicbor::to_vec(&found).expect("encodes");
        assert_eq!(wire::parse(&again), Ok(found));
    }
}

#[test]
fn frames() {
    let mut seed = Vec::new();
    let mut each = |item| {
        if let Item::Found(found) = item {
            seed.push(*found);
        }
        ControlFlow::Continue(())
    };
    let path = std::env::temp_dir().join(format!("sealpost-fuzz-seed-{}", std::process::id()));
    std::fs::write(&path, MBOXES[0]).expect("written");
    assert!(Walk { bytes_max: 5000, each: &mut each }.path(&path).is_continue());
    std::fs::remove_file(&path).expect("removed");
    let seed = minicbor::to_vec(&seed).expect("encodes");
    run(
        "frame",
        &[&seed, b"\x80"],
        &[b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", b"\x85", b"\x5a\xff\xff\xff\xff", b"\xf6"],
        frame,
    );
}

fn all(replies: &mut Replies) -> (Vec<Reply>, bool) {
    let mut found = Vec::new();
    loop {
        match replies.take() {
            Ok(Some(reply)) => found.push(reply),
            Ok(None) => return (found, true),
            Err(_) => return (found, false),
        }
    }
}

fn replies(input: &[u8]) {
    let mut whole = Replies::default();
    whole.push(input);
    let (expected, sound) = all(&mut whole);
    let mut cut = Replies::default();
    let mut found = Vec::new();
    for octet in input {
        cut.push(&[*octet]);
        let (more, still_sound) = all(&mut cut);
        found.extend(more);
        if !still_sound {
            break;
        }
    }
    assert!(found == expected || !sound && expected.starts_with(&found), "however it is cut");
    for reply in &expected {
        if let Reply::Untagged(text) = reply {
            assert!(text.len() <= 3 * REPLY_BYTES_MAX);
            drop(Capabilities::parse(text));
        }
    }
}

#[test]
fn replies_of_imap_servers() {
    let seeds: &[&[u8]] = &[
        b"* OK [CAPABILITY IMAP4rev1 LITERAL+] ready\r\na1 OK done\r\n+ go\r\n",
        b"* CAPABILITY IMAP4rev1 AUTH=PLAIN STARTTLS\r\na2 NO [TRYCREATE] none\r\n* LIST {3}\r\na\r\n b\r\n",
    ];
    run(
        "imap replies",
        seeds,
        &[b"{", b"}\r\n", b"{5}\r\n", b"{99999999999}\r\n", b"\r\n", b"\n", b"* ", b"+", b" OK "],
        replies,
    );
}

fn target(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        drop(Target::parse(text));
    }
}

#[test]
fn targets() {
    let seeds: &[&[u8]] =
        &[b"imap://a%40x@mail.example:143/Old%20mail", b"smtp://u@[::1]:25?tls=required", b"maildir:/a"];
    run("target", seeds, &[b"%", b"%4", b"@", b":", b"[", b"]", b"//", b"?", "\u{e4}".as_bytes()], target);
}
