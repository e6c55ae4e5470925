//! Holds and erasure with the real program: an order signed by GnuPG, what readers see of it, and what is left on the disk.

use crate::support::{Client, Gateway, Options, Sink, eventually, peers};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

struct Stage {
    sink: Sink,
    gateway: Gateway,
}

fn stage(more: &str) -> Stage {
    let sink = Sink::start();
    // Nothing is sealed before a test says so.
    let more = format!("[archive]\nseal_after_s = 3600\n{more}");
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    Stage { sink, gateway }
}

impl Stage {
    /// Delivers and seals messages number `from..until`.
    fn archive(&self, from: usize, until: usize) {
        let mut client = Client::connect(self.gateway.ports.outbound);
        client.command("EHLO client.example.org");
        for n in from..until {
            let message = format!("From: alice@example.org\r\nSubject: number {n}\r\n\r\nbody {n}\r\n");
            let reply = client.deliver("alice@example.org", &["bob@partner.example"], message.as_bytes());
            assert!(reply.starts_with("250 "), "{reply}");
        }
        self.sink.wait_for(until, SOON);
        self.gateway.seal();
    }
    fn subjects(&self) -> Vec<String> {
        let rows = self.gateway.json(&["archive", "list"]);
        rows.iter().map(|row| row["subject"].as_str().expect("a subject").to_owned()).collect()
    }
    fn path(&self, name: &str) -> String {
        self.gateway.dir().join(name).to_str().expect("UTF-8").to_owned()
    }
    /// What a refused command says; it must end with 1.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.gateway.cli(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
    fn sign_here(&self) -> [String; 4] {
        [
            "--sign-with".into(),
            self.path("officer/key.pgp"),
            "--passphrase-file".into(),
            self.path("officer/passphrase"),
        ]
    }
    fn erase_here(&self, query: &str, more: &[&str]) -> std::process::Output {
        let sign = self.sign_here();
        let mut line = vec!["archive", "erase", query, "--reason", "a request", "--json"];
        line.extend(sign.iter().map(String::as_str));
        line.extend(more);
        self.gateway.cli(&line)
    }
}

/// Has an officer sign with GnuPG, somewhere else.
fn gpg_clearsign(stage: &Stage, order: &str) -> String {
    let home = tempfile::tempdir().expect("a directory");
    let signed = format!("{order}.asc");
    for arguments in [vec!["--import", &stage.path("officer/key.pgp")], vec!["--output", &signed, "--clearsign", order]]
    {
        let done = peers::run("gpg", "gnupg", |c| {
            c.arg("--homedir").arg(home.path()).args(["--batch", "--quiet", "--pinentry-mode", "loopback"]);
            c.args(["--passphrase-file", &stage.path("officer/passphrase")]).args(&arguments)
        });
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let ended = peers::run("gpgconf", "gnupg", |c| c.arg("--homedir").arg(home.path()).args(["--kill", "all"]));
    assert!(ended.status.success());
    signed
}

fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<PathBuf> = all.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
    all.sort();
    all
}

/// The state octets of a key object's slots (docs/archive-format.md section 7): 1 live, 2 tomb.
fn slots(path: &Path) -> Vec<u8> {
    let octets = std::fs::read(path).expect("a key object");
    let number = |at: usize, bytes: usize| octets[at..at + bytes].iter().fold(0usize, |n, o| n << 8 | usize::from(*o));
    let (units, wraps) = (number(44, 4) + number(48, 4), number(56, 2));
    let first = (0..wraps).fold(58, |at, _| at + 6 + number(at + 4, 2));
    (0..units).map(|unit| octets[first + 64 * unit]).collect()
}

/// A client that has the mailbox open while a message in it is erased.
const READERS: &str = r#"
import imaplib, poplib, ssl, subprocess, sys
imaps, pop3s, ca, program, *erase = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
m = imaplib.IMAP4_SSL("localhost", int(imaps), ssl_context=context)
m.login("officer", "secret phrase")
assert m.select("INBOX", readonly=True) == ("OK", [b"3"])
p = poplib.POP3_SSL("localhost", int(pop3s), context=context)
p.user("officer"); p.pass_("secret phrase")
assert p.stat()[0] == 3
done = subprocess.run([program, *erase], capture_output=True)
assert done.returncode == 0, done.stderr
print(done.stdout.decode())
for n in ("1", "3"):
    kind, data = m.fetch(n, "(BODY.PEEK[TEXT])")
    assert kind == "OK" and b"body" in data[0][1], data
kind, data = m.fetch("2", "(BODY.PEEK[])")
assert kind == "NO" and b"[EXPUNGEISSUED]" in data[0], (kind, data)
m.noop()
kind, data = m.response("EXPUNGE")
assert data == [b"2"], data
kind, data = m.fetch("1:*", "(UID)")
assert len(data) == 2, data
try:
    p.retr(2)
    raise SystemExit("an erased message was retrieved")
except poplib.error_proto as error:
    assert b"-ERR" in error.args[0], error
assert b"body 2" in b"".join(p.retr(3)[1])
m.logout()
"#;

#[test]
fn an_erased_message_is_nowhere_any_more() {
    let mut stage = stage("");
    stage.gateway.add_officer("officer", "secret phrase");
    stage.archive(0, 3);
    let order = stage.path("order");
    stage.gateway.must(&["archive", "erase", "subject:number subject:1", "--reason", "case 7", "--prepare", &order]);
    let text = std::fs::read_to_string(&order).expect("the order");
    assert!(text.starts_with("sealpost erase order 1\n") && text.contains("\nreason case 7\n"), "{text}");
    assert_eq!(text.matches("\nmessage ").count(), 1, "{text}");
    let id = text.lines().last().and_then(|line| line.split(' ').nth(1)).expect("an id").to_owned();
    let unsigned = stage.refused(&["archive", "erase", "--order", &order]);
    assert!(unsigned.contains("0 of the 1 officers"), "{unsigned}");
    let signed = gpg_clearsign(&stage, &order);
    let dry = &stage.gateway.json(&["archive", "erase", "--order", &signed, "--dry-run"])[0];
    assert_eq!((&dry["messages"], &dry["act"]), (&Value::from(1), &Value::Null));
    let journal = stage.gateway.dir().join("journal");
    let headers: Vec<Vec<u8>> =
        files(&journal, ".journal").iter().map(|path| std::fs::read(path).expect("read")[..256].to_vec()).collect();
    let ports = [stage.gateway.ports.imaps, stage.gateway.ports.pop3s].map(|port| port.to_string());
    let (ca, config) = (stage.path("tls/ca.pem"), stage.path("sealpost.toml"));
    let line = [&ports[0], &ports[1], &ca, env!("CARGO_BIN_EXE_sealpost"), "archive", "erase", "--order", &signed];
    peers::python(READERS, &[&line[..], &["--json", "--config", &config]].concat());

    let receipts = stage.gateway.json(&["archive", "receipts"]);
    assert_eq!((receipts.len(), &receipts[0]["state"]), (1, &Value::from("complete")), "{receipts:?}");
    let act = receipts[0]["act"].as_u64().expect("an act").to_string();
    let receipt = &stage.gateway.json(&["archive", "receipts", &act])[0];
    assert_eq!(receipt["messages"][0]["id"], id);
    assert_eq!(receipt["reason"], "case 7");
    assert!(receipt["signers"][0].is_string() && receipt["key_backups_until"].is_string(), "{receipt}");
    assert!(receipt["journal_files_retired"].as_u64().is_some_and(|files| files > 0), "{receipt}");
    for dir in ["archive/segments", "archive/key-copies"] {
        // A result that was sealed later is a unit of another segment.
        let all: Vec<Vec<u8>> = files(&stage.gateway.dir().join(dir), ".keys").iter().map(|path| slots(path)).collect();
        assert!(all.contains(&vec![1, 2, 1]), "{dir}: {all:?}");
    }
    let now: Vec<Vec<u8>> = files(&journal, ".journal").iter().map(|path| std::fs::read(path).expect("read")).collect();
    for header in headers.iter().filter(|header| header.starts_with(b"SPJOURN1")) {
        assert!(now.iter().all(|file| !file.starts_with(header)), "a journal key is still there");
    }
    let gone = |stage: &Stage| {
        assert_eq!(stage.subjects(), ["number 0", "number 2"]);
        assert!(stage.refused(&["archive", "show", &id]).contains("no sealed message"));
        let verified = stage.gateway.verified("2");
        assert_eq!((&verified["ok"], &verified["erased"]), (&Value::from(true), &Value::from(1)), "{verified}");
    };
    gone(&stage);
    let output = stage.path("out");
    stage.gateway.must(&["archive", "export", "--output", &output]);
    assert_eq!(files(Path::new(&output), ".eml").len(), 2);
    let status = &stage.gateway.json(&["archive", "status"])[0];
    assert_eq!((&status["erased"], &status["receipts_pending"]), (&Value::from(1), &Value::from(0)));
    stage.gateway.stop();
    stage.gateway.serve();
    gone(&stage);
    stage.gateway.stop();
    std::fs::remove_dir_all(stage.gateway.dir().join("catalog")).expect("removed");
    stage.gateway.serve();
    gone(&stage);
    assert!(stage.gateway.json(&["archive", "erase", "--order", &signed])[0]["already"] == 1, "once is enough");
}

#[test]
fn what_is_held_stays() {
    let stage = stage("");
    stage.archive(0, 3);
    let held = &stage.gateway.json(&["archive", "hold", "case-1", "subject:1", "--reason", "litigation"])[0];
    assert_eq!(held["messages"], 1);
    let id = stage.gateway.json(&["archive", "list", "hold:case-1"])[0]["id"].as_str().expect("an id").to_owned();
    stage.gateway.must(&["archive", "hold", "case-2", "--id", &id, "--reason", "litigation"]);
    let shown = &stage.gateway.json(&["archive", "show", &id])[0];
    assert_eq!(shown["holds"], serde_json::json!(["case-1", "case-2"]));
    let refused = stage.erase_here("subject:number", &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("held by case-1, case-2"), "{said}");
    let audit = std::fs::read_to_string(stage.gateway.dir().join("audit.jsonl")).expect("the audit trail");
    assert!(audit.contains("\"act-refused\"") && audit.contains("\"held\""), "{audit}");
    for name in ["case-1", "case-2"] {
        stage.gateway.must(&["archive", "release", name, "--reason", "settled"]);
    }
    assert_eq!(stage.gateway.json(&["archive", "list", "hold:case-1"]).len(), 0);
    let holds = stage.gateway.json(&["archive", "holds"]);
    assert!(holds.len() == 2 && holds.iter().all(|hold| hold["released"].is_string()), "{holds:?}");
    // A standing hold takes what is sealed later, and spares it.
    stage.gateway.must(&["archive", "hold", "watch", "subject:1", "--reason", "litigation", "--standing"]);
    stage.archive(3, 12);
    stage.archive(12, 13);
    let watched = stage.gateway.json(&["archive", "list", "hold:watch"]);
    let subjects: Vec<&str> = watched.iter().map(|row| row["subject"].as_str().expect("a subject")).collect();
    assert_eq!(subjects, ["number 1", "number 10", "number 11", "number 12"]);
    let said = stage.erase_here("subject:12", &[]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("held by watch"));
    let erased = stage.erase_here("subject:5", &[]);
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    assert_eq!(stage.subjects().len(), 12);
    assert_eq!(stage.gateway.verified("2")["erased"], 1);
    let usage = |line: &[&str]| assert_eq!(stage.gateway.cli(line).status.code(), Some(2), "{line:?}");
    usage(&["archive", "hold", "x", "--reason", "r"]);
    usage(&["archive", "erase", "--reason", "r", "--prepare", "/nowhere"]);
    assert!(
        stage.refused(&["archive", "hold", "x", "subject:nothing", "--reason", "r"]).contains("no message matches")
    );
}

#[test]
fn without_a_server_and_with_a_locked_view() {
    let mut stage = stage("erase_signatures = 1\nkey_backup_days = 7\n");
    stage.archive(0, 4);
    stage.gateway.stop();
    let dry = stage.erase_here("subject:1", &["--dry-run"]);
    assert!(dry.status.success(), "{}", String::from_utf8_lossy(&dry.stderr));
    assert_eq!(stage.subjects().len(), 4);
    let limit = stage.erase_here("subject:number", &["--limit", "3"]);
    assert_eq!(limit.status.code(), Some(1));
    let erased = stage.erase_here("subject:1", &[]);
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    let row: Value = serde_json::from_slice(&erased.stdout).expect("JSON");
    assert_eq!(row["receipt"], "written", "{row}");
    assert_eq!(stage.subjects(), ["number 0", "number 2", "number 3"]);
    let due = &stage.gateway.json(&["archive", "expire", "--dry-run"])[0];
    assert_eq!(due["messages"], 0, "nothing expires unless a class says so");
    // An officer brings an order to a gateway whose view is locked.
    let order = stage.path("order");
    stage.gateway.must(&["archive", "erase", "subject:2", "--reason", "r", "--prepare", &order]);
    let signed = gpg_clearsign(&stage, &order);
    std::fs::rename(stage.path("officer"), stage.path("elsewhere")).expect("moved away");
    stage.gateway.serve();
    let done = &stage.gateway.json(&["archive", "erase", "--order", &signed])[0];
    assert_eq!(done["receipt"], "written", "{done}");
    assert_eq!(files(&stage.gateway.dir().join("catalog"), ".db").len(), 0, "what cannot be opened is removed");
    assert_eq!(stage.gateway.verified("0")["erased"], 2);
    stage.gateway.stop();
    std::fs::rename(stage.path("elsewhere"), stage.path("officer")).expect("brought back");
    stage.gateway.serve();
    assert_eq!(stage.subjects(), ["number 0", "number 3"]);
}

#[test]
fn a_receipt_that_waits_is_written_after_a_kill() {
    let mut stage = stage("");
    stage.archive(0, 2);
    // An upload under way keeps the journal file that the message may stand in.
    let mut upload = Client::connect(stage.gateway.ports.outbound);
    upload.command("EHLO client.example.org");
    for line in ["MAIL FROM:<alice@example.org>", "RCPT TO:<bob@partner.example>", "DATA"] {
        upload.command(line);
    }
    upload.send(format!("Subject: large\r\n\r\n{}", "a line of a large message\r\n".repeat(40_000)).as_bytes());
    std::thread::sleep(Duration::from_secs(1));
    let erased = stage.erase_here("subject:1", &[]);
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    let row: Value = serde_json::from_slice(&erased.stdout).expect("JSON");
    assert_eq!(row["receipt"], "pending", "{row}");
    assert!(String::from_utf8_lossy(&erased.stderr).contains("the receipt is pending"));
    assert_eq!(stage.gateway.json(&["archive", "receipts"])[0]["state"], "pending");
    assert_eq!(stage.subjects(), ["number 0"], "it is gone all the same");
    stage.gateway.kill();
    stage.gateway.serve();
    let state = || stage.gateway.json(&["archive", "receipts"])[0]["state"] == "complete";
    eventually("the receipt is written", SOON, || state().then_some(()));
    assert_eq!(stage.gateway.verified("2")["erased"], 1);
}
