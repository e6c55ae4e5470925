//! Answers: the next hop's replies, read with bounds. Lenient where nothing depends on it (bare LF, missing text), strict
//! where guessing could turn a refusal into an acceptance (codes).

use crate::smtp::limits;
use crate::smtp::{CR, LF};

/// A complete reply of the next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    code: u16,
    text: String,
}

/// The next hop does not speak SMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nonsense {
    /// A line that does not begin with a code from 200 to 599 and a space, a hyphen or its end.
    #[error("a line that is no SMTP reply")]
    NotAReply,
    /// A reply that ends with yes and began with something else (RFC 5321 section 4.2.1). One that ends with no is believed.
    #[error("a reply with two codes")]
    MixedCodes,
    /// More than [`limits::ANSWER_BYTES_MAX`] octets.
    #[error("a reply of more than {} octets", limits::ANSWER_BYTES_MAX)]
    Endless,
}

/// The first digit of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 2xx.
    Positive,
    /// 3xx.
    Intermediate,
    /// 4xx.
    Temporary,
    /// 5xx.
    Permanent,
}

impl Class {
    fn of(code: u16) -> Class {
        match code {
            ..300 => Class::Positive,
            300..400 => Class::Intermediate,
            400..500 => Class::Temporary,
            500.. => Class::Permanent,
        }
    }
}

impl Answer {
    /// The three-digit code, 200 to 599.
    pub fn code(&self) -> u16 {
        self.code
    }
    /// The class of the code.
    pub fn class(&self) -> Class {
        Class::of(self.code)
    }
    /// What follows the code, one line each, at most [`limits::ANSWER_TEXT_BYTES_MAX`] octets, without control characters.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }
    /// The enhanced status code (RFC 2034), when the text begins with one of the code's own class.
    pub fn status(&self) -> Option<&str> {
        let word = self.text.split([' ', '\n']).next().unwrap_or_default();
        let mut parts = word.split('.');
        let class = parts.next().filter(|class| *class == (self.code / 100).to_string());
        let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let is_status = class.is_some()
            && parts.next().is_some_and(is_number)
            && parts.next().is_some_and(is_number)
            && parts.next().is_none();
        is_status.then_some(word)
    }
}

/// `550 5.1.1 no such user / see https://...`: one line for logs, queue and reports.
impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        for (index, line) in self.lines().enumerate() {
            write!(f, "{}{line}", if index == 0 { " " } else { " / " })?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Classes {
    #[default]
    Same,
    Mixed,
}

/// Puts replies together from input that comes in any pieces.
///
/// ```text
/// reply = *( code "-" text LF ) code [ SP text ] LF        a CR before LF belongs to the line end
/// ```
#[derive(Debug, Default)]
pub struct Answers {
    line: Vec<u8>,
    /// Octets of the reply so far, kept or not.
    bytes: usize,
    /// Of the reply's first line.
    class: Option<Class>,
    /// Whether all its lines so far are of that class.
    classes: Classes,
    lines: usize,
    text: String,
}

impl Answers {
    /// Reads up to the end of a reply, or takes all of `input` for the start of one.
    pub fn next(&mut self, input: &[u8]) -> Result<(usize, Option<Answer>), Nonsense> {
        let mut used = 0;
        while let Some(length) = input[used..].iter().position(|&octet| octet == LF) {
            self.keep(&input[used..used + length])?;
            used += length + 1;
            if let Some(answer) = self.end_line()? {
                return Ok((used, Some(answer)));
            }
        }
        self.keep(&input[used..])?;
        Ok((input.len(), None))
    }

    /// Whether a reply has begun and not ended.
    pub fn is_inside(&self) -> bool {
        !self.line.is_empty() || self.lines > 0
    }

    fn keep(&mut self, octets: &[u8]) -> Result<(), Nonsense> {
        let room = limits::ANSWER_LINE_BYTES_MAX - self.line.len();
        let kept = octets.len().min(room);
        self.line.extend_from_slice(&octets[..kept]);
        self.bytes += octets.len();
        if self.bytes > limits::ANSWER_BYTES_MAX { Err(Nonsense::Endless) } else { Ok(()) }
    }

    fn end_line(&mut self) -> Result<Option<Answer>, Nonsense> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(&[CR]).unwrap_or(&line);
        let (digits, rest) = line.split_at_checked(3).ok_or(Nonsense::NotAReply)?;
        let code = code(digits).ok_or(Nonsense::NotAReply)?;
        let class = Class::of(code);
        if *self.class.get_or_insert(class) != class {
            self.classes = Classes::Mixed;
        }
        self.lines += 1;
        let text = rest.get(1..).unwrap_or_default();
        match rest.first() {
            Some(b'-') => {
                self.add_text(text);
                Ok(None)
            }
            Some(b' ') | None => {
                self.add_text(text);
                let is_yes = matches!(class, Class::Positive | Class::Intermediate);
                if is_yes && self.classes == Classes::Mixed {
                    return Err(Nonsense::MixedCodes);
                }
                Ok(Some(self.finish(code)))
            }
            Some(_) => Err(Nonsense::NotAReply),
        }
    }

    fn finish(&mut self, code: u16) -> Answer {
        let whole = std::mem::take(self);
        Answer { code, text: whole.text }
    }

    /// Control characters become spaces, octets that are no UTF-8 become U+FFFD; what passes the bound is cut.
    fn add_text(&mut self, text: &[u8]) {
        if self.lines > 1 {
            self.push('\n');
        }
        for c in String::from_utf8_lossy(text).trim_end().chars() {
            self.push(if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c });
        }
    }

    fn push(&mut self, c: char) {
        if self.text.len() + c.len_utf8() <= limits::ANSWER_TEXT_BYTES_MAX {
            self.text.push(c);
        }
    }
}

fn code(digits: &[u8]) -> Option<u16> {
    let first = digits.first()?;
    if !(b'2'..=b'5').contains(first) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Result<Vec<Answer>, Nonsense> {
        let mut answers = Answers::default();
        let mut seen = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let (used, answer) = answers.next(rest)?;
                rest = &rest[used..];
                seen.extend(answer);
            }
        }
        Ok(seen)
    }

    fn check(input: &[u8], expected: Result<&[&str], Nonsense>) {
        let single: Vec<&[u8]> = input.chunks(1).collect();
        for chunks in [&[input][..], &single] {
            let shown = read(chunks).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            let expected = expected.map(|all| all.iter().map(|s| (*s).to_owned()).collect());
            assert_eq!(shown, expected, "{}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn reads_replies() {
        check(b"250 ok\r\n", Ok(&["250 ok"]));
        check(b"250\r\n250 \r\n250 x", Ok(&["250", "250"]));
        check(b"250-a\r\n250-\r\n250 c\r\n", Ok(&["250 a /  / c"]));
        check(b"250-a\n250 b\n", Ok(&["250 a / b"]));
        check(b"550 a\0b\xff\x1bc \r\n", Ok(&["550 a b\u{fffd} c"]));
        check(b"250 ok\r\n354 go\r\n", Ok(&["250 ok", "354 go"]));
        check(b"250-a\r\n251 b\r\n", Ok(&["251 a / b"]));
        check(b"250-a\r\n550 b\r\n", Ok(&["550 a / b"]));
        check(b"550-a\r\n450 b\r\n", Ok(&["450 a / b"]));
    }

    #[test]
    fn refuses_what_is_no_reply() {
        for line in [
            &b"\r\n"[..],
            b"25\r\n",
            b"250x\r\n",
            b"2500 ok\r\n",
            b"150 ok\r\n",
            b"650 ok\r\n",
            b"+OK\r\n",
            b" 250 ok\r\n",
        ] {
            check(line, Err(Nonsense::NotAReply));
        }
        for reply in ["550-a\r\n250 b\r\n", "250-a\r\n354 b\r\n", "250-a\r\n450-b\r\n250 c\r\n"] {
            check(reply.as_bytes(), Err(Nonsense::MixedCodes));
        }
    }

    #[test]
    fn bounds_hold_on_both_sides() {
        let many = "250-x\r\n".repeat(100_000) + "250 x\r\n";
        assert_eq!(read(&[many.as_bytes()]).map(|a| a.len()), Ok(1), "many lines");
        let line = |length: usize| format!("250 {}\r\n", "x".repeat(length - 5));
        let kept = read(&[line(limits::ANSWER_BYTES_MAX).as_bytes()]).expect("a reply");
        assert_eq!(kept[0].text.len(), limits::ANSWER_LINE_BYTES_MAX - 4);
        assert_eq!(read(&[line(limits::ANSWER_BYTES_MAX + 1).as_bytes()]), Err(Nonsense::Endless));
        let long = format!("250-{}\r\n", "x".repeat(1000)).repeat(20) + "250 x\r\n";
        assert_eq!(read(&[long.as_bytes()]).expect("a reply")[0].text.len(), limits::ANSWER_TEXT_BYTES_MAX);
    }

    #[test]
    fn status_is_of_the_codes_class() {
        for (line, status) in [
            ("550 5.1.1 no", Some("5.1.1")),
            ("550 5.1.1", Some("5.1.1")),
            ("550-5.7.509 a\r\n550 5.1.1 b", Some("5.7.509")),
            ("550 4.1.1 no", None),
            ("550 5.1 no", None),
            ("550 5.1.1.1 no", None),
            ("550 5.1.x no", None),
            ("550 5.1.1000 no", None),
            ("550", None),
        ] {
            let answers = read(&[format!("{line}\r\n").as_bytes()]).expect(line);
            assert_eq!(answers[0].status(), status, "{line}");
        }
    }
}
