//! What in a body would not survive the way to a verifier (RFC 2045 section 2, RFC 3156 section 3, RFC 8551 section 3.1).
//! Never changes the body.

use super::encoding::{self, Breaks};

/// Octets in a line, its CRLF not counted (RFC 5321 section 4.5.3.1.6).
pub const LINE_MAX: usize = 998;

/// What was found in a body, most harmful first. Line ends are no hazard: all are written as CRLF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hazards {
    /// NUL, which not even 8BITMIME carries.
    pub nul: bool,
    /// Octets above 127.
    pub eight_bit: bool,
    /// A CR that is not part of a line break.
    pub bare_cr: bool,
    /// A line of more than 998 octets.
    pub long_line: bool,
    /// A LF without CR; only a hazard to octets that are not lines.
    pub bare_lf: bool,
    /// White space before a line break, `From ` at the start of a line, or a line that is a single dot.
    pub fragile: bool,
}

impl Hazards {
    /// Reads a body once.
    pub fn of(body: &[u8]) -> Hazards {
        let mut found = Hazards::default();
        for line in body.split_inclusive(|&o| o == b'\n') {
            found.line(line);
        }
        found
    }
    fn line(&mut self, line: &[u8]) {
        let text = match line.strip_suffix(b"\n") {
            Some(text) => text.strip_suffix(b"\r").unwrap_or_else(|| {
                self.bare_lf = true;
                text
            }),
            None => line,
        };
        self.eight_bit |= !text.is_ascii();
        self.nul |= text.contains(&0);
        self.bare_cr |= text.contains(&b'\r');
        self.long_line |= text.len() > LINE_MAX;
        self.fragile |= matches!(text.last(), Some(b' ' | b'\t')) || text == b"." || text.starts_with(b"From ");
    }
    /// Whether relays without extensions must refuse or change it.
    pub fn breaks_mail(&self) -> bool {
        self.nul || self.eight_bit || self.bare_cr || self.long_line
    }
    /// Whether it should be encoded before it is signed.
    pub fn any(&self) -> bool {
        self.breaks_mail() || self.fragile
    }
}

/// Appends lines with every line end as CRLF.
pub fn canonical(lines: &[u8], out: &mut Vec<u8>) {
    for line in lines.split_inclusive(|&o| o == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) if !text.ends_with(b"\r") => {
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            _ => out.extend_from_slice(line),
        }
    }
}

/// How the octets of a leaf are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// As they stand, line ends as CRLF.
    Kept,
    /// As they stand, to the octet.
    Exact,
    /// Encoded as quoted-printable.
    Quoted(Breaks),
    /// Decoded from quoted-printable and encoded again.
    QuotedAgain,
    /// Encoded as base64. `Breaks::Text` makes bare LF a CRLF first.
    Base64(Breaks),
    /// Base64 with its lines made anew.
    Base64Again,
}

impl Writing {
    /// Appends `body` so written.
    pub fn write(self, body: &[u8], out: &mut Vec<u8>) {
        match self {
            Writing::Kept => canonical(body, out),
            Writing::Exact => out.extend_from_slice(body),
            Writing::Quoted(breaks) => encoding::quoted_printable(body, breaks, out),
            Writing::QuotedAgain => {
                encoding::quoted_printable(&encoding::from_quoted_printable(body), Breaks::Exact, out);
            }
            Writing::Base64(Breaks::Exact) => encoding::base64(body, out),
            Writing::Base64(Breaks::Text) => {
                let mut lines = Vec::with_capacity(body.len());
                canonical(body, &mut lines);
                encoding::base64(&lines, out);
            }
            Writing::Base64Again => encoding::rewrapped_base64(body, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], expected: Hazards) {
        assert_eq!(Hazards::of(body), expected, "{:?}", String::from_utf8_lossy(body));
    }

    #[test]
    fn each_hazard_is_seen_and_nothing_else() {
        let safe = Hazards::default();
        let fragile = Hazards { fragile: true, ..safe };
        check(b"", safe);
        check(b"a b\r\n..\r\n >From x\r\nFrom:\r\n", safe);
        check(&[b'x'; LINE_MAX], safe);
        check(&[b'x'; LINE_MAX + 1], Hazards { long_line: true, ..safe });
        check(b"a\nb\r\n", Hazards { bare_lf: true, ..safe });
        check(b"a\rb\r\n", Hazards { bare_cr: true, ..safe });
        check(b"a\r\r\n", Hazards { bare_cr: true, ..safe });
        check(b"a\r", Hazards { bare_cr: true, ..safe });
        check(b"a\0", Hazards { nul: true, ..safe });
        check(b"\x7f", safe);
        check(b"\x80", Hazards { eight_bit: true, ..safe });
        for line in [&b"-- \r\n"[..], b"a\t\r\n", b"a ", b".\r\n", b".", b"x\r\nFrom y\r\n"] {
            check(line, fragile);
        }
        assert!(fragile.any() && !fragile.breaks_mail());
    }

    #[test]
    fn line_ends_become_crlf() {
        let mut out = Vec::new();
        canonical(b"a\nb\r\n\nc\r", &mut out);
        assert_eq!(out, b"a\r\nb\r\n\r\nc\r");
    }
}
