use super::*;

fn address(text: &str) -> Address {
    Address::parse(text).expect("address")
}

fn about(diagnostic: &str) -> About {
    About {
        address: address("nobody@partner.example"),
        orcpt: Some("rfc822;no+2Bbody@partner.example".into()),
        status: "5.1.1".into(),
        next_hop: "127.0.0.1:2526".into(),
        diagnostic: diagnostic.into(),
        at: Timestamp::from_s(50),
    }
}

struct Wish<'a> {
    action: Action,
    wanted: Return,
    to: &'a str,
    about: About,
    message: &'a [u8],
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Wish {
            action: Action::Failed,
            wanted: Return::Header,
            to: "alice@example.org",
            about: about("550 5.1.1 no such user"),
            message: b"From: alice@example.org\r\nSubject: secret\r\n\r\nthe body\r\n",
        }
    }
}

fn composed(wish: &Wish<'_>) -> String {
    let octets = compose(&Report {
        hostname: "gw.example.org",
        id: MailId::from_octets([2; 16]),
        about: MailId::from_octets([1; 16]),
        arrived: Timestamp::from_s(0),
        now: Timestamp::from_s(60),
        to: &address(wish.to),
        envid: Some("QQ+3D314159"),
        action: wish.action,
        recipients: std::slice::from_ref(&wish.about),
        message: wish.message,
        wanted: wish.wanted,
    });
    String::from_utf8(octets).expect("UTF-8")
}

fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "{line} in\n{text}");
    }
}

#[test]
fn has_the_three_parts_of_a_report() {
    let text = composed(&Wish::default());
    let parsed = mail_parser::MessageParser::default().parse(text.as_bytes()).expect("a message");
    assert_eq!(parsed.attachment_count() + parsed.text_body_count(), 3);
    assert_lines(
        &text,
        &[
            "Auto-Submitted: auto-replied",
            "Content-Type: message/delivery-status",
            "Content-Type: text/rfc822-headers",
            "Original-Envelope-Id: QQ=314159",
            "Reporting-MTA: dns; gw.example.org",
            "Original-Recipient: rfc822; no+body@partner.example",
            "Final-Recipient: rfc822; nobody@partner.example",
            "Action: failed",
            "Status: 5.1.1",
            "Remote-MTA: dns; 127.0.0.1",
            "Diagnostic-Code: smtp; 550 5.1.1 no such user",
            "Last-Attempt-Date: Thu, 1 Jan 1970 00:00:50 +0000",
            "Subject: secret",
        ],
    );
    assert!(!text.contains("the body"), "the header alone was wanted");
    assert!(!text.contains("Will-Retry-Until"));
}

#[test]
fn a_delay_says_until_when() {
    let action = Action::Delayed { until: Timestamp::from_s(432_000) };
    let text = composed(&Wish { action, wanted: Return::Full, ..Wish::default() });
    assert_lines(&text, &["Action: delayed", "Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000"]);
    assert!(text.contains("need not send it again") && !text.contains("the body"), "{text}");
}

#[test]
fn what_is_relayed_is_said_to_be() {
    let text = composed(&Wish { action: Action::Relayed, ..Wish::default() });
    assert_lines(&text, &["Action: relayed", "Subject: Mail Relayed"]);
}

#[test]
fn the_whole_message_goes_back_where_it_can() {
    let whole = |message: &[u8]| composed(&Wish { wanted: Return::Full, message, ..Wish::default() });
    let text = whole(b"Subject: x\r\n\r\nthe body\r\n");
    assert!(text.contains("Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nthe body\r\n"), "{text}");
    let eight_bit = whole("Subject: x\r\n\r\nthe b\u{f6}dy\r\n".as_bytes());
    assert!(eight_bit.is_ascii() && eight_bit.contains("text/rfc822-headers"), "{eight_bit}");
    let huge = [b"Subject: x\r\n\r\n".as_slice(), &b"0123456789\r\n".repeat(100_000)].concat();
    assert!(whole(&huge).len() < 4096, "bounded");
}

#[test]
fn a_sender_beyond_ascii_gets_a_global_report() {
    let name = "Subject: gr\u{fc}\u{df}e\r\n\r\nx\r\n";
    let to = "p\u{e9}l\u{e9}@example.org";
    let wish = |to, message| Wish {
        to,
        message,
        about: About { address: address("d\u{f6}rte@partner.example"), ..about("550 nein \u{fc}") },
        ..Wish::default()
    };
    let text = composed(&wish(to, name.as_bytes()));
    assert_lines(
        &text,
        &[
            "Content-Type: message/global-delivery-status",
            "Content-Type: message/global-headers",
            "Final-Recipient: utf-8; d\u{f6}rte@partner.example",
            "Subject: gr\u{fc}\u{df}e",
        ],
    );
    let ascii = composed(&wish("alice@example.org", name.as_bytes()));
    assert!(ascii.is_ascii(), "{ascii}");
    assert_lines(&ascii, &["Final-Recipient: utf-8; d\\x{F6}rte@partner.example", "Subject: gr????e"]);
}

#[test]
fn what_we_found_ourselves_is_not_said_to_come_from_a_server() {
    let text = composed(&Wish { about: About { next_hop: String::new(), ..about("no route") }, ..Wish::default() });
    assert_lines(&text, &["Diagnostic-Code: x-sealpost; no route"]);
    assert!(!text.contains("Remote-MTA"), "{text}");
}

#[test]
fn a_hostile_reply_stays_in_its_line() {
    let text = composed(&Wish { about: about("550 bad\r\nStatus: 2.0.0\u{fc}"), ..Wish::default() });
    assert!(!text.lines().any(|l| l.starts_with("Status: 2.0.0")), "{text}");
    let envid = composed(&Wish::default()).replace("QQ", "");
    assert!(envid.contains("Original-Envelope-Id: =314159"), "{envid}");
}

#[test]
fn an_eight_bit_header_goes_back_in_seven() {
    let message = "Subject: gr\u{fc}\u{df}e\0\r\n\r\nx";
    let text = composed(&Wish { message: message.as_bytes(), ..Wish::default() });
    assert!(text.is_ascii() && text.contains("\r\nSubject: gr????e?\r\n"), "{text}");
}

#[test]
fn a_huge_header_is_cut_at_a_line() {
    let message = "X-Long: 0123456789\r\n".repeat(10_000);
    let text = composed(&Wish { message: message.as_bytes(), ..Wish::default() });
    assert!(text.len() < returned::HEADER_BYTES_MAX + 4096);
    assert!(text.lines().all(|l| !l.starts_with("X-Long") || l == "X-Long: 0123456789"));
}
