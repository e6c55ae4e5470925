//! Listening sockets: accepts within the bounds on connections, and stops accepting when told. Speaks no protocol.

use crate::gateway::config::{Limits, Listener, Protocol};
use crate::gateway::ending::stopping;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// Connections the kernel keeps while we are busy.
const BACKLOG: u32 = 1024;
/// Pause after an accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Room for connections, over all listeners.
#[derive(Debug)]
pub struct Places {
    total_max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; given back on drop.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    ip: IpAddr,
}

impl Places {
    /// As the limits say.
    pub fn new(limits: &Limits) -> Arc<Places> {
        Arc::new(Places {
            total_max: limits.connections,
            per_address_max: limits.connections_per_address,
            taken: Mutex::default(),
        })
    }
    /// A place for one more connection from `ip`, if there is one. Loopback is bounded by the total alone.
    pub fn take(self: &Arc<Places>, ip: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_this = taken.by_address.get(&ip).copied().unwrap_or(0);
        if taken.total >= self.total_max || (!ip.is_loopback() && of_this >= self.per_address_max) {
            return None;
        }
        taken.total += 1;
        taken.by_address.insert(ip, of_this + 1);
        Some(Place { places: self.clone(), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        if let Some(of_this) = taken.by_address.get_mut(&self.ip) {
            *of_this = of_this.saturating_sub(1);
            if *of_this == 0 {
                taken.by_address.remove(&self.ip);
            }
        }
    }
}

/// Binds one listener's address. The address may be in TIME_WAIT from a former run.
pub fn bind(listener: &Listener) -> io::Result<TcpListener> {
    let socket = if listener.bind.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listener.bind)?;
    socket.listen(BACKLOG)
}

/// What a client reads when there is no place for it.
fn busy(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Smtp | Protocol::Lmtp => b"421 4.7.0 Too many connections, try again later\r\n",
        Protocol::Imap => b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n",
        Protocol::Pop3 => b"-ERR [SYS/TEMP] Too many connections, try again later\r\n",
    }
}

/// Accepts until `closing` turns true, and gives every connection to `serve`.
pub async fn accept(
    socket: TcpListener,
    protocol: Protocol,
    places: Arc<Places>,
    closing: watch::Receiver<bool>,
    serve: impl Fn(TcpStream, IpAddr, Place),
) {
    loop {
        let accepted = tokio::select! {
            () = stopping(&closing) => return,
            accepted = socket.accept() => accepted,
        };
        let (mut stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!("accept: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!("{peer}: {e}");
        }
        let ip = peer.ip().to_canonical();
        match places.take(ip) {
            Some(place) => serve(stream, ip, place),
            // An implicit-TLS client reads this as a broken handshake, which is as good as a refusal.
            None => drop(tokio::spawn(async move { stream.write_all(busy(protocol)).await })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let limits = Limits { connections: 3, connections_per_address: 1, ..Limits::default() };
        let places = Places::new(&limits);
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let local = IpAddr::from([127, 0, 0, 1]);
        let first = places.take(a).expect("the first");
        assert!(places.take(a).is_none(), "one per address");
        let _second = places.take(b).expect("another address");
        let third = places.take(local).expect("loopback");
        assert!(places.take(local).is_none(), "the total");
        drop(third);
        let _one = places.take(local).expect("given back");
        drop(first);
        let _again = places.take(a).expect("given back");
    }
}
