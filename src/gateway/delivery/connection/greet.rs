//! Opens a session with one next hop: address, TCP, greeting, TLS as the route wants, login. Never sends in the clear what a route
//! wants encrypted.

use super::mx;
use super::session::{Connection, why};
use super::surroundings::Surroundings;
use crate::gateway::config::{Config, CredentialsFrom, HostPort, Route, RouteTls};
use crate::gateway::tls::client as tls;
use crate::gateway::wire::Stream;
use crate::smtp::client::{Chunking, Client, Credentials, Event, Trust};
use hickory_resolver::TokioResolver;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use zeroize::Zeroizing;

/// Addresses of one host that are tried in one attempt.
const ADDRESSES_MAX: usize = 4;
/// How long TCP may take to connect, when `initial_s` is longer.
const CONNECT: Duration = Duration::from_secs(30);
/// Octets of a password file.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// How a route's next hops are reached.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    pub config: &'a Config,
    pub route: &'a Route,
    pub surroundings: &'a Surroundings,
    /// Whom to ask for addresses; none: the system.
    pub resolver: Option<&'a TokioResolver>,
    /// Next hops that are spoken with in one attempt.
    pub sessions_max: usize,
    /// The recipients' domain, when its MX record leads the way.
    pub domain: Option<&'a str>,
}

/// Opens a session over the first of the host's addresses that works; else says what was wrong with the last one.
pub async fn open(way: &Way<'_>, hop: &HostPort, chunking: Chunking) -> Result<Connection, String> {
    let _trying = way.domain.map(|domain| way.surroundings.try_domain(domain));
    let mut last = "has no address that this route's source_address can reach".to_owned();
    for address in addresses(way, hop).await?.into_iter().take(ADDRESSES_MAX) {
        let Ok(source) = source(&way.route.source_address, address.ip()) else { continue };
        match at_address(way, hop, address, source).await {
            Ok(mut connection) => {
                if chunking == Chunking::Refused {
                    connection.client.forget_chunking();
                }
                return Ok(connection);
            }
            Err(text) => last = text,
        }
    }
    Err(last)
}

async fn addresses(way: &Way<'_>, hop: &HostPort) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = hop.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, hop.port)]);
    }
    if let Some(resolver) = way.resolver {
        let ips = mx::addresses(resolver, &hop.host).await?;
        return Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, hop.port)).collect());
    }
    let looked_up = tokio::time::timeout(CONNECT, tokio::net::lookup_host((hop.host.as_str(), hop.port))).await;
    match looked_up {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(e)) => Err(format!("no address: {e}")),
        Err(_) => Err("no address: the system's resolver did not answer in time".to_owned()),
    }
}

/// Ours to connect from; `Err` when none of ours is of the same family.
fn source(ours: &[IpAddr], to: IpAddr) -> Result<Option<IpAddr>, ()> {
    if ours.is_empty() {
        return Ok(None);
    }
    ours.iter().find(|ip| ip.is_ipv4() == to.is_ipv4()).map(|ip| Some(*ip)).ok_or(())
}

/// Whether TLS is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    Yes,
    No,
}

enum Refused {
    /// On the way to TLS.
    Tls(String),
    Other(String),
}

impl Refused {
    fn into_text(self) -> String {
        match self {
            Refused::Tls(text) | Refused::Other(text) => text,
        }
    }
}

async fn at_address(
    way: &Way<'_>,
    hop: &HostPort,
    address: SocketAddr,
    source: Option<IpAddr>,
) -> Result<Connection, String> {
    let wish = if way.route.tls == RouteTls::None { Encryption::No } else { Encryption::Yes };
    match greet(way, hop, address, source, wish).await {
        // Opportunistic security (RFC 7435): TLS that does not work is no reason not to deliver.
        Err(Refused::Tls(reason)) if way.route.tls == RouteTls::Opportunistic => {
            tracing::info!("{hop}: {reason}; going on without TLS");
            greet(way, hop, address, source, Encryption::No).await
        }
        other => other,
    }
    .map_err(Refused::into_text)
}

/// Connects, and speaks until a transaction can begin.
async fn greet(
    way: &Way<'_>,
    hop: &HostPort,
    address: SocketAddr,
    source: Option<IpAddr>,
    wish: Encryption,
) -> Result<Connection, Refused> {
    let limit = CONNECT.min(Duration::from_secs(way.config.timeouts.initial_s));
    let tcp = match tokio::time::timeout(limit, connect(address, source)).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(e)) => return Err(Refused::Other(e.to_string())),
        Err(_) => return Err(Refused::Other("timed out connecting".to_owned())),
    };
    let name = way.route.ehlo_name.as_ref().unwrap_or(&way.config.hostname);
    let client = Client::new(name.as_str(), way.route.protocol.dialect());
    let mut connection = Connection::new(Stream::Plain(tcp), client, hop, way.domain);
    until_ready(&mut connection, way, &mut Vec::new()).await.map_err(Refused::Other)?;
    if wish == Encryption::No {
        return Ok(connection);
    }
    if !connection.client.offers_tls() {
        return match way.route.tls {
            RouteTls::None | RouteTls::Opportunistic => Ok(connection),
            RouteTls::Required | RouteTls::Verified => {
                Err(Refused::Other("TLS is required and not offered".to_owned()))
            }
        };
    }
    let mut connection = encrypt(connection, way, hop).await.map_err(Refused::Tls)?;
    if let Some(from) = &way.route.credentials {
        login(&mut connection, way, from).await.map_err(Refused::Other)?;
    }
    Ok(connection)
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket
            .bind(SocketAddr::new(source, 0))
            .map_err(|e| io::Error::new(e.kind(), format!("source_address {source} is none of this machine's: {e}")))?;
    }
    let tcp = socket.connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn until_ready(connection: &mut Connection, way: &Way<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    loop {
        match connection.exchange(out, &way.config.timeouts).await {
            None => {}
            Some(Event::Ready) => return Ok(()),
            Some(Event::Broken(failure)) => return Err(failure.outcome().text),
            Some(other) => return Err(format!("unexpected: {other:?}")),
        }
    }
}

/// STARTTLS, the handshake, and EHLO once more. A next hop that refuses STARTTLS politely can still be spoken to in the clear,
/// if the route allows.
async fn encrypt(mut connection: Connection, way: &Way<'_>, hop: &HostPort) -> Result<Connection, String> {
    let mut out = Vec::new();
    connection.client.start_tls(&mut out);
    loop {
        match connection.exchange(&mut out, &way.config.timeouts).await {
            None => {}
            Some(Event::StartTls) => break,
            Some(Event::NoStartTls(_)) if way.route.tls == RouteTls::Opportunistic => return Ok(connection),
            Some(Event::NoStartTls(answer)) => return Err(answer.to_string()),
            Some(Event::Broken(failure)) => return Err(failure.outcome().text),
            Some(other) => return Err(format!("unexpected: {other:?}")),
        }
    }
    let settings = tls::settings(way.route).map_err(|e| e.to_string())?;
    let handshake = |e: io::Error| {
        format!("TLS handshake: {}", if e.kind() == io::ErrorKind::TimedOut { why(&e) } else { e.to_string() })
    };
    let limit = Duration::from_secs(way.config.timeouts.initial_s);
    let greeted = tokio::time::timeout(limit, connection.stream.connect_tls(settings, &hop.host)).await;
    connection.stream = greeted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(handshake)?;
    let trust = if way.route.tls == RouteTls::Verified { Trust::Verified } else { Trust::Unverified };
    connection.client.tls_started(trust, &mut out);
    until_ready(&mut connection, way, &mut out).await?;
    Ok(connection)
}

async fn login(connection: &mut Connection, way: &Way<'_>, from: &CredentialsFrom) -> Result<(), String> {
    let mut out = Vec::new();
    let refused = |why: String| format!("login: {why}");
    if let Some(event) = connection.client.login(credentials(from)?, &mut out) {
        return Err(refused(match event {
            Event::Broken(failure) => failure.outcome().text,
            other => format!("unexpected: {other:?}"),
        }));
    }
    until_ready(connection, way, &mut out).await.map_err(refused)
}

/// Reads the password now, so that a new one is taken without a restart.
pub fn credentials(from: &CredentialsFrom) -> Result<Credentials, String> {
    let Some(file) = from.file() else {
        return Err("credentials: this process was given none; LoadCredential= in the unit passes them".to_owned());
    };
    let fault = |what: &dyn std::fmt::Display| format!("credentials: {}: {what}", file.display());
    let bytes = std::fs::metadata(&file).map_err(|e| fault(&e))?.len();
    if bytes > PASSWORD_BYTES_MAX {
        return Err(fault(&format_args!("longer than {PASSWORD_BYTES_MAX} octets")));
    }
    let text = Zeroizing::new(std::fs::read_to_string(&file).map_err(|e| fault(&e))?);
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(fault(&"its first line, the password, is empty"));
    }
    Credentials::new(from.user.clone(), Zeroizing::new(line.to_owned()))
        .ok_or_else(|| fault(&"NUL in name or password"))
}
