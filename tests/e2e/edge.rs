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

/// What XFORWARD says stands in Received. Who may relay and sign is asked of the filter that says it.
#[test]
fn what_a_filter_says_of_its_client_gives_no_right() {
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    gateway.edit_config(|text| {
        let listed = "relay_networks = [\"192.0.2.7\"]\nxclient_networks = [\"127.0.0.1\"]";
        text.replacen("relay_networks = [\"127.0.0.0/8\", \"::1\"]", listed, 1)
    });
    gateway.serve();
    let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nbody\r\n";
    let deliver = |gateway: &Gateway| {
        let mut client = hello(gateway.ports.outbound);
        assert!(client.command("XFORWARD ADDR=192.0.2.7 HELO=far.example").starts_with("250 "));
        client.deliver("alice@example.org", &["bob@partner.example"], message)
    };
    assert!(deliver(&gateway).starts_with("550 5.7.1"), "the filter may not relay");
    gateway.stop();
    let known = "relay_networks = [\"127.0.0.1\"]\nxclient_networks";
    gateway.edit_config(|text| text.replacen("relay_networks = [\"192.0.2.7\"]\nxclient_networks", known, 1));
    gateway.serve();
    assert!(deliver(&gateway).starts_with("250 "), "the filter may, whoever its client is");
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
        "BDAT 53 LAST\r\nTo: bob@partner.example, carol@partner.example\r\n\r\nx\r\n",
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
    let trace = |text: &str| text.split("text/rfc822-headers").nth(1).expect("a returned header").to_owned();
    assert!(trace(&text).contains("from gw.example.org"), "the second hop gave up, with the first one's trace: {text}");
    let unverified = first("required");
    send_requiring_tls(&unverified);
    let bounce = sink.wait_for(2, Duration::from_secs(30)).remove(1);
    let text = bounce.text();
    assert!(text.contains("Status: 5.7.30") && !trace(&text).contains("from gw.example.org"), "the first: {text}");
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

/// An octet now and then keeps no place: neither in a command nor in a message.
#[test]
fn a_client_that_dawdles_is_cut_off() {
    let sink = Sink::start();
    let more = "[timeouts]\nserver_idle_s = 2\n".to_owned();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    let dawdle = |start: &[u8]| {
        let mut client = hello(gateway.ports.outbound);
        let since = Instant::now();
        client.send(start);
        for _ in start.split(|&octet| octet == b'\n').skip(1) {
            client.reply();
        }
        while client.try_send(b"x").is_ok() && since.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(250));
        }
        let last = client.try_reply().unwrap_or_default();
        assert!(last.is_empty() || last.starts_with("421 4.4.2"), "{last}");
        assert!(since.elapsed() < Duration::from_secs(12), "{:?}", since.elapsed());
    };
    dawdle(b"NO");
    dawdle(b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@partner.example>\r\nDATA\r\n");
}

#[test]
fn who_is_between_two_commands_does_not_hold_up_the_end() {
    let sink = Sink::start();
    let mut gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let envelope = b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@partner.example>\r\n";
    let mut idle = hello(gateway.ports.outbound);
    idle.send(envelope);
    let mut sending = hello(gateway.ports.outbound);
    sending.send(&[&envelope[..], b"DATA\r\nSubject: x\r\n"].concat());
    let mut stuck = hello(gateway.ports.outbound);
    assert!(stuck.command("MAIL FROM:<>").starts_with("250"));
    assert!(stuck.command("RCPT TO:<bob@partner.example>").starts_with("250"));
    assert!(stuck.command("DATA").starts_with("354"));
    for expected in ["250", "250"] {
        assert!(idle.reply().starts_with(expected) && sending.reply().starts_with(expected));
    }
    assert!(sending.reply().starts_with("354"));
    gateway.signal(rustix::process::Signal::TERM);
    let before = Instant::now();
    assert!(idle.reply().starts_with("421 4.3.2") && idle.try_reply().is_err());
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    sending.send(b"\r\nbody\r\n.\r\n");
    assert!(sending.reply().starts_with("250 2.0.0 Accepted"), "a message under way is taken");
    assert!(sending.reply().starts_with("421 4.3.2"));
    assert!(stuck.reply().starts_with("421 4.3.2"), "one that does not go on is told, too");
    assert_eq!(gateway.wait(), Some(0));
    assert!(before.elapsed() < Duration::from_secs(29), "{:?}", before.elapsed());
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
