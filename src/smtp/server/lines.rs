//! Lines: cuts input into command lines, keeping the start of one that is still incomplete. Bounded; copies only then.

use super::framing::BareLf;
use crate::smtp::limits;
use crate::smtp::{CR, LF};
use std::borrow::Cow;

/// A line that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'i> {
    /// Without its line end.
    Whole(Cow<'i, [u8]>),
    /// Longer than [`limits::COMMAND_LINE_BYTES_MAX`]; its octets are gone.
    TooLong,
    /// It ended in an LF alone, which is not allowed here.
    BareLf,
}

/// The state between two pieces of input.
#[derive(Debug, Default)]
pub struct Lines {
    bare_lf: BareLf,
    held: Vec<u8>,
    /// Set when octets were dropped; `held` is then only the last one, which may be the CR of a line end.
    too_long: bool,
}

impl Lines {
    /// At the start of a line.
    pub fn new(bare_lf: BareLf) -> Lines {
        Lines { bare_lf, held: Vec::new(), too_long: false }
    }

    /// Reads up to the end of a line, or takes all of `input` for the start of one.
    pub fn next<'i>(&mut self, input: &'i [u8]) -> (usize, Option<Line<'i>>) {
        let Some(end) = input.iter().position(|&octet| octet == LF) else {
            self.hold(input);
            return (input.len(), None);
        };
        let before = if end > 0 { input.get(end - 1) } else { self.held.last() };
        let is_bare = before != Some(&CR);
        let mut line = std::mem::take(&mut self.held);
        let too_long = std::mem::take(&mut self.too_long) || line.len() + end + 1 > limits::COMMAND_LINE_BYTES_MAX;
        if is_bare && self.bare_lf == BareLf::Refuse {
            return (end + 1, Some(Line::BareLf));
        }
        if too_long {
            return (end + 1, Some(Line::TooLong));
        }
        let octets = if line.is_empty() {
            Cow::Borrowed(&input[..end])
        } else {
            line.extend_from_slice(&input[..end]);
            Cow::Owned(line)
        };
        (end + 1, Some(Line::Whole(if is_bare { octets } else { without_last(octets) })))
    }

    fn hold(&mut self, octets: &[u8]) {
        if self.too_long || self.held.len() + octets.len() > limits::COMMAND_LINE_BYTES_MAX {
            self.too_long = true;
            self.held.clear();
            self.held.extend(octets.last());
        } else {
            self.held.extend_from_slice(octets);
        }
    }
}

fn without_last(octets: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match octets {
        Cow::Borrowed(octets) => Cow::Borrowed(&octets[..octets.len() - 1]),
        Cow::Owned(mut octets) => {
            octets.pop();
            Cow::Owned(octets)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bare_lf: BareLf, chunks: &[&[u8]]) -> Vec<Line<'static>> {
        let mut lines = Lines::new(bare_lf);
        let mut seen = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let (used, line) = lines.next(rest);
                seen.extend(line.map(|line| match line {
                    Line::Whole(octets) => Line::Whole(Cow::Owned(octets.into_owned())),
                    Line::TooLong => Line::TooLong,
                    Line::BareLf => Line::BareLf,
                }));
                rest = &rest[used..];
            }
        }
        seen
    }

    fn check(bare_lf: BareLf, input: &[u8], expected: &[Line<'_>]) {
        for cut in (0..=input.len()).rev().take(64) {
            let (one, two) = input.split_at(cut);
            assert_eq!(read(bare_lf, &[one, two]), expected, "cut at {cut}");
        }
        let single: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(read(bare_lf, &single), expected, "one by one");
    }

    #[test]
    fn lines_end_in_crlf() {
        let whole = |text: &'static str| Line::Whole(Cow::Borrowed(text.as_bytes()));
        check(BareLf::Refuse, b"a\r\n\r\nbc\r\nd", &[whole("a"), whole(""), whole("bc")]);
        check(BareLf::Refuse, b"a\r\r\n", &[whole("a\r")]);
        check(BareLf::Refuse, b"a\nb\r\n", &[Line::BareLf, whole("b")]);
        check(BareLf::Normalize, b"a\n\nb\r\n", &[whole("a"), whole(""), whole("b")]);
    }

    #[test]
    fn length_holds_on_both_sides() {
        let line = |length: usize, end: &str| format!("{}{end}", "x".repeat(length - end.len()));
        let max = limits::COMMAND_LINE_BYTES_MAX;
        let fits = line(max, "\r\n");
        check(BareLf::Refuse, fits.as_bytes(), &[Line::Whole(Cow::Borrowed(&fits.as_bytes()[..max - 2]))]);
        check(BareLf::Refuse, line(max + 1, "\r\n").as_bytes(), &[Line::TooLong]);
        check(BareLf::Refuse, line(max * 3, "\r\n").as_bytes(), &[Line::TooLong]);
        check(BareLf::Refuse, line(max * 3, "\n").as_bytes(), &[Line::BareLf]);
        check(BareLf::Normalize, line(max + 1, "\n").as_bytes(), &[Line::TooLong]);
    }
}
