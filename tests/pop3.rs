//! POP3 conversations: files in `tests/pop3`, as `tests/imap.rs` describes them.

mod script;
mod view;

use script::{Conversation, Wire};
use sealpost::catalog::{Aim, Reading, Recorded};
use sealpost::pop3::{Event, MESSAGES_MAX, OUTPUT_BYTES_FULL, Refusal, Session, Settings, TlsState};
use view::{Archive, NOVEMBER, PLAIN};

struct Pop3 {
    session: Session,
    archive: Archive,
    recorded: Recorded,
}

impl Wire for Pop3 {
    fn start(out: &mut Vec<u8>) -> Pop3 {
        let session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Offered });
        session.greeting(out);
        Pop3 { session, archive: Archive::fixture(), recorded: Recorded::Durable }
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
                    ("alice", b"two words") => self.session.authenticated(self.archive.session(), out),
                    ("alice", b"locked") => self.session.refused(Refusal::Unavailable, out),
                    _ => self.session.refused(Refusal::Credentials, out),
                },
            }
        }
    }

    fn act(&mut self, action: &str, _: &mut Vec<u8>) -> script::State {
        let words: Vec<_> = action.split(' ').collect();
        match words.as_slice() {
            ["add", uid] => self.archive.add(NOVEMBER, uid.parse().expect("a UID"), PLAIN),
            ["remove", uid] => self.archive.remove(uid.parse().expect("a UID")),
            ["lock"] => self.archive.lock(),
            ["full"] => self.recorded = Recorded::Failed,
            ["freed"] => self.recorded = Recorded::Durable,
            other => panic!("unknown action {other:?}"),
        }
        script::State::Open
    }
}

#[test]
fn conversations() {
    for conversation in Conversation::all("pop3") {
        conversation.hold::<Pop3>();
    }
}

#[test]
fn the_maildrop_is_bounded_and_read_in_steps() {
    let archive = Archive { mailboxes: vec!["Archive/2026/2026-10", NOVEMBER, "Holds/x"], ..Archive::default() };
    let count = u32::try_from(MESSAGES_MAX).expect("few");
    for uid in 1..=count + 10 {
        archive.add(if uid <= 20 { "Archive/2026/2026-10" } else { NOVEMBER }, uid, b"");
    }
    archive.add("Holds/x", 1, b"shown twice");
    let mut session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Active });
    let mut all = Vec::new();
    let mut input = &b"USER alice\r\nPASS x\r\nLIST\r\nUIDL 1\r\n"[..];
    let mut most = 0;
    loop {
        let mut out = Vec::new();
        let step = session.step(input, &mut out);
        input = &input[step.consumed..];
        match step.event {
            Event::Authenticate(_) => session.authenticated(archive.session(), &mut out),
            Event::Again => {}
            other => {
                assert_eq!(other, Event::Read);
                all.extend(out);
                break;
            }
        }
        most = most.max(out.len());
        all.extend(out);
    }
    assert!(most <= OUTPUT_BYTES_FULL + 64, "{most} octets waited");
    let text = String::from_utf8(all).expect("ASCII");
    assert!(text.contains("+OK 50000 messages (0 octets)\r\n"), "{}", &text[..200]);
    assert!(text.contains("\r\n50000 0\r\n.\r\n+OK 1 0b0b0b0b"), "the oldest ten are left out");
}

/// What each command is recorded as; it must not be answered before.
#[test]
fn what_shows_mail_is_recorded_first() {
    let archive = Archive { mailboxes: vec![NOVEMBER], ..Archive::default() };
    (1..=3).for_each(|n| archive.add(NOVEMBER, 10 * n, PLAIN));
    let mut session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Active });
    let (mut readings, mut said) = (Vec::new(), Vec::new());
    let mut input =
        &b"USER alice\r\nPASS x\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 2\r\nTOP 3 0\r\nRETR 4\r\nDELE 1\r\nTOP 1 0\r\n"[..];
    loop {
        let mut out = Vec::new();
        let step = session.step(input, &mut out);
        input = &input[step.consumed..];
        match step.event {
            Event::Authenticate(_) => session.authenticated(archive.session(), &mut out),
            Event::Again => {}
            Event::Record(reading) => {
                let shown = |said: &[u8]| said.windows(9).filter(|window| *window == b"\nSubject:").count();
                said.append(&mut out);
                assert_eq!(shown(&said), readings.len(), "nothing is shown before it is recorded");
                let before = said.len();
                let waiting = session.step(b"NOOP\r\n", &mut said);
                assert_eq!(
                    (waiting.event, waiting.consumed, said.len()),
                    (Event::Read, 0, before),
                    "steps do nothing before"
                );
                readings.push(reading);
                session.recorded(Recorded::Durable, &mut out);
            }
            other => {
                assert_eq!(other, Event::Read);
                break;
            }
        }
        said.append(&mut out);
    }
    let reading = |command: &'static str, uid| {
        let aim = Aim::Messages { uids: vec![(uid, uid)], count: 1, items: command.to_owned() };
        Reading { command, mailbox: NOVEMBER.to_owned(), aim }
    };
    assert_eq!(readings, [reading("RETR", 20), reading("TOP", 30)]);
}
