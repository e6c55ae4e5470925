//! Lines of octets, ended by CRLF or by LF alone. Never copies, and never takes a bare CR for a line end.

/// One line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Where it begins.
    pub start: usize,
    /// Its octets without the line break.
    pub content: &'a [u8],
    /// Where the next line begins.
    pub end: usize,
}

impl Line<'_> {
    /// Octets of the line break: 2, 1, or 0 when the octets end before one.
    pub fn break_bytes(&self) -> usize {
        self.end - self.start - self.content.len()
    }
}

/// All lines from `start` on. Nothing behind the last line break is no line.
pub(super) fn lines(octets: &[u8], start: usize) -> impl Iterator<Item = Line<'_>> {
    let mut at = start;
    std::iter::from_fn(move || {
        let line = line_at(octets, at)?;
        at = line.end;
        Some(line)
    })
}

/// The line that begins at `start`, `None` at the end of the octets.
pub(super) fn line_at(octets: &[u8], start: usize) -> Option<Line<'_>> {
    let rest = octets.get(start..).filter(|rest| !rest.is_empty())?;
    let length = rest.iter().position(|&b| b == b'\n').map_or(rest.len(), |lf| lf + 1);
    Some(Line { start, content: without_break(&rest[..length]), end: start + length })
}

/// `octets` without the one CRLF or LF at their end.
pub(super) fn without_break(octets: &[u8]) -> &[u8] {
    let Some(line) = octets.strip_suffix(b"\n") else { return octets };
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_lf_and_keep_bare_cr() {
        let check = |input: &[u8], expected: &[(&[u8], usize)]| {
            let found: Vec<_> = lines(input, 0).map(|l| (l.content, l.break_bytes())).collect();
            assert_eq!(found, expected, "{input:?}");
        };
        check(b"", &[]);
        check(b"\n", &[(b"", 1)]);
        check(b"\r\n", &[(b"", 2)]);
        check(b"a", &[(b"a", 0)]);
        check(b"a\r\nb\n\nc", &[(b"a", 2), (b"b", 1), (b"", 1), (b"c", 0)]);
        check(b"a\rb\r\r\n", &[(b"a\rb\r", 2)]);
        check(b"a\r", &[(b"a\r", 0)]);
    }
}
