//! 500 messages of a mixed corpus (and a given one) go in by SMTP: each is at the next hop exactly once, unchanged but for our
//! block, and comes back from the archive by every way with the same octets.

use crate::support::{Client, Gateway, Options, Sink, corpus};
use std::collections::HashMap;
use std::time::Duration;

const MESSAGES: usize = 500;
const SESSIONS: usize = 5;

/// Sends all messages over some sessions at once; the id of each.
fn send_all(gateway: &Gateway, messages: &[Vec<u8>]) -> Vec<String> {
    let port = gateway.ports.outbound;
    let share = messages.len().div_ceil(SESSIONS);
    let mut ids = vec![String::new(); messages.len()];
    std::thread::scope(|scope| {
        for (messages, ids) in messages.chunks(share).zip(ids.chunks_mut(share)) {
            scope.spawn(move || {
                let mut client = Client::connect(port);
                client.command("EHLO client.example.org");
                for (message, id) in messages.iter().zip(ids) {
                    let reply = client.deliver("alice@example.org", &["bob@partner.example"], message);
                    let accepted = reply.strip_prefix("250 2.0.0 Accepted ").unwrap_or_else(|| panic!("{reply}"));
                    assert_eq!(accepted.len(), 32, "{reply}");
                    *id = accepted.to_owned();
                }
            });
        }
    });
    ids
}

/// IMAP and POP3 by Python's own libraries over TLS: for each message, SHA-256 of its octets by either way.
const FETCH_ALL: &str = r#"
import hashlib, imaplib, json, poplib, ssl, sys
imaps, pop3s, ca, mailbox = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=ca)
poplib._MAXLINE = 1 << 20
imap = imaplib.IMAP4_SSL("localhost", imaps, ssl_context=context)
imap.login("officer", "secret phrase")
kind, data = imap.select('"%s"' % mailbox, readonly=True)
assert kind == "OK", data
count = int(data[0])
kind, data = imap.uid("SEARCH", "ALL")
uids = data[0].split()
assert len(uids) == count, (len(uids), count)
by_imap = []
for uid in uids:
    kind, data = imap.uid("FETCH", uid, "(RFC822.SIZE BODY.PEEK[])")
    assert kind == "OK", data
    head, body = data[0]
    assert int(head.split(b"RFC822.SIZE ")[1].split()[0]) == len(body), head
    by_imap.append(hashlib.sha256(body).hexdigest())
imap.logout()
pop = poplib.POP3_SSL("localhost", pop3s, context=context)
pop.user("officer")
pop.pass_("secret phrase")
by_pop3 = []
for number in range(1, pop.stat()[0] + 1):
    body = b"".join(line + b"\r\n" for line in pop.retr(number)[1])
    by_pop3.append(hashlib.sha256(body).hexdigest())
pop.quit()
print(json.dumps({"imap": by_imap, "pop3": by_pop3}))
"#;

fn sha256(octets: &[u8]) -> String {
    sealpost::crypto::hash::hex(&sealpost::crypto::sha256(octets))
}

#[test]
fn five_hundred_messages_arrive_once_and_come_back_exact() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.add_officer("officer", "secret phrase");
    let mut messages: Vec<Vec<u8>> = (0..MESSAGES).map(corpus::message).collect();
    messages.extend(corpus::given().into_iter().filter(|octets| is_sendable(octets)));
    let ids = send_all(&gateway, &messages);

    let delivered = sink.wait_for(messages.len(), Duration::from_secs(120));
    assert_eq!(delivered.len(), messages.len());
    let mut counts: HashMap<&[u8], i64> = HashMap::new();
    messages.iter().for_each(|sent| *counts.entry(sent).or_default() += 1);
    delivered.iter().for_each(|arrived| *counts.entry(arrived.below_received()).or_default() -= 1);
    assert!(counts.values().all(|count| *count == 0), "each message exactly once, octet for octet");

    gateway.seal();
    let rows = gateway.json(&["archive", "list"]);
    assert_eq!(rows.len(), messages.len());
    exports_are_exact(&gateway, &messages, &ids);
    let mut mailboxes: Vec<&str> = rows.iter().filter_map(|row| row["mailbox"].as_str()).collect();
    mailboxes.dedup();
    assert!(mailboxes.len() <= 2, "one month, or two at its end: {mailboxes:?}");
    readers_agree(&gateway, &messages, &mailboxes);
    let summary = gateway.verified("2");
    assert_eq!(summary["accepted"], summary["covered"], "{summary}");
    assert_eq!(summary["missing"], 0, "{summary}");
    assert_eq!(gateway.verified("0")["ok"], true);
}

/// A given corpus may hold what SMTP cannot carry unchanged.
fn is_sendable(octets: &[u8]) -> bool {
    let bare = |pair: &[u8]| (pair[1] == b'\n' && pair[0] != b'\r') || (pair[0] == b'\r' && pair[1] != b'\n');
    octets.ends_with(b"\r\n") && !octets.windows(2).any(bare) && octets[0] != b'\n'
}

fn exports_are_exact(gateway: &Gateway, messages: &[Vec<u8>], ids: &[String]) {
    let out = gateway.dir().join("exported");
    gateway.must(&["archive", "export", "--format", "eml", "--output", out.to_str().expect("UTF-8")]);
    for (message, id) in messages.iter().zip(ids) {
        let exported = std::fs::read(out.join(format!("{id}.eml"))).expect("exported");
        assert!(exported == *message, "{id} is exported octet for octet");
    }
}

fn readers_agree(gateway: &Gateway, messages: &[Vec<u8>], mailboxes: &[&str]) {
    let mut sent: Vec<String> = messages.iter().filter(|m| corpus::is_without_nul(m)).map(|m| sha256(m)).collect();
    sent.sort();
    let (mut by_imap, mut by_pop3) = (Vec::new(), Vec::new());
    for mailbox in mailboxes {
        let ports = (gateway.ports.imaps.to_string(), gateway.ports.pop3s.to_string());
        let ca = gateway.ca();
        let arguments = [ports.0.as_str(), ports.1.as_str(), ca.to_str().expect("UTF-8"), mailbox];
        let answer = crate::support::peers::python(FETCH_ALL, &arguments);
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        let hashes = |way: &str| -> Vec<String> {
            answer[way].as_array().expect("a list").iter().filter_map(|h| h.as_str().map(str::to_owned)).collect()
        };
        by_imap.extend(hashes("imap"));
        // POP3 shows all mailboxes as one.
        by_pop3 = hashes("pop3");
    }
    for (way, hashes) in [("IMAP", by_imap), ("POP3", by_pop3)] {
        assert_eq!(hashes.len(), messages.len(), "{way} shows all");
        for hash in &sent {
            assert!(hashes.contains(hash), "{way} gives back what was sent ({hash})");
        }
    }
}
