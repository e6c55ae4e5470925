//! A next hop that does what a test says at any point of the conversation, and behaves well everywhere else. Written apart from the
//! product's SMTP.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where a conversation is.
pub struct Moment<'a> {
    /// `connect`, a verb, `data` for each line of the message, or `dot` for its end (BDAT's too).
    pub verb: &'a str,
    /// The line as it came.
    pub line: &'a str,
    /// How often this verb came in this session, this one included.
    pub nth: usize,
    /// The session, from 1.
    pub session: usize,
}

/// What the next hop does instead of its usual reply.
#[derive(Clone)]
pub enum Act {
    /// Sends octets.
    Say(Vec<u8>),
    /// Sends them one by one.
    Drip(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Says nothing more until the client goes.
    Hush,
    /// Hangs up.
    Close,
}

/// Sends a line.
pub fn say(line: &str) -> Vec<Act> {
    vec![Act::Say(format!("{line}\r\n").into_bytes())]
}
/// Sends a line and hangs up.
pub fn say_and_close(line: &str) -> Vec<Act> {
    vec![Act::Say(format!("{line}\r\n").into_bytes()), Act::Close]
}

/// What to do at a moment; `None` is what a good server does.
pub type Play = dyn Fn(&Moment<'_>) -> Option<Vec<Act>> + Send + Sync;

/// A message as far as it was seen to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Those whose RCPT was taken.
    pub recipients: Vec<String>,
    pub octets: Vec<u8>,
    /// How it came: `DATA` or `BDAT`.
    pub by: String,
    /// Those who were told that it was taken.
    pub kept_for: Vec<String>,
}

/// What the server offers, one extension a line.
pub const OFFERS: &str = "PIPELINING\n8BITMIME\nSMTPUTF8\nSIZE 0\nENHANCEDSTATUSCODES";

/// A listening next hop.
pub struct Script {
    port: u16,
    state: Arc<State>,
}

struct State {
    play: Box<Play>,
    offers: String,
    is_good: AtomicBool,
    is_over: AtomicBool,
    sessions: AtomicUsize,
    peers: Mutex<Vec<String>>,
    commands: Mutex<Vec<String>>,
    seen: Mutex<Vec<Seen>>,
}

impl Script {
    /// Plays `play`, offering these extensions.
    pub fn start(offers: &str, play: impl Fn(&Moment<'_>) -> Option<Vec<Act>> + Send + Sync + 'static) -> Script {
        Script::start_at("127.0.0.1:0", offers, play)
    }
    /// The same at a given address.
    pub fn start_at(
        address: &str,
        offers: &str,
        play: impl Fn(&Moment<'_>) -> Option<Vec<Act>> + Send + Sync + 'static,
    ) -> Script {
        let socket = TcpListener::bind(address).expect("bind");
        // So small that a client cannot write all of a message to one who does not read.
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 16 * 1024).expect("buffer size");
        let state = State {
            play: Box::new(play),
            offers: offers.to_owned(),
            is_good: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            sessions: AtomicUsize::new(0),
            peers: Mutex::default(),
            commands: Mutex::default(),
            seen: Mutex::default(),
        };
        let script = Script { port: socket.local_addr().expect("address").port(), state: Arc::new(state) };
        let state = script.state.clone();
        std::thread::spawn(move || {
            for stream in socket.incoming() {
                if state.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let state = state.clone();
                let session = state.sessions.fetch_add(1, Ordering::SeqCst) + 1;
                std::thread::spawn(move || {
                    // A client that breaks off is no fault of the next hop.
                    if let Ok(stream) = stream {
                        let peer = stream.peer_addr().expect("an address").ip().to_string();
                        state.peers.lock().expect("lock").push(peer);
                        let _ended = Session::new(&state, &stream, session).converse();
                    }
                });
            }
        });
        script
    }
    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// From now on it behaves.
    pub fn be_good(&self) {
        self.state.is_good.store(true, Ordering::SeqCst);
    }
    /// Sessions so far.
    pub fn sessions(&self) -> usize {
        self.state.sessions.load(Ordering::SeqCst)
    }
    /// Addresses that connected, one for each session.
    pub fn peers(&self) -> Vec<String> {
        self.state.peers.lock().expect("lock").clone()
    }
    /// Command lines so far.
    pub fn commands(&self) -> Vec<String> {
        self.state.commands.lock().expect("lock").clone()
    }
    /// Messages so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("lock").clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees the flag.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// The conversation is over.
enum Ended {
    Gone,
}

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Ended {
        Ended::Gone
    }
}

struct Session<'a> {
    state: &'a State,
    reader: BufReader<&'a TcpStream>,
    number: usize,
    counts: HashMap<String, usize>,
    recipients: Vec<String>,
    is_lmtp: bool,
}

impl<'a> Session<'a> {
    fn new(state: &'a State, stream: &'a TcpStream, number: usize) -> Session<'a> {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
        stream.set_nodelay(true).expect("no delay");
        let reader = BufReader::with_capacity(1 << 16, stream);
        Session { state, reader, number, counts: HashMap::new(), recipients: vec![], is_lmtp: false }
    }

    fn converse(&mut self) -> Result<(), Ended> {
        self.answer("connect", "", "220 script.example ESMTP")?;
        loop {
            let line = self.line()?;
            self.state.commands.lock().expect("lock").push(line.trim_end().to_owned());
            let verb = line.get(..4).unwrap_or_default().trim_end().to_ascii_uppercase();
            let verb = if verb == "STAR" { "STARTTLS".to_owned() } else { verb };
            match verb.as_str() {
                "EHLO" | "LHLO" => {
                    self.is_lmtp = verb == "LHLO";
                    let offers = self.state.offers.lines().map(|offer| format!("250-{offer}\r\n")).collect::<String>();
                    self.answer(&verb, &line, &format!("250-script.example\r\n{offers}250 HELP"))?;
                }
                "MAIL" => {
                    self.recipients.clear();
                    self.answer(&verb, &line, "250 2.1.0 OK")?;
                }
                "RCPT" => {
                    let reply = self.answer(&verb, &line, "250 2.1.5 OK")?;
                    // Taken, too, when the reply comes later with others.
                    if reply.is_empty() || reply.starts_with(b"2") {
                        let path = line.split(['<', '>']).nth(1).unwrap_or_default();
                        self.recipients.push(path.to_owned());
                    }
                }
                "DATA" => {
                    let usual = if self.recipients.is_empty() { "554 5.5.1 no valid recipients" } else { "354 go" };
                    if self.answer(&verb, &line, usual)?.split(|&b| b == b'\n').any(|line| line.starts_with(b"354")) {
                        let octets = self.message()?;
                        self.end("DATA", octets)?;
                    }
                }
                "BDAT" => {
                    let size = line.split(' ').nth(1).and_then(|n| n.trim_end().parse().ok()).expect("a size");
                    // `None` at the moment `BDAT` is to go on.
                    if let Some(acts) = self.acts("BDAT", &line) {
                        self.perform(&acts)?;
                        continue;
                    }
                    let mut octets = vec![0; size];
                    self.reader.read_exact(&mut octets)?;
                    assert!(line.trim_end().ends_with(" LAST"), "one chunk: {line}");
                    self.end("BDAT", octets)?;
                }
                "STARTTLS" => {
                    self.answer(&verb, &line, "454 4.7.0 not now")?;
                }
                "QUIT" => {
                    self.answer(&verb, &line, "221 2.0.0 bye")?;
                    return Ok(());
                }
                _ => {
                    self.answer(&verb, &line, "250 2.0.0 OK")?;
                }
            }
        }
    }

    fn end(&mut self, by: &str, octets: Vec<u8>) -> Result<(), Ended> {
        let recipients = self.recipients.clone();
        let usual = if self.is_lmtp {
            recipients.iter().map(|r| format!("250 2.0.0 <{r}> kept")).collect::<Vec<_>>().join("\r\n")
        } else {
            "250 2.0.0 kept".to_owned()
        };
        let acts = self.acts("dot", "").unwrap_or_else(|| say(&usual));
        let said = said(&acts);
        let mut lines = said.split(|&b| b == b'\n');
        let first = lines.next().unwrap_or_default();
        let each = std::iter::once(first).chain(lines.map(|line| if self.is_lmtp { line } else { first }));
        let each = each.chain(std::iter::repeat(if self.is_lmtp { &b""[..] } else { first }));
        let is_kept = |(_, line): &(&String, &[u8])| line.starts_with(b"2");
        let kept_for = recipients.iter().zip(each).filter(is_kept).map(|(to, _)| to.clone()).collect();
        let seen = Seen { recipients, octets, by: by.to_owned(), kept_for };
        self.state.seen.lock().expect("lock").push(seen);
        self.perform(&acts)
    }

    /// The octets that were said.
    fn answer(&mut self, verb: &str, line: &str, usual: &str) -> Result<Vec<u8>, Ended> {
        let acts = self.acts(verb, line).unwrap_or_else(|| say(usual));
        self.perform(&acts)?;
        Ok(said(&acts))
    }

    fn acts(&mut self, verb: &str, line: &str) -> Option<Vec<Act>> {
        let count = self.counts.entry(verb.to_owned()).or_default();
        *count += 1;
        if self.state.is_good.load(Ordering::SeqCst) {
            return None;
        }
        (self.state.play)(&Moment { verb, line, nth: *count, session: self.number })
    }

    fn perform(&mut self, acts: &[Act]) -> Result<(), Ended> {
        for act in acts {
            match act {
                Act::Say(octets) => self.reader.get_mut().write_all(octets)?,
                Act::Drip(octets) => {
                    for octet in octets {
                        self.reader.get_mut().write_all(&[*octet])?;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                Act::Pause(time) => std::thread::sleep(*time),
                Act::Hush => {
                    while self.reader.read(&mut [0; 512])? > 0 {}
                    return Err(Ended::Gone);
                }
                Act::Close => return Err(Ended::Gone),
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String, Ended> {
        let mut line = Vec::new();
        if self.reader.read_until(b'\n', &mut line)? == 0 {
            return Err(Ended::Gone);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn message(&mut self) -> Result<Vec<u8>, Ended> {
        let mut octets = Vec::new();
        loop {
            let mut line = Vec::new();
            self.reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                return Err(Ended::Gone);
            }
            assert!(line.ends_with(b"\r\n"), "a bare LF was passed on");
            if line == b".\r\n" {
                return Ok(octets);
            }
            if let Some(acts) = self.acts("data", "") {
                self.perform(&acts)?;
            }
            octets.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }
}

fn said(acts: &[Act]) -> Vec<u8> {
    let first = acts.iter().find_map(|act| match act {
        Act::Say(octets) | Act::Drip(octets) => Some(octets.clone()),
        _ => None,
    });
    first.unwrap_or_default()
}
