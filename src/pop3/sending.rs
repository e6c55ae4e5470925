//! Multi-line answers (RFC 1939 section 3), written piece by piece: a message with dots stuffed, or a listing.

use super::maildrop::Entry;
use super::maildrop::Maildrop;
use super::reply;
use super::session::OUTPUT_BYTES_FULL;

/// A multi-line answer under way.
pub(super) enum Sending {
    Message(Stuffing),
    Listing(Listing),
}

/// What a listing shows of each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Size,
    Id,
}

/// LIST or UIDL of all messages.
pub(super) struct Listing {
    column: Column,
    next: usize,
}

/// The line for one message, without its line break.
pub(super) fn line(column: Column, number: usize, entry: &Entry) -> String {
    match column {
        Column::Size => format!("{number} {}", entry.size),
        Column::Id => format!("{number} {}", entry.id),
    }
}

/// Whether an answer is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    Again,
}

impl Sending {
    pub(super) fn listing(column: Column) -> Sending {
        Sending::Listing(Listing { column, next: 1 })
    }

    pub(super) fn message(octets: Vec<u8>) -> Sending {
        Sending::Message(Stuffing { octets, written: 0 })
    }

    /// Goes on until done or `out` is full.
    pub(super) fn run(&mut self, maildrop: &Maildrop, out: &mut Vec<u8>) -> Progress {
        match self {
            Sending::Message(stuffing) => stuffing.run(out),
            Sending::Listing(listing) => listing.run(maildrop, out),
        }
    }
}

impl Listing {
    fn run(&mut self, maildrop: &Maildrop, out: &mut Vec<u8>) -> Progress {
        while out.len() < OUTPUT_BYTES_FULL {
            let Some((number, entry)) = maildrop.next_shown(self.next) else {
                out.extend_from_slice(b".\r\n");
                return Progress::Done;
            };
            self.next = number + 1;
            reply::line(out, &line(self.column, number, entry));
        }
        Progress::Again
    }
}

/// A message on its way. A dot is stuffed behind every LF, also a bare one: clients that end lines there would else take a
/// lone dot for the end, and what follows for answers.
pub(super) struct Stuffing {
    octets: Vec<u8>,
    written: usize,
}

impl Stuffing {
    fn run(&mut self, out: &mut Vec<u8>) -> Progress {
        while self.written < self.octets.len() {
            if out.len() >= OUTPUT_BYTES_FULL {
                return Progress::Again;
            }
            self.write_some(out);
        }
        let ends_line = self.octets.is_empty() || self.octets.ends_with(b"\r\n");
        out.extend_from_slice(if ends_line { b".\r\n" } else { b"\r\n.\r\n" });
        Progress::Done
    }

    /// One line, or as much of it as there is room for.
    fn write_some(&mut self, out: &mut Vec<u8>) {
        let rest = &self.octets[self.written..];
        let at_start = self.written == 0 || self.octets[self.written - 1] == b'\n';
        if at_start && rest[0] == b'.' {
            out.push(b'.');
        }
        let room = OUTPUT_BYTES_FULL.saturating_sub(out.len()).max(1).min(rest.len());
        let end = rest[..room].iter().position(|b| *b == b'\n').map_or(room, |at| at + 1);
        out.extend_from_slice(&rest[..end]);
        self.written += end;
    }
}

/// The header, the empty line and `lines` lines of the body, which begins at `body`.
pub(super) fn top(mut octets: Vec<u8>, body: usize, lines: u64) -> Vec<u8> {
    let body = body.min(octets.len());
    let mut left = lines;
    let end = octets[body..].iter().position(|b| {
        let stop = left == 0;
        if *b == b'\n' {
            left = left.saturating_sub(1);
        }
        stop
    });
    if let Some(end) = end {
        octets.truncate(body + end);
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_stuffed_and_ends_framed() {
        let check = |message: &[u8], expected: &[u8]| {
            let mut out = Vec::new();
            assert_eq!(Sending::message(message.to_vec()).run(&Maildrop::default(), &mut out), Progress::Done);
            assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
        };
        check(b"", b".\r\n");
        check(b"a\r\n", b"a\r\n.\r\n");
        check(b"a", b"a\r\n.\r\n");
        check(b".\r\n..\r\na.\r\n", b"..\r\n...\r\na.\r\n.\r\n");
        check(b"a\n.\r\nb\n", b"a\n..\r\nb\n\r\n.\r\n");
        check(b"a\0b\r\n", b"a\0b\r\n.\r\n");
    }

    #[test]
    fn a_large_message_goes_in_pieces() {
        let message = b".x\r\n".repeat(OUTPUT_BYTES_FULL / 2);
        let mut sending = Sending::message(message.clone());
        let (mut sent, mut steps) = (Vec::new(), 0);
        loop {
            let mut out = Vec::new();
            let progress = sending.run(&Maildrop::default(), &mut out);
            assert!(out.len() <= OUTPUT_BYTES_FULL + 8);
            sent.extend(out);
            steps += 1;
            if progress == Progress::Done {
                break;
            }
        }
        assert!(steps > 2);
        assert_eq!(sent, [&b"..x\r\n".repeat(OUTPUT_BYTES_FULL / 2)[..], b".\r\n"].concat());
    }

    #[test]
    fn top_counts_body_lines() {
        let message = b"A: b\r\n\r\none\r\ntwo\r\nthree";
        let check = |lines, expected: &[u8]| assert_eq!(top(message.to_vec(), 8, lines), expected, "{lines}");
        check(0, b"A: b\r\n\r\n");
        check(1, b"A: b\r\n\r\none\r\n");
        check(2, b"A: b\r\n\r\none\r\ntwo\r\n");
        check(3, message);
        check(u64::MAX, message);
        assert_eq!(top(b"A: b".to_vec(), 99, 0), b"A: b");
    }
}
