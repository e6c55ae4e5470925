//! What any client can check of our SMTP and LMTP from outside, line by line, against the running program: `tests/smtp/wire.txt`.

use crate::support::{Client, Gateway, Options, Sink, free_port};

const TABLE: &str = include_str!("../smtp/wire.txt");

/// What stands for longer words in the table.
const WORDS: &[(&str, &str)] = &[
    ("@data", "@rcpt | DATA => 354"),
    ("@rcpt", "@mail | RCPT TO:<b@partner.example> => 250 2.1.5"),
    ("@mail", "MAIL FROM:<a@example.org> => 250 2.1.0"),
    ("@lmtp-data", "@lmtp-rcpt | DATA => 354"),
    (
        "@lmtp-rcpt",
        "MAIL FROM:<a@partner.example> => 250 2.1.0 | RCPT TO:<a@example.org> => 250 2.1.5 | RCPT TO:<b@example.org> => 250 2.1.5",
    ),
    ("@message", "From: a@example.org\\r\\nSubject: x\\r\\n\\r\\nbody\\r\\n"),
    (
        "@evil",
        "MAIL FROM:<evil@x.example>\\r\\nRCPT TO:<evil@x.example>\\r\\nDATA\\r\\nS: evil\\r\\n\\r\\nx\\r\\n.\\r\\n",
    ),
];

fn spelt_out(line: &str) -> String {
    WORDS.iter().fold(line.to_owned(), |line, (word, meaning)| line.replace(word, meaning))
}

/// The octets of what is sent; nothing for nothing.
fn octets(text: &str) -> Vec<u8> {
    let (mut text, mut out) = (text, Vec::new());
    let ends_itself = text.is_empty() || text.ends_with("\\-");
    text = text.strip_suffix("\\-").unwrap_or(text);
    while let Some(first) = text.chars().next() {
        if let Some((inside, rest)) = text.strip_prefix("{{").and_then(|behind| behind.split_once("}}")) {
            let (unit, times) = inside.rsplit_once('*').expect("unit*times");
            out.extend(octets(&format!("{unit}\\-")).repeat(times.parse().expect("a number")));
            text = rest;
            continue;
        }
        match (first, text.chars().nth(1)) {
            ('\\', Some('x')) => {
                out.push(u8::from_str_radix(&text[2..4], 16).expect("hexadecimal"));
                text = &text[4..];
            }
            ('\\', Some(escaped)) => {
                out.push(match escaped {
                    'r' => b'\r',
                    'n' => b'\n',
                    other => u8::try_from(other).expect("ASCII"),
                });
                text = &text[2..];
            }
            _ => {
                out.extend_from_slice(first.to_string().as_bytes());
                text = &text[first.len_utf8()..];
            }
        }
    }
    if !ends_itself {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Runs one conversation; what came out otherwise than it should.
fn run(port: u16, hello: Option<&str>, conversation: &str) -> Result<(), String> {
    let mut client = Client::connect(port);
    if let Some(hello) = hello {
        client.command(hello);
    }
    for step in spelt_out(conversation).split(" | ") {
        let (sent, expected) = step.split_once(" => ").unwrap_or_else(|| panic!("{step}"));
        client.try_send(&octets(sent)).map_err(|e| format!("{sent:.60}: {e}"))?;
        let reply = client.try_reply().unwrap_or_else(|_| "CLOSED".to_owned());
        let statuses = reply.lines().all(|line| line.len() <= 510 && line.is_ascii());
        if !reply.replacen('-', " ", 1).starts_with(&expected.replacen('-', " ", 1)) || !statuses {
            return Err(format!("{sent:.60} => {reply:.100}, expected {expected}"));
        }
    }
    Ok(())
}

#[test]
fn every_line_of_the_table_is_answered_as_it_says() {
    let (sink, lmtp) = (Sink::start(), free_port());
    let listener = "[[listener]]\nprotocol = \"lmtp\"\ndirection = \"inbound\"\nrelay_networks = [\"127.0.0.1\"]\n";
    let limits = "[limits]\nmessage_bytes = 100000\nrecipients = 5\n";
    let more = format!("{limits}{listener}bind = \"127.0.0.1:{lmtp}\"\n");
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    let (mut port, mut hello, mut count) = (gateway.ports.outbound, None, 0);
    let mut faults = Vec::new();
    for line in TABLE.lines().skip_while(|line| !line.starts_with('!')) {
        match line {
            "" => {}
            "! cold" => (port, hello) = (gateway.ports.outbound, None),
            "! warm" => (port, hello) = (gateway.ports.outbound, Some("EHLO c.example.org")),
            "! lmtp cold" => (port, hello) = (lmtp, None),
            "! lmtp" => (port, hello) = (lmtp, Some("LHLO c.example.org")),
            _ if line.starts_with('#') => {}
            _ => {
                let (name, conversation) = line.split_once(": ").expect("name: conversation");
                count += 1;
                faults.extend(run(port, hello, conversation).err().map(|fault| format!("{name}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{} of {count}\n{}", faults.len(), faults.join("\n"));
    assert!(count > 200, "{count}");
}
