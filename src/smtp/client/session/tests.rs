//! What depends on how octets arrive, and what conversation files cannot show.

use super::super::outcome::Origin;
use super::super::stuffing::Unsendable;
use super::*;
use crate::mail::{Address, BodyType, Recipient};

fn envelope(recipients: usize) -> Envelope {
    let recipient = |n| Recipient::new(Address::parse(&format!("r{n}@d.example")).expect("an address"));
    Envelope {
        sender: None,
        recipients: (0..recipients).map(recipient).collect(),
        body: BodyType::SevenBit,
        ret: None,
        envid: None,
        smtputf8: false,
        require_tls: None,
    }
}

/// A client whose next hop offers `extensions`.
fn ready(extensions: &str) -> Client {
    let (mut client, mut out) = (Client::new("gw.example", Dialect::Smtp), Vec::new());
    assert!(client.receive(b"220 x\r\n", &mut out).is_none());
    let event = client.receive(format!("250-x\r\n250 {extensions}\r\n").as_bytes(), &mut out);
    assert!(matches!(event, Some(Event::Ready)));
    client
}

/// A client that has been asked for the content of a message to one recipient.
fn at_content(out: &mut Vec<u8>) -> Client {
    let mut client = ready("PIPELINING");
    assert!(client.deliver(envelope(1), Survey::of(b"x\r\n"), out).is_none());
    let event = client.receive(b"250 m\r\n250 r\r\n354 d\r\n", out);
    assert!(matches!(event, Some(Event::Content)));
    out.clear();
    client
}

fn verdicts(event: Option<Event>) -> (Vec<Verdict>, Next) {
    match event {
        Some(Event::Done(report)) => (report.outcomes.iter().map(|o| o.verdict).collect(), report.next),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_injected_in_front_of_tls_is_noticed() {
    let (mut client, mut out) = (ready("STARTTLS"), Vec::new());
    assert!(client.offers_tls());
    client.start_tls(&mut out);
    let event = client.receive(b"220 go\r\n250-evil\r\n250 PIPELINING\r\n", &mut out);
    assert!(matches!(event, Some(Event::Broken(Failure::Misbehaved(_)))), "{event:?}");
    assert_eq!(out, b"STARTTLS\r\n", "nothing more is said");
}

#[test]
fn surplus_octets_are_nobodys_answer() {
    let mut out = Vec::new();
    let mut client = ready("PIPELINING");
    client.deliver(envelope(1), Survey::of(b"x\r\n"), &mut out);
    let event = client.receive(b"250 m\r\n250 r\r\n354 d\r\n250 queued\r\n", &mut out);
    assert_eq!(verdicts(event), (vec![Verdict::Deferred], Next::Close));

    let mut client = at_content(&mut out);
    assert!(client.content(b"x\r\n", &mut out).is_none() && client.end_content(&mut out).is_none());
    let event = client.receive(b"250 queued\r\n250 again\r\n", &mut out);
    assert_eq!(verdicts(event), (vec![Verdict::Delivered], Next::Close), "the first was due");

    let mut client = ready("PIPELINING");
    assert!(client.receive(b"25", &mut out).is_none());
    out.clear();
    let event = client.deliver(envelope(1), Survey::of(b"x\r\n"), &mut out);
    assert_eq!((verdicts(event), out.is_empty()), ((vec![Verdict::Deferred], Next::Close), true));
}

#[test]
fn a_reply_before_the_end_of_data_is_no_acceptance() {
    for (reply, verdict) in [
        (&b"250 queued\r\n"[..], Verdict::Deferred),
        (b"354 more\r\n", Verdict::Deferred),
        (b"421 4.3.2 down\r\n", Verdict::Deferred),
        (b"452 4.3.1 disk\r\n", Verdict::Deferred),
        (b"552 5.3.4 size\r\n", Verdict::Failed),
    ] {
        let mut out = Vec::new();
        let mut client = at_content(&mut out);
        assert!(client.content(b"x", &mut out).is_none());
        assert_eq!(verdicts(client.receive(reply, &mut out)), (vec![verdict], Next::Close));
        out.clear();
        assert!(client.content(b"\r\n", &mut out).is_none() && client.end_content(&mut out).is_none());
        assert!(out.is_empty(), "no final dot follows");
    }
}

#[test]
fn content_that_is_not_what_was_surveyed_is_not_finished() {
    let mut out = Vec::new();
    let mut client = at_content(&mut out);
    assert!(client.content(b"x\r\n", &mut out).is_none());
    assert_eq!(verdicts(client.content(b"\n.\r\n", &mut out)), (vec![Verdict::Failed], Next::Close));
    assert_eq!(out, b"x\r\n");
    let mut client = at_content(&mut out);
    assert!(client.content(b"x\r", &mut out).is_none());
    assert_eq!(verdicts(client.end_content(&mut out)), (vec![Verdict::Failed], Next::Close));
    assert_eq!(out, b"x", "a CR is held until its LF");
    assert_eq!(Survey::of(b"x\r").line_ends, Err(Unsendable::BareCr));
}

#[test]
fn commands_ahead_are_bounded() {
    let (mut client, mut out) = (ready("PIPELINING"), Vec::new());
    let count = |out: &[u8]| out.split_inclusive(|&o| o == b'\n').count();
    client.deliver(envelope(200), Survey::of(b"x\r\n"), &mut out);
    assert_eq!(count(&out), limits::COMMANDS_AHEAD_MAX);
    out.clear();
    assert!(client.receive(&b"250 ok\r\n".repeat(10), &mut out).is_none());
    assert_eq!(count(&out), 10);
    let event = client.receive(&b"250 ok\r\n".repeat(191), &mut out);
    assert!(event.is_none() && out.ends_with(b"DATA\r\n"));
    assert_eq!(client.stage(), Stage::DataStart);
}

#[test]
fn mail_refused_stops_what_was_not_sent() {
    let (mut client, mut out) = (ready("PIPELINING"), Vec::new());
    client.deliver(envelope(200), Survey::of(b"x\r\n"), &mut out);
    out.clear();
    assert!(client.receive(b"550 5.7.1 no\r\n", &mut out).is_none());
    let event = client.receive(&b"503 no\r\n".repeat(limits::COMMANDS_AHEAD_MAX - 1), &mut out);
    assert_eq!(verdicts(event), (vec![Verdict::Failed; 200], Next::Reuse));
    assert!(out.is_empty(), "neither RCPT nor DATA follows");
}

#[test]
fn each_wait_has_its_stage() {
    let mut out = Vec::new();
    let mut client = Client::new("gw.example", Dialect::Smtp);
    assert_eq!(client.stage(), Stage::Initial);
    client = ready("SIZE");
    assert_eq!(client.stage(), Stage::Idle);
    client.deliver(envelope(1), Survey::of(b"x\r\n"), &mut out);
    for (reply, stage) in
        [(&b"250 m\r\n"[..], Stage::Rcpt), (b"250 r\r\n", Stage::DataStart), (b"354 d\r\n", Stage::DataBlock)]
    {
        client.receive(reply, &mut out);
        assert_eq!(client.stage(), stage);
    }
    client.end_content(&mut out);
    assert_eq!((client.stage(), client.stage().patience()), (Stage::DataDone, limits::DATA_DONE));
    client.receive(b"250 ok\r\n", &mut out);
    client.quit(&mut out);
    assert_eq!(client.stage(), Stage::Quit);
    assert!(matches!(client.lose("closed"), Event::Closed));
}

#[test]
fn a_failure_of_the_session_only_defers() {
    let mut out = Vec::new();
    let mut client = Client::new("gw.example", Dialect::Smtp);
    let Some(Event::Broken(failure)) = client.receive(b"554 5.7.1 blocked\r\n", &mut out) else { panic!("broken") };
    let outcome = failure.outcome();
    assert_eq!((outcome.verdict, outcome.origin), (Verdict::Deferred, Origin::NextHop));
    assert_eq!(outcome.text, "554 5.7.1 blocked");
    let event = client.deliver(envelope(2), Survey::of(b""), &mut out);
    assert_eq!(verdicts(event), (vec![Verdict::Deferred; 2], Next::Close));
    assert!(out.is_empty());
}
