//! IMAP conversations: each file in `tests/imap` says why in its first line, then what client and server say. Every
//! conversation is held twice, with whole lines and octet by octet; every answer is read by imap-codec too.
//!
//! `C: ` a line of the client, `S: ` a line of the server, `#` a comment. `!tls` shakes hands, `!add UID` and `!remove UID`
//! change the archive, `!lock` locks it, `!tick` looks for news in IDLE, `!close` is the end of the connection.
//! `\n \0 \xNN` stand for octets; a line that ends in `\` has no line break.

mod script;
mod view;

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use script::{Conversation, Wire};
use sealpost::imap::{Event, Refusal, Session, Settings, TlsState};
use view::{Archive, NOVEMBER, PLAIN};

struct Imap {
    session: Session,
    archive: Archive,
}

impl Wire for Imap {
    fn start(out: &mut Vec<u8>) -> Imap {
        let session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Offered });
        session.greeting(out);
        Imap { session, archive: Archive::fixture() }
    }

    fn say(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> script::State {
        loop {
            let step = self.session.step(input, out);
            input = &input[step.consumed..];
            match step.event {
                Event::Read => return script::State::Open,
                Event::Again => {}
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
