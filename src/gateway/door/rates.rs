//! How much one address may do in a minute. Counts and compares; who is counted at all is for the callers to say. Bounded in
//! memory: when there are too many addresses, new ones are not counted.

use crate::gateway::config::Limits;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses counted at once.
const ADDRESSES_MAX: usize = 65_536;
/// How long counts stand, from an address's first deed.
const WINDOW: Duration = Duration::from_secs(60);
/// One subscriber has all of a network of this length (RFC 6177), and so counts as one.
const V6_NETWORK_BITS: u32 = 64;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A connection.
    Connection,
    /// A MAIL.
    Message,
    /// A RCPT.
    Recipient,
    /// An error in the protocol, a recipient denied or a login refused.
    Error,
}

/// Whether there was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// No.
    Fine,
    /// Yes: more than the limit.
    TooFast,
}

/// Counts by address.
#[derive(Debug)]
pub struct Rates {
    limits: [u32; 4],
    by_address: Mutex<HashMap<IpAddr, Counts>>,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    since: Instant,
    of: [u32; 4],
}

impl Rates {
    /// As the limits say.
    pub fn new(limits: &Limits) -> Rates {
        let limits = [
            limits.connections_per_minute,
            limits.messages_per_minute,
            limits.recipients_per_minute,
            limits.errors_per_minute,
        ];
        Rates { limits, by_address: Mutex::default() }
    }

    /// Counts deeds of one address.
    pub fn count(&self, ip: IpAddr, deed: Deed, times: u32) -> Pace {
        self.count_at(ip, deed, times, Instant::now())
    }

    fn count_at(&self, ip: IpAddr, deed: Deed, times: u32, now: Instant) -> Pace {
        let is_over = |counts: &Counts| now.duration_since(counts.since) >= WINDOW;
        // No step under the lock leaves the map half changed.
        let mut all = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let key = subscriber(ip);
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&key) {
            all.retain(|_, counts| !is_over(counts));
            if all.len() >= ADDRESSES_MAX {
                return Pace::Fine;
            }
        }
        let counts = all.entry(key).or_insert(Counts { since: now, of: [0; 4] });
        if is_over(counts) {
            *counts = Counts { since: now, of: [0; 4] };
        }
        let count = &mut counts.of[deed as usize];
        *count = count.saturating_add(times);
        if *count > self.limits[deed as usize] { Pace::TooFast } else { Pace::Fine }
    }
}

fn subscriber(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) >> (128 - V6_NETWORK_BITS) << (128 - V6_NETWORK_BITS);
            Ipv6Addr::from(network).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(messages_per_minute: u32) -> Rates {
        Rates::new(&Limits { messages_per_minute, ..Limits::default() })
    }

    #[test]
    fn limits_hold_on_both_sides_and_for_a_minute() {
        let (rates, start) = (rates(2), Instant::now());
        let count = |ip: &str, after_s: u64| {
            rates.count_at(ip.parse().expect("ip"), Deed::Message, 1, start + Duration::from_secs(after_s))
        };
        let paces = [0, 1, 59, 60, 61, 62].map(|after_s| count("192.0.2.1", after_s));
        assert_eq!(paces, [Pace::Fine, Pace::Fine, Pace::TooFast, Pace::Fine, Pace::Fine, Pace::TooFast]);
        assert_eq!(count("192.0.2.2", 62), Pace::Fine, "another address");
        assert_eq!(count("::ffff:192.0.2.1", 63), Pace::TooFast, "the same address");
        assert_eq!(rates.count("192.0.2.1".parse().expect("ip"), Deed::Recipient, 1), Pace::Fine, "another deed");
        for (ip, pace) in [
            ("2001:db8::1", Pace::Fine),
            ("2001:db8::2", Pace::Fine),
            ("2001:db8::ff:3", Pace::TooFast),
            ("2001:db8:0:1::", Pace::Fine),
        ] {
            assert_eq!(count(ip, 0), pace, "{ip}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (rates, start) = (rates(0), Instant::now());
        let count = |n: usize, at: Instant| {
            let ip = std::net::Ipv4Addr::from(u32::try_from(n).expect("small"));
            rates.count_at(ip.into(), Deed::Message, 1, at)
        };
        assert!((0..ADDRESSES_MAX).all(|n| count(n, start) == Pace::TooFast));
        assert_eq!(count(ADDRESSES_MAX, start), Pace::Fine, "not counted");
        assert_eq!(count(0, start), Pace::TooFast, "still counted");
        assert_eq!(count(ADDRESSES_MAX, start + WINDOW), Pace::TooFast, "there is room again");
        assert_eq!(rates.by_address.lock().expect("lock").len(), 1);
    }
}
