//! Who a message is from. Decides whose key signs, so it reads one form only: a header that every agent splits alike, with
//! one From field that holds one mailbox. Whatever another agent could read differently is refused, never guessed.

use super::address::Address;
use super::header::fields;
use super::header::named;
use super::header::unfold;
use super::lexer::End;
use super::lexer::Lexer;
use super::lexer::is_space;
use super::lexer::trimmed;
use super::lines::lines;

/// What the From field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// There is no From field.
    Missing,
    /// Exactly one field with exactly one mailbox.
    Single(Address),
    /// More than one From field, or more than one mailbox in it.
    Several,
    /// Anything else: no mailbox, a group, text that is not in the grammar, a header that agents may split differently.
    Malformed,
}

/// Reads From (RFC 5322 section 3.6.2) strictly:
///
/// ```text
/// from      = "From:" mailbox CRLF                  once; the plural is answered with Several
/// mailbox   = [CFWS] [phrase] "<" addr-spec ">" [CFWS] / [CFWS] addr-spec [CFWS]
/// phrase    = 1*( atom / "." / quoted-string / CFWS )     UTF-8 per RFC 6532; encoded words are atoms, never decoded
/// addr-spec = a mailbox of `Address::parse`; no white space, comments or routes within
/// ```
///
/// Comments must not hold `<`, `>` or `@`, which sloppier readers take for an address; an encoded word must end where it
/// began (in one atom, string or comment, never in the address), because some readers look for its end across all of them.
pub fn author(header: &[u8]) -> Author {
    let mut found = named(header, "From");
    let (first, second) = (found.next(), found.next());
    match (first, second) {
        (None, _) => Author::Missing,
        (Some(_), Some(_)) => Author::Several,
        (Some(field), None) if field.raw.get(field.name.len()) == Some(&b':') && splits_alike(header) => {
            from_value(&unfold(field.value))
        }
        (Some(_), None) => Author::Malformed,
    }
}

/// Whether every agent finds the same fields in `header`: no NUL, no bare CR, one kind of line break, no line that is no
/// field, no fold that holds only white space (some take it for the end of the header).
fn splits_alike(header: &[u8]) -> bool {
    let mut breaks = lines(header, 0).map(|line| line.break_bytes()).filter(|&bytes| bytes > 0);
    let first = breaks.next();
    breaks.all(|bytes| Some(bytes) == first)
        && lines(header, 0).all(|line| !line.content.iter().all(|&b| is_space(b)) && !has_control(line.content))
        && fields(header).all(|field| !field.name.is_empty())
}

fn has_control(octets: &[u8]) -> bool {
    octets.iter().any(|&b| matches!(b, 0 | b'\r'))
}

fn from_value(value: &[u8]) -> Author {
    let is_text = std::str::from_utf8(value).is_ok_and(|text| !text.chars().any(|c| c.is_control() && c != '\t'));
    let Some(pieces) = comma_separated(value).filter(|_| is_text) else { return Author::Malformed };
    let mailboxes: Option<Vec<Address>> = pieces.iter().map(|piece| mailbox(piece)).collect();
    match mailboxes.map(<[Address; 1]>::try_from) {
        None => Author::Malformed,
        Some(Ok([address])) => Author::Single(address),
        Some(Err(_)) => Author::Several,
    }
}

/// The pieces between commas that stand in no quoted string and no comment; `None` when one of those has no end.
fn comma_separated(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut pieces = Vec::new();
    let mut lexer = Lexer::new(value);
    let mut piece = lexer.rest();
    while let Some(octet) = lexer.peek() {
        match octet {
            b'"' => lexer.quoted().filter(|q| q.1 == End::Closed).map(|q| q.0)?,
            b'(' => lexer.comment().filter(|c| c.1 == End::Closed).map(|c| c.0)?,
            _ => lexer.take(1),
        };
        if octet == b',' {
            pieces.push(&piece[..piece.len() - lexer.rest().len() - 1]);
            piece = lexer.rest();
        }
    }
    pieces.push(piece);
    Some(pieces)
}

fn mailbox(piece: &[u8]) -> Option<Address> {
    let mut lexer = Lexer::new(piece);
    space_and_plain_comments(&mut lexer)?;
    let address = match addr_spec_alone(lexer) {
        Some((address, behind)) => {
            lexer = behind;
            address
        }
        None => {
            phrase(&mut lexer)?;
            angle_addr(&mut lexer)?
        }
    };
    space_and_plain_comments(&mut lexer)?;
    lexer.rest().is_empty().then_some(address)
}

/// An addr-spec without angle brackets, up to white space or a comment.
fn addr_spec_alone(mut lexer: Lexer) -> Option<(Address, Lexer)> {
    let whole = lexer.rest();
    lexer.quoted();
    lexer.take_while(|b| !is_space(b) && !matches!(b, b'(' | b'<' | b'"'));
    let address = parse(&whole[..whole.len() - lexer.rest().len()])?;
    Some((address, lexer))
}

/// Words before the angle bracket: no `@`, no group's `:`, none of the other specials outside of quotes.
fn phrase(lexer: &mut Lexer) -> Option<()> {
    while lexer.peek() != Some(b'<') {
        match lexer.quoted() {
            Some((text, End::Closed)) if ends_its_words(text) => {}
            Some(_) => return None,
            None => {
                let atom = lexer.take_while(is_phrase_octet);
                (!atom.is_empty() && ends_its_words(atom)).then_some(())?;
            }
        }
        space_and_plain_comments(lexer)?;
    }
    Some(())
}

fn is_phrase_octet(b: u8) -> bool {
    b.is_ascii_alphanumeric() || !b.is_ascii() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b)
}

fn angle_addr(lexer: &mut Lexer) -> Option<Address> {
    lexer.eat(b'<').then_some(())?;
    let inside = lexer.rest();
    lexer.quoted();
    lexer.take_while(|b| b != b'>');
    let address = parse(&inside[..inside.len() - lexer.rest().len()])?;
    lexer.eat(b'>').then_some(address)
}

fn parse(octets: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(octets).ok()?;
    let has_word_marks = text.contains("=?") || text.contains("?=");
    Address::parse(text).ok().filter(|_| !has_word_marks)
}

/// Whether an encoded word that begins in `text` ends with it.
fn ends_its_words(text: &[u8]) -> bool {
    !text.windows(2).any(|two| two == b"=?") || trimmed(text).ends_with(b"?=")
}

fn space_and_plain_comments(lexer: &mut Lexer) -> Option<()> {
    loop {
        lexer.space();
        match lexer.comment() {
            None => return Some(()),
            Some((text, End::Closed)) if !text.iter().any(|b| b"<>@".contains(b)) && ends_its_words(text) => {}
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(address: &str) -> Author {
        Author::Single(Address::parse(address).expect(address))
    }
    fn check(value: &str, expected: &Author) {
        let header = format!("Subject: x\r\nFrom: {value}\r\nTo: y@z\r\n");
        assert_eq!(&author(header.as_bytes()), expected, "{value:?}");
        let bare = header.replace("\r\n", "\n");
        assert_eq!(&author(bare.as_bytes()), expected, "{value:?} with LF");
    }

    #[test]
    fn one_mailbox_in_its_valid_forms() {
        for value in [
            "a@x",
            " \t a@x ",
            "<a@x>",
            "A <a@x>",
            "A<a@x>",
            "John Q. Public <a@x>",
            "\"Public, John\" <a@x>",
            "\"eve@y <eve@y>\" <a@x>",
            "\"a \\\" <b\" c <a@x>",
            "=?utf-8?q?eve=40y=2C_=3Ceve=40y=3E?= <a@x>",
            "Grüße <a@x>",
            "A\r\n B <a@x>",
            "\r\n A <a@x>",
            "\"=?utf-8?q?A?=\" <a@x>",
            "=?utf-8?q?A?=\r\n =?utf-8?q?B?= <a@x>",
            "a@x (A)",
            "a@x (=?utf-8?q?A?= )",
            "(c) a@x (Smith, John (jr))",
            "(c) A (d) <a@x> (e)",
            "\"\" <a@x>",
        ] {
            check(value, &single("a@x"));
        }
        check("\"a b\"@x", &single("\"a b\"@x"));
        check("Q <\"a>b\"@x>", &single("\"a>b\"@x"));
        check("\"a, b\"@x", &single("\"a, b\"@x"));
        check("a@[127.0.0.1]", &single("a@[127.0.0.1]"));
    }

    #[test]
    fn several_mailboxes() {
        for value in ["a@x, b@y", "A <a@x>, B <b@y>", "a@x,a@x", "a@x,\r\n b@y", "a@x, b@y, c@z"] {
            check(value, &Author::Several);
        }
        let twice = |name: &str| author(format!("From: a@x\r\n{name}: a@x\r\n").as_bytes());
        assert_eq!(twice("From"), Author::Several);
        assert_eq!(twice("fROM "), Author::Several);
        assert_eq!(twice("From2"), single("a@x"));
        assert_eq!(twice("Resent-From"), single("a@x"));
    }

    #[test]
    fn everything_else_is_malformed() {
        for value in [
            "",
            "a",
            "A",
            "<>",
            "A <>",
            "<a@x",
            "a@x>",
            "<<a@x>>",
            "A <a@x> b",
            "A <a@x> <b@y>",
            "<a@x><b@y>",
            "a@x b@y",
            "a@x <b@y>",
            "A a@x",
            "Smith, John <a@x>",
            "eve@y <a@x>",
            "a@x,",
            ",a@x",
            "a@x,,b@y",
            "a@x; b@y",
            "Group: a@x;",
            "Group:;",
            "A: <a@x>",
            "<@r:a@x>",
            "<a @x>",
            "< a@x>",
            "a @x",
            "a@ x",
            "a(c)@x",
            "<a@x(c)>",
            "(a@y) a@x",
            "a@x (<b>)",
            "a@x (open",
            "\"open <a@x>",
            "\"A\" \"B <a@x>",
            "=?utf-8?q?a=40x?=",
            "=?utf-8?q?A_=3Ca=40x=3E?=",
            "=?utf-8?q?<b=40y?=a@x>",
            "=?utf-8?q?a=40y <?=a@x>",
            "=?utf-8?q?b <a@x> (?=)",
            "\"=?utf-8?q?b\" <a@x> (?=)",
            "(=?utf-8?q?b) <a@x> (?=)",
            "=?utf-8?q?a?=@x",
            "A\\ <a@x>",
            "[A] <a@x>",
            "a@x\u{200b}",
            "A\u{7} <a@x>",
            "A\0 <a@x>",
            "A\r <a@x>",
            "a@@x",
            "a@x@y",
        ] {
            check(value, &Author::Malformed);
        }
        assert_eq!(author(b"From: \xfc <a@x>\r\n"), Author::Malformed);
    }

    #[test]
    fn headers_that_agents_split_differently_are_malformed() {
        assert_eq!(author(b""), Author::Missing);
        assert_eq!(author(b"Subject: From: a@x\r\n From: a@x\r\n"), Author::Missing);
        assert_eq!(author(b"From: a@x"), single("a@x"));
        assert_eq!(author(b"From: a@x\r\nX: y"), single("a@x"));
        for header in [
            &b"From : a@x\r\n"[..],
            b"From: a@x\r\nX: y\nZ: z\r\n",
            b"From: a@x\r\nX: y\rFrom: b@y\r\n",
            b"From: a@x\r\nX: \0\r\n",
            b"From: a@x\r\nno field\r\n",
            b"From alice Mon Jan  1 10:00:00 2024\r\nFrom: a@x\r\n",
            b" X: y\r\nFrom: a@x\r\n",
            b"X: y\r\n \r\nFrom: a@x\r\n",
            b"From: a@x\r\n\xff: y\r\n",
            b"From: a@x\r\n: y\r\n",
        ] {
            assert_eq!(author(header), Author::Malformed, "{}", header.escape_ascii());
        }
    }
}
