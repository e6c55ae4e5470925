//! The command line as people use it: init, check, users, keys, policies, exit codes, JSON.

use crate::support::{Client, Gateway, Options, Sink};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");

#[test]
fn init_refuses_a_directory_in_use_and_check_is_content_with_a_new_one() {
    let gateway = Gateway::prepare(&Options { next_hop: 9, ..Options::default() });
    let again = Command::new(PROGRAM).args(["init", gateway.dir().to_str().expect("UTF-8")]).output().expect("runs");
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"));
    let checked = gateway.cli(&["check"]);
    let stderr = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{stderr}");
    assert!(stderr.contains("officer/key.pgp is on this machine"), "the officer's key is mentioned: {stderr}");
    for name in ["tls/ca.pem", "officer/cert.pgp", "officer/passphrase", "policies/default.toml", "host.key"] {
        assert!(gateway.dir().join(name).is_file(), "{name}");
    }
}

#[test]
fn usage_errors_exit_2() {
    for arguments in [
        &["frobnicate"][..],
        &["archive"],
        &["queue", "retry"],
        &["queue", "retry", "--all", "0123456789abcdef0123456789abcdef"],
        &["queue", "retry", "00"],
        &["archive", "verify", "--level", "7"],
        &["init", "nowhere", "--hostname", "bad host"],
        &["init", "nowhere", "--hostname", "192.0.2.1"],
        &["init", "nowhere", "--domain", "exa mple"],
        &["init", "nowhere", "--next-hop", "no-port"],
        &["user", "add", "x", "--role", "user", "--password-stdin", "--address", "nobody"],
        &["key", "import", "x", "--trust-anchor", "--address", "a@b.example"],
    ] {
        let output = Command::new(PROGRAM).args(arguments).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    assert!(!std::path::Path::new("nowhere").exists());
}

#[test]
fn two_servers_do_not_share_a_directory() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let second = gateway.cli(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{}", String::from_utf8_lossy(&second.stderr));
}

/// The command fails with this status and says all of these things on standard error.
fn refused(gateway: &Gateway, arguments: &[&str], status: i32, said: &[&str]) {
    let output = gateway.cli(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
    for text in said {
        assert!(stderr.contains(text), "{arguments:?} does not say `{text}`: {stderr}");
    }
}

#[test]
fn errors_say_where_and_what_to_do() {
    let gateway = Gateway::prepare(&Options { next_hop: 9, ..Options::default() });
    let dir = gateway.dir();
    refused(&gateway, &["key", "show", "00"], 1, &["error: ", "help: `sealpost key list`"]);
    refused(&gateway, &["user", "remove", "nobody"], 1, &["nobody", "help: `sealpost user list`"]);
    refused(&gateway, &["queue", "drop", "--all", "--notify"], 75, &["no server runs", "help: "]);
    let aside = |name: &str| std::fs::rename(dir.join(name), dir.join(format!("{name}.aside"))).expect("moved aside");
    let back = |name: &str| std::fs::rename(dir.join(format!("{name}.aside")), dir.join(name)).expect("moved back");
    for (name, command, status, said) in [
        ("officer", &["archive", "list"][..], 75, &["locked", "officer/key.pgp", "help: "][..]),
        ("archive", &["archive", "list"], 1, &["gw/archive", "help: is its volume mounted?"]),
        ("archive", &["serve"], 1, &["gw/archive", "help: is its volume mounted?"]),
        ("host.key", &["serve"], 1, &["host.key", "help: restore it"]),
        ("host.key", &["check"], 1, &["host.key", "help: restore it"]),
        ("journal", &["serve"], 1, &["gw/journal", "help: is its volume mounted?"]),
        ("tls", &["serve"], 1, &["tls/cert.pem", "help: [tls]"]),
    ] {
        aside(name);
        refused(&gateway, command, status, said);
        back(name);
    }
    assert!(!dir.join("journal.aside").exists() && gateway.cli(&["check"]).status.success());
}

#[test]
fn check_says_what_would_go_wrong_later() {
    let gateway = Gateway::prepare(&Options { next_hop: 9, ..Options::default() });
    let findings = gateway.json(&["check"]);
    let (last, warnings) = findings.split_last().expect("a summary");
    assert_eq!((&last["ok"], &last["faults"]), (&true.into(), &0.into()), "{last}");
    assert!(warnings.iter().all(|w| w["level"] == "warning"), "{warnings:?}");
    assert!(warnings.iter().any(|w| w["detail"].as_str().is_some_and(|d| d.contains("no account"))), "{warnings:?}");
    let written = std::fs::read_to_string(gateway.config()).expect("configuration");
    for (from, to, said) in [
        ("hostname = \"gw.example.org\"", "hostname = \"other.example.org\"", "does not name other.example.org"),
        ("hostname = \"gw.example.org\"", "hostname = \"gw\"", "not a full name"),
        ("relay_networks = [\"127.0.0.0/8\"", "relay_networks = [\"0.0.0.0/0\"", "relays for the whole world"),
        ("domains = [\"*\"]", "domains = [\"example.com\"]", "no route takes every domain"),
    ] {
        assert!(written.contains(from), "{from}");
        gateway.edit_config(|text| text.replace(from, to));
        let checked = gateway.cli(&["check"]);
        let stderr = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && stderr.contains(said), "{to}: {stderr}");
        gateway.edit_config(|_| written.clone());
    }
    for (from, to, said) in [
        ("low_space_bytes = 1048576", "low_space_bytes = 4611686018427387904", "answered 452"),
        ("seal_after_s = 1", "seal_after_s = 0", "seal_after_s = 0 would stop"),
        ("protocol = \"smtp\"\nbind = \"127.0.0.1:", "protocol = \"smtp\"\nbind = \"localhost:", "not ADDRESS:PORT"),
    ] {
        assert!(written.contains(from), "{from}");
        gateway.edit_config(|text| text.replace(from, to));
        refused(&gateway, &["check"], 1, &[said]);
        gateway.edit_config(|_| written.clone());
    }
    std::fs::write(gateway.dir().join("officer/passphrase"), "wrong\n").expect("write");
    refused(&gateway, &["check"], 1, &["the view stays locked", "help: [view]"]);
}

#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
    let gateway = Gateway::prepare(&Options { next_hop: 9, ..Options::default() });
    gateway.add_officer("carol", "one two three");
    let list = |output: std::process::Stdio| {
        let mut command = Command::new(PROGRAM);
        command.args(["user", "list", "--config"]).arg(gateway.config()).stdout(output);
        command.stderr(std::process::Stdio::piped()).spawn().expect("runs")
    };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = list(writer.into()).wait_with_output().expect("ended");
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0), "{}", String::from_utf8_lossy(&ended.stderr));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let ended = list(full.into()).wait_with_output().expect("ended");
    assert_eq!(ended.status.code(), Some(1), "data that was not written was not given");
}

#[test]
fn the_log_tells_each_event_in_a_line_and_commands_are_quiet() {
    let sink = Sink::start();
    let mut gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nx\r\n";
    let reply = client.deliver("alice@example.org", &["bob@partner.example"], message);
    let id = reply.rsplit(' ').next().expect("an id").trim().to_owned();
    sink.wait_for(1, std::time::Duration::from_secs(20));
    gateway.seal();
    assert!(gateway.cli(&["archive", "status"]).stderr.is_empty());
    drop(client);
    assert_eq!(gateway.stop(), Some(0));
    assert!(gateway.cli(&["queue", "list"]).stderr.is_empty(), "a command without a server logs nothing either");
    let log = gateway.log();
    for line in [
        "listening on 127.0.0.1:",
        &format!("accepted {id} from alice@example.org [127.0.0.1] to bob@partner.example: {} octets", message.len()),
        &format!("delivered {id} from alice@example.org to bob@partner.example via 127.0.0.1:{}: 250", sink.port()),
        "sealed: 1 messages",
        "SIGTERM",
        "ended",
    ] {
        assert!(log.contains(line), "no `{line}` in:\n{log}");
    }
    let audit = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
    let accepted = audit.lines().find(|line| line.contains("\"accepted\"")).expect("accepted");
    assert!(accepted.contains("bob@partner.example") && accepted.contains("alice@example.org"), "{accepted}");
}

#[test]
fn signals_end_as_they_say_and_moved_audit_trails_go_on() {
    let sink = Sink::start();
    let mut gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let audit = gateway.dir().join("audit.jsonl");
    std::fs::rename(&audit, gateway.dir().join("audit.jsonl.1")).expect("logrotate");
    gateway.signal(rustix::process::Signal::HUP);
    let reopened = || audit.is_file().then_some(());
    crate::support::eventually("the trail goes on", std::time::Duration::from_secs(20), reopened);
    // A client in the middle of a transaction holds SIGTERM up, but not SIGINT.
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    client.command("MAIL FROM:<alice@example.org>");
    let asked = std::time::Instant::now();
    assert_eq!(gateway.interrupt(), Some(0));
    assert!(asked.elapsed() < std::time::Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(!gateway.dir().join("run/control.sock").exists());
}

#[test]
fn a_reload_that_fails_is_told_to_whoever_asked() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let policy = gateway.dir().join("policies/bad.toml");
    std::fs::write(&policy, "[[rule]]\nname = \"a\"\nwhn = {}\nthen = { sign = \"never\" }\n").expect("write");
    let anchor = gateway.ca();
    let import = ["key", "import", "--trust-anchor", anchor.to_str().expect("UTF-8")];
    refused(&gateway, &import, 1, &["not taken by the running server", "bad.toml:3", "help: "]);
    std::fs::remove_file(policy).expect("removed");
    assert!(gateway.cli(&import).status.success(), "{}", gateway.log());
    let control = gateway.dir().join("run/control.sock");
    std::fs::remove_file(control).expect("removed");
    refused(&gateway, &["queue", "list"], 1, &["in use", "control.sock is gone"]);
}

#[test]
fn an_export_overwrites_nothing_and_says_why_a_message_went_as_it_did() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nx\r\n";
    let reply = client.deliver("alice@example.org", &["bob@partner.example"], message);
    let id = reply.rsplit(' ').next().expect("an id").trim().to_owned();
    sink.wait_for(1, std::time::Duration::from_secs(20));
    let unknown = "0123456789abcdef0123456789abcdef";
    refused(
        &gateway,
        &["queue", "retry", unknown],
        1,
        &["nothing there that could be retried", "help: `sealpost queue list`"],
    );
    gateway.seal();
    let out = gateway.dir().join("out");
    let export = ["archive", "export", "--output", out.to_str().expect("UTF-8")];
    assert_eq!(gateway.json(&export)[0]["messages"], 1);
    refused(&gateway, &export, 1, &[&format!("{id}.eml: is there already"), "help: name another --output"]);
    // The result may be sealed after the message, with the next pass.
    let limit = std::time::Duration::from_secs(20);
    let result = crate::support::eventually("the result is sealed", limit, || {
        gateway.seal();
        gateway.json(&["archive", "show", &id])[0]["results"].get(0).cloned()
    });
    let (recipient, outcome) = (&"bob@partner.example".into(), &"delivered".into());
    assert_eq!((&result["recipient"], &result["outcome"]), (recipient, outcome), "{result}");
    let why = gateway.json(&["archive", "show", &id, "--why"]).remove(0);
    assert_eq!((&why["id"], &why["ruling"]), (&id.as_str().into(), &"unchanged".into()), "{why}");
    assert_eq!(why["why"][0]["because"], "default", "{why}");
    let told = gateway.must(&["archive", "show", &id, "--why"]);
    assert!(told.contains("\n  encrypt: never, by default"), "{told}");
}

#[test]
fn lists_are_json_lines() {
    let sink = Sink::start();
    let mut gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.add_officer("carol", "one two three");
    let users = gateway.json(&["user", "list"]);
    assert_eq!((users[0]["name"].as_str(), users[0]["role"].as_str()), (Some("carol"), Some("officer")));
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let message = b"From: alice@example.org\r\nTo: bob@partner.example\r\nMessage-ID: <one@example.org>\r\nSubject: =?utf-8?q?=C3=A4?=\r\n\r\nx\r\n";
    assert!(client.deliver("alice@example.org", &["bob@partner.example"], message).starts_with("250 "));
    let status = gateway.json(&["archive", "status"]).remove(0);
    assert_eq!(
        status["messages"].as_u64().expect("a number") + status["pending"].as_u64().expect("a number"),
        1,
        "{status}"
    );
    gateway.seal();
    let row = gateway.json(&["archive", "list", "subject:\u{e4}"]).remove(0);
    for (key, expected) in
        [("class", "default"), ("direction", "outbound"), ("from", "alice@example.org"), ("subject", "\u{e4}")]
    {
        assert_eq!(row[key], expected, "{row}");
    }
    assert_eq!(row["to"][0], "bob@partner.example");
    assert_eq!(row["size"], message.len());
    for query in [
        "from:alice@example.org",
        "to:bob@partner.example",
        "msgid:one@example.org",
        "after:2020-01-01",
        "before:2999-01-01",
    ] {
        assert_eq!(gateway.json(&["archive", "list", query]).len(), 1, "{query}");
    }
    for query in ["from:eve@example.org", "before:2020-01-01", "direction:inbound"] {
        assert_eq!(gateway.json(&["archive", "list", query]).len(), 0, "{query}");
    }
    assert_eq!(gateway.cli(&["archive", "list", "frm:x"]).status.code(), Some(1), "an unknown term is an error");
    for reference in [
        row["id"].as_str().expect("id").to_owned(),
        "<one@example.org>".to_owned(),
        format!("{}/{}", row["mailbox"].as_str().expect("mailbox"), row["uid"]),
    ] {
        assert_eq!(gateway.json(&["archive", "show", &reference])[0]["id"], row["id"], "{reference}");
    }
    assert_eq!(gateway.cli(&["archive", "show", "nothing@example.org"]).status.code(), Some(1));
    assert_eq!(gateway.stop(), Some(0), "SIGTERM drains and ends well");
    assert_eq!(gateway.json(&["archive", "list"]).len(), 1, "without a server too");
    assert_eq!(gateway.json(&["archive", "status"])[0]["messages"], 1);
    assert!(gateway.json(&["queue", "list"]).is_empty());
}

#[test]
fn verify_knows_what_a_running_server_has_not_sealed() {
    let sink = Sink::start();
    let more = "[archive]\nseal_after_s = 3600\n".to_owned();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nx\r\n";
    assert!(client.deliver("alice@example.org", &["bob@partner.example"], message).starts_with("250 "));
    for (pending, covered) in [(1, 0), (0, 1)] {
        let (verified, status) = (gateway.verified("0"), gateway.json(&["archive", "status"]).remove(0));
        assert_eq!((&verified["accepted"], &verified["pending"]), (&1.into(), &pending.into()), "{verified}");
        assert_eq!(
            (&verified["covered"], &status["pending"]),
            (&covered.into(), &pending.into()),
            "{verified} {status}"
        );
        gateway.seal();
    }
}

#[test]
fn what_is_delivered_after_it_was_sealed_is_shown() {
    let next_hop = crate::support::free_port();
    let gateway = Gateway::start(&Options { next_hop, ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nx\r\n";
    let reply = client.deliver("alice@example.org", &["bob@partner.example"], message);
    let id = reply.rsplit(' ').next().expect("an id").trim().to_owned();
    gateway.seal();
    assert_eq!(gateway.json(&["archive", "show", &id])[0]["results"].as_array().map(Vec::len), Some(0));
    let sink = Sink::on_port(next_hop);
    sink.wait_for(1, std::time::Duration::from_secs(20));
    let limit = std::time::Duration::from_secs(20);
    let result = crate::support::eventually("the result is sealed", limit, || {
        gateway.seal();
        gateway.json(&["archive", "show", &id])[0]["results"].get(0).cloned()
    });
    assert_eq!(result["outcome"], "delivered", "{result}");
}

#[test]
fn sealing_works_without_a_server() {
    let sink = Sink::start();
    let more = "[archive]\nseal_after_s = 3600\n".to_owned();
    let mut gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nx\r\n";
    assert!(client.deliver("alice@example.org", &["bob@partner.example"], message).starts_with("250 "));
    gateway.kill();
    let sealed = gateway.json(&["archive", "seal"]).remove(0);
    assert_eq!(sealed["messages"], 1, "{sealed}");
    assert_eq!(gateway.json(&["archive", "list"]).len(), 1);
    gateway.serve();
    sink.wait_for(1, std::time::Duration::from_secs(20));
    gateway.seal();
    let summary = gateway.verified("2");
    assert_eq!((summary["covered"].as_u64(), summary["missing"].as_u64()), (Some(1), Some(0)), "{summary}");
}

#[test]
fn policies_can_be_checked_before_they_bite() {
    let gateway = Gateway::prepare(&Options { next_hop: 9, ..Options::default() });
    let fine = gateway.dir().join("fine.toml");
    std::fs::write(&fine, "[[rule]]\nname = \"a\"\nthen = { sign = \"if-possible\" }\n").expect("write");
    let checked = gateway.json(&["policy", "check", fine.to_str().expect("UTF-8")]).remove(0);
    assert_eq!(checked["rules"], 1);
    let bad = gateway.dir().join("bad.toml");
    std::fs::write(&bad, "[[rule]]\nname = \"a\"\nwhen = { recipent = \"*\" }\nthen = { sign = \"never\" }\n")
        .expect("write");
    let output = gateway.cli(&["policy", "check", bad.to_str().expect("UTF-8")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("bad.toml:3") && stderr.contains("recipient"), "{stderr}");
}
