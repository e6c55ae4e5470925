//! What a next hop lacks is its own affair: the others of the list are asked, and a message fails when none can carry it.

use super::{Dns, Known, OFFERS, PATIENCE, Script, Sink, event, gateway, prepared, say, say_and_close, started};
use crate::support::{Client, Gateway, eventually, free_port, smtp};
use std::net::Ipv4Addr;

/// Needs SMTPUTF8 for its header, 8BITMIME for its octets, and more room than [`SMALL`] has.
const UTF8: &[u8] = b"From: alice@example.org\r\nSubject: \xc3\xbc\r\n\r\nbody \xc3\xbc\r\n";
/// Lacks 8BITMIME.
const SEVEN_BIT: &str = "SMTPUTF8";
/// Lacks SMTPUTF8.
const ASCII: &str = "8BITMIME";
/// Takes 10 octets.
const SMALL: &str = "8BITMIME\nSMTPUTF8\nSIZE 10";

fn send(gateway: &Gateway, recipient: &str) {
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    for line in ["MAIL FROM:<alice@example.org> BODY=8BITMIME SMTPUTF8", &format!("RCPT TO:<{recipient}>"), "DATA"] {
        let reply = client.command(line);
        assert!(reply.starts_with(['2', '3']), "{line}: {reply}");
    }
    client.send(&smtp::stuffed(&[format!("To: {recipient}\r\n").as_bytes(), UTF8].concat()));
    assert!(client.reply().starts_with("250 "), "{recipient}");
}

fn route(domain: &str, ports: &[u16]) -> String {
    let hops: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    format!("[[route]]\ndomains = [\"{domain}\"]\nnext_hop = [{}]\ntls = \"none\"\n", hops.join(", "))
}

/// What the audit trail says first about a recipient.
fn first(gateway: &Gateway, recipient: &str) -> (String, String) {
    eventually(&format!("{recipient}: a result"), PATIENCE, || {
        let text = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let found = lines.find(|line| line["recipient"] == recipient && line["event"] != "accepted")?;
        let word = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        Some((word("event"), word("detail")))
    })
}

fn offered_mail(hop: &Script) -> bool {
    hop.commands().iter().any(|line| line.starts_with("MAIL"))
}

#[test]
fn a_next_hop_that_can_carry_a_message_gets_it_whoever_stands_before() {
    let sink = Sink::start();
    let (seven_bit, ascii, small) =
        (Script::start(SEVEN_BIT, |_| None), Script::start(ASCII, |_| None), Script::start(SMALL, |_| None));
    let cases: [(&str, &[&Script]); 4] = [
        ("8bit.example", &[&seven_bit]),
        ("utf8.example", &[&ascii]),
        ("size.example", &[&small]),
        ("all.example", &[&small, &ascii, &seven_bit]),
    ];
    let routes = cases.iter().map(|(domain, hops)| {
        let ports: Vec<u16> = hops.iter().map(|hop| hop.port()).chain([sink.port()]).collect();
        route(domain, &ports)
    });
    let gateway = gateway(&sink, &routes.collect::<String>());
    for (domain, _) in cases {
        // The second one finds the connections of the first open.
        for local in ["bob", "carol"] {
            let to = format!("{local}@{domain}");
            send(&gateway, &to);
            assert_eq!(first(&gateway, &to), ("delivered".into(), "250 2.0.0 kept".into()), "{to}");
        }
    }
    assert_eq!(sink.count(), 8);
    for hop in [&seven_bit, &ascii, &small] {
        assert!(hop.sessions() > 0 && !offered_mail(hop), "asked, and offered nothing");
    }
}

#[test]
fn a_message_that_no_next_hop_can_carry_fails_with_what_is_missing() {
    let sink = Sink::start();
    let (seven_bit, ascii, small) =
        (Script::start(SEVEN_BIT, |_| None), Script::start(ASCII, |_| None), Script::start(SMALL, |_| None));
    let cases: [(&str, &[&Script], &str, &str); 3] = [
        ("one.example", &[&small], "takes at most 10", "5.3.4"),
        ("two.example", &[&seven_bit, &ascii], "SMTPUTF8", "5.6.7"),
        ("three.example", &[&small, &ascii, &seven_bit], "8BITMIME", "5.6.3"),
    ];
    let routes = cases.iter().map(|(domain, hops, ..)| {
        let ports: Vec<u16> = hops.iter().map(|hop| hop.port()).collect();
        route(domain, &ports)
    });
    let gateway = gateway(&sink, &routes.collect::<String>());
    for (domain, _, words, status) in cases {
        let to = format!("bob@{domain}");
        send(&gateway, &to);
        let (event, detail) = first(&gateway, &to);
        assert!(event == "failed" && detail.contains(words), "{to}: {event}: {detail}");
        eventually(&format!("a report with {status}"), PATIENCE, || {
            sink.all().iter().any(|one| one.text().contains(&format!("Status: {status}"))).then_some(())
        });
    }
    assert_eq!((small.sessions(), ascii.sessions(), seven_bit.sessions()), (2, 2, 2), "each was asked");
}

#[test]
fn a_next_hop_that_is_away_may_be_the_one_that_can_carry_it() {
    let sink = Sink::start();
    let lacking = Script::start(SEVEN_BIT, |_| None);
    let busy = Script::start(OFFERS, |m| (m.verb == "connect").then(|| say_and_close("421 4.3.2 busy")));
    let grey = Script::start("8BITMIME\nSMTPUTF8", |m| (m.verb == "RCPT").then(|| say("450 4.2.0 grey")));
    let away = free_port();
    let cases: [(&str, [u16; 2], &str); 5] = [
        ("behind.example", [lacking.port(), away], "refused"),
        ("before.example", [away, lacking.port()], "refused"),
        ("busy-behind.example", [lacking.port(), busy.port()], "421 4.3.2 busy"),
        ("busy-before.example", [busy.port(), lacking.port()], "421 4.3.2 busy"),
        ("grey-before.example", [grey.port(), lacking.port()], "450 4.2.0 grey"),
    ];
    let routes = cases.iter().map(|(domain, ports, _)| route(domain, ports));
    let gateway = gateway(&sink, &routes.collect::<String>());
    for (domain, _, words) in cases {
        let to = format!("bob@{domain}");
        send(&gateway, &to);
        let (event, detail) = first(&gateway, &to);
        assert!(event == "deferred" && detail.contains(words), "{to}: {event}: {detail}");
    }
    let back = Sink::on_port(away);
    grey.be_good();
    for domain in ["behind.example", "before.example", "grey-before.example"] {
        event(&gateway, &format!("bob@{domain}"), "delivered");
    }
    assert_eq!((back.count(), grey.seen().len()), (2, 1));
    assert!(!offered_mail(&lacking));
}

/// A reply is about the message, not about the next hop.
#[test]
fn a_refusal_in_words_stays_one() {
    let sink = Sink::start();
    let full = "8BITMIME\nSMTPUTF8\nSIZE";
    let large = Script::start(full, |m| (m.verb == "MAIL").then(|| say("552 5.3.4 too large")));
    let unknown = Script::start(full, |m| (m.verb == "RCPT").then(|| say("550 5.1.1 who?")));
    let lacking = Script::start(ASCII, |_| None);
    let routes = [
        route("large.example", &[large.port(), sink.port()]),
        route("unknown.example", &[lacking.port(), unknown.port(), sink.port()]),
    ];
    let gateway = gateway(&sink, &routes.concat());
    for (to, words) in [("bob@large.example", "552 5.3.4 too large"), ("bob@unknown.example", "550 5.1.1 who?")] {
        send(&gateway, to);
        assert_eq!(first(&gateway, to), ("failed".into(), words.into()), "{to}");
    }
    assert!(sink.all().iter().all(|one| one.recipients == ["alice@example.org"]), "reports alone");
}

/// Of an MX record's hosts two are spoken with in one attempt; who lacks something has not been.
#[test]
fn mx_hosts_that_lack_something_are_passed_by() {
    let sink = Sink::start();
    let able = Script::start_at("127.0.0.34:0", "8BITMIME\nSMTPUTF8", |_| None);
    let port = able.port();
    let lacking: Vec<Script> =
        (31..34).map(|n| Script::start_at(&format!("127.0.0.{n}:{port}"), ASCII, |_| None)).collect();
    let at = |n| Known::A(Ipv4Addr::new(127, 0, 0, n));
    let hosts = |names: &[&'static str]| Known::Mx((1..).zip(names.iter().copied()).collect());
    let dns = Dns::start(&[
        ("able.example", hosts(&["a.example", "b.example", "c.example", "d.example"])),
        ("lacking.example", hosts(&["a.example", "b.example", "c.example"])),
        ("a.example", at(31)),
        ("b.example", at(32)),
        ("c.example", at(33)),
        ("d.example", at(34)),
    ]);
    let mx = format!(
        "[[route]]\ndomains = [\"able.example\", \"lacking.example\"]\nnext_hop = \"mx\"\nmx_port = {port}\n\
         resolver = \"127.0.0.1:{}\"\ntls = \"none\"\n",
        dns.port()
    );
    let gateway = started(prepared(sink.port(), &mx));
    send(&gateway, "bob@able.example");
    assert_eq!(first(&gateway, "bob@able.example").0, "delivered");
    send(&gateway, "bob@lacking.example");
    let (event, detail) = first(&gateway, "bob@lacking.example");
    assert!(event == "failed" && detail.contains("SMTPUTF8"), "{event}: {detail}");
    assert_eq!(able.seen().len(), 1);
    assert!(lacking.iter().all(|hop| hop.sessions() == 2 && !offered_mail(hop)));
}
