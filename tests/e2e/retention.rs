//! How long mail is kept: classes by rule, the longest wins, each in segments of its own, and what was accepted stays as it was.

use crate::support::{Client, Gateway, Options, Sink, eventually};
use sealpost::clock::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const RULES: &str = r#"
[[rule]]
name = "books"
when = { recipient = "@tax.example" }
then = { class = "tax" }
[[rule]]
name = "small talk"
when = { recipient = "@short.example" }
then = { class = "short" }
"#;

fn policy(tax: &str) -> String {
    let class =
        |name: &str, keep: &str, more: &str| format!("[[class]]\nname = \"{name}\"\nkeep = \"{keep}\"\n{more}\n");
    class("tax", tax, "minimum = \"5y\"") + &class("short", "90d", "") + RULES
}

/// Sends a message; its subject is the first recipient.
fn send(gateway: &Gateway, recipients: &[&str]) {
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let message = format!("From: alice@example.org\r\nSubject: {}\r\n\r\nx\r\n", recipients[0]);
    let reply = client.deliver("alice@example.org", recipients, message.as_bytes());
    assert!(reply.starts_with("250 "), "{reply}");
}

fn found(gateway: &Gateway, query: &[&str]) -> Vec<Value> {
    gateway.json(&[&["archive", "list"], query].concat())
}

/// What a message is kept by: class and the day it is kept until, counted from its acceptance.
fn kept(row: &Value) -> (&str, Option<(Timestamp, Timestamp)>) {
    let day = |value: &Value| value.as_str().and_then(|text| Timestamp::parse_date(&text[..10]));
    let days = day(&row["keep_until"]).map(|until| (day(&row["accepted_at"]).expect("a day"), until));
    (row["class"].as_str().expect("a class"), days)
}

fn assert_kept(row: &Value, class: &str, months: u32, days: i64) {
    let (is, from_until) = kept(row);
    assert_eq!(is, class, "{row}");
    let (from, until) = from_until.unwrap_or_else(|| panic!("kept for ever: {row}"));
    assert_eq!(until, from.plus_months(months).plus_s(days * 86_400), "{row}");
    assert_eq!(row["keep_until"].as_str().map(|t| &t[10..]), row["accepted_at"].as_str().map(|t| &t[10..]), "{row}");
}

fn policy_is(gateway: &Gateway, text: &str) {
    let audit = || std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("the trail");
    let reloads = || audit().matches("\"reloaded\"").count();
    let before = reloads();
    std::fs::write(gateway.dir().join("policies/default.toml"), text).expect("written");
    gateway.signal(rustix::process::Signal::HUP);
    eventually("the policy is taken", SOON, || (reloads() > before).then_some(()));
}

#[test]
fn each_class_has_its_segments_and_edits_change_new_mail_only() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), policy: Some(policy("6y")), ..Options::default() });
    send(&gateway, &["a@tax.example"]);
    send(&gateway, &["b@short.example"]);
    send(&gateway, &["c@short.example", "c@tax.example"]);
    sink.wait_for(3, SOON);
    gateway.seal();
    let status = gateway.json(&["archive", "status"]).remove(0);
    assert_eq!((&status["segments"], &status["messages"]), (&json!(2), &json!(3)), "{status}");
    let classes = status["classes"].as_array().expect("classes").clone();
    let short = |row: &Value| (row["class"].clone(), row["messages"].clone(), row["stored_bytes"].as_u64() > Some(0));
    let expected = [(json!("short"), json!(1), true), (json!("tax"), json!(2), true)];
    assert_eq!(classes.iter().map(short).collect::<Vec<_>>(), expected);
    let stored: u64 = classes.iter().filter_map(|row| row["stored_bytes"].as_u64()).sum();
    assert_eq!(status["stored_bytes"], stored);
    for row in found(&gateway, &["class:tax"]) {
        assert_kept(&row, "tax", 72, 0);
    }
    let row = &found(&gateway, &["class:short"])[0];
    assert_eq!(row["subject"], "b@short.example");
    assert_kept(row, "short", 0, 90);
    assert_eq!(found(&gateway, &["class:tax"]).len(), 2, "the longest of its recipients' classes");

    // An edit changes new mail only. What no rule gives a class is kept for ever.
    policy_is(&gateway, &policy("10y"));
    send(&gateway, &["d@tax.example"]);
    send(&gateway, &["e@tax.example", "e@else.example"]);
    gateway.seal();
    let of = |subject: &str| found(&gateway, &[&format!("subject:{subject}")]).remove(0);
    assert_kept(&of("a@tax.example"), "tax", 72, 0);
    assert_kept(&of("d@tax.example"), "tax", 120, 0);
    assert_eq!(kept(&of("e@tax.example")), ("default", None));
    let status = gateway.json(&["archive", "status"]).remove(0);
    let buckets = status["buckets"].as_array().expect("buckets");
    let expires: Vec<_> =
        buckets.iter().map(|row| (&row["class"], row["expires"].is_null(), &row["messages"])).collect();
    let expected = [
        (&json!("default"), true, &json!(1)),
        (&json!("short"), false, &json!(1)),
        (&json!("tax"), false, &json!(2)),
        (&json!("tax"), false, &json!(1)),
    ];
    assert_eq!(expires, expected, "{status}");
    let text = gateway.must(&["archive", "status"]);
    assert!(text.contains("class=tax") && text.contains("expires="), "{text}");
    let shown = gateway.json(&["archive", "show", of("a@tax.example")["id"].as_str().expect("an id")]).remove(0);
    assert_eq!(shown["keep_until"], of("a@tax.example")["keep_until"]);
    assert!(shown["protected_until"].as_str() < shown["keep_until"].as_str(), "{shown}");
    let why = gateway.json(&["archive", "show", "--why", shown["id"].as_str().expect("an id")]).remove(0);
    let reasons = why["why"].as_array().expect("reasons");
    assert!(reasons.iter().any(|why| why["action"] == "class" && why["value"] == "tax"), "{why}");
    assert_eq!(gateway.verified("2")["ok"], true);
}

#[test]
fn a_bounce_is_kept_as_long_as_its_message() {
    let refusing = |recipient: &str| match recipient.starts_with("gone") {
        true => "550 5.1.1 no such user".to_owned(),
        false => "250 2.1.5 OK".to_owned(),
    };
    let sink = Sink::with_manners(refusing);
    let gateway = Gateway::start(&Options { next_hop: sink.port(), policy: Some(policy("6y")), ..Options::default() });
    send(&gateway, &["gone@short.example"]);
    sink.wait_for(1, SOON);
    gateway.seal();
    let rows = found(&gateway, &["class:short"]);
    assert_eq!((rows.len(), found(&gateway, &[]).len()), (2, 2), "message and bounce: {rows:?}");
    assert_eq!(rows[0]["keep_until"], rows[1]["keep_until"]);
    assert_eq!(gateway.json(&["archive", "status"])[0]["segments"], 1, "they expire together");
    assert_eq!(gateway.verified("2")["ok"], true);
}

#[test]
fn policy_check_shows_classes_faults_and_what_nobody_uses() {
    let gateway = Gateway::prepare(&Options { next_hop: 25, ..Options::default() });
    let file = gateway.dir().join("policies/default.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).expect("written");
        let output = gateway.cli(&["policy", "check"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(check(&policy("6y")), (Some(0), String::new()));
    let (code, text) = check(&(policy("6y") + "[[class]]\nname = \"idle\"\nkeep = \"1y\"\n"));
    assert_eq!(code, Some(0));
    assert!(text.contains("warning: no rule gives the class \"idle\"") && text.contains("default.toml:"), "{text}");
    assert_eq!(gateway.json(&["policy", "check"])[0]["unused_classes"], json!(["idle"]));
    let (code, text) = check(&policy("6y").replace("then = { class = \"tax\" }", "then = { class = \"taks\" }"));
    assert_eq!(code, Some(1));
    for piece in [
        "no class is named \"taks\"",
        "known here: default, tax, short",
        "default.toml:",
        "then = { class = \"taks\" }",
        "^",
    ] {
        assert!(text.contains(piece), "{piece} in\n{text}");
    }
    assert_eq!(check(&policy("4y")).0, Some(1), "the minimum is 5y");
}
