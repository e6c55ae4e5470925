//! SMTP: framing against a reference that is too simple to be wrong, stuffing against framing, and both cores end to end.

use crate::driver::run;
use sealpost::mail::{Address, BodyType, Envelope, Recipient, Tls};
use sealpost::smtp::Dialect;
use sealpost::smtp::client;
use sealpost::smtp::client::answer::Answers;
use sealpost::smtp::client::stuffing::Stuffer;
use sealpost::smtp::client::{Client, Next, Survey, Verdict};
use sealpost::smtp::server;
use sealpost::smtp::server::framing::{Framing, Piece};
use sealpost::smtp::server::{Auth, BareLf, LoginRefusal, Session, Settings, StartTls, Unfit};
use std::sync::Arc;

/// What a stream of content comes to.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    /// `None`: unfit.
    content: Option<Vec<u8>>,
    /// Octets behind the end; `None`: it has not ended.
    left: Option<usize>,
}

/// Lines are what stands before each CRLF; a line "." ends; any other CR or LF makes the message unfit, unless such are kept.
fn reference(stream: &[u8], bare_lf: BareLf, unfit: Unfit) -> Read {
    let (mut content, mut fit, mut rest) = (Vec::new(), true, stream);
    while let Some(length) = rest.windows(2).position(|w| w == b"\r\n") {
        let line = &rest[..length];
        rest = &rest[length + 2..];
        if line == b"." {
            return Read { content: fit.then_some(content), left: Some(rest.len()) };
        }
        for &octet in line.strip_prefix(b".").unwrap_or(line) {
            match (octet, bare_lf) {
                (b'\n', BareLf::Normalize) => content.extend_from_slice(b"\r\n"),
                (b'\n', BareLf::Refuse) => fit = false,
                (b'\r', _) if unfit == Unfit::Refused => fit = false,
                _ => content.push(octet),
            }
        }
        content.extend_from_slice(b"\r\n");
    }
    Read { content: None, left: None }
}

fn framed(chunks: &[&[u8]], bare_lf: BareLf, unfit: Unfit) -> Read {
    let mut framing = Framing::new(u64::MAX, bare_lf).when_unfit(unfit);
    let (mut content, mut fit) = (Vec::new(), true);
    let mut left: usize = chunks.iter().map(|c| c.len()).sum();
    for chunk in chunks {
        let mut rest = *chunk;
        while !rest.is_empty() {
            let (used, piece) = framing.next(rest);
            assert!(used > 0 || piece.is_some(), "every call comes further");
            rest = &rest[used..];
            left -= used;
            match piece {
                Some(Piece::Content(octets)) => {
                    assert!(fit && !octets.is_empty());
                    content.extend_from_slice(octets);
                }
                Some(Piece::Unfit(_)) => fit = false,
                Some(Piece::End) => return Read { content: fit.then_some(content), left: Some(left) },
                None => {}
            }
        }
    }
    Read { content: None, left: None }
}

/// Cuts that matter: everywhere for short inputs, at a few places and into single octets for long ones.
fn cuts(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let step = (input.len() / 256).max(1);
    let mut all: Vec<Vec<&[u8]>> = (0..=input.len()).step_by(step).map(|at| vec![&input[..at], &input[at..]]).collect();
    all.push(input.chunks(1).collect());
    all.push(input.chunks(3).collect());
    all
}

fn framing(input: &[u8]) {
    let input = &input[..input.len().min(4096)];
    for (bare_lf, unfit) in
        [(BareLf::Refuse, Unfit::Refused), (BareLf::Normalize, Unfit::Refused), (BareLf::Normalize, Unfit::Kept)]
    {
        let expected = reference(input, bare_lf, unfit);
        for chunks in cuts(input) {
            assert_eq!(framed(&chunks, bare_lf, unfit), expected, "{chunks:?}");
        }
    }
}

/// The input is a message, cut into chunks as long as its first octet says: what arrives is what was sent, or nothing when its
/// line ends are unfit. A pipelined NOOP behind it is the next command.
fn chunking(input: &[u8]) {
    let (&size, message) = input.split_first().unwrap_or((&1, input));
    let message = &message[..message.len().min(4096)];
    let mut wire = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n".to_vec();
    for chunk in message.chunks(usize::from(size).max(1)) {
        wire.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
    }
    wire.extend_from_slice(b"BDAT 0 LAST\r\nVRFY x\r\n");
    let is_fit = !String::from_utf8_lossy(message).replace("\r\n", "").contains(['\r', '\n']);
    let whole = conversation(&[&wire], Dialect::Smtp, BareLf::Refuse);
    assert!(whole.0.ends_with(b"252 2.5.0 Cannot verify; send a message and see\r\n"));
    let taken: Vec<String> = whole.1.iter().filter(|line| line.ends_with(&format!(" {message:?}"))).cloned().collect();
    assert_eq!((taken.len(), whole.1.len()), (usize::from(is_fit), usize::from(is_fit)));
    assert_eq!(conversation(&wire.chunks(5).collect::<Vec<_>>(), Dialect::Smtp, BareLf::Refuse), whole);
}

fn stuffing(input: &[u8]) {
    let input = &input[..input.len().min(4096)];
    let without_line_ends = String::from_utf8_lossy(input).replace("\r\n", "");
    let sendable = !without_line_ends.contains(['\r', '\n']);
    assert_eq!(Survey::of(input).line_ends.is_ok(), sendable);
    let mut expected = input.to_vec();
    if !expected.is_empty() && !expected.ends_with(b"\r\n") {
        expected.extend_from_slice(b"\r\n");
    }
    for chunks in cuts(input) {
        let (mut stuffer, mut wire) = (Stuffer::default(), Vec::new());
        let written = chunks.iter().try_for_each(|chunk| stuffer.write(chunk, &mut wire));
        let written = written.and_then(|()| stuffer.finish(&mut wire));
        assert_eq!(written.is_ok(), sendable);
        if sendable {
            let read = Read { content: Some(expected.clone()), left: Some(0) };
            assert_eq!(reference(&wire, BareLf::Refuse, Unfit::Refused), read, "what is sent is what is read");
        } else {
            assert_eq!(
                reference(&wire, BareLf::Refuse, Unfit::Refused).left,
                None,
                "what is not finished does not end"
            );
        }
    }
}

/// Everything a session said and took, with a driver that takes all.
fn conversation(chunks: &[&[u8]], dialect: Dialect, bare_lf: BareLf) -> (Vec<u8>, Vec<String>) {
    let mut session = Session::new(Arc::new(settings(dialect, bare_lf)));
    session.trust_peer();
    session.offer_scram();
    session.tls_started(Tls { version: "TLSv1.3".into(), cipher: "x".into(), certificate: None });
    let (mut out, mut taken, mut draft) = (Vec::new(), Vec::new(), Vec::new());
    session.greeting(&mut out);
    for chunk in chunks {
        let mut rest = *chunk;
        loop {
            let step = session.step(rest, &mut out);
            rest = &rest[step.consumed..];
            match step.event {
                Some(server::Event::Mail(_) | server::Event::Rcpt(_)) => session.accept(&mut out),
                Some(server::Event::Data) => {
                    draft.clear();
                    session.accept(&mut out);
                }
                Some(server::Event::Body(octets)) => draft.extend_from_slice(octets),
                Some(server::Event::Discard(_)) => draft.clear(),
                Some(server::Event::End { envelope, protocol }) => {
                    assert!((1..=3).contains(&envelope.recipients.len()));
                    let client = (session.client_ip(), session.client_name());
                    assert!(client.1.len() <= 255 && !client.1.contains(char::is_control));
                    taken.push(format!("{protocol} {client:?} {envelope:?} {:?}", std::mem::take(&mut draft)));
                    session.finish(&server::reply::ACCEPTED, &mut out);
                }
                Some(server::Event::Authenticate(login)) => {
                    taken.push(format!("{login:?}"));
                    match login.password.len() % 2 {
                        0 => session.authenticated(login.user, &mut out),
                        _ => session.refuse_login(LoginRefusal::Credentials, &mut out),
                    }
                }
                Some(server::Event::Scram(message)) => {
                    taken.push(format!("{message:?}"));
                    match message {
                        server::ScramMessage::First(octets) => {
                            session.challenge(&octets[..octets.len().min(9)], &mut out)
                        }
                        server::ScramMessage::Next(octets) if octets.is_empty() => session.authenticated("x", &mut out),
                        server::ScramMessage::Next(_) => session.refuse_login(LoginRefusal::Malformed, &mut out),
                    }
                }
                Some(server::Event::Close) => taken.push("close".to_owned()),
                Some(server::Event::StartTls) => panic!("not offered"),
                None => break,
            }
        }
        assert!(rest.is_empty(), "all is consumed when nothing is asked");
    }
    (out, taken)
}

fn server_session(input: &[u8]) {
    let input = &input[..input.len().min(8192)];
    for (dialect, bare_lf) in
        [(Dialect::Smtp, BareLf::Refuse), (Dialect::Smtp, BareLf::Normalize), (Dialect::Lmtp, BareLf::Refuse)]
    {
        let whole = conversation(&[input], dialect, bare_lf);
        for line in whole.0.split_inclusive(|&octet| octet == b'\n') {
            assert!(line.ends_with(b"\r\n") && line.len() <= 512 && line.is_ascii(), "{line:?}");
        }
        let single: Vec<&[u8]> = input.chunks(1).collect();
        let some: Vec<&[u8]> = input.chunks(7).collect();
        assert_eq!(conversation(&single, dialect, bare_lf), whole);
        assert_eq!(conversation(&some, dialect, bare_lf), whole);
    }
}

fn answers(input: &[u8]) {
    let read = |chunks: &[&[u8]]| {
        let (mut answers, mut seen) = (Answers::default(), Vec::new());
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                match answers.next(rest) {
                    Ok((used, answer)) => {
                        rest = &rest[used..];
                        seen.extend(answer.map(|a| (a.code(), a.to_string(), a.status().map(str::to_owned))));
                    }
                    Err(nonsense) => return (seen, Some(nonsense)),
                }
            }
        }
        (seen, None)
    };
    let whole = read(&[input]);
    for (code, text, status) in &whole.0 {
        assert!((200..600).contains(code) && !text.contains(char::is_control));
        assert!(status.iter().all(|s| s.starts_with(&text[..1])));
    }
    assert_eq!(read(&input.chunks(1).collect::<Vec<_>>()), whole);
}

/// The input is what the next hop says, one line at a time.
fn client_session(input: &[u8]) {
    for dialect in [Dialect::Smtp, Dialect::Lmtp] {
        let mut client = Client::new("gw.example", dialect);
        let mut deliveries = Deliveries { client: &mut client, sent: Vec::new(), ended: false };
        let over = input.split_inclusive(|&octet| octet == b'\n').any(|line| deliveries.hear(line));
        if !over {
            let event = deliveries.client.lose("lost");
            deliveries.on(event);
        }
        let sent = deliveries.sent;
        assert!(sent.is_empty() || sent.ends_with(b"\r\n"), "only whole lines are sent");
    }
}

struct Deliveries<'c> {
    client: &'c mut Client,
    sent: Vec<u8>,
    /// The final dot of the transaction at hand was written.
    ended: bool,
}

impl Deliveries<'_> {
    fn hear(&mut self, line: &[u8]) -> bool {
        let event = self.client.receive(line, &mut self.sent);
        event.is_some_and(|event| self.on(event))
    }

    /// Whether the connection is over.
    fn on(&mut self, event: client::Event) -> bool {
        match event {
            client::Event::Ready | client::Event::NoStartTls(_) => self.deliver(),
            client::Event::StartTls => panic!("not asked for"),
            client::Event::Content => {
                assert!(self.client.content(b"x\r\n.\r\n", &mut self.sent).is_none());
                assert!(self.client.end_content(&mut self.sent).is_none());
                self.ended = true;
                false
            }
            client::Event::Done(report) => {
                assert_eq!(report.outcomes.len(), 2, "every recipient has an outcome");
                let behind_the_dot = |v: Verdict| matches!(v, Verdict::Delivered | Verdict::InDoubt);
                assert!(self.ended || !report.outcomes.iter().any(|o| behind_the_dot(o.verdict)));
                report.next == Next::Close || self.deliver()
            }
            client::Event::Broken(_) | client::Event::Closed => true,
        }
    }

    fn deliver(&mut self) -> bool {
        self.ended = false;
        let event = self.client.deliver(to_two(), Survey::of(b"x\r\n.\r\n"), &mut self.sent);
        // A next hop with a tiny SIZE fails it at once; to try again would go on for ever.
        event.is_some()
    }
}

/// Both cores talk to each other, in pieces as large as the first octet says: what is sendable arrives, and nothing else does.
/// With CHUNKING it arrives octet for octet; DATA ends every message with CRLF.
fn both_cores(input: &[u8]) {
    both_cores_with(input, Chunking::Offered);
    both_cores_with(input, Chunking::Hidden);
}

/// Whether the next hop says that it takes BDAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunking {
    Offered,
    Hidden,
}

fn both_cores_with(input: &[u8], chunking: Chunking) {
    let (&size, content) = input.split_first().unwrap_or((&1, input));
    let content = &content[..content.len().min(4096)];
    let survey = Survey::of(content);
    let mut hop = Hop::new(usize::from(size).max(1));
    let mut client = Client::new("gw.example", Dialect::Smtp);
    let (mut to_client, mut to_server) = (hop.greeting(), Vec::new());
    let report = 'talk: loop {
        assert!(!to_client.is_empty(), "neither side waits for ever");
        let octets = std::mem::take(&mut to_client);
        let mut event = client.receive(&octets, &mut to_server);
        while let Some(happened) = event.take() {
            match happened {
                client::Event::Ready => event = client.deliver(to_two(), survey, &mut to_server),
                client::Event::Content => {
                    assert!(content.chunks(7).all(|chunk| client.content(chunk, &mut to_server).is_none()));
                    assert!(client.end_content(&mut to_server).is_none());
                }
                client::Event::Done(report) => break 'talk report,
                other => panic!("{other:?}"),
            }
        }
        to_client = hop.hear(&std::mem::take(&mut to_server));
        if chunking == Chunking::Hidden {
            to_client = String::from_utf8(to_client).expect("replies are ASCII").replace("CHUNKING", "X-OTHER").into();
        }
    };
    let is_delivered = report.outcomes.iter().all(|o| o.verdict == Verdict::Delivered);
    assert_eq!(is_delivered, survey.line_ends.is_ok(), "{report:?}");
    let mut expected = content.to_vec();
    if chunking == Chunking::Hidden && !expected.is_empty() && !expected.ends_with(b"\r\n") {
        expected.extend_from_slice(b"\r\n");
    }
    assert_eq!(hop.taken, is_delivered.then_some(expected));
}

/// A next hop made of the server core.
struct Hop {
    session: Session,
    piece_bytes: usize,
    draft: Vec<u8>,
    taken: Option<Vec<u8>>,
}

impl Hop {
    fn new(piece_bytes: usize) -> Hop {
        let session = Session::new(Arc::new(settings(Dialect::Smtp, BareLf::Refuse)));
        Hop { session, piece_bytes, draft: Vec::new(), taken: None }
    }

    fn greeting(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.greeting(&mut out);
        out
    }

    fn hear(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for mut rest in octets.chunks(self.piece_bytes) {
            loop {
                let step = self.session.step(rest, &mut out);
                rest = &rest[step.consumed..];
                match step.event {
                    Some(server::Event::Body(octets)) => self.draft.extend_from_slice(octets),
                    Some(server::Event::End { .. }) => {
                        self.taken = Some(std::mem::take(&mut self.draft));
                        self.session.finish(&server::reply::ACCEPTED, &mut out);
                    }
                    Some(_) => self.session.accept(&mut out),
                    None => break,
                }
            }
        }
        out
    }
}

fn to_two() -> Envelope {
    let recipient = |text: &str| Recipient::new(Address::parse(text).expect("an address"));
    Envelope {
        sender: None,
        recipients: vec![recipient("a@b.example"), recipient("\"c d\"@e.example")],
        body: BodyType::SevenBit,
        ret: None,
        envid: None,
        smtputf8: false,
        require_tls: None,
    }
}

fn settings(dialect: Dialect, bare_lf: BareLf) -> Settings {
    Settings {
        hostname: "gw.example".into(),
        dialect,
        message_bytes_max: 1 << 20,
        recipients_max: 3,
        starttls: StartTls::Absent,
        auth: Auth::InsideTls,
        bare_lf,
        unfit: Unfit::Refused,
    }
}

const LINE_ENDS: &[&[u8]] =
    &[b"\r\n.\r\n", b"\r\n", b"\r", b"\n", b".", b"\r\n.", b".\r\n", b"\n.\n", b"\r.\r", b"\r\n.\r\r\n"];

#[test]
fn smtp_framing() {
    let seeds: &[&[u8]] = &[b".\r\n", b"a\r\n..b\r\n\r\n.\r\nRSET\r\n", b"x\n.\n\r\n.\r\n", b"\r\n.\r\r\n.\r\n"];
    run("smtp_framing", seeds, LINE_ENDS, framing);
}

#[test]
fn smtp_stuffing() {
    let seeds: &[&[u8]] = &[b"", b".", b"a\r\n.\r\n..b\r\n", b"a: b\r\n\r\nlong line of text\r\n.x", b"a\n"];
    run("smtp_stuffing", seeds, LINE_ENDS, stuffing);
}

#[test]
fn smtp_chunking() {
    let seeds: &[&[u8]] = &[b"\x01a: b\r\n\r\n.\r\nc", b"\x07a\r\n.\r\n..b\r\n", b"\x02\r\n\r\n", b"\xff", b"\x03a\r"];
    run("smtp_chunking", seeds, LINE_ENDS, chunking);
}

#[test]
fn smtp_both() {
    let seeds: &[&[u8]] = &[b"\x01a\r\n.\r\nb", b"\xffa: b\r\n\r\n..\xfc\r\n", b"\x03", b"\x05.\r\n"];
    run("smtp_both", seeds, LINE_ENDS, both_cores);
}

#[test]
fn smtp_server() {
    let seeds: &[&[u8]] = &[
        b"EHLO x\r\nMAIL FROM:<a@b> SIZE=10 BODY=8BITMIME RET=FULL ENVID=a+2Bb\r\nRCPT TO:<c@d> NOTIFY=DELAY,FAILURE ORCPT=rfc822;c@d\r\nDATA\r\nx\r\n..\r\n.\r\nQUIT\r\n",
        b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nRCPT TO:<@e,@f:\"g h\"@[IPv6:::1]>\r\nDATA\r\n.\r\nRSET\r\nVRFY x\r\n",
        "HELO x\r\nEHLO x\r\nMAIL FROM:<ü@b> SMTPUTF8\r\nRCPT TO:<c@d> ORCPT=utf-8;ü@b\r\nNOOP\r\nDATA\r\n\r\n.\r\n".as_bytes(),
        b"EHLO x\r\nXCLIENT ADDR=192.0.2.1 HELO=a+2Bb\r\nEHLO y\r\nXFORWARD ADDR=IPV6:2001:db8::1 HELO=[UNAVAILABLE] SOURCE=LOCAL\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n",
        b"EHLO x\r\nAUTH PLAIN AGEAYg==\r\nAUTH LOGIN\r\nYQ==\r\nYmI=\r\nAUTH LOGIN YQ==\r\n*\r\nMAIL FROM:<> AUTH=a+2B@b\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n",
        b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\na\r\nBDAT 4 LAST\r\nb.\r\nBDAT 99999999999999999999\r\nBDAT 9\r\n",
    ];
    let tokens: &[&[u8]] = &[
        b"\r\n",
        b"\r\n.\r\n",
        b"\n",
        b"\r",
        b"EHLO x\r\n",
        b"LHLO x\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<c@d>\r\n",
        b"DATA\r\n",
        b"BDAT 5\r\n",
        b"BDAT 0 LAST\r\n",
        b"XCLIENT ADDR=",
        b"XFORWARD HELO=",
        b"AUTH LOGIN\r\n",
        b"AUTH PLAIN AGEAYmI=\r\n",
        b"RSET\r\n",
        b"<",
        b">",
        b"\"",
        b"\\",
        b"@",
        b"=",
        b" ",
        b"+2B",
        b"\xc3\xbc",
        b"\0",
    ];
    run("smtp_server", seeds, tokens, server_session);
}

#[test]
fn smtp_answers() {
    let seeds: &[&[u8]] = &[b"250-a\r\n250-b\r\n250 5.1.1 c\r\n", b"550 5.1.1 x\n354\r\n", b"421 4.3.2 \xff\0\r\n"];
    run("smtp_answers", seeds, &[b"\r\n", b"\n", b"-", b" ", b"250", b"5.1.1", b"."], answers);
}

#[test]
fn smtp_client() {
    let seeds: &[&[u8]] = &[
        b"220 x\r\n250-x\r\n250-PIPELINING\r\n250 8BITMIME\r\n250 m\r\n250 r\r\n550 r\r\n354 d\r\n250 ok\r\n250 m\r\n452 r\r\n250 r\r\n354 d\r\n421 no\r\n",
        b"220 x\r\n500 x\r\n250 x\r\n250 m\r\n250 r\r\n250 r\r\n354 d\r\n250 ok\r\n250 ok\r\n250 ok\r\n",
        b"220 x\r\n250-x\r\n250 PIPELINING\r\n250 m\r\n550 r\r\n550 r\r\n354 d\r\n554 no\r\n250 rset\r\n250 m\r\n",
    ];
    let tokens: &[&[u8]] = &[
        b"250 ok\r\n",
        b"354 go\r\n",
        b"421 bye\r\n",
        b"550 no\r\n",
        b"452 full\r\n",
        b"250-x\r\n",
        b"250 SIZE 1\r\n",
        b"250-PIPELINING\r\n",
    ];
    run("smtp_client", seeds, tokens, client_session);
}
