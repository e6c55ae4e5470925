//! A next hop that counts. It reads as little of what it gets as it can: a command by its first letter, content by its last
//! few octets. So it serves clients that send nothing behind their final dot before its reply, but for a QUIT (Postfix).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Octets of content read at once.
const READ_BYTES: usize = 256 * 1024;
/// Octets of commands, and of content right behind them, read at once.
const COMMANDS_BYTES: usize = 16 * 1024;
/// How long the last messages may take.
const DRAIN: Duration = Duration::from_secs(60);

/// A listening next hop. Its threads end with the process.
#[derive(Debug)]
pub struct Sink {
    port: u16,
    messages: Arc<AtomicUsize>,
}

impl Sink {
    /// Listens on a free port.
    pub fn start() -> Sink {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let sink = Sink { port: socket.local_addr().expect("address").port(), messages: Arc::default() };
        let messages = sink.messages.clone();
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let messages = messages.clone();
                std::thread::spawn(move || Session { stream, messages }.run());
            }
        });
        sink
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// Messages it has taken.
    pub fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }
    /// Waits for this many; how many there are in the end.
    pub fn wait_for(&self, messages: usize) -> usize {
        let end = Instant::now() + DRAIN;
        while self.messages() < messages && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.messages()
    }
}

struct Session {
    stream: TcpStream,
    messages: Arc<AtomicUsize>,
}

impl Session {
    /// A peer that breaks off ends its session and nothing else.
    fn run(mut self) {
        let talked = self.stream.set_nodelay(true).and_then(|()| self.talk());
        drop(talked);
    }

    fn talk(&mut self) -> std::io::Result<()> {
        let (mut buffer, mut content) = (vec![0; COMMANDS_BYTES], vec![0; READ_BYTES]);
        let (mut have, mut replies) = (0, Vec::new());
        self.stream.write_all(b"220 sink\r\n")?;
        loop {
            let count = self.stream.read(&mut buffer[have..])?;
            have += count;
            if count == 0 {
                return Ok(());
            }
            replies.clear();
            let (consumed, next) = answer(&buffer[..have], &mut replies);
            self.stream.write_all(&replies)?;
            match next {
                Next::Commands => {
                    buffer.copy_within(consumed..have, 0);
                    have -= consumed;
                }
                Next::Content => {
                    let began = &buffer[consumed..have];
                    let tail = Tail::default().with(began);
                    if self.content(tail, &mut content)? == End::Quit {
                        return Ok(());
                    }
                    have = 0;
                }
                Next::Close => return Ok(()),
            }
        }
    }

    fn content(&mut self, mut tail: Tail, buffer: &mut [u8]) -> std::io::Result<End> {
        loop {
            if let Some(end) = tail.end() {
                self.messages.fetch_add(1, Ordering::Relaxed);
                self.stream.write_all(match end {
                    End::Dot => b"250 2.0.0 taken\r\n",
                    End::Quit => b"250 2.0.0 taken\r\n221 2.0.0 bye\r\n",
                })?;
                return Ok(end);
            }
            let count = self.stream.read(buffer)?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            tail = tail.with(&buffer[..count]);
        }
    }
}

enum Next {
    Commands,
    Content,
    Close,
}

/// Answers whole lines; octets consumed, and what comes after them.
fn answer(input: &[u8], replies: &mut Vec<u8>) -> (usize, Next) {
    let mut consumed = 0;
    while let Some(length) = input[consumed..].iter().position(|octet| *octet == b'\n') {
        let first = input[consumed].to_ascii_uppercase();
        consumed += length + 1;
        let reply: &[u8] = match first {
            b'E' => b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n",
            b'D' => b"354 go\r\n",
            b'Q' => b"221 2.0.0 bye\r\n",
            _ => b"250 2.0.0 ok\r\n",
        };
        replies.extend_from_slice(reply);
        match first {
            b'D' => return (consumed, Next::Content),
            b'Q' => return (consumed, Next::Close),
            _ => {}
        }
    }
    (consumed, Next::Commands)
}

/// How content ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With its dot.
    Dot,
    /// With its dot and a QUIT behind it.
    Quit,
}

const DOT: &[u8] = b"\r\n.\r\n";
const DOT_AND_QUIT: &[u8] = b"\r\n.\r\nQUIT\r\n";

/// The last octets of content.
#[derive(Clone, Copy, Default)]
struct Tail([u8; DOT_AND_QUIT.len()]);

impl Tail {
    fn with(mut self, octets: &[u8]) -> Tail {
        let kept = octets.len().min(self.0.len());
        self.0.copy_within(kept.., 0);
        let from = self.0.len() - kept;
        self.0[from..].copy_from_slice(&octets[octets.len() - kept..]);
        self
    }
    fn end(self) -> Option<End> {
        match self.0.as_slice() {
            tail if tail.ends_with(DOT) => Some(End::Dot),
            tail if tail == DOT_AND_QUIT => Some(End::Quit),
            _ => None,
        }
    }
}
