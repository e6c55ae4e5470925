//! Sessions that send numbered messages and remember which got their 250. A broken connection is opened again.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Sending sessions.
const SESSIONS: usize = 20;

/// What the sessions share.
pub struct Senders {
    port: u16,
    size: usize,
    next: AtomicU64,
    stop: AtomicBool,
    acknowledged: Mutex<Vec<u64>>,
}

impl Senders {
    /// For a gateway's port, messages of about so many octets.
    pub fn new(port: u16, size: usize) -> Senders {
        Senders { port, size, next: AtomicU64::new(0), stop: AtomicBool::new(false), acknowledged: Mutex::default() }
    }

    /// All numbers that got a 250.
    pub fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.lock().expect("lock").clone()
    }
    fn count(&self) -> usize {
        self.acknowledged.lock().expect("lock").len()
    }

    /// Sends while `storm` runs, which may ask how many were acknowledged.
    pub fn during(&self, storm: impl FnOnce(&dyn Fn() -> usize)) {
        self.stop.store(false, Ordering::SeqCst);
        std::thread::scope(|scope| {
            for _ in 0..SESSIONS {
                scope.spawn(|| self.run());
            }
            storm(&|| self.count());
            self.stop.store(true, Ordering::SeqCst);
        });
    }

    /// Sends until so many are acknowledged.
    pub fn send_until(&self, count: usize) {
        self.during(|acknowledged| {
            while acknowledged() < count {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    }

    /// One message of its own, as soon as it is taken.
    pub fn probe(&self) {
        loop {
            let sent = Connection::open(self.port).and_then(|mut connection| self.message(&mut connection));
            if sent.is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn run(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            let talked = Connection::open(self.port).and_then(|mut connection| {
                while !self.stop.load(Ordering::SeqCst) {
                    self.message(&mut connection)?;
                }
                Ok(())
            });
            if talked.is_err() {
                // The gateway is gone for a moment: what was not acknowledged does not count.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn message(&self, connection: &mut Connection) -> std::io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        connection.transact(&content(number, self.size))?;
        self.acknowledged.lock().expect("lock").push(number);
        Ok(())
    }
}

/// The message of a number: its content says it twice, first and last, so that a cut or mixed one shows.
fn content(number: u64, size: usize) -> Vec<u8> {
    let mut text = format!("From: alice@example.org\r\nSubject: storm\r\nX-Number: {number}\r\n\r\n");
    while text.len() + 100 < size {
        text.push_str(&format!("{number:064} of a storm\r\n"));
    }
    text.push_str(&format!("End: {number}\r\n.\r\n"));
    text.into_bytes()
}

struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(port: u16) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut this = Connection { reader: BufReader::new(stream) };
        this.expect("220")?;
        this.say(b"EHLO client.example.org\r\n")?;
        this.expect("250")?;
        Ok(this)
    }

    fn transact(&mut self, content: &[u8]) -> std::io::Result<()> {
        self.say(b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@partner.example>\r\nDATA\r\n")?;
        for code in ["250", "250", "354"] {
            self.expect(code)?;
        }
        self.say(content)?;
        self.expect("250 2.0.0 Accepted")
    }

    fn say(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.reader.get_mut().write_all(octets)
    }

    fn expect(&mut self, beginning: &str) -> std::io::Result<()> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            return match line.starts_with(beginning) {
                true => Ok(()),
                false => Err(std::io::Error::other(line)),
            };
        }
    }
}
