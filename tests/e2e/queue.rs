//! The administrator's hands on the queue: list, show, retry, park, release, drop; with a running server and with a stopped one.

use crate::support::{Client, Gateway, Options, Sink, eventually, free_port};
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Hands over a message; its id.
fn send(gateway: &Gateway, sender: &str, recipients: &[&str], body: &str) -> String {
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let message = format!("From: alice@example.org\r\nTo: {}\r\nSubject: x\r\n\r\n{body}\r\n", recipients.join(", "));
    let reply = client.deliver(sender, recipients, message.as_bytes());
    assert!(reply.starts_with("250 "), "{reply}");
    reply.rsplit(' ').next().expect("an id").to_owned()
}

/// A gateway whose next hop is down, with long waits.
fn stuck(port: u16) -> Gateway {
    let more = "[queue]\nretry_s = [600]\n".to_owned();
    Gateway::start(&Options { next_hop: port, more, ..Options::default() })
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["id"].as_str()).collect()
}

#[test]
fn lists_are_filtered_and_show_why_mail_waits() {
    let gateway = stuck(free_port());
    let one = send(&gateway, "alice@example.org", &["bob@partner.example", "carol@other.example"], "1");
    let two = send(&gateway, "dan@example.org", &["bob@partner.example"], "2");
    let three = send(&gateway, "", &["erin@other.example"], "3");
    // The route is down after the first attempt; those behind it say so too.
    eventually("all wait for the route", SOON, || {
        let rows = gateway.json(&["queue", "list", "--state", "deferred"]);
        let reason = |row: &Value| row["rcpt"][0]["reply"].as_str().is_some_and(|reply| reply.contains("refused"));
        let listed = gateway.json(&["queue", "list"]);
        (!rows.is_empty() && listed.len() == 3 && listed.iter().all(reason)).then_some(())
    });
    let list = |arguments: &[&str]| gateway.json(&[&["queue", "list"], arguments].concat());
    for (arguments, expected) in [
        (&["--from", "*@example.org"][..], vec![&one, &two]),
        (&["--from", "<>"], vec![&three]),
        (&["--to", "*@other.example"], vec![&one, &three]),
        (&["--to", "bob@partner.example", "--from", "dan@example.org"], vec![&two]),
        (&["--older-than", "1h"], vec![]),
        (&["--state", "parked"], vec![]),
        (&[&two], vec![&two]),
    ] {
        assert_eq!(ids(&list(arguments)), expected, "{arguments:?}");
    }
    let shown = &gateway.json(&["queue", "show", &one])[0];
    assert_eq!(shown["client"]["ip"], "127.0.0.1");
    assert_eq!(shown["renditions"][0]["recipients"].as_array().map(Vec::len), Some(2));
    assert!(shown["why"].as_array().is_some_and(|why| why.len() == 2), "{shown}");
    assert!(gateway.must(&["queue", "show", &one]).contains("carol@other.example"));
}

#[test]
fn parked_mail_waits_over_a_kill_until_it_is_released() {
    let port = free_port();
    let mut gateway = stuck(port);
    let parked = send(&gateway, "alice@example.org", &["bob@partner.example"], "parked");
    let half = send(&gateway, "alice@example.org", &["carol@partner.example", "dan@partner.example"], "half");
    let done = gateway.json(&["queue", "park", &parked, "--reason", "looks odd"]);
    assert_eq!((&done[0]["done"], &done[0]["recipients"]), (&"parked".into(), &1.into()), "{done:?}");
    gateway.must(&["queue", "park", "--to", "dan@partner.example"]);
    gateway.kill();
    gateway.serve();
    let row = &gateway.json(&["queue", "list", &parked])[0];
    assert_eq!((&row["state"], &row["rcpt"][0]["reply"]), (&"parked".into(), &"looks odd".into()), "{row}");
    let sink = Sink::on_port(port);
    gateway.must(&["queue", "retry", "--all"]);
    let arrived = sink.wait_for(1, SOON);
    assert_eq!(arrived[0].recipients, ["carol@partner.example"]);
    gateway.seal();
    assert_eq!(gateway.json(&["queue", "list"]).len(), 2, "both rest");
    let audit = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
    assert!(audit.lines().any(|line| line.contains("\"parked\"") && line.contains("looks odd")), "{audit}");
    gateway.must(&["queue", "release", &parked]);
    gateway.must(&["queue", "release", "--state", "parked"]);
    let arrived = sink.wait_for(3, SOON);
    assert_eq!(arrived.iter().filter(|one| one.text().contains(&half)).count(), 2);
    eventually("the queue is empty", SOON, || gateway.json(&["queue", "list"]).is_empty().then_some(()));
    gateway.verified("2");
}

#[test]
fn dropped_mail_is_gone_from_the_queue_and_stays_in_the_archive() {
    let port = free_port();
    let gateway = stuck(port);
    let id = send(&gateway, "alice@example.org", &["bob@partner.example"], "unwanted");
    let failed = eventually("it is dropped", SOON, || {
        // The first attempt may be under way: then the command says so and may be repeated.
        let output = gateway.cli(&["queue", "drop", &id, "--reason", "test"]);
        match output.status.code() {
            Some(75) => None,
            code => Some(code),
        }
    });
    assert_eq!(failed, Some(0));
    assert!(gateway.json(&["queue", "list"]).is_empty());
    assert_eq!(gateway.cli(&["queue", "drop", &id]).status.code(), Some(1), "nothing is left to drop");
    gateway.seal();
    let rows = gateway.json(&["archive", "list"]);
    assert_eq!(ids(&rows), [id.as_str()]);
    gateway.verified("2");
    let sink = Sink::on_port(port);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(sink.count(), 0, "nobody is told");
}

#[test]
fn returned_mail_tells_its_sender() {
    let sink = Sink::with_manners(|recipient| match recipient {
        "bob@partner.example" => "451 4.2.0 not now".to_owned(),
        _ => "250 2.1.5 OK".to_owned(),
    });
    let more = "[queue]\nretry_s = [600]\n".to_owned();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    send(&gateway, "alice@example.org", &["bob@partner.example"], "body");
    eventually("it is deferred", SOON, || {
        (!gateway.json(&["queue", "list", "--state", "deferred"]).is_empty()).then_some(())
    });
    gateway.must(&["queue", "drop", "--all", "--notify", "--reason", "left the company"]);
    let told = sink.wait_for(1, SOON).remove(0);
    assert_eq!((told.sender.as_str(), &told.recipients[..]), ("", &["alice@example.org".to_owned()][..]));
    let text = told.text();
    assert!(text.contains("Action: failed") && text.contains("left the company"), "{text}");
    eventually("the queue is empty", SOON, || gateway.json(&["queue", "list"]).is_empty().then_some(()));
}

#[test]
fn a_stopped_server_changes_nothing_about_it() {
    let port = free_port();
    let mut gateway = stuck(port);
    let keep = send(&gateway, "alice@example.org", &["bob@partner.example"], "keep");
    let drop = send(&gateway, "alice@example.org", &["carol@partner.example"], "drop");
    let retry = send(&gateway, "alice@example.org", &["dan@partner.example"], "retry");
    gateway.stop();
    assert_eq!(ids(&gateway.json(&["queue", "list"])), [&keep, &drop, &retry]);
    assert_eq!(gateway.json(&["queue", "show", &keep])[0]["id"], keep.as_str());
    gateway.must(&["queue", "park", &keep]);
    gateway.must(&["queue", "drop", &drop]);
    gateway.must(&["queue", "retry", "--all"]);
    let sink = Sink::on_port(port);
    gateway.serve();
    let arrived = sink.wait_for(1, SOON);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(sink.count(), 1);
    assert_eq!(arrived[0].recipients, ["dan@partner.example"]);
    gateway.stop();
    gateway.must(&["queue", "release", "--all"]);
    gateway.serve();
    sink.wait_for(2, SOON);
    gateway.seal();
    gateway.verified("2");
}

/// A disk that has spoiled a message: it is fenced, and the rest goes on.
#[test]
fn mail_that_cannot_be_read_is_parked_with_its_reason() {
    let port = free_port();
    let more = "[queue]\nretry_s = [1]\n[archive]\nseal_after_s = 3600\n".to_owned();
    let mut gateway = Gateway::start(&Options { next_hop: port, more, ..Options::default() });
    // Long enough to be streamed, so that its pieces stand apart from its record.
    let body = "0123456789abcdef\r\n".repeat(20_000);
    let spoilt = send(&gateway, "alice@example.org", &["bob@partner.example"], &body);
    gateway.kill();
    let journal = std::fs::read_dir(gateway.dir().join("journal")).expect("a journal");
    for path in journal.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()) {
        let mut octets = std::fs::read(&path).expect("a journal file");
        if octets.len() > 200_000 {
            octets[150_000] ^= 1;
            std::fs::write(&path, octets).expect("spoilt");
        }
    }
    gateway.serve();
    let sound = send(&gateway, "alice@example.org", &["carol@partner.example"], "sound");
    let row = eventually("it is parked", SOON, || {
        gateway.json(&["queue", "list", "--state", "parked"]).into_iter().find(|row| row["id"] == spoilt.as_str())
    });
    let reason = row["rcpt"][0]["reply"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("twice") && reason.contains("cannot be read"), "{reason}");
    let sink = Sink::on_port(port);
    gateway.must(&["queue", "retry", "--all"]);
    let arrived = sink.wait_for(1, SOON);
    assert!(arrived[0].text().contains(&sound), "the rest goes on");
}
