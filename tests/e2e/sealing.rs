//! Sealing that fails: it is shown and told, mail goes on, and what waited is sealed when it works again.

use crate::support::{Client, Gateway, Options, Sink, eventually};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn sealing_that_fails_is_shown_and_holds_up_no_mail() {
    let sink = Sink::start();
    let gateway = Gateway::start(&Options { next_hop: sink.port(), ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    let mut send = || {
        let message = b"From: alice@example.org\r\nSubject: x\r\n\r\nx\r\n";
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], message);
        assert!(reply.starts_with("250 "), "{reply}");
    };
    let sealing = || gateway.json(&["archive", "status"]).remove(0)["sealing"].take();
    assert_eq!(sealing(), serde_json::json!({"state": "working"}));
    // The archive's volume has gone.
    let (segments, aside) = (gateway.dir().join("archive/segments"), gateway.dir().join("archive/aside"));
    std::fs::rename(&segments, &aside).expect("taken away");
    send();
    let failing = eventually("it is shown", SOON, || Some(sealing()).filter(|shown| shown["state"] == "failing"));
    assert!(failing["since"].is_string(), "{failing}");
    assert!(failing["reason"].as_str().is_some_and(|reason| reason.contains("segments/")), "{failing}");
    assert_eq!(gateway.cli(&["archive", "seal"]).status.code(), Some(75), "a request fails, and is not put off");
    send();
    sink.wait_for(2, SOON);
    assert_eq!(gateway.log().matches("sealing: ").count(), 1, "told once: {}", gateway.log());
    std::fs::rename(&aside, &segments).expect("given back");
    eventually("both are sealed", SOON, || (gateway.json(&["archive", "status"])[0]["messages"] == 2).then_some(()));
    assert_eq!(sealing()["state"], "working");
    assert!(gateway.must(&["archive", "status"]).contains("sealing: state=working"));
    assert!(gateway.log().contains("sealing: works again"), "{}", gateway.log());
    assert_eq!(gateway.verified("2")["ok"], true);
}
