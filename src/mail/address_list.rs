//! Address lists as a reader of real mail takes them (RFC 5322 section 3.4 and 4.4), for ENVELOPE and display. Lenient, so
//! never used to decide who signs or who receives.

use super::encoded_word;
use super::header::utf8;
use super::lexer::Lexer;
use super::lexer::is_space;
use super::lexer::unquoted;
use super::summary::ListEntry;

/// Entries of one message's address fields that are read; more are ignored.
pub const ADDRESSES_MAX: usize = 20_000;

/// Reads an address list: mailboxes and groups in order; what is neither becomes a mailbox without domain.
pub fn addresses(value: &[u8]) -> Vec<ListEntry> {
    addresses_within(value, &mut ADDRESSES_MAX.clone())
}

/// The same, taking what it yields off `left`.
pub(super) fn addresses_within(value: &[u8], left: &mut usize) -> Vec<ListEntry> {
    let mut list = List::default();
    let mut lexer = Lexer::new(value);
    while *left > list.entries.len() && list.step(&mut lexer) {}
    list.end_group();
    *left = left.saturating_sub(list.entries.len());
    list.entries
}

/// The list as people write it, names decoded: `Alice <a@example.org>, b@example.org`.
pub(super) fn to_text(entries: &[ListEntry]) -> String {
    let mut items: Vec<String> = Vec::new();
    for entry in entries {
        match entry {
            ListEntry::Mailbox { name, local, domain } => {
                let address = if domain.is_empty() { local.clone() } else { format!("{local}@{domain}") };
                let name = name.as_ref().map(|name| encoded_word::decode(name.as_bytes())).filter(|n| !n.is_empty());
                items.push(name.map_or(address.clone(), |name| format!("{name} <{address}>")));
            }
            ListEntry::GroupStart(name) => items.push(format!("{}:", encoded_word::decode(name.as_bytes()))),
            ListEntry::GroupEnd => {}
        }
    }
    items.join(", ")
}

/// A word of a phrase or a piece of an addr-spec.
struct Word {
    octets: Vec<u8>,
    gap: Gap,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    /// White space or a comment stood before it.
    Space,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// An `@` outside of quotes.
    At,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    List,
    Group,
}

/// The entries so far, and what was read of the next one.
#[derive(Default)]
struct List {
    entries: Vec<ListEntry>,
    words: Vec<Word>,
    comment: Option<Vec<u8>>,
    angle: Option<(String, String)>,
    inside: Inside,
}

impl List {
    /// Reads one token; false at the end.
    fn step(&mut self, lexer: &mut Lexer) -> bool {
        let gap = self.gap(lexer);
        match lexer.peek() {
            None => {
                self.end_mailbox();
                return false;
            }
            Some(b',') => {
                lexer.take(1);
                self.end_mailbox();
            }
            Some(b';') => {
                lexer.take(1);
                self.end_mailbox();
                self.end_group();
            }
            Some(b':') if self.inside == Inside::List && self.angle.is_none() => {
                lexer.take(1);
                self.start_group();
            }
            Some(b'<') if self.angle.is_none() => self.angle = Some(angle(lexer)),
            Some(_) => self.words.push(word(lexer, gap)),
        }
        true
    }

    /// Takes white space and comments; the last comment may turn out to be the name (section 4.4's old style).
    fn gap(&mut self, lexer: &mut Lexer) -> Gap {
        let mut gap = Gap::None;
        loop {
            if lexer.space() {
                gap = Gap::Space;
            }
            let Some((text, _)) = lexer.comment() else { return gap };
            gap = Gap::Space;
            self.comment = Some(unquoted(text));
        }
    }

    fn start_group(&mut self) {
        self.entries.push(ListEntry::GroupStart(phrase(&self.words)));
        self.words.clear();
        self.comment = None;
        self.inside = Inside::Group;
    }

    fn end_group(&mut self) {
        if std::mem::take(&mut self.inside) == Inside::Group {
            self.entries.push(ListEntry::GroupEnd);
        }
    }

    fn end_mailbox(&mut self) {
        let words = std::mem::take(&mut self.words);
        let comment = self.comment.take().map(|text| utf8(&text));
        let mailbox = match self.angle.take() {
            Some((local, domain)) => Some((phrase(&words), local, domain)),
            None if words.is_empty() => None,
            None => Some(bare(&words)),
        };
        let Some((name, local, domain)) = mailbox else { return };
        let name = if name.is_empty() { comment } else { Some(name) };
        self.entries.push(ListEntry::Mailbox { name: name.filter(|n| !n.is_empty()), local, domain });
    }
}

fn word(lexer: &mut Lexer, gap: Gap) -> Word {
    let text = |octets: Vec<u8>| Word { octets, gap, kind: Kind::Text };
    if lexer.eat(b'@') {
        return Word { octets: b"@".to_vec(), gap, kind: Kind::At };
    }
    if let Some((content, _)) = lexer.quoted() {
        let content: Vec<u8> = content.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        return text(unquoted(&content));
    }
    if let Some(length) = encoded_word_bytes(lexer.rest()) {
        return text(lexer.take(length).to_vec());
    }
    // A domain literal holds colons.
    if lexer.peek() == Some(b'[') {
        let inside = lexer.take_while(|b| !b"],<>\"".contains(&b));
        let end = lexer.take(usize::from(lexer.peek() == Some(b']')));
        return text([inside, end].concat());
    }
    // The first octet is taken whatever it is, so that each step goes forward.
    let first = lexer.take(1);
    let rest = lexer.take_while(|b| !is_space(b) && !b"(),:;<>@\"".contains(&b));
    text([first, rest].concat())
}

/// An encoded word is one word even where its sender left commas or brackets in it; but not quotes or parentheses, which begin
/// something that may end behind it.
fn encoded_word_bytes(octets: &[u8]) -> Option<usize> {
    encoded_word::length(octets).filter(|&length| !octets[..length].iter().any(|b| b"\"()".contains(b)))
}

/// `"<" [route] addr-spec ">"`, the closing bracket not insisted on; a route (section 4.4) is dropped.
fn angle(lexer: &mut Lexer) -> (String, String) {
    lexer.take(1);
    let mut words = Vec::new();
    loop {
        let gap = if lexer.space_and_comments() { Gap::Space } else { Gap::None };
        match lexer.peek() {
            None | Some(b'<') => break,
            Some(b'>') => {
                lexer.take(1);
                break;
            }
            Some(b':') if words.first().is_some_and(|w: &Word| w.kind == Kind::At) => {
                lexer.take(1);
                words.clear();
            }
            Some(_) => words.push(word(lexer, gap)),
        }
    }
    match words.iter().rposition(|w| w.kind == Kind::At) {
        Some(at) => (joined(&words[..at]), joined(&words[at + 1..])),
        None => (joined(&words), String::new()),
    }
}

/// A mailbox without angle brackets: name (words before it), local part and domain. Without `@` all is local part.
fn bare(words: &[Word]) -> (String, String, String) {
    let Some(at) = words.iter().rposition(|w| w.kind == Kind::At) else {
        return (String::new(), phrase(words), String::new());
    };
    let mut start = at.saturating_sub(1);
    while start > 0 && touches(&words[start - 1], &words[start]) {
        start -= 1;
    }
    let end = (at + 2..words.len()).find(|&n| !touches(&words[n - 1], &words[n])).unwrap_or(words.len());
    (phrase(&words[..start]), joined(&words[start..at]), joined(&words[at + 1..end]))
}

/// Whether two pieces belong together: nothing between them, or a dot as in the obsolete `a . b`.
fn touches(left: &Word, right: &Word) -> bool {
    right.gap == Gap::None || left.octets.ends_with(b".") || right.octets.starts_with(b".")
}

fn joined(words: &[Word]) -> String {
    utf8(&words.iter().flat_map(|w| w.octets.iter().copied()).collect::<Vec<u8>>())
}

/// Words with one space where there was white space.
fn phrase(words: &[Word]) -> String {
    let mut text = Vec::new();
    for word in words {
        if word.gap == Gap::Space && !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(&word.octets);
    }
    utf8(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &[u8]) -> String {
        let entry = |entry: &ListEntry| match entry {
            ListEntry::Mailbox { name: Some(name), local, domain } => format!("[{name}|{local}|{domain}]"),
            ListEntry::Mailbox { name: None, local, domain } => format!("[{local}|{domain}]"),
            ListEntry::GroupStart(name) => format!("{{{name}"),
            ListEntry::GroupEnd => "}".to_owned(),
        };
        addresses(value).iter().map(entry).collect()
    }

    #[test]
    fn lists_as_real_mail_writes_them() {
        for (input, expected) in [
            ("", ""),
            (" , ,", ""),
            ("a@x", "[a|x]"),
            ("a@x, b@y", "[a|x][b|y]"),
            ("A B <a@x>", "[A B|a|x]"),
            ("\"B, A\" <a@x>,<b@y>", "[B, A|a|x][b|y]"),
            ("\"a \\\" b\" <a@x>", "[a \" b|a|x]"),
            ("\"a b\"@x", "[a b|x]"),
            ("<\"a@b>\"@x>", "[a@b>|x]"),
            ("John Q. Public <a@x>", "[John Q. Public|a|x]"),
            ("a@x (Alice)", "[Alice|a|x]"),
            ("a@x (A \\) (B))", "[A ) (B)|a|x]"),
            ("A (c) <a@x>", "[A|a|x]"),
            ("=?utf-8?q?Doe,_J?= =?utf-8?q?b?= <a@x>", "[=?utf-8?q?Doe,_J?= =?utf-8?q?b?=|a|x]"),
            ("=?u?q?\"B,?= A\" <a@x>", "[=?u?q?B,?= A|a|x]"),
            ("=?u?q?(?=, b)?= <a@x>", "[=?u?q? ?=|a|x]"),
            ("G: a@x, B <b@y>;, c@z", "{G[a|x][B|b|y]}[c|z]"),
            ("G:;", "{G}"),
            ("undisclosed recipients: ;", "{undisclosed recipients}"),
            ("G: a@x", "{G[a|x]}"),
            ("G: H: a@x;", "{G[H:|a|x]}"),
            ("<@r,@s:a@x>", "[a|x]"),
            ("<>", "[|]"),
            ("A <>", "[A||]"),
            ("A <a>", "[A|a|]"),
            ("A <a@x", "[A|a|x]"),
            ("<a@x><b@y>", "[<b@y>|a|x]"),
            ("eve@y <a@x>", "[eve@y|a|x]"),
            ("Alice", "[Alice|]"),
            ("A B", "[A B|]"),
            ("A a@x", "[A|a|x]"),
            ("a . b @ x . y", "[a.b|x.y]"),
            ("a@[IPv6:::1]", "[a|[IPv6:::1]]"),
            ("@x", "[|x]"),
            ("a@", "[a|]"),
            ("A\r\n B <a@x>", "[A B|a|x]"),
            ("\"open <a@x>", "[open <a@x>|]"),
            (";", ""),
            ("grüße <ü@ö>", "[grüße|ü|ö]"),
        ] {
            assert_eq!(shown(input.as_bytes()), expected, "{input}");
        }
        assert_eq!(shown(b"\xfc <a@x>"), "[?|a|x]");
    }

    #[test]
    fn lists_are_bounded() {
        let many = |n: usize| addresses("a,".repeat(n).as_bytes()).len();
        assert_eq!(many(ADDRESSES_MAX), ADDRESSES_MAX);
        assert_eq!(many(ADDRESSES_MAX + 1), ADDRESSES_MAX);
    }

    #[test]
    fn text_is_decoded() {
        let list = addresses(b"=?utf-8?q?h=C3=A9?= <a@x>, b@y, G: c;");
        assert_eq!(to_text(&list), "hé <a@x>, b@y, G:, c");
    }
}
