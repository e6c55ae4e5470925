//! Mail back into mail systems: Maildir, mbox, a next hop, and a real Dovecot.

use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::{Client, Gateway, Options, Sink};
use std::collections::BTreeSet;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn message(n: usize) -> Vec<u8> {
    let text = format!(
        "From: alice@example.org\r\nTo: bob@partner.example\r\nSubject: number {n}\r\nDate: Thu, 1 Jan 2004 00:00:0{n} +0000\r\n\r\n\
         .\r\nFrom here\r\n{}",
        "y".repeat(n * 70)
    );
    // One is not ASCII.
    let end: &[u8] = if n == 3 { b"\xe4\xff\r\n" } else { b"\r\n" };
    [text.as_bytes(), end].concat()
}

/// A gateway that has received five messages; one went to two recipients who are not in its header.
fn full() -> (Sink, Gateway) {
    let sink = Sink::start();
    let more = "[archive]\nseal_after_s = 3600\n".to_owned();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    for n in 0..5 {
        let recipients: &[&str] =
            if n == 4 { &["carol@partner.example", "dave@partner.example"] } else { &["bob@partner.example"] };
        let reply = client.deliver("alice@example.org", recipients, &message(n));
        assert!(reply.starts_with("250 "), "{reply}");
    }
    sink.wait_for(6, std::time::Duration::from_secs(60));
    gateway.seal();
    (sink, gateway)
}

/// Messages in a form that can be read when a test fails.
fn set(messages: impl IntoIterator<Item = Vec<u8>>) -> BTreeSet<String> {
    messages.into_iter().map(|message| message.escape_ascii().to_string()).collect()
}

fn all() -> BTreeSet<String> {
    set((0..5).map(message))
}

fn files(dir: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(dir).expect("a directory");
    set(names.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file")))
}

fn report(gateway: &Gateway, more: &[&str]) -> serde_json::Value {
    gateway.json(&[&["archive", "restore"], more].concat()).pop().expect("a report")
}

#[test]
fn into_a_maildir_and_an_mbox() {
    let (_sink, gateway) = full();
    let dir = gateway.dir();
    let to = format!("maildir:{}", text(&dir.join("Maildir")));
    let expected = serde_json::json!({"read": 5, "restored": 5, "skipped": 0, "failed": 0, "in_doubt": 0});
    assert_eq!(report(&gateway, &["--to", &to]), expected);
    assert_eq!(files(&dir.join("Maildir/cur")), all());
    assert_eq!(files(&dir.join("Maildir/tmp")).len(), 0);
    let gone = std::fs::read_dir(dir.join("Maildir/cur")).expect("listed").next().expect("one").expect("one").path();
    std::fs::remove_file(&gone).expect("removed");
    // What a killed restore leaves is no obstacle.
    let id = gone
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.split('.').nth(1))
        .expect("an id")
        .to_owned();
    std::fs::write(dir.join(format!("Maildir/tmp/{id}.sealpost")), b"a part").expect("written");
    let again = report(&gateway, &["--to", &to]);
    assert_eq!((&again["restored"], &again["skipped"]), (&1.into(), &4.into()), "{again}");
    assert_eq!(files(&dir.join("Maildir/cur")), all());
    let to = format!("mbox:{}", text(&dir.join("some.mbox")));
    assert_eq!(report(&gateway, &["subject:\"number 2\"", "--to", &to])["restored"], 1);
    let refused = gateway.cli(&["archive", "restore", "--to", &to]);
    assert!(refused.status.code() == Some(1) && String::from_utf8_lossy(&refused.stderr).contains("is there already"));
}

#[test]
fn into_a_dovecot_under_their_own_dates_and_read() {
    let (_sink, gateway) = full();
    let old = b"Received: by x; Wed, 1 Jul 2015 10:00:00 +0200\r\nSubject: old\r\n\r\nx\r\n";
    std::fs::write(gateway.dir().join("old.eml"), old).expect("written");
    gateway.must(&["archive", "import", text(&gateway.dir().join("old.eml"))]);
    gateway.seal();
    let everything: BTreeSet<String> = all().into_iter().chain(set([old.to_vec()])).collect();
    let dovecot = Dovecot::start(&gateway);
    let password = gateway.dir().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).expect("written");
    let ca = gateway.ca();
    let with = ["--password-file", text(&password), "--ca-file", text(&ca)];
    let restore = |to: &str, more: &[&str]| {
        gateway.cli(&[&["archive", "restore", "--json", "--to", to], &with[..], more].concat())
    };
    for (to, mailbox) in [
        (format!("imaps://bob@localhost:{}/INBOX", dovecot.imaps), ""),
        (format!("imap://bob@localhost:{}/Old", dovecot.imap), "Old"),
    ] {
        for expected in [
            serde_json::json!({"read": 6, "restored": 6, "skipped": 0, "failed": 0, "in_doubt": 0}),
            serde_json::json!({"read": 6, "restored": 0, "skipped": 6, "failed": 0, "in_doubt": 0}),
        ] {
            let output = restore(&to, &[]);
            let stdout = String::from_utf8_lossy(&output.stdout);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{to}: {stdout}\n{stderr}\n{}", dovecot.log());
            assert_eq!(serde_json::from_str::<serde_json::Value>(stdout.trim()).expect("JSON"), expected, "{to}");
        }
        let dir = dovecot.maildir("bob", mailbox).join("cur");
        assert_eq!(files(&dir), everything, "{to}: octet for octet");
        for entry in std::fs::read_dir(&dir).expect("listed") {
            let name = entry.expect("an entry").file_name();
            assert!(name.to_string_lossy().ends_with(":2,S"), "{name:?} is read");
        }
    }
    let script = "import imaplib, ssl, sys\n\
                  m = imaplib.IMAP4_SSL('localhost', int(sys.argv[1]), ssl_context=ssl.create_default_context(cafile=sys.argv[2]))\n\
                  m.login('bob', sys.argv[3]); m.select('Old', readonly=True)\n\
                  print(m.fetch('1:6', '(INTERNALDATE)')[1])";
    let told = crate::support::peers::python(script, &[&dovecot.imaps.to_string(), text(&ca), PASSWORD]);
    assert!(told.contains("6 (INTERNALDATE \"01-Jul-2015 08:00:00 +0000\")"), "{told}");
    // What is wrong is said in the server's words, and nothing is sent where nobody is known.
    let to = format!("imaps://bob@localhost:{}/INBOX", dovecot.imaps);
    std::fs::write(&password, "wrong\n").expect("written");
    let output = restore(&to, &[]);
    assert!(
        output.status.code() == Some(75) && String::from_utf8_lossy(&output.stderr).contains("AUTHENTICATIONFAILED"),
        "{output:?}"
    );
    let other = gateway.dir().join("other.pem");
    crate::support::peers::must("openssl", "openssl", |c| {
        c.args([
            "req",
            "-x509",
            "-newkey",
            "ed25519",
            "-nodes",
            "-subj",
            "/CN=other",
            "-keyout",
            "/dev/null",
            "-out",
            text(&other),
        ])
    });
    let untrusted = gateway.cli(&[
        "archive",
        "restore",
        "--to",
        &to,
        "--password-file",
        text(&password),
        "--ca-file",
        text(&other),
    ]);
    assert!(
        untrusted.status.code() == Some(75) && String::from_utf8_lossy(&untrusted.stderr).contains("TLS handshake"),
        "{untrusted:?}"
    );
    let output = gateway.cli(&["archive", "restore", "--to", &to]);
    assert!(
        output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("--password-file"),
        "{output:?}"
    );
}

#[test]
fn to_a_next_hop_for_its_recipients_or_others() {
    let (sink, gateway) = full();
    let before = sink.count();
    let to = format!("smtp://127.0.0.1:{}?tls=none", sink.port());
    assert_eq!(report(&gateway, &["--to", &to])["restored"], 5);
    let restored = sink.all().split_off(before);
    assert_eq!(set(restored.iter().map(|d| d.octets.clone())), all());
    let last = restored.iter().find(|d| d.recipients.len() == 2).expect("two recipients");
    assert_eq!(last.recipients, ["carol@partner.example", "dave@partner.example"]);
    assert!(
        restored.iter().all(|d| d.sender == "alice@example.org" && d.commands[1].contains("NOTIFY=NEVER")),
        "{restored:?}"
    );
    let again = report(&gateway, &["--to", &to]);
    assert_eq!((&again["restored"], &again["skipped"]), (&0.into(), &5.into()), "{again}");
    // Somebody else gets all of it; one of two is refused, in words.
    let picky =
        Sink::with_manners(
            |to| if to.starts_with("no") { "550 5.1.1 no such user".into() } else { "250 2.1.5 OK".into() },
        );
    let to = format!("smtp://127.0.0.1:{}?tls=none", picky.port());
    let rcpt = ["--rcpt", "erin@else.example", "--rcpt", "nobody@else.example"];
    for (round, arrived) in [(1, 5), (2, 5)] {
        let output = gateway.cli(&[&["archive", "restore", "--json", "--to", &to], &rcpt[..]].concat());
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stdout.matches("550 5.1.1 no such user").count(), 5, "round {round}: {stdout}");
        assert_eq!(picky.count(), arrived, "who has it does not get it again");
    }
    assert!(picky.all().iter().all(|d| d.recipients == ["erin@else.example"]));
    let away = gateway.cli(&["archive", "restore", "--to", "smtp://127.0.0.1:1?tls=none"]);
    assert!(
        away.status.code() == Some(75) && String::from_utf8_lossy(&away.stderr).contains("goes on where it stopped")
    );
}

#[test]
fn a_restore_that_is_cut_off_says_what_may_be_there_twice() {
    let (_sink, gateway) = full();
    // Takes two messages whole, and hangs up when the third is complete, without a word.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let server = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (stream, _) = listener.accept().expect("a client");
        let mut lines = BufReader::new(stream.try_clone().expect("cloned")).split(b'\n');
        let mut out = stream;
        out.write_all(b"220 x ESMTP\r\n").expect("written");
        let (mut inside, mut taken) = (false, 0);
        while let Some(Ok(line)) = lines.next() {
            let reply = match (inside, line.as_slice()) {
                (true, b".\r") if taken == 2 => return,
                (true, b".\r") => {
                    (inside, taken) = (false, taken + 1);
                    "250 ok"
                }
                (true, _) => continue,
                (false, b"DATA\r") => {
                    inside = true;
                    "354 go"
                }
                _ => "250 ok",
            };
            out.write_all(format!("{reply}\r\n").as_bytes()).expect("written");
        }
    });
    let to = format!("smtp://127.0.0.1:{port}?tls=none");
    let cut = gateway.cli(&["archive", "restore", "--json", "--to", &to]);
    server.join().expect("ended");
    assert_eq!(cut.status.code(), Some(75), "{cut:?}");
    let told: serde_json::Value = serde_json::from_slice(&cut.stdout).expect("a report");
    assert_eq!((&told["read"], &told["restored"]), (&3.into(), &2.into()), "{told}");
    let sink = Sink::on_port(port);
    let output = gateway.cli(&["archive", "restore", "--json", "--to", &to]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (last, said) = rows.split_last().expect("a report");
    let expected = serde_json::json!({"read": 5, "restored": 3, "skipped": 2, "failed": 0, "in_doubt": 1});
    assert_eq!(*last, expected, "{stdout}");
    assert!(said.len() == 1 && said[0]["in_doubt"].is_string(), "{stdout}");
    assert_eq!(sink.count(), 3);
}
