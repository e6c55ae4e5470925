//! Tokens of structured fields (RFC 5322 section 3.2): white space, comments, quoted strings. Each octet is read once, and
//! nothing here decides whether what is missing at the end may be missing.

/// Whether a comment or quoted string had its closing character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Missing,
}

/// A position in a field's value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub fn new(octets: &'a [u8]) -> Lexer<'a> {
        Lexer { rest: octets }
    }
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }
    /// Takes up to `count` octets.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }
    /// Takes `octet` if it is next.
    pub fn eat(&mut self, octet: u8) -> bool {
        let hit = self.peek() == Some(octet);
        if hit {
            self.take(1);
        }
        hit
    }
    pub fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.rest.iter().position(|&b| !wanted(b)).unwrap_or(self.rest.len());
        self.take(count)
    }
    /// Takes white space and line breaks; says whether there were any.
    pub fn space(&mut self) -> bool {
        !self.take_while(is_space).is_empty()
    }
    /// Takes white space and comments (CFWS); says whether there were any.
    pub fn space_and_comments(&mut self) -> bool {
        let before = self.rest.len();
        while self.space() || self.comment().is_some() {}
        self.rest.len() < before
    }

    /// `comment = "(" *([FWS] ccontent) [FWS] ")"`, if one is next: what is between the outer parentheses, as it stood.
    pub fn comment(&mut self) -> Option<(&'a [u8], End)> {
        if self.peek() != Some(b'(') {
            return None;
        }
        let mut depth = 0_usize;
        let mut escaped = false;
        self.delimited(|b| {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            depth == 0
        })
    }

    /// `quoted-string = DQUOTE *([FWS] qcontent) [FWS] DQUOTE`, if one is next: what is between the quotes, as it stood.
    pub fn quoted(&mut self) -> Option<(&'a [u8], End)> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let mut quotes = 0;
        let mut escaped = false;
        self.delimited(|b| {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quotes += 1,
                _ => {}
            }
            quotes == 2
        })
    }

    /// Takes through the first octet for which `closes` holds; answers what is between it and the first octet.
    fn delimited(&mut self, closes: impl FnMut(u8) -> bool) -> Option<(&'a [u8], End)> {
        let mut closes = closes;
        match self.rest.iter().position(|&b| closes(b)) {
            Some(last) => Some((&self.take(last + 1)[1..last], End::Closed)),
            None => Some((&self.take(self.rest.len())[1..], End::Missing)),
        }
    }
}

/// The content of a quoted string with `quoted-pair = "\" (VCHAR / WSP)` resolved.
pub(super) fn unquoted(content: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(content.len());
    let mut octets = content.iter().copied();
    while let Some(b) = octets.next() {
        plain.push(if b == b'\\' { octets.next().unwrap_or(b) } else { b });
    }
    plain
}

/// White space inside a field, line breaks of folds included.
pub(super) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// `octets` without white space at either end.
pub(super) fn trimmed(octets: &[u8]) -> &[u8] {
    let Some(start) = octets.iter().position(|&b| !is_space(b)) else { return &[] };
    let end = octets.iter().rposition(|&b| !is_space(b)).map_or(start, |last| last + 1);
    &octets[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_nest_and_strings_do_not() {
        let comment = |input: &'static [u8]| Lexer::new(input).comment();
        assert_eq!(comment(b"a"), None);
        assert_eq!(comment(b"()x"), Some((&b""[..], End::Closed)));
        assert_eq!(comment(b"(a(b)\\)c)d"), Some((&b"a(b)\\)c"[..], End::Closed)));
        assert_eq!(comment(b"(a(b)"), Some((&b"a(b)"[..], End::Missing)));
        assert_eq!(comment(b"("), Some((&b""[..], End::Missing)));
        let quoted = |input: &'static [u8]| Lexer::new(input).quoted();
        assert_eq!(quoted(b"a"), None);
        assert_eq!(quoted(b"\"\"x"), Some((&b""[..], End::Closed)));
        assert_eq!(quoted(b"\"a\\\"(b\"c"), Some((&b"a\\\"(b"[..], End::Closed)));
        assert_eq!(quoted(b"\"a\\\""), Some((&b"a\\\""[..], End::Missing)));
        assert_eq!(unquoted(b"a\\\"\\\\b\\"), b"a\"\\b\\");
    }

    #[test]
    fn white_space_and_comments_go_together() {
        let mut lexer = Lexer::new(b" (a) \r\n\t(b)c (d");
        assert!(lexer.space_and_comments());
        assert_eq!(lexer.take(1), b"c");
        assert!(lexer.space_and_comments());
        assert!(!lexer.space_and_comments());
        assert_eq!(lexer.rest(), b"");
        assert_eq!(trimmed(b" \ta b\r\n"), b"a b");
        assert_eq!(trimmed(b" \t"), b"");
    }
}
