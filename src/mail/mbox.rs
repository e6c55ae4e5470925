//! mbox: many messages in one file. Reads as a stream, one message in memory at a time; never trusts Content-Length.
//!
//! ```text
//! mbox      = *( From_ message empty )
//! From_     = "From " sender SP date LF         begins a message: at the start of the file or behind an empty line
//! message   = *line                             mboxrd: `>*From ` at the start of a line has one `>` more
//! ```
//!
//! There are four dialects and no mark to tell them by. All are read as mboxrd, and a line begins a message when it has a date as well. So a
//! body line `From here on` of a careless writer divides nothing; a body line of mboxo that began with `>From ` loses its `>`; and
//! Content-Length (mboxcl) is passed over: senders write that field too, and one who guessed a length well would hide the next
//! messages in his own.

use super::date::date_s;
use crate::clock::Timestamp;
use minicbor::{Decode, Encode};
use std::io;
use std::io::BufRead;

/// Octets of a From_ line; a longer line is none.
pub const FROM_LINE_BYTES_MAX: usize = 1000;
/// Octets read as one piece of a line.
const PIECE_BYTES_MAX: u64 = 64 * 1024;

/// What a From_ line says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FromLine {
    /// The word behind `From `: an address, `MAILER-DAEMON`, `-`, or nothing.
    #[n(0)]
    pub sender: String,
    /// Its date.
    #[n(1)]
    pub at: Timestamp,
}

impl FromLine {
    /// Reads a line, its line break at most behind it. `None` when it has no date.
    ///
    /// ```text
    /// From alice@example.org Tue Nov 24 17:03:42 2026
    /// From - Tue Nov 24 17:03 +0100 2026
    /// From alice@example.org Tue, 24 Nov 2026 17:03:42 +0100
    /// ```
    pub fn parse(line: &[u8]) -> Option<FromLine> {
        let rest = line.strip_prefix(b"From ").filter(|_| line.len() <= FROM_LINE_BYTES_MAX)?;
        let text = String::from_utf8_lossy(rest);
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        // The sender may have blanks in it, so the date is looked for from behind.
        let day = words.iter().rposition(|word| is_weekday(word))?;
        let at = date(&words[day + 1..])?;
        Some(FromLine { sender: words[..day].join(" "), at })
    }
}

fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let word = word.trim_end_matches(',');
    word.len() >= 3 && DAYS.iter().any(|day| word.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(day)))
}

/// `month day time [zone] year [zone]` of asctime and its relatives, or `day month year time [zone]` of RFC 5322; UTC without a zone.
fn date(words: &[&str]) -> Option<Timestamp> {
    let [first, second, rest @ ..] = words else { return None };
    if first.bytes().all(|b| b.is_ascii_digit()) {
        return date_s(words.join(" ").as_bytes()).map(Timestamp::from_s);
    }
    let is_year = |word: &&&str| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit());
    let time = rest.first().filter(|time| time.contains(':'))?;
    let year = rest.iter().skip(1).find(is_year)?;
    let zone = rest.iter().skip(1).find(|word| !is_year(word)).copied().unwrap_or("+0000");
    date_s(format!("{second} {first} {year} {time} {zone}").as_bytes()).map(Timestamp::from_s)
}

/// One message of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where its From_ line begins, in octets from the start of the file.
    pub position: u64,
    /// Its From_ line.
    pub from: FromLine,
    /// Its octets with line breaks as they stand in the file, quoting of `From ` undone; or that it has more than it may.
    pub octets: Result<Vec<u8>, TooLong>,
}

/// A message has more octets than its reader takes. It was read over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("longer than {0} octets")]
pub struct TooLong(pub u64);

/// Divides a file into its messages.
#[derive(Debug)]
pub struct Messages<R> {
    reader: R,
    bytes_max: u64,
    /// Octets read so far.
    at: u64,
    piece: Vec<u8>,
    /// The From_ line whose message comes next.
    next: Option<(u64, FromLine)>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Inside,
    End,
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not begin with a From_ line.
    #[error("not an mbox: it does not begin with `From `, a sender and a date")]
    NotMbox,
    /// It could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl<R: BufRead> Messages<R> {
    /// Of a file read from its start. A message longer than `bytes_max` is not kept.
    pub fn new(reader: R, bytes_max: u64) -> Messages<R> {
        Messages { reader, bytes_max, at: 0, piece: Vec::new(), next: None, state: State::Start }
    }

    /// Octets of the file read so far.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next line, or what fits of it; false at the end.
    fn read_piece(&mut self) -> io::Result<bool> {
        self.piece.clear();
        let mut bounded = io::Read::take(&mut self.reader, PIECE_BYTES_MAX);
        io::BufRead::read_until(&mut bounded, b'\n', &mut self.piece)?;
        self.at += self.piece.len() as u64;
        Ok(!self.piece.is_empty())
    }

    fn begin(&mut self) -> Result<(), Error> {
        let mut start = 0;
        while self.read_piece()? {
            let line = std::mem::take(&mut self.piece);
            // Some writers begin with an empty line.
            if !is_empty_line(&line) {
                let from = FromLine::parse(&line).ok_or(Error::NotMbox)?;
                self.next = Some((start, from));
                return Ok(());
            }
            start = self.at;
        }
        Ok(())
    }

    fn message(&mut self) -> Result<Option<Message>, Error> {
        if self.state == State::Start {
            self.begin()?;
            self.state = State::Inside;
        }
        let Some((position, from)) = self.next.take() else { return Ok(None) };
        let mut body = Body { octets: Vec::new(), bytes: 0, bytes_max: self.bytes_max };
        let mut line = Line::Begins;
        let mut before_is_empty = false;
        loop {
            let start = self.at;
            if !self.read_piece()? {
                break;
            }
            let begins = line == Line::Begins;
            line = if self.piece.ends_with(b"\n") { Line::Begins } else { Line::GoesOn };
            if begins
                && before_is_empty
                && let Some(from) = FromLine::parse(&self.piece)
            {
                self.next = Some((start, from));
                break;
            }
            before_is_empty = begins && is_empty_line(&self.piece);
            body.add(if begins { unquoted(&self.piece) } else { &self.piece });
        }
        Ok(Some(Message { position, from, octets: body.finish() }))
    }
}

impl<R: BufRead> Iterator for Messages<R> {
    type Item = Result<Message, Error>;
    /// The next message. Behind an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::End {
            return None;
        }
        let read = self.message();
        if !matches!(read, Ok(Some(_))) {
            self.state = State::End;
        }
        read.transpose()
    }
}

/// Whether the next piece begins a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Begins,
    GoesOn,
}

struct Body {
    octets: Vec<u8>,
    bytes: u64,
    bytes_max: u64,
}

impl Body {
    fn add(&mut self, octets: &[u8]) {
        self.bytes += octets.len() as u64;
        // The empty line at the end may be one more than the message has.
        if self.bytes <= self.bytes_max.saturating_add(2) {
            self.octets.extend_from_slice(octets);
        } else {
            self.octets = Vec::new();
        }
    }
    /// Without the empty line that ends each message in the file.
    fn finish(mut self) -> Result<Vec<u8>, TooLong> {
        if self.bytes > self.bytes_max.saturating_add(2) {
            return Err(TooLong(self.bytes_max));
        }
        let extra = match self.octets.as_slice() {
            b"\n" | b"\r\n" => self.octets.len(),
            octets if octets.ends_with(b"\r\n\r\n") => 2,
            octets if octets.ends_with(b"\n\n") => 1,
            _ => 0,
        };
        self.octets.truncate(self.octets.len() - extra);
        if self.octets.len() as u64 <= self.bytes_max { Ok(self.octets) } else { Err(TooLong(self.bytes_max)) }
    }
}

fn is_empty_line(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// A line with one `>` less, where it was quoted.
fn unquoted(line: &[u8]) -> &[u8] {
    let quotes = line.iter().take_while(|&&b| b == b'>').count();
    if quotes > 0 && line[quotes..].starts_with(b"From ") { &line[1..] } else { line }
}

/// The form of a message in an mboxrd file behind its From_ line: CRLF becomes LF, `>*From ` gets one more `>`, and an empty line ends it.
pub fn quoted(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 64);
    for line in octets.split_inclusive(|&b| b == b'\n') {
        let quotes = line.iter().take_while(|&&b| b == b'>').count();
        if line[quotes..].starts_with(b"From ") {
            out.push(b'>');
        }
        match line.strip_suffix(b"\r\n") {
            Some(content) => {
                out.extend_from_slice(content);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

/// Whether a message can be had back from its mboxrd form: all its lines end in CRLF, the last one too, and none in one CR more.
pub fn is_exact(octets: &[u8]) -> bool {
    let ends_well = |line: &[u8]| line.strip_suffix(b"\r").is_some_and(|content| !content.ends_with(b"\r"));
    octets.ends_with(b"\r\n") && octets.split(|&b| b == b'\n').rev().skip(1).all(ends_well)
}

/// The date of a From_ line: `Tue Nov 24 17:03:42 2026`, in UTC.
pub fn asctime(at: Timestamp) -> String {
    let date = at.rfc5322();
    let words: Vec<&str> = date.trim_end_matches(" +0000").split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        [weekday, day, month, year, time] => format!("{weekday} {month} {day:>2} {time} {year}"),
        _ => date,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &[u8], bytes_max: u64) -> Vec<(u64, Result<String, TooLong>)> {
        let text = |octets: Vec<u8>| String::from_utf8(octets).expect("ASCII");
        let read = Messages::new(file, bytes_max).map(|message| message.expect("readable"));
        read.map(|message| (message.position, message.octets.map(text))).collect()
    }
    fn whole(file: &str) -> Vec<String> {
        read(file.as_bytes(), 1 << 20).into_iter().map(|(_, octets)| octets.expect("short")).collect()
    }
    const AT: &str = "Tue Nov 24 17:03:42 2026";

    #[test]
    fn messages_are_divided_at_from_lines_with_a_date() {
        for (file, expected) in [
            (format!("From a@x {AT}\nA: b\n\nx\n\nFrom - {AT}\nC: d\n\n"), vec!["A: b\n\nx\n", "C: d\n"]),
            (
                format!("From a@x {AT}\r\nA: b\r\n\r\nx\r\n\r\nFrom b {AT}\r\nC: d\r\n"),
                vec!["A: b\r\n\r\nx\r\n", "C: d\r\n"],
            ),
            (format!("\n\nFrom a {AT}\nA: b\n\nFrom here on\n\nx"), vec!["A: b\n\nFrom here on\n\nx"]),
            // Not behind an empty line.
            (format!("From a {AT}\nA: b\n\nx\nFrom b {AT}\ny\n"), vec!["A: b\n\nx\nFrom b {AT}\ny\n"]),
            (
                format!("From a {AT}\nA: b\n\n>From c\n>>From d\n> From e\n>from f\n\n"),
                vec!["A: b\n\nFrom c\n>From d\n> From e\n>from f\n"],
            ),
            // A sender's Content-Length hides nothing.
            (
                format!("From a {AT}\nContent-Length: 999\n\nx\n\nFrom b {AT}\nC: d\n\n"),
                vec!["Content-Length: 999\n\nx\n", "C: d\n"],
            ),
            (format!("From a {AT}\n\n\nFrom b {AT}\n\n\n"), vec!["\n", "\n"]),
            (format!("From a {AT}\n\nFrom b {AT}\n"), vec!["", ""]),
            (String::new(), vec![]),
            ("\n\n".to_owned(), vec![]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(|text| text.replace("{AT}", AT)).collect();
            assert_eq!(whole(&file), expected, "{file:?}");
        }
        assert!(matches!(Messages::new(&b"Subject: x\n\n"[..], 9).next(), Some(Err(Error::NotMbox))));
        assert!(matches!(Messages::new(&b"From here on\n"[..], 9).next(), Some(Err(Error::NotMbox))));
    }

    #[test]
    fn from_lines_of_all_kinds_have_a_date() {
        let at = |line: &str| FromLine::parse(line.as_bytes()).map(|from| (from.sender, from.at.rfc3339()));
        for (line, sender, date) in [
            ("From alice@example.org Tue Nov 24 17:03:42 2026\n", "alice@example.org", "2026-11-24T17:03:42.000Z"),
            ("From - Sun Nov  1 17:03:42 2026\r\n", "-", "2026-11-01T17:03:42.000Z"),
            ("From MAILER-DAEMON Tue Nov 24 17:03 2026", "MAILER-DAEMON", "2026-11-24T17:03:00.000Z"),
            ("From a@x Tue Nov 24 17:03:42 +0100 2026", "a@x", "2026-11-24T16:03:42.000Z"),
            ("From a@x Tue Nov 24 17:03:42 EST 2026", "a@x", "2026-11-24T22:03:42.000Z"),
            ("From a@x Tue Nov 24 17:03:42 2026 -0500", "a@x", "2026-11-24T22:03:42.000Z"),
            ("From a@x Tue, 24 Nov 2026 17:03:42 +0100", "a@x", "2026-11-24T16:03:42.000Z"),
            ("From Sun <a b@x> Tue Nov 24 17:03:42 2026", "Sun <a b@x>", "2026-11-24T17:03:42.000Z"),
            ("From  Tue Nov 24 17:03:42 2026", "", "2026-11-24T17:03:42.000Z"),
        ] {
            assert_eq!(at(line), Some((sender.to_owned(), date.to_owned())), "{line}");
        }
        for line in [
            "From me to you",
            "From a Tue",
            "From a Tue Nov 24 2026",
            "from a Tue Nov 24 17:03:42 2026",
            "From a Tue Foo 24 17:03:42 2026",
            "Fro",
        ] {
            assert_eq!(at(line), None, "{line}");
        }
        let long = |bytes: usize| format!("From {} {AT}", "x".repeat(bytes - AT.len() - 6));
        assert!(at(&long(FROM_LINE_BYTES_MAX)).is_some() && at(&long(FROM_LINE_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn a_message_that_is_too_long_is_read_over() {
        let file = format!("From a {AT}\n{}\n\nFrom b {AT}\nC: d\n\n", "x".repeat(200_000));
        let second = 32 + 200_002;
        assert_eq!(read(file.as_bytes(), 200_001).len(), 2);
        assert!(read(file.as_bytes(), 200_001)[0].1.is_ok(), "at the bound");
        let found = read(file.as_bytes(), 200_000);
        assert_eq!(found, [(0, Err(TooLong(200_000))), (second, Ok("C: d\n".to_owned()))], "one past it");
    }

    #[test]
    fn quoting_ends_each_message_and_can_be_undone() {
        for (message, expected, exact) in [
            (
                &b"From: a\r\n\r\nFrom here\r\n>From there\r\n"[..],
                &b"From: a\n\n>From here\n>>From there\n\n"[..],
                true,
            ),
            (b"x", b"x\n\n", false),
            (b"", b"\n\n", false),
            (b"a\rb\r\n", b"a\rb\n\n", true),
            (b"a\nb\r\n", b"a\nb\n\n", false),
            (b"a\r\r\n", b"a\r\n\n", false),
            (b"\r\n", b"\n\n", true),
        ] {
            assert_eq!(quoted(message), expected);
            assert_eq!(is_exact(message), exact, "{}", message.escape_ascii());
        }
        assert_eq!(asctime(Timestamp::from_s(880_127_706)), "Fri Nov 21 15:55:06 1997");
    }
}
