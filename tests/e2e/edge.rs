//! The SMTP edge as clients meet it: chunks, logins, forwarded client addresses.

use crate::support::{Client, Gateway, Options, Sink, free_port, peers};
use std::time::{Duration, Instant};

fn hello(port: u16) -> Client {
    let mut client = Client::connect(port);
    client.command("EHLO client.example.org");
    client
}

#[test]
fn a_message_in_chunks_arrives_as_it_was_sent() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    let offered = client.command("EHLO client.example.org");
    assert!(offered.contains("CHUNKING") && !offered.contains("BINARYMIME"), "{offered}");
    let head = b"From: alice@example.org\r\nTo: bob@partner.example\r\nSubject: chunks\r\n\r\n";
    let message = [&head[..], &b".leading dot\r\n.\r\nMAIL FROM:<eve@evil.example>\r\n".repeat(40_000)].concat();
    let mut wire = b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@partner.example>\r\n".to_vec();
    let chunks: Vec<&[u8]> = message.chunks(99_991).collect();
    for (index, chunk) in chunks.iter().enumerate() {
        let last = if index + 1 == chunks.len() { " LAST" } else { "" };
        wire.extend_from_slice(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
    }
    client.send(&wire);
    for _ in 0..chunks.len() + 1 {
        let reply = client.reply();
        assert!(reply.starts_with("250 "), "{reply}");
    }
    assert!(client.reply().starts_with("250 2.0.0 Accepted "));
    assert_eq!(sink.wait_for(1, Duration::from_secs(30))[0].below_received(), message);
}

#[test]
fn chunks_given_up_leave_nothing_behind() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let mut client = hello(gateway.ports.outbound);
    for command in ["MAIL FROM:<alice@example.org>", "RCPT TO:<bob@partner.example>", "BDAT 10\r\nSubject:", "RSET"] {
        assert!(client.command(command).starts_with("250 "), "{command}");
    }
    let whole = b"Subject: whole\r\n\r\nbody\r\n";
    let reply = client.deliver("alice@example.org", &["bob@partner.example"], whole);
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(sink.wait_for(1, Duration::from_secs(30))[0].below_received(), whole);
    client.command("MAIL FROM:<alice@example.org>");
    client.command("RCPT TO:<bob@partner.example>");
    assert!(client.command("BDAT 8 LAST\r\na\r.\r\nb").starts_with("550 5.6.11"), "a bare CR");
    assert!(client.command("NOOP").starts_with("250"), "and no octet of it was a command");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sink.count(), 1);
}

/// Arguments: port, account, password, authority. Prints what it hears.
const SUBMIT: &str = r#"
import smtplib, ssl, sys
port, user, password, ca = sys.argv[1:]
message = b"From: alice@example.org\r\nTo: bob@partner.example\r\nSubject: submitted\r\n\r\nbody\r\n"
client = smtplib.SMTP("127.0.0.1", int(port), local_hostname="client.example.org", timeout=60)
client.ehlo()
print("clear", client.has_extn("auth"), client.docmd("AUTH", "PLAIN AGEAYg==")[0])
client.starttls(context=ssl.create_default_context(cafile=ca))
client.ehlo()
print("offered", client.esmtp_features["auth"].split())
try:
    client.sendmail("alice@example.org", ["bob@partner.example"], message)
except smtplib.SMTPRecipientsRefused as e:
    print("stranger", list(e.recipients.values())[0][0])
try:
    client.login(user, "not " + password)
except smtplib.SMTPAuthenticationError as e:
    print("wrong", e.smtp_code)
client.user, client.password = user, password
print("right", client.auth("LOGIN", client.auth_login, initial_response_ok=False)[0])
client.sendmail("alice@example.org", ["bob@partner.example"], message)
client.quit()
"#;

#[test]
fn an_account_submits_from_anywhere() {
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.edit_config(|text| text.replace("relay_networks = [\"127.0.0.0/8\", \"::1\"]", "relay_networks = []"));
    gateway.add_officer("olivia", "correct horse");
    gateway.serve();
    let (port, ca) = (gateway.ports.outbound.to_string(), gateway.ca());
    let heard = peers::python(SUBMIT, &[&port, "olivia", "correct horse", ca.to_str().expect("UTF-8")]);
    let expected = "clear False 538\noffered ['PLAIN', 'LOGIN']\nstranger 550\nwrong 535\nright 235\n";
    assert_eq!(heard, expected);
    let arrived = sink.wait_for(1, Duration::from_secs(30));
    assert!(arrived[0].text().contains("with ESMTPSA (TLSv1.3"), "{}", arrived[0].text());
    let audit = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
    assert!(audit.contains("\"login-refused\"") && !audit.contains("correct horse"), "{audit}");
    let inbound = hello(gateway.ports.inbound).command("AUTH PLAIN AGEAYg==");
    assert!(inbound.starts_with("502 "), "who is no user of ours has no business to log in: {inbound}");
}

/// Arguments: port, account, password, authority. RFC 5802 and RFC 7677 by hand; prints what it hears.
const SCRAM: &str = r#"
import base64, hashlib, hmac, os, smtplib, ssl, sys
port, user, password, ca = sys.argv[1:]
b64 = lambda octets: base64.b64encode(octets).decode()
mac = lambda key, text: hmac.new(key, text.encode(), hashlib.sha256).digest()
def connect():
    client = smtplib.SMTP("localhost", int(port), local_hostname="client.example.org", timeout=60)
    client.starttls(context=ssl.create_default_context(cafile=ca))
    client.ehlo()
    return client
def scram(client, user, password, header="n,,"):
    bare = "n=%s,r=%s" % (user, b64(os.urandom(18)))
    code, text = client.docmd("AUTH", "SCRAM-SHA-256 " + b64((header + bare).encode()))
    if code != 334:
        return code
    first = base64.b64decode(text).decode()
    said = dict(part.split("=", 1) for part in first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(said["s"]), int(said["i"]))
    without_proof = "c=%s,r=%s" % (b64(header.encode()), said["r"])
    auth = ",".join([bare, first, without_proof])
    key = mac(salted, "Client Key")
    proof = bytes(a ^ b for a, b in zip(key, mac(hashlib.sha256(key).digest(), auth)))
    code, text = client.docmd(b64((without_proof + ",p=" + b64(proof)).encode()))
    if code != 334:
        return code
    assert base64.b64decode(text) == b"v=" + b64(mac(mac(salted, "Server Key"), auth)).encode()
    return client.docmd("")[0]
client = connect()
print(client.esmtp_features["auth"].split())
print(scram(client, user, "wrong"), scram(client, "nobody", password), scram(client, "olivia", password))
print(scram(client, user, password, "p=tls-exporter,,"), scram(client, user, password, "y,,"))
message = b"From: alice@example.org\r\nTo: bob@partner.example\r\n\r\nbody\r\n"
client.sendmail("alice@example.org", ["bob@partner.example"], message)
client.quit()
client = connect()
client.login(user, password)
client.quit()
"#;

#[test]
fn an_account_made_for_it_logs_in_by_scram() {
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.edit_config(|text| text.replace("relay_networks = [\"127.0.0.0/8\", \"::1\"]", "relay_networks = []"));
    gateway.add_officer("olivia", "correct horse");
    gateway.serve();
    let add = ["user", "add", "alice", "--role", "user", "--address", "alice@example.org", "--scram"];
    gateway.tell(&[&add[..], &["--password-stdin"]].concat(), "pencil\n");
    let (port, ca) = (gateway.ports.outbound.to_string(), gateway.ca());
    let log_in = |password: &str| peers::python(SCRAM, &[&port, "alice", password, ca.to_str().expect("UTF-8")]);
    let expected = "['SCRAM-SHA-256', 'PLAIN', 'LOGIN']\n535 535 535\n501 235\n";
    assert_eq!(log_in("pencil"), expected);
    gateway.tell(&["user", "passwd", "alice", "--password-stdin"], "crayon\n");
    assert_eq!(log_in("crayon"), expected, "a new password is for both ways to log in");
    let accounts = std::fs::read_to_string(gateway.dir().join("access/accounts.toml")).expect("accounts");
    assert!(accounts.contains("SCRAM-SHA-256$") && !accounts.contains("crayon"), "{accounts}");
    let arrived = sink.wait_for(2, Duration::from_secs(30));
    assert!(arrived[0].text().contains("with ESMTPSA (TLSv1.3"), "{}", arrived[0].text());
}

#[test]
fn a_proxy_is_believed_when_it_is_listed() {
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.edit_config(|text| {
        let listed = "relay_networks = [\"192.0.2.0/24\"]\nxclient_networks = [\"127.0.0.1\"]";
        text.replacen("relay_networks = [\"127.0.0.0/8\", \"::1\"]", listed, 1)
    });
    gateway.serve();
    for (address, expected) in [("192.0.2.7", "250 "), ("198.51.100.7", "550 "), ("[UNAVAILABLE]", "550 ")] {
        let mut client = hello(gateway.ports.outbound);
        assert!(client.command(&format!("XCLIENT ADDR={address}")).starts_with("220 "), "the session begins anew");
        client.command("EHLO far.example");
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], b"Subject: x\r\n\r\nbody\r\n");
        assert!(reply.starts_with(expected), "{address}: {reply}");
    }
    let stranger = hello(gateway.ports.inbound).command("XCLIENT ADDR=192.0.2.7");
    assert!(stranger.starts_with("550 "), "{stranger}");
    let arrived = sink.wait_for(1, Duration::from_secs(30));
    assert!(arrived[0].text().starts_with("Received: from far.example ([192.0.2.7])"), "{}", arrived[0].text());
}

#[test]
fn parameters_for_notifications_go_on_to_the_next_hop() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let mut client = hello(gateway.ports.outbound);
    for command in [
        "MAIL FROM:<alice@example.org> RET=hdrs ENVID=QQ+2B314159 BODY=8BITMIME",
        "RCPT TO:<bob@partner.example> NOTIFY=success,FAILURE ORCPT=rfc822;Bob+2Bx@partner.example",
        "RCPT TO:<carol@partner.example> NOTIFY=NEVER",
        "BDAT 4 LAST\r\n\r\n",
    ] {
        assert!(client.command(command).starts_with("250 "), "{command}");
    }
    let arrived = sink.wait_for(1, Duration::from_secs(30));
    let commands = &arrived[0].commands;
    assert!(commands[0].ends_with(" BODY=8BITMIME RET=HDRS ENVID=QQ+2B314159"), "{commands:?}");
    let expected = [
        "RCPT TO:<bob@partner.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2Bx@partner.example",
        "RCPT TO:<carol@partner.example> NOTIFY=NEVER",
    ];
    assert_eq!(commands[1..], expected);
}

/// Arguments: port, authority. A message that requires TLS.
const REQUIRE: &str = r#"
import smtplib, ssl, sys
client = smtplib.SMTP("127.0.0.1", int(sys.argv[1]), local_hostname="client.example.org", timeout=60)
client.ehlo()
print(client.has_extn("requiretls"), client.docmd("MAIL", "FROM:<alice@example.org> REQUIRETLS")[0])
client.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))
client.ehlo()
print(client.has_extn("requiretls"))
client.sendmail("alice@example.org", ["bob@partner.example"], b"Subject: x\r\n\r\nbody\r\n", ["REQUIRETLS"])
client.quit()
"#;

fn send_requiring_tls(gateway: &Gateway) {
    let (port, ca) = (gateway.ports.outbound.to_string(), gateway.ca());
    assert_eq!(peers::python(REQUIRE, &[&port, ca.to_str().expect("UTF-8")]), "False 555\nTrue\n");
}

/// Two gateways in a row: the second offers REQUIRETLS and has a next hop that does not.
#[test]
fn a_message_that_requires_tls_goes_only_where_it_is_kept() {
    let sink = Sink::start();
    let second = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let first = |tls: &str| {
        let mut first = Gateway::prepare(&Options { next_hop: second.ports.outbound, ..Options::default() });
        let route = format!("tls = \"{tls}\"\nca_file = \"{}\"", second.ca().display());
        first.edit_config(|text| {
            // The gateway's certificate names localhost.
            text.replace("tls = \"opportunistic\"", &route)
                .replace("next_hop = \"127.0.0.1:", "next_hop = \"localhost:")
        });
        first.serve();
        first
    };
    let verified = first("verified");
    send_requiring_tls(&verified);
    let bounce = sink.wait_for(1, Duration::from_secs(30)).remove(0);
    let text = bounce.text();
    assert!(bounce.sender.is_empty() && text.contains("Reporting-MTA"), "{text}");
    assert!(text.contains("Status: 5.7.30") && text.contains("requires TLS"), "{text}");
    assert!(text.contains("from client.example.org"), "the second hop gave up, with the first one's trace: {text}");
    let unverified = first("required");
    send_requiring_tls(&unverified);
    let bounce = sink.wait_for(2, Duration::from_secs(30)).remove(1);
    let text = bounce.text();
    assert!(text.contains("Status: 5.7.30") && !text.contains("from client.example.org"), "the first: {text}");
}

#[test]
fn a_journal_copy_is_never_refused_for_what_it_contains() {
    let (sink, port) = (Sink::start(), free_port());
    let policy = "[[rule]]\nname = \"closed\"\nthen = { refuse = \"closed\" }\n".to_owned();
    let listener = "[[listener]]\nprotocol = \"smtp\"\ndirection = \"journal\"\nrelay_networks = [\"127.0.0.1\"]\n";
    let more = format!("[limits]\nmessage_bytes = 100000\n{listener}bind = \"127.0.0.1:{port}\"\n");
    let gateway = Gateway::start(&Options { next_hop: sink.port(), policy: Some(policy), more });
    let mut client = Client::connect(port);
    assert!(client.command("EHLO exchange.example.org").contains("SIZE 400000"));
    let loops = "Received: from a by b\n".repeat(200);
    let copies = [
        b"Subject: bare\n\nline\rwith CR\n.\n\xff\0\n".to_vec(),
        format!("{loops}Subject: loop\n\nbody\n").into_bytes(),
        [&b"Subject: large\n\n"[..], &vec![b'x'; 350_000]].concat(),
        Vec::new(),
    ];
    for copy in &copies {
        client.send(b"MAIL FROM:<>\r\nRCPT TO:<archive@elsewhere.example>\r\nDATA\r\n");
        for expected in ["250", "250", "354"] {
            assert!(client.reply().starts_with(expected));
        }
        client.send(&[&copy[..], b"\r\n.\r\n"].concat());
        let reply = client.reply();
        assert!(reply.starts_with("250 2.0.0 Accepted"), "{reply}");
    }
    assert!(client.command("MAIL FROM:<> SIZE=400001").starts_with("452 "), "for now");
    gateway.seal();
    let rows = gateway.json(&["archive", "list"]);
    let mut sizes: Vec<_> = rows.iter().map(|row| row["size"].as_u64().expect("a size")).collect();
    sizes.sort_unstable();
    let mut expected: Vec<_> = copies
        .iter()
        .map(|copy| copy.len() as u64 + 2 + copy.iter().filter(|&&octet| octet == b'\n').count() as u64)
        .collect();
    expected.sort_unstable();
    assert_eq!(sizes, expected, "every LF became CRLF, and nothing else was touched: {rows:?}");
    assert_eq!(sink.count(), 0, "and nobody got a copy");
}

#[test]
fn one_address_has_its_measure() {
    let sink = Sink::start();
    let more = "[limits]\nmessages_per_minute = 2\nrecipients_per_minute = 4\nerrors_per_minute = 3\n".to_owned();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), more, ..Options::default() });
    gateway.edit_config(|text| {
        text.replace("direction = \"inbound\"", "direction = \"inbound\"\nxclient_networks = [\"127.0.0.1\"]")
    });
    gateway.serve();
    let as_client = |ip: &str| {
        let mut client = hello(gateway.ports.inbound);
        assert!(client.command(&format!("XCLIENT ADDR={ip}")).starts_with("220 "));
        client.command("EHLO far.example");
        client
    };
    let say = |client: &mut Client, commands: &[(&str, &str)]| {
        for (command, expected) in commands {
            let reply = client.command(command);
            assert!(reply.starts_with(expected), "{command}: {reply}");
        }
    };
    let (mail, rcpt) = ("MAIL FROM:<eve@far.example>", "RCPT TO:<alice@example.org>");
    let mut first = as_client("198.51.100.1");
    say(&mut first, &[(mail, "250"), (rcpt, "250"), (rcpt, "250"), ("RSET", "250"), (mail, "250"), (rcpt, "250")]);
    say(&mut first, &[(rcpt, "250"), (rcpt, "450 4.7.1"), ("RSET", "250"), (mail, "450 4.7.1"), ("NOOP", "250")]);
    say(&mut as_client("198.51.100.1"), &[(mail, "450 4.7.1")]);
    say(
        &mut as_client("198.51.100.2"),
        &[(mail, "250"), ("X", "500"), ("RCPT TO:<x@far.example>", "550"), ("X", "500")],
    );
    let mut second = as_client("198.51.100.2");
    second.send(b"X\r\nNOOP\r\n");
    assert_eq!((second.reply().get(..3), second.reply().get(..9)), (Some("500"), Some("250 2.0.0")), "sent together");
    assert!(second.reply().starts_with("421 4.7.0") && second.try_reply().is_err(), "and closed");
    say(
        &mut hello(gateway.ports.inbound),
        &[(mail, "250"), (mail, "503"), (mail, "503"), (mail, "503"), (mail, "503")],
    );
}

#[test]
fn idle_clients_delay_nobody() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let mut idle: Vec<Client> = (0..200).map(|_| Client::connect(gateway.ports.outbound)).collect();
    for (index, client) in idle.iter_mut().enumerate() {
        // Some say nothing, some half a word, some stop in the middle of a message.
        match index % 3 {
            0 => {}
            1 => client.send(b"EHL"),
            _ => client.send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@partner.example>\r\nDATA\r\nSubject: x"),
        }
    }
    let before = Instant::now();
    let reply =
        hello(gateway.ports.outbound).deliver("alice@example.org", &["bob@partner.example"], b"Subject: y\r\n\r\n");
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}
