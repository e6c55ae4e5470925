//! Officers: two of three open the view, one of them with GnuPG; they leave, and prove that they can still open. Keys are made, and
//! pieces decrypted, by the real gpg.

use crate::support::{Client, Gateway, Options, Sink, eventually, peers};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const USER: &str = "reader:secret phrase";
const SOON: Duration = Duration::from_secs(30);

fn message(n: usize) -> Vec<u8> {
    format!("From: alice@example.org\r\nTo: bob@partner.example\r\nSubject: number {n}\r\n\r\nbody {n}\r\n")
        .into_bytes()
}

/// A gateway whose first officer `init` made, and two officers whose keys gpg has.
struct Stage {
    gateway: Gateway,
    gpg: tempfile::TempDir,
    _sink: Sink,
    sent: std::cell::Cell<usize>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The agent of this home, which gpg has started.
        let _ended = Command::new("gpgconf").arg("--homedir").arg(self.gpg.path()).args(["--kill", "all"]).status();
    }
}

fn stage() -> Stage {
    let sink = Sink::start();
    let more = "[archive]\nseal_after_s = 3600\n".to_owned();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    gateway.add_officer("reader", "secret phrase");
    let gpg = tempfile::tempdir().expect("a directory");
    let stage = Stage { gateway, gpg, _sink: sink, sent: std::cell::Cell::new(0) };
    for name in ["berta", "carla"] {
        let id = format!("{name} <{name}@example.org>");
        let made = stage.gpg(&["--quick-generate-key", &id, "future-default", "default", "never"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let certificate = stage.gpg(&["--armor", "--export", &id]);
        std::fs::write(stage.certificate(name), certificate.stdout).expect("write");
    }
    stage
}

impl Stage {
    fn gpg(&self, arguments: &[&str]) -> Output {
        peers::gpg(self.gpg.path(), arguments)
    }
    fn certificate(&self, name: &str) -> PathBuf {
        self.gpg.path().join(format!("{name}.asc"))
    }
    fn send(&self) {
        let n = self.sent.get() + 1;
        let mut client = Client::connect(self.gateway.ports.outbound);
        client.command("EHLO client.example.org");
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], &message(n));
        assert!(reply.starts_with("250 "), "{reply}");
        self.sent.set(n);
        self.gateway.seal();
    }
    /// Runs the program with gpg's home in its environment.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command.env("GNUPGHOME", self.gpg.path()).args(arguments).arg("--config").arg(self.gateway.config());
        command.stdin(Stdio::null()).output().expect("the program runs")
    }
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[arguments, &["--json"]].concat());
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {stdout}{stderr}");
        stdout.lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect()
    }
    /// What it refuses, in words.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
    fn status(&self) -> Value {
        self.gateway.json(&["archive", "status"]).remove(0)
    }
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.gpg.path().join(name);
        std::fs::write(&path, content).expect("write");
        path.to_str().expect("UTF-8").to_owned()
    }
    /// An officer's share for opening with another, as gpg prints it.
    fn share(&self, officer: &str, with: &str) -> String {
        let piece = self.run(&["archive", "officer", "piece", "--officer", officer, "--with", with]);
        assert!(piece.status.success(), "{}", String::from_utf8_lossy(&piece.stderr));
        let piece = self.file("piece.asc", piece.stdout);
        let opened = self.gpg(&["--quiet", "--decrypt", &piece]);
        assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
        String::from_utf8(opened.stdout).expect("text")
    }
    fn curl(&self, n: usize) -> Output {
        let ca = self.gateway.ca();
        let mailbox = format!("imaps://localhost:{}/INBOX;MAILINDEX={n}", self.gateway.ports.imaps);
        peers::run("curl", "curl", |c| {
            c.args(["-sSv", "--max-time", "30", "--cacert"]).arg(&ca).args(["-u", USER, &mailbox])
        })
    }
    /// By IMAP, all that was sent.
    fn assert_readable(&self) {
        for n in 1..=self.sent.get() {
            let read = self.curl(n);
            assert_eq!(read.stdout, message(n), "{}", String::from_utf8_lossy(&read.stderr));
        }
    }
    fn assert_unavailable(&self) {
        let read = self.curl(1);
        let talk = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(!read.status.success() && talk.contains("NO [UNAVAILABLE]"), "{talk}");
    }
    fn first_officer(&self) -> [String; 2] {
        ["officer/key.pgp", "officer/passphrase"].map(|name| path_text(&self.gateway.dir().join(name)))
    }
    /// Any two of the three.
    fn two_of_three(&self) -> Value {
        let certificates = ["berta", "carla"].map(|name| path_text(&self.certificate(name)));
        let [berta, carla] = &certificates;
        self.json(&["archive", "officer", "add", berta, carla, "--threshold", "2"]).remove(0)
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn two_of_three_officers_unlock_leave_and_prove() {
    let stage = stage();
    stage.send();
    stage.assert_readable();
    assert_eq!(stage.status()["view"], "unlocked");

    // One officer becomes two of three; what is sealed from now on takes two.
    let made = stage.two_of_three();
    assert_eq!((&made["generation"], &made["view"]), (&2.into(), &"locked".into()), "{made}");
    assert_eq!(made["added"].as_array().map(Vec::len), Some(2), "{made}");
    assert!(made["warnings"].to_string().contains("any 1 of the former officers"), "{made}");
    stage.send();
    stage.assert_unavailable();
    let listed = stage.json(&["archive", "officer", "list"]);
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[1]["user_ids"][0], "berta <berta@example.org>");
    assert!(listed.iter().all(|row| row["encryption"].to_string().contains("25519")), "{listed:?}");
    assert_eq!((&listed[2]["threshold"], &listed[2]["origin"]), (&2.into(), &"gateway".into()));

    // A share waits for another; wrong ones are named, and nothing opens with one.
    let berta = stage.file("berta.txt", stage.share("2", "1"));
    let waiting = stage.json(&["unlock", "--share", &berta]).remove(0);
    assert_eq!((&waiting["view"], &waiting["shares"]), (&"locked".into(), &"1 of 2".into()), "{waiting}");
    stage.assert_unavailable();
    assert_eq!(stage.status()["shares"], "1 of 2");
    assert!(stage.refused(&["unlock", "--share", &berta]).contains("the share of officer 2"), "twice");
    let carla = stage.share("3", "1");
    let digit = if carla.ends_with("0\n") { "1\n" } else { "0\n" };
    let wrong = stage.file("wrong.txt", format!("{}{digit}", &carla[..carla.len() - 2]));
    let refused = stage.refused(&["unlock", "--share", &wrong]);
    assert!(refused.contains("the share of officer 3 (") && refused.contains("is wrong"), "{refused}");
    let id = carla.lines().nth(1).expect("a line naming the archive");
    let foreign = stage.file("foreign.txt", carla.replace(id, &format!("archive {}", "ab".repeat(16))));
    assert!(stage.refused(&["unlock", "--share", &foreign]).contains("of another archive"));
    let bent = stage.file("bent.txt", carla.replace("share 1", "share 2"));
    assert!(stage.refused(&["unlock", "--share", &bent]).contains("not the decrypted text"));
    let stranger = stage.file("stranger.txt", carla.replace("officer 3\n", "officer 2\n"));
    assert!(stage.refused(&["unlock", "--share", &stranger]).contains("no share of officer 2 among 1,3"));
    assert_eq!(stage.status()["shares"], "1 of 2", "what waited waits on");

    // The first officer's key is the other.
    let [key, passphrase] = stage.first_officer();
    let unlocked = stage.json(&["unlock", "--key", &key, "--passphrase-file", &passphrase]).remove(0);
    assert_eq!(unlocked["view"], "unlocked", "{unlocked}");
    assert!(unlocked["unlocked_until"].is_string() && unlocked["shares"].is_null(), "{unlocked}");
    stage.assert_readable();
    stage.gateway.must(&["lock"]);
    stage.assert_unavailable();

    // Two shares that gpg decrypted, in one file and through gpg itself; for a time.
    let both = stage.share("2", "3") + &stage.share("3", "2").replace('\n', "\r\n");
    let both = stage.file("both.txt", both);
    stage.json(&["unlock", "--share", &both]);
    stage.assert_readable();
    let until = stage.json(&["unlock", "--gpg", "--ttl", "1s"]).remove(0);
    assert_eq!(until["view"], "unlocked");
    eventually("its time is over", SOON, || (stage.status()["view"] == "locked").then_some(()));
    stage.assert_unavailable();
    assert!(stage.status()["locked_because"].to_string().contains("is over"));

    // The first officer leaves. Nobody can take back what was open to it; what comes is closed.
    let former = listed[0]["fingerprint"].as_str().expect("text");
    let removed = stage.json(&["archive", "officer", "remove", former, "--gpg"]).remove(0);
    assert_eq!((&removed["generation"], &removed["removed"][0]), (&3.into(), &former.into()), "{removed}");
    let warned = removed["warnings"].to_string();
    for words in [
        "2 messages in 2 segments",
        "together with one other officer of generation 2",
        "until generation 2 began, alone",
    ] {
        assert!(warned.contains(words), "{words}: {warned}");
    }
    stage.send();
    assert!(stage.refused(&["unlock", "--key", &key, "--passphrase-file", &passphrase]).contains("is no officer"));
    assert!(
        stage
            .refused(&["unlock", "--share", &berta])
            .contains("of generation 2 and the archive key is at generation 3")
    );
    stage.json(&["unlock", "--gpg"]);
    stage.assert_readable();
    let [all, verified] = [&["archive", "list", "--gpg"][..], &["archive", "verify", "--level", "2", "--gpg"]]
        .map(|line| stage.json(line));
    assert_eq!((all.len(), &verified[0]["ok"]), (3, &true.into()), "{verified:?}");

    // They prove that they can open.
    assert_eq!(stage.status()["drill"]["last"], Value::Null);
    let alone = stage.file("alone.txt", stage.share("1", "2"));
    assert!(stage.refused(&["archive", "drill", "--share", &alone]).contains("2 officers are needed, 1 are here"));
    let proved = stage.json(&["archive", "drill", "--gpg"]).remove(0);
    assert_eq!(proved["proved"].as_array().map(Vec::len), Some(2), "{proved}");
    assert_eq!(stage.status()["drill"]["last"], proved["at"]);
    assert!(stage.json(&["archive", "officer", "list"]).iter().all(|row| row["last_drill"] == proved["at"]));
    assert_eq!(stage.gateway.verified("0")["ok"], true);
}

/// A session that has logged in before the archive is locked.
const SESSION: &str = r#"
import imaplib, poplib, ssl, sys
imaps, pop3s, ca = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=ca)
m = imaplib.IMAP4_SSL("localhost", imaps, ssl_context=context)
m.login("reader", "secret phrase")
m.select("INBOX", readonly=True)
p = poplib.POP3_SSL("localhost", pop3s, context=context)
p.user("reader")
p.pass_("secret phrase")
print(p.stat()[0], flush=True)
sys.stdin.readline()
# Told without having asked.
m.sock.settimeout(10)
said = m.readline()
assert said.startswith(b"* BYE"), said
p.sock.settimeout(10)
said = p.file.readline()
assert said == b"" or said.startswith(b"-ERR"), said
def closed(ask):
    try:
        return ask()
    except (imaplib.IMAP4.abort, poplib.error_proto, OSError):
        return None
kind = closed(lambda: m.fetch("1", "(ENVELOPE)")[0])
assert kind in (None, "NO"), kind
assert closed(lambda: p.retr(1)) is None
print("closed", flush=True)
"#;

#[test]
fn locking_ends_sessions_and_a_start_without_the_key_stays_locked() {
    use std::io::{BufRead, BufReader, Write};
    let mut stage = stage();
    stage.send();
    let [imaps, pop3s] = [stage.gateway.ports.imaps, stage.gateway.ports.pop3s].map(|port| port.to_string());
    let mut child = Command::new("python3")
        .args(["-c", SESSION, &imaps, &pop3s, &path_text(&stage.gateway.ca())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "1");
    stage.gateway.must(&["lock"]);
    child.stdin.take().expect("stdin").write_all(b"\n").expect("write");
    assert_eq!(lines.next().expect("a line").expect("text"), "closed");
    assert!(child.wait().expect("wait").success());
    stage.assert_unavailable();

    // With the key that the configuration names, or where it has been brought to.
    stage.gateway.must(&["unlock"]);
    stage.assert_readable();
    let [key, passphrase] = stage.first_officer();
    let away = [stage.gpg.path().join("key"), stage.gpg.path().join("passphrase")];
    std::fs::rename(&key, &away[0]).expect("moved");
    std::fs::rename(&passphrase, &away[1]).expect("moved");
    stage.gateway.stop();
    stage.gateway.serve();
    stage.assert_unavailable();
    stage.gateway.must(&["unlock", "--key", &path_text(&away[0]), "--passphrase-file", &path_text(&away[1])]);
    stage.send();
    stage.assert_readable();
    ask_on_a_terminal(&stage, &path_text(&away[0]), &path_text(&away[1]));
    let refused = stage.refused(&["unlock", "--key", &path_text(&away[0])]);
    assert!(refused.contains("no terminal") && refused.contains("--passphrase-file"), "{refused}");
    stage.gateway.stop();
    let nobody = stage.run(&["lock"]);
    assert_eq!(nobody.status.code(), Some(75), "{}", String::from_utf8_lossy(&nobody.stderr));
}

/// A terminal: the passphrase is typed and not shown.
const TERMINAL: &str = r#"
import os, pty, signal, sys
program, config, key, passphrase = sys.argv[1:]
signal.alarm(60)
child, terminal = pty.fork()
if child == 0:
    os.execv(program, [program, "unlock", "--key", key, "--config", config])
said = b""
while b"passphrase of" not in said:
    said += os.read(terminal, 4096)
os.write(terminal, passphrase.encode() + b"\n")
try:
    while part := os.read(terminal, 4096):
        said += part
except OSError:
    pass
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said
assert passphrase.encode() not in said and b"view: unlocked" in said, said
"#;

fn ask_on_a_terminal(stage: &Stage, key: &str, passphrase: &str) {
    let passphrase = std::fs::read_to_string(passphrase).expect("read");
    let config = path_text(&stage.gateway.config());
    peers::python(TERMINAL, &[env!("CARGO_BIN_EXE_sealpost"), &config, key, passphrase.trim()]);
}

#[test]
fn a_drill_is_due_after_half_a_year() {
    let mut stage = stage();
    let check = |stage: &Stage| String::from_utf8_lossy(&stage.run(&["check"]).stderr).into_owned();
    assert!(!check(&stage).contains("drill"));
    let officer = stage.json(&["archive", "officer", "list"])[0]["fingerprint"].clone();
    let drills = stage.gateway.dir().join("drills");
    let old = serde_json::json!({"proofs": [{"officer": officer, "generation": 1, "at_ms": 1_500_000_000_000_u64}]});
    std::fs::write(&drills, old.to_string()).expect("write");
    assert!(check(&stage).contains("nobody has proved for 180 days"), "{}", check(&stage));
    let drill = stage.status()["drill"].take();
    assert_eq!((&drill["overdue"], &drill["last"]), (&true.into(), &"2017-07-14T02:40:00.000Z".into()));
    let listed = stage.run(&["archive", "officer", "list"]);
    assert!(String::from_utf8_lossy(&listed.stderr).contains("archive drill"), "{listed:?}");
    stage.gateway.stop();
    stage.gateway.serve();
    eventually("the log says so", SOON, || stage.gateway.log().contains("nobody has proved").then_some(()));
    stage.gateway.must(&["archive", "drill"]);
    assert!(!check(&stage).contains("drill"));
    assert_eq!(stage.status()["drill"]["overdue"], false);
}

#[test]
fn a_generation_made_on_another_machine_is_installed() {
    let mut stage = stage();
    stage.send();
    stage.two_of_three();
    stage.send();
    let keys = stage.gateway.dir().join("archive/keys");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let (from, to) = (elsewhere.path().join("newest"), elsewhere.path().join("next"));
    std::fs::copy(keys.join("generation-2"), &from).expect("copied");
    let there = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command.current_dir(elsewhere.path()).env("GNUPGHOME", stage.gpg.path()).args(arguments);
        command.stdin(Stdio::null()).output().expect("the program runs")
    };
    let made = there(&["archive", "officer", "remove", "1", "--gpg", "--from", "newest", "--output", "next"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(there(&["archive", "officer", "list", "--from", "next"]).status.success());
    let again = there(&["archive", "officer", "rekey", "--gpg", "--from", "newest", "--output", "next"]);
    assert!(!again.status.success(), "nothing is overwritten");
    let beside = elsewhere.path().join("beside");
    let line = ["archive", "officer", "rekey", "--gpg", "--from", &path_text(&from), "--output", &path_text(&beside)];
    assert_eq!(stage.json(&line)[0]["origin"], "gateway", "made on its host, whatever it is made from");
    assert_eq!(stage.status()["generation"], 2, "nothing has changed yet");
    let installed = stage.json(&["archive", "officer", "install", &path_text(&to)]).remove(0);
    assert_eq!((&installed["generation"], &installed["origin"]), (&3.into(), &"elsewhere".into()), "{installed}");
    assert!(installed["warnings"].to_string().contains("can still open"), "{installed}");
    assert!(stage.refused(&["archive", "officer", "install", &path_text(&to)]).contains("the archive is at 3"));
    stage.send();
    stage.json(&["unlock", "--gpg"]);
    stage.assert_readable();

    // Without a running gateway, and what remains after a restart.
    stage.gateway.stop();
    let rekeyed = stage.json(&["archive", "officer", "rekey", "--threshold", "1", "--gpg"]).remove(0);
    assert_eq!((&rekeyed["generation"], &rekeyed["threshold"]), (&4.into(), &1.into()), "{rekeyed}");
    stage.gateway.serve();
    stage.send();
    stage.json(&["unlock", "--gpg"]);
    stage.assert_readable();
    assert_eq!(stage.gateway.verified("0")["ok"], true);

    // Swapped files are refused by who opens, and named by who verifies.
    stage.gateway.stop();
    let [three, four] = [3, 4].map(|n| std::fs::read(keys.join(format!("generation-{n}"))).expect("read"));
    std::fs::write(keys.join("generation-3"), &four).expect("write");
    std::fs::write(keys.join("generation-4"), &three).expect("write");
    assert!(stage.refused(&["archive", "officer", "list"]).contains("keys/generation-4 is damaged"));
    let verified = stage.run(&["archive", "verify"]);
    let found = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(found.contains("keys/generation-3") && found.contains("keys/generation-4"), "{found}");
}
