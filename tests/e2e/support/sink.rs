//! A next hop that keeps what it gets. Its SMTP is written apart from the product's, so that one cannot hide the other's faults.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One transaction that the next hop acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Reverse-path without brackets.
    pub sender: String,
    /// Forward-paths without brackets.
    pub recipients: Vec<String>,
    /// MAIL and the RCPTs as they were said.
    pub commands: Vec<String>,
    /// The message, transparency undone.
    pub octets: Vec<u8>,
}

impl Delivered {
    /// Everything behind our block: what the sender sent, when no rule changed it.
    pub fn below_received(&self) -> &[u8] {
        let mut rest = &self.octets[..];
        assert!(rest.starts_with(b"Received: "), "our block is on top");
        loop {
            let end = rest.windows(2).position(|w| w == b"\r\n").expect("a line end") + 2;
            rest = &rest[end..];
            if !rest.starts_with(b"\t") && !rest.starts_with(b" ") {
                return rest;
            }
        }
    }
    /// As text, for looking into.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.octets).into_owned()
    }
}

/// The reply to EHLO.
const OFFER: &str = "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-SIZE 0\r\n\
                     250 ENHANCEDSTATUSCODES";
/// What the next hop answers to a recipient: the whole reply line.
pub type Manners = dyn Fn(&str) -> String + Send + Sync;

/// A listening next hop.
pub struct Sink {
    port: u16,
    delivered: Arc<Mutex<Vec<Delivered>>>,
    stop: Arc<AtomicBool>,
}

impl Sink {
    /// Takes everything.
    pub fn start() -> Sink {
        Sink::with_manners(|_| "250 2.1.5 OK".to_owned())
    }
    /// Answers each RCPT as `manners` says.
    pub fn with_manners(manners: impl Fn(&str) -> String + Send + Sync + 'static) -> Sink {
        let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
        Sink::on(socket, Arc::new(manners))
    }
    /// Answers each RCPT as `manners` says, and does not offer one of its extensions.
    pub fn without(extension: &'static str, manners: impl Fn(&str) -> String + Send + Sync + 'static) -> Sink {
        let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
        Sink::offering(&OFFER.replace(&format!("250-{extension}\r\n"), ""), socket, Arc::new(manners))
    }
    /// Takes everything on a given port, once it is free.
    pub fn on_port(port: u16) -> Sink {
        Sink::on_port_with(port, |_| "250 2.1.5 OK".to_owned())
    }
    /// Answers each RCPT as `manners` says, on a given port, once it is free.
    pub fn on_port_with(port: u16, manners: impl Fn(&str) -> String + Send + Sync + 'static) -> Sink {
        let socket = super::eventually("the port is free", Duration::from_secs(10), || {
            TcpListener::bind(("127.0.0.1", port)).ok()
        });
        Sink::on(socket, Arc::new(manners))
    }

    fn on(socket: TcpListener, manners: Arc<Manners>) -> Sink {
        Sink::offering(OFFER, socket, manners)
    }

    fn offering(offer: &str, socket: TcpListener, manners: Arc<Manners>) -> Sink {
        let offer = offer.to_owned();
        let port = socket.local_addr().expect("address").port();
        let sink = Sink { port, delivered: Arc::default(), stop: Arc::default() };
        let (delivered, stop) = (sink.delivered.clone(), sink.stop.clone());
        std::thread::spawn(move || {
            for stream in socket.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (delivered, manners, offer) = (delivered.clone(), manners.clone(), offer.clone());
                std::thread::spawn(move || {
                    // A client that breaks off is no fault of the next hop.
                    if let Ok(stream) = stream {
                        let _ended = converse(&stream, &delivered, &*manners, &offer);
                    }
                });
            }
        });
        sink
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// All it has acknowledged so far.
    pub fn all(&self) -> Vec<Delivered> {
        self.delivered.lock().expect("lock").clone()
    }
    /// How many it has acknowledged.
    pub fn count(&self) -> usize {
        self.delivered.lock().expect("lock").len()
    }
    /// Waits until there are at least `n`.
    pub fn wait_for(&self, n: usize, limit: Duration) -> Vec<Delivered> {
        super::eventually(&format!("{n} messages at the next hop (there are {})", self.count()), limit, || {
            (self.count() >= n).then(|| self.all())
        })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees the flag.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn converse(
    stream: &TcpStream,
    delivered: &Mutex<Vec<Delivered>>,
    manners: &Manners,
    offer: &str,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut out = stream;
    out.write_all(b"220 sink.example ESMTP\r\n")?;
    let (mut sender, mut recipients, mut commands) = (String::new(), Vec::new(), Vec::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        assert!(line.ends_with("\r\n"), "the gateway sends CRLF: {line:?}");
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => offer.to_owned(),
            "MAIL" => {
                (sender, recipients, commands) = (path(&line), Vec::new(), vec![line.trim_end().to_owned()]);
                "250 2.1.0 OK".to_owned()
            }
            "RCPT" => {
                let recipient = path(&line);
                commands.push(line.trim_end().to_owned());
                let reply = manners(&recipient);
                if reply.starts_with('2') {
                    recipients.push(recipient);
                }
                reply
            }
            "DATA" if recipients.is_empty() => "554 5.5.1 no valid recipients".to_owned(),
            "DATA" => {
                out.write_all(b"354 go\r\n")?;
                let octets = message(&mut reader)?;
                let (recipients, commands) = (std::mem::take(&mut recipients), commands.clone());
                let whole = Delivered { sender: sender.clone(), recipients, commands, octets };
                delivered.lock().expect("lock").push(whole);
                "250 2.0.0 kept".to_owned()
            }
            "QUIT" => return out.write_all(b"221 2.0.0 bye\r\n"),
            _ => "250 2.0.0 OK".to_owned(),
        };
        out.write_all(format!("{reply}\r\n").as_bytes())?;
    }
}

fn path(line: &str) -> String {
    let start = line.find('<').map_or(0, |at| at + 1);
    let end = line.rfind('>').unwrap_or(line.len());
    line[start..end].to_owned()
}

fn message(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        while !line.ends_with(b"\r\n") {
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            assert!(line.ends_with(b"\r\n"), "a bare LF was passed on");
        }
        if line == b".\r\n" {
            return Ok(octets);
        }
        let bare_cr = line[..line.len() - 2].contains(&b'\r');
        assert!(!bare_cr, "a bare CR was passed on");
        octets.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
