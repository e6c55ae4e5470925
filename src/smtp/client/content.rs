//! Content: what must be known of a message before it is offered to a next hop. Reads it once; never changes it.

use super::stuffing::Unsendable;
use crate::smtp::scan;
use crate::smtp::{CR, LF};

/// Whether octets are all below 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Octets {
    /// Each fits seven bits.
    SevenBit,
    /// One or more do not.
    EightBit,
}

/// The facts of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Octets, for SIZE.
    pub bytes: u64,
    /// Up to the first empty line: 8-bit there needs SMTPUTF8.
    pub header: Octets,
    /// The whole: 8-bit needs 8BITMIME.
    pub whole: Octets,
    /// Line ends that would be dangerous to send.
    pub line_ends: Result<(), Unsendable>,
}

impl Survey {
    /// Looks at a whole message as it will be handed to the client.
    pub fn of(message: &[u8]) -> Survey {
        let (header_bytes, line_ends) = lines(message);
        Survey {
            bytes: message.len() as u64,
            header: octets(&message[..header_bytes]),
            whole: octets(message),
            line_ends,
        }
    }
}

fn octets(octets: &[u8]) -> Octets {
    if octets.is_ascii() { Octets::SevenBit } else { Octets::EightBit }
}

/// Where the header ends, and whether all lines end in CRLF.
fn lines(message: &[u8]) -> (usize, Result<(), Unsendable>) {
    let (mut start, mut header_bytes) = (0, None);
    while let Some(length) = scan::line_break(&message[start..]) {
        let end = start + length;
        match (message[end], message.get(end + 1)) {
            (CR, Some(&LF)) if length == 0 => header_bytes = header_bytes.or(Some(start)),
            (CR, Some(&LF)) => {}
            (CR, _) => return (header_bytes.unwrap_or(message.len()), Err(Unsendable::BareCr)),
            _ => return (header_bytes.unwrap_or(message.len()), Err(Unsendable::BareLf)),
        }
        start = end + 2;
    }
    (header_bytes.unwrap_or(message.len()), Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_message_needs() {
        use Octets::{EightBit, SevenBit};
        let check = |message: &[u8], header, whole, line_ends| {
            let bytes = message.len() as u64;
            assert_eq!(Survey::of(message), Survey { bytes, header, whole, line_ends }, "{message:?}");
        };
        check(b"", SevenBit, SevenBit, Ok(()));
        check(b"a: b\r\n\r\nc", SevenBit, SevenBit, Ok(()));
        check(b"a: b\r\n\r\n\xfc\r\n\r\n", SevenBit, EightBit, Ok(()));
        check(b"a: \xfc\r\n\r\nb", EightBit, EightBit, Ok(()));
        check(b"\r\n\xfc", SevenBit, EightBit, Ok(()));
        check(b"a\n\xfc", EightBit, EightBit, Err(Unsendable::BareLf));
        check(b"a\r\n\r", SevenBit, SevenBit, Err(Unsendable::BareCr));
    }
}
