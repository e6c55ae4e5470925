//! Evidence: bundles that python3 checks without our program, time stamps of a real authority, checkpoints that leave the machine,
//! an archive that was rolled back, and the scrub.

use crate::support::tsa::Tsa;
use crate::support::{Client, Gateway, Options, Sink, eventually, free_port};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(40);
const OTHER: &str = "words of another message";

fn send(gateway: &Gateway, text: &str) -> String {
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let message = format!("From: alice@example.org\r\nTo: bob@partner.example\r\nSubject: x\r\n\r\n{text}\r\n");
    let reply =
        client.deliver("alice@example.org", &["bob@partner.example", "carol@partner.example"], message.as_bytes());
    assert!(reply.starts_with("250 "), "{reply}");
    reply.split_whitespace().last().expect("an id").to_owned()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn verify_py(script: &Path, bundle: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        Command::new("python3").arg("-B").arg(script).arg(bundle).args(arguments).output().expect("python3");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

/// A gateway whose next hop comes up only after the message is sealed: so one result is an event.
fn bundle_of_one_message(dir: &Path, tsa: &Arc<Tsa>) -> (Gateway, PathBuf) {
    let (port, authority) = (free_port(), free_port());
    tsa.serve(authority);
    let more = format!(
        "[archive]\nseal_after_s = 3600\ntsa = \"http://127.0.0.1:{authority}/tsr\"\ntsa_ca = \"{}\"\n",
        tsa.ca().display()
    );
    let gateway = Gateway::start(&Options { next_hop: port, more, ..Options::default() });
    let id = send(&gateway, "words of this message");
    send(&gateway, OTHER);
    gateway.seal();
    let sink = Sink::on_port(port);
    sink.wait_for(4, SOON);
    eventually("both results", SOON, || {
        gateway.seal();
        let shown = gateway.json(&["archive", "show", &id]).remove(0);
        (shown["results"].as_array().map(Vec::len) == Some(2)).then_some(())
    });
    let rows = gateway.json(&["archive", "checkpoint"]);
    assert_eq!((&rows[1]["to"], &rows[1]["ok"]), (&json!("tsa"), &json!(true)), "{rows:?}");
    let output = dir.join("out");
    let query = format!("id:{id}");
    let exported = gateway
        .json(&["archive", "export", &query, "--evidence", "--output", output.to_str().expect("UTF-8")])
        .remove(0);
    assert_eq!(exported, json!({"messages": 1, "timestamped": 1, "failed": 0}));
    (gateway, output.join(id))
}

#[test]
fn a_bundle_proves_a_message_without_our_program() {
    let dir = tempfile::tempdir().expect("a directory");
    let tsa = Arc::new(Tsa::proper());
    let (gateway, bundle) = bundle_of_one_message(dir.path(), &tsa);
    let own = bundle.join("verify.py");
    let ca = tsa.ca().display().to_string();
    let (code, said) = verify_py(&own, &bundle, &["--tsa-ca", &ca]);
    assert_eq!(code, Some(0), "{said}");
    for wanted in [
        "ok   message: ",
        "from alice@example.org to bob@partner.example, carol@partner.example",
        "ok   acceptance: leaf 2 ",
        "ok   result 0000: ",
        "ok   result 0001: ",
        ": bob@partner.example delivered",
        ": carol@partner.example delivered",
        "ok   time stamp: ",
        "one of your authorities vouches",
        "accepted not later than 20",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("BAD"), "{said}");
    let stranger = Tsa::proper();
    let (code, said) = verify_py(&own, &bundle, &["--tsa-ca", &stranger.ca().display().to_string()]);
    assert!(code == Some(1) && said.contains("BAD  time stamp: it does not lead to an authority"), "{said}");
    let (code, said) = verify_py(&own, &bundle, &["--vkey-sha256", &"0".repeat(64)]);
    assert!(code == Some(1) && said.contains("BAD  log key"), "{said}");
    assert!(
        tsa.believes(&bundle.join("timestamp/response.tsr"), &bundle.join("timestamp/checkpoint")),
        "OpenSSL's own tool"
    );
    gives_nothing_else_away(&gateway, &bundle);
    flipped_bits_are_found(&own, &bundle);
    forgeries_are_found(&own, &bundle);
    consistent_forgeries_are_found(&own, &bundle, &tsa);
}

/// No word of the other message, and no key: what is derived of the message's key opens its leaf alone.
fn gives_nothing_else_away(gateway: &Gateway, bundle: &Path) {
    for path in files_below(bundle) {
        let octets = std::fs::read(&path).expect("readable");
        let holds = |needle: &str| octets.windows(needle.len()).any(|window| window == needle.as_bytes());
        assert!(!holds(OTHER) && !holds("PRIVATE KEY"), "{}", path.display());
    }
    let summary = gateway.verified("2");
    assert!(summary["ok"] == true && summary["timestamps"].as_u64() >= Some(1), "{summary}");
}

/// Makes the manifest fit whatever the files are now, as a forger would.
fn refit(bundle: &Path) {
    let manifest = bundle.join("manifest.json");
    let mut stated: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).expect("read")).expect("JSON");
    for (name, one) in stated["files"].as_object_mut().expect("files") {
        let octets = std::fs::read(bundle.join(name)).expect("read");
        let digest = sealpost::crypto::hash::hex(&sealpost::crypto::sha256(&octets));
        *one = json!({"bytes": octets.len(), "sha256": digest});
    }
    std::fs::write(&manifest, format!("{stated:#}\n")).expect("written");
}

/// Says something else in all files at once, so that none contradicts another; what the script says to that.
fn forged(script: &Path, bundle: &Path, was: &str, is: &str, files: &[&str]) -> String {
    let manifest = std::fs::read(bundle.join("manifest.json")).expect("read");
    let before: Vec<Vec<u8>> = files.iter().map(|name| std::fs::read(bundle.join(name)).expect("read")).collect();
    for (name, octets) in files.iter().zip(&before) {
        // Latin-1, so that any octets are text.
        let text: String = octets.iter().map(|b| char::from(*b)).collect();
        let text = text.replace(was, is);
        assert_eq!(text.chars().count(), octets.len(), "of the same length, so that CBOR stays CBOR");
        std::fs::write(bundle.join(name), text.chars().map(|c| u8::try_from(c).expect("Latin-1")).collect::<Vec<u8>>())
            .expect("written");
    }
    refit(bundle);
    let (code, said) = verify_py(script, bundle, &[]);
    assert_eq!(code, Some(1), "{said}");
    for (name, octets) in files.iter().zip(&before) {
        std::fs::write(bundle.join(name), octets).expect("written");
    }
    std::fs::write(bundle.join("manifest.json"), manifest).expect("written");
    said
}

/// Forgeries in which everything fits but what the log holds.
fn consistent_forgeries_are_found(own: &Path, bundle: &Path, tsa: &Tsa) {
    let results = ["results/0000.json", "results/0001.json"];
    let envelope = ["envelope.cbor", "envelope.json", results[0], results[1]];
    let said = forged(own, bundle, "carol@partner", "mavis@partner", &envelope);
    assert!(said.contains("BAD  acceptance: the leaf commits to another record"), "{said}");
    assert_eq!(said.matches("BAD").count(), 1, "nothing else contradicts: {said}");
    let said = forged(own, bundle, "2.0.0 kept", "2.0.0 lost", &["results/0001.cbor", "results/0001.json"]);
    assert!(said.contains("BAD  result 0001: the leaf commits to another record"), "{said}");
    // Another stamp on the same checkpoint, as good as the first, but not the one that the log names.
    let (response, note) = (bundle.join("timestamp/response.tsr"), bundle.join("timestamp/checkpoint"));
    let (kept, manifest) =
        (std::fs::read(&response).expect("read"), std::fs::read(bundle.join("manifest.json")).expect("read"));
    let imprint = sealpost::crypto::sha256(&std::fs::read(note).expect("read"));
    let query = sealpost::archive::timestamp::request(&imprint, &[5; 16]).expect("a request");
    std::fs::write(&response, tsa.reply(&query)).expect("written");
    refit(bundle);
    let (code, said) = verify_py(own, bundle, &[]);
    assert!(code == Some(1) && said.contains("BAD  time stamp: the log names another time stamp"), "{said}");
    std::fs::write(&response, kept).expect("written");
    std::fs::write(bundle.join("manifest.json"), manifest).expect("written");
    assert_eq!(verify_py(own, bundle, &[]).0, Some(0), "as it was");
}

/// Bends each file of a bundle at some places and asks the script each time, in one process; with `refit`, makes the manifest fit, as a
/// forger would. For each: file, place, exit status, the first check that does not hold.
const BENDING: &str = r#"
import contextlib, hashlib, importlib.util, io, json, os, sys
script, place, refit = sys.argv[1], sys.argv[2], sys.argv[3] == "refit"
spec = importlib.util.spec_from_file_location("verify", script)
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)

def ask():
    sys.argv = [script, place]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = verify.main()
    return code, next((line for line in out.getvalue().splitlines() if line.startswith("BAD")), "")

def write(path, octets):
    with open(path, "wb") as file:
        file.write(octets)

def read(path):
    with open(path, "rb") as file:
        return file.read()

manifest = os.path.join(place, "manifest.json")
names = sorted(os.path.relpath(os.path.join(root, name), place) for root, _, names in os.walk(place) for name in names)
stated = ["README.txt", "verify.py", "officers.json", "manifest.json"] if refit else []
for name in [name for name in names if name not in stated]:
    path, before = os.path.join(place, name), read(os.path.join(place, name))
    whole = read(manifest)
    for at in {0, len(before) // 3, len(before) // 2, max(len(before) - 20, 0), len(before) - 1}:
        # The last octet of a text is a line feed, which is the form of the file and says nothing.
        if refit and before[at] in b"\n= {}":
            continue
        bent = bytearray(before)
        bent[at] ^= 1
        write(path, bent)
        if refit:
            files = json.loads(whole)
            digest = lambda name: {"bytes": len(read(os.path.join(place, name))),
                                   "sha256": hashlib.sha256(read(os.path.join(place, name))).hexdigest()}
            files["files"] = {name: digest(name) for name in files["files"]}
            write(manifest, json.dumps(files, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n")
        print(json.dumps([name, at, *ask()]))
        write(path, before)
        write(manifest, whole)
    if not refit:
        os.remove(path)
        print(json.dumps([name, -1, *ask()]))
        write(path, before)
"#;

fn bent(script: &Path, bundle: &Path, how: &str) -> Vec<(String, i64, i64, String)> {
    let Output { status, stdout, stderr } = Command::new("python3")
        .args(["-B", "-c", BENDING])
        .args([script, bundle, Path::new(how)])
        .output()
        .expect("python3");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let text = String::from_utf8(stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Whoever bends any file, and does no more, is found by the manifest.
fn flipped_bits_are_found(own: &Path, bundle: &Path) {
    // Not the script in the bundle, for a bent one may say anything.
    let script = bundle.parent().expect("parent").join("verify-as-shipped.py");
    std::fs::copy(own, &script).expect("copied");
    let found = bent(&script, bundle, "alone");
    assert!(found.len() > 20 * 5, "{}", found.len());
    for (name, place, code, check) in found {
        assert!(code == 1 && !check.is_empty() || place < 0 && code == 2, "octet {place} of {name}: {code} {check}");
    }
    std::fs::write(bundle.join("added"), b"x").expect("written");
    let (code, said) = verify_py(&script, bundle, &[]);
    assert!(code == Some(1) && said.contains("too many"), "{said}");
    std::fs::remove_file(bundle.join("added")).expect("removed");
    assert_eq!(verify_py(&script, bundle, &[]).0, Some(0), "as it was");
    let (code, said) = verify_py(&script, &bundle.join("results"), &[]);
    assert!(code == Some(2) && said.contains("no bundle"), "{said}");
}

/// What is proved does not hang on the manifest: each of these files is held by the log.
fn forgeries_are_found(own: &Path, bundle: &Path) {
    let script = bundle.parent().expect("parent").join("verify-as-shipped.py");
    std::fs::copy(own, &script).expect("copied");
    let mut found = BTreeMap::new();
    for (name, place, code, check) in bent(&script, bundle, "refit") {
        assert_eq!(code, 1, "octet {place} of {name}");
        found.insert(name, check);
    }
    for (name, check) in [
        ("message.eml", "BAD  message: message.eml has another SHA-256"),
        ("envelope.json", "BAD  envelope"),
        ("accept.json", "BAD  acceptance"),
        ("accept.tlog-proof", "BAD  acceptance"),
        ("results/0001.json", "BAD  result 0001"),
        ("timestamp/response.tsr", "BAD  time stamp"),
        ("timestamp/certificates.pem", "BAD  time stamp"),
    ] {
        assert!(found[name].starts_with(check), "{name}: {}", found[name]);
    }
    assert_eq!(found.len(), 19, "{:?}", found.keys());
}

#[test]
fn checkpoints_leave_the_machine() {
    let sink = Sink::start();
    let outside = tempfile::tempdir().expect("a directory");
    let silent = free_port();
    let more = format!(
        "[archive]\nseal_after_s = 1\ncheckpoint_to = [\"mail:officer@example.net\", \"file:{}\"]\n\
         tsa = \"http://127.0.0.1:{silent}\"\n",
        outside.path().display()
    );
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    let id = send(&gateway, "hello");
    let mail = eventually("the officer gets one", SOON, || {
        let all = sink.all();
        all.into_iter().find(|mail| mail.recipients.iter().any(|to| to.contains("officer@example.net")))
    });
    let text = String::from_utf8_lossy(&mail.octets).into_owned();
    assert!(text.contains("Subject: Checkpoint of archive ") && text.contains("verify --checkpoint"), "{text}");
    eventually("a file", SOON, || (files_below(outside.path()).len() == 1).then_some(()));
    // The authority does not answer: told, shown, tried again; mail goes on.
    let output = gateway.cli(&["archive", "checkpoint", "--json"]);
    assert_eq!(output.status.code(), Some(75), "{}", String::from_utf8_lossy(&output.stderr));
    let status = gateway.json(&["archive", "status"]).remove(0);
    let state = |to: &str| {
        let all = status["checkpoints"].as_array().expect("destinations");
        all.iter().find(|one| one["to"].as_str().is_some_and(|name| name.starts_with(to))).expect("it is shown").clone()
    };
    assert_eq!((&state("mail:")["state"], &state("tsa")["state"]), (&json!("working"), &json!("failing")), "{status}");
    assert!(state("file:")["sent_at"].is_string() && state("tsa")["sent_at"].is_null(), "{status}");
    assert!(gateway.log().contains("checkpoint to tsa: "), "{}", gateway.log());
    send(&gateway, "mail goes on");
    gateway.seal();
    assert!(!id.is_empty() && files_below(outside.path()).len() == 2, "one a day, and one that was asked for");
    for kept in files_below(outside.path()) {
        gateway.must(&["archive", "verify", "--checkpoint", kept.to_str().expect("UTF-8")]);
    }
    // What is printed is a checkpoint as well, and so is what was in the mail.
    let printed = String::from_utf8(gateway.cli(&["archive", "checkpoint"]).stdout).expect("UTF-8");
    let encoded: String =
        text.split("\r\n\r\n").last().expect("the file").lines().take_while(|l| !l.starts_with("--")).collect();
    let mailed = decoded(&encoded);
    for (name, note) in [("printed", printed.into_bytes()), ("mailed", mailed)] {
        let path = outside.path().join(name);
        std::fs::write(&path, note).expect("written");
        gateway.must(&["archive", "verify", "--checkpoint", path.to_str().expect("UTF-8")]);
    }
}

fn decoded(base64: &str) -> Vec<u8> {
    let script = "import base64, sys\nsys.stdout.buffer.write(base64.b64decode(sys.argv[1]))";
    Command::new("python3").args(["-c", script, base64]).output().expect("python3").stdout
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(copied.success(), "{} to {}", from.display(), to.display());
}

fn put_back(gateway: &Gateway, from: &Path, names: &[&str]) {
    for name in names {
        std::fs::remove_dir_all(gateway.dir().join(name)).expect("removed");
        copy(&from.join(name), &gateway.dir().join(name));
    }
}

fn refuses(gateway: &Gateway, why: &str) {
    // What always ends goes first.
    for command in ["archive seal", "serve"] {
        let output = gateway.cli(&command.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(
            said.contains("an older copy, or another branch, of this archive") && said.contains(why),
            "{command}: {said}"
        );
        assert!(said.contains("Restore the newest"), "it says what to do: {said}");
    }
}

#[test]
fn a_rolled_back_archive_is_noticed_at_the_start() {
    let sink = Sink::start();
    let (outside, kept) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let mirror = outside.path().join("mirror");
    std::fs::create_dir(&mirror).expect("a directory");
    let checkpoints = outside.path().join("checkpoints");
    std::fs::create_dir(&checkpoints).expect("a directory");
    let more = format!("[archive]\nseal_after_s = 3600\ncheckpoint_to = [\"file:{}\"]\n", checkpoints.display());
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), more, ..Options::default() });
    gateway.edit_config(|text| {
        text.replace(
            "low_space_bytes = 1048576",
            &format!("low_space_bytes = 1048576\nmirror = \"{}\"", mirror.display()),
        )
    });
    gateway.serve();
    send(&gateway, "before");
    sink.wait_for(2, SOON);
    gateway.seal();
    gateway.must(&["archive", "checkpoint"]);
    gateway.stop();
    let (old, new) = (kept.path().join("old"), kept.path().join("new"));
    for name in ["archive", "journal", "state"] {
        std::fs::create_dir_all(&old).expect("a directory");
        copy(&gateway.dir().join(name), &old.join(name));
    }
    gateway.serve();
    send(&gateway, "after");
    sink.wait_for(4, SOON);
    gateway.seal();
    gateway.must(&["archive", "checkpoint"]);
    gateway.stop();
    for name in ["archive", "journal", "state"] {
        std::fs::create_dir_all(&new).expect("a directory");
        copy(&gateway.dir().join(name), &new.join(name));
    }
    // The whole machine is an older one: a checkpoint on another volume knows.
    put_back(&gateway, &old, &["archive", "journal", "state"]);
    refuses(&gateway, "checkpoints/");
    let newest = files_below(&checkpoints).pop().expect("a checkpoint");
    let found = gateway.cli(&["archive", "verify", "--checkpoint", newest.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.status.code() == Some(1) && said.contains("covers") && said.contains("the log has"), "{said}");
    // Without that volume: the mirror has the journal that goes on.
    let aside = outside.path().join("aside");
    std::fs::rename(&checkpoints, &aside).expect("taken away");
    refuses(&gateway, "the journal");
    // The archive alone is older: what lies beside it knows, and without that the journal.
    put_back(&gateway, &new, &["archive", "journal", "state"]);
    put_back(&gateway, &old, &["archive"]);
    refuses(&gateway, "state/checkpoint");
    std::fs::remove_file(gateway.dir().join("state/checkpoint")).expect("removed");
    refuses(&gateway, "the journal");
    // The newest of all three goes on.
    put_back(&gateway, &new, &["archive", "journal", "state"]);
    std::fs::rename(&aside, &checkpoints).expect("given back");
    gateway.serve();
    send(&gateway, "and on");
    gateway.seal();
    assert_eq!(gateway.verified("2")["ok"], true);
}

#[test]
fn a_scrub_finds_damage_and_raises_an_alarm() {
    let sink = Sink::start();
    let more = "[archive]\nseal_after_s = 3600\nscrub_mb_s = 1\n".to_owned();
    let mut gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    send(&gateway, "hello");
    gateway.seal();
    let scrub = |gateway: &Gateway| gateway.json(&["archive", "status"]).remove(0)["scrub"].take();
    let first = eventually("a scrub", SOON, || Some(scrub(&gateway)).filter(|scrub| scrub["last"].is_object()));
    assert_eq!(
        (&first["last"]["ok"], &first["runs"], &first["state"]),
        (&json!(true), &json!(1), &json!("waiting")),
        "{first}"
    );
    gateway.stop();
    assert_eq!(scrub(&gateway)["last"], first["last"], "it is remembered");
    let data = files_below(&gateway.dir().join("archive/segments"))
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "data"));
    let data = data.expect("a data object");
    let mut octets = std::fs::read(&data).expect("readable");
    octets[200] ^= 1;
    std::fs::write(&data, &octets).expect("written");
    // A day later.
    std::fs::remove_file(gateway.dir().join("state/scrub.json")).expect("removed");
    gateway.serve();
    let second = eventually("another scrub", SOON, || Some(scrub(&gateway)).filter(|scrub| scrub["last"].is_object()));
    assert_eq!((&second["last"]["ok"], &second["last"]["findings"]), (&json!(false), &json!(1)), "{second}");
    assert!(gateway.log().contains("THE ARCHIVE IS DAMAGED: 1 findings, the first: segments/"), "{}", gateway.log());
    let output = gateway.cli(&["archive", "verify", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    send(&gateway, "mail goes on");
}

#[test]
fn levels_say_what_they_did() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    for n in 0..3 {
        send(&gateway, &format!("number {n}"));
    }
    sink.wait_for(6, SOON);
    gateway.seal();
    let opened: Vec<u64> =
        ["0", "1", "2"].map(|level| gateway.verified(level)["opened"].as_u64().expect("a number")).to_vec();
    assert!(opened[0] == 0 && opened[1] >= 1 && opened[1] <= opened[2] && opened[2] >= 3, "{opened:?}");
    let summary = gateway.verified("1");
    assert!(
        summary["bytes"].as_u64() > Some(500) && summary["seconds"].is_number() && summary["level"] == 1,
        "{summary}"
    );
    for level in ["3", "-1", "x"] {
        assert_eq!(gateway.cli(&["archive", "verify", "--level", level]).status.code(), Some(2), "{level}");
    }
}
