//! The read audit from outside: every body has its record before it comes, what cannot be recorded is not shown, and what was
//! anchored cannot be changed unnoticed.

use crate::support::{Client, Gateway, Options, Sink, eventually, peers};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const MESSAGES: usize = 20;
const SECRET: &str = "zebracrossing";

struct Stage {
    gateway: Gateway,
    ca: String,
    mailbox: String,
    _sink: Sink,
}

fn message(n: usize) -> Vec<u8> {
    format!("From: alice@example.org\r\nTo: bob@partner.example\r\nSubject: number {n}\r\n\r\nbody {n}\r\n")
        .into_bytes()
}

/// A gateway with sealed mail and an officer's account. `archive list` has made records already.
fn stage(messages: usize) -> Stage {
    let sink = Sink::start();
    let more = "[archive]\nseal_after_s = 3600\n".to_owned();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), more, ..Options::default() });
    gateway.serve_bounded();
    gateway.add_officer("officer", "secret phrase");
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    for n in 1..=messages {
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], &message(n));
        assert!(reply.starts_with("250 "), "{reply}");
    }
    gateway.seal();
    let mailbox = gateway.json(&["archive", "list"])[0]["mailbox"].as_str().expect("a mailbox").to_owned();
    let ca = gateway.ca().to_str().expect("UTF-8").to_owned();
    Stage { gateway, ca, mailbox, _sink: sink }
}

impl Stage {
    fn python(&self, script: &str) -> String {
        let ports = [self.gateway.ports.imaps, self.gateway.ports.pop3s].map(|port| port.to_string());
        let config = self.gateway.config().to_str().expect("UTF-8").to_owned();
        let arguments: [&str; 6] =
            [&ports[0], &ports[1], &self.ca, &self.mailbox, env!("CARGO_BIN_EXE_sealpost"), &config];
        peers::python(&[PRELUDE, script].concat(), &arguments)
    }
    fn records(&self) -> Vec<Value> {
        self.gateway.json(&["audit", "show"])
    }
    fn last_file(&self) -> PathBuf {
        let files = std::fs::read_dir(self.gateway.dir().join("audit")).expect("the directory");
        let paths = files.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|e| e == "log")).max().expect("a file")
    }
}

/// Clients of both protocols, and what is recorded so far.
const PRELUDE: &str = r#"
import imaplib, json, poplib, ssl, subprocess, sys
imaps, pop3s, ca, mailbox, program, config = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
context = ssl.create_default_context(cafile=ca)
def imap(password="secret phrase"):
    m = imaplib.IMAP4_SSL("localhost", imaps, ssl_context=context)
    m.login("officer", password)
    m.select(mailbox, readonly=True)
    return m
def pop3():
    p = poplib.POP3_SSL("localhost", pop3s, context=context)
    p.user("officer")
    p.pass_("secret phrase")
    return p
def records():
    done = subprocess.run([program, "audit", "show", "--json", "--config", config], capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
"#;

const READS: &str = r#"
start = len(records())
try:
    imap("wrong")
except imaplib.IMAP4.error:
    pass
m = imap()
uids = m.uid("SEARCH", "ALL")[1][0].split()
def last(command, **expected):
    row = records()[-1]
    assert row["command"] == command and all(row[k] == v for k, v in expected.items()), (row, expected)
m.fetch("2", "(BODY.PEEK[])")
last("FETCH", uids=uids[1].decode(), messages=1, items="BODY[]", mailbox=mailbox, exact=True)
m.fetch("1:2,4:*", "(RFC822.SIZE)")
last("FETCH", uids="%s:%s,%s:%s" % tuple(uids[n].decode() for n in (0, 1, 3, -1)), messages=len(uids) - 1)
m.uid("FETCH", uids[2].decode() + ":*", "(ENVELOPE)")
last("FETCH", items="UID ENVELOPE", messages=len(uids) - 2)
assert m.search(None, "BODY", "zebracrossing")[1] == [b""]
last("SEARCH", terms="sealed", mailbox=mailbox)
before = len(records())
m.fetch("1:*", "(UID FLAGS)"); m.noop(); m.status(mailbox, "(MESSAGES)"); m.uid("FETCH", "999999", "(BODY[])")
assert len(records()) == before, "what shows no mail"
m.logout()
p = pop3()
p.stat(); p.uidl(); p.list()
p.retr(1)
last("RETR", uids=uids[0].decode(), items="RETR", mailbox=mailbox)
p.top(2, 1)
last("TOP", uids=uids[1].decode())
p.quit()
import time
while [r["event"] for r in records()].count("end") < 2: time.sleep(0.05)
for r in records()[start:]: print(json.dumps(r))
"#;

#[test]
fn what_is_read_is_recorded_before_it_comes() {
    let stage = stage(6);
    let text = stage.python(READS);
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let told: Vec<_> = rows.iter().map(|row| (word(row, "event"), word(row, "command"))).collect();
    let expected = [
        ("refused", ""),
        ("login", ""),
        ("search", "SEARCH"),
        ("read", "FETCH"),
        ("read", "FETCH"),
        ("read", "FETCH"),
        ("search", "SEARCH"),
        ("end", ""),
        ("login", ""),
        ("read", "RETR"),
        ("read", "TOP"),
        ("end", ""),
    ];
    let expected: Vec<_> = expected.map(|(event, command)| (event.to_owned(), command.to_owned())).into();
    assert_eq!(told, expected, "{text}");
    assert!(rows.iter().all(|row| row["account"] == "officer" && word(row, "client").contains("127.0.0.1")), "{text}");
    assert_eq!(
        (&rows[1]["role"], &rows[1]["protocol"], &rows[1]["tls"]),
        (&"officer".into(), &"imap".into(), &"TLSv1.3".into())
    );
    assert_eq!((&rows[7]["commands"], &rows[7]["messages"]), (&5.into(), &10.into()), "{}", rows[7]);
    assert!(rows[1..8].iter().all(|row| row["session"] == rows[1]["session"]), "one session");
    assert_ne!(rows[8]["session"], rows[1]["session"]);
}

#[test]
fn search_terms_are_for_officers_and_commands_are_recorded_too() {
    let mut stage = stage(3);
    stage.python("m = imap()\nm.search(None, 'TEXT', 'zebracrossing')\nm.logout()\n");
    stage.gateway.must(&["archive", "list", "subject:zebracrossing"]);
    let id = stage.gateway.json(&["archive", "list"])[0]["id"].as_str().expect("an id").to_owned();
    stage.gateway.must(&["archive", "show", &id]);
    let count = stage.records().len();
    stage.gateway.stop();
    // Without a server the command writes itself.
    let out = stage.gateway.dir().join("out");
    let out = out.to_str().expect("UTF-8").to_owned();
    stage.gateway.must(&["archive", "export", "subject:number", "--output", &out]);
    let rows = stage.records();
    let uid = format!("uid:{}", rustix::process::getuid().as_raw());
    let local = |row: &&Value| row["client"] == "local" && row["account"].as_str().is_some_and(|a| a.starts_with(&uid));
    let commands: Vec<_> = rows.iter().filter(local).map(|row| row["command"].as_str().unwrap_or("end")).collect();
    assert_eq!(
        commands,
        ["archive list", "archive list", "archive list", "archive show", "archive export", "archive export", "end"],
        "{rows:?}"
    );
    let export = &rows[rows.len() - 2];
    assert_eq!((&export["messages"], &export["mailbox"]), (&3.into(), &stage.mailbox.as_str().into()));
    // What the session's end added may have come after the count.
    assert!(rows.len() > count, "{rows:?}");

    let raw = std::fs::read(stage.last_file()).expect("a file");
    assert!(!raw.windows(SECRET.len()).any(|w| w == SECRET.as_bytes()), "terms are sealed");
    assert!(!stage.gateway.must(&["audit", "show", "--json"]).contains(SECRET));
    let opened = stage.gateway.must(&["audit", "show", "--open", "--json"]);
    assert!(opened.contains("SEARCH TEXT zebracrossing") && opened.contains("subject:zebracrossing"), "{opened}");
    let last = stage.records().pop().expect("records");
    assert_eq!(last["command"], "audit show --open", "opening terms is recorded");

    // An auditor has the files and nothing else: no configuration, no key.
    let copy = tempfile::tempdir().expect("a directory");
    let name = stage.last_file();
    std::fs::copy(&name, copy.path().join(name.file_name().expect("a name"))).expect("a copy");
    std::fs::rename(stage.gateway.dir().join("officer"), copy.path().join("officer")).expect("moved off");
    let shown = Command::new(env!("CARGO_BIN_EXE_sealpost"))
        .args(["audit", "show", "--account", "OFFICER", "--since", "1h", "--json", "--dir"])
        .arg(copy.path())
        .current_dir(copy.path())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success() && text.lines().count() >= 3, "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(text.lines().all(|line| line.contains("\"account\":\"officer\"")), "{text}");
    let refused = stage.gateway.cli(&["audit", "show", "--open"]);
    assert_eq!(refused.status.code(), Some(75), "without the key terms stay sealed");
}

/// One message after the other, each told when its body is here.
const ONE_BY_ONE: &str = r#"
import itertools
m = imap()
uids = m.uid("SEARCH", "ALL")[1][0].split()
for uid in itertools.cycle(uids):
    data = m.uid("FETCH", uid.decode(), "(BODY.PEEK[])")[1]
    assert b"\r\nbody " in data[0][1], data
    print(uid.decode(), flush=True)
"#;

#[test]
fn a_body_that_came_has_its_record_after_a_kill() {
    let mut stage = stage(MESSAGES);
    for round in 0..4u64 {
        let before = stage.records().len();
        let ports = [stage.gateway.ports.imaps, stage.gateway.ports.pop3s].map(|port| port.to_string());
        let mut reader = Command::new("python3")
            .args(["-c", &[PRELUDE, ONE_BY_ONE].concat(), &ports[0], &ports[1], &stage.ca, &stage.mailbox, "", ""])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3");
        let mut lines = BufReader::new(reader.stdout.take().expect("stdout")).lines();
        let mut came: Vec<String> = vec![lines.next().expect("a body").expect("text")];
        std::thread::sleep(Duration::from_millis(50 + 70 * round));
        stage.gateway.kill();
        came.extend(lines.map_while(Result::ok));
        reader.wait().expect("ended");
        let rows = stage.records();
        let recorded = rows[before..].iter().filter(|row| row["event"] == "read").map(|row| row["uids"].clone());
        let recorded: Vec<Value> = recorded.collect();
        assert!(came.len() > 3, "bodies came: {}", came.len());
        assert!(recorded.len() >= came.len(), "{} came, {} are recorded", came.len(), recorded.len());
        assert!(came.iter().zip(&recorded).all(|(came, recorded)| recorded == came.as_str()), "in their order");
        stage.gateway.serve_bounded();
    }
    stage.gateway.must(&["audit", "verify"]);
}

const FULL: &str = r#"
m, p = imap(), pop3()
m.fetch("1", "(BODY[])")
print("full", flush=True)
sys.stdin.readline()
for ask in (lambda: m.fetch("1", "(BODY[])"), lambda: m.search(None, "ALL")):
    kind, data = ask()
    assert kind == "NO" and b"[UNAVAILABLE]" in data[0], (kind, data)
assert m.noop()[0] == "OK"
for ask in (lambda: p.retr(1), lambda: p.top(1, 0)):
    try:
        raise SystemExit("shown: %r" % (ask(),))
    except poplib.error_proto as e:
        assert b"[SYS/TEMP]" in e.args[0], e
try:
    imap()
    raise SystemExit("let in")
except imaplib.IMAP4.error as e:
    assert "UNAVAILABLE" in str(e), e
print("freed", flush=True)
sys.stdin.readline()
assert m.fetch("1", "(BODY[])")[0] == "OK"
p.retr(1)
imap().logout()
print("ok", flush=True)
"#;

#[test]
fn what_cannot_be_recorded_is_not_shown() {
    use std::io::Write;
    let stage = stage(2);
    let ports = [stage.gateway.ports.imaps, stage.gateway.ports.pop3s].map(|port| port.to_string());
    let mut reader = Command::new("python3")
        .args(["-c", &[PRELUDE, FULL].concat(), &ports[0], &ports[1], &stage.ca, &stage.mailbox, "", ""])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut input = reader.stdin.take().expect("stdin");
    let mut lines = BufReader::new(reader.stdout.take().expect("stdout")).lines();
    let mut until = |word: &str| {
        let line = lines.next().unwrap_or_else(|| panic!("no {word}:\n{}", stage.gateway.log())).expect("text");
        assert_eq!(line, word);
    };
    until("full");
    let read = stage.records();
    stage.gateway.bound_files(Some(std::fs::metadata(stage.last_file()).expect("a file").len()));
    input.write_all(b"\n").expect("written");
    until("freed");
    let listed = stage.gateway.cli(&["archive", "list"]);
    let text = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(
        listed.status.code() == Some(75) && listed.stdout.is_empty() && text.contains("cannot be recorded"),
        "{text}"
    );
    let status = stage.gateway.json(&["archive", "status"]);
    assert!(status[0]["read_audit"].as_str().is_some_and(|state| state.contains("too large")), "{status:?}");
    assert!(stage.gateway.log().contains("NOBODY CAN READ MAIL"), "{}", stage.gateway.log());
    assert_eq!(stage.records().len(), read.len());
    stage.gateway.bound_files(None);
    eventually("the audit works again", Duration::from_secs(30), || {
        stage.gateway.cli(&["archive", "list"]).status.success().then_some(())
    });
    input.write_all(b"\n").expect("written");
    until("ok");
    assert!(reader.wait().expect("ended").success());
    stage.gateway.must(&["audit", "verify"]);
    assert_eq!(stage.gateway.json(&["archive", "status"])[0]["read_audit"], "working");
}

#[test]
fn mail_goes_on_where_the_audit_cannot_begin() {
    let mut stage = stage(1);
    stage.gateway.stop();
    let (place, away) = (stage.gateway.dir().join("audit"), stage.gateway.dir().join("audit.away"));
    std::fs::rename(&place, &away).expect("moved off");
    std::fs::write(&place, b"no directory").expect("written");
    stage.gateway.serve();
    let mut client = Client::connect(stage.gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let reply = client.deliver("alice@example.org", &["bob@partner.example"], &message(2));
    assert!(reply.starts_with("250 "), "{reply}");
    let refused = "try:\n    imap()\n    raise SystemExit('let in')\nexcept imaplib.IMAP4.error as e:\n    assert 'UNAVAILABLE' in str(e), e\n";
    stage.python(refused);
    std::fs::remove_file(&place).expect("removed");
    std::fs::rename(&away, &place).expect("back");
    eventually("the audit works", Duration::from_secs(30), || {
        stage.gateway.cli(&["archive", "list"]).status.success().then_some(())
    });
    stage.python("imap().logout()\n");
}

/// Whoever reaches the control socket can add records of commands, none of clients.
#[test]
fn the_control_socket_takes_records_of_commands_alone() {
    let stage = stage(1);
    stage.python("m = imap()\nm.logout()\n");
    let octets = std::fs::read(stage.last_file()).expect("a file");
    let mut bodies = Vec::new();
    let mut rest = &octets[60..];
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let bytes = u32::from_be_bytes(*length) as usize;
        bodies.push(&rest[8..8 + bytes]);
        rest = &rest[8 + bytes + 32..];
    }
    let count = stage.records().len();
    assert_eq!(bodies.len(), count, "the documented form");
    let (local, remote) = (bodies[0], bodies[1]);
    let hex = |octets: &[u8]| octets.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let tell = |record: &str| {
        use std::io::{Read, Write};
        let socket = stage.gateway.dir().join("run/control.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("a server");
        let line = serde_json::json!({"command": "audit", "record": record}).to_string();
        stream.write_all(format!("{line}\n").as_bytes()).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    for refused in [&hex(remote), "", "00", "zz", &hex(&local[..local.len() - 1])] {
        assert!(tell(refused).contains("no record of a command"), "{refused}");
    }
    assert!(tell(&hex(local)).contains("done"));
    assert_eq!(stage.records().len(), count + 1);
}

#[test]
fn what_is_anchored_cannot_be_changed_unnoticed() {
    let mut stage = stage(2);
    stage.python("m = imap()\nm.fetch('1:*', '(BODY[])')\nm.logout()\n");
    let count = stage.records().len();
    // The last head is anchored when the server ends, and in the signed log after a pass.
    stage.gateway.stop();
    stage.gateway.serve();
    stage.gateway.seal();
    let verified = stage.gateway.json(&["audit", "verify"]).pop().expect("a summary");
    assert!(verified["ok"] == true && verified["anchored"].as_u64() >= Some(count as u64), "{verified}");
    stage.gateway.verified("2");
    stage.gateway.stop();

    let file = stage.last_file();
    let whole = std::fs::read(&file).expect("a file");
    let check = |what: &str, kind: &str| {
        for command in [&["audit", "verify", "--json"][..], &["archive", "verify", "--json"]] {
            let output = stage.gateway.cli(command);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.code() == Some(1) && text.contains(kind), "{what}, {command:?}: {text}");
        }
    };
    std::fs::write(&file, &whole[..whole.len() - 1]).expect("written");
    check("the last record is cut", "missing");
    let mut bent = whole.clone();
    bent[80] ^= 1;
    std::fs::write(&file, bent).expect("written");
    check("a bit flipped", "changed");
    // Whoever forges knows the format: a log of his own, whole in itself.
    std::fs::write(&file, b"").expect("emptied");
    (0..count + 3).for_each(|_| drop(stage.gateway.must(&["archive", "list"])));
    assert!(
        stage
            .gateway
            .cli(&["audit", "verify", "--dir", file.parent().and_then(|p| p.to_str()).expect("UTF-8")])
            .status
            .code()
            == Some(1)
    );
    check("other records", "rewritten");
    std::fs::remove_file(stage.last_file()).expect("removed");
    std::fs::write(&file, &whole).expect("put back");
    stage.gateway.must(&["audit", "verify"]);
    std::fs::remove_file(&file).expect("removed");
    check("the file is gone", "missing");
}
