//! SMTP (RFC 5321) and LMTP (RFC 2033): a server and a client core over bytes. Knows neither policy, keys nor archive, and
//! does no I/O: octets go in, octets and events come out, and whoever drives a core owns the socket and the clock.
//!
//! ```text
//! limits     every bound, and how long drivers wait
//! scan       finds line ends, a word at a time
//! xtext      octets as visible ASCII, in parameters
//! server     session: commands in, replies out; framing: the one automaton that knows where a message ends
//! client     delivery: replies in, commands out; stuffing: the one place that writes message content to a wire
//! ```

pub mod client;
pub mod limits;
mod scan;
pub mod server;
#[cfg(test)]
mod transcripts;
pub mod xtext;

/// Which of the two protocols a session speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 5321: one reply for all recipients.
    #[default]
    Smtp,
    /// RFC 2033: `LHLO`, and one reply per accepted recipient at the end of the data.
    Lmtp,
}

const CR: u8 = b'\r';
const LF: u8 = b'\n';
