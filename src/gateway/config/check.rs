//! What a configuration must hold beyond its form: keys that need each other. Reads values, never files.

use super::{CertificateName, CheckpointTo, Config, Listener, ListenerTls, LoopHeader, Protocol};
use crate::policy::Document;
use crate::policy::Fault;
use std::ops::Range;

/// Where mail servers meet, who speak SMTP (RFC 2033 section 5).
const SMTP_PORT: u16 = 25;

/// Every fault of a configuration that could be read.
pub fn faults(config: &Config, text: &str, document: &Document) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut say = |span: Range<usize>, message: String, help: &str| {
        faults.push(document.fault(span, message, Some(help.to_owned())));
    };
    if config.listener.is_empty() {
        say(0..0, "no [[listener]]".to_owned(), "a gateway without a listener can do nothing");
    }
    if config.route.is_empty() {
        say(0..0, "no [[route]]".to_owned(), "say where mail goes: domains = [\"*\"], next_hop = \"host:port\"");
    }
    for (index, listener) in config.listener.iter().enumerate() {
        let span = table(text, "[[listener]]", index);
        if listener.protocol.takes_mail() && listener.direction.is_none() {
            let help = "direction = \"outbound\", \"inbound\" or \"journal\"";
            say(span.clone(), "this listener has no direction".to_owned(), help);
        }
        if let Some(key) = reader_with(listener) {
            say(span.clone(), format!("`{key}` has no meaning for a reader's listener"), "take the key out");
        }
        if !listener.protocol.takes_mail() && listener.tls == ListenerTls::None {
            let help = "a reader's password never travels without TLS: tls = \"starttls\" or \"implicit\"";
            say(span.clone(), "this listener would offer no login".to_owned(), help);
        }
        if listener.protocol == Protocol::Lmtp && listener.bind.port() == SMTP_PORT {
            say(span.clone(), "LMTP is never spoken on port 25".to_owned(), "another port; 24 is usual (RFC 2033)");
        }
        if let Some((message, help)) = certificates(listener) {
            say(span.clone(), message.to_owned(), help);
        }
        if config.listener[..index].iter().any(|other| other.bind == listener.bind) {
            say(span, format!("{} is bound twice", listener.bind), "give each listener a port of its own");
        }
    }
    for (index, route) in config.route.iter().enumerate() {
        let span = table(text, "[[route]]", index);
        if let Some((message, help)) = route.fault() {
            say(span, message, help);
        }
    }
    if config.archive.checkpoint_to.contains(&CheckpointTo::TimeStamp) && config.archive.tsa.is_none() {
        let help = "tsa = \"http://tsa.example.org/tsr\", the URL of a time stamping authority";
        say(key_in(text, "[archive]", "checkpoint_to"), "`tsa` in checkpoint_to, and no authority".to_owned(), help);
    }
    for (section, key, value) in counts(config) {
        if value == 0 {
            say(key_in(text, section, key), format!("{key} = 0 would stop everything"), "at least 1");
        }
    }
    faults
}

/// Bounds and times that make no sense when they are zero.
fn counts(config: &Config) -> Vec<(&'static str, &'static str, u64)> {
    let (limits, times) = (&config.limits, &config.timeouts);
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    vec![
        ("[limits]", "message_bytes", limits.message_bytes),
        ("[limits]", "recipients", number(limits.recipients)),
        ("[limits]", "connections", number(limits.connections)),
        ("[limits]", "connections_per_address", number(limits.connections_per_address)),
        ("[timeouts]", "initial_s", times.initial_s),
        ("[timeouts]", "mail_s", times.mail_s),
        ("[timeouts]", "rcpt_s", times.rcpt_s),
        ("[timeouts]", "data_start_s", times.data_start_s),
        ("[timeouts]", "data_block_s", times.data_block_s),
        ("[timeouts]", "data_done_s", times.data_done_s),
        ("[timeouts]", "server_idle_s", times.server_idle_s),
        ("[queue]", "lifetime_s", config.queue.lifetime_s),
        ("[archive]", "seal_after_s", config.archive.seal_after_s),
        ("[archive]", "seal_bytes", config.archive.seal_bytes),
        ("[archive]", "erase_signatures", number(config.archive.erase_signatures)),
        ("[archive]", "scrub_mb_s", config.archive.scrub_mb_s),
    ]
}

/// Where a section sets this key; the file's beginning when it is written in another way than usual.
fn key_in(text: &str, section: &str, key: &str) -> Range<usize> {
    let start = table(text, section, 0).end;
    let mut offset = start;
    for line in text[start..].split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return offset..offset + line.trim_end().len();
        }
        offset += line.len();
    }
    0..0
}

fn reader_with(listener: &Listener) -> Option<&'static str> {
    let keys = [
        ("direction", listener.direction.is_some()),
        ("relay_networks", !listener.relay_networks.is_empty()),
        ("sign_for", !listener.sign_for.is_empty()),
        ("xclient_networks", !listener.xclient_networks.is_empty()),
        ("client_certificate", listener.client_certificate.is_some()),
        ("client_ca_file", listener.client_ca_file.is_some()),
        ("relay_certificates", !listener.relay_certificates.is_empty()),
        ("loop_header", listener.loop_header == LoopHeader::Add),
        ("account_senders", listener.account_senders.is_some()),
        ("bare_lf", listener.bare_lf.is_some()),
    ];
    keys.into_iter().find(|(_, given)| *given && !listener.protocol.takes_mail()).map(|(key, _)| key)
}

/// What is missing where clients are asked for certificates.
fn certificates(listener: &Listener) -> Option<(&'static str, &'static str)> {
    let asked = listener.asks_for_certificate();
    let names = listener.relay_certificates.iter().any(|name| matches!(name, CertificateName::Name(_)));
    match (asked, &listener.client_ca_file) {
        (None, Some(_)) => {
            Some(("`client_ca_file` without `client_certificate`", "client_certificate = \"optional\" or \"required\""))
        }
        (Some(_), _) if listener.tls == ListenerTls::None => Some((
            "certificates are shown inside TLS, which this listener has not",
            "tls = \"starttls\" or \"implicit\"",
        )),
        (Some(_), None) if names || listener.relay_certificates.is_empty() => {
            Some(("nobody vouches for the certificates of clients", "client_ca_file = \"tls/clients-ca.pem\""))
        }
        _ => None,
    }
}

/// Where table number `index` of this kind begins.
fn table(text: &str, header: &str, index: usize) -> Range<usize> {
    let begins = |line: &str| line.trim_start().starts_with(header);
    let mut offset = 0;
    let mut seen = 0;
    for line in text.split_inclusive('\n') {
        if begins(line) {
            if seen == index {
                return offset..offset + line.trim_end().len();
            }
            seen += 1;
        }
        offset += line.len();
    }
    0..0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, &str)]) {
        let config = Config::parse(text).expect("well-formed");
        let document = Document::new("sealpost.toml", text);
        let found: Vec<_> = faults(&config, text, &document).into_iter().map(|f| (f.line, f.message)).collect();
        let expected: Vec<_> = expected.iter().map(|(line, message)| (*line, (*message).to_owned())).collect();
        assert_eq!(found, expected, "{text}");
    }

    const ROUTE: &str = "[[route]]\ndomains = [\"*\"]\nnext_hop = \"h:25\"\n";

    #[test]
    fn what_belongs_together_is_there() {
        let listener =
            |lines: &str| format!("hostname = \"h\"\n[[listener]]\nbind = \"127.0.0.1:1\"\n{lines}\n{ROUTE}");
        check(&listener("protocol = \"smtp\"\ndirection = \"inbound\""), &[]);
        check(&listener("protocol = \"smtp\""), &[(2, "this listener has no direction")]);
        check(&listener("protocol = \"imap\""), &[]);
        check(&listener("protocol = \"imap\"\ntls = \"none\""), &[(2, "this listener would offer no login")]);
        let meaningless = &[(2, "`direction` has no meaning for a reader's listener")];
        check(&listener("protocol = \"pop3\"\ndirection = \"journal\""), meaningless);
        let lmtp = listener("protocol = \"lmtp\"\ndirection = \"inbound\"").replace(":1\"", ":25\"");
        check(&lmtp, &[(2, "LMTP is never spoken on port 25")]);
        check(&lmtp.replace("lmtp", "smtp"), &[]);
        let asking = |lines: &str| listener(&format!("protocol = \"smtp\"\ndirection = \"inbound\"\n{lines}"));
        let pin = format!("relay_certificates = [\"sha256:{}\"]", "ab".repeat(32));
        check(&asking(&pin), &[]);
        check(&asking("client_certificate = \"required\"\nclient_ca_file = \"ca.pem\""), &[]);
        check(&asking("client_ca_file = \"ca.pem\""), &[(2, "`client_ca_file` without `client_certificate`")]);
        let nobody = &[(2, "nobody vouches for the certificates of clients")];
        check(&asking("client_certificate = \"optional\""), nobody);
        check(&asking("relay_certificates = [\"mx.example.org\"]"), nobody);
        let clear = &[(2, "certificates are shown inside TLS, which this listener has not")];
        check(&asking(&format!("tls = \"none\"\n{pin}")), clear);
        check("hostname = \"h\"\nlistener = []\nroute = []\n", &[(1, "no [[listener]]"), (1, "no [[route]]")]);
    }

    #[test]
    fn bounds_of_zero_are_faults_and_of_one_are_not() {
        let with = |lines: &str| {
            format!("hostname = \"h\"\n[[listener]]\nprotocol = \"imap\"\nbind = \"127.0.0.1:1\"\n{ROUTE}{lines}\n")
        };
        for (section, key) in [
            ("limits", "message_bytes"),
            ("limits", "connections"),
            ("timeouts", "data_done_s"),
            ("queue", "lifetime_s"),
            ("archive", "seal_after_s"),
            ("archive", "seal_bytes"),
        ] {
            check(&with(&format!("[{section}]\n{key} = 1")), &[]);
            let message = format!("{key} = 0 would stop everything");
            check(&with(&format!("[{section}]\n{key} = 0")), &[(9, message.as_str())]);
        }
    }

    #[test]
    fn places_are_those_of_the_table() {
        let two = format!(
            "hostname = \"h\"\n{0}{0}{ROUTE}connections = 0\n",
            "[[listener]]\nbind = \"127.0.0.1:1\"\nprotocol = \"imap\"\n"
        );
        check(&two, &[(5, "127.0.0.1:1 is bound twice"), (8, "connections = 0 would deliver nothing")]);
    }
}
