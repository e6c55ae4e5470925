//! Retention classes: how long mail is kept. Durations by the calendar; the moment they are counted from is brought by the caller.

use crate::clock::Timestamp;
use crate::mail::Retention;
use crate::mail::retention::CLASS_DEFAULT;

/// The longest span, in months; what is to be kept longer is kept for ever.
pub const SPAN_MONTHS_MAX: u32 = 12_000;
/// The same in days: 1000 years of the Gregorian calendar.
pub const SPAN_DAYS_MAX: u32 = 365_242;

/// A length of time by the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// So many times 24 hours.
    Days(u32),
    /// To the same day so many months later, or the last one of a shorter month. A year is twelve.
    Months(u32),
}

/// How long a class keeps mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It never expires.
    Forever,
    /// It may expire after this.
    For(Span),
}

/// One `[[class]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name: 1 to 32 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// How long its mail is kept.
    pub keep: Keep,
    /// Before this has passed no order may erase its mail; `None`: at any time.
    pub minimum: Option<Span>,
    /// The file it stands in; empty for a class that stands in none.
    pub file: String,
    /// The line of its `[[class]]`, from 1.
    pub line: usize,
}

impl Span {
    /// Reads `6y`, `18m` or `90d`: at least 1, at most 1000 years.
    pub fn parse(text: &str) -> Option<Span> {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        if number.is_empty() || number.len() > 6 || !number.bytes().all(|o| o.is_ascii_digit()) {
            return None;
        }
        let number: u32 = number.parse().ok()?;
        let span = match unit {
            "y" => Span::Months(number.checked_mul(12)?),
            "m" => Span::Months(number),
            "d" => Span::Days(number),
            _ => return None,
        };
        let most = if matches!(span, Span::Days(_)) { SPAN_DAYS_MAX } else { SPAN_MONTHS_MAX };
        (1..=most).contains(&span.number()).then_some(span)
    }

    fn number(self) -> u32 {
        match self {
            Span::Days(number) | Span::Months(number) => number,
        }
    }

    /// When it has passed, counted from `from`.
    pub fn after(self, from: Timestamp) -> Timestamp {
        match self {
            Span::Days(days) => from.plus_s(i64::from(days) * 86_400),
            Span::Months(months) => from.plus_months(months),
        }
    }

    /// Its length on average, to compare by: 400 years have 4,800 months and 146,097 days.
    pub fn average(self) -> u64 {
        match self {
            Span::Days(days) => u64::from(days) * 4_800,
            Span::Months(months) => u64::from(months) * 146_097,
        }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Span::Days(days) => write!(f, "{days}d"),
            Span::Months(months) if months.is_multiple_of(12) => write!(f, "{}y", months / 12),
            Span::Months(months) => write!(f, "{months}m"),
        }
    }
}

impl Default for Class {
    /// The class that always exists, where no policy says otherwise.
    fn default() -> Class {
        let (name, file) = (CLASS_DEFAULT.to_owned(), String::new());
        Class { name, keep: Keep::Forever, minimum: None, file, line: 0 }
    }
}

impl Class {
    /// How long a message of this class is kept that is dated `from`: its acceptance, or for an import the date to count from.
    pub fn retention(&self, from: Timestamp) -> Retention {
        let keep_until = match self.keep {
            Keep::Forever => None,
            Keep::For(span) => Some(span.after(from)),
        };
        // Days and months cannot be compared exactly before the date is known: no minimum outlives its keep.
        let minimum = self.minimum.map(|span| span.after(from));
        let protected_until = minimum.map(|until| keep_until.map_or(until, |keep| keep.min(until)));
        Retention { class: self.name.clone(), keep_until, protected_until }
    }
}

/// Of the classes of a message's recipients the one that keeps it longest; of those that keep it equally long, the first by name. No
/// order may erase it before the last of all their minimums has passed.
pub(super) fn longest<'c>(classes: impl Iterator<Item = &'c Class>, from: Timestamp) -> Option<Retention> {
    let each: Vec<Retention> = classes.map(|class| class.retention(from)).collect();
    let protected_until = each.iter().filter_map(|retention| retention.protected_until).max();
    let longer = |one: &Retention, other: &Retention| {
        let rank = |retention: &Retention| (retention.keep_until.is_none(), retention.keep_until);
        rank(one).cmp(&rank(other)).then_with(|| other.class.cmp(&one.class))
    };
    let longest = each.into_iter().max_by(longer)?;
    Some(Retention { protected_until, ..longest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Timestamp {
        Timestamp::parse_date(text).expect("a day")
    }

    fn class(name: &str, keep: &str, minimum: &str) -> Class {
        let keep = Span::parse(keep).map_or(Keep::Forever, Keep::For);
        Class { name: name.into(), keep, minimum: Span::parse(minimum), ..Class::default() }
    }

    #[test]
    fn spans_are_read_within_their_bounds() {
        for (text, expected) in [
            ("6y", Span::Months(72)),
            ("18m", Span::Months(18)),
            ("90d", Span::Days(90)),
            ("1d", Span::Days(1)),
            ("1000y", Span::Months(12_000)),
            ("365242d", Span::Days(365_242)),
        ] {
            let span = Span::parse(text).expect(text);
            assert_eq!(span, expected);
            assert_eq!(Span::parse(&span.to_string()), Some(span));
        }
        for bad in [
            "", "y", "0d", "0y", "6", "6 y", "-1y", "+1y", "1.5y", "6w", "6Y", "1001y", "12001m", "365243d",
            "9999999d", "6ü",
        ] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn spans_end_on_the_same_day_or_the_last_of_a_shorter_month() {
        let noon = |text| day(text).plus_s(43_200);
        for (from, span, until) in [
            ("2026-11-24", "6y", "2032-11-24"),
            ("2024-02-29", "1y", "2025-02-28"),
            ("2024-02-29", "4y", "2028-02-29"),
            ("2026-01-31", "1m", "2026-02-28"),
            ("2026-11-30", "3m", "2027-02-28"),
            ("2026-12-31", "18m", "2028-06-30"),
            ("2026-11-24", "90d", "2027-02-22"),
        ] {
            assert_eq!(Span::parse(span).expect(span).after(noon(from)), noon(until), "{from} + {span}");
        }
        let last = Timestamp::from_ms(i64::MAX);
        assert_eq!(Span::Months(SPAN_MONTHS_MAX).after(day("9500-01-01")), last, "no date has five digits");
        assert_eq!(Span::Days(SPAN_DAYS_MAX).after(day("9500-01-01")), last);
    }

    #[test]
    fn the_longest_keep_wins_and_every_minimum_counts() {
        let from = day("2026-11-24");
        let short = class("short", "90d", "");
        let tax = class("tax", "6y", "6y");
        let other = class("other", "72m", "1d");
        let forever = class("default", "", "");
        let won = |classes: &[&Class]| {
            let retention = longest(classes.iter().copied(), from).expect("a class");
            (retention.class, retention.keep_until.map(|t| t.rfc3339()[..10].to_owned()), retention.protected_until)
        };
        let six = Some("2032-11-24".to_owned());
        assert_eq!(won(&[&short]), ("short".into(), Some("2027-02-22".into()), None));
        assert_eq!(won(&[&short, &tax]), ("tax".into(), six.clone(), Some(day("2032-11-24"))));
        assert_eq!(won(&[&tax, &short]), ("tax".into(), six.clone(), Some(day("2032-11-24"))));
        assert_eq!(won(&[&tax, &other]), ("other".into(), six, Some(day("2032-11-24"))), "equally long: by name");
        assert_eq!(won(&[&tax, &forever, &short]), ("default".into(), None, Some(day("2032-11-24"))));
        assert_eq!(longest([].into_iter(), from), None);
        // 6y are 2191 or 2192 days.
        let odd = class("odd", "6y", "2192d").retention(day("2026-11-24"));
        assert_eq!(odd.protected_until, odd.keep_until);
    }
}
