//! What must not get in, and what a client hears: before acceptance, with the right code, and nothing at the next hop.

use crate::support::{Client, Gateway, Options, Sink, eventually};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const POLICY: &str = r#"
[[rule]]
name = "secrets"
when = { subject = "*[secure]*" }
then = { encrypt = "required" }
[[rule]]
name = "blocked"
when = { recipient = "*@blocked.example" }
then = { refuse = "this partner is closed" }
[[rule]]
name = "signed"
when = { subject = "*[sign]*" }
then = { sign = "required" }
"#;

fn message(from: &str, subject: &str) -> Vec<u8> {
    format!("From: {from}\r\nTo: bob@partner.example\r\nSubject: {subject}\r\n\r\nbody\r\n").into_bytes()
}

fn gateway(sink: &Sink) -> Gateway {
    Gateway::start(&Options { next_hop: sink.port(), policy: Some(POLICY.to_owned()), ..Options::default() })
}

fn hello(port: u16) -> Client {
    let mut client = Client::connect(port);
    client.command("EHLO client.example.org");
    client
}

#[test]
fn encryption_required_and_no_key_is_refused_before_acceptance() {
    let sink = Sink::start();
    let gateway = gateway(&sink);
    let mut client = hello(gateway.ports.outbound);
    let reply =
        client.deliver("alice@example.org", &["bob@partner.example"], &message("alice@example.org", "x [secure]"));
    assert!(reply.starts_with("550") && reply.contains("bob@partner.example"), "{reply}");
    assert!(!reply.contains("secrets") && !reply.contains("toml"), "no rule or path in public text: {reply}");
    let both = ["bob@partner.example", "carol@partner.example"];
    let reply = client.deliver("alice@example.org", &both, &message("alice@example.org", "[SECURE]"));
    assert!(reply.starts_with("550") && reply.contains("carol@partner.example"), "{reply}");
    let reply = client.deliver("alice@example.org", &["bob@partner.example"], &message("alice@example.org", "plain"));
    assert!(reply.starts_with("250 "), "the session goes on: {reply}");
    let arrived = sink.wait_for(1, Duration::from_secs(20));
    assert!(arrived[0].text().contains("Subject: plain"));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sink.count(), 1, "nothing of what was refused");
    let audit = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
    assert!(audit.lines().filter(|line| line.contains("\"refused\"")).count() >= 3, "{audit}");
}

#[test]
fn one_refused_recipient_refuses_all() {
    let sink = Sink::start();
    let gateway = gateway(&sink);
    let mut client = hello(gateway.ports.outbound);
    let both = ["bob@partner.example", "eve@blocked.example"];
    let reply = client.deliver("alice@example.org", &both, &message("alice@example.org", "x"));
    assert_eq!(reply, "550 5.7.1 <eve@blocked.example>: this partner is closed");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sink.count(), 0);
}

#[test]
fn nobody_gets_anothers_signature() {
    let sink = Sink::start();
    let gateway = gateway(&sink);
    let mut client = hello(gateway.ports.outbound);
    for from in [
        "mallory@elsewhere.example",
        "alice@example.org, mallory@elsewhere.example",
        "alice@example.org\r\nFrom: mallory@elsewhere.example",
        "\"alice@example.org\" <mallory@elsewhere.example>",
        "undisclosed:;",
    ] {
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], &message(from, "[sign]"));
        assert!(reply.starts_with("550 5.7.1"), "{from:?}: {reply}");
    }
    assert_eq!(sink.count(), 0);
}

#[test]
fn strangers_do_not_relay() {
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.edit_config(|text| {
        text.replace("relay_networks = [\"127.0.0.0/8\", \"::1\"]", "relay_networks = [\"192.0.2.0/24\"]")
    });
    gateway.serve();
    for (port, recipient, expected) in [
        (gateway.ports.outbound, "bob@partner.example", "550 5.7.1"),
        (gateway.ports.outbound, "alice@example.org", "550 5.7.1"),
        (gateway.ports.inbound, "bob@partner.example", "550 5.7.1"),
        (gateway.ports.inbound, "alice@example.org", "250 "),
    ] {
        let reply = hello(port).deliver("eve@elsewhere.example", &[recipient], &message("eve@elsewhere.example", "x"));
        assert!(reply.starts_with(expected), "{port} {recipient}: {reply}");
    }
}

#[test]
fn bare_line_ends_are_refused_and_end_nothing() {
    let sink = Sink::start();
    let gateway = gateway(&sink);
    for smuggled in [
        "x\n.\r\nMAIL FROM:<eve@evil.example>\r\nRCPT TO:<bob@partner.example>\r\nDATA\r\nsmuggled",
        "x\n.\nMAIL FROM:<eve@evil.example>",
        "x\r.\rMAIL FROM:<eve@evil.example>",
        "x\r\n.\rx",
        "x\r\n.\nx",
        "x\r\r\n.\r\r\nx",
    ] {
        let mut client = hello(gateway.ports.outbound);
        for command in ["MAIL FROM:<alice@example.org>", "RCPT TO:<bob@partner.example>"] {
            assert!(client.command(command).starts_with("250"), "{command}");
        }
        assert!(client.command("DATA").starts_with("354"));
        client.send(format!("Subject: s\r\n\r\n{smuggled}\r\n.\r\n").as_bytes());
        let reply = client.reply();
        assert!(reply.starts_with('5'), "{smuggled:?}: {reply}");
        assert!(client.command("NOOP").starts_with("250"), "and nothing but the message was read: {smuggled:?}");
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sink.count(), 0);
}

#[test]
fn an_unwritable_journal_is_a_temporary_failure() {
    let sink = Sink::start();
    let mut gateway = gateway(&sink);
    // Root may write anywhere, so the directory is taken away instead: no new file can be made in it.
    let journal = gateway.dir().join("journal");
    let hidden = gateway.dir().join("journal.hidden");
    fill_open_file(&gateway);
    std::fs::rename(&journal, &hidden).expect("rename");
    std::fs::write(&journal, b"not a directory").expect("write");
    let reply = eventually("the journal needs a new file", Duration::from_secs(60), || {
        let mut client = hello(gateway.ports.outbound);
        let big = [&message("alice@example.org", "big")[..], &b"0123456789abcdef\r\n".repeat(50_000)].concat();
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], &big);
        (!reply.starts_with("250")).then_some(reply)
    });
    assert!(reply.starts_with("45"), "{reply}");
    std::fs::remove_file(&journal).expect("remove");
    std::fs::rename(&hidden, &journal).expect("rename");
    gateway.kill();
    gateway.serve();
    let reply = hello(gateway.ports.outbound).deliver(
        "alice@example.org",
        &["bob@partner.example"],
        &message("alice@example.org", "again"),
    );
    assert!(reply.starts_with("250"), "{reply}");
}

/// Uses up spares, so that the next file has to be made.
fn fill_open_file(gateway: &Gateway) {
    let mut client = hello(gateway.ports.outbound);
    let body = [&message("alice@example.org", "fill")[..], &b"0123456789abcdef\r\n".repeat(50_000)].concat();
    for _ in 0..4 {
        assert!(client.deliver("alice@example.org", &["bob@partner.example"], &body).starts_with("250"));
    }
}

#[test]
fn faults_are_shown_with_their_place_and_stop_the_start() {
    let sink = Sink::start();
    let gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    let policy = gateway.dir().join("policies/default.toml");
    std::fs::write(&policy, "[[rule]]\nname = \"x\"\nthen = { encrypt = \"allways\" }\n").expect("write");
    for command in ["serve", "check"] {
        let output = gateway.cli(&[command]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {stderr}");
        assert!(stderr.contains("default.toml:3") && stderr.contains("allways"), "{command}: {stderr}");
    }
    std::fs::write(&policy, "").expect("write");
    gateway.edit_config(|text| text.replace("hostname =", "hostnam ="));
    let output = gateway.cli(&["serve"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("sealpost.toml:2") && stderr.contains("hostnam"), "{stderr}");
}

#[test]
fn a_reload_with_faults_keeps_the_old_policy() {
    let sink = Sink::start();
    let gateway = gateway(&sink);
    let policy = gateway.dir().join("policies/default.toml");
    std::fs::write(&policy, "[[rule]]\nnonsense").expect("write");
    gateway.signal(rustix::process::Signal::HUP);
    eventually("the reload is refused", Duration::from_secs(20), || {
        gateway.log().contains("not reloaded").then_some(())
    });
    let secret = message("alice@example.org", "[secure]");
    let reply = hello(gateway.ports.outbound).deliver("alice@example.org", &["bob@partner.example"], &secret);
    assert!(reply.starts_with("550"), "the old rules hold: {reply}");
    std::fs::write(&policy, "").expect("write");
    gateway.signal(rustix::process::Signal::HUP);
    eventually("the reload is taken", Duration::from_secs(20), || {
        gateway.log().lines().any(|line| line.ends_with(" reloaded")).then_some(())
    });
    let reply = hello(gateway.ports.outbound).deliver("alice@example.org", &["bob@partner.example"], &secret);
    assert!(reply.starts_with("250"), "the new rules hold: {reply}");
}

/// All or nothing: what fails last in a reload must not leave the rest taken.
#[test]
fn a_reload_that_cannot_open_the_audit_trail_takes_nothing() {
    let sink = Sink::start();
    let gateway = gateway(&sink);
    let trail = gateway.dir().join("audit.jsonl");
    std::fs::remove_file(&trail).expect("remove");
    std::fs::create_dir(&trail).expect("a directory in its place");
    std::fs::write(gateway.dir().join("policies/default.toml"), "").expect("write");
    gateway.signal(rustix::process::Signal::HUP);
    eventually("the reload is refused", Duration::from_secs(20), || {
        gateway.log().contains("not reloaded").then_some(())
    });
    let secret = message("alice@example.org", "[secure]");
    let reply = hello(gateway.ports.outbound).deliver("alice@example.org", &["bob@partner.example"], &secret);
    assert!(reply.starts_with("550"), "the old rules hold: {reply}");
}

#[test]
fn secrets_on_disk_are_private() {
    let sink = Sink::start();
    let gateway = gateway(&sink);
    for name in
        ["host.key", "officer/key.pgp", "officer/passphrase", "tls/key.pem", "journal", "keyring", "run/control.sock"]
    {
        let mode = std::fs::metadata(gateway.dir().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}
