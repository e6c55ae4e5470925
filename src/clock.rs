//! Clock: the one place that reads the time, and the formats mail writes it in.
//! Never sleeps and never schedules.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// An instant: milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored (POSIX time).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] i64);

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Timestamp {
    /// From milliseconds since the epoch; values outside the years 0001 to 9999 are clamped.
    pub fn from_ms(ms: i64) -> Timestamp {
        const MIN: i64 = -62_135_596_800_000;
        const MAX: i64 = 253_402_300_799_999;
        Timestamp(ms.clamp(MIN, MAX))
    }
    /// From whole seconds since the epoch.
    pub fn from_s(s: i64) -> Timestamp {
        Timestamp::from_ms(s.saturating_mul(1000))
    }
    /// Milliseconds since the epoch.
    pub fn ms(self) -> i64 {
        self.0
    }
    /// Whole seconds since the epoch, rounded down.
    pub fn s(self) -> i64 {
        self.0.div_euclid(1000)
    }
    /// This instant moved by `s` seconds.
    pub fn plus_s(self, s: i64) -> Timestamp {
        Timestamp::from_ms(self.0.saturating_add(s.saturating_mul(1000)))
    }
    /// The same time of the same day so many months later in UTC, or of the last day of a month that has no such day.
    pub fn plus_months(self, months: u32) -> Timestamp {
        let (year, month, day) = self.year_month_day();
        let month = i64::from(year) * 12 + i64::from(month) - 1 + i64::from(months);
        let year = i32::try_from(month.div_euclid(12)).unwrap_or(i32::MAX);
        let month = u8::try_from(month.rem_euclid(12) + 1).unwrap_or(1);
        let date = (1..=day).rev().find_map(|day| Timestamp::from_date(year, month, day));
        let time_of_day = self.0.rem_euclid(86_400_000);
        date.map_or(Timestamp::from_ms(i64::MAX), |date| Timestamp::from_ms(date.0.saturating_add(time_of_day)))
    }
    /// Midnight UTC of a calendar day, `None` when there is no such day.
    pub fn from_date(year: i32, month: u8, day: u8) -> Option<Timestamp> {
        let month = time::Month::try_from(month).ok()?;
        let date = time::Date::from_calendar_date(year, month, day).ok()?;
        Some(Timestamp::from_s(date.midnight().assume_utc().unix_timestamp()))
    }
    /// Reads `YYYY-MM-DD` as midnight UTC.
    pub fn parse_date(text: &str) -> Option<Timestamp> {
        let mut parts = text.split('-');
        let (y, m, d) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || y.len() != 4 || m.len() != 2 || d.len() != 2 {
            return None;
        }
        Timestamp::from_date(y.parse().ok()?, m.parse().ok()?, d.parse().ok()?)
    }
    fn utc(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.s()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
    /// Year and month (1-12) in UTC.
    pub fn year_month(self) -> (i32, u8) {
        let t = self.utc();
        (t.year(), u8::from(t.month()))
    }
    /// Year, month and day in UTC.
    pub fn year_month_day(self) -> (i32, u8, u8) {
        let t = self.utc();
        (t.year(), u8::from(t.month()), t.day())
    }
    /// RFC 5322 section 3.3 date-time in UTC: `Tue, 24 Nov 2026 17:03:42 +0000`.
    pub fn rfc5322(self) -> String {
        let t = self.utc();
        format!(
            "{}, {} {} {:04} {:02}:{:02}:{:02} +0000",
            DAYS[usize::from(t.weekday().number_days_from_monday())],
            t.day(),
            MONTHS[usize::from(u8::from(t.month())) - 1],
            t.year(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }
    /// RFC 3339 in UTC with milliseconds: `2026-11-24T17:03:42.123Z`.
    pub fn rfc3339(self) -> String {
        let t = self.utc();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            self.0.rem_euclid(1000)
        )
    }
    /// RFC 3501 date-time as INTERNALDATE shows it, without the quotes: `24-Nov-2026 17:03:42 +0000`.
    pub fn imap_date_time(self) -> String {
        let t = self.utc();
        format!(
            "{:>2}-{}-{:04} {:02}:{:02}:{:02} +0000",
            t.day(),
            MONTHS[usize::from(u8::from(t.month())) - 1],
            t.year(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }
}

/// Where the time comes from; a fake one stands in for it in simulations.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that may read the time")]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(d) => Timestamp::from_ms(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            Err(e) => Timestamp::from_ms(-i64::try_from(e.duration().as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_the_rfcs_own() {
        let t = Timestamp::from_ms(880_127_706_042);
        assert_eq!(t.rfc5322(), "Fri, 21 Nov 1997 15:55:06 +0000");
        assert_eq!(t.rfc3339(), "1997-11-21T15:55:06.042Z");
        assert_eq!(t.imap_date_time(), "21-Nov-1997 15:55:06 +0000");
        assert_eq!(t.year_month(), (1997, 11));
    }

    #[test]
    fn dates_are_read_strictly() {
        let day = Timestamp::parse_date("2026-11-24").expect("a day");
        assert_eq!(day.rfc3339(), "2026-11-24T00:00:00.000Z");
        for bad in ["2026-11-31", "26-11-24", "2026-11-24-1", "2026-11", "x"] {
            assert_eq!(Timestamp::parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn extremes_do_not_panic() {
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            let t = Timestamp::from_ms(ms);
            assert!(!t.rfc5322().is_empty() && !t.plus_s(i64::MAX).rfc3339().is_empty());
        }
    }
}
