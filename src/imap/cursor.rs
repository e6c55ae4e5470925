//! The lexical grammar of IMAP (RFC 3501 section 9) over one whole command, literals in place.
//! Total on any octets; never looks behind the command's end.

use std::borrow::Cow;

/// Why a command cannot be read; the text goes behind `BAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

/// A value, or why there is none.
pub(super) type Parsed<T> = Result<T, Malformed>;

/// What is left of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// `ATOM-CHAR = <any CHAR except "(" / ")" / "{" / SP / CTL / "%" / "*" / DQUOTE / "\" / "]">`
pub(super) fn is_atom_char(b: u8) -> bool {
    b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b)
}

/// `ASTRING-CHAR = ATOM-CHAR / resp-specials`
pub(super) fn is_astring_char(b: u8) -> bool {
    is_atom_char(b) || b == b']'
}

/// `list-char = ATOM-CHAR / list-wildcards / resp-specials`
fn is_list_char(b: u8) -> bool {
    is_astring_char(b) || b == b'%' || b == b'*'
}

/// `tag = 1*<any ASTRING-CHAR except "+">`
fn is_tag_char(b: u8) -> bool {
    is_astring_char(b) && b != b'+'
}

impl<'a> Cursor<'a> {
    /// At the start of a command without its final line break.
    pub(super) fn new(command: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: command }
    }

    /// The next octet, not taken.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Everything that is left.
    pub(super) fn remainder(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes `octet` if it is next.
    pub(super) fn eat(&mut self, octet: u8) -> bool {
        let there = self.peek() == Some(octet);
        if there {
            self.rest = &self.rest[1..];
        }
        there
    }

    /// Takes `octet`, which must be next.
    pub(super) fn expect(&mut self, octet: u8, otherwise: &'static str) -> Parsed<()> {
        if self.eat(octet) { Ok(()) } else { Err(Malformed(otherwise)) }
    }

    /// `SP`
    pub(super) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "a space is missing")
    }

    /// Nothing may follow. Trailing spaces are taken: quirk_trailing_space (old Outlook, telnet users).
    pub(super) fn end(&mut self) -> Parsed<()> {
        while self.eat(b' ') {}
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("unexpected octets at the end")) }
    }

    fn run(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&b| !is_part(b)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    fn some(&mut self, is_part: impl Fn(u8) -> bool, otherwise: &'static str) -> Parsed<&'a [u8]> {
        let run = self.run(is_part);
        if run.is_empty() { Err(Malformed(otherwise)) } else { Ok(run) }
    }

    /// The tag, which is all we need to answer.
    pub(super) fn tag(&mut self) -> Parsed<&'a [u8]> {
        self.some(is_tag_char, "a tag is missing")
    }

    /// `atom = 1*ATOM-CHAR`
    pub(super) fn atom(&mut self) -> Parsed<&'a [u8]> {
        self.some(is_atom_char, "an atom is missing")
    }

    /// A keyword of the grammar: letters, digits, dots and hyphens; given back in upper case.
    pub(super) fn keyword(&mut self) -> Parsed<String> {
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
        let word = self.some(is_part, "a keyword is missing")?;
        Ok(word.iter().map(|b| char::from(b.to_ascii_uppercase())).collect())
    }

    /// `flag = ["\"] atom`
    pub(super) fn flag(&mut self) -> Parsed<&'a [u8]> {
        self.eat(b'\\');
        self.atom()
    }

    /// `number64 = 1*DIGIT`, at most 2^63 - 1 (RFC 9051).
    pub(super) fn number64(&mut self) -> Parsed<u64> {
        let digits = self.some(|b| b.is_ascii_digit(), "a number is missing")?;
        digits
            .iter()
            .try_fold(0u64, |n, b| n.checked_mul(10)?.checked_add(u64::from(b - b'0')))
            .filter(|n| i64::try_from(*n).is_ok())
            .ok_or(Malformed("a number is too large"))
    }

    /// `nz-number = digit-nz *DIGIT`, 32 bits.
    pub(super) fn nz_number(&mut self) -> Parsed<u32> {
        let n = self.number64()?;
        u32::try_from(n).ok().filter(|n| *n != 0).ok_or(Malformed("a number is out of range"))
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub(super) fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.string_or(is_astring_char)
    }

    /// `list-mailbox = 1*list-char / string`
    pub(super) fn list_mailbox(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.string_or(is_list_char)
    }

    fn string_or(&mut self, is_part: impl Fn(u8) -> bool) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => self.some(is_part, "a string is missing").map(Cow::Borrowed),
        }
    }

    /// `string = quoted / literal`
    pub(super) fn string(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => Err(Malformed("a string is missing")),
        }
    }

    /// `nstring = string / nil`
    pub(super) fn nstring(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string().map(Some);
        }
        let word = self.atom()?;
        if word.eq_ignore_ascii_case(b"NIL") { Ok(None) } else { Err(Malformed("neither a string nor NIL")) }
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`. 8-bit octets are taken, and a backslash before any octet is removed:
    /// quirk_raw_8bit and quirk_needless_escape (Outlook, Apple Mail with native folder names).
    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        let content = &self.rest[1..];
        let mut plain = Vec::new();
        let mut escaped = false;
        for (at, &b) in content.iter().enumerate() {
            match b {
                b'\r' | b'\n' | 0 => break,
                _ if escaped => escaped = false,
                b'"' => {
                    self.rest = &content[at + 1..];
                    return Ok(unescaped(&content[..at], plain));
                }
                b'\\' => {
                    plain.push(at);
                    escaped = true;
                }
                _ => {}
            }
        }
        Err(Malformed("a quoted string has no end"))
    }

    /// `literal = "{" number ["+"] "}" CRLF *CHAR8`; the octets stand in place because the frame gathered them.
    fn literal(&mut self) -> Parsed<&'a [u8]> {
        self.expect(b'{', "a literal is missing")?;
        let length = self.number64()?;
        self.eat(b'+');
        self.expect(b'}', "a literal is malformed")?;
        self.eat(b'\r');
        self.expect(b'\n', "a literal is malformed")?;
        let length = usize::try_from(length).ok().filter(|n| *n <= self.rest.len());
        let (content, rest) = self.rest.split_at(length.ok_or(Malformed("a literal is cut short"))?);
        self.rest = rest;
        if content.contains(&0) { Err(Malformed("a literal holds NUL")) } else { Ok(content) }
    }

    /// `"(" item *(SP item) ")"`, with at least one item.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect(b'(', "a list is missing")?;
        let mut items = vec![item(self)?];
        while self.eat(b' ') {
            items.push(item(self)?);
        }
        self.expect(b')', "a list has no end")?;
        Ok(items)
    }
}

/// `content` without the octets at `escapes`.
fn unescaped(content: &[u8], escapes: Vec<usize>) -> Cow<'_, [u8]> {
    if escapes.is_empty() {
        return Cow::Borrowed(content);
    }
    let mut escapes = escapes.into_iter().peekable();
    let kept = content.iter().enumerate().filter(|(at, _)| escapes.next_if_eq(at).is_none());
    Cow::Owned(kept.map(|(_, b)| *b).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn astring(input: &[u8]) -> Option<(Vec<u8>, &[u8])> {
        let mut cursor = Cursor::new(input);
        cursor.astring().ok().map(|s| (s.into_owned(), cursor.remainder()))
    }

    #[test]
    fn strings_are_read_in_all_three_forms() {
        let check = |input: &[u8], expected: Option<(&[u8], &[u8])>| {
            let expected = expected.map(|(s, rest)| (s.to_vec(), rest));
            assert_eq!(astring(input), expected, "{}", input.escape_ascii());
        };
        check(b"INBOX x", Some((b"INBOX", b" x")));
        check(b"a]b", Some((b"a]b", b"")));
        check(b"\"\"", Some((b"", b"")));
        check(b"\"a \\\"b\\\\\" c", Some((b"a \"b\\", b" c")));
        check(b"\"\\\\\"", Some((b"\\", b"")));
        check(b"{3}\r\na\"b c", Some((b"a\"b", b" c")));
        check(b"{3+}\r\na\r\n", Some((b"a\r\n", b"")));
        check(b"{0}\n", Some((b"", b"")));
        for bad in
            [&b""[..], b"(", b"\"a", b"\"a\\\"", b"\"a\nb\"", b"{3}\r\nab", b"{3}ab", b"{-1}\r\n", b"{1}\r\n\0", b"%"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn numbers_have_bounds() {
        let nz = |input: &[u8]| Cursor::new(input).nz_number().ok();
        assert_eq!(nz(b"4294967295"), Some(u32::MAX));
        assert_eq!((nz(b"4294967296"), nz(b"0"), nz(b""), nz(b"x")), (None, None, None, None));
        let big = |input: &[u8]| Cursor::new(input).number64().ok();
        assert_eq!(big(b"9223372036854775807"), Some(i64::MAX as u64));
        assert_eq!((big(b"9223372036854775808"), big(b"99999999999999999999999")), (None, None));
    }

    #[test]
    fn lists_need_an_item_and_an_end() {
        let atoms = |input: &[u8]| Cursor::new(input).list(|c| c.atom().map(<[u8]>::len)).ok();
        assert_eq!(atoms(b"(a bc)"), Some(vec![1, 2]));
        for bad in [&b"()"[..], b"(a", b"(a  b)", b"a", b"(a )"] {
            assert_eq!(atoms(bad), None, "{}", bad.escape_ascii());
        }
    }
}
