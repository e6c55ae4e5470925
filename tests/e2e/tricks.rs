//! What a sender, a partner or a full disk could try against the promises, and what comes of it.

use crate::support::{Client, Gateway, Options, Sink, eventually, free_port, peers};
use std::time::Duration;

const SECURE: &str = "[[rule]]\nname = \"s\"\nwhen = { subject = \"*[secure]*\" }\nthen = { encrypt = \"required\" }\n";

fn hello(port: u16) -> Client {
    let mut client = Client::connect(port);
    client.command("EHLO client.example.org");
    client
}

/// Of two Subject fields, which one a reader sees is not for us to guess.
#[test]
fn a_second_subject_counts_as_much_as_the_first() {
    let sink = Sink::start();
    let options = Options { next_hop: sink.port(), policy: Some(SECURE.to_owned()), ..Options::default() };
    let gateway = Gateway::start(&options);
    for subjects in ["Subject: x\r\nSubject: y [secure]", "Subject: y [secure]\r\nsubject: x"] {
        let message = format!("From: alice@example.org\r\n{subjects}\r\n\r\na secret\r\n");
        let reply =
            hello(gateway.ports.outbound).deliver("alice@example.org", &["bob@partner.example"], message.as_bytes());
        assert!(reply.starts_with("550 5.7.5"), "{subjects}: {reply}");
    }
    assert_eq!(sink.count(), 0, "nothing left");
}

#[test]
fn what_only_calls_itself_encrypted_does_not_leave_in_the_clear() {
    let sink = Sink::start();
    let options = Options { next_hop: sink.port(), policy: Some(SECURE.to_owned()), ..Options::default() };
    let gateway = Gateway::start(&options);
    for kind in [
        "application/pkcs7-mime; name=smime.p7m",
        "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
        "application/pkcs7-mime; smime-type=compressed-data; name=smime.p7z",
        "multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b",
        "multipart/encrypted; boundary=b\r\nContent-Type: text/plain",
    ] {
        let message = format!(
            "From: alice@example.org\r\nTo: bob@partner.example\r\nSubject: [secure]\r\nContent-Type: {kind}\r\n\r\n\
             --b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\r\na secret\r\n--b--\r\n"
        );
        let mut client = hello(gateway.ports.outbound);
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], message.as_bytes());
        assert!(reply.starts_with("550 5.7.5"), "{kind}: {reply}");
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sink.count(), 0, "nothing left");
}

/// The notification cannot be stored, the delivery can: who has got the message must not get it again.
#[test]
fn a_notification_that_finds_no_room_does_not_repeat_deliveries() {
    let port = free_port();
    let mut gateway = Gateway::start(&Options { next_hop: port, ..Options::default() });
    let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nbody\r\n";
    let both = ["bob@partner.example", "gone@partner.example"];
    assert!(hello(gateway.ports.outbound).deliver("alice@example.org", &both, message).starts_with("250 "));
    gateway.kill();
    gateway.edit_config(|text| text.replace("low_space_bytes = 1048576", "low_space_bytes = 1000000000000000"));
    let sink = Sink::on_port_with(port, |recipient| match recipient {
        "gone@partner.example" => "550 5.1.1 no such user".to_owned(),
        _ => "250 2.1.5 OK".to_owned(),
    });
    gateway.serve();
    for round in 1..=3 {
        eventually("the sender cannot be told", Duration::from_secs(20), || {
            (gateway.log().matches("could not be told").count() >= round).then_some(())
        });
        gateway.must(&["queue", "retry", "--all"]);
    }
    assert_eq!(sink.count(), 1, "bob has it once");
    gateway.stop();
    gateway.edit_config(|text| text.replace("low_space_bytes = 1000000000000000", "low_space_bytes = 1048576"));
    gateway.serve();
    let arrived = sink.wait_for(2, Duration::from_secs(20));
    let bounces: Vec<_> = arrived.iter().filter(|one| one.sender.is_empty()).collect();
    assert_eq!(bounces.len(), 1);
    assert!(bounces[0].text().contains("gone@partner.example") && !bounces[0].text().contains("bob@"));
}

#[test]
fn what_no_route_serves_is_refused_at_once() {
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.edit_config(|text| text.replace("domains = [\"*\"]", "domains = [\"example.org\", \"partner.example\"]"));
    gateway.serve();
    let mut client = hello(gateway.ports.outbound);
    let message = b"From: alice@example.org\r\n\r\nx\r\n";
    let reply = client.deliver("alice@example.org", &["bob@elsewhere.example"], message);
    assert!(reply.starts_with("550 5.4.4"), "{reply}");
    let reply = client.deliver("alice@example.org", &["bob@partner.example"], message);
    assert!(reply.starts_with("250 "), "{reply}");
}

/// Forty wrong passwords at once: each takes 19 MiB and a core, and mail goes on.
#[test]
fn a_crowd_at_the_login_takes_bounded_memory() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let script = r#"
import poplib, ssl, sys, threading
context = ssl.create_default_context(cafile=sys.argv[2])
start = threading.Barrier(40)
def attempt(n):
    box = poplib.POP3_SSL("localhost", int(sys.argv[1]), context=context, timeout=60)
    box.user("nobody%d" % n)
    start.wait()
    try:
        box.pass_("wrong")
        print("in")
    except poplib.error_proto as e:
        print(e)
threads = [threading.Thread(target=attempt, args=(n,)) for n in range(40)]
[t.start() for t in threads]
[t.join() for t in threads]
"#;
    let ca = gateway.ca();
    let port = gateway.ports.pop3s.to_string();
    let said = peers::python(script, &[&port, ca.to_str().expect("UTF-8")]);
    assert_eq!(said.matches("[AUTH]").count(), 40, "{said}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).expect("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak_kib: usize = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(peak_kib < (150 + 25 * cores) * 1024, "{peak_kib} KiB");
}

#[test]
fn nobody_writes_into_our_received() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let mut client = hello(gateway.ports.outbound);
    for (first, expected) in
        [("\t(authenticated)\r\n", "554 5.6.0"), (" x\r\n", "554 5.6.0"), ("", "250 "), ("x\r\n", "250 ")]
    {
        let message = format!("{first}Subject: s\r\n\r\nx\r\n");
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], message.as_bytes());
        assert!(reply.starts_with(expected), "{first:?}: {reply}");
    }
}

/// The next hop is the gateway itself, and marks are not asked for: our own Received fields end it.
#[test]
fn a_message_that_is_sent_back_to_us_ends() {
    let port = free_port();
    let mut gateway = Gateway::prepare(&Options { next_hop: port, ..Options::default() });
    let outbound = format!("127.0.0.1:{}", gateway.ports.outbound);
    gateway.edit_config(|text| text.replace(&outbound, &format!("127.0.0.1:{port}")));
    gateway.ports.outbound = port;
    gateway.serve();
    let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nbody\r\n";
    assert!(hello(port).deliver("", &["bob@partner.example"], message).starts_with("250 "));
    let audit = || std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
    eventually("the loop ends", Duration::from_secs(30), || audit().contains("5.4.6").then_some(()));
    assert_eq!(audit().matches("\"accepted\"").count(), 5, "{}", audit());
}

#[test]
fn a_marked_message_does_not_go_the_same_way_twice() {
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.edit_config(|text| text.replace("sign_for = [", "loop_header = \"add\"\nsign_for = ["));
    gateway.serve();
    let forged = format!("X-Sealpost-Loop: {}\r\n {}\r\n", "0".repeat(32), "0".repeat(64));
    let message = "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n";
    let send = |port: u16, message: &[u8]| hello(port).deliver("a@partner.example", &["alice@example.org"], message);
    let reply = send(gateway.ports.outbound, (forged.clone() + message).as_bytes());
    let id = reply.strip_prefix("250 2.0.0 Accepted ").expect("accepted, whatever a stranger writes").to_owned();
    let arrived = sink.wait_for(1, Duration::from_secs(30)).remove(0);
    let text = arrived.text();
    assert_eq!(text.matches("X-Sealpost-Loop").count(), 1, "{text}");
    assert!(text.contains(&format!("X-Sealpost-Loop: {id}\r\n\t")) && text.ends_with(message), "{text}");
    let again = send(gateway.ports.outbound, text.as_bytes());
    assert!(again.starts_with("554 5.4.6"), "{again}");
    assert!(send(gateway.ports.inbound, text.as_bytes()).starts_with("250 "), "it may come in by a mailing list");
    let back = sink.wait_for(2, Duration::from_secs(30)).remove(1);
    assert_eq!(back.text().matches("X-Sealpost-Loop").count(), 1, "and is known afterwards: {}", back.text());
    gateway.seal();
    let out = gateway.dir().join("out");
    gateway.must(&[
        "archive",
        "export",
        &format!("id:{id}"),
        "--format",
        "eml",
        "--output",
        out.to_str().expect("UTF-8"),
    ]);
    let kept = std::fs::read_to_string(out.join(format!("{id}.eml"))).expect("exported");
    assert_eq!(kept, forged + message, "the archive has what was received");
}

/// What cannot be kept is not asked for: the answer comes before the message does, and ends with the trouble.
#[test]
fn without_room_or_without_a_journal_mail_has_to_wait() {
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.serve();
    let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nbody\r\n";
    let send = |gateway: &Gateway| {
        hello(gateway.ports.outbound).deliver("alice@example.org", &["bob@partner.example"], message)
    };
    assert!(send(&gateway).starts_with("250 "));
    gateway.stop();
    gateway.edit_config(|text| text.replace("low_space_bytes = 1048576", "low_space_bytes = 1000000000000000"));
    gateway.serve();
    let reply = send(&gateway);
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    gateway.stop();
    gateway.edit_config(|text| text.replace("low_space_bytes = 1000000000000000", "low_space_bytes = 1048576"));
    gateway.serve();
    assert!(send(&gateway).starts_with("250 "), "there is room again");
    // The directory goes while the gateway runs, as a volume may: files that are open can be written, no new one made.
    std::fs::rename(gateway.dir().join("journal"), gateway.dir().join("elsewhere")).expect("rename");
    let large = [&message[..], &b"filling\r\n".repeat(400_000)].concat();
    let reply = eventually("the journal cannot go on", Duration::from_secs(60), || {
        let mut client = hello(gateway.ports.outbound);
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], &large);
        (!reply.starts_with("250 ")).then_some(reply)
    });
    assert!(reply.starts_with("451 4.3.0") || reply.starts_with("452 4.3.1"), "{reply}");
}
