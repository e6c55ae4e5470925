//! Content transfer encodings (RFC 2045 section 6), written for signed mail: no octet that a relay might change stays.
//! Never judges whether a body needs encoding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters of an encoded line, its CRLF not counted (RFC 2045 sections 6.7 rule 5 and 6.8).
pub const ENCODED_LINE_MAX: usize = 76;
/// Octets that fill one line of base64.
const BASE64_LINE_OCTETS: usize = ENCODED_LINE_MAX / 4 * 3;

/// What counts as a line break of the text to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    /// CRLF and a bare LF.
    Text,
    /// CRLF alone; a bare LF is data.
    Exact,
}

/// Appends `octets` in base64, lines of 76 characters, each ended by CRLF.
pub fn base64(octets: &[u8], out: &mut Vec<u8>) {
    let mut line = [0; ENCODED_LINE_MAX];
    out.reserve(octets.len().div_ceil(BASE64_LINE_OCTETS) * (ENCODED_LINE_MAX + 2));
    for chunk in octets.chunks(BASE64_LINE_OCTETS) {
        let written = STANDARD.encode_slice(chunk, &mut line).unwrap_or(0);
        debug_assert!(written > 0, "57 octets make 76 characters");
        out.extend_from_slice(&line[..written]);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends base64 text again with lines of 76 characters. Characters outside the alphabet are left out: decoders ignore them
/// (RFC 2045 section 6.8).
pub fn rewrapped_base64(text: &[u8], out: &mut Vec<u8>) {
    let mut column = 0;
    for &octet in text.iter().filter(|o| o.is_ascii_alphanumeric() || matches!(o, b'+' | b'/' | b'=')) {
        if column == ENCODED_LINE_MAX {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(octet);
        column += 1;
    }
    if column > 0 {
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends `octets` in quoted-printable. Trailing white space, a leading `.` or `From `, and a `--` that a soft line break would
/// bring to the start of a line are encoded too, so that the text survives mailboxes, careless relays and the boundaries around.
pub fn quoted_printable(octets: &[u8], breaks: Breaks, out: &mut Vec<u8>) {
    let mut writer = QuotedPrintable { out, column: 0 };
    for line in octets.split_inclusive(|&o| o == b'\n') {
        let (text, end) = line_end(line, breaks);
        writer.text(text, end);
        if end == End::Break {
            writer.hard_break();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Break,
    /// The end of the whole text.
    Nothing,
    /// A bare LF that is data; the output line goes on.
    Data,
}

fn line_end(line: &[u8], breaks: Breaks) -> (&[u8], End) {
    if let Some(text) = line.strip_suffix(b"\r\n") {
        return (text, End::Break);
    }
    match line.strip_suffix(b"\n") {
        Some(text) if breaks == Breaks::Text => (text, End::Break),
        Some(_) => (line, End::Data),
        None => (line, End::Nothing),
    }
}

struct QuotedPrintable<'a> {
    out: &'a mut Vec<u8>,
    column: usize,
}

impl QuotedPrintable<'_> {
    fn text(&mut self, text: &[u8], end: End) {
        for (at, &octet) in text.iter().enumerate() {
            let last = at + 1 == text.len() && end != End::Data;
            let rest = &text[at..];
            // One column stays free for the `=` of a soft line break.
            if self.column + width(self.needs_escape(rest, at, last)) > ENCODED_LINE_MAX - 1 {
                self.out.extend_from_slice(b"=\r\n");
                self.column = 0;
            }
            let escape = self.needs_escape(rest, at, last);
            self.octet(octet, escape);
        }
    }
    fn needs_escape(&self, rest: &[u8], at: usize, last: bool) -> bool {
        let starts_line = self.column == 0;
        match rest[0] {
            b'=' => true,
            b'.' => starts_line,
            b'F' => starts_line && rest.starts_with(b"From "),
            b'-' => starts_line && at > 0 && rest.starts_with(b"--"),
            b' ' | b'\t' => last,
            octet => !octet.is_ascii_graphic(),
        }
    }
    fn octet(&mut self, octet: u8, escape: bool) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        if escape {
            let digits = [b'=', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]];
            self.out.extend_from_slice(&digits);
        } else {
            self.out.push(octet);
        }
        self.column += width(escape);
    }
    fn hard_break(&mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.column = 0;
    }
}

fn width(escape: bool) -> usize {
    if escape { 3 } else { 1 }
}

/// The octets that quoted-printable text stands for, line breaks as CRLF. What is not valid stands for itself, as decoders in
/// use have it (RFC 2045 section 6.7, notes on robustness).
pub fn from_quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&o| o == b'\n') {
        let (content, end) = line_end(line, Breaks::Text);
        // White space before a line break was added on the way.
        let content = content.trim_ascii_end();
        match content.strip_suffix(b"=") {
            Some(content) => unescape(content, &mut out),
            None => {
                unescape(content, &mut out);
                if end == End::Break {
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }
    out
}

fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        let escaped = if octet == b'=' { behind.first_chunk().and_then(hex_octet) } else { None };
        if escaped.is_some() {
            rest = &behind[2..];
        }
        out.push(escaped.unwrap_or(octet));
    }
}

fn hex_octet(digits: &[u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|d| char::from(d).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(octets: &[u8], breaks: Breaks, expected: &str) {
        let mut out = Vec::new();
        quoted_printable(octets, breaks, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{octets:?}");
        let mut canonical = octets.to_vec();
        if breaks == Breaks::Text {
            canonical = String::from_utf8_lossy(octets).replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
        }
        assert_eq!(from_quoted_printable(&out), canonical, "{octets:?} comes back");
    }

    #[test]
    fn quoted_printable_hides_what_relays_change() {
        for (text, expected) in [
            ("", ""),
            ("plain\r\n", "plain\r\n"),
            ("bare\nbreak", "bare\r\nbreak"),
            ("a=b\r\n", "a=3Db\r\n"),
            ("ü\r\n", "=C3=BC\r\n"),
            ("inner space, outer \r\n", "inner space, outer=20\r\n"),
            ("tab\t", "tab=09"),
            ("From here\r\nfrom here\r\n>From\r\n", "=46rom here\r\nfrom here\r\n>From\r\n"),
            (".\r\n..\r\na.\r\n", "=2E\r\n=2E.\r\na.\r\n"),
            ("--boundary\r\n", "--boundary\r\n"),
            ("lone\rCR", "lone=0DCR"),
        ] {
            check(text.as_bytes(), Breaks::Text, expected);
        }
        check(b"data \n\x00end\r\n", Breaks::Exact, "data =0A=00end\r\n");
    }

    #[test]
    fn long_lines_are_broken_softly_and_safely() {
        check(&[b'x'; 75], Breaks::Text, &"x".repeat(75));
        check(&[b'x'; 76], Breaks::Text, &format!("{}=\r\nx", "x".repeat(75)));
        let pad = "x".repeat(75);
        check(format!("{pad}--boundary").as_bytes(), Breaks::Text, &format!("{pad}=\r\n=2D-boundary"));
        check(format!("{pad}From me").as_bytes(), Breaks::Text, &format!("{pad}=\r\n=46rom me"));
        check(format!("{pad}.").as_bytes(), Breaks::Text, &format!("{pad}=\r\n=2E"));
        let pad = "x".repeat(73);
        check(format!("{pad}ü").as_bytes(), Breaks::Text, &format!("{pad}=\r\n=C3=BC"));
    }

    #[test]
    fn decoding_forgives() {
        for (text, expected) in [
            ("a=\r\nb", "ab"),
            ("a= \t\r\nb", "ab"),
            ("a  \r\nb", "a\r\nb"),
            ("=zz=4", "=zz=4"),
            ("=c3=BC", "ü"),
            ("=", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&from_quoted_printable(text.as_bytes())), expected, "{text:?}");
        }
    }

    #[test]
    fn base64_lines_are_76() {
        let mut out = Vec::new();
        base64(&[0; 58], &mut out);
        assert_eq!(out, [&b"A".repeat(76)[..], b"\r\nAA==\r\n"].concat());
        let mut again = Vec::new();
        rewrapped_base64(&[&b"A".repeat(77)[..], b" \n \xffA=="].concat(), &mut again);
        assert_eq!(again, [&b"A".repeat(76)[..], b"\r\nAA==\r\n"].concat());
        out.clear();
        base64(b"", &mut out);
        rewrapped_base64(b"\r\n", &mut out);
        assert!(out.is_empty());
    }
}
