//! A next hop that keeps what it gets: stands for the mail system behind the gateway.

use crate::mail::Address;
use crate::smtp::Dialect;
use crate::smtp::server::{Auth, BareLf, Event, Session, Settings, StartTls, Unfit, reply};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long mail may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Octets of a message; the story's are small.
const MESSAGE_BYTES_MAX: u64 = 64 << 20;

/// One message as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Envelope recipients.
    pub recipients: Vec<Address>,
    /// Its octets.
    pub octets: Vec<u8>,
}

/// Listens on a free loopback port for as long as the program runs.
pub struct NextHop {
    port: u16,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl NextHop {
    /// Starts listening.
    pub fn start() -> io::Result<NextHop> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let hop = NextHop { port: socket.local_addr()?.port(), arrived: Arc::default() };
        let arrived = hop.arrived.clone();
        std::thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                let arrived = arrived.clone();
                std::thread::spawn(move || {
                    if let Err(e) = converse(stream, &arrived) {
                        tracing::debug!("next hop: {e}");
                    }
                });
            }
        });
        Ok(hop)
    }
    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// How many messages have arrived.
    pub fn count(&self) -> usize {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
    /// Waits for the message to this recipient.
    pub fn message_to(&self, recipient: &str) -> Option<Arrived> {
        let end = Instant::now() + ARRIVAL;
        loop {
            let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let meant = |one: &&Arrived| one.recipients.iter().any(|r| r.to_string() == recipient);
            if let Some(found) = arrived.iter().find(meant) {
                return Some(found.clone());
            }
            if Instant::now() > end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn converse(mut stream: TcpStream, arrived: &Mutex<Vec<Arrived>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let settings = Settings {
        hostname: "next-hop.example".to_owned(),
        dialect: Dialect::Smtp,
        message_bytes_max: MESSAGE_BYTES_MAX,
        recipients_max: 100,
        starttls: StartTls::Absent,
        auth: Auth::Absent,
        bare_lf: BareLf::Refuse,
        unfit: Unfit::Refused,
    };
    let mut session = Session::new(Arc::new(settings));
    let (mut out, mut octets, mut buffer) = (Vec::new(), Vec::new(), vec![0; 65_536]);
    session.greeting(&mut out);
    loop {
        stream.write_all(&out)?;
        out.clear();
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut input = &buffer[..count];
        loop {
            let step = session.step(input, &mut out);
            input = &input[step.consumed..];
            match step.event {
                None => break,
                Some(Event::Mail(_) | Event::Rcpt(_) | Event::Data) => session.accept(&mut out),
                Some(Event::Body(more)) => octets.extend_from_slice(more),
                Some(Event::Discard(_)) => octets.clear(),
                Some(Event::End { envelope, .. }) => {
                    let recipients = envelope.recipients.into_iter().map(|r| r.address).collect();
                    let one = Arrived { recipients, octets: std::mem::take(&mut octets) };
                    arrived.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                    session.finish(&reply::ACCEPTED, &mut out);
                }
                Some(Event::Authenticate(_) | Event::Scram(_) | Event::StartTls | Event::Close) => {
                    return stream.write_all(&out);
                }
            }
        }
    }
}
