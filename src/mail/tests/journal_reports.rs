//! Journal reports: every documented variant as a fixture of our own, and what only looks like one.

use crate::mail::RecipientKind;
use crate::mail::Reported;
use crate::mail::journal_report::{Inner, JournalReport, PROBLEMS_MAX, RECIPIENTS_MAX, STATEMENT_BYTES_MAX, read};
use crate::mail::summary::summarize;
use std::fmt::Write;

/// A fixture as a server would send it.
fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/journal_reports/{name}.eml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.replace('\n', "\r\n").into_bytes()
}

fn report(message: &[u8]) -> JournalReport {
    read(message).expect("well formed").expect("a report")
}

/// `sender / on behalf of / recipients`, a recipient as `kind=address<list>person`.
fn told(report: &JournalReport) -> String {
    let envelope = &report.envelope;
    let mut text = envelope.sender.as_ref().map_or("<>".to_owned(), ToString::to_string);
    if let Some(other) = &envelope.on_behalf_of {
        write!(text, " for {other}").expect("text");
    }
    for recipient in &envelope.recipients {
        write!(text, " {}={}", recipient.kind.word(), recipient.address).expect("text");
        for (word, from) in [("list", &recipient.expanded_from), ("was", &recipient.forwarded_from)] {
            if let Some(from) = from {
                write!(text, "[{word} {from}]").expect("text");
            }
        }
    }
    text
}

fn readable<'a>(report: &JournalReport, message: &'a [u8]) -> Option<&'a [u8]> {
    match &report.inner {
        Inner::Within(slice) => Some(slice.of(message).expect("within")),
        Inner::Decoded(_) | Inner::Closed => None,
    }
}

#[test]
fn every_documented_variant_is_read() {
    let check = |name: &str, envelope: &str, subject: &str, problems: &[&str]| {
        let message = fixture(name);
        let report = report(&message);
        assert_eq!(told(&report), envelope, "{name}");
        assert_eq!(report.problems, problems, "{name}");
        let inner = readable(&report, &message).unwrap_or_else(|| panic!("{name}: readable"));
        assert_eq!(summarize(inner).subject, subject, "{name}");
        assert!(!inner.windows(9).any(|w| w == b"_report-1"), "{name}: nothing of the report is in the message");
        let summary = summarize(inner).envelope.message_id;
        assert_eq!(report.message_id, summary, "{name}");
    };
    check(
        "exchange-2007",
        "alice@partner.example recipient=bob@example.org recipient=carol@example.org[list board@example.org]",
        "Quarterly figures",
        &[],
    );
    check(
        "exchange-2010",
        "assistant@example.org for chief@example.org to=bob@example.org to=dave@example.org[list team@example.org] \
         cc=erin@example.org[was frank@example.org] bcc=grace@example.org bcc=heidi@example.org[list quiet@example.org] \
         recipient=ivan@partner.example[list team@example.org][was judy@example.org]",
        "Plan",
        &[],
    );
    check(
        "exchange-2003",
        "anna@example.org recipient=bob@example.org recipient=carol@example.org recipient=jane@partner.example",
        "Lunch",
        &[],
    );
    check("misspelt-identifier", "anna@example.org recipient=bob@example.org recipient=jane@partner.example", "", &[]);
    check("microsoft-365", "zoë@example.org to=bob@example.org bcc=übersicht@partner.example", "Größen & Maße", &[]);
    check(
        "quoted-printable",
        "alice@example.org to=somebody.with.a.very.long.name.indeed@department.of.long.names.example.org[list all@example.org]",
        "",
        &[],
    );
    check(
        "rights-managed",
        "alice@example.org to=bob@example.org",
        "Secret plan",
        &["2 messages; the readable form is number 2"],
    );
    check("null-sender", "<> recipient=alice@example.org", "Undeliverable: Hello", &[]);
}

#[test]
fn the_message_is_a_range_of_the_octets_received() {
    let message = fixture("exchange-2007");
    let inner = "From: Alice <alice@partner.example>\r\nTo: Bob <bob@example.org>, board@example.org\r\nSubject: Quarterly \
                 figures\r\nMessage-ID: <inner-1@partner.example>\r\n\r\nThey are good.\r\n";
    assert_eq!(readable(&report(&message), &message), Some(inner.as_bytes()));
    let Some(Reported::Report { readable: Some(slice), .. }) = Reported::of(&message) else { panic!("a report") };
    assert_eq!(slice.of(&message), Some(inner.as_bytes()));
    assert_eq!(slice.of(&message[1..]).map(|found| found == inner.as_bytes()), Some(false));
    assert_eq!(slice.of(&message[..100]), None, "a range beyond the octets is none");
    let message = fixture("rights-managed");
    let inner = readable(&report(&message), &message).expect("readable");
    assert!(inner.ends_with(b"In the clear.\r\n"), "{}", inner.escape_ascii());
    let utf8 = fixture("microsoft-365");
    assert_eq!(report(&utf8).subject.as_deref(), Some("Größen & Maße"));
}

#[test]
fn what_cannot_be_unwrapped_still_says_who_got_it() {
    let encoded = report(&fixture("encoded-message"));
    assert_eq!(told(&encoded), "alice@example.org bcc=bob@example.org");
    assert!(
        matches!(&encoded.inner, Inner::Decoded(octets) if octets.starts_with(b"From: alice@example.org\r\nSubject: W"))
    );
    assert_eq!(encoded.problems, ["the message is encoded within the report, so the report is shown as it came"]);
    let tnef = report(&fixture("tnef"));
    assert_eq!((told(&tnef).as_str(), tnef.inner), ("alice@example.org bcc=bob@example.org", Inner::Closed));
    for name in ["encoded-message", "tnef"] {
        let reported = Reported::of(&fixture(name)).expect("a report");
        assert_eq!((reported.readable(), reported.envelope().map(|e| e.recipients.len())), (None, Some(1)), "{name}");
    }
}

#[test]
fn ordinary_mail_is_no_report() {
    for name in ["undeliverable-report", "plain-copy"] {
        assert_eq!(read(&fixture(name)), Ok(None), "{name}");
    }
    // A header is where fields are, and a field is where its name is.
    for message in [
        "",
        "X-MS-Journal-Report",
        "Subject: x\r\n X-MS-Journal-Report:\r\n\r\nx",
        "\r\nX-MS-Journal-Report:\r\n",
        "Content-Identifier: Journal\r\n\r\n",
    ] {
        assert_eq!(read(message.as_bytes()), Ok(None), "{message:?}");
    }
}

const STATEMENT: &str = "Sender: a@example.org\r\nSubject: s\r\nMessage-ID: <1@example.org>\r\nTo: b@example.org\r\n";
const MESSAGE: &str = "Content-Type: message/rfc822\r\n\r\nMessage-ID: <1@example.org>\r\n\r\nx\r\n";

/// A report of these parts, each with its header.
fn of_parts(header: &str, parts: &[&str]) -> Vec<u8> {
    let mut text = format!("{header}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
    for part in parts {
        write!(text, "--b\r\n{part}\r\n").expect("text");
    }
    (text + "--b--\r\n").into_bytes()
}

fn stating(statement: &str) -> Vec<u8> {
    of_parts("X-MS-Journal-Report:", &[&format!("\r\n{statement}"), MESSAGE])
}

#[test]
fn the_claim_may_be_given_twice_or_folded_and_have_words() {
    for header in [
        "X-MS-Journal-Report:",
        "x-ms-journal-report :",
        "X-MS-Journal-Report: x\r\nX-MS-Journal-Report: y",
        "X-MS-Journal-Report:\r\n x",
        "Content-Identifier:\r\n exjournalreport",
    ] {
        let message = of_parts(header, &[&format!("\r\n{STATEMENT}"), MESSAGE]);
        assert_eq!(told(&report(&message)), "a@example.org to=b@example.org", "{header}");
    }
}

#[test]
fn what_is_no_report_is_said_to_be_none() {
    let claim = "X-MS-Journal-Report:";
    let text = format!("\r\n{STATEMENT}");
    let html = format!("Content-Type: text/html\r\n\r\n{STATEMENT}");
    let unknown = format!("Content-Transfer-Encoding: x-rot13\r\n\r\n{STATEMENT}");
    let long = format!("\r\n{STATEMENT}{}", "x".repeat(STATEMENT_BYTES_MAX));
    for (message, reason) in [
        (format!("{claim}\r\n\r\n{STATEMENT}").into_bytes(), "is a multipart message"),
        (
            format!("{claim}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n").into_bytes(),
            "is a multipart message",
        ),
        (of_parts(claim, &[]), "is a multipart message"),
        (of_parts(claim, &[MESSAGE, &text]), "the first part of a journal report is plain text"),
        (of_parts(claim, &[&html, MESSAGE]), "the first part of a journal report is plain text"),
        (of_parts(claim, &[&unknown, MESSAGE]), "an encoding that cannot be read"),
        (of_parts(claim, &[&long, MESSAGE]), "longer than 4 MiB"),
        (of_parts(claim, &[&text]), "carries no message"),
        (of_parts(claim, &[&text, &text]), "carries no message"),
        (of_parts(claim, &[&text, "Content-Type: application/octet-stream\r\n\r\nx"]), "carries no message"),
        (of_parts(claim, &[&text, "Content-Type: message/rfc822\r\n"]), "is empty"),
        (stating("Message-ID: <1@example.org>\r\nTo: b@example.org\r\n"), "names no sender"),
        (stating("Sender: a@example.org\r\nMessage-ID: <1@example.org>\r\n"), "names no recipient"),
        (stating("Absender: a@example.org\r\nAn: b@example.org\r\n"), "names no sender"),
    ] {
        let malformed = read(&message).expect_err(reason).to_string();
        assert!(malformed.contains(reason), "{reason}: {malformed}");
        assert_eq!(Reported::of(&message), Some(Reported::Not(malformed)));
    }
}

#[test]
fn the_first_text_counts_and_others_are_named() {
    let other = "\r\nSender: mallory@evil.example\r\nBcc: victim@example.org\r\n";
    let message = of_parts("X-MS-Journal-Report:", &[&format!("\r\n{STATEMENT}"), other, MESSAGE]);
    let report = report(&message);
    assert_eq!(told(&report), "a@example.org to=b@example.org");
    assert_eq!(report.problems, ["1 parts that are no message"]);
}

#[test]
fn a_report_in_a_report_is_not_unwrapped() {
    let inside = String::from_utf8(fixture("exchange-2007")).expect("UTF-8");
    let part = format!("Content-Type: message/rfc822\r\n\r\n{inside}");
    let message = of_parts("X-MS-Journal-Report:", &[&format!("\r\n{STATEMENT}"), &part]);
    let report = report(&message);
    assert_eq!(told(&report), "a@example.org to=b@example.org");
    assert_eq!(readable(&report, &message), Some(inside.as_bytes()));
    assert_eq!(report.problems, ["the message has another Message-ID than the report gives"]);
}

#[test]
fn a_boundary_in_the_message_ends_it_and_shows() {
    let message = of_parts(
        "X-MS-Journal-Report:",
        &[&format!("\r\n{STATEMENT}"), &format!("{MESSAGE}--b\r\n\r\nBcc: victim@example.org\r\n")],
    );
    let found = report(&message);
    assert_eq!(told(&found), "a@example.org to=b@example.org");
    assert_eq!(readable(&found, &message), Some(&b"Message-ID: <1@example.org>\r\n\r\nx"[..]));
    assert_eq!(found.problems, ["1 parts that are no message"]);
    let whole = stating(STATEMENT);
    let cut = report(&whole[..whole.len() - 9]);
    assert_eq!(cut.problems, ["nothing follows the message: the report may be cut off"]);
    // The message's own boundary is the report's: the outer one ends it.
    let nested = "Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx";
    let message = of_parts("X-MS-Journal-Report:", &[&format!("\r\n{STATEMENT}"), nested]);
    assert_eq!(told(&report(&message)), "a@example.org to=b@example.org");
}

#[test]
fn a_subject_that_breaks_into_lines_adds_nobody() {
    for (statement, problems) in [
        (
            "Sender: a@example.org\r\nSubject: s\r\nBcc: victim@example.org\r\nMessage-ID: <1@example.org>\r\nTo: b@example.org",
            1,
        ),
        (
            "Sender: a@example.org\nSubject: s\nOn-Behalf-Of: victim@example.org\nMessage-ID: <1@example.org>\nTo: b@example.org",
            1,
        ),
        (
            "Sender: a@example.org\r\nSubject: s\r\nMessage-ID: <2@x>\r\nBcc: victim@example.org\r\nSender: m@evil.example\r\n\
             Message-ID: <1@example.org>\r\nTo: b@example.org",
            2,
        ),
        (
            "Sender: a@example.org\r\nSubject: s\r\nRecipients:\r\n\tvictim@example.org\r\nMessage-ID: <1@example.org>\r\nTo: b@example.org",
            1,
        ),
        (
            "Sender: a@example.org\r\nSubject: s\rBcc: victim@example.org\r\nMessage-ID: <1@example.org>\r\nTo: b@example.org",
            0,
        ),
    ] {
        let report = report(&stating(statement));
        assert_eq!(told(&report), "a@example.org to=b@example.org", "{statement:?}");
        assert_eq!(report.problems.len(), problems, "{:?}", report.problems);
    }
    let other_order = "Sender: a@example.org\r\nTo: b@example.org\r\nSubject: s\r\nMessage-ID: <1@example.org>\r\n";
    assert_eq!(told(&report(&stating(other_order))), "a@example.org to=b@example.org");
}

#[test]
fn hostile_recipient_lines_hurt_nobody() {
    let lines = "Bcc: \"victim@example.org\" <c@example.org>\r\nBcc: victim\r\nCc: d@example.org\rBcc: victim@example.org\r\n\
                 Bcc: <>\r\nBcc: /O=ORG/CN=EVE\r\nTo: \"x, Expanded: victim@example.org\"@example.org\r\n\
                 To: e@example.org, Expanded: nonsense\r\n";
    let report = report(&stating(&format!("{STATEMENT}{lines}")));
    let expected = "a@example.org to=b@example.org bcc=c@example.org to=\"x, Expanded: victim@example.org\"@example.org to=e@example.org";
    assert_eq!(told(&report), expected);
    assert_eq!(report.problems.len(), 5, "{:?}", report.problems);
    assert_eq!(report.problems[1], "a recipient is no address: d@example.org?Bcc: victim@example.org");
    assert!(report.envelope.recipients.iter().all(|r| r.expanded_from.is_none()));
}

#[test]
fn bounds_hold() {
    let with = |n: usize| {
        let mut statement = "Sender: a@example.org\r\nMessage-ID: <1@example.org>\r\n".to_owned();
        (0..n).for_each(|n| writeln!(statement, "Bcc: u{n}@example.org, Expanded: all@example.org\r").expect("text"));
        report(&stating(&statement))
    };
    let full = with(RECIPIENTS_MAX);
    assert_eq!((full.envelope.recipients.len(), full.problems.len()), (RECIPIENTS_MAX, 0));
    let over = with(RECIPIENTS_MAX + 1);
    assert_eq!(over.envelope.recipients.len(), RECIPIENTS_MAX);
    assert_eq!(over.problems, ["only the first 10,000 recipients are read"]);
    assert_eq!(over.envelope.recipients[9_999].kind, RecipientKind::Bcc);
    let wrong = report(&stating(&format!("{STATEMENT}{}", "To: nobody\r\n".repeat(1000))));
    assert_eq!(wrong.problems.len(), PROBLEMS_MAX + 1);
    assert_eq!(wrong.problems.last().map(String::as_str), Some("and 980 more"));
    // Each would take for ever if a comma, a bracket or a quote were looked at from every other one.
    for line in [",", "<", "\"", ", Expanded", ", Expanded:", "@", "\\", "\n", ":"] {
        let statement = format!("{STATEMENT}To: {}", line.repeat(3_000_000 / line.len()));
        assert_eq!(told(&report(&stating(&statement))), "a@example.org to=b@example.org", "{line}");
    }
}
