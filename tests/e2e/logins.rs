//! Who logs in to submit mail, how, and as whom.

use crate::support::{Client, Gateway, Options, Sink, peers};
use std::time::Duration;

fn hello(port: u16) -> Client {
    let mut client = Client::connect(port);
    client.command("EHLO client.example.org");
    client
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

/// Arguments: port, authority. What each sender is answered.
const SENDERS: &str = r#"
import smtplib, ssl, sys
client = smtplib.SMTP("localhost", int(sys.argv[1]), timeout=60)
client.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))
client.login("alice", "pencil")
for sender in ["alice@example.org", "bob@example.org", ""]:
    code, text = client.mail(sender)
    print(code, text.decode().split()[0])
    client.rset()
"#;

#[test]
fn an_account_sends_as_itself() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let add = ["user", "add", "alice", "--role", "user", "--address", "alice@example.org", "--password-stdin"];
    gateway.tell(&add, "pencil\n");
    let (port, ca) = (gateway.ports.outbound.to_string(), gateway.ca());
    let heard = peers::python(SENDERS, &[&port, ca.to_str().expect("UTF-8")]);
    assert_eq!(heard, "250 2.1.0\n553 5.7.1\n250 2.1.0\n");
}
