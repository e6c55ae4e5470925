//! What a sender, a partner or a full disk could try against the promises, and what comes of it.

use crate::support::{Client, Gateway, Options, Sink, eventually};
use std::time::Duration;

const SECURE: &str = "[[rule]]\nname = \"s\"\nwhen = { subject = \"*[secure]*\" }\nthen = { encrypt = \"required\" }\n";

fn hello(port: u16) -> Client {
    let mut client = Client::connect(port);
    client.command("EHLO client.example.org");
    client
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
