//! What partners get can be read by the programs they have: `gpg` decrypts and verifies our PGP/MIME, `openssl cms` our S/MIME.

use crate::support::{Client, Delivered, Gateway, Options, Sink, free_port, peers};
use std::path::{Path, PathBuf};
use std::time::Duration;

const POLICY: &str = r#"
[[rule]]
name = "sign and encrypt"
when = { subject = "*[both]*" }
then = { sign = "required", encrypt = "required", format = ["openpgp", "smime"] }
[[rule]]
name = "encrypt"
when = { subject = "*[encrypt]*" }
then = { encrypt = "required", format = ["openpgp", "smime"] }
[[rule]]
name = "sign for pgp"
when = { subject = "*[sign-pgp]*" }
then = { sign = "required", format = ["openpgp"] }
[[rule]]
name = "sign for smime"
when = { subject = "*[sign-smime]*" }
then = { sign = "required", format = ["smime"] }
"#;

const ALICE: &str = "alice@example.org";
const BODY: &str = "Gr\u{fc}\u{df}e \r\nFrom Alice\r\n.\r\nthe end\r\n";

/// Gateway, next hop and keys: Alice's own, Paul's OpenPGP certificate, Simone's (RSA) and Petra's (P-256) certificates.
struct Stage {
    sink: Sink,
    gateway: Gateway,
    dir: tempfile::TempDir,
}

impl Stage {
    fn build() -> Stage {
        Stage::with(Sink::start())
    }
    fn with(sink: Sink) -> Stage {
        let gateway =
            Gateway::start(&Options { next_hop: sink.port(), policy: Some(POLICY.to_owned()), ..Options::default() });
        let stage = Stage { sink, gateway, dir: tempfile::tempdir().expect("a directory") };
        stage.make_pgp("Paul <paul@pgp.example>", "cv25519");
        stage.make_pgp("Rosa <rosa@pgp.example>", "rsa");
        stage.make_pgp("Alice <alice@example.org>", "ed25519");
        stage.export_pgp("paul@pgp.example", "--export", "paul.asc");
        stage.export_pgp("rosa@pgp.example", "--export", "rosa.asc");
        stage.export_pgp(ALICE, "--export-secret-keys", "alice.asc");
        stage.make_smime("simone", "simone@smime.example", &["-newkey", "rsa:2048"]);
        stage.make_smime("petra", "petra@smime.example", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        stage.make_smime("alice", ALICE, &["-newkey", "rsa:2048"]);
        let alice_pem = [stage.read("alice.key"), stage.read("alice.crt")].concat();
        std::fs::write(stage.path("alice.pem"), alice_pem).expect("write");
        let files =
            ["paul.asc", "rosa.asc", "alice.asc", "simone.crt", "petra.crt", "alice.pem"].map(|f| stage.path(f));
        let mut arguments = vec!["key", "import"];
        arguments.extend(files.iter().map(|f| f.to_str().expect("UTF-8")));
        stage.gateway.must(&arguments);
        stage
    }
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect(name)
    }
    /// GnuPG's home; its sockets need a short path, which a temporary directory is.
    fn home(&self) -> PathBuf {
        let home = self.path("gnupg");
        if !home.is_dir() {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new().mode(0o700).create(&home).expect("home");
        }
        home
    }
    fn gpg(&self, arguments: &[&str]) -> std::process::Output {
        peers::gpg(&self.home(), arguments)
    }
    fn make_pgp(&self, user: &str, algorithm: &str) {
        let arguments: &[&str] = match algorithm {
            "rsa" => &["--quick-generate-key", user, "rsa3072", "default", "never"],
            _ => &["--quick-generate-key", user, "future-default", "default", "never"],
        };
        let made = self.gpg(arguments);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        if algorithm == "rsa" {
            // GnuPG makes the encryption subkey of an explicit algorithm only when asked.
            let listed = self.gpg(&["--with-colons", "--list-keys", "rosa@pgp.example"]);
            let text = String::from_utf8_lossy(&listed.stdout).into_owned();
            let fingerprint = text.lines().find_map(|l| l.strip_prefix("fpr:::::::::")).expect("a fingerprint");
            let added = self.gpg(&["--quick-add-key", fingerprint.trim_end_matches(':'), "rsa3072", "encr", "never"]);
            assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
    }
    fn export_pgp(&self, address: &str, what: &str, file: &str) {
        let exported = self.gpg(&["--armor", what, address]);
        assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
        std::fs::write(self.path(file), exported.stdout).expect("write");
    }
    fn make_smime(&self, name: &str, address: &str, key: &[&str]) {
        let (key_file, certificate) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.crt")));
        let san = format!("subjectAltName=email:{address}");
        let usage = if key[1] == "ec" { "keyAgreement" } else { "keyEncipherment" };
        let usage = format!("keyUsage=critical,digitalSignature,{usage}");
        peers::must("openssl", "openssl", |c| {
            c.args(["req", "-x509", "-nodes", "-days", "30", "-subj", &format!("/CN={name}"), "-sha256"])
                .args(key)
                .args(["-addext", &san, "-addext", "extendedKeyUsage=emailProtection", "-addext", &usage])
                .args(["-keyout", key_file.to_str().expect("UTF-8"), "-out", certificate.to_str().expect("UTF-8")])
        });
    }
    /// Sends as Alice; what arrived, one for each transaction.
    fn send(&self, subject: &str, recipients: &[&str], transactions: usize) -> Vec<Delivered> {
        let before = self.sink.count();
        let to = recipients.join(", ");
        let message = format!(
            "From: Alice <{ALICE}>\r\nTo: {to}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX-Kept: as it was\r\n\r\n{BODY}"
        );
        let mut client = Client::connect(self.gateway.ports.outbound);
        client.command("EHLO client.example.org");
        let reply = client.deliver(ALICE, recipients, message.as_bytes());
        assert!(reply.starts_with("250 "), "{subject}: {reply}");
        self.sink.wait_for(before + transactions, Duration::from_secs(30)).split_off(before)
    }
}

/// A Python program that takes a message apart as a mail client would: the named part's octets, exactly, to standard output.
const PART: &str = r#"
import sys
raw = open(sys.argv[1], "rb").read()
head, body = raw.split(b"\r\n\r\n", 1)
import email
boundary = email.message_from_bytes(raw).get_boundary()
assert boundary, "no boundary"
parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
assert parts[-1].startswith(b"--"), "closed"
part = parts[1 + int(sys.argv[2])]
assert part.startswith(b"\r\n")
part = part[2:]
if sys.argv[3] == "body":
    part = part.split(b"\r\n\r\n", 1)[1]
sys.stdout.buffer.write(part)
"#;

fn part(message: &Path, number: usize, what: &str) -> Vec<u8> {
    let number = number.to_string();
    peers::must("python3", "python3", |c| c.args(["-c", PART]).arg(message).args([number.as_str(), what]))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The text inside an entity, decoded by Python.
fn content_of(entity: &[u8], stage: &Stage) -> String {
    std::fs::write(stage.path("entity"), entity).expect("write");
    let script = "import email, sys\nm = email.message_from_binary_file(open(sys.argv[1], 'rb'))\n\
                  sys.stdout.write(m.get_payload(decode=True).decode(m.get_content_charset() or 'ascii'))";
    let path = stage.path("entity");
    peers::python(script, &[text(&path)]).replace("\r\n", "\n")
}

fn expect_content(entity: &[u8], stage: &Stage) {
    assert_eq!(content_of(entity, stage).trim_end(), BODY.replace("\r\n", "\n").trim_end());
}

/// The outer header keeps what is not about content, in order; lines stay short.
fn expect_outside(arrived: &Delivered) {
    let text = arrived.text();
    let head = text.split("\r\n\r\n").next().expect("a header");
    assert!(head.contains("\r\nX-Kept: as it was") && head.contains("From: Alice <alice@example.org>"), "{head}");
    assert_eq!(head.matches("MIME-Version:").count(), 1, "{head}");
    assert!(!head.contains("Content-Transfer-Encoding: 8bit"), "{head}");
    assert!(arrived.octets.split(|&b| b == b'\n').all(|line| line.len() <= 999) && arrived.octets.is_ascii());
}

#[test]
fn gpg_reads_our_pgp_mime() {
    let stage = Stage::build();
    for recipient in ["paul@pgp.example", "rosa@pgp.example"] {
        for (subject, signed) in [("x [both]", true), ("x [encrypt]", false)] {
            let arrived = stage.send(subject, &[recipient], 1).remove(0);
            expect_outside(&arrived);
            assert!(arrived.text().contains("protocol=\"application/pgp-encrypted\""), "{}", arrived.text());
            std::fs::write(stage.path("mail"), &arrived.octets).expect("write");
            assert_eq!(part(&stage.path("mail"), 0, "body"), b"Version: 1\r\n", "{subject}");
            std::fs::write(stage.path("cipher"), part(&stage.path("mail"), 1, "body")).expect("write");
            let opened = stage.gpg(&["--status-fd", "2", "--decrypt", text(&stage.path("cipher"))]);
            let status = String::from_utf8_lossy(&opened.stderr).into_owned();
            assert!(opened.status.success() && status.contains("DECRYPTION_OKAY"), "{recipient} {subject}: {status}");
            assert_eq!(status.contains("GOODSIG"), signed, "{recipient} {subject}: {status}");
            expect_content(&opened.stdout, &stage);
        }
    }
    let arrived = stage.send("x [sign-pgp]", &["bob@partner.example"], 1).remove(0);
    expect_outside(&arrived);
    std::fs::write(stage.path("mail"), &arrived.octets).expect("write");
    std::fs::write(stage.path("signed"), part(&stage.path("mail"), 0, "whole")).expect("write");
    std::fs::write(stage.path("signature"), part(&stage.path("mail"), 1, "body")).expect("write");
    let verified =
        stage.gpg(&["--status-fd", "2", "--verify", text(&stage.path("signature")), text(&stage.path("signed"))]);
    let status = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && status.contains("GOODSIG"), "{status}");
    expect_content(&part(&stage.path("mail"), 0, "whole"), &stage);
}

#[test]
fn openssl_reads_our_smime() {
    let stage = Stage::build();
    let alice = stage.path("alice.crt");
    for name in ["simone", "petra"] {
        let recipient = format!("{name}@smime.example");
        for (subject, signed) in [("x [both]", true), ("x [encrypt]", false)] {
            let arrived = stage.send(subject, &[&recipient], 1).remove(0);
            expect_outside(&arrived);
            assert!(arrived.text().contains("smime-type=enveloped-data"), "{}", arrived.text());
            std::fs::write(stage.path("mail"), &arrived.octets).expect("write");
            let opened = peers::must("openssl", "openssl", |c| {
                c.args(["cms", "-decrypt", "-in", text(&stage.path("mail"))])
                    .args(["-recip", text(&stage.path(&format!("{name}.crt")))])
                    .args(["-inkey", text(&stage.path(&format!("{name}.key")))])
            });
            if !signed {
                expect_content(&opened, &stage);
                continue;
            }
            std::fs::write(stage.path("inner"), &opened).expect("write");
            let content = verify(&stage, &stage.path("inner"), &alice);
            expect_content(&content, &stage);
        }
    }
    let arrived = stage.send("x [sign-smime]", &["bob@partner.example"], 1).remove(0);
    expect_outside(&arrived);
    std::fs::write(stage.path("mail"), &arrived.octets).expect("write");
    expect_content(&verify(&stage, &stage.path("mail"), &alice), &stage);
    let bent = String::from_utf8(arrived.octets).expect("ASCII").replace("the end", "the enD");
    std::fs::write(stage.path("bent"), bent).expect("write");
    let refused = peers::run("openssl", "openssl", |c| {
        c.args(["cms", "-verify", "-in", text(&stage.path("bent")), "-CAfile", text(&alice)])
    });
    assert!(!refused.status.success(), "a changed message does not verify");
}

fn verify(stage: &Stage, message: &Path, trusted: &Path) -> Vec<u8> {
    let signers = stage.path("signers");
    let content = peers::must("openssl", "openssl", |c| {
        c.args(["cms", "-verify", "-in", text(message), "-CAfile", text(trusted), "-signer", text(&signers)])
    });
    let who = peers::must("openssl", "openssl", |c| c.args(["x509", "-noout", "-email", "-in", text(&signers)]));
    assert_eq!(String::from_utf8_lossy(&who).trim(), ALICE);
    content
}

/// A notification goes back over another hop than the one the policy had thought of: it brings what left, not what came.
#[test]
fn what_was_encrypted_comes_back_as_ciphertext() {
    const SECRET: &str = "the secret text";
    let stage = Stage::with(Sink::with_manners(|recipient| match recipient {
        "paul@pgp.example" => "550 5.1.1 no such user".to_owned(),
        "rosa@pgp.example" => "451 4.2.0 not now".to_owned(),
        _ => "250 2.1.5 OK".to_owned(),
    }));
    let mut client = Client::connect(stage.gateway.ports.outbound);
    client.command("EHLO client.example.org");
    for (number, recipient) in ["paul@pgp.example", "rosa@pgp.example"].into_iter().enumerate() {
        assert!(client.command(&format!("MAIL FROM:<{ALICE}> RET=FULL")).starts_with("250"));
        assert!(client.command(&format!("RCPT TO:<{recipient}>")).starts_with("250"));
        assert!(client.command("DATA").starts_with("354"));
        client.send(format!("From: {ALICE}\r\nTo: {recipient}\r\nSubject: [encrypt]\r\n\r\n{SECRET}\r\n").as_bytes());
        assert!(client.command(".").starts_with("250"));
        if recipient.starts_with("rosa") {
            // Given back by hand, when no attempt has the message in its hands.
            crate::support::eventually("it is deferred and can be returned", Duration::from_secs(20), || {
                let output = stage.gateway.cli(&["queue", "drop", "--state", "deferred", "--notify"]);
                let done = String::from_utf8_lossy(&output.stdout).contains("returned");
                (output.status.success() && done).then_some(())
            });
        }
        let told = stage.sink.wait_for(number + 1, Duration::from_secs(30)).remove(number);
        let text = told.text();
        assert!(told.sender.is_empty() && text.contains(recipient) && text.contains("Action: failed"), "{text}");
        assert!(text.contains("-----BEGIN PGP MESSAGE-----") && !text.contains(SECRET), "{text}");
    }
}

#[test]
fn each_treatment_is_a_transaction_of_its_own_and_bcc_stays_hidden() {
    let stage = Stage::build();
    let recipients = ["paul@pgp.example", "simone@smime.example", "rosa@pgp.example"];
    let arrived = stage.send("x [encrypt]", &recipients, 2);
    let mut groups: Vec<Vec<String>> = arrived.iter().map(|one| one.recipients.clone()).collect();
    groups.sort();
    assert_eq!(groups, [vec!["paul@pgp.example", "rosa@pgp.example"], vec!["simone@smime.example"]]);

    let before = stage.sink.count();
    let message = format!("From: {ALICE}\r\nTo: paul@pgp.example\r\nSubject: [encrypt]\r\n\r\nhidden\r\n");
    let mut client = Client::connect(stage.gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let reply = client.deliver(ALICE, &["paul@pgp.example", "rosa@pgp.example"], message.as_bytes());
    assert!(reply.starts_with("250 "), "{reply}");
    let arrived = stage.sink.wait_for(before + 2, Duration::from_secs(30)).split_off(before);
    for one in &arrived {
        assert_eq!(one.recipients.len(), 1, "Bcc has a transaction of its own");
        std::fs::write(stage.path("mail"), &one.octets).expect("write");
        std::fs::write(stage.path("cipher"), part(&stage.path("mail"), 1, "body")).expect("write");
        let listed = stage.gpg(&["--list-packets", text(&stage.path("cipher"))]);
        let packets = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert_eq!(packets.matches(":pubkey enc packet:").count(), 1, "one key id each: {packets}");
    }
}

#[test]
fn the_archive_keeps_what_alice_sent_and_says_why() {
    let stage = Stage::build();
    let arrived = stage.send("x [both]", &["paul@pgp.example"], 1).remove(0);
    stage.gateway.seal();
    let row = stage.gateway.json(&["archive", "list"]).remove(0);
    let id = row["id"].as_str().expect("an id").to_owned();
    assert!(arrived.text().contains(&id));
    let out = stage.path("out");
    stage.gateway.must(&["archive", "export", "--format", "eml", "--output", text(&out)]);
    let kept = std::fs::read(out.join(format!("{id}.eml"))).expect("exported");
    assert!(kept.ends_with(BODY.as_bytes()), "plain as received");
    let why = stage.gateway.json(&["archive", "show", &id, "--why"]);
    let reasons = why[0]["why"].to_string();
    assert!(reasons.contains("sign and encrypt") && reasons.contains("default.toml"), "{reasons}");
}

#[test]
fn a_route_taken_away_is_told_once_for_all_renditions() {
    let mut stage = Stage::build();
    let (open, closed) = (format!("127.0.0.1:{}", stage.sink.port()), format!("127.0.0.1:{}", free_port()));
    stage.gateway.stop();
    stage.gateway.edit_config(|text| text.replace(&open, &closed));
    stage.gateway.serve();
    let recipients = ["paul@pgp.example", "simone@smime.example"];
    let message = format!("From: {ALICE}\r\nSubject: [encrypt]\r\n\r\nx\r\n");
    let mut client = Client::connect(stage.gateway.ports.outbound);
    client.command("EHLO client.example.org");
    assert!(client.deliver(ALICE, &recipients, message.as_bytes()).starts_with("250 "));
    stage.gateway.kill();
    stage
        .gateway
        .edit_config(|text| text.replace(&closed, &open).replace("domains = [\"*\"]", "domains = [\"example.org\"]"));
    stage.gateway.serve();
    stage.sink.wait_for(1, Duration::from_secs(20));
    std::thread::sleep(Duration::from_millis(500));
    let arrived = stage.sink.all();
    assert_eq!(arrived.len(), 1, "one notification");
    let text = arrived[0].text();
    assert!(recipients.iter().all(|r| text.matches(&format!("Final-Recipient: rfc822; {r}")).count() == 1), "{text}");
}

/// A forwarded part that others signed in 8 bit cannot be made 7-bit safe without breaking their signature.
#[test]
fn what_cannot_be_signed_goes_unsigned_only_where_a_signature_is_not_required() {
    let stage = Stage::build();
    let policy =
        format!("{POLICY}[[rule]]\nname = \"welcome\"\nthen = {{ sign = \"if-possible\", format = [\"smime\"] }}\n");
    std::fs::write(stage.gateway.dir().join("policies/default.toml"), policy).expect("write");
    let reloads = || stage.gateway.log().lines().filter(|line| line.ends_with(" reloaded")).count();
    let before = reloads();
    stage.gateway.signal(rustix::process::Signal::HUP);
    crate::support::eventually("the policy is taken", Duration::from_secs(20), || (reloads() > before).then_some(()));
    let message = |subject: &str| {
        format!(
            "From: {ALICE}\r\nTo: bob@partner.example\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/signed; boundary=s; micalg=x;\r\n \
             protocol=\"application/pgp-signature\"\r\n\r\n--s\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n\u{fc}\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n--o--\r\n"
        )
    };
    let mut client = Client::connect(stage.gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let reply = client.deliver(ALICE, &["bob@partner.example"], message("[sign-smime]").as_bytes());
    assert!(reply.starts_with("550 5.7.5"), "{reply}");
    let reply = client.deliver(ALICE, &["bob@partner.example"], message("plain").as_bytes());
    assert!(reply.starts_with("250 "), "{reply}");
    let arrived = stage.sink.wait_for(1, Duration::from_secs(20));
    assert_eq!(arrived[0].below_received(), message("plain").as_bytes());
}
