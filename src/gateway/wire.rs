//! A connection: TCP, or TLS over it, with a time limit on every wait. Knows no protocol.

use crate::mail::Tls;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, CommonState, ServerConfig};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long the peer may take to read what we send, per write.
const WRITE: Duration = Duration::from_secs(300);
/// How long a goodbye may take.
const CLOSE: Duration = Duration::from_secs(2);

/// A stream of octets in both directions.
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// We are the TLS server.
    Server(Box<server::TlsStream<TcpStream>>),
    /// We are the TLS client.
    Client(Box<client::TlsStream<TcpStream>>),
}

/// What has come in and was not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Nothing.
    Nothing,
    /// Octets, of TLS or of what it carries.
    Octets,
    /// The peer has closed, or the connection broke.
    End,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stream::Plain(_) => "Stream::Plain",
            Stream::Server(_) => "Stream::Server",
            Stream::Client(_) => "Stream::Client",
        })
    }
}

impl Stream {
    /// Handshakes as the server over a plain stream.
    pub async fn accept_tls(self, config: Arc<ServerConfig>) -> io::Result<Stream> {
        let Stream::Plain(tcp) = self else { return Err(already_tls()) };
        let stream = within(HANDSHAKE, TlsAcceptor::from(config).accept(tcp)).await?;
        Ok(Stream::Server(Box::new(stream)))
    }

    /// Handshakes as the client over a plain stream.
    pub async fn connect_tls(self, config: Arc<ClientConfig>, host: &str) -> io::Result<Stream> {
        let Stream::Plain(tcp) = self else { return Err(already_tls()) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = within(HANDSHAKE, TlsConnector::from(config).connect(name, tcp)).await?;
        Ok(Stream::Client(Box::new(stream)))
    }

    /// The TLS parameters, once spoken; whether a certificate is known is not for here.
    pub fn tls(&self) -> Option<Tls> {
        match self {
            Stream::Plain(_) => None,
            Stream::Server(stream) => Some(parameters(stream.get_ref().1)),
            Stream::Client(stream) => Some(parameters(stream.get_ref().1)),
        }
    }

    /// Looks without reading or waiting.
    pub fn pending(&self) -> Pending {
        use rustix::net::{RecvFlags, recv};
        let tcp = match self {
            Stream::Plain(stream) => stream,
            Stream::Server(stream) => stream.get_ref().0,
            Stream::Client(stream) => stream.get_ref().0,
        };
        let mut one = [0; 1];
        match recv(tcp, &mut one, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Pending::End,
            Ok(_) => Pending::Octets,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Pending::Nothing,
            Err(_) => Pending::End,
        }
    }

    /// The chain a client has shown, leaf first; that it has the key is all that is known of it.
    pub fn client_certificates(&self) -> &[CertificateDer<'static>] {
        match self {
            Stream::Server(stream) => stream.get_ref().1.peer_certificates().unwrap_or_default(),
            Stream::Plain(_) | Stream::Client(_) => &[],
        }
    }

    /// Reads what is there, at most `into.len()` octets; 0 is the end. `TimedOut` after `limit`.
    pub async fn read(&mut self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        let result = match self {
            Stream::Plain(stream) => within(limit, stream.read(into)).await,
            Stream::Server(stream) => within(limit, stream.read(into)).await,
            Stream::Client(stream) => within(limit, stream.read(into)).await,
        };
        match result {
            // A peer that closes TCP without close_notify has ended too; message ends are framed by the protocols above.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }

    /// Writes all of it and flushes.
    pub async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        if octets.is_empty() {
            return Ok(());
        }
        within(WRITE, async {
            match self {
                Stream::Plain(stream) => stream.write_all(octets).await,
                Stream::Server(stream) => {
                    stream.write_all(octets).await?;
                    stream.flush().await
                }
                Stream::Client(stream) => {
                    stream.write_all(octets).await?;
                    stream.flush().await
                }
            }
        })
        .await
    }

    /// Says goodbye: close_notify and FIN. What the peer still sends is read for a moment, so that a reset does not eat our last
    /// reply.
    pub async fn close(mut self) {
        let ended = within(CLOSE, async {
            match &mut self {
                Stream::Plain(stream) => stream.shutdown().await,
                Stream::Server(stream) => stream.shutdown().await,
                Stream::Client(stream) => stream.shutdown().await,
            }?;
            let mut rest = [0; 4096];
            while self.read(&mut rest, CLOSE).await? > 0 {}
            Ok(())
        });
        if let Err(e) = ended.await {
            tracing::debug!("closing: {e}");
        }
    }
}

fn already_tls() -> io::Error {
    io::Error::other("TLS inside TLS")
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn parameters(state: &CommonState) -> Tls {
    let version = match state.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let cipher = state.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    Tls { version: version.to_owned(), cipher: cipher.unwrap_or("unknown").to_owned(), certificate: None }
}
