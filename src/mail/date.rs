//! Dates of header fields as instants. Lenient about comments, zones and years as old mail has them; never takes a day that is not
//! in the calendar.

use super::lexer::Lexer;
use super::lexer::is_space;
use crate::clock::Timestamp;

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// The instant of a date-time in seconds since the epoch (RFC 5322 section 3.3 and 4.3):
///
/// ```text
/// date-time = [ day-name "," ] day month year hour ":" minute [ ":" second ] zone
/// year      = 4DIGIT / 2DIGIT (50-99: 19xx) / 3DIGIT (1900 + year)
/// zone      = ("+" / "-") 4DIGIT / name
/// ```
///
/// with comments and white space anywhere between. The day name is not compared with the day. Without a zone, or with one
/// whose name says nothing, it is UTC. A leap second counts as the second before it.
pub fn date_s(value: &[u8]) -> Option<i64> {
    let mut words = words(value).peekable();
    words.next_if(|word| word.iter().all(u8::is_ascii_alphabetic));
    let day = number(words.next()?, 1..=2)?;
    let month = month(words.next()?)?;
    let year = year(words.next()?)?;
    let hour = number(words.next()?, 1..=2).filter(|&h| h <= 23)?;
    let minute = number(words.next()?, 1..=2).filter(|&m| m <= 59)?;
    let second = match words.next_if(|word| word.iter().all(u8::is_ascii_digit)) {
        Some(word) => number(word, 2..=2).filter(|&s| s <= 60)?.min(59),
        None => 0,
    };
    let east_s = words.next().map_or(Some(0), zone_s)?;
    let midnight = Timestamp::from_date(year, month, u8::try_from(day).ok()?)?;
    Some(midnight.s() + i64::from(hour * 3600 + minute * 60 + second) - i64::from(east_s))
}

/// What stands between white space, comments, commas and colons; a sign begins a word of its own.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut lexer = Lexer::new(value);
    std::iter::from_fn(move || {
        while lexer.space_and_comments() || lexer.eat(b',') || lexer.eat(b':') {}
        let start = lexer;
        lexer.take(1);
        lexer.take_while(|b| !is_space(b) && !b"(,:+-".contains(&b));
        let word = &start.rest()[..start.rest().len() - lexer.rest().len()];
        (!word.is_empty()).then_some(word)
    })
}

fn number(word: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<i32> {
    let is_number = digits.contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(word).ok().filter(|_| is_number)?.parse().ok()
}

fn month(word: &[u8]) -> Option<u8> {
    let index = MONTHS.iter().position(|name| word.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(name)))?;
    u8::try_from(index + 1).ok()
}

fn year(word: &[u8]) -> Option<i32> {
    let year = number(word, 2..=4)?;
    Some(match (word.len(), year) {
        (2, 0..=49) => 2000 + year,
        (2 | 3, _) => 1900 + year,
        _ => year,
    })
}

/// Seconds east of Greenwich. Military letters were specified the wrong way round and say nothing (section 4.3).
fn zone_s(word: &[u8]) -> Option<i32> {
    let sign = match word.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return Some(named_zone_h(word) * 3600),
    };
    let digits = number(&word[1..], 4..=4)?;
    let (hours, minutes) = (digits / 100, digits % 100);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn named_zone_h(name: &[u8]) -> i32 {
    match name.to_ascii_uppercase().as_slice() {
        b"EDT" => -4,
        b"EST" | b"CDT" => -5,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let check = |value: &str, expected: Option<i64>| assert_eq!(date_s(value.as_bytes()), expected, "{value}");
        check("Tue, 1 Jul 2025 10:00:00 +0200", Some(1_751_356_800));
        check(" Tue,\r\n 01 Jul 2025 08:00:00 +0000 (UTC)", Some(1_751_356_800));
        check("1 Jul 2025 08:00 +0000", Some(1_751_356_800));
        check("1 Jul 2025 08:00 GMT", Some(1_751_356_800));
        check("1 Jul 2025 04:00:00 EDT", Some(1_751_356_800));
        check("1 Jul 2025 00:00:00 PST", Some(1_751_356_800));
        check("1 Jul 2025 08:00:00 A", Some(1_751_356_800));
        check("1 Jul 25 08:00:00 Z", Some(1_751_356_800));
        check("Fri, 21 Nov 97 09:55:06 -0600", Some(880_127_706));
        check("Thu, 1 Jan 1970 00:00:00 -0000", Some(0));
        check("Wed, 31 Dec 1969 23:59:59 +0000", Some(-1));
        check("Sat, 31 Dec 2016 23:59:60 +0000", Some(1_483_228_799));
        check("29 Feb 2024 00:00:00 +0000", Some(1_709_164_800));
        check("tue,01 JUL 2025 8 : 0 : 00 (a (b)) +0000", Some(1_751_356_800));
        check("1 July 2025 08:00:00+0000(UTC)", Some(1_751_356_800));
        check("1 Jul 2025 08:00:00", Some(1_751_356_800));
        check("1 Jul 2025 08:00:00 Mars", Some(1_751_356_800));
        check("1 Jul 125 08:00:00 Z", Some(1_751_356_800));
        check("31 Dec 49 00:00 Z", Some(2_524_521_600));
        check("1 Jan 50 00:00 Z", Some(-631_152_000));
        check("29 Feb 2023 00:00:00 +0000", None);
        check("32 Jan 2024 00:00:00 +0000", None);
        check("1 Jan 2024 24:00:00 +0000", None);
        check("1 Jan 2024 23:60:00 +0000", None);
        check("1 Jan 2024 23:59:61 +0000", None);
        check("1 Jan 2024 00:00:00 +2400", None);
        check("1 Jan 2024 00:00:00 +0060", None);
        check("1 Jan 2024 00:00:00 +000", None);
        check("001 Jan 2024 00:00:00 +0000", None);
        check("1 Jan 4 00:00:00 +0000", None);
        check("1 Jan 99999 00:00:00 +0000", None);
        check("1 Ja 2024 00:00:00 +0000", None);
        check("1 Jan 2024 00 +0000", None);
        check("1 Foo 2024 00:00:00 +0000", None);
        check("1 Jan 2024", None);
        check("yesterday", None);
        check("", None);
        assert_eq!(date_s(b"\xff"), None);
    }
}
