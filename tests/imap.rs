//! IMAP conversations: each file in `tests/imap` says why in its first line, then what client and server say. Every
//! conversation is held twice, with whole lines and octet by octet; every answer is read by imap-codec too.
//!
//! `C: ` a line of the client, `S: ` a line of the server, `#` a comment. `!tls` shakes hands, `!add UID` and `!remove UID`
//! change the archive, `!lock` locks it, `!full` and `!freed` say whether reads can be recorded, `!tick` looks for news in IDLE,
//! `!close` is the end of the connection.
//! `\n \0 \xNN` stand for octets; a line that ends in `\` has no line break.

mod script;
mod view;

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use script::{Conversation, Wire};
use sealpost::catalog::{Aim, Reading, Recorded};
use sealpost::imap::{Event, OUTPUT_BYTES_FULL, Refusal, Session, Settings, TlsState};
use view::{Archive, NOVEMBER, PLAIN};

struct Imap {
    session: Session,
    archive: Archive,
    recorded: Recorded,
}

impl Wire for Imap {
    fn start(out: &mut Vec<u8>) -> Imap {
        let session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Offered });
        session.greeting(out);
        Imap { session, archive: Archive::fixture(), recorded: Recorded::Durable }
    }

    fn say(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> script::State {
        loop {
            let step = self.session.step(input, out);
            input = &input[step.consumed..];
            match step.event {
                Event::Read => return script::State::Open,
                Event::Again => {}
                Event::Record(_) => self.session.recorded(self.recorded, out),
                Event::StartTls => {
                    assert!(input.is_empty(), "octets before the handshake are thrown away");
                    self.session.tls_started();
                    return script::State::Open;
                }
                Event::Close => return script::State::Closed,
                Event::Authenticate(login) => match (login.user.as_str(), login.password.as_slice()) {
                    ("alice", b"secret") => self.session.authenticated(self.archive.session(), out),
                    ("alice", b"locked") => self.session.refused(Refusal::Unavailable, out),
                    _ => self.session.refused(Refusal::Credentials, out),
                },
            }
        }
    }

    fn act(&mut self, action: &str, out: &mut Vec<u8>) -> script::State {
        let words: Vec<_> = action.split(' ').collect();
        match words.as_slice() {
            ["add", uid] => self.archive.add(NOVEMBER, uid.parse().expect("a UID"), PLAIN),
            ["remove", uid] => self.archive.remove(uid.parse().expect("a UID")),
            ["lock"] => self.archive.lock(),
            ["full"] => self.recorded = Recorded::Failed,
            ["freed"] => self.recorded = Recorded::Durable,
            ["tick"] => {
                if self.session.tick(out) == Event::Close {
                    return script::State::Closed;
                }
            }
            other => panic!("unknown action {other:?}"),
        }
        script::State::Open
    }
}

/// Reads everything we said with imap-codec. It knows neither ID nor NAMESPACE.
fn decode_all(name: &str, mut said: &[u8]) {
    while !said.is_empty() {
        if said.starts_with(b"* ID ") || said.starts_with(b"* NAMESPACE ") {
            let end = said.iter().position(|b| *b == b'\n').expect("a line");
            said = &said[end + 1..];
            continue;
        }
        match ResponseCodec::default().decode(said) {
            Ok((rest, _)) => said = rest,
            Err(e) => panic!("{name}: imap-codec cannot read {:?}: {}", e, said.escape_ascii()),
        }
    }
}

#[test]
fn conversations() {
    for conversation in Conversation::all("imap") {
        let said = conversation.hold::<Imap>();
        decode_all(&conversation.name, &said);
    }
}

/// A session over `archive`, logged in, its mailbox selected.
fn opened(archive: &Archive) -> Session {
    let mut session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Active });
    let mut out = Vec::new();
    let step = session.step(b"a LOGIN alice secret\r\n", &mut out);
    assert!(matches!(step.event, Event::Authenticate(_)));
    session.authenticated(archive.session(), &mut out);
    let select = format!("b SELECT {NOVEMBER}\r\n");
    assert_eq!(session.step(select.as_bytes(), &mut out).event, Event::Read);
    assert!(out.ends_with(b"b OK [READ-ONLY] SELECT completed\r\n"), "{}", out.escape_ascii());
    session
}

/// Everything a command gets, and the most that waited to be written at once.
fn asked(session: &mut Session, command: &str) -> (Vec<u8>, usize) {
    let (mut all, mut most) = (Vec::new(), 0);
    let mut input = command.as_bytes();
    loop {
        let mut out = Vec::new();
        let step = session.step(input, &mut out);
        input = &input[step.consumed..];
        most = most.max(out.len());
        all.extend(out);
        match step.event {
            Event::Read => return (all, most),
            Event::Record(_) => session.recorded(Recorded::Durable, &mut all),
            other => assert_eq!(other, Event::Again),
        }
    }
}

#[test]
fn large_answers_never_wait_in_memory() {
    let large = [&b"Subject: large\r\n\r\n"[..], &b"0123456789abcdef\r\n".repeat(200_000)].concat();
    let archive = Archive::of([large.clone(), b"Subject: small\r\n\r\n".to_vec()]);
    let mut session = opened(&archive);
    let (said, most) = asked(&mut session, "c FETCH 1:2 (BODY.PEEK[] BODY.PEEK[TEXT])\r\n");
    assert!(most <= OUTPUT_BYTES_FULL + 64 * 1024, "{most} octets waited");
    let literal = format!("* 1 FETCH (BODY[] {{{}}}\r\n", large.len());
    assert!(said.starts_with(literal.as_bytes()));
    assert_eq!(said[literal.len()..][..large.len()], large);
    assert!(
        said.ends_with(
            b"* 2 FETCH (BODY[] {18}\r\nSubject: small\r\n\r\n BODY[TEXT] \"\")\r\nc OK FETCH completed\r\n"
        )
    );
}

#[test]
fn a_hundred_thousand_messages_are_answered_in_steps() {
    const COUNT: u32 = 100_000;
    let archive = Archive { mailboxes: vec![NOVEMBER], ..Archive::default() };
    for uid in 1..=COUNT {
        archive.add(NOVEMBER, uid * 2, b"");
    }
    let mut session = opened(&archive);
    let (said, most) = asked(&mut session, "c UID FETCH 1:* FLAGS\r\n");
    assert!(most <= OUTPUT_BYTES_FULL + 1024, "{most} octets waited");
    assert_eq!(said.split(|b| *b == b'\n').count(), 100_002);
    assert!(said.ends_with(b"* 100000 FETCH (UID 200000 FLAGS (\\Seen))\r\nc OK FETCH completed\r\n"));
    let (said, _) = asked(&mut session, "d UID SEARCH NOT 2:*\r\n");
    assert_eq!(said, b"* SEARCH 2\r\nd OK SEARCH completed\r\n");
    let (said, _) = asked(&mut session, "e UID SEARCH 100000:* 1:99999 UNSEEN\r\n");
    assert_eq!(said, b"* SEARCH\r\ne OK SEARCH completed\r\n");
}

#[test]
fn what_was_said_before_the_handshake_is_lost() {
    let mut session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Offered });
    let mut out = Vec::new();
    let input = b"a STARTTLS\r\nb NOOP\r\nc LOGIN mallory x\r\nd NO";
    let step = session.step(input, &mut out);
    assert_eq!((step.consumed, step.event), (input.len(), Event::StartTls));
    session.tls_started();
    assert_eq!(session.step(b"OP\r\n", &mut out).event, Event::Read);
    assert_eq!(out.escape_ascii().to_string(), "a OK Begin TLS now\\r\\nOP BAD Syntax: a space is missing\\r\\n");
}

#[test]
fn too_many_bad_commands_end_the_session() {
    let mut session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Active });
    let mut out = Vec::new();
    assert_eq!(session.step(&b"a X\r\n".repeat(19), &mut out).event, Event::Read);
    assert_eq!(session.step(b"a NOOP\r\n", &mut out).event, Event::Read);
    assert_eq!(session.step(&b"a X\r\n".repeat(30), &mut out).event, Event::Close);
    assert!(out.ends_with(b"* BYE Too many invalid commands\r\n"));
    let rest = session.step(b"a NOOP\r\n", &mut out);
    assert_eq!(rest.event, Event::Close);
}

#[test]
fn a_login_that_comes_too_late_opens_nothing() {
    let mut session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Active });
    let mut out = Vec::new();
    assert!(matches!(session.step(b"a LOGIN alice secret\r\n", &mut out).event, Event::Authenticate(_)));
    assert_eq!(session.bye("Shutting down", &mut out), Event::Close);
    session.authenticated(Archive::fixture().session(), &mut out);
    session.refused(Refusal::Credentials, &mut out);
    assert_eq!(session.step(b"b NOOP\r\n", &mut out).event, Event::Close);
    assert_eq!(out.escape_ascii().to_string(), "* BYE Shutting down\\r\\n");
}

#[test]
fn sessions_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Session>();
    is_send::<sealpost::pop3::Session>();
}

/// What each command is recorded as; it must not be answered before.
fn recorded(session: &mut Session, command: &str) -> Vec<Reading> {
    let (mut readings, mut input, mut said) = (Vec::new(), command.as_bytes(), Vec::new());
    loop {
        let mut out = Vec::new();
        let step = session.step(input, &mut out);
        input = &input[step.consumed..];
        match step.event {
            Event::Read => return readings,
            Event::Record(reading) => {
                let shown = |said: &[u8]| said.windows(7).filter(|w| *w == b"FETCH (").count();
                said.extend_from_slice(&out);
                assert_eq!(shown(&said), readings.len(), "{command}: nothing is shown before it is recorded");
                let waiting = session.step(b"n NOOP\r\n", &mut said);
                assert_eq!((waiting.event, waiting.consumed), (Event::Read, 0));
                assert_eq!(shown(&said), readings.len(), "{command}: steps do nothing before");
                out.clear();
                readings.push(reading);
                session.recorded(Recorded::Durable, &mut out);
            }
            other => assert_eq!(other, Event::Again),
        }
        said.extend(out);
    }
}

#[test]
fn what_shows_mail_is_recorded_first() {
    let archive = Archive { mailboxes: vec![NOVEMBER], ..Archive::default() };
    (1..=9).for_each(|n| archive.add(NOVEMBER, 10 * n, PLAIN));
    let mut session = opened(&archive);
    let messages = |uids: &[(u32, u32)], count: u64, items: &str| {
        let aim = Aim::Messages { uids: uids.to_vec(), count, items: items.to_owned() };
        Some(Reading { command: "FETCH", mailbox: NOVEMBER.to_owned(), aim })
    };
    let terms = |terms: &str| {
        let aim = Aim::Terms(terms.as_bytes().to_vec());
        Some(Reading { command: "SEARCH", mailbox: NOVEMBER.to_owned(), aim })
    };
    for (command, expected) in [
        ("FETCH 2 BODY[]", messages(&[(20, 20)], 1, "BODY[]")),
        ("FETCH 1:3,5,* (FLAGS RFC822.SIZE)", messages(&[(10, 30), (50, 50), (90, 90)], 5, "FLAGS RFC822.SIZE")),
        ("UID FETCH 15:25,85:* (ENVELOPE)", messages(&[(20, 20), (90, 90)], 2, "UID ENVELOPE")),
        ("UID FETCH 3,2,1:* BODY.PEEK[1.MIME]<2.9>", messages(&[(10, 90)], 9, "UID BODY[1.MIME]<2>")),
        ("FETCH 1 (INTERNALDATE)", messages(&[(10, 10)], 1, "INTERNALDATE")),
        ("FETCH 1 BODYSTRUCTURE", messages(&[(10, 10)], 1, "BODYSTRUCTURE")),
        ("FETCH 1 RFC822.HEADER", messages(&[(10, 10)], 1, "RFC822.HEADER")),
        ("SEARCH TEXT {3+}\r\nx\"y ALL", terms("SEARCH TEXT {3+}\r\nx\"y ALL")),
        ("UID SEARCH ALL", terms("UID SEARCH ALL")),
        ("UID FETCH 1:9 BODY[]", None),
        ("FETCH 1:* (UID FLAGS)", None),
        ("STORE 1 FLAGS (x)", None),
        ("NOOP", None),
    ] {
        let found = recorded(&mut session, &format!("c {command}\r\n"));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{command}");
    }
    let two = "c FETCH 1 BODY[]\r\nd FETCH 2 BODY[]\r\n";
    assert_eq!(recorded(&mut session, two).len(), 2, "one by one, also when sent together");
}
