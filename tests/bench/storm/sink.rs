//! A next hop that remembers which numbers came, how often, after which kill, and whether they were whole.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// One number.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The kills before each arrival.
    pub epochs: Vec<usize>,
    /// Whether beginning and end belong together, each time.
    pub is_whole: bool,
}

#[derive(Default)]
struct Shared {
    arrived: Mutex<HashMap<u64, Arrived>>,
    epoch: AtomicUsize,
}

/// A next hop on a port of its own.
pub struct Sink {
    port: u16,
    shared: Arc<Shared>,
}

impl Sink {
    /// A port on which nobody listens yet.
    pub fn reserve() -> Sink {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        Sink { port: socket.local_addr().expect("address").port(), shared: Arc::default() }
    }
    /// Listens from now on.
    pub fn listen(&mut self) {
        let socket = TcpListener::bind(("127.0.0.1", self.port)).expect("the port is still free");
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let shared = shared.clone();
                // A gateway that is killed breaks off.
                std::thread::spawn(move || drop(converse(&stream, &shared)));
            }
        });
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// One more kill.
    pub fn next_epoch(&self) {
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
    }
    /// Whether a number came.
    pub fn has(&self, number: u64) -> bool {
        self.shared.arrived.lock().expect("lock").contains_key(&number)
    }
    /// All that came.
    pub fn arrived(&self) -> HashMap<u64, Arrived> {
        self.shared.arrived.lock().expect("lock").clone()
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut out = stream;
    out.write_all(b"220 sink\r\n")?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match line.first() {
            Some(b'E') => b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
            Some(b'D') => b"354 go\r\n",
            Some(b'Q') => return out.write_all(b"221 2.0.0 bye\r\n"),
            _ => b"250 2.0.0 ok\r\n",
        };
        out.write_all(reply)?;
        if line.first() == Some(&b'D') {
            content(&mut reader, shared)?;
            out.write_all(b"250 2.0.0 taken\r\n")?;
        }
    }
}

fn content(reader: &mut impl BufRead, shared: &Shared) -> std::io::Result<()> {
    let (mut number, mut end) = (None, None);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let after = |word: &str| line.strip_prefix(word).and_then(|rest| rest.trim_end().parse::<u64>().ok());
        number = number.or(after("X-Number: "));
        end = after("End: ").or(end);
        if line == ".\r\n" {
            break;
        }
    }
    let number = number.ok_or(std::io::ErrorKind::InvalidData)?;
    let is_whole = end == Some(number);
    let epoch = shared.epoch.load(Ordering::SeqCst);
    let mut arrived = shared.arrived.lock().expect("lock");
    let one = arrived.entry(number).or_insert(Arrived { epochs: Vec::new(), is_whole: true });
    one.epochs.push(epoch);
    one.is_whole &= is_whole;
    Ok(())
}
