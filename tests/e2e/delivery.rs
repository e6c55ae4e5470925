//! Delivery: retries with the same octets, restarts, failures told to the sender, TLS to the next hop.

use crate::support::{Client, Gateway, Options, Sink, eventually, free_port};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const MESSAGE: &[u8] = b"From: alice@example.org\r\nTo: bob@partner.example\r\nSubject: x\r\n\r\nbody\r\n";

fn send(gateway: &Gateway, sender: &str, recipients: &[&str]) -> String {
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    client.deliver(sender, recipients, MESSAGE)
}

#[test]
fn deferred_mail_is_tried_again_and_survives_a_kill_with_the_same_octets() {
    let port = free_port();
    let mut gateway = Gateway::start(&Options { next_hop: port, ..Options::default() });
    let reply = send(&gateway, "alice@example.org", &["bob@partner.example"]);
    let id = reply.rsplit(' ').next().expect("an id").to_owned();
    let deferred = |gateway: &Gateway| {
        let rows = gateway.json(&["queue", "list"]);
        let row = rows.into_iter().find(|row| row["id"] == id.as_str())?;
        (row["rcpt"][0]["state"] == "deferred").then_some(row)
    };
    let row = eventually("the message is deferred", Duration::from_secs(20), || deferred(&gateway));
    assert_eq!(row["from"], "alice@example.org");
    assert!(row["rcpt"][0]["reply"].as_str().is_some_and(|reply| reply.contains("refused")), "{row}");
    gateway.kill();
    gateway.serve();
    let sink = Sink::on_port(port);
    gateway.must(&["queue", "retry", "--all"]);
    let arrived = sink.wait_for(1, Duration::from_secs(30));
    assert_eq!(arrived[0].below_received(), MESSAGE);
    assert!(arrived[0].text().contains(&id), "our id stands in Received");
    eventually("the queue is empty", Duration::from_secs(20), || {
        gateway.json(&["queue", "list"]).is_empty().then_some(())
    });
    gateway.stop();
    assert_eq!(sink.count(), 1, "once");
}

#[test]
fn each_recipient_has_its_own_result() {
    static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);
    let sink = Sink::with_manners(|recipient| match recipient {
        "gone@partner.example" => "550 5.1.1 no such user".to_owned(),
        "later@partner.example" if ATTEMPTS.fetch_add(1, Ordering::SeqCst) == 0 => "451 4.2.0 not now".to_owned(),
        _ => "250 2.1.5 OK".to_owned(),
    });
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let recipients = ["bob@partner.example", "gone@partner.example", "later@partner.example"];
    assert!(send(&gateway, "alice@example.org", &recipients).starts_with("250 "));
    let arrived = sink.wait_for(3, Duration::from_secs(30));
    let to = |recipient: &str| arrived.iter().filter(|one| one.recipients.iter().any(|r| r == recipient)).count();
    assert_eq!((to("bob@partner.example"), to("later@partner.example")), (1, 1));
    let bounce = arrived.iter().find(|one| one.sender.is_empty()).expect("a notification");
    assert_eq!(bounce.recipients, ["alice@example.org"]);
    let text = bounce.text();
    for line in [
        "Final-Recipient: rfc822; gone@partner.example",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "Auto-Submitted: auto-replied",
        "Subject: x",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    assert!(!text.contains("later@partner.example") && !text.contains("\nbody"), "{text}");
}

#[test]
fn a_null_sender_is_never_answered() {
    let sink = Sink::with_manners(|recipient| match recipient {
        "gone@partner.example" => "550 5.1.1 no such user".to_owned(),
        _ => "250 2.1.5 OK".to_owned(),
    });
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    assert!(send(&gateway, "", &["gone@partner.example"]).starts_with("250 "));
    eventually("the recipient has failed", Duration::from_secs(20), || {
        let audit = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
        audit.lines().any(|line| line.contains("\"failed\"") && line.contains("gone@partner.example")).then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(sink.count(), 0, "no bounce");
    assert!(gateway.json(&["queue", "list"]).is_empty());
}

#[test]
fn mail_too_old_is_returned() {
    let port = free_port();
    let more = "[queue]\nretry_s = [1]\nlifetime_s = 2\n".to_owned();
    let gateway = Gateway::start(&Options { next_hop: port, more, ..Options::default() });
    assert!(send(&gateway, "alice@example.org", &["bob@partner.example"]).starts_with("250 "));
    std::thread::sleep(Duration::from_secs(4));
    let sink = Sink::on_port(port);
    let arrived = sink.wait_for(1, Duration::from_secs(30));
    assert!(arrived[0].sender.is_empty(), "{}", arrived[0].text());
    assert!(arrived[0].text().contains("Status: 5.4.7"), "{}", arrived[0].text());
}

/// Two gateways in a row: the first speaks STARTTLS to the second.
#[test]
fn tls_to_the_next_hop_as_the_route_says() {
    let sink = Sink::start();
    let second = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    for (tls, expected) in [("opportunistic", true), ("required", true), ("verified", true), ("none", false)] {
        let first = Gateway::prepare(&Options { next_hop: second.ports.outbound, ..Options::default() });
        let ca = second.ca();
        first.edit_config(|text| {
            let route = format!("tls = \"{tls}\"\nca_file = \"{}\"", ca.display());
            // The gateway's certificate names localhost.
            text.replace("tls = \"opportunistic\"", &route)
                .replace("next_hop = \"127.0.0.1:", "next_hop = \"localhost:")
        });
        let mut first = first;
        first.serve();
        let before = sink.count();
        assert!(send(&first, "alice@example.org", &["bob@partner.example"]).starts_with("250 "), "{tls}");
        let arrived = sink.wait_for(before + 1, Duration::from_secs(30)).pop().expect("one");
        let trace = arrived.text();
        assert_eq!(trace.contains("with ESMTPS (TLSv1.3"), expected, "{tls}: {trace}");
    }
}

#[test]
fn required_tls_is_never_given_up() {
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.edit_config(|text| text.replace("tls = \"opportunistic\"", "tls = \"required\""));
    gateway.serve();
    assert!(send(&gateway, "alice@example.org", &["bob@partner.example"]).starts_with("250 "));
    eventually("the message is deferred", Duration::from_secs(20), || {
        let rows = gateway.json(&["queue", "list"]);
        let reply = rows.first()?["rcpt"][0]["reply"].as_str()?.to_owned();
        reply.contains("TLS is required").then_some(())
    });
    assert_eq!(sink.count(), 0);
}
