//! QUERY: the one language of lists, searches and exports. Terms side by side must all hold; never guesses at an unknown one.
//!
//! ```text
//! query = *either                            all of them; empty is everything
//! either = item *( "OR" item )               OR binds closer than standing side by side
//! item  = ["-"] ( "(" query ")" / term )     "-" means not
//! term  = name ":" value
//! value = 1*char / DQUOTE *( char / "\" char ) DQUOTE
//! ```

use crate::clock::Timestamp;
use crate::crypto::{Digest, hash};
use crate::mail::{Direction, MailId};

/// Octets of a query.
pub const QUERY_BYTES_MAX: usize = 8192;
/// Terms of a query.
const TERMS_MAX: usize = 256;
/// Parentheses and minus signs around a term.
const DEPTH_MAX: usize = 16;
const DAY_S: i64 = 86_400;

/// Terms that are read; `text:` is not searchable yet and says so.
const NAMES: &str =
    "hold: from: to: subject: after: before: on: class: direction: id: msgid: hash: larger: has:attachment";

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(pub(super) Node);

/// A query or part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// All hold; of none, that is everything.
    All(Vec<Node>),
    /// At least one holds.
    Any(Vec<Node>),
    /// It does not hold.
    Not(Box<Node>),
    Term(Term),
}

/// One thing that may be so of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// Envelope sender or From, folded.
    From(String),
    /// Any recipient: envelope (Bcc too), To or Cc; folded.
    To(String),
    /// Folded.
    Subject(String),
    /// INTERNALDATE at or after.
    After(Timestamp),
    /// INTERNALDATE before.
    Before(Timestamp),
    Class(String),
    /// Under the hold of this name.
    Hold(String),
    Direction(Direction),
    Id(MailId),
    /// Without angle brackets.
    MessageId(String),
    Hash(Digest),
    /// A part is an attachment, as far as structure says.
    HasAttachment,
    /// More octets than this.
    Larger(u64),
}

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("query, at \"{near}\": {message}")]
pub struct QueryFault {
    /// The piece it is about, shortened.
    pub near: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Query {
    /// Everything.
    pub fn everything() -> Query {
        Query(Node::All(Vec::new()))
    }
    /// Whether it says nothing, and so means everything.
    pub fn is_everything(&self) -> bool {
        self.0 == Node::All(Vec::new())
    }
    /// Whether it asks for holds: what a hold is about cannot be what is held.
    pub fn asks_for_holds(&self) -> bool {
        fn asks(node: &Node) -> bool {
            match node {
                Node::All(nodes) | Node::Any(nodes) => nodes.iter().any(asks),
                Node::Not(node) => asks(node),
                Node::Term(term) => matches!(term, Term::Hold(_)),
            }
        }
        asks(&self.0)
    }
    /// Reads a query.
    pub fn parse(text: &str) -> Result<Query, QueryFault> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(fault(text, format!("longer than {QUERY_BYTES_MAX} octets")));
        }
        let mut parser = Parser { rest: text, terms: 0 };
        let node = parser.all(0)?;
        if parser.rest.is_empty() { Ok(Query(node)) } else { Err(fault(parser.rest, "a `)` without its `(`")) }
    }
}

struct Parser<'t> {
    rest: &'t str,
    terms: usize,
}

impl<'t> Parser<'t> {
    /// Items up to the end or a closing parenthesis.
    fn all(&mut self, depth: usize) -> Result<Node, QueryFault> {
        let mut nodes = Vec::new();
        loop {
            self.skip_space();
            if self.rest.is_empty() || self.rest.starts_with(')') {
                return Ok(Node::All(nodes));
            }
            nodes.push(self.either(depth)?);
        }
    }

    fn either(&mut self, depth: usize) -> Result<Node, QueryFault> {
        let first = self.item(depth)?;
        let mut nodes = vec![first];
        while self.takes_or() {
            nodes.push(self.item(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn item(&mut self, depth: usize) -> Result<Node, QueryFault> {
        self.skip_space();
        if depth > DEPTH_MAX {
            return Err(fault(self.rest, "nested too deeply"));
        }
        if self.takes("-") {
            return Ok(Node::Not(Box::new(self.item(depth + 1)?)));
        }
        if self.takes("(") {
            let node = self.all(depth + 1)?;
            return if self.takes(")") { Ok(node) } else { Err(fault(self.rest, "a `(` without its `)`")) };
        }
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(fault(self.rest, format!("more than {TERMS_MAX} terms")));
        }
        self.term()
    }

    fn term(&mut self) -> Result<Node, QueryFault> {
        let near = self.rest;
        if near.is_empty() || near.starts_with(')') {
            return Err(fault(near, "a term is missing here"));
        }
        let end = near.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(near.len());
        let (name, behind) = near.split_at(end);
        let Some(behind) = behind.strip_prefix(':').filter(|_| end > 0) else {
            let help = format!("words of the text cannot be searched yet; name a field: {NAMES}");
            return Err(fault(near, help));
        };
        self.rest = behind;
        let value = self.value()?;
        if value.is_empty() {
            return Err(fault(near, format!("`{name}:` needs a value right behind it")));
        }
        let node = match name.to_ascii_lowercase().as_str() {
            "on" => on(&value),
            name => term(name, &value).map(Node::Term),
        };
        node.map_err(|message| fault(near, message))
    }

    fn value(&mut self) -> Result<String, QueryFault> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')').unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Ok(value.to_owned());
        };
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return Ok(value);
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                _ => value.push(c),
            }
        }
        Err(fault(self.rest, "a quotation mark without its other one"))
    }

    fn takes_or(&mut self) -> bool {
        self.skip_space();
        let behind = self.rest.strip_prefix("OR");
        let is_word = behind.is_some_and(|b| b.is_empty() || b.starts_with(|c: char| c.is_whitespace() || c == '('));
        is_word && self.takes("OR")
    }
    fn takes(&mut self, token: &str) -> bool {
        let behind = self.rest.strip_prefix(token);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

fn term(name: &str, value: &str) -> Result<Term, String> {
    let fits = |term: Option<Term>, allowed: &str| term.ok_or_else(|| format!("`{name}:` takes {allowed}"));
    match name {
        "from" => Ok(Term::From(super::fold::fold(value))),
        "to" => Ok(Term::To(super::fold::fold(value))),
        "subject" => Ok(Term::Subject(super::fold::fold(value))),
        "after" => fits(Timestamp::parse_date(value).map(Term::After), "a day: YYYY-MM-DD, UTC, inclusive"),
        "before" => fits(Timestamp::parse_date(value).map(Term::Before), "a day: YYYY-MM-DD, UTC, exclusive"),
        "class" => Ok(Term::Class(value.to_owned())),
        "hold" => Ok(Term::Hold(value.to_owned())),
        "direction" => fits(direction(value).map(Term::Direction), "outbound, inbound, journal or import"),
        "id" => fits(MailId::parse(value).map(Term::Id), "32 hex digits"),
        "msgid" => Ok(Term::MessageId(super::fold::message_id(value).to_owned())),
        "hash" => fits(digest(value).map(Term::Hash), "64 hex digits of SHA-256"),
        "larger" => fits(octets(value).map(Term::Larger), "octets: 100000, 500K, 10M"),
        "has" => match value {
            "attachment" => Ok(Term::HasAttachment),
            _ => Err("`has:` takes attachment".to_owned()),
        },
        "text" => Err(format!("`{name}:` cannot be searched yet; there are {NAMES}")),
        _ => Err(format!("unknown term `{name}:`; there are {NAMES}")),
    }
}

/// A whole day.
fn on(value: &str) -> Result<Node, String> {
    let day = Timestamp::parse_date(value).ok_or("`on:` takes a day: YYYY-MM-DD, UTC")?;
    let terms = [Term::After(day), Term::Before(day.plus_s(DAY_S))];
    Ok(Node::All(terms.map(Node::Term).into()))
}

fn direction(word: &str) -> Option<Direction> {
    [Direction::Outbound, Direction::Inbound, Direction::Journal, Direction::Import]
        .into_iter()
        .find(|d| d.word() == word)
}

fn digest(text: &str) -> Option<Digest> {
    hash::unhex(text)?.try_into().ok()
}

fn octets(text: &str) -> Option<u64> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1024 * 1024)),
    };
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| all_digits)?.checked_mul(unit)
}

fn fault(near: &str, message: impl Into<String>) -> QueryFault {
    const NEAR_CHARS: usize = 40;
    let near = near.chars().filter(|c| !c.is_control()).take(NEAR_CHARS).collect();
    QueryFault { near, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(format!("{:?}", Query::parse(text).expect(text).0), expected, "{text}");
    }

    #[test]
    fn terms_stand_side_by_side_and_or_binds_closer() {
        for (text, expected) in [
            ("", "All([])"),
            (" \t", "All([])"),
            ("from:Alice", r#"All([Term(From("alice"))])"#),
            (r#"subject:"A \"b\" c" class:default"#, r#"All([Term(Subject("a \"b\" c")), Term(Class("default"))])"#),
            ("from:a to:b OR to:c", r#"All([Term(From("a")), Any([Term(To("b")), Term(To("c"))])])"#),
            ("-from:a", r#"All([Not(Term(From("a")))])"#),
            ("-(from:a to:b)", r#"All([Not(All([Term(From("a")), Term(To("b"))]))])"#),
            ("(from:a)OR(to:b)", r#"All([Any([All([Term(From("a"))]), All([Term(To("b"))])])])"#),
            ("larger:10M", "All([Term(Larger(10485760))])"),
            ("msgid:<a@b>", r#"All([Term(MessageId("a@b"))])"#),
            ("after:1970-01-02", "All([Term(After(Timestamp(86400000)))])"),
            ("hold:case-1", r#"All([Term(Hold("case-1"))])"#),
            ("has:attachment", "All([Term(HasAttachment)])"),
            ("FROM:ORDER", r#"All([Term(From("order"))])"#),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_asks_for_holds_is_known() {
        for (text, expected) in [("from:a", false), ("from:a OR -(hold:x)", true), ("", false), ("hold:x", true)] {
            assert_eq!(Query::parse(text).expect(text).asks_for_holds(), expected, "{text}");
        }
    }

    #[test]
    fn a_day_is_from_midnight_to_midnight() {
        check("on:1970-01-01", "All([All([Term(After(Timestamp(0))), Term(Before(Timestamp(86400000)))])])");
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, expected) in [
            ("hello", "words of the text"),
            ("\"hello\"", "words of the text"),
            ("text:hello", "cannot be searched yet"),
            ("has:stamp", "`has:` takes attachment"),
            ("form:a", "unknown term `form:`"),
            ("from:", "needs a value"),
            ("from: a", "needs a value"),
            ("from:\"\"", "needs a value"),
            ("after:yesterday", "YYYY-MM-DD"),
            ("on:2026-02-30", "YYYY-MM-DD"),
            ("direction:out", "outbound, inbound, journal or import"),
            ("id:12", "32 hex digits"),
            ("hash:12", "64 hex digits"),
            ("larger:+5", "octets"),
            ("larger:99999999999999999M", "octets"),
            ("subject:\"a", "quotation mark"),
            ("(from:a", "without its `)`"),
            ("from:a)", "without its `(`"),
            ("from:a OR", "missing"),
            ("OR from:a", "words of the text"),
            ("-", "missing"),
        ] {
            let fault = Query::parse(text).expect_err(text);
            assert!(fault.to_string().contains(expected), "{expected} in {fault}");
        }
    }

    #[test]
    fn bounds_hold() {
        let terms = |n: usize| "to:a ".repeat(n);
        assert!(Query::parse(&terms(TERMS_MAX)).is_ok() && Query::parse(&terms(TERMS_MAX + 1)).is_err());
        let nested = |n: usize| format!("{}to:a{}", "(".repeat(n), ")".repeat(n));
        assert!(Query::parse(&nested(DEPTH_MAX)).is_ok() && Query::parse(&nested(DEPTH_MAX + 1)).is_err());
        let long = |n: usize| format!("to:{}", "a".repeat(n - 3));
        assert!(Query::parse(&long(QUERY_BYTES_MAX)).is_ok() && Query::parse(&long(QUERY_BYTES_MAX + 1)).is_err());
    }
}
