//! Search keys (RFC 3501 section 6.4.4), read into what has to be looked at. Looks at no message.

use super::cursor::Cursor;
use super::cursor::Malformed;
use super::cursor::Parsed;
use super::header_key::EnvelopeField;
use super::sequence::Numbers;
use super::sequence::SequenceSet;
use crate::clock::Timestamp;
use crate::mail::summary::Summary;

/// How deep NOT, OR and parentheses may nest.
const DEPTH_MAX: usize = 50;

/// What a message must be. Flags are answered here: every message is `\Seen` and has no other flag or keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Every message.
    All,
    /// No message.
    Nothing,
    /// One of these numbers.
    Set(Numbers, SequenceSet),
    /// The day of INTERNALDATE, in UTC.
    Accepted(When, Day),
    /// The day of the Date field, as it was written.
    Sent(When, Day),
    /// More octets than this.
    Larger(u64),
    /// Fewer octets than this.
    Smaller(u64),
    /// A field of the ENVELOPE contains the text.
    Envelope(EnvelopeField, String),
    /// A header field, by its name in lower case, contains the text.
    Header(String, String),
    /// The body contains the text.
    Body(String),
    /// Header or body contain the text.
    Text(String),
    /// Not this.
    Not(Box<Key>),
    /// One of the two.
    Or(Box<Key>, Box<Key>),
    /// All of these.
    And(Vec<Key>),
}

/// How a day is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Earlier than the day.
    Before,
    /// Within the day.
    On,
    /// Within the day or later.
    Since,
}

/// A calendar day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day {
    /// Year.
    pub year: i32,
    /// Month from 1.
    pub month: u8,
    /// Day of the month from 1.
    pub day: u8,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

impl When {
    /// Whether `day` stands to `limit` as asked.
    pub(super) fn holds(self, day: Day, limit: Day) -> bool {
        match self {
            When::Before => day < limit,
            When::On => day == limit,
            When::Since => day >= limit,
        }
    }
}

impl Day {
    /// The day of an instant in UTC.
    pub(super) fn of(instant: Timestamp) -> Day {
        let (year, month, day) = instant.year_month_day();
        Day { year, month, day }
    }

    /// The day of the Date field.
    pub(super) fn sent(summary: &Summary) -> Option<Day> {
        let written = summary.envelope.date.as_deref().and_then(Day::written);
        written.or_else(|| summary.date_s.map(|s| Day::of(Timestamp::from_s(s))))
    }

    /// The day an RFC 5322 date names, whatever its zone: RFC 3501 disregards time and zone.
    pub(super) fn written(date: &str) -> Option<Day> {
        let date = date.split_once(',').map_or(date, |(_, rest)| rest);
        let mut words = date.split_ascii_whitespace();
        let day = words.next()?.parse().ok()?;
        let month = month(words.next()?.get(..3)?)?;
        let year = words.next()?;
        let short = match (year.len(), year.parse::<i32>().ok()?) {
            (2, n) if n < 50 => n + 2000,
            (2 | 3, n) => n + 1900,
            (_, n) => n,
        };
        Day::new(short, month, day)
    }

    fn new(year: i32, month: u8, day: u8) -> Option<Day> {
        Timestamp::from_date(year, month, day).map(|_| Day { year, month, day })
    }
}

fn month(name: &str) -> Option<u8> {
    let at = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month))?;
    u8::try_from(at + 1).ok()
}

/// `search-key *(SP search-key)`
pub(super) fn keys(cursor: &mut Cursor<'_>) -> Parsed<Key> {
    joined(cursor, 0)
}

fn joined(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Key> {
    let mut keys = vec![key(cursor, depth)?];
    while cursor.peek() == Some(b' ') {
        cursor.space()?;
        if cursor.peek().is_none() {
            break; // quirk_trailing_space (imaplib users)
        }
        keys.push(key(cursor, depth)?);
    }
    Ok(if keys.len() == 1 { keys.remove(0) } else { Key::And(keys) })
}

fn key(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Key> {
    if depth > DEPTH_MAX {
        return Err(Malformed("search keys nest too deep"));
    }
    match cursor.peek() {
        Some(b'(') => {
            cursor.eat(b'(');
            let keys = joined(cursor, depth + 1)?;
            cursor.expect(b')', "a search list has no end")?;
            Ok(keys)
        }
        Some(b'0'..=b'9' | b'*') => SequenceSet::parse(cursor).map(|set| Key::Set(Numbers::Sequence, set)),
        _ => named(cursor, depth),
    }
}

fn named(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Key> {
    let name = cursor.keyword()?;
    match name.as_str() {
        "ALL" | "SEEN" | "OLD" | "UNANSWERED" | "UNDELETED" | "UNDRAFT" | "UNFLAGGED" => Ok(Key::All),
        "NEW" | "RECENT" | "UNSEEN" | "ANSWERED" | "DELETED" | "DRAFT" | "FLAGGED" => Ok(Key::Nothing),
        "KEYWORD" => argument(cursor, Cursor::flag).map(|_| Key::Nothing),
        "UNKEYWORD" => argument(cursor, Cursor::flag).map(|_| Key::All),
        "BEFORE" => argument(cursor, day).map(|day| Key::Accepted(When::Before, day)),
        "ON" => argument(cursor, day).map(|day| Key::Accepted(When::On, day)),
        "SINCE" => argument(cursor, day).map(|day| Key::Accepted(When::Since, day)),
        "SENTBEFORE" => argument(cursor, day).map(|day| Key::Sent(When::Before, day)),
        "SENTON" => argument(cursor, day).map(|day| Key::Sent(When::On, day)),
        "SENTSINCE" => argument(cursor, day).map(|day| Key::Sent(When::Since, day)),
        "LARGER" => argument(cursor, Cursor::number64).map(Key::Larger),
        "SMALLER" => argument(cursor, Cursor::number64).map(Key::Smaller),
        "UID" => argument(cursor, SequenceSet::parse).map(|set| Key::Set(Numbers::Uid, set)),
        "BCC" => argument(cursor, text).map(|text| Key::Envelope(EnvelopeField::Bcc, text)),
        "CC" => argument(cursor, text).map(|text| Key::Envelope(EnvelopeField::Cc, text)),
        "FROM" => argument(cursor, text).map(|text| Key::Envelope(EnvelopeField::From, text)),
        "SUBJECT" => argument(cursor, text).map(|text| Key::Envelope(EnvelopeField::Subject, text)),
        "TO" => argument(cursor, text).map(|text| Key::Envelope(EnvelopeField::To, text)),
        "HEADER" => {
            let field = argument(cursor, text)?.to_ascii_lowercase();
            argument(cursor, text).map(|text| Key::Header(field, text))
        }
        "BODY" => argument(cursor, text).map(Key::Body),
        "TEXT" => argument(cursor, text).map(Key::Text),
        "NOT" => argument(cursor, |cursor| key(cursor, depth + 1)).map(|inner| Key::Not(Box::new(inner))),
        "OR" => {
            let first = argument(cursor, |cursor| key(cursor, depth + 1))?;
            let second = argument(cursor, |cursor| key(cursor, depth + 1))?;
            Ok(Key::Or(Box::new(first), Box::new(second)))
        }
        _ => Err(Malformed("unknown search key")),
    }
}

fn argument<'a, T>(cursor: &mut Cursor<'a>, read: impl FnOnce(&mut Cursor<'a>) -> Parsed<T>) -> Parsed<T> {
    cursor.space()?;
    read(cursor)
}

/// Text to look for. Without CHARSET it is taken as UTF-8 all the same: what else would an 8-bit octet be.
fn text(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let octets = cursor.astring()?.into_owned();
    String::from_utf8(octets).map_err(|_| Malformed("text to search for is not UTF-8"))
}

/// `date = date-text / DQUOTE date-text DQUOTE`, `date-text = date-day "-" date-month "-" date-year`
fn day(cursor: &mut Cursor<'_>) -> Parsed<Day> {
    const OTHERWISE: Malformed = Malformed("a date is malformed");
    let written = cursor.astring()?;
    let written = std::str::from_utf8(&written).map_err(|_| OTHERWISE)?;
    let mut parts = written.split('-');
    let (Some(day), Some(name), Some(year), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(OTHERWISE);
    };
    let is_number = |text: &str, most: usize| text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(day, 2) || !is_number(year, 4) || year.len() != 4 {
        return Err(OTHERWISE);
    }
    let parsed = (day.parse(), month(name), year.parse());
    let (Ok(day), Some(month), Ok(year)) = parsed else { return Err(OTHERWISE) };
    Day::new(year, month, day).ok_or(OTHERWISE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Key> {
        let mut cursor = Cursor::new(text.as_bytes());
        let key = keys(&mut cursor).ok()?;
        cursor.remainder().is_empty().then_some(key)
    }

    fn envelope(field: EnvelopeField, text: &str) -> Key {
        Key::Envelope(field, text.to_owned())
    }

    #[test]
    fn keys_are_read() {
        let check = |text: &str, expected: Key| assert_eq!(parse(text), Some(expected), "{text}");
        let day = Day { year: 2026, month: 2, day: 1 };
        check("ALL", Key::All);
        check("unseen ", Key::Nothing);
        check("KEYWORD $x", Key::Nothing);
        check("SINCE 1-Feb-2026", Key::Accepted(When::Since, day));
        check("SENTON \"01-FEB-2026\"", Key::Sent(When::On, day));
        check(
            "FROM \"a b\" NOT CC x",
            Key::And(vec![envelope(EnvelopeField::From, "a b"), Key::Not(Box::new(envelope(EnvelopeField::Cc, "x")))]),
        );
        check("HEADER Message-ID <a@b>", Key::Header("message-id".to_owned(), "<a@b>".to_owned()));
        check("OR SEEN (NEW OLD)", Key::Or(Box::new(Key::All), Box::new(Key::And(vec![Key::Nothing, Key::All]))));
        check("((TEXT {3+}\r\na\"b))", Key::Text("a\"b".to_owned()));
        check("LARGER 0", Key::Larger(0));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in [
            "",
            " ",
            "ALL  SEEN",
            "()",
            "(ALL",
            "NOT",
            "OR ALL",
            "FROM",
            "SINCE 31-Feb-2026",
            "SINCE 1-Feb-26",
            "ON 1-x-2026",
            "BEFORE 1-Feb-2026-",
            "LARGER x",
            "UID",
            "UID x",
            "X",
            "HEADER a",
            "SINCE +1-Feb-2026",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(Cursor::new(b"TEXT \"\xff\"").keyword().map(|_| ()), Ok(()));
        assert!(keys(&mut Cursor::new(b"TEXT \"\xff\"")).is_err());
    }

    #[test]
    fn nesting_has_a_bound() {
        let nots = |n: usize| format!("{}ALL", "NOT ".repeat(n));
        let lists = |n: usize| format!("{}ALL{}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&nots(DEPTH_MAX)).is_some() && parse(&lists(DEPTH_MAX)).is_some());
        assert!(parse(&nots(DEPTH_MAX + 1)).is_none() && parse(&lists(10_000)).is_none());
    }

    #[test]
    fn sent_days_are_those_written() {
        let check = |text: &str, expected: Option<(i32, u8, u8)>| {
            assert_eq!(Day::written(text), expected.map(|(year, month, day)| Day { year, month, day }), "{text}");
        };
        check("Tue, 24 Nov 2026 23:59:59 -0800", Some((2026, 11, 24)));
        check("1 January 99 10:00 EST", Some((1999, 1, 1)));
        check("1 Jan 03", Some((2003, 1, 1)));
        for bad in ["", "Tue", "Tue, 32 Jan 2026", "2026-11-24", "1 Jän 2026", "1 Ja 2026"] {
            check(bad, None);
        }
    }
}
