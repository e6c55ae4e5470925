//! IMAP sessions: whatever a client says, in whatever pieces, gets the same answers within bounds, and imap-codec reads them.

use crate::driver::run;
use crate::view::Archive;
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use sealpost::catalog::Recorded;
use sealpost::imap::{Event, OUTPUT_BYTES_FULL, Refusal, Session, Settings, TlsState};

/// Steps for one input; each command takes at most two.
fn steps_max(input: &[u8]) -> usize {
    64 + 4 * input.len()
}

fn answers(input: &[u8], piece: usize) -> Vec<u8> {
    let archive = Archive::fixture();
    let mut session = Session::new(Settings { hostname: "gw.example.org".to_owned(), tls: TlsState::Active });
    let mut all = Vec::new();
    let mut steps = 0;
    for chunk in input.chunks(piece) {
        let mut rest = chunk;
        loop {
            let mut out = Vec::new();
            let step = session.step(rest, &mut out);
            assert!(step.consumed <= rest.len());
            assert!(out.len() < 2 * OUTPUT_BYTES_FULL, "{} octets at once", out.len());
            rest = &rest[step.consumed..];
            steps += 1;
            assert!(steps < steps_max(input), "a session does not come to rest");
            match step.event {
                Event::Read => {}
                Event::Again => {
                    all.append(&mut out);
                    continue;
                }
                Event::Record(_) => {
                    let before = out.len();
                    session.recorded(Recorded::Durable, &mut out);
                    assert_eq!(out.len(), before, "shown in steps");
                    all.append(&mut out);
                    continue;
                }
                Event::StartTls => panic!("TLS is spoken already"),
                Event::Close => {
                    all.append(&mut out);
                    return all;
                }
                Event::Authenticate(login) if login.user == "alice" => {
                    session.authenticated(archive.session(), &mut out);
                    all.append(&mut out);
                    continue;
                }
                Event::Authenticate(_) => {
                    session.refused(Refusal::Credentials, &mut out);
                    all.append(&mut out);
                    continue;
                }
            }
            all.append(&mut out);
            assert!(rest.is_empty(), "asked for more with {} octets left", rest.len());
            break;
        }
    }
    all
}

/// Tags are the client's; imap-codec knows neither ID nor NAMESPACE.
fn decode_all(mut said: &[u8]) {
    while !said.is_empty() {
        if said.starts_with(b"* ID ") || said.starts_with(b"* NAMESPACE ") {
            let end = said.iter().position(|b| *b == b'\n').expect("a line");
            said = &said[end + 1..];
            continue;
        }
        match ResponseCodec::default().decode(said) {
            Ok((rest, _)) => said = rest,
            Err(e) => panic!("imap-codec cannot read {e:?}: {}", said.escape_ascii()),
        }
    }
}

fn session(input: &[u8]) {
    for prefix in [&b""[..], b"l LOGIN alice x\r\ns SELECT Archive/2026/2026-11\r\n"] {
        let input = [prefix, input].concat();
        let whole = answers(&input, input.len().max(1));
        let piece = 1 + input.len() % 7;
        let pieces = answers(&input, piece);
        assert_eq!(whole.escape_ascii().to_string(), pieces.escape_ascii().to_string(), "in pieces of {piece}");
        decode_all(&whole);
    }
}

#[test]
fn imap_sessions() {
    let seeds: &[&[u8]] = &[
        b"a LOGIN {5+}\r\nalice \"x\"\r\nb AUTHENTICATE PLAIN\r\nAGFsaWNlAHg=\r\nc LOGOUT\r\n",
        b"a FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[2.HEADER.FIELDS (SUBJECT \"x y\")]<0.10>)\r\nb NOOP\r\n",
        b"a UID FETCH 5,8:* (BODY[1.MIME] BODY[2.1.TEXT] RFC822)\r\n",
        b"a SEARCH OR (FROM ada NOT 2:*) HEADER X-Odd \"\" SINCE 1-Nov-2026\r\nb UID SEARCH CHARSET UTF-8 TEXT {5}\r\nwords\r\n",
        b"a LIST \"\" \"*%\"\r\nb LSUB Archive/ %\r\nc STATUS Archive/2026/2026-11 (MESSAGES UIDNEXT)\r\nd NAMESPACE\r\n",
        b"a APPEND x (\\Seen) {3+}\r\nabc\r\nb STORE 1 +FLAGS.SILENT (x)\r\nc COPY 1 x\r\nd IDLE\r\nDONE\r\n",
        b"a SELECT {7}\r\nHolds/x\r\nb EXAMINE \"Holds/R&-D\"\r\nc ID (\"name\" NIL)\r\n",
    ];
    let tokens: &[&[u8]] = &[
        b"\r\n",
        b"{3+}\r\n",
        b"{2}\r\n",
        b"(",
        b")",
        b"\"",
        b"\\",
        b"*",
        b":",
        b",",
        b"1",
        b"BODY[",
        b"]<1.2>",
        b" ",
        b"NIL",
        b"\0",
    ];
    run("imap session", seeds, tokens, session);
}
