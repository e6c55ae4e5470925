//! The senders: threads with plain sockets that send one message after the other and time the reply to the final dot.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Sending sessions.
pub const SESSIONS: usize = 20;
/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Octets of a body's line with its end.
const LINE_BYTES: usize = 78;

/// Whether a connection carries one message or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// A new one for each.
    PerMessage,
    /// One for each session.
    Reused,
}

/// What is sent, and how.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to.
    pub port: u16,
    /// RCPT's address.
    pub recipient: String,
    /// Content with its final dot.
    pub content: Vec<u8>,
    /// Connection habits.
    pub connections: Connections,
    /// How long to send.
    pub duration: Duration,
    /// The pause between the starts of two messages of a session; `None`: as fast as it goes.
    pub interval: Option<Duration>,
}

/// What the senders saw.
#[derive(Debug, Default)]
pub struct Sent {
    /// From the end of the content to its 250, of each message, sorted.
    pub replies: Vec<Duration>,
    /// Messages that were not acknowledged.
    pub refused: usize,
}

impl Sent {
    /// The reply time that `percent` of the messages stayed below.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = self.replies.len() * percent / 100;
        self.replies.get(at.min(self.replies.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// A text message of about `kilobytes` KB with its final dot. Its words vary, so that compression finds what it finds in prose.
pub fn content(kilobytes: usize, recipient: &str, subject: &str) -> Vec<u8> {
    let mut text = format!(
        "From: Alice <alice@example.org>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\n\
         Date: Tue, 24 Nov 2026 17:03:42 +0000\r\nMessage-ID: <bench.{kilobytes}@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    );
    let mut seed: u32 = 1;
    while text.len() < kilobytes * 1000 {
        let mut line = String::with_capacity(LINE_BYTES);
        while line.len() < LINE_BYTES - 12 {
            // Numerical Recipes' generator: the text is the same in every run.
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            line.push_str(WORDS[(seed >> 16) as usize % WORDS.len()]);
            line.push(' ');
        }
        text.push_str(line.trim_end());
        text.push_str("\r\n");
    }
    text.push_str(".\r\n");
    text.into_bytes()
}

const WORDS: &[&str] = &[
    "the",
    "of",
    "invoice",
    "and",
    "to",
    "meeting",
    "in",
    "attached",
    "quarterly",
    "for",
    "report",
    "on",
    "please",
    "with",
    "figures",
    "as",
    "contract",
    "by",
    "review",
    "at",
    "customer",
    "from",
    "delivery",
    "Tuesday",
    "an",
    "budget",
    "which",
    "4711",
    "regards",
    "be",
    "archive",
    "1,250.00",
];

/// Sends with all sessions for the load's duration.
pub fn send(load: &Load) -> Sent {
    let end = Instant::now() + load.duration;
    let mut all = Sent::default();
    std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS).map(|n| scope.spawn(move || Sender::new(load, n).run(end))).collect();
        for session in sessions {
            let sent = session.join().expect("a sender ends");
            all.replies.extend(sent.replies);
            all.refused += sent.refused;
        }
    });
    all.replies.sort_unstable();
    all
}

struct Sender<'a> {
    load: &'a Load,
    /// Sessions that keep time start one after the other.
    offset: Duration,
    connection: Option<Connection>,
    sent: Sent,
}

impl Sender<'_> {
    fn new(load: &Load, number: usize) -> Sender<'_> {
        let share = u32::try_from(number).expect("small");
        let offset = load.interval.map_or(Duration::ZERO, |i| i * share / u32::try_from(SESSIONS).expect("small"));
        Sender { load, offset, connection: None, sent: Sent::default() }
    }

    fn run(mut self, end: Instant) -> Sent {
        let mut next = Instant::now() + self.offset;
        while Instant::now() < end {
            if let Some(interval) = self.load.interval {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next += interval;
            }
            match self.message() {
                Ok(took) => self.sent.replies.push(took),
                Err(e) => {
                    self.connection = None;
                    self.sent.refused += 1;
                    if self.sent.refused == 1 {
                        eprintln!("not acknowledged: {e}");
                    }
                }
            }
        }
        self.connection.into_iter().for_each(Connection::quit);
        self.sent
    }

    fn message(&mut self) -> std::io::Result<Duration> {
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => Connection::open(self.load.port)?,
        };
        let took = connection.transact(&self.load.recipient, &self.load.content)?;
        match self.load.connections {
            Connections::Reused => self.connection = Some(connection),
            Connections::PerMessage => connection.quit(),
        }
        Ok(took)
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(port: u16) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut this = Connection { stream, buffer: Vec::with_capacity(1024) };
        this.expect("2")?;
        this.stream.write_all(b"EHLO client.example.org\r\n")?;
        this.expect("2")?;
        Ok(this)
    }

    /// Pipelined, as RFC 2920 lets it; the time from the final dot to its reply.
    fn transact(&mut self, recipient: &str, content: &[u8]) -> std::io::Result<Duration> {
        let commands = format!("MAIL FROM:<alice@example.org>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n");
        self.stream.write_all(commands.as_bytes())?;
        for code in ["2", "2", "3"] {
            self.expect(code)?;
        }
        self.stream.write_all(content)?;
        let written = Instant::now();
        self.expect("2")?;
        Ok(written.elapsed())
    }

    fn quit(mut self) {
        // The message is acknowledged; how the goodbye goes does not matter.
        let gone = self.stream.write_all(b"QUIT\r\n").and_then(|()| self.expect("2"));
        drop(gone);
    }

    /// Reads one reply, which must begin so.
    fn expect(&mut self, code: &str) -> std::io::Result<()> {
        loop {
            let reply = self.line()?;
            if reply.get(3) == Some(&b'-') {
                continue;
            }
            return match reply.starts_with(code.as_bytes()) {
                true => Ok(()),
                false => Err(std::io::Error::other(String::from_utf8_lossy(&reply).into_owned())),
            };
        }
    }

    fn line(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|octet| *octet == b'\n') {
                return Ok(self.buffer.drain(..=end).collect());
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }
}
