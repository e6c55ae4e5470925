//! POP3 sessions: whatever a client says, in whatever pieces, gets the same answers within bounds.

use crate::driver::run;
use crate::view::Archive;
use sealpost::catalog::Recorded;
use sealpost::pop3::{Event, OUTPUT_BYTES_FULL, Refusal, Session, Settings, TlsState};

fn answers(input: &[u8], piece: usize) -> Vec<u8> {
    let archive = Archive::fixture();
    let mut session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Active });
    let mut all = Vec::new();
    let mut steps = 0;
    for chunk in input.chunks(piece) {
        let mut rest = chunk;
        loop {
            let before = all.len();
            let step = session.step(rest, &mut all);
            assert!(all.len() - before < 2 * OUTPUT_BYTES_FULL);
            rest = &rest[step.consumed..];
            steps += 1;
            assert!(steps < 64 + 4 * input.len(), "a session does not come to rest");
            match step.event {
                Event::Read => break,
                Event::Again => {}
                Event::Record(_) => session.recorded(Recorded::Durable, &mut all),
                Event::StartTls => panic!("TLS is spoken already"),
                Event::Close => return all,
                Event::Authenticate(login) if login.user == "alice" => {
                    session.authenticated(archive.session(), &mut all)
                }
                Event::Authenticate(_) => session.refused(Refusal::Credentials, &mut all),
            }
        }
        assert!(rest.is_empty(), "asked for more with {} octets left", rest.len());
    }
    all
}

fn session(input: &[u8]) {
    for prefix in [&b""[..], b"USER alice\r\nPASS x\r\n"] {
        let input = [prefix, input].concat();
        let whole = answers(&input, input.len().max(1));
        let piece = 1 + input.len() % 7;
        let pieces = answers(&input, piece);
        assert_eq!(whole.escape_ascii().to_string(), pieces.escape_ascii().to_string(), "in pieces of {piece}");
        assert!(whole.is_empty() || whole.ends_with(b"\r\n"));
    }
}

#[test]
fn pop3_sessions() {
    let seeds: &[&[u8]] = &[
        b"CAPA\r\nUSER alice\r\nPASS x y\r\nSTAT\r\nLIST\r\nUIDL 1\r\nQUIT\r\n",
        b"RETR 4\r\nTOP 2 3\r\nDELE 1\r\nSTAT\r\nRSET\r\nNOOP\r\nUIDL\r\n",
    ];
    run("pop3 session", seeds, &[b"\r\n", b" ", b"0", b"1", b"4294967296", b"\0", b"TOP ", b"RETR "], session);
}
