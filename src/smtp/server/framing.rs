//! Framing: the one automaton that knows where the content of DATA ends. Only CRLF "." CRLF ends it; everything else that some
//! other program might take for an end (LF.LF, CRLF.LF, CR.CR ...) makes the message unfit, never shorter. Never copies.
//!
//! ```text
//! content    = [ lines ] "." CRLF
//! lines      = *( line CRLF )          a line is whatever stands before the next CRLF; one that starts with "." loses it
//! ```
//!
//! The content of BDAT (RFC 3030) is counted, not marked: the same automaton looks at its line ends, and dots are text.

use crate::smtp::limits;
use crate::smtp::scan;
use crate::smtp::{CR, LF};
use serde::Deserialize;

/// What becomes of an LF without CR in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BareLf {
    /// The message is refused; a command line that ends so ends the session.
    #[default]
    Refuse,
    /// It becomes CRLF, for printers and scripts that know no better. It still never ends a message, and a dot behind it is
    /// text.
    Normalize,
}

/// What becomes of content with a [`Fault`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unfit {
    /// It is refused for good.
    #[default]
    Refused,
    /// It is taken as it is, for an archive that delivers to nobody: what sends copies for the record stops for ever at the
    /// first 5xx. What is too large is refused for now.
    Kept,
}

/// Why content cannot be accepted. The first fault stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A CR that no LF follows.
    BareCr,
    /// An LF that follows no CR.
    BareLf,
    /// A line over [`limits::TEXT_LINE_BYTES_MAX`].
    LineTooLong,
    /// No empty line within [`limits::HEADER_BYTES_MAX`].
    HeaderTooLong,
    /// More octets than the session takes.
    TooLarge,
}

/// What the next octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'i> {
    /// Content, dots unstuffed; as much as stands in one run.
    Content(&'i [u8]),
    /// The content is unfit. Told once; no content follows, but the end will.
    Unfit(Fault),
    /// The message ended with the octets consumed so far.
    End,
}

/// Where in a line the last octet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    /// Behind a dot that starts a line.
    Dot,
    /// Behind a dot and a CR that start a line.
    DotCr,
    Text,
    /// Behind a CR in text.
    Cr,
}

/// What a dot at the start of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dots {
    /// Stuffed, or the end (DATA).
    Stuffed,
    /// Text (BDAT).
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    Open,
    Ended,
}

/// The state between two octets of one message.
#[derive(Debug)]
pub struct Framing {
    dots: Dots,
    at: At,
    header: Header,
    line_bytes: usize,
    line_bytes_longest: usize,
    bytes: u64,
    bytes_max: u64,
    bare_lf: BareLf,
    unfit: Unfit,
    fault: Option<Fault>,
}

impl Framing {
    /// At the start of a message of at most `bytes_max` octets that DATA carries.
    pub fn new(bytes_max: u64, bare_lf: BareLf) -> Framing {
        Framing::with(Dots::Stuffed, bytes_max, bare_lf)
    }

    /// The same for one that comes in chunks. Whoever counts their octets says with [`Framing::close`] when the last has come;
    /// there is no [`Piece::End`].
    pub fn chunked(bytes_max: u64, bare_lf: BareLf) -> Framing {
        Framing::with(Dots::Text, bytes_max, bare_lf)
    }

    fn with(dots: Dots, bytes_max: u64, bare_lf: BareLf) -> Framing {
        Framing {
            dots,
            at: At::LineStart,
            header: Header::Open,
            line_bytes: 0,
            line_bytes_longest: 0,
            bytes: 0,
            bytes_max,
            bare_lf,
            unfit: Unfit::Refused,
            fault: None,
        }
    }

    /// The same, with this done to faults.
    #[must_use]
    pub fn when_unfit(self, unfit: Unfit) -> Framing {
        Framing { unfit, ..self }
    }

    /// Reads up to the next piece: how many octets were consumed, and the piece they end with, `None` when all were consumed
    /// without one. After [`Piece::End`] this value is spent.
    pub fn next<'i>(&mut self, input: &'i [u8]) -> (usize, Option<Piece<'i>>) {
        let mut used = 0;
        while used < input.len() {
            let (advanced, piece) = self.advance(&input[used..]);
            used += advanced;
            if piece.is_some() {
                return (used, piece);
            }
        }
        (used, None)
    }

    /// The last chunk has come: why the message is unfit after all. A CR at its end waits for its LF in vain.
    pub fn close(&mut self) -> Option<Fault> {
        if self.at != At::Cr || self.fault.is_some() || self.unfit == Unfit::Kept {
            return None;
        }
        self.fault = Some(Fault::BareCr);
        self.fault
    }

    /// One transition, or one run of content. Consumes an octet or changes state.
    fn advance<'i>(&mut self, input: &'i [u8]) -> (usize, Option<Piece<'i>>) {
        match (self.at, input[0]) {
            (At::LineStart, b'.') if self.dots == Dots::Stuffed => self.pass(At::Dot),
            (At::Dot, CR) => self.pass(At::DotCr),
            (At::DotCr, LF) => (1, Some(Piece::End)),
            (At::DotCr, _) => (0, self.bare_cr(b"\r")),
            // It was handed out when it could still have been half of a line end.
            (At::Cr, octet) if octet != LF => (0, self.bare_cr(b"")),
            (At::LineStart | At::Dot | At::Text, LF) => self.bare_lf(),
            (At::LineStart | At::Dot | At::Text | At::Cr, _) => {
                let run = &input[..self.run(input)];
                (run.len(), self.content(run))
            }
        }
    }

    fn pass<'i>(&mut self, at: At) -> (usize, Option<Piece<'i>>) {
        self.at = at;
        (1, None)
    }

    /// `held` is what of it was not yet handed out.
    fn bare_cr<'i>(&mut self, held: &'static [u8]) -> Option<Piece<'i>> {
        self.at = At::Text;
        match self.unfit {
            Unfit::Refused => self.unfit(Fault::BareCr),
            Unfit::Kept => {
                self.line_bytes += 1;
                self.content(held).filter(|_| !held.is_empty())
            }
        }
    }

    fn bare_lf<'i>(&mut self) -> (usize, Option<Piece<'i>>) {
        self.at = At::Text;
        match self.bare_lf {
            BareLf::Refuse => (1, self.unfit(Fault::BareLf)),
            BareLf::Normalize => {
                self.end_line(2);
                (1, self.content(b"\r\n"))
            }
        }
    }

    /// How far the content goes on: to the end of `input`, a dot that starts a line, or a break that is no CRLF. At least one
    /// octet.
    fn run(&mut self, input: &[u8]) -> usize {
        let mut start = 0;
        if self.at == At::Cr {
            self.end_line(1);
            start = 1;
        }
        loop {
            let is_stuffed = self.dots == Dots::Stuffed && input.get(start) == Some(&b'.');
            if start > 0 && (is_stuffed || start == input.len()) {
                self.at = At::LineStart;
                return start;
            }
            let length = scan::line_break(&input[start..]).unwrap_or(input.len() - start);
            self.line_bytes += length;
            let end = start + length;
            match (input.get(end), input.get(end + 1)) {
                (Some(&CR), Some(&LF)) => {
                    start = end + 2;
                    self.end_line(start);
                }
                (Some(&CR), _) => {
                    self.at = At::Cr;
                    return end + 1;
                }
                _ => {
                    self.at = At::Text;
                    return end;
                }
            }
        }
    }

    /// `behind` is how many octets of the run at hand stand before the next line.
    fn end_line(&mut self, behind: usize) {
        let ends_in_time = self.bytes + behind as u64 <= limits::HEADER_BYTES_MAX;
        if self.line_bytes == 0 && ends_in_time {
            self.header = Header::Ended;
        }
        self.line_bytes_longest = self.line_bytes_longest.max(self.line_bytes);
        self.line_bytes = 0;
    }

    /// Hands out a run, unless the message is unfit or becomes so with it.
    fn content<'i>(&mut self, run: &'i [u8]) -> Option<Piece<'i>> {
        if self.fault.is_some() {
            return None;
        }
        self.bytes += run.len() as u64;
        match self.excess() {
            Some(fault) => self.unfit(fault),
            None => Some(Piece::Content(run)),
        }
    }

    /// Looked at once per run, so when two bounds break in one run the order here decides.
    fn excess(&self) -> Option<Fault> {
        if self.bytes > self.bytes_max {
            return Some(Fault::TooLarge);
        }
        if self.unfit == Unfit::Kept {
            return None;
        }
        if self.line_bytes_longest.max(self.line_bytes) > limits::TEXT_LINE_BYTES_MAX {
            return Some(Fault::LineTooLong);
        }
        let header_too_long = self.header == Header::Open && self.bytes > limits::HEADER_BYTES_MAX;
        header_too_long.then_some(Fault::HeaderTooLong)
    }

    fn unfit<'i>(&mut self, fault: Fault) -> Option<Piece<'i>> {
        if self.fault.is_some() {
            return None;
        }
        self.fault = Some(fault);
        Some(Piece::Unfit(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream holds: content, whether it is fit, and how many octets stand behind its end (`None`: it did not end).
    type Seen = (Vec<u8>, Option<Fault>, Option<usize>);

    fn read(chunks: &[&[u8]], bytes_max: u64, bare_lf: BareLf) -> Seen {
        let mut framing = Framing::new(bytes_max, bare_lf);
        let (mut content, mut fault) = (Vec::new(), None);
        let mut left: usize = chunks.iter().map(|c| c.len()).sum();
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let (used, piece) = framing.next(rest);
                rest = &rest[used..];
                left -= used;
                match piece {
                    Some(Piece::Content(octets)) => content.extend_from_slice(octets),
                    Some(Piece::Unfit(f)) => assert_eq!(fault.replace(f), None, "told once"),
                    Some(Piece::End) => return (content, fault, Some(left)),
                    None => assert!(rest.is_empty(), "all is consumed"),
                }
            }
        }
        (content, fault, None)
    }

    /// However the stream is cut, the same must be seen.
    fn check_with(bare_lf: BareLf, stream: &[u8], content: &[u8], fault: Option<Fault>, left: Option<usize>) {
        for cut in 0..=stream.len() {
            let (one, two) = stream.split_at(cut);
            let seen = read(&[one, two], 1 << 30, bare_lf);
            assert_eq!((seen.1, seen.2), (fault, left), "{stream:?} cut at {cut}");
            if fault.is_none() {
                assert_eq!(seen.0, content, "{stream:?} cut at {cut}");
            }
        }
    }

    fn fit(stream: &[u8], content: &[u8]) {
        check_with(BareLf::Refuse, stream, content, None, Some(0));
    }
    fn unfit(stream: &[u8], fault: Fault, left: Option<usize>) {
        check_with(BareLf::Refuse, stream, b"", Some(fault), left);
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_message() {
        fit(b".\r\n", b"");
        fit(b"\r\n.\r\n", b"\r\n");
        fit(b"a\r\n.\r\n", b"a\r\n");
        fit(b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n");
        fit(b"..\r\n.\r\n", b".\r\n");
        fit(b"...a\r\n..\r\n..\r\n.\r\n", b"..a\r\n.\r\n.\r\n");
        fit(b"a.\r\n.\r\n", b"a.\r\n");
        fit(b"\0\xff\r\n.\r\n", b"\0\xff\r\n");
        check_with(BareLf::Refuse, b"a\r\n.\r\nRSET\r\n", b"a\r\n", None, Some(6));
        check_with(BareLf::Refuse, b"a\r\n.\r", b"a\r\n", None, None);
    }

    #[test]
    fn what_looks_like_an_end_is_none() {
        use Fault::{BareCr, BareLf};
        unfit(b"a\n.\nb", BareLf, None);
        unfit(b"a\n.\r\nb", BareLf, None);
        unfit(b"a\r\n.\nb\r\n.\r\n", BareLf, Some(0));
        unfit(b".\n.\r\n.\r\n", BareLf, Some(0));
        unfit(b"a\r.\rb", BareCr, None);
        unfit(b"a\r\n.\rb", BareCr, None);
        unfit(b"a\r.\r\nb", BareCr, None);
        unfit(b"a\r\n.\r\r\nb\r\n.\r\n", BareCr, Some(0));
        unfit(b"a\r\r\n.\r\n", BareCr, Some(0));
        unfit(b"a\n\r\n.\r\nx", BareLf, Some(1));
        unfit(b"a\r\n.\r.\r\n.\r\n", BareCr, Some(0));
    }

    /// However a counted message is cut, the same must be seen.
    fn chunked(bare_lf: BareLf, message: &[u8], expected: Result<&[u8], Fault>) {
        for cut in 0..=message.len() {
            let mut framing = Framing::chunked(1 << 30, bare_lf);
            let (mut content, mut fault) = (Vec::new(), None);
            for chunk in [&message[..cut], &message[cut..]] {
                let mut rest = chunk;
                while !rest.is_empty() {
                    let (used, piece) = framing.next(rest);
                    rest = &rest[used..];
                    match piece {
                        Some(Piece::Content(octets)) => content.extend_from_slice(octets),
                        Some(Piece::Unfit(f)) => fault = Some(f),
                        Some(Piece::End) => panic!("only a count ends {message:?}"),
                        None => assert!(rest.is_empty()),
                    }
                }
            }
            let seen = fault.or(framing.close()).map_or(Ok(content), Err);
            assert_eq!(seen.as_deref().map_err(|f| *f), expected, "{message:?} cut at {cut}");
        }
    }

    #[test]
    fn counted_content_has_no_dots_and_no_end() {
        use Fault::{BareCr, BareLf as Bare};
        let same = |message: &[u8]| chunked(BareLf::Refuse, message, Ok(message));
        same(b"");
        same(b".\r\n");
        same(b"a\r\n.\r\n..b\r\n.");
        same(b"\r\n\r\n.\r\nQUIT\r\nno line end");
        for (message, fault) in [
            (&b"a\r"[..], BareCr),
            (b"\r", BareCr),
            (b"a\r\r\n", BareCr),
            (b"a\rb\r\n", BareCr),
            (b"\n", Bare),
            (b"a\n.\n", Bare),
            (b".\n", Bare),
        ] {
            chunked(BareLf::Refuse, message, Err(fault));
        }
        chunked(BareLf::Normalize, b"a\n.\nb\n", Ok(b"a\r\n.\r\nb\r\n"));
        chunked(BareLf::Normalize, b"a\n\r", Err(BareCr));
    }

    #[test]
    fn a_bare_lf_is_normalized_where_asked() {
        let check = |stream: &[u8], content: &[u8]| check_with(BareLf::Normalize, stream, content, None, Some(0));
        check(b"a\nb\r\n.\r\n", b"a\r\nb\r\n");
        check(b"\n\n\r\n.\r\n", b"\r\n\r\n\r\n");
        check(b"a\n.\nb\n.\r\nc\r\n.\r\n", b"a\r\n.\r\nb\r\n.\r\nc\r\n");
        check(b"a\r\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n");
        check_with(BareLf::Normalize, b"a\rb\r\n.\r\n", b"", Some(Fault::BareCr), Some(0));
    }

    #[test]
    fn what_is_kept_is_kept_as_it_is() {
        let check = |stream: &[u8], content: &[u8]| {
            for cut in 0..=stream.len() {
                let mut framing = Framing::new(100, BareLf::Normalize).when_unfit(Unfit::Kept);
                let mut kept = Vec::new();
                let mut ended = false;
                for chunk in [&stream[..cut], &stream[cut..]] {
                    let mut rest = chunk;
                    while !rest.is_empty() && !ended {
                        let (used, piece) = framing.next(rest);
                        rest = &rest[used..];
                        match piece {
                            Some(Piece::Content(octets)) => kept.extend_from_slice(octets),
                            Some(Piece::End) => ended = true,
                            Some(Piece::Unfit(fault)) => panic!("{fault:?} in {stream:?} cut at {cut}"),
                            None => {}
                        }
                    }
                }
                assert_eq!((kept.as_slice(), ended), (content, true), "{stream:?} cut at {cut}");
            }
        };
        check(b"a\rb\r\n.\r\n", b"a\rb\r\n");
        check(b"\r\r\n.\r\n", b"\r\r\n");
        check(b"a\r.\r\r\n.\r\n", b"a\r.\r\r\n");
        check(b".\r.\r\n.\r\n", b"\r.\r\n");
        check(b"a\n.\n\r\n.\r\n", b"a\r\n.\r\n\r\n");
        fn kept(content: &[u8], max: u64) -> (Option<Piece<'_>>, Option<Fault>) {
            let mut framing = Framing::chunked(max, BareLf::Refuse).when_unfit(Unfit::Kept);
            let (_, piece) = framing.next(content);
            (piece, framing.close())
        }
        let long = vec![b'x'; limits::TEXT_LINE_BYTES_MAX + 1];
        assert_eq!(kept(&long, 1 << 30), (Some(Piece::Content(&long)), None));
        assert_eq!(kept(b"12\r", 3), (Some(Piece::Content(b"12\r")), None));
        assert_eq!(kept(b"12\r", 2), (Some(Piece::Unfit(Fault::TooLarge)), None));
    }

    #[test]
    fn bounds_hold_on_both_sides() {
        let line = limits::TEXT_LINE_BYTES_MAX;
        let message = |header: &str, length: usize| [header.as_bytes(), &vec![b'x'; length], b"\r\n.\r\n"].concat();
        let fault = |stream: &[u8], max: u64| {
            let whole = read(&[stream], max, BareLf::Refuse);
            let pieces: Vec<&[u8]> = stream.chunks(4093).collect();
            assert_eq!(read(&pieces, max, BareLf::Refuse).1, whole.1);
            assert_eq!(whole.2, Some(0), "read to its end all the same");
            whole.1
        };
        assert_eq!(fault(&message("\r\n", line), 1 << 30), None);
        assert_eq!(fault(&message("\r\n", line + 1), 1 << 30), Some(Fault::LineTooLong));
        assert_eq!(fault(b"12345\r\n.\r\n", 7), None);
        assert_eq!(fault(b"123456\r\n.\r\n", 7), Some(Fault::TooLarge));
        // The padded header ends exactly at the bound, or one octet behind it.
        let fields = "x: y\r\n".repeat(usize::try_from(limits::HEADER_BYTES_MAX).expect("small") / 6);
        assert_eq!(fields.len() as u64, limits::HEADER_BYTES_MAX - 4);
        let padded = |pad: &str| [pad.as_bytes(), fields.as_bytes(), b"\r\nbody\r\n.\r\n"].concat();
        assert_eq!(fault(&padded("xx"), 1 << 30), None);
        assert_eq!(fault(&padded("xxx"), 1 << 30), Some(Fault::HeaderTooLong));
    }
}
