//! Python's imaplib and poplib read the fixture from the session cores over a socket. TLS is the gateway's part and tested there.

mod view;

use sealpost::catalog::Recorded;
use sealpost::{imap, pop3};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use view::Archive;

const IMAPLIB: &str = r#"
import imaplib, sys
m = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]
def no(answer):
    assert answer[0] == "NO" and b"NOPERM" in answer[1][0], answer
try:
    m.login("alice", "wrong")
    raise SystemExit("a wrong password was taken")
except imaplib.IMAP4.error as e:
    assert "AUTHENTICATIONFAILED" in str(e), e
assert "AUTH=PLAIN" in m.capabilities, m.capabilities
m.authenticate("PLAIN", lambda _: b"\0alice\0secret")
assert len(ok(m.list())) == 6
assert len(ok(m.lsub())) == 6
assert ok(m.status("Archive/2026/2026-11", "(MESSAGES UIDNEXT)")) == [b'"Archive/2026/2026-11" (MESSAGES 3 UIDNEXT 10)']
assert ok(m.select("Archive/2026/2026-11", readonly=True)) == [b"3"]
assert m.response("UIDVALIDITY")[1] == [b"77"]
assert ok(m.uid("SEARCH", "CHARSET", "UTF-8", "TEXT", '"inside"')) == [b"8"]
m.literal = "Grüße".encode()
assert ok(m.search("UTF-8", "SUBJECT")) == [b"1"]
whole = ok(m.uid("FETCH", "8", "(RFC822.SIZE BODY.PEEK[])"))[0]
assert whole[0].endswith(b"{%d}" % len(whole[1])) and b"RFC822.SIZE %d " % len(whole[1]) in whole[0], whole[0]
header, text = (ok(m.fetch("2", "(BODY[%s])" % s))[0][1] for s in ("HEADER", "TEXT"))
assert header + text == whole[1]
assert ok(m.fetch("2", "(BODY[2.1])"))[0][1] == b"plain words"
assert ok(m.store("1:3", "+FLAGS", r"(\Deleted)"))[0] == b"1 (FLAGS (\\Seen))"
ok(m.expunge()), ok(m.noop()), ok(m.check())
no(m.copy("1", "INBOX")), no(m.create("x")), no(m.delete("x")), no(m.rename("x", "y"))
no(m.append("INBOX", None, None, whole[1]))
ok(m.subscribe("x")), ok(m.namespace()), ok(m.close())
assert m.logout()[0] == "BYE"
"#;

const POPLIB: &str = r#"
import poplib, sys
p = poplib.POP3("127.0.0.1", int(sys.argv[1]))
assert "USER" in p.capa() and p.capa()["EXPIRE"] == ["NEVER"]
p.user("alice")
try:
    p.pass_("wrong")
    raise SystemExit("a wrong password was taken")
except poplib.error_proto as e:
    assert b"[AUTH]" in e.args[0], e
p.user("alice")
p.pass_("secret")
assert p.stat() == (4, 953)
sizes = [int(line.split()[1]) for line in p.list()[1]]
assert sum(sizes) == 953
assert len(set(line.split()[1] for line in p.uidl()[1])) == 4
for number in (1, 2, 3):
    lines = p.retr(number)[1]
    assert sum(len(line) + 2 for line in lines) == sizes[number - 1], number
assert p.retr(2)[1][8] == b".Hello"
assert p.top(2, 0)[1] == p.retr(2)[1][:8]
assert p.retr(4)[1][3:5] == [b".dot", b"."], p.retr(4)
p.dele(1)
assert p.stat()[0] == 3
p.rset()
assert p.stat()[0] == 4
p.quit()
"#;

/// Reads, steps, writes: what a driver does, blocking.
fn drive(mut stream: TcpStream, mut step: impl FnMut(&[u8], &mut Vec<u8>) -> (usize, Next)) {
    let (mut input, mut out) = (Vec::new(), Vec::new());
    loop {
        let (consumed, next) = step(&input, &mut out);
        input.drain(..consumed);
        stream.write_all(&out).expect("the client reads");
        out.clear();
        match next {
            Next::Step => {}
            Next::Close => return,
            Next::Read => {
                let mut chunk = [0; 4096];
                let count = stream.read(&mut chunk).expect("the client writes");
                if count == 0 {
                    return;
                }
                input.extend_from_slice(&chunk[..count]);
            }
        }
    }
}

enum Next {
    Read,
    Step,
    Close,
}

fn python(script: &str, serve: impl FnOnce(TcpStream) + Send + 'static) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = std::thread::spawn(move || serve(listener.accept().expect("a client").0));
    let run = Command::new("python3").args(["-W", "ignore", "-c", script, &port.to_string()]).output();
    let output = run.expect("python3 runs (Debian: apt install python3)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.join().expect("the session ended well");
}

#[test]
fn imaplib() {
    python(IMAPLIB, |mut stream| {
        let archive = Archive::fixture();
        let tls = imap::TlsState::Active;
        let mut session = imap::Session::new(imap::Settings { hostname: "gw.example.org".to_owned(), tls });
        let mut greeting = Vec::new();
        session.greeting(&mut greeting);
        stream.write_all(&greeting).expect("the client reads");
        drive(stream, |input, out| {
            let step = session.step(input, out);
            let next = match step.event {
                imap::Event::Read => Next::Read,
                imap::Event::Again | imap::Event::StartTls => Next::Step,
                imap::Event::Record(_) => {
                    session.recorded(Recorded::Durable, out);
                    Next::Step
                }
                imap::Event::Close => Next::Close,
                imap::Event::Authenticate(login) => {
                    match login.password.as_slice() {
                        b"secret" => session.authenticated(archive.session(), out),
                        _ => session.refused(imap::Refusal::Credentials, out),
                    }
                    Next::Step
                }
            };
            (step.consumed, next)
        });
    });
}

#[test]
fn poplib() {
    python(POPLIB, |mut stream| {
        let archive = Archive::fixture();
        let tls = pop3::TlsState::Active;
        let mut session = pop3::Session::new(pop3::Settings { hostname: "gw.example.org".to_owned(), tls });
        let mut greeting = Vec::new();
        session.greeting(&mut greeting);
        stream.write_all(&greeting).expect("the client reads");
        drive(stream, |input, out| {
            let step = session.step(input, out);
            let next = match step.event {
                pop3::Event::Read => Next::Read,
                pop3::Event::Again | pop3::Event::StartTls => Next::Step,
                pop3::Event::Record(_) => {
                    session.recorded(Recorded::Durable, out);
                    Next::Step
                }
                pop3::Event::Close => Next::Close,
                pop3::Event::Authenticate(login) => {
                    match login.password.as_slice() {
                        b"secret" => session.authenticated(archive.session(), out),
                        _ => session.refused(pop3::Refusal::Credentials, out),
                    }
                    Next::Step
                }
            };
            (step.consumed, next)
        });
    });
}
