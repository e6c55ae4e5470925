//! What senders are told (RFC 3461): of failures, delays and relaying, as far as they asked, and with what comes back.

use crate::support::{Client, Delivered, Gateway, Options, Sink, eventually, free_port};
use std::time::Duration;

const MESSAGE: &[u8] =
    b"From: alice@example.org\r\nTo: bob@partner.example, carol@partner.example\r\nSubject: x\r\n\r\nbody\r\n";

/// One message with DSN parameters of its own.
fn submit(gateway: &Gateway, mail: &str, recipients: &[&str]) {
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    assert!(client.command(&format!("MAIL FROM:<alice@example.org> {mail}")).starts_with("250"), "{mail}");
    for recipient in recipients {
        assert!(client.command(&format!("RCPT TO:{recipient}")).starts_with("250"), "{recipient}");
    }
    assert!(client.command("DATA").starts_with("354"));
    client.send(MESSAGE);
    assert!(client.command(".").starts_with("250"));
}

fn assert_lines(one: &Delivered, lines: &[&str]) {
    let text = one.text();
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "{line} in\n{text}");
    }
}

fn refusing(recipient: &str) -> String {
    match recipient.starts_with("gone") {
        true => "550 5.1.1 no such user".to_owned(),
        false => "250 2.1.5 OK".to_owned(),
    }
}

#[test]
fn a_failure_brings_back_what_was_asked_for() {
    let sink = Sink::with_manners(refusing);
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let recipient = "<gone@partner.example> NOTIFY=FAILURE ORCPT=rfc822;g+2Bone@partner.example";
    submit(&gateway, "RET=FULL ENVID=QQ+2B1", &[recipient]);
    let whole = sink.wait_for(1, Duration::from_secs(30)).pop().expect("one");
    assert_lines(
        &whole,
        &[
            "Original-Envelope-Id: QQ+1",
            "Original-Recipient: rfc822; g+one@partner.example",
            "Action: failed",
            "Content-Type: message/rfc822",
            "body",
        ],
    );
    submit(&gateway, "RET=HDRS", &["<gone@partner.example>"]);
    let header = sink.wait_for(2, Duration::from_secs(30)).pop().expect("one");
    assert_lines(&header, &["Content-Type: text/rfc822-headers", "Subject: x"]);
    assert!(!header.text().contains("\nbody"), "{}", header.text());
}

#[test]
fn who_asked_for_silence_gets_it() {
    let sink = Sink::with_manners(refusing);
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    submit(&gateway, "", &["<gone@partner.example> NOTIFY=NEVER", "<gone2@partner.example> NOTIFY=SUCCESS,DELAY"]);
    eventually("both have failed", Duration::from_secs(20), || {
        let audit = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
        (audit.lines().filter(|line| line.contains("\"failed\"")).count() == 2).then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(sink.count(), 0);
}

#[test]
fn success_is_reported_only_where_the_next_hop_does_not() {
    for (sink, expected) in [(Sink::without("DSN", refusing), true), (Sink::with_manners(refusing), false)] {
        let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
        submit(&gateway, "RET=FULL", &["<bob@partner.example> NOTIFY=SUCCESS", "<carol@partner.example>"]);
        let arrived = sink.wait_for(if expected { 2 } else { 1 }, Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(sink.count(), arrived.len());
        let report = arrived.iter().find(|one| one.sender.is_empty());
        assert_eq!(report.is_some(), expected);
        if let Some(report) = report {
            assert_eq!(report.recipients, ["alice@example.org"]);
            assert_lines(report, &["Action: relayed", "Final-Recipient: rfc822; bob@partner.example", "Status: 2.0.0"]);
            assert!(
                !report.text().contains("Recipient: rfc822; carol") && !report.text().contains("\nbody"),
                "{}",
                report.text()
            );
        }
        let bob = arrived.iter().find(|one| !one.sender.is_empty()).expect("the message");
        assert_eq!(bob.commands.iter().any(|line| line.contains("NOTIFY=SUCCESS")), !expected, "{:?}", bob.commands);
    }
}

#[test]
fn a_delay_is_told_once_even_across_a_restart() {
    let port = free_port();
    let more = "[queue]\nretry_s = [1]\ndelay_warning_s = 2\n".to_owned();
    // Notifications to alice go where they arrive; bob's next hop is down.
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), more, ..Options::default() });
    gateway.edit_config(|text| {
        let dead = format!("[[route]]\ndomains = [\"dead.example\"]\nnext_hop = \"127.0.0.1:{port}\"\n\n[[route]]");
        text.replacen("[[route]]", &dead, 1)
    });
    gateway.serve();
    submit(&gateway, "", &["<bob@dead.example>", "<carol@dead.example> NOTIFY=FAILURE"]);
    // A second one behind the route that is down is never tried, and its sender is told all the same.
    submit(&gateway, "ENVID=second", &["<dan@dead.example> NOTIFY=DELAY"]);
    let mut warnings = sink.wait_for(2, Duration::from_secs(30));
    warnings.sort_by_key(|one| one.text().contains("second"));
    assert_lines(&warnings[0], &["Action: delayed", "Final-Recipient: rfc822; bob@dead.example", "Subject: x"]);
    assert!(
        warnings[0].text().contains("Will-Retry-Until: ") && !warnings[0].text().contains("Recipient: rfc822; carol")
    );
    assert_lines(&warnings[1], &["Final-Recipient: rfc822; dan@dead.example"]);
    // A result nobody waits for is durable soon.
    std::thread::sleep(Duration::from_millis(600));
    gateway.kill();
    gateway.serve();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(sink.count(), 2, "once each");
    let late = Sink::on_port(port);
    gateway.must(&["queue", "retry", "--all"]);
    late.wait_for(2, Duration::from_secs(30));
}
