//! Mail out of the archive and into it: export, import, restore, with the real program, and a real Dovecot.

use crate::support::{Client, Gateway, Options, Sink, eventually};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");

/// Messages as SMTP brings them, and as it does not: without header, without end, with dots and From lines.
fn messages() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..40)
        .map(|n| {
            format!(
                "Received: from a.example by b.example; Tue, {} Jul 2025 10:00:00 +0000\r\nFrom: alice@example.org\r\n\
                 To: bob@partner.example\r\nSubject: number {n}\r\nMessage-ID: <{n}@example.org>\r\n\r\n\
                 From here on\r\n>From there\r\n.\r\nbody {n}\r\n{}",
                n % 28 + 1,
                "x".repeat(n * 700) + if n % 2 == 0 { "\r\n" } else { "\r\n\r\n" },
            )
            .into_bytes()
        })
        .collect();
    all.push(b"From: alice@example.org\r\nSubject: 8 bit\r\n\r\n\xe4\xff\r\n".to_vec());
    all.push(b"no header at all\r\n".to_vec());
    all
}

/// Octets by their SHA-256: what a set of messages is, whatever the order.
fn set(messages: impl IntoIterator<Item = Vec<u8>>) -> BTreeMap<Vec<u8>, usize> {
    let mut set = BTreeMap::new();
    for message in messages {
        *set.entry(message).or_default() += 1;
    }
    set
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    let names = std::fs::read_dir(dir).expect("a directory");
    names.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file")).collect()
}

fn exported(gateway: &Gateway, name: &str) -> Vec<Vec<u8>> {
    let out = gateway.dir().join(name);
    gateway.must(&["archive", "export", "--output", text(&out)]);
    files(&out)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn quiet() -> Options {
    Options { next_hop: 9, more: "[archive]\nseal_after_s = 3600\n".to_owned(), ..Options::default() }
}

/// A gateway that has received all of [`messages`].
fn full() -> (Sink, Gateway) {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..quiet() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    for message in messages() {
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], &message);
        assert!(reply.starts_with("250 "), "{reply}");
    }
    gateway.seal();
    (sink, gateway)
}

fn import(gateway: &Gateway, path: &Path) -> serde_json::Value {
    gateway.json(&["archive", "import", text(path)]).pop().expect("a report")
}

#[test]
fn what_is_exported_in_any_form_is_imported_octet_for_octet() {
    let (_sink, source) = full();
    let count = messages().len();
    for (format, name) in [("eml", "out"), ("maildir", "Maildir"), ("mbox", "out.mbox"), ("zip", "out.zip")] {
        let out = source.dir().join(name);
        let report = source.json(&["archive", "export", "--format", format, "--output", text(&out)]).remove(0);
        assert_eq!((&report["messages"], &report["failed"]), (&count.into(), &0.into()), "{format}: {report}");
        let manifest = std::fs::read_to_string(source.dir().join(format!("{name}.manifest.jsonl"))).expect("manifest");
        assert_eq!(manifest.lines().count(), count, "{format}");
        for line in manifest.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert!(line["uid"].is_u64() && line["mailbox"].is_string() && line["exact"] != false, "{line}");
            if out.is_dir() {
                let octets = std::fs::read(out.join(line["file"].as_str().expect("a file"))).expect("the file");
                assert_eq!(line["size"], octets.len(), "{line}");
            }
        }
        let refused = source.cli(&["archive", "export", "--format", format, "--output", text(&out)]);
        let named = match format {
            "eml" => ".eml: is there already",
            "maildir" => ":2,S: is there already",
            _ => ": is there already",
        };
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && stderr.contains(named), "{format} overwrites nothing: {stderr}");
        // Once with a server, once without.
        let target =
            if format == "mbox" || format == "eml" { Gateway::start(&quiet()) } else { Gateway::prepare(&quiet()) };
        let report = import(&target, &out);
        let expected =
            serde_json::json!({"read": count, "imported": count, "skipped": 0, "failed": 0, "passed_over": 0});
        assert_eq!(report, expected, "{format}");
        assert_eq!(import(&target, &out)["skipped"], count, "{format}: once each");
        target.seal();
        assert!(set(exported(&target, "again")) == set(messages()), "{format}: other octets");
        assert_eq!(target.verified("2")["ok"], true, "{format}");
    }
}

#[test]
fn the_source_is_detected_packed_or_not_and_never_touched() {
    let target = Gateway::prepare(&quiet());
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let write = |name: &str, octets: &[u8]| {
        std::fs::create_dir_all(at(name).parent().expect("a directory")).expect("made");
        std::fs::write(at(name), octets).expect("written");
    };
    write("box/cur/1.x:2,S", b"Subject: in cur\n\nx\n");
    write("box/new/2.x", b"From a@x.example Tue Nov 24 17:03:42 2020\nSubject: one message all the same\n\nx\n");
    write("box/tmp/3.x", b"Subject: not delivered yet\n\nx\n");
    write("box/.Sent/cur/4.x:2,", b"Subject: sent\n\nx\n");
    write("box/.Sent/new/.keep", b"Subject: also\n\n");
    std::fs::create_dir_all(at("box/.Sent/tmp")).expect("made");
    write("plain/a.eml", b"Subject: a\r\n\r\nmixed\nends\r\n");
    write("plain/b.txt", b"Subject: not asked for\n\n");
    write("plain/old", b"From a@x.example Tue Nov 24 17:03:42 2020\nSubject: mbox\n\nx\n\nFrom b@x.example Wed Nov 25 17:03:42 2020\nSubject: two\n\n");
    crate::support::peers::python(
        "import gzip, sys, zipfile\nd = sys.argv[1]\n\
         gzip.open(d + '/plain/c.mbox.gz', 'wb').write(open(d + '/plain/old', 'rb').read().replace(b'two', b'packed'))\n\
         z = zipfile.ZipFile(d + '/z.zip', 'w', zipfile.ZIP_DEFLATED)\n\
         z.writestr('d/e.eml', b'Subject: zipped\\n\\n')\n\
         z.writestr('d/f.mbox', open(d + '/plain/old', 'rb').read())\n\
         z.writestr('d/word/document.xml', b'<x/>')\n\
         z.writestr('d/g.eml.gz', gzip.compress(b'Subject: twice\\n\\n'))\n\
         z.close()",
        &[text(dir.path())],
    );
    let before = snapshot(dir.path());
    let dry = target.json(&["archive", "import", "--dry-run", text(dir.path())]).pop().expect("a report");
    assert_eq!((&dry["imported"], &dry["dry_run"]), (&13.into(), &true.into()), "{dry}");
    let report = import(&target, dir.path());
    let expected = serde_json::json!({"read": 13, "imported": 13, "skipped": 0, "failed": 0, "passed_over": 2});
    assert_eq!(report, expected);
    assert_eq!(snapshot(dir.path()), before, "the source is never touched");
    // A mail program has seen a message and moved it: it is the same.
    std::fs::rename(at("box/new/2.x"), at("box/cur/2.x:2,RS")).expect("moved");
    assert_eq!(import(&target, dir.path())["skipped"], 13);
    let listed = target.json(&["archive", "list", "direction:import"]);
    let subjects: Vec<&str> = listed.iter().filter_map(|row| row["subject"].as_str()).collect();
    for subject in ["in cur", "sent", "also", "a", "mbox", "two", "packed", "zipped", "twice"] {
        assert!(subjects.contains(&subject), "{subject} in {subjects:?}");
    }
    assert_eq!(listed.len(), 13);
    let all = set(exported(&target, "out"));
    assert!(all.contains_key(&b"Subject: in cur\r\n\r\nx\r\n"[..]), "LF became CRLF");
    assert!(all.contains_key(&b"Subject: a\r\n\r\nmixed\nends\r\n"[..]), "mixed line ends stay");
}

/// Names, octets and times of all files.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => all.extend(snapshot(&path)),
            false => {
                let modified = std::fs::metadata(&path).and_then(|what| what.modified()).expect("a time");
                all.push((path.clone(), std::fs::read(&path).expect("read"), modified));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn imports_have_their_own_date_and_no_envelope() {
    let target = Gateway::start(&quiet());
    target.add_officer("officer", "secret phrase");
    let file = target.dir().join("old.mbox");
    let mbox = "From carol@x.example Tue Nov 24 17:03:42 2020\nReceived: by b.example; Wed, 1 Jul 2015 10:00:00 +0200\n\
                From: alice@example.org\nTo: bob@x.example\nBcc: dave@x.example\nSubject: dated\n\nx\n\n\
                From carol@x.example Tue Nov 24 17:03:42 2020\nDate: Thu, 1 Jan 2004 00:00:00 +0000\nSubject: from line\n\n\n\
                From carol@x.example Tue Nov 24 17:03:42 1960\nSubject: now\n\n";
    std::fs::write(&file, mbox).expect("written");
    assert_eq!(import(&target, &file)["imported"], 3);
    target.seal();
    let rows = target.json(&["archive", "list"]);
    assert_eq!(rows[0]["mailbox"], "Archive/2015/2015-07");
    assert_eq!(rows[0]["internal_date"], "2015-07-01T08:00:00.000Z");
    assert_eq!((&rows[0]["direction"], &rows[0]["from"]), (&"import".into(), &"carol@x.example".into()));
    assert_eq!(rows[0]["to"], serde_json::json!(["bob@x.example", "dave@x.example"]));
    assert_eq!(rows[1]["mailbox"], "Archive/2020/2020-11");
    assert_eq!(rows[2]["internal_date"], rows[2]["accepted_at"]);
    assert_eq!(target.json(&["archive", "list", "before:2016-01-01"]).len(), 1);
    let shown = target.json(&["archive", "show", rows[0]["id"].as_str().expect("an id")]).remove(0);
    assert!(shown["envelope"].as_str().is_some_and(|text| text.contains("none was seen")), "{shown}");
    assert!(shown["source"].as_str().is_some_and(|text| text.ends_with("old.mbox@0")), "{shown}");
    assert_eq!(shown["protocol"], "import, LF made CRLF");
    let url = format!("imaps://localhost:{}/Archive%2F2015%2F2015-07", target.ports.imaps);
    let read = crate::support::peers::must("curl", "curl", |c| {
        c.args(["-sS", "--max-time", "30", "--cacert", text(&target.ca()), "-u", "officer:secret phrase", &url])
            .args(["-X", "FETCH 1 INTERNALDATE"])
    });
    let read = String::from_utf8_lossy(&read).into_owned();
    assert!(read.contains("INTERNALDATE \" 1-Jul-2015 08:00:00 +0000\""), "{read}");
    let inbox = format!("imaps://localhost:{}/INBOX", target.ports.imaps);
    let read = crate::support::peers::must("curl", "curl", |c| {
        c.args(["-sS", "--max-time", "30", "--cacert", text(&target.ca()), "-u", "officer:secret phrase", &inbox])
            .args(["-X", "STATUS INBOX (MESSAGES)"])
    });
    assert!(String::from_utf8_lossy(&read).contains("MESSAGES 1"), "old mail does not come into INBOX: {read:?}");
    assert_eq!(target.verified("2")["ok"], true);
    assert_eq!(target.json(&["queue", "list"]).len(), 0, "never delivered");
}

#[test]
fn what_cannot_be_imported_is_named_and_the_rest_is() {
    let target = Gateway::prepare(&Options { more: "[limits]\nmessage_bytes = 70000\n".to_owned(), ..quiet() });
    let dir = tempfile::tempdir().expect("a directory");
    let long = format!("Subject: long\n\n{}\n", "x".repeat(80_000));
    let line = "From a@x.example Tue Nov 24 17:03:42 2020\n";
    std::fs::write(dir.path().join("a.mbox"), format!("{line}{long}\n{line}Subject: short\n\n")).expect("written");
    std::fs::write(dir.path().join("b.eml"), &long).expect("written");
    std::fs::write(dir.path().join("c.zip"), b"PK\x03\x04 cut off").expect("written");
    std::fs::write(dir.path().join("d.eml"), "Subject: fine\n\n").expect("written");
    let output = target.cli(&["archive", "import", "--json", text(dir.path())]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (report, faults) = rows.split_last().expect("a report");
    assert_eq!((&report["imported"], &report["failed"]), (&2.into(), &3.into()), "{report}");
    let fault =
        |name: &str| faults.iter().find(|f| f["source"].as_str().is_some_and(|s| s.ends_with(name))).expect(name);
    assert_eq!(fault("a.mbox")["position"], 0);
    assert!(fault("a.mbox")["error"].as_str().is_some_and(|e| e.contains("longer than 70000 octets")), "{faults:?}");
    assert_eq!(fault("b.eml")["position"], serde_json::Value::Null);
    assert!(fault("c.zip")["error"].is_string());
    for (name, octets, said) in [
        ("x.tar", [vec![b'x'; 257], b"ustar".to_vec(), vec![0; 250]].concat(), "tar file: unpack it"),
        ("x.bin", b"\0\x01".to_vec(), "is no mail"),
        ("empty", Vec::new(), "is no mail"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, octets).expect("written");
        let output = target.cli(&["archive", "import", text(&path)]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && stderr.contains(said), "{name}: {stderr}");
    }
    let missing = target.cli(&["archive", "import", "/nowhere/at/all"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/at/all"));
}

/// An mbox of so many small messages.
fn large_mbox(path: &Path, count: usize) {
    let mut mbox = String::new();
    for n in 0..count {
        mbox.push_str(&format!(
            "From a@x.example Tue Nov 24 17:03:42 2020\nFrom: a@x.example\nTo: b@x.example\nSubject: {n}\n\n{}\n\n",
            "text ".repeat(n % 40)
        ));
    }
    std::fs::write(path, mbox).expect("written");
}

fn begin_import(gateway: &Gateway, path: &Path) -> Child {
    Command::new(PROGRAM)
        .args(["archive", "import", text(path), "--config"])
        .arg(gateway.config())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("runs")
}

#[test]
fn an_import_that_is_killed_loses_nothing_and_takes_nothing_twice() {
    const COUNT: usize = 30_000;
    // It seals while it is imported and killed.
    let mut server = Gateway::start(&Options { more: "[archive]\nseal_after_s = 1\n".to_owned(), ..quiet() });
    let path = server.dir().join("large.mbox");
    large_mbox(&path, COUNT);
    let messages = |gateway: &Gateway| {
        let status = gateway.json(&["archive", "status"]).remove(0);
        status["messages"].as_u64().expect("a number") + status["pending"].as_u64().expect("a number")
    };
    for round in 1..=3u64 {
        let mut command = begin_import(&server, &path);
        let so_many = round * 4000;
        eventually("some are imported", Duration::from_secs(120), || (messages(&server) >= so_many).then_some(()));
        // The server in two rounds, the command in one.
        if round == 2 {
            command.kill().expect("killed");
            command.wait().expect("ended");
        } else {
            server.kill();
            assert_ne!(command.wait().expect("ended").code(), Some(0), "an import without its server is not done");
            server.serve();
        }
    }
    let report = import(&server, &path);
    let (imported, skipped) = (report["imported"].as_u64().expect("many"), report["skipped"].as_u64().expect("many"));
    assert!(imported + skipped == COUNT as u64 && skipped >= 12_000, "{report}");
    server.seal();
    let rows = server.json(&["archive", "list"]);
    let subjects: std::collections::BTreeSet<&str> = rows.iter().filter_map(|row| row["subject"].as_str()).collect();
    assert_eq!((rows.len(), subjects.len()), (COUNT, COUNT), "each once");
}

#[test]
fn one_import_at_a_time_and_a_server_that_stops_is_told() {
    let mut server = Gateway::start(&quiet());
    let path = server.dir().join("large.mbox");
    large_mbox(&path, 400);
    let slow = Command::new(PROGRAM)
        .args(["archive", "import", "--rate", "20/s", text(&path), "--config"])
        .arg(server.config())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    eventually("it has begun", Duration::from_secs(60), || {
        let status = server.json(&["archive", "status"]).remove(0);
        (status["pending"].as_u64() > Some(0)).then_some(())
    });
    let second = server.cli(&["archive", "import", text(&path)]);
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.code() == Some(75) && stderr.contains("another import"), "{stderr}");
    assert_eq!(server.stop(), Some(0), "an import does not hold the server up");
    let output = slow.wait_with_output().expect("ended");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(75) && stderr.contains("goes on where it stopped"), "{stderr}");
    let report = import(&server, &path);
    assert_eq!((&report["read"], &report["failed"]), (&400.into(), &0.into()), "{report}");
    assert!(report["skipped"].as_u64() > Some(0), "{report}");
}

#[test]
fn a_damaged_message_is_named_and_keeps_nobody_back() {
    let (_sink, gateway) = full();
    let segments = gateway.dir().join("archive/segments");
    let data = std::fs::read_dir(&segments).expect("listed").map(|entry| entry.expect("an entry").path());
    let data = data
        .filter(|path| path.extension().is_some_and(|e| e == "data"))
        .max_by_key(|path| std::fs::metadata(path).expect("a file").len());
    let path = data.expect("a segment");
    let mut octets = std::fs::read(&path).expect("read");
    // The first unit's body begins behind the header.
    octets[108 + 40] ^= 1;
    std::fs::write(&path, octets).expect("written");
    for (format, name) in [("eml", "out"), ("zip", "out.zip")] {
        let out = gateway.dir().join(name);
        let output = gateway.cli(&["archive", "export", "--json", "--format", format, "--output", text(&out)]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows: Vec<serde_json::Value> =
            stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (report, faults) = rows.split_last().expect("a report");
        assert_eq!((&report["messages"], &report["failed"]), (&(messages().len() - 1).into(), &1.into()), "{stdout}");
        let id = faults[0]["id"].as_str().expect("an id");
        assert!(faults[0]["error"].is_string() && !out.join(format!("{id}.eml")).exists());
        let manifest = std::fs::read_to_string(gateway.dir().join(format!("{name}.manifest.jsonl"))).expect("manifest");
        assert!(!manifest.contains(id) && manifest.lines().count() == messages().len() - 1);
    }
    let to = format!("maildir:{}", text(&gateway.dir().join("Maildir")));
    let output = gateway.cli(&["archive", "restore", "--json", "--to", &to]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && stdout.contains("\"failed\":1"), "{stdout}");
}
