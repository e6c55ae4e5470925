//! Certificates at a listener: those of clients, by STARTTLS and from the first octet, and its own, replaced while it runs.

use crate::support::{Client, Gateway, Options, Sink, eventually, free_port, peers};
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

/// Makes, in a directory, an authority `NAME.ca.pem` and a client's `NAME.pem` and `NAME.key` for a host name.
fn issue(dir: &Path, name: &str, host: &str) {
    let script = format!(
        "set -e; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}-ca \
         -keyout {name}.ca.key -out {name}.ca.pem; \
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr; \
         printf 'subjectAltName=DNS:{host}\\nextendedKeyUsage=clientAuth\\n' > {name}.ext; \
         openssl x509 -req -in {name}.csr -CA {name}.ca.pem -CAkey {name}.ca.key -CAcreateserial -days 2 \
         -extfile {name}.ext -out {name}.pem"
    );
    peers::must("bash", "openssl", |c| c.current_dir(dir).arg("-c").arg(&script));
}

fn fingerprint(dir: &Path, name: &str) -> String {
    let said = peers::must("openssl", "openssl", |c| {
        c.current_dir(dir).args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &format!("{name}.pem")])
    });
    let text = String::from_utf8(said).expect("text");
    text.trim().split_once('=').expect("name=value").1.to_owned()
}

/// Arguments: port, authority, how, certificate or "-". Says what RCPT of a stranger is answered, and the server's serial number.
const CLIENT: &str = r#"
import smtplib, ssl, sys
port, ca, how, certificate = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if how == "old":
    context.maximum_version = ssl.TLSVersion.TLSv1_2
if certificate != "-":
    context.load_cert_chain(certificate + ".pem", certificate + ".key")
try:
    if how == "implicit":
        client = smtplib.SMTP_SSL("localhost", int(port), local_hostname="client.example.org", timeout=60, context=context)
    else:
        client = smtplib.SMTP("localhost", int(port), local_hostname="client.example.org", timeout=60)
        client.starttls(context=context)
    client.ehlo()
    print(client.mail("alice@example.org")[0], client.rcpt("bob@partner.example")[0], end=" ")
    if how == "send":
        client.rset()
        message = b"From: alice@example.org\r\nTo: bob@partner.example\r\n\r\nbody\r\n"
        client.sendmail("alice@example.org", ["bob@partner.example"], message)
    client.quit()
except (ssl.SSLError, ConnectionError, smtplib.SMTPServerDisconnected) as e:
    print("no TLS")
"#;

#[test]
fn a_certificate_lets_a_client_relay() {
    let sink = Sink::start();
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path();
    for (name, host) in
        [("known", "mx.example.org"), ("other", "other.example.org"), ("pinned", "x"), ("new", "new.example.org")]
    {
        issue(dir, name, host);
    }
    // One authority, of two certificates.
    std::fs::copy(dir.join("known.ca.pem"), dir.join("clients-ca.pem")).expect("copy");
    let (required, implicit) = (free_port(), free_port());
    let rights = format!(
        "client_ca_file = \"{}\"\nrelay_certificates = [\"MX.example.org\", \"new.example.org\", \"sha256:{}\"]\n",
        dir.join("clients-ca.pem").display(),
        fingerprint(dir, "pinned")
    );
    let listener = |port: u16, more: &str| {
        let head = "[[listener]]\nprotocol = \"smtp\"\ndirection = \"outbound\"\n";
        format!("{head}bind = \"127.0.0.1:{port}\"\n{rights}{more}\n")
    };
    let more = listener(required, "client_certificate = \"required\"") + &listener(implicit, "tls = \"implicit\"");
    let mut gateway = Gateway::prepare(&Options { next_hop: sink.port(), more, ..Options::default() });
    gateway.edit_config(|text| {
        text.replacen("relay_networks = [\"127.0.0.0/8\", \"::1\"]", &format!("relay_networks = []\n{rights}"), 1)
    });
    gateway.serve();
    let optional = gateway.ports.outbound;
    let check = |port: u16, how: &str, certificate: &str, expected: &str| {
        let certificate = if certificate == "-" { "-".to_owned() } else { dir.join(certificate).display().to_string() };
        let ca = gateway.ca();
        let heard = peers::python(CLIENT, &[&port.to_string(), ca.to_str().expect("UTF-8"), how, &certificate]);
        assert_eq!(heard.trim(), expected, "{port} {how} {certificate}");
    };
    check(optional, "starttls", "-", "250 550");
    check(optional, "send", "known", "250 250");
    check(optional, "old", "known", "250 250");
    check(optional, "starttls", "other", "250 550");
    check(optional, "starttls", "pinned", "250 250");
    check(implicit, "implicit", "known", "250 250");
    check(implicit, "implicit", "-", "250 550");
    check(required, "starttls", "known", "250 250");
    check(required, "starttls", "pinned", "250 250");
    check(required, "old", "pinned", "250 250");
    let mut clear = Client::connect(required);
    clear.command("EHLO client.example.org");
    assert!(clear.command("MAIL FROM:<alice@example.org>").starts_with("530 5.7.0"), "no way around it");
    for stranger in ["-", "other"] {
        check(required, "starttls", stranger, "no TLS");
    }
    let arrived = sink.wait_for(1, Duration::from_secs(30));
    assert!(arrived[0].text().contains("with ESMTPS (TLSv1.3"), "{}", arrived[0].text());
    // Another authority takes the place of the first without a restart; what cannot be read does not.
    check(optional, "starttls", "new", "250 550");
    std::fs::write(dir.join("clients-ca.pem"), "nothing").expect("write");
    gateway.signal(Signal::HUP);
    eventually("the reload is refused", Duration::from_secs(20), || {
        gateway.log().contains("not reloaded").then_some(())
    });
    check(optional, "starttls", "known", "250 250");
    std::fs::copy(dir.join("new.ca.pem"), dir.join("clients-ca.pem")).expect("copy");
    reload(&gateway);
    check(optional, "starttls", "new", "250 250");
    check(optional, "starttls", "known", "250 550");
}

fn reload(gateway: &Gateway) {
    let reloads = || {
        let audit = std::fs::read_to_string(gateway.dir().join("audit.jsonl")).expect("audit trail");
        audit.matches("\"reloaded\"").count()
    };
    let before = reloads();
    gateway.signal(Signal::HUP);
    eventually("the gateway reloads", Duration::from_secs(20), || (reloads() > before).then_some(()));
}

/// Arguments: port, authority, and again. Keeps a session of the first open, and says how the second differs.
const REPLACED: &str = r#"
import smtplib, ssl, sys
def connect(port, ca):
    client = smtplib.SMTP("localhost", int(port), local_hostname="client.example.org", timeout=60)
    client.starttls(context=ssl.create_default_context(cafile=ca))
    return client
old = connect(sys.argv[1], sys.argv[2])
print("connected", flush=True)
sys.stdin.readline()
new = connect(sys.argv[1], sys.argv[3])
print(old.sock.getpeercert()["serialNumber"] != new.sock.getpeercert()["serialNumber"], old.noop()[0], new.noop()[0])
"#;

#[test]
fn a_new_certificate_is_shown_to_new_connections() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::{Command, Stdio};
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let other = Gateway::prepare(&Options { next_hop: sink.port(), ..Options::default() });
    let port = gateway.ports.outbound.to_string();
    let former_ca = gateway.dir().join("tls/former-ca.pem");
    std::fs::copy(gateway.ca(), &former_ca).expect("copy");
    let mut client = Command::new("python3")
        .args(["-c", REPLACED, &port])
        .args([&former_ca, &other.ca()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut said = BufReader::new(client.stdout.take().expect("stdout"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    assert_eq!(line, "connected\n");
    for file in ["tls/cert.pem", "tls/key.pem"] {
        std::fs::copy(other.dir().join(file), gateway.dir().join(file)).expect("copy");
    }
    reload(&gateway);
    client.stdin.take().expect("stdin").write_all(b"\n").expect("go on");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("the rest");
    assert!(client.wait().expect("ended").success());
    assert_eq!(rest, "True 250 250\n");
}
