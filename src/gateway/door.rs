//! Doors: a listener of the configuration with its socket, its TLS settings, and what its sessions have in common.

pub(super) mod certificates;
pub(super) mod listen;
mod login;
pub(super) mod logins;
pub(super) mod rates;
mod reader;
mod session;

use super::config::{Listener, ListenerTls, Protocol};
use super::error::Error;
use super::post::Post;
use super::reading::Reading;
use super::tls;
use super::wire::Stream;
use crate::mail::Direction;
use crate::smtp::Dialect;
use crate::smtp::server::{Auth, BareLf, Settings, StartTls, Unfit};
use certificates::Certificates;
use listen::{Place, Places};
use rates::Rates;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How many times larger than a message its journal copy may be: a report around it, and base64.
const JOURNAL_FACTOR: u64 = 4;

/// What every session of a running gateway is given.
#[derive(Clone, Debug)]
pub struct House {
    /// What is shared.
    pub post: Arc<Post>,
    /// How much one address has done lately.
    pub rates: Arc<Rates>,
    /// The readers' side.
    pub reading: Arc<Reading>,
    /// Turns true when the gateway stops.
    pub closing: watch::Receiver<bool>,
    /// Present while sessions run.
    pub sessions: watch::Sender<usize>,
}

/// One listener.
#[derive(Debug)]
pub struct Door {
    /// Its index in the configuration.
    pub index: usize,
    /// Its configuration.
    pub listener: Listener,
    /// For handshakes.
    pub tls: Arc<ServerConfig>,
    /// What it asks of certificates.
    pub certificates: Option<Arc<Certificates>>,
    /// For SMTP and LMTP sessions.
    pub smtp: Arc<Settings>,
}

impl Door {
    /// Whether STARTTLS or STLS is offered.
    pub fn offers_starttls(&self) -> bool {
        self.listener.tls == ListenerTls::Starttls
    }
}

/// Binds all listeners; none accepts yet.
pub fn open(post: &Arc<Post>) -> Result<Vec<(Door, TcpListener)>, Error> {
    let config = post.config();
    let mut doors = Vec::new();
    for (index, listener) in config.listener.iter().enumerate() {
        let socket = listen::bind(listener).map_err(|e| unbound(listener, &e))?;
        let (protocol, tls_word) = (listener.protocol.word(), listener.tls.word());
        tracing::info!("listening on {}: {protocol}, tls {tls_word}", listener.bind);
        let is_journal = listener.direction == Some(Direction::Journal);
        let smtp = Settings {
            hostname: config.hostname.as_str().to_owned(),
            dialect: if listener.protocol == Protocol::Lmtp { Dialect::Lmtp } else { Dialect::Smtp },
            message_bytes_max: config.limits.message_bytes.saturating_mul(if is_journal { JOURNAL_FACTOR } else { 1 }),
            recipients_max: config.limits.recipients,
            starttls: if listener.tls == ListenerTls::Starttls { StartTls::Offered } else { StartTls::Absent },
            auth: if listener.takes_logins() { Auth::InsideTls } else { Auth::Absent },
            bare_lf: listener.bare_lf.unwrap_or(if is_journal { BareLf::Normalize } else { BareLf::Refuse }),
            unfit: if is_journal { Unfit::Kept } else { Unfit::Refused },
        };
        let certificates = Certificates::of(listener, post.authorities());
        let verifier = certificates.clone().map(|certificates| certificates as Arc<dyn ClientCertVerifier>);
        let tls = tls::server(post.presented(), verifier)?;
        doors.push((Door { index, listener: listener.clone(), tls, certificates, smtp: Arc::new(smtp) }, socket));
    }
    Ok(doors)
}

fn unbound(listener: &Listener, error: &io::Error) -> Error {
    let failed = Error::of(format_args!("listener {}", listener.bind), error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failed.with_help(format_args!(
            "`ss -ltnp sport = :{}` shows who listens there; or give [[listener]] bind another port",
            listener.bind.port()
        )),
        io::ErrorKind::AddrNotAvailable => failed.with_help("no interface of this machine has that address"),
        io::ErrorKind::PermissionDenied => {
            failed.with_help("ports below 1024 need CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=)")
        }
        _ => failed,
    }
}

/// A session that runs; counted until it ends, however it ends.
struct Present(watch::Sender<usize>);

impl Present {
    fn of(house: &House) -> Present {
        house.sessions.send_modify(|sessions| *sessions += 1);
        Present(house.sessions.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.send_modify(|sessions| *sessions -= 1);
    }
}

/// Accepts at one door until the gateway stops.
pub async fn attend(house: House, door: Door, socket: TcpListener, places: Arc<Places>) {
    let door = Arc::new(door);
    let (protocol, closing) = (door.listener.protocol, house.closing.clone());
    let serve = |stream: TcpStream, ip: IpAddr, place: Place| {
        let present = Present::of(&house);
        let (house, door) = (house.clone(), door.clone());
        tokio::spawn(async move {
            converse(&house, door, Stream::Plain(stream), ip).await;
            drop((present, place));
        });
    };
    listen::accept(socket, protocol, places, closing, serve).await;
}

async fn converse(house: &House, door: Arc<Door>, stream: Stream, ip: IpAddr) {
    let stream = match door.listener.tls {
        ListenerTls::Implicit => stream.accept_tls(door.tls.clone()).await,
        ListenerTls::None | ListenerTls::Starttls => Ok(stream),
    };
    let ended = match stream {
        Err(e) => Err(e),
        Ok(stream) => match door.listener.protocol {
            Protocol::Smtp | Protocol::Lmtp => session::run(house.clone(), door, stream, ip).await,
            Protocol::Imap => reader::imap(house.clone(), door, stream, ip).await,
            Protocol::Pop3 => reader::pop3(house.clone(), door, stream, ip).await,
        },
    };
    if let Err(e) = ended {
        tracing::debug!("{ip}: {e}");
    }
}

#[cfg(test)]
mod tests;
