//! Journal reports: believed on a journal listener and nowhere else; people see the message, the evidence is the report.

use crate::support::{Client, Gateway, Options, Sink, free_port, peers};
use serde_json::Value;

/// A fixture as a server sends it.
fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/journal_reports/{name}.eml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect(&path).replace('\n', "\r\n").into_bytes()
}

struct Stage {
    _sink: Sink,
    gateway: Gateway,
    journal: u16,
}

fn stage() -> Stage {
    let (sink, journal) = (Sink::start(), free_port());
    let listener = "[[listener]]\nprotocol = \"smtp\"\ndirection = \"journal\"\nrelay_networks = [\"127.0.0.1\"]\n";
    let more = format!("[archive]\nseal_after_s = 3600\n{listener}bind = \"127.0.0.1:{journal}\"\n");
    let gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    gateway.add_officer("officer", "secret phrase");
    for (name, address) in
        [("grace", "grace@example.org"), ("journal", "journal@example.org"), ("quiet", "quiet@example.org")]
    {
        gateway
            .tell(&["user", "add", name, "--role", "user", "--address", address, "--password-stdin"], "pencil case\n");
    }
    Stage { _sink: sink, gateway, journal }
}

impl Stage {
    /// The id it was accepted under.
    fn send(&self, port: u16, message: &[u8]) -> String {
        let mut client = Client::connect(port);
        client.command("EHLO hub.example.org");
        let reply = client.deliver("exchange@example.org", &["journal@example.org"], message);
        let id = reply.strip_prefix("250 2.0.0 Accepted ").unwrap_or_else(|| panic!("{reply}"));
        id.trim().to_owned()
    }
    fn show(&self, id: &str) -> Value {
        self.gateway.json(&["archive", "show", id]).remove(0)
    }
    fn exported(&self, id: &str, form: &[&str]) -> Vec<u8> {
        let output = self.gateway.dir().join(format!("export-{id}-{}", form.len()));
        let path = output.to_str().expect("UTF-8").to_owned();
        let query = format!("id:{id}");
        self.gateway.must(&[&["archive", "export", &query, "--output", &path], form].concat());
        std::fs::read(output.join(format!("{id}.eml"))).expect("exported")
    }
    fn listed(&self, query: &str) -> usize {
        self.gateway.json(&["archive", "list", query]).len()
    }
    /// What an account sees by IMAP and POP3: `id subject` of each message, after the script has held sizes and sections together.
    fn seen_by(&self, name: &str, password: &str) -> Vec<String> {
        let ports = [self.gateway.ports.imaps, self.gateway.ports.pop3s].map(|port| port.to_string());
        let ca = self.gateway.ca();
        let arguments = [&ports[0], &ports[1], ca.to_str().expect("UTF-8"), name, password];
        peers::python(READ, &arguments).lines().map(str::to_owned).collect()
    }
}

const READ: &str = r#"
import email, imaplib, poplib, re, ssl, sys
imaps, pop3s, ca, name, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
context = ssl.create_default_context(cafile=ca)
m = imaplib.IMAP4_SSL("localhost", imaps, ssl_context=context)
m.login(name, password)
m.select("INBOX", readonly=True)
numbers = m.search(None, "ALL")[1][0].split()
whole = []
for number in numbers:
    def fetch(what):
        return m.fetch(number, "(" + what + ")")[1]
    body = fetch("BODY.PEEK[]")[0][1]
    size = int(re.search(rb"RFC822.SIZE (\d+)", fetch("RFC822.SIZE")[0])[1])
    assert size == len(body), (size, len(body))
    assert fetch("BODY.PEEK[HEADER]")[0][1] + fetch("BODY.PEEK[TEXT]")[0][1] == body
    message = email.message_from_bytes(body)
    if message.is_multipart():
        first = message.get_payload(0)
        if not first.is_multipart():
            octets = fetch("BODY.PEEK[1]")[0][1]
            assert octets.decode().rstrip() == first.get_payload().rstrip(), (octets, first.get_payload())
    envelope = fetch("ENVELOPE")[0]
    subject = message["Subject"] or ""
    assert not subject or subject.encode() in envelope, envelope
    if "only in the message" in body.decode():
        assert number in m.search(None, "BODY", '"only in the message"')[1][0].split()
        assert m.search(None, "HEADER", "X-MS-Journal-Report", '""')[1][0].split().count(number) == 0
    whole.append((body, subject))
m.logout()
p = poplib.POP3_SSL("localhost", pop3s, context=context)
p.user(name)
p.pass_(password)
assert p.stat()[0] == len(numbers), p.stat()
for number, (body, subject) in enumerate(whole, 1):
    octets = b"\r\n".join(p.retr(number)[1]) + b"\r\n"
    listed = int(p.list(number).split()[2])
    assert octets.rstrip() == body.rstrip() and listed == len(body), (listed, len(body))
    print(p.uidl(number).split()[2].decode(), subject)
p.quit()
"#;

#[test]
fn people_see_the_message_and_the_evidence_is_the_report() {
    let stage = stage();
    let report = fixture("exchange-2010");
    let id = stage.send(stage.journal, &report);
    let other = stage.send(stage.journal, &fixture("exchange-2007"));
    stage.gateway.seal();

    let mut all = vec![format!("{id} Plan"), format!("{other} Quarterly figures")];
    all.sort();
    let mut seen = stage.seen_by("officer", "secret phrase");
    seen.sort();
    assert_eq!(seen, all);
    assert_eq!(stage.seen_by("grace", "pencil case"), [format!("{id} Plan")], "who is in Bcc of the report alone");
    assert_eq!(stage.seen_by("journal", "pencil case"), [""; 0], "the journal's mailbox is nobody's");
    assert_eq!(stage.seen_by("quiet", "pencil case"), [""; 0], "a list is not its members");

    let received = stage.exported(&id, &[]);
    assert_eq!(received, report, "octets as received");
    let readable = stage.exported(&id, &["--form", "readable"]);
    assert!(readable.starts_with(b"From: Chief <chief@example.org>\r\n") && readable.ends_with(b"--inside--\r\n"));
    let shown = stage.show(&id);
    assert_eq!(
        (shown["size"].as_u64(), shown["readable_size"].as_u64()),
        (Some(report.len() as u64), Some(readable.len() as u64))
    );
    let offset = usize::try_from(shown["reported"]["readable"]["offset"].as_u64().expect("an offset")).expect("small");
    assert_eq!(&report[offset..offset + readable.len()], readable);
    assert_eq!((shown["from"].as_str(), shown["subject"].as_str()), (Some("assistant@example.org"), Some("Plan")));
    assert_eq!(shown["handed_in"]["to"][0], "journal@example.org");
    let recipients = shown["reported"]["recipients"].as_array().expect("recipients");
    assert_eq!(recipients.len(), 6);
    assert_eq!(recipients[4]["address"], "heidi@example.org");
    assert_eq!(
        (recipients[4]["kind"].as_str(), recipients[4]["expanded_from"].as_str()),
        (Some("bcc"), Some("quiet@example.org"))
    );
    let why = &stage.gateway.json(&["archive", "show", &id, "--why"])[0];
    assert_eq!(
        (why["recipient"].as_str(), why["why"].as_array().and_then(|w| w.last()).map(|w| w["value"].clone())),
        (Some("journal@example.org"), Some("unwrapped".into()))
    );
    for (query, found) in [
        ("to:grace@example.org", 1),
        ("to:quiet@example.org", 1),
        ("from:chief@example.org", 1),
        ("from:exchange@example.org", 0),
        ("to:journal@example.org", 0),
        ("msgid:inner-2@example.org", 1),
        ("msgid:report-2@hub.example.org", 0),
    ] {
        assert_eq!(stage.listed(query), found, "{query}");
    }
    let sha256 = shown["sha256"].as_str().expect("a hash");
    assert_eq!(stage.listed(&format!("hash:{sha256}")), 1);
    let verified = stage.gateway.verified("2");
    assert_eq!(verified["ok"], true, "{verified}");
}

#[test]
fn nobody_outside_can_say_whom_a_message_went_to() {
    let stage = stage();
    let report = fixture("exchange-2010");
    let outside = report.clone();
    let inbound = stage.send(stage.gateway.ports.inbound, &outside);
    let outbound = stage.send(stage.gateway.ports.outbound, &outside);
    let broken = String::from_utf8(report).expect("UTF-8").replace("Sender: assistant@example.org\r\nOn-", "On-");
    assert!(!broken.contains("Sender: assistant@example.org\r\nOn-"));
    let broken = broken.into_bytes();
    let kept = stage.send(stage.journal, &broken);
    let encoded = stage.send(stage.journal, &fixture("encoded-message"));
    stage.gateway.seal();

    for id in [&inbound, &outbound] {
        let shown = stage.show(id);
        assert_eq!(
            (&shown["reported"], shown["readable_size"].as_u64()),
            (&Value::Null, shown["size"].as_u64()),
            "{shown}"
        );
        assert_eq!(
            (shown["from"].as_str(), shown["to"][0].as_str()),
            (Some("exchange@example.org"), Some("journal@example.org"))
        );
        assert_eq!(shown["message_id"], "report-2@hub.example.org");
    }
    let shown = stage.show(&kept);
    assert_eq!(shown["reported"]["believed"], false);
    assert!(shown["reported"]["reason"].as_str().is_some_and(|reason| reason.contains("names no sender")), "{shown}");
    assert_eq!(shown["to"][0], "journal@example.org");
    assert_eq!(stage.exported(&kept, &["--form", "readable"]), broken);
    let shown = stage.show(&encoded);
    assert_eq!(
        (shown["readable_size"].as_u64(), shown["to"][0].as_str()),
        (shown["size"].as_u64(), Some("bob@example.org"))
    );

    let all = stage.seen_by("officer", "secret phrase");
    assert_eq!(all.len(), 4);
    assert_eq!(stage.seen_by("grace", "pencil case"), [""; 0], "in Bcc of reports that nobody believes");
    assert_eq!(stage.seen_by("journal", "pencil case").len(), 3, "ordinary mail is its recipients'");
    assert_eq!(stage.listed("to:grace@example.org"), 0);
    assert_eq!(stage.gateway.verified("2")["ok"], true);
    let log = stage.gateway.log();
    assert!(log.contains("claims to be a journal report") && !log.contains("Plan"), "{log}");
}

/// A catalog made again, and a restart, show the same.
#[test]
fn the_readable_form_survives_a_restart_and_a_new_catalog() {
    let mut stage = stage();
    // A mark of somebody else's loop guard does not leave, and is among the octets received all the same.
    let report = [&b"X-Sealpost-Loop: not ours\r\n"[..], &fixture("exchange-2010")].concat();
    let id = stage.send(stage.journal, &report);
    // Not sealed yet: the record waits in the journal.
    stage.gateway.kill();
    stage.gateway.serve();
    stage.gateway.seal();
    let seen = [format!("{id} Plan")];
    assert_eq!(stage.seen_by("grace", "pencil case"), seen);
    assert!(stage.exported(&id, &["--form", "readable"]).starts_with(b"From: Chief <chief@example.org>\r\n"));
    assert_eq!(stage.exported(&id, &[]), report);
    stage.gateway.stop();
    std::fs::remove_dir_all(stage.gateway.dir().join("catalog")).expect("the catalog is a cache");
    stage.gateway.serve();
    assert_eq!(stage.seen_by("grace", "pencil case"), seen);
}

/// The record is then too long for one frame of the journal.
#[test]
fn ten_thousand_hidden_recipients_are_all_kept() {
    let stage = stage();
    let report = String::from_utf8(fixture("exchange-2010")).expect("UTF-8");
    let line = "Bcc: grace@example.org\r\n";
    let many: String = (0..9_994).map(|n| format!("Bcc: user{n}@example.org, Expanded: all@example.org\r\n")).collect();
    let report = report.replace(line, &format!("{many}{line}"));
    let id = stage.send(stage.journal, report.as_bytes());
    stage.gateway.seal();
    let shown = stage.show(&id);
    assert_eq!(
        (shown["reported"]["recipients"].as_array().map(Vec::len), &shown["reported"]["problems"]),
        (Some(10_000), &Value::Array(Vec::new()))
    );
    assert_eq!(stage.seen_by("grace", "pencil case"), [format!("{id} Plan")]);
    assert_eq!(stage.listed("to:user9993@example.org"), 1);
    assert_eq!(stage.gateway.verified("2")["ok"], true);
}
