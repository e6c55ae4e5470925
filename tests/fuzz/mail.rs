//! Mail: addresses, header fields, structure. What holds for any octets is asserted, not only that nothing panics.

use crate::driver::run;
use sealpost::mail::Address;
use sealpost::mail::Reported;
use sealpost::mail::date::date_s;
use sealpost::mail::header;
use sealpost::mail::header::Author;
use sealpost::mail::journal_report::PROBLEMS_MAX;
use sealpost::mail::journal_report::RECIPIENTS_MAX;
use sealpost::mail::structure::Content;
use sealpost::mail::structure::DEPTH_MAX;
use sealpost::mail::structure::PARTS_MAX;
use sealpost::mail::structure::Part;
use sealpost::mail::structure::Span;
use sealpost::mail::structure::scan;
use sealpost::mail::summary::ListEntry;
use sealpost::mail::summary::Summary;
use sealpost::mail::summary::summarize;

const MESSAGES: &[&[u8]] = &[
    b"From: A <a@x>\r\nSubject: =?utf-8?q?h=C3=A9?=\r\nDate: Tue, 1 Jul 2025 10:00:00 +0200\r\n\r\nbody\r\n",
    b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/digest; boundary=\"ab\"\r\n\r\n--ab\r\n\r\n\
      Subject: x\r\n\r\ny\r\n--ab--\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nTo: b@y, G: c@z;\r\n\r\nx\r\n--a--\r\nepi\r\n",
    b"Content-Type: message/rfc822\n\nContent-Type: multipart/x;\n boundary*0=a;\n boundary*1=b\n\n--ab\n\nx\n--ab\n",
    b"\xff: \0\r\n folded\r\nno field\n\r\n\r\r\n",
];
const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"--a",
    b"--ab",
    b"--",
    b"\r\n--a\r\n",
    b"\n--a--\n",
    b" ",
    b":",
    b";",
    b"\"",
    b"(",
    b")",
    b"<",
    b">",
    b"@",
    b",",
    b"=?",
    b"?=",
    b"?q?",
    b"?b?",
    b"boundary=a",
    b"Content-Type: message/rfc822\n\n",
    b"Content-Type: multipart/x; boundary=a\n\n",
    b"\\",
    b"\0",
    b"\xff",
    b"From: a@x\n",
    b"=?iso-2022-jp?b?GyRC?=",
    b"=?utf-7?q?+?=",
    b"*0*=",
    b"%",
    b"''",
];

fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(address) = Address::parse(text) else { return };
    assert_eq!(address.to_string(), text, "an address is kept as written");
    let canonical = address.canonical();
    let again = Address::parse(&canonical).expect("the canonical form is an address");
    assert_eq!(again.canonical(), canonical, "canonical is a fixed point");
}

#[test]
fn addresses() {
    let seeds: &[&[u8]] = &[b"a.b@example.org", b"\"a \\\" b\"@example.org", b"x@[IPv6:::1]", "ü@ö.example".as_bytes()];
    run("address", seeds, &[b"@", b"\"", b"\\", b".", b"[", b"]"], address);
}

fn fields(input: &[u8]) {
    let (head, body) = header::split(input);
    assert!(head.start == 0 && head.end <= body.start && body.end == input.len() as u64);
    let head = head.of(input);
    let whole: Vec<u8> = header::fields(head).flat_map(|field| field.raw.to_vec()).collect();
    assert_eq!(whole, head, "fields cover the header");
    for field in header::fields(head) {
        assert!(head[field.start..].starts_with(field.raw));
        assert!(!header::unfold(field.value).contains(&b'\n'), "unfolded is one line");
    }
}

fn covers(outer: Span, inner: Span) -> bool {
    outer.start <= inner.start && inner.start <= inner.end && inner.end <= outer.end
}

/// Checks a part and all inside; answers how many there are.
fn part(part: &Part, input: &[u8], depth: usize) -> usize {
    assert!(depth <= DEPTH_MAX);
    assert!(part.header.end <= part.body.start && covers(part.whole(), part.header) && covers(part.whole(), part.body));
    let body = part.body.of(input);
    let breaks = body.iter().filter(|&&b| b == b'\n').count();
    let open_end = usize::from(!body.is_empty() && !body.ends_with(b"\n"));
    assert_eq!(part.lines, (breaks + open_end) as u64, "lines");
    match &part.content {
        Content::Leaf => 1,
        Content::Message(inner, _) => {
            assert_eq!(inner.whole(), part.body, "the inner message is the body");
            1 + self::part(inner, input, depth + 1)
        }
        Content::Multipart(parts) => {
            assert!(parts.windows(2).all(|two| two[0].body.end < two[1].header.start) && !parts.is_empty());
            assert!(parts.iter().all(|inner| covers(part.body, inner.whole())));
            1 + parts.iter().map(|inner| self::part(inner, input, depth + 1)).sum::<usize>()
        }
    }
}

fn structure(input: &[u8]) {
    let whole = scan(input);
    assert_eq!((whole.header, whole.body), header::split(input));
    assert!(part(&whole, input, 1) <= PARTS_MAX);
}

fn summary(input: &[u8]) {
    let summary = summarize(input);
    let octets = minicbor::to_vec(&summary).expect("a summary is CBOR");
    assert_eq!(minicbor::decode::<Summary>(&octets).expect("its own CBOR"), summary);
}

/// A single author stands in the field as written, and the lenient reader finds the same one mailbox.
fn author(input: &[u8]) {
    let with_field = [b"From: ", input, b"\r\n"].concat();
    for head in [input, &with_field] {
        let Author::Single(address) = header::author(head) else { continue };
        let from: Vec<_> = header::named(head, "From").collect();
        assert_eq!(from.len(), 1);
        let value = String::from_utf8(header::unfold(from[0].value)).expect("UTF-8");
        assert!(value.contains(&address.to_string()), "nothing is decoded into an address");
        let list = header::addresses(value.as_bytes());
        let [ListEntry::Mailbox { local, domain, .. }] = list.as_slice() else { panic!("one mailbox, not {list:?}") };
        let lenient = Address::parse(&format!("{local}@{domain}"));
        assert!(address.local_part().starts_with('"') || lenient == Ok(address), "{list:?}");
    }
}

fn decode(input: &[u8]) {
    let text = header::decode(input);
    assert!(text.chars().all(|c| !c.is_control() || c == '\t'));
    date_s(input);
}

/// What is read of a report lies within it, and its record is CBOR.
fn journal_report(input: &[u8]) {
    let as_statement = [REPORT_HEAD, input, REPORT_TAIL].concat();
    for message in [input, &as_statement] {
        let Some(reported) = Reported::of(message) else { continue };
        let octets = minicbor::to_vec(&reported).expect("a record is CBOR");
        assert_eq!(minicbor::decode::<Reported>(&octets).expect("its own CBOR"), reported);
        let Reported::Report { envelope, readable, problems } = reported else { continue };
        assert!(envelope.recipients.len() <= RECIPIENTS_MAX && problems.len() <= PROBLEMS_MAX + 1);
        assert!(problems.iter().all(|problem| !problem.contains(|c: char| c.is_control()) && problem.len() < 1000));
        assert!(readable.is_none_or(|slice| slice.of(message).is_some_and(|octets| !octets.is_empty())));
    }
}

#[test]
fn journal_reports() {
    let whole = [REPORT_HEAD, b"Sender: a@x\nMessage-ID: <1@x>\nBcc: b@x, Expanded: l@x\n", REPORT_TAIL].concat();
    let seeds: &[&[u8]] = &[
        &whole,
        b"Sender: a@x\r\nSubject: s\r\nMessage-ID: <1@x>\r\nTo: b@x, Expanded: l@x, Forwarded: p@x\r\nCc: c@x\r\n",
        b"Sender: N <a@x>\nMessage-ID: <1@x>\nRecipients:\n\tN <b@x>\n\tc@x,\n\nLabel: x\n",
    ];
    let tokens: &[&[u8]] = &[
        b"\n",
        b"\r",
        b":",
        b",",
        b"\"",
        b"\\",
        b"<",
        b">",
        b"--b\n",
        b"--b--\n",
        b", Expanded:",
        b", Forwarded:",
        b"Bcc: ",
        b"Sender: ",
        b"Recipients:",
        b"Message-ID: ",
        b"Subject: ",
        b"On-Behalf-Of: ",
        b"@x",
        b"Content-Transfer-Encoding: base64\n",
        b"Content-Type: message/rfc822\n\n",
        b"\xef\xbb\xbf",
        b"\0",
    ];
    run("journal_report", seeds, tokens, journal_report);
}

const REPORT_HEAD: &[u8] = b"X-MS-Journal-Report:\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n";
const REPORT_TAIL: &[u8] = b"\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\ny\n--b--\n";

fn structured(input: &[u8]) {
    let (token, parameters) = header::structured(input);
    assert_eq!(token.to_ascii_lowercase(), token);
    let names: std::collections::HashSet<_> = parameters.iter().map(|(name, _)| name).collect();
    assert!(input.iter().any(|b| !b.is_ascii()) || names.len() == parameters.len(), "each name once");
}

#[test]
fn header_fields() {
    run("fields", MESSAGES, TOKENS, fields);
}

#[test]
fn structures() {
    run("structure", MESSAGES, TOKENS, structure);
}

#[test]
fn summaries() {
    run("summary", MESSAGES, TOKENS, summary);
}

#[test]
fn authors() {
    let seeds: &[&[u8]] = &[
        b"A <a@x>",
        b"\"B, A\" <a@x>",
        b"a@x (A)",
        b"From: a@x\r\nX: y\r\n",
        b"=?utf-8?q?a=40y?= <a@x>",
        b"\"a b\"@x",
    ];
    run("author", seeds, TOKENS, author);
}

#[test]
fn decoded_texts() {
    let seeds: &[&[u8]] = &[
        b"=?utf-8?q?h=C3=A9?= =?utf-8?b?aMOp?= x",
        b"=?iso-2022-jp?b?GyRCJUYbKEI=?= =?shift_jis?b?g26DjYFb?=",
        b"=?gb18030?q?=81=30=81=30?= =?euc-kr?q?=BE=C8?= =?big5?q?=A7A?=",
        b"=?utf-16?b?//7hAA==?= =?utf-7?q?+ZYeB9A-?= =?hz-gb-2312?q?~{?=",
        b"Tue, 1 Jul 2025 10:00:00 +0200 (CEST)",
    ];
    run("decode", seeds, TOKENS, decode);
}

#[test]
fn structured_fields() {
    let seeds: &[&[u8]] = &[
        b"text/plain; charset=utf-8 (c); name=\"a;b\"",
        b"attachment; filename*0*=utf-8''%C3; filename*1*=%A9; filename=x",
        b"multipart/mixed; boundary=a b",
    ];
    run("structured", seeds, TOKENS, structured);
}
