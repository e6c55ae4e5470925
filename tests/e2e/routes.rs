//! Routes: where mail goes and what is shown, demanded and believed there. With real TLS peers and a DNS server of the test's.

mod failover;

use crate::support::dns::{Dns, Known};
use crate::support::script::{OFFERS, Script, say, say_and_close};
use crate::support::tls_hop::{Demands, Identity, TlsHop};
use crate::support::{Client, Gateway, Options, Sink, eventually, free_port};
use std::time::Duration;

const MESSAGE: &[u8] = b"From: alice@example.org\r\nX-Sealpost-Marker: an imitation\r\nSubject: x\r\n\r\nbody\r\n";
const PATIENCE: Duration = Duration::from_secs(40);

fn send(gateway: &Gateway, recipients: &[&str]) -> String {
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    // Who is not named gets a transaction of his own.
    let message = [format!("To: {}\r\n", recipients.join(", ")).as_bytes(), MESSAGE].concat();
    let reply = client.deliver("alice@example.org", recipients, &message);
    assert!(reply.starts_with("250 "), "{reply}");
    reply.rsplit(' ').next().expect("an id").to_owned()
}

/// A gateway with routes in front of the one for everything else, which leads to `sink`.
fn gateway(sink: &Sink, routes: &str) -> Gateway {
    let gateway = prepared(sink.port(), routes);
    started(gateway)
}

fn prepared(next_hop: u16, routes: &str) -> Gateway {
    let more = "[queue]\nretry_s = [1]\n[timeouts]\ninitial_s = 5\n".to_owned();
    let gateway = Gateway::prepare(&Options { next_hop, more, ..Options::default() });
    gateway.edit_config(|text| text.replacen("[[route]]", &format!("{routes}\n[[route]]"), 1));
    gateway
}

fn started(mut gateway: Gateway) -> Gateway {
    gateway.serve();
    gateway
}

/// Waits for an event of the audit trail about a recipient; its detail.
fn event(gateway: &Gateway, recipient: &str, event: &str) -> String {
    eventually(&format!("{recipient}: {event}"), PATIENCE, || {
        let text = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let found = lines.find(|line| line["recipient"] == recipient && line["event"] == event)?;
        Some(found["detail"].as_str().unwrap_or_default().to_owned())
    })
}

/// Mail to a domain is delivered, or deferred with these words.
fn sends(gateway: &Gateway, domain: &str, refusal: Option<&str>) {
    let to = format!("bob@{domain}");
    send(gateway, &[&to]);
    match refusal {
        None => drop(event(gateway, &to, "delivered")),
        Some(words) => {
            let detail = event(gateway, &to, "deferred");
            assert!(detail.contains(words), "{domain}: {detail}");
        }
    }
}

#[test]
fn the_second_next_hop_takes_what_the_first_does_not() {
    let sink = Sink::start();
    let busy = Script::start(OFFERS, |m| (m.verb == "MAIL").then(|| say_and_close("421 4.3.2 busy")));
    let grey =
        Script::start(OFFERS, |m| (m.verb == "RCPT" && m.line.contains("<grey@")).then(|| say("450 4.2.0 later")));
    let route = |domain: &str, first: u16| {
        let second = sink.port();
        format!(
            "[[route]]\ndomains = [\"{domain}\"]\nnext_hop = [\"127.0.0.1:{first}\", \"127.0.0.1:{second}\"]\ntls = \"none\"\n"
        )
    };
    let routes =
        [route("dead.example", free_port()), route("busy.example", busy.port()), route("grey.example", grey.port())];
    let gateway = gateway(&sink, &routes.concat());
    for recipients in [&["bob@dead.example"][..], &["bob@busy.example"], &["grey@grey.example", "bob@grey.example"]] {
        send(&gateway, recipients);
    }
    let arrived = sink.wait_for(3, PATIENCE);
    let mut recipients: Vec<String> = arrived.into_iter().flat_map(|one| one.recipients).collect();
    recipients.sort();
    assert_eq!(recipients, ["bob@busy.example", "bob@dead.example", "grey@grey.example"]);
    assert_eq!(grey.seen().len(), 1, "the other one stays with the first");
    let trail = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
    assert!(!trail.contains("\"deferred\""), "nobody waits: {trail}");
}

#[test]
fn name_address_and_marker_are_those_of_the_route() {
    let (sink, hop) = (Sink::start(), Script::start("CHUNKING", |_| None));
    let routes = format!(
        "[[route]]\ndomains = [\"partner.example\"]\nnext_hop = \"127.0.0.1:{}\"\ntls = \"none\"\nehlo_name = \"mail.example.org\"\n\
         source_address = [\"::1\", \"127.0.0.9\"]\nmarker = \"0123456789abcdef\"\n",
        hop.port()
    );
    let gateway = gateway(&sink, &routes);
    send(&gateway, &["bob@partner.example"]);
    send(&gateway, &["bob@other.example"]);
    let seen = eventually("the message", PATIENCE, || hop.seen().pop());
    let text = String::from_utf8_lossy(&seen.octets).into_owned();
    assert!(text.starts_with("X-Sealpost-Marker: 0123456789abcdef\r\nReceived: "), "{text}");
    assert!(!text.contains("imitation") && seen.by == "BDAT", "{text}");
    assert!(hop.commands().contains(&"EHLO mail.example.org".to_owned()), "{:?}", hop.commands());
    assert_eq!(hop.peers(), ["127.0.0.9"]);
    let other = sink.wait_for(1, PATIENCE).pop().expect("one").text();
    assert!(!other.contains("X-Sealpost-Marker") && other.contains("Subject: x"), "{other}");
}

#[test]
fn content_without_a_final_line_end_stays_as_it_is() {
    let (sink, hop) = (Sink::start(), Script::start("CHUNKING\n8BITMIME", |_| None));
    let routes = format!(
        "[[route]]\ndomains = [\"partner.example\"]\nnext_hop = \"127.0.0.1:{}\"\ntls = \"none\"\n",
        hop.port()
    );
    let gateway = gateway(&sink, &routes);
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    client.command("MAIL FROM:<alice@example.org>");
    client.command("RCPT TO:<bob@partner.example>");
    let content = b"From: alice@example.org\r\n\r\n.a\r\nb";
    client.send(format!("BDAT {} LAST\r\n", content.len()).as_bytes());
    client.send(content);
    assert!(client.reply().starts_with("250 "));
    let seen = eventually("the message", PATIENCE, || hop.seen().pop());
    assert!(seen.octets.ends_with(content), "{}", String::from_utf8_lossy(&seen.octets));
}

#[test]
fn a_verified_next_hop_has_a_trusted_certificate_or_a_pinned_key() {
    let (sink, dir) = (Sink::start(), tempfile::tempdir().expect("a directory"));
    let (server, other) = (Identity::make(dir.path(), "localhost"), Identity::make(dir.path(), "elsewhere.example"));
    let hop = TlsHop::start(&server, &Demands::default());
    let wrong_name = TlsHop::start(&other, &Demands::default());
    let ca = |identity: &Identity| format!("ca_file = \"{}\"", identity.certificate.display());
    let pin = |identity: &Identity| format!("pinned_keys = [\"sha256:{}\"]", identity.pin());
    let both = format!("{}\n{}", ca(&other), pin(&server));
    let cases = [
        ("ca.example", &hop, ca(&server), None),
        ("pin.example", &hop, pin(&server), None),
        ("either.example", &hop, both, None),
        ("system.example", &hop, String::new(), Some("certificate")),
        ("other-ca.example", &hop, ca(&other), Some("certificate")),
        ("other-pin.example", &hop, pin(&other), Some("not pinned: sha256:")),
        ("name.example", &wrong_name, ca(&other), Some("not valid for name")),
        ("name-pinned.example", &wrong_name, pin(&other), None),
    ];
    let route = |(domain, hop, lines, _): &(&str, &TlsHop, String, Option<&str>)| {
        let port = hop.port();
        format!("[[route]]\ndomains = [\"{domain}\"]\nnext_hop = \"localhost:{port}\"\ntls = \"verified\"\n{lines}\n")
    };
    let gateway = gateway(&sink, &cases.iter().map(route).collect::<String>());
    cases.iter().for_each(|(domain, _, _, refusal)| sends(&gateway, domain, *refusal));
    assert!(hop.told("kept").iter().chain(&wrong_name.told("kept")).all(|kept| kept["secure"] == true));
    assert_eq!(hop.told("kept").len() + wrong_name.told("kept").len(), 4);
}

#[test]
fn a_client_certificate_is_shown_to_who_asks() {
    let (sink, dir) = (Sink::start(), tempfile::tempdir().expect("a directory"));
    let (server, ours) = (Identity::make(dir.path(), "localhost"), Identity::make(dir.path(), "gw.example.org"));
    let hop = TlsHop::start(&server, &Demands { client_ca: Some(&ours.certificate), ..Demands::default() });
    let route = |domain: &str, lines: &str| {
        let port = hop.port();
        format!("[[route]]\ndomains = [\"{domain}\"]\nnext_hop = \"localhost:{port}\"\ntls = \"required\"\n{lines}\n")
    };
    let shown =
        format!("client_certificate = \"{}\"\nclient_key = \"{}\"", ours.certificate.display(), ours.key.display());
    let gateway = gateway(&sink, &[route("with.example", &shown), route("without.example", "")].concat());
    send(&gateway, &["bob@with.example"]);
    event(&gateway, "bob@with.example", "delivered");
    assert_eq!(hop.told("client")[0]["client"], "gw.example.org");
    send(&gateway, &["bob@without.example"]);
    event(&gateway, "bob@without.example", "deferred");
    assert_eq!(hop.told("kept").len(), 1);
}

#[test]
fn credentials_are_given_inside_tls_alone() {
    let (sink, dir) = (Sink::start(), tempfile::tempdir().expect("a directory"));
    let server = Identity::make(dir.path(), "localhost");
    let demands = |mechanisms| Demands { mechanisms, login: Some(("gw", "s3cret")), ..Demands::default() };
    let plain = TlsHop::start(&server, &demands("PLAIN LOGIN"));
    let login = TlsHop::start(&server, &demands("LOGIN"));
    let none = TlsHop::start(&server, &demands(""));
    let clear = Script::start("AUTH PLAIN LOGIN", |_| None);
    for (file, password) in [("right", "s3cret\nnot this line\n"), ("wrong", "guess")] {
        std::fs::write(dir.path().join(file), password).expect("write");
    }
    let cases = [
        ("plain.example", plain.port(), "right", None),
        ("login.example", login.port(), "right", None),
        ("wrong.example", plain.port(), "wrong", Some("login: 535 5.7.8 wrong name or password")),
        ("none.example", none.port(), "right", Some("offers neither AUTH PLAIN nor AUTH LOGIN")),
        ("clear.example", clear.port(), "right", Some("TLS is required and not offered")),
    ];
    let route = |(domain, port, file, _): &(&str, u16, &str, Option<&str>)| {
        let file = dir.path().join(file);
        format!(
            "[[route]]\ndomains = [\"{domain}\"]\nnext_hop = \"localhost:{port}\"\ntls = \"required\"\n\
             credentials = {{ user = \"gw\", password_file = \"{}\" }}\n",
            file.display()
        )
    };
    let gateway = gateway(&sink, &cases.iter().map(route).collect::<String>());
    cases.iter().for_each(|(domain, _, _, refusal)| sends(&gateway, domain, *refusal));
    assert_eq!((plain.told("kept").len(), login.told("kept").len(), none.told("kept").len()), (1, 1, 0));
    assert!(plain.told("auth").iter().chain(&login.told("auth")).all(|auth| auth["secure"] == true));
    assert!(!clear.commands().iter().any(|line| line.starts_with("AUTH")), "{:?}", clear.commands());
    assert!(!gateway.log().contains("s3cret"));
}

#[test]
fn check_names_the_route_and_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let ours = Identity::make(dir.path(), "gw.example.org");
    let missing = |key: &str| format!("{key} = \"{}\"", dir.path().join("missing.pem").display());
    let cases = [
        (missing("ca_file"), "missing.pem"),
        (format!("{}\nclient_key = \"{}\"", missing("client_certificate"), ours.key.display()), "missing.pem"),
        (
            format!("client_certificate = \"{}\"\nclient_key = \"{0}\"", ours.certificate.display()),
            "gw.example.org.cert.pem",
        ),
        ("credentials = { user = \"gw\", password_file = \"secret/none\" }".to_owned(), "secret/none"),
        ("credentials = { user = \"gw\", systemd_credential = \"none\" }".to_owned(), "LoadCredential="),
        ("pinned_keys = [\"sha256:short\"]".to_owned(), "sha256:short"),
        ("client_key = \"x\"".to_owned(), "client_certificate and client_key go together"),
    ];
    for (lines, expected) in cases {
        let route = format!(
            "[[route]]\ndomains = [\"partner.example\"]\nnext_hop = \"localhost:25\"\ntls = \"verified\"\n{lines}\n"
        );
        let gateway = prepared(25, &route);
        let output = gateway.cli(&["check"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let flat: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!output.status.success() && flat.contains(expected), "{lines}:\n{said}");
    }
}

#[test]
fn mx_records_lead_to_each_domains_hosts() {
    let sink = Sink::start();
    let port = free_port();
    let at = |last: u8| Known::A(std::net::Ipv4Addr::new(127, 0, 0, last));
    let hop = |last: u8| Script::start_at(&format!("127.0.0.{last}:{port}"), OFFERS, |_| None);
    let (backup, plain, literal) = (hop(12), hop(13), hop(14));
    let later =
        Script::start_at(&format!("127.0.0.15:{port}"), OFFERS, |m| (m.verb == "RCPT").then(|| say("450 4.2.0 later")));
    let dns = Dns::start(&[
        ("two.example", Known::Mx(vec![(20, "backup.two.example"), (10, "dead.two.example")])),
        ("backup.two.example", at(12)),
        ("dead.two.example", at(11)),
        ("later.example", Known::Mx(vec![(1, "later.later.example"), (2, "backup.two.example")])),
        ("later.later.example", at(15)),
        ("plain.example", at(13)),
        ("dead.example", Known::Mx(vec![(10, "dead.two.example"), (20, "nowhere.example")])),
        ("null.example", Known::Mx(vec![(0, "")])),
        ("self.example", Known::Mx(vec![(5, "gw.example.org"), (10, "backup.two.example")])),
        ("broken.example", Known::Broken),
        ("silent.example", Known::Silent),
    ]);
    let gateway = prepared(sink.port(), "");
    gateway.edit_config(|text| {
        let mx = format!("next_hop = \"mx\"\nmx_port = {port}\nresolver = \"127.0.0.1:{}\"", dns.port());
        let local =
            format!("[[route]]\ndomains = [\"example.org\"]\nnext_hop = \"127.0.0.1:{}\"\n\n[[route]]", sink.port());
        let hop = format!("next_hop = \"127.0.0.1:{}\"", sink.port());
        text.replacen(&hop, &mx, 1).replacen("[[route]]", &local, 1)
    });
    let gateway = started(gateway);
    let recipients = [
        "a@two.example",
        "b@Two.example",
        "c@plain.example",
        "d@[127.0.0.14]",
        "e@dead.example",
        "f@null.example",
        "g@gone.example",
        "h@self.example",
        "i@broken.example",
        "j@later.example",
    ];
    send(&gateway, &recipients);
    for to in ["a@two.example", "b@Two.example", "c@plain.example", "d@[127.0.0.14]", "j@later.example"] {
        event(&gateway, to, "delivered");
    }
    for (to, words) in
        [("f@null.example", "null MX"), ("g@gone.example", "no such domain"), ("h@self.example", "this one")]
    {
        let detail = event(&gateway, to, "failed");
        assert!(detail.contains(words), "{to}: {detail}");
    }
    for (to, words) in [("e@dead.example", "example"), ("i@broken.example", "DNS")] {
        let detail = event(&gateway, to, "deferred");
        assert!(detail.contains(words), "{to}: {detail}");
    }
    let own = |script: &Script| script.seen().into_iter().map(|one| one.recipients).collect::<Vec<_>>();
    assert_eq!(
        own(&backup).iter().find(|to| to.len() == 2),
        Some(&vec!["a@two.example".into(), "b@Two.example".into()])
    );
    assert_eq!(own(&backup).len(), 2, "later.example's second host too: {:?}", own(&backup));
    assert_eq!(
        (own(&plain), own(&literal)),
        (vec![vec!["c@plain.example".into()]], vec![vec!["d@[127.0.0.14]".into()]])
    );
    assert!(own(&later).is_empty());
    let bounce = sink.wait_for(1, PATIENCE).pop().expect("one").text();
    for status in ["Status: 5.1.10", "Status: 5.1.2", "Status: 5.4.6"] {
        assert!(bounce.contains(status), "{status} in\n{bounce}");
    }
    send(&gateway, &["k@silent.example"]);
    send(&gateway, &["l@plain.example"]);
    event(&gateway, "l@plain.example", "delivered");
    assert!(event(&gateway, "k@silent.example", "deferred").contains("DNS"));
}
