//! What end-to-end tests stand on: a gateway process, a next hop, plain clients and the real peers. Nothing of the library:
//! the tests see what the outside sees.

pub mod corpus;
pub mod dns;
pub mod dovecot;
pub mod gateway;
pub mod peers;
pub mod script;
pub mod sink;
pub mod smtp;
pub mod tls_hop;
pub mod tsa;

pub use gateway::{Gateway, Options};
pub use sink::{Delivered, Sink};
pub use smtp::Client;

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Calls `ready` until it gives something or the time is over.
pub fn eventually<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port on loopback that is free, was given to nobody else here, and lies below those the system gives to clients.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 50).expect("small") * 200;
    loop {
        let port = 20_000 + offset + NEXT.fetch_add(1, Ordering::SeqCst);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
