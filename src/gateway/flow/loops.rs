//! The loop guard: tells mail that goes round in circles from mail that comes by again. Believes no mark but one that only this
//! gateway can have made, and lets no other leave.
//!
//! ```text
//! X-Sealpost-Loop: id CRLF HTAB hex(HMAC-SHA-256(key, hostname, direction, id, Date, Message-ID))
//! ```
//!
//! Each part of the HMAC has its length in front; the two fields are taken unfolded, the first of each. What our own users sent
//! may come back to us by a mailing list, so going out and coming in are told apart.

use crate::crypto::hash;
use crate::crypto::mac;
use crate::crypto::{Digest, Secret};
use crate::mail::header;
use crate::mail::{Direction, MailId};
use std::sync::Arc;

/// The mark's name.
const FIELD: &str = "X-Sealpost-Loop";
/// Received fields that a message may carry; one more and it is in a loop (RFC 5321 section 6.3).
const RECEIVED_MAX: usize = 100;
/// Those among them that are ours: out, in by a mailing list, and both again by a forwarder. One more and it is in a loop.
const OWN_RECEIVED_MAX: usize = 4;

/// Whether a message has been here too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// No.
    Straight,
    /// Yes.
    Loop,
}

/// What renditions are made of: a message as received, less the marks that are not ours.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its octets.
    pub octets: Arc<Vec<u8>>,
    /// Whether they are those received.
    pub state: State,
}

/// Whether anything was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No.
    AsReceived,
    /// Yes.
    Stripped,
}

/// What the mark is made with.
#[derive(Clone, Copy, Debug)]
pub struct Guard<'a> {
    /// One use: marks of this gateway.
    pub key: &'a Secret<32>,
    /// The gateway.
    pub hostname: &'a str,
    /// Which way the message goes.
    pub direction: Direction,
}

impl Guard<'_> {
    /// Looks at the trace of a message.
    pub fn path(&self, octets: &[u8]) -> Path {
        let head = head(octets);
        let (mut all, mut own) = (0, 0);
        for field in header::named(head, "Received") {
            all += 1;
            own += usize::from(is_by(field.value, self.hostname));
        }
        let has_mark = || header::named(head, FIELD).any(|field| self.made(head, field.value, self.direction));
        if all > RECEIVED_MAX || own > OWN_RECEIVED_MAX || has_mark() { Path::Loop } else { Path::Straight }
    }

    /// The mark for a message on its way through.
    pub fn mark(&self, octets: &[u8], id: &MailId) -> Vec<u8> {
        let tag = self.tag(head(octets), &id.to_string(), self.direction);
        format!("{FIELD}: {id}\r\n\t{}\r\n", hash::hex(&tag)).into_bytes()
    }

    /// Takes out what calls itself our mark and is not.
    pub fn strip(&self, octets: Vec<u8>) -> Base {
        let head = head(&octets);
        let ways = [Direction::Outbound, Direction::Inbound];
        let is_foreign = |field: &header::Field<'_>| !ways.into_iter().any(|way| self.made(head, field.value, way));
        let foreign: Vec<_> =
            header::named(head, FIELD).filter(is_foreign).map(|f| f.start..f.start + f.raw.len()).collect();
        if foreign.is_empty() {
            return Base { octets: Arc::new(octets), state: State::AsReceived };
        }
        let (mut kept, mut at) = (Vec::with_capacity(octets.len()), 0);
        for field in foreign {
            kept.extend_from_slice(&octets[at..field.start]);
            at = field.end;
        }
        kept.extend_from_slice(&octets[at..]);
        Base { octets: Arc::new(kept), state: State::Stripped }
    }

    fn made(&self, head: &[u8], value: &[u8], direction: Direction) -> bool {
        let value = header::unfold(value);
        let Ok(text) = std::str::from_utf8(&value) else { return false };
        let mut words = text.split_ascii_whitespace();
        let (Some(id), Some(tag), None) = (words.next(), words.next(), words.next()) else { return false };
        hash::unhex(tag).is_some_and(|tag| mac::are_equal(&tag, &self.tag(head, id, direction)))
    }

    fn tag(&self, head: &[u8], id: &str, direction: Direction) -> Digest {
        let first = |name: &str| header::named(head, name).next().map(|field| header::unfold(field.value));
        let (date, message_id) = (first("Date").unwrap_or_default(), first("Message-ID").unwrap_or_default());
        let mut said = Vec::new();
        for part in [self.hostname.as_bytes(), direction.word().as_bytes(), id.as_bytes(), &date, &message_id] {
            said.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            said.extend_from_slice(part);
        }
        mac::hmac_sha256(self.key.expose(), &[&said])
    }
}

fn head(octets: &[u8]) -> &[u8] {
    let (span, _) = header::split(octets);
    &octets[..usize::try_from(span.end).unwrap_or(octets.len())]
}

/// Whether a trace field says `by` this host. What stands in it a forger may have written: it only counts together with others.
fn is_by(value: &[u8], hostname: &str) -> bool {
    let value = header::unfold(value);
    let words: Vec<&[u8]> = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    words
        .windows(2)
        .any(|pair| pair[0].eq_ignore_ascii_case(b"by") && pair[1].eq_ignore_ascii_case(hostname.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(key: &Secret<32>, direction: Direction) -> Guard<'_> {
        Guard { key, hostname: "gw.example.org", direction }
    }
    fn id() -> MailId {
        MailId::from_octets([7; 16])
    }
    const MESSAGE: &str =
        "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <a@b.example>\r\nSubject: x\r\n\r\nbody\r\n";

    fn marked(key: &Secret<32>, direction: Direction) -> String {
        let mark = guard(key, direction).mark(MESSAGE.as_bytes(), &id());
        String::from_utf8(mark).expect("ASCII") + MESSAGE
    }

    #[test]
    fn a_message_that_comes_the_same_way_again_is_in_a_loop() {
        let (key, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let (out, back) = (Direction::Outbound, Direction::Inbound);
        let message = marked(&key, out);
        let check = |message: &str, guard: Guard<'_>, expected: Path| {
            assert_eq!(guard.path(message.as_bytes()), expected, "{guard:?} {message}");
        };
        check(MESSAGE, guard(&key, out), Path::Straight);
        check(&message, guard(&key, out), Path::Loop);
        check(&message, guard(&key, back), Path::Straight);
        check(&message, guard(&other, out), Path::Straight);
        check(&message, Guard { hostname: "gw2.example.org", ..guard(&key, out) }, Path::Straight);
        check(&format!("Received: from x by y\r\n{message}"), guard(&key, out), Path::Loop);
        // Another hop may fold it anew; nothing else may change.
        check(&message.replace("\r\n\t", " "), guard(&key, out), Path::Loop);
        check(&message.replace("Subject: x", "Subject: y"), guard(&key, out), Path::Loop);
        for (from, to) in [("1970", "1971"), ("<a@b", "<b@b"), ("Message-ID", "X-ID"), (": 07", ": 08")] {
            check(&message.replacen(from, to, 1), guard(&key, out), Path::Straight);
        }
    }

    #[test]
    fn marks_that_are_not_ours_do_not_leave() {
        let (key, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let own = marked(&key, Direction::Inbound);
        let stripped = |text: &str| {
            let base = guard(&key, Direction::Outbound).strip(text.as_bytes().to_vec());
            (String::from_utf8(base.octets.to_vec()).expect("UTF-8"), base.state)
        };
        assert_eq!(stripped(&own), (own.clone(), State::AsReceived), "we have to know it when it comes again");
        assert_eq!(stripped(&marked(&other, Direction::Inbound)), (MESSAGE.to_owned(), State::Stripped));
        let forged = format!(
            "X-sealpost-LOOP : x\r\n y\r\nSubject: z\r\nX-Sealpost-Loop:\r\n{own}X-Sealpost-Loop: in the body\r\n"
        );
        let expected = format!("Subject: z\r\n{own}X-Sealpost-Loop: in the body\r\n");
        assert_eq!(stripped(&forged), (expected, State::Stripped));
        assert_eq!(stripped("X-Sealpost-Loop: x"), (String::new(), State::Stripped));
    }

    #[test]
    fn received_fields_are_counted_on_both_sides() {
        let key = Secret::new([1; 32]);
        let check = |field: &str, count: usize, expected: Path| {
            let message = format!("{}{MESSAGE}", field.repeat(count));
            assert_eq!(guard(&key, Direction::Inbound).path(message.as_bytes()), expected, "{count} {field}");
        };
        check("Received: from a by b\r\n", RECEIVED_MAX, Path::Straight);
        check("Received: from a by b\r\n", RECEIVED_MAX + 1, Path::Loop);
        let own = "received: from a ([192.0.2.1])\r\n\tby GW.example.org (Sealpost) with ESMTP; now\r\n";
        check(own, OWN_RECEIVED_MAX, Path::Straight);
        check(own, OWN_RECEIVED_MAX + 1, Path::Loop);
        check("Received: from gw.example.org by gw.example.org.x\r\n", OWN_RECEIVED_MAX + 1, Path::Straight);
        check("Subject: by gw.example.org\r\n", OWN_RECEIVED_MAX + 1, Path::Straight);
    }
}
