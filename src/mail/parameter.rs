//! Structured fields of MIME: a token and parameters (RFC 2045 section 5.1, RFC 2231). Lenient, as readers of real mail
//! have to be; never used where a signature or a key depends on the answer.

use super::encoded_word::hex_octet;
use super::encoded_word::to_unicode;
use super::lexer::Lexer;
use super::lexer::is_space;
use super::lexer::trimmed;
use super::lexer::unquoted;
use super::structure::Parameter;
use std::collections::HashMap;

/// Parameters of one field that are read; more are ignored.
pub const PARAMETERS_MAX: usize = 128;

/// A field read once: names in lower case, values with quoting removed, otherwise octets as they stood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Structured {
    /// Lower case, comments and white space removed: `text/plain`, `attachment`.
    pub token: Vec<u8>,
    /// In order, RFC 2231 forms not resolved: `filename*0*`.
    pub parameters: Vec<Written>,
}

/// A parameter as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// Reads a structured field such as Content-Type: its first token in lower case without comments, and its parameters with
/// the continuations and character sets of RFC 2231 resolved to Unicode. Of parameters with one name the first counts;
/// a form with `*` counts before one without.
pub fn structured(value: &[u8]) -> (String, Vec<Parameter>) {
    let Structured { token, parameters } = read(value);
    (String::from_utf8_lossy(&token).into_owned(), resolved(&parameters))
}

/// `token *( ";" attribute "=" value )`, with comments and white space anywhere between.
pub(super) fn read(value: &[u8]) -> Structured {
    let mut lexer = Lexer::new(value);
    let mut found = Structured { token: token(&mut lexer), parameters: Vec::new() };
    // quirk_no_first_semicolon: `multipart/mixed` and a boundary on the next line.
    let mut ahead = lexer;
    if let Some(first) = parameter(&mut ahead) {
        found.parameters.push(first);
        lexer = ahead;
    }
    while next_parameter(&mut lexer) && found.parameters.len() < PARAMETERS_MAX {
        found.parameters.extend(parameter(&mut lexer));
    }
    found
}

/// `type "/" subtype` or a single token. White space around the slash is tolerated; a second word is not part of the token.
fn token(lexer: &mut Lexer) -> Vec<u8> {
    let mut token = Vec::new();
    lexer.space_and_comments();
    loop {
        token.extend(lexer.take_while(|b| !is_space(b) && !matches!(b, b'(' | b';')));
        let is_spaced = lexer.space_and_comments();
        let goes_on = is_spaced && (token.ends_with(b"/") || lexer.peek() == Some(b'/'));
        if !goes_on {
            token.make_ascii_lowercase();
            return token;
        }
    }
}

/// Goes behind the next `;` that is in no quoted string and no comment.
fn next_parameter(lexer: &mut Lexer) -> bool {
    loop {
        if lexer.quoted().is_none() && lexer.comment().is_none() {
            match lexer.peek() {
                None => return false,
                Some(b';') => break,
                Some(_) => lexer.take(1),
            };
        }
    }
    lexer.eat(b';')
}

fn parameter(lexer: &mut Lexer) -> Option<Written> {
    lexer.space_and_comments();
    let mut name = lexer.take_while(|b| !is_space(b) && !matches!(b, b'(' | b';' | b'=')).to_vec();
    lexer.space_and_comments();
    if name.is_empty() || !lexer.eat(b'=') {
        return None;
    }
    name.make_ascii_lowercase();
    lexer.space_and_comments();
    let value = match lexer.quoted() {
        Some((content, _)) => unquoted(&without_breaks(content)),
        None => unquoted_value(lexer),
    };
    Some(Written { name, value })
}

/// A token; where words follow it without quotes (`name=My File.pdf`), all of them.
fn unquoted_value(lexer: &mut Lexer) -> Vec<u8> {
    let start = *lexer;
    let token = lexer.take_while(|b| !is_space(b) && !matches!(b, b'(' | b';'));
    lexer.space_and_comments();
    if matches!(lexer.peek(), None | Some(b';')) {
        return token.to_vec();
    }
    *lexer = start;
    trimmed(&without_breaks(lexer.take_while(|b| b != b';'))).to_vec()
}

fn without_breaks(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect()
}

/// One value in the making: plain, or the sections of RFC 2231.
#[derive(Default)]
struct Sections<'a> {
    plain: Option<&'a [u8]>,
    sections: Vec<Section<'a>>,
}

/// `attribute [ "*" number ] [ "*" ]` and its value (RFC 2231 section 7).
struct Section<'a> {
    number: u32,
    form: Form,
    value: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// With `%` octets, and in section 0 `charset'language'` before them.
    Extended,
}

/// Resolves RFC 2231, in the order in which names first appear.
pub(super) fn resolved(written: &[Written]) -> Vec<Parameter> {
    let mut order: Vec<&[u8]> = Vec::new();
    let mut values: HashMap<&[u8], Sections> = HashMap::new();
    for Written { name, value } in written {
        let (base, section) = split_name(name);
        let entry = values.entry(base).or_insert_with(|| {
            order.push(base);
            Sections::default()
        });
        match section {
            None => entry.plain = entry.plain.or(Some(value)),
            Some((number, form)) => entry.sections.push(Section { number, form, value }),
        }
    }
    let name = |base: &[u8]| String::from_utf8_lossy(base).into_owned();
    order.into_iter().filter_map(|base| Some((name(base), values.remove(base)?.joined()))).collect()
}

/// `filename*2*` is `filename`, section 2, extended; what does not follow the grammar is a plain name.
fn split_name(name: &[u8]) -> (&[u8], Option<(u32, Form)>) {
    let (stem, form) = match name.strip_suffix(b"*") {
        Some(stem) => (stem, Form::Extended),
        None => (name, Form::Plain),
    };
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u16>().ok();
    let numbered = stem.iter().position(|&b| b == b'*').and_then(|star| Some((star, number(&stem[star + 1..])?)));
    match (numbered, form) {
        (Some((star, n)), _) if star > 0 => (&stem[..star], Some((u32::from(n), form))),
        (None, Form::Extended) if !stem.is_empty() && !stem.contains(&b'*') => (stem, Some((0, form))),
        _ => (name, None),
    }
}

impl Sections<'_> {
    /// Sections 0, 1, 2 ... as far as they go without a gap; else the plain value.
    fn joined(mut self) -> String {
        self.sections.sort_by_key(|s| s.number);
        self.sections.dedup_by_key(|s| s.number);
        let mut octets = Vec::new();
        let mut charset: &[u8] = b"";
        for (expected, section) in (0..).zip(&self.sections) {
            let is_next = section.number == expected;
            match section.form {
                _ if !is_next => break,
                Form::Plain => octets.extend(section.value),
                Form::Extended if section.number == 0 => {
                    let mut pieces = section.value.splitn(3, |&b| b == b'\'');
                    let text = match (pieces.next(), pieces.next(), pieces.next()) {
                        (Some(named), Some(_), Some(text)) => {
                            charset = named;
                            text
                        }
                        _ => section.value,
                    };
                    percent_decoded(text, &mut octets);
                }
                Form::Extended => percent_decoded(section.value, &mut octets),
            }
        }
        match self.plain {
            Some(plain) if self.sections.first().is_none_or(|s| s.number != 0) => to_unicode(b"utf-8", plain),
            _ => to_unicode(charset, &octets),
        }
    }
}

/// `ext-octet = "%" 2(DIGIT / "A" / ... / "F")`; a `%` without digits stands for itself.
fn percent_decoded(text: &[u8], octets: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&b) = text.get(at) {
        let escaped = if b == b'%' { text.get(at + 1..at + 3).and_then(hex_octet) } else { None };
        octets.push(escaped.unwrap_or(b));
        at += if escaped.is_some() { 3 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, token: &str, parameters: &[(&str, &str)]) {
        let (found_token, found) = structured(input.as_bytes());
        let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!((found_token.as_str(), found.as_slice()), (token, parameters), "{input}");
    }

    #[test]
    fn tokens_and_parameters() {
        check("", "", &[]);
        check(" (c) Text/Plain", "text/plain", &[]);
        check("text / plain (c)", "text/plain", &[]);
        check("text(c)/(d)plain", "text/plain", &[]);
        check("base64 whatever", "base64", &[]);
        check("text/plain; charset=us-ascii (Plain text)", "text/plain", &[("charset", "us-ascii")]);
        check("text/plain; charset=\"us-ascii\"", "text/plain", &[("charset", "us-ascii")]);
        check(
            "multipart/mixed; Boundary=\"a;b=\\\"c\" ; x=y",
            "multipart/mixed",
            &[("boundary", "a;b=\"c"), ("x", "y")],
        );
        check("multipart/mixed;boundary=----=_a/b:c=?", "multipart/mixed", &[("boundary", "----=_a/b:c=?")]);
        check("a/b; boundary = x", "a/b", &[("boundary", "x")]);
        check("a/b; name=My File.pdf; x=", "a/b", &[("name", "My File.pdf"), ("x", "")]);
        check("a/b; name=\"a\r\n b", "a/b", &[("name", "a b")]);
        check("a/b; ;; x; =y; z=\"1\" junk; z=2", "a/b", &[("z", "1")]);
        check("a/b\r\n\tc=d; e=f", "a/b", &[("c", "d"), ("e", "f")]);
        check("a/b c d=e; f=g", "a/b", &[("f", "g")]);
        check("a/b (; c=d); e=f", "a/b", &[("e", "f")]);
    }

    #[test]
    fn continuations_and_character_sets() {
        let check = |input: &str, expected: &[(&str, &str)]| check(&format!("a/b; {input}"), "a/b", expected);
        check("t*=utf-8'en'%C3%A9%20x", &[("t", "é x")]);
        check("t*=iso-8859-1''%e9", &[("t", "é")]);
        check("t*=x%", &[("t", "x%")]);
        check("t*0=a; t*1=b", &[("t", "ab")]);
        check("t*1=b; u=1; t*0=a", &[("t", "ab"), ("u", "1")]);
        check("t*0*=us-ascii'en'a%20; t*1*=b%2a; t*2=%20", &[("t", "a b*%20")]);
        check("t*0*=utf-8''%C3; t*1*=%A9", &[("t", "é")]);
        check("t*0=a; t*2=c", &[("t", "a")]);
        check("t=plain; t*=utf-8''better", &[("t", "better")]);
        check("t=plain; t*1=late", &[("t", "plain")]);
        check("t*1=late", &[("t", "")]);
        check("t*x=y; *=z; *0=z", &[("t*x", "y"), ("*", "z"), ("*0", "z")]);
        check("t*0=a; t*0=b", &[("t", "a")]);
        check("t*70000=a", &[("t*70000", "a")]);
    }

    #[test]
    fn parameters_are_bounded() {
        let many = |n: usize| format!("a/b{}", (0..n).map(|i| format!(";p{i}=v")).collect::<String>());
        assert_eq!(structured(many(PARAMETERS_MAX).as_bytes()).1.len(), PARAMETERS_MAX);
        assert_eq!(structured(many(PARAMETERS_MAX + 1).as_bytes()).1.len(), PARAMETERS_MAX);
    }
}
