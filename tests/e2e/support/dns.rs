//! A DNS server on loopback that knows what a test tells it. Encodes by hand (RFC 1035), apart from the product's resolver.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is known of a name.
#[derive(Clone, Debug)]
pub enum Known {
    /// MX records.
    Mx(Vec<(u16, &'static str)>),
    /// An A record.
    A(Ipv4Addr),
    /// The server fails.
    Broken,
    /// The server says nothing.
    Silent,
}

/// A running server.
pub struct Dns {
    port: u16,
    is_over: Arc<AtomicBool>,
}

const MX: u16 = 15;
const A: u16 = 1;

impl Dns {
    /// Serves these names; all others do not exist.
    pub fn start(names: &[(&str, Known)]) -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        let dns = Dns { port: socket.local_addr().expect("address").port(), is_over: Arc::default() };
        let names: HashMap<String, Known> =
            names.iter().map(|(name, known)| ((*name).to_owned(), known.clone())).collect();
        let is_over = dns.is_over.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !is_over.load(Ordering::SeqCst) {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(reply) = answer(&buffer[..count], &names) {
                    socket.send_to(&reply, from).expect("send");
                }
            }
        });
        dns
    }
    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

fn answer(query: &[u8], names: &HashMap<String, Known>) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_ascii_lowercase());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let question = &query[12..at + 5];
    let known = names.get(&labels.join("."));
    let (code, records) = match known {
        None => (3, vec![]),
        Some(Known::Broken) => (2, vec![]),
        Some(Known::Silent) => return None,
        Some(Known::Mx(hosts)) if kind == MX => (0, hosts.iter().map(|(n, host)| exchange(*n, host)).collect()),
        Some(Known::A(ip)) if kind == A => (0, vec![ip.octets().to_vec()]),
        Some(_) => (0, vec![]),
    };
    let count = u16::try_from(records.len()).expect("few");
    let mut reply = query[..2].to_vec();
    reply.extend_from_slice(&[0x81, 0x80 | code, 0, 1]);
    reply.extend_from_slice(&count.to_be_bytes());
    reply.extend_from_slice(&[0, 0, 0, 0]);
    reply.extend_from_slice(question);
    for data in records {
        // The question's name, this type, class IN, a minute.
        reply.extend_from_slice(&[0xc0, 12]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        reply.extend_from_slice(&u16::try_from(data.len()).expect("short").to_be_bytes());
        reply.extend_from_slice(&data);
    }
    Some(reply)
}

fn exchange(preference: u16, host: &str) -> Vec<u8> {
    let mut data = preference.to_be_bytes().to_vec();
    for label in host.split('.').filter(|label| !label.is_empty()) {
        data.push(u8::try_from(label.len()).expect("short"));
        data.extend_from_slice(label.as_bytes());
    }
    data.push(0);
    data
}
