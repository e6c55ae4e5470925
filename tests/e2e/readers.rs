//! Readers and senders that people have: curl, swaks, and Python's imaplib, poplib and smtplib, over TLS.

use crate::support::{Client, Gateway, Options, Sink, peers};
use std::time::Duration;

const USER: &str = "officer:secret phrase";

fn message(n: usize) -> Vec<u8> {
    format!("From: alice@example.org\r\nTo: bob@partner.example\r\nSubject: number {n}\r\n\r\nbody {n}\r\n")
        .into_bytes()
}

struct Stage {
    sink: Sink,
    gateway: Gateway,
}

fn stage() -> Stage {
    let sink = Sink::start();
    // Nothing is sealed before a test says so.
    let more = "[archive]\nseal_after_s = 3600\n".to_owned();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    gateway.add_officer("officer", "secret phrase");
    Stage { sink, gateway }
}

impl Stage {
    fn send(&self, n: usize) {
        let mut client = Client::connect(self.gateway.ports.outbound);
        client.command("EHLO client.example.org");
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], &message(n));
        assert!(reply.starts_with("250 "), "{reply}");
    }
    fn ca(&self) -> String {
        self.gateway.ca().to_str().expect("UTF-8").to_owned()
    }
    fn mailbox(&self) -> String {
        self.gateway.json(&["archive", "list"])[0]["mailbox"].as_str().expect("a mailbox").to_owned()
    }
    fn curl(&self, arguments: &[&str]) -> std::process::Output {
        peers::run("curl", "curl", |c| c.args(["-sS", "--max-time", "30", "--cacert", &self.ca()]).args(arguments))
    }
}

#[test]
fn curl_reads_by_imap_and_pop3_and_sends_by_smtp() {
    let stage = stage();
    stage.send(1);
    stage.gateway.seal();
    let (imap, imaps, pop3, pop3s) =
        (stage.gateway.ports.imap, stage.gateway.ports.imaps, stage.gateway.ports.pop3, stage.gateway.ports.pop3s);
    let mailbox = stage.mailbox();
    for url in [
        format!("imaps://localhost:{imaps}/{mailbox};MAILINDEX=1"),
        format!("imap://localhost:{imap}/{mailbox};MAILINDEX=1"),
        format!("pop3s://localhost:{pop3s}/1"),
        format!("pop3://localhost:{pop3}/1"),
    ] {
        let read = stage.curl(&["--ssl-reqd", "-u", USER, &url]);
        assert!(read.status.success(), "{url}: {}", String::from_utf8_lossy(&read.stderr));
        assert_eq!(read.stdout, message(1), "{url}");
    }
    let refused = stage.curl(&["-u", USER, &format!("imap://localhost:{imap}/{mailbox};MAILINDEX=1")]);
    assert!(!refused.status.success(), "no login without TLS");
    let file = stage.gateway.dir().join("mail.eml");
    std::fs::write(&file, message(2)).expect("write");
    let url = format!("smtp://localhost:{}", stage.gateway.ports.outbound);
    let sent = stage.curl(&[
        "--ssl-reqd",
        "--mail-from",
        "alice@example.org",
        "--mail-rcpt",
        "bob@partner.example",
        "--upload-file",
        file.to_str().expect("UTF-8"),
        &url,
    ]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let arrived = stage.sink.wait_for(2, Duration::from_secs(20));
    assert_eq!(arrived[1].below_received(), message(2));
}

#[test]
fn swaks_sends_over_tls() {
    let stage = stage();
    let port = stage.gateway.ports.outbound.to_string();
    let sent = peers::run("swaks", "swaks", |c| {
        c.args(["--server", "127.0.0.1", "--port", &port, "--tls", "--tls-verify", "--tls-ca-path", &stage.ca()])
            .args(["--ehlo", "client.example.org", "--from", "alice@example.org", "--to", "bob@partner.example"])
            .args(["--header", "Subject: from swaks", "--body", "hello", "--timeout", "30"])
    });
    let talk = String::from_utf8_lossy(&sent.stdout).into_owned();
    let packages = "libnet-ssleay-perl and libio-socket-ssl-perl are needed too";
    assert!(sent.status.success() && talk.contains("Accepted"), "{packages}\n{talk}");
    let arrived = stage.sink.wait_for(1, Duration::from_secs(20));
    assert!(arrived[0].text().contains("with ESMTPS (TLSv1.3"), "{}", arrived[0].text());
}

/// STARTTLS and STLS, search, partial fetch, and what a read-only archive must bear without complaint.
const LIBRARIES: &str = r#"
import imaplib, poplib, smtplib, ssl, sys
smtp, imap, pop3, ca, mailbox = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
context = ssl.create_default_context(cafile=ca)
client = smtplib.SMTP("localhost", smtp, local_hostname="client.example.org")
client.starttls(context=context)
client.sendmail("alice@example.org", ["bob@partner.example"], b"From: alice@example.org\r\nSubject: by smtplib\r\n\r\nx\r\n")
client.quit()

m = imaplib.IMAP4("localhost", imap)
assert "LOGINDISABLED" in m.capabilities, m.capabilities
m.starttls(ssl_context=context)
try:
    m.login("officer", "wrong")
    raise SystemExit("a wrong password was taken")
except imaplib.IMAP4.error:
    pass
m.login("officer", "secret phrase")
kind, boxes = m.list()
assert any(mailbox.encode() in box for box in boxes), boxes
kind, data = m.status(mailbox, "(MESSAGES UIDNEXT UIDVALIDITY)")
assert kind == "OK" and b"MESSAGES 3" in data[0], data
try:
    m.select(mailbox)
    raise SystemExit("the library was not told that the mailbox is read-only")
except imaplib.IMAP4.readonly:
    pass
kind, data = m.select(mailbox, readonly=True)
assert kind == "OK" and data == [b"3"], data
kind, data = m.search(None, "SUBJECT", '"number 2"')
assert data == [b"2"], data
kind, data = m.search(None, "BODY", '"body 3"')
assert data == [b"3"], data
kind, data = m.search(None, "SINCE", "1-Jan-2000", "NOT", "SUBJECT", "1")
assert data == [b"2 3"], data
kind, data = m.fetch("2", "(FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)]<0.7>)")
assert kind == "OK" and b"\\Seen" in data[0][0] and data[0][1] == b"Subject", data
for kind, data in (m.store("1", "+FLAGS", "\\Deleted"), m.expunge(), m.check(), m.noop()):
    assert kind == "OK", data
kind, data = m.copy("1", "INBOX")
assert kind == "NO", data
kind, data = m.append(mailbox, None, None, b"x")
assert kind == "NO", data
kind, data = m.search(None, "ALL")
assert data == [b"1 2 3"], data
m.close()
m.logout()

p = poplib.POP3("localhost", pop3)
assert "STLS" in p.capa(), p.capa()
p.stls(context=context)
p.user("officer")
p.pass_("secret phrase")
count, octets = p.stat()
assert count == 3, count
ids = [line.split()[1].decode() for line in p.uidl()[1]]
assert len(set(ids)) == 3 and all(len(i) == 32 for i in ids), ids
assert p.top(1, 0)[1][-1] == b"", p.top(1, 0)
p.dele(1)
assert p.stat()[0] == 2
p.quit()
p = poplib.POP3("localhost", pop3)
p.stls(context=context)
p.user("officer")
p.pass_("secret phrase")
assert [line.split()[1].decode() for line in p.uidl()[1]] == ids, "DELE hides for the session alone"
p.quit()
print("ok")
"#;

#[test]
fn pythons_libraries_talk_to_us() {
    let stage = stage();
    (1..=3).for_each(|n| stage.send(n));
    stage.gateway.seal();
    let ports =
        [stage.gateway.ports.outbound, stage.gateway.ports.imap, stage.gateway.ports.pop3].map(|p| p.to_string());
    let (ca, mailbox) = (stage.ca(), stage.mailbox());
    let arguments = [&ports[0], &ports[1], &ports[2], &ca, &mailbox].map(String::as_str);
    assert_eq!(peers::python(LIBRARIES, &arguments).trim(), "ok");
    stage.sink.wait_for(4, Duration::from_secs(20));
}

const WATCH: &str = r#"
import imaplib, ssl, subprocess, sys, time
imaps, ca, mailbox, program, config = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5]
m = imaplib.IMAP4_SSL("localhost", imaps, ssl_context=ssl.create_default_context(cafile=ca))
m.login("officer", "secret phrase")
m.select(mailbox, readonly=True)
uids = m.uid("SEARCH", "ALL")[1][0].split()
validity = m.response("UIDVALIDITY")[1]
print(len(uids), validity[0].decode(), b" ".join(uids).decode(), flush=True)
sys.stdin.readline()
m.noop()
uids = m.uid("SEARCH", "ALL")[1][0].split()
print(len(uids), flush=True)
m.logout()
"#;

#[test]
fn newly_sealed_mail_appears_and_uids_survive_a_rebuilt_catalog() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let mut stage = stage();
    stage.send(1);
    stage.gateway.seal();
    let (port, ca, mailbox) = (stage.gateway.ports.imaps.to_string(), stage.ca(), stage.mailbox());
    let watch = |port: &str| {
        Command::new("python3")
            .args(["-c", WATCH, port, &ca, &mailbox, "", ""])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3")
    };
    let mut child = watch(&port);
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert!(first.starts_with("1 "), "{first}");
    stage.send(2);
    stage.gateway.seal();
    child.stdin.take().expect("stdin").write_all(b"\n").expect("write");
    assert_eq!(lines.next().expect("a line").expect("text"), "2", "without a restart or a new session");
    assert!(child.wait().expect("wait").success());

    stage.gateway.stop();
    std::fs::remove_dir_all(stage.gateway.dir().join("catalog")).expect("the catalog is a cache");
    stage.gateway.serve();
    let mut child = watch(&port);
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let again = lines.next().expect("a line").expect("text");
    child.stdin.take().expect("stdin").write_all(b"\n").expect("write");
    assert!(child.wait().expect("wait").success());
    let (count, rest) = first.split_once(' ').expect("words");
    assert_eq!((count, again.split(' ').next()), ("1", Some("2")));
    assert!(again.contains(rest), "the same UIDVALIDITY and UIDs: {first} / {again}");
}

#[test]
fn without_the_officers_key_the_gateway_works_and_the_view_is_unavailable() {
    let mut stage = stage();
    stage.send(1);
    stage.gateway.seal();
    let mailbox = stage.mailbox();
    stage.gateway.stop();
    let officer = stage.gateway.dir().join("officer");
    std::fs::rename(&officer, stage.gateway.dir().join("officer.away")).expect("moved off");
    stage.gateway.serve();
    stage.send(2);
    stage.gateway.seal();
    stage.sink.wait_for(2, Duration::from_secs(20));
    let url = format!("imaps://localhost:{}/{mailbox};MAILINDEX=1", stage.gateway.ports.imaps);
    let read = stage.curl(&["-v", "-u", USER, &url]);
    let talk = String::from_utf8_lossy(&read.stderr).into_owned();
    assert!(!read.status.success() && talk.contains("NO [UNAVAILABLE]"), "{talk}");
    let listed = stage.gateway.cli(&["archive", "list"]);
    assert_eq!(listed.status.code(), Some(75), "{}", String::from_utf8_lossy(&listed.stderr));
    assert_eq!(stage.gateway.verified("0")["ok"], true, "keyless verification goes on");
}
