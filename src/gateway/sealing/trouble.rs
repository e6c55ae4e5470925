//! Trouble with a step that is tried again and again: told when it begins, when its reason changes, seldom while it stays, and
//! when it is over; shown as long as it lasts.

use crate::clock::Timestamp;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};

/// How often the log is told of the same trouble.
const TOLD_EVERY_S: i64 = 600;

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 32;

/// Of one step.
#[derive(Debug)]
pub struct Trouble {
    step: String,
    standing: Mutex<Option<Standing>>,
}

#[derive(Debug)]
struct Standing {
    since: Timestamp,
    reason: String,
    told_at: Timestamp,
}

/// Whether the log was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was.
    Now,
    /// It knows.
    Before,
}

impl Trouble {
    /// None yet.
    pub fn none(step: impl Into<String>) -> Trouble {
        Trouble { step: step.into(), standing: Mutex::default() }
    }

    /// The step was tried.
    pub fn note<T>(&self, tried: &Result<T, String>, now: Timestamp) -> Told {
        match tried {
            Ok(_) => self.over(),
            Err(reason) => self.met(reason, now),
        }
    }

    fn met(&self, reason: &str, now: Timestamp) -> Told {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |known: &&Standing| is_same(&known.reason, reason) && now < known.told_at.plus_s(TOLD_EVERY_S);
        if standing.as_ref().filter(is_known).is_some() {
            return Told::Before;
        }
        let since = standing.as_ref().map_or(now, |known| known.since);
        *standing = Some(Standing { since, reason: reason.to_owned(), told_at: now });
        tracing::error!("{}: {reason}; failing since {}, and tried again", self.step, since.rfc3339());
        Told::Now
    }

    fn over(&self) -> Told {
        let ended = self.standing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ended) = ended else { return Told::Before };
        tracing::info!("{}: works again; it failed since {}", self.step, ended.since.rfc3339());
        Told::Now
    }

    /// For people and JSON.
    pub fn shown(&self) -> Value {
        match &*self.standing.lock().unwrap_or_else(PoisonError::into_inner) {
            None => json!({"state": "working"}),
            Some(Standing { since, reason, .. }) => {
                json!({"state": "failing", "since": since.rfc3339(), "reason": reason})
            }
        }
    }
}

/// Whether two reasons differ by no more than the ids in them, which each try draws anew.
fn is_same(one: &str, other: &str) -> bool {
    words(one).eq(words(other))
}

fn words(reason: &str) -> impl Iterator<Item = &str> {
    let is_id = |word: &&str| word.len() == ID_DIGITS && word.bytes().all(|b| b.is_ascii_hexdigit());
    reason.split(|c: char| !c.is_ascii_alphanumeric()).filter(move |word| !is_id(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_each_reason_and_seldom_of_the_same() {
        let trouble = Trouble::none("sealing");
        for (at_s, tried, told) in [
            (0, Ok(()), Told::Before),
            (10, Err("no disk"), Told::Now),
            (20, Err("no disk"), Told::Before),
            (30, Err("bug"), Told::Now),
            (629, Err("bug"), Told::Before),
            (630, Err("bug"), Told::Now),
            (640, Ok(()), Told::Now),
            (650, Ok(()), Told::Before),
            (660, Err("bug"), Told::Now),
        ] {
            let tried = tried.map_err(str::to_owned);
            assert_eq!(trouble.note(&tried, Timestamp::from_s(at_s)), told, "at {at_s}");
        }
    }

    #[test]
    fn ids_make_no_other_reason() {
        let of = |id: &str| format!("segments/{id}.data: no space");
        let (one, other) = ("01937f83e2d045f9d550114813e19aca", "01937f83e2d0feedd550114813e19acb");
        for (a, b, same) in [
            (of(one), of(other), true),
            (of(one), of("x"), false),
            (of(one), of(&other[1..]), false),
            ("slot 3".into(), "slot 4".into(), false),
        ] {
            assert_eq!(is_same(&a, &b), same, "{a} {b}");
        }
    }

    #[test]
    fn it_is_shown_from_its_first_failure_to_its_end() {
        let trouble = Trouble::none("sealing");
        assert_eq!(trouble.shown(), json!({"state": "working"}));
        for (at_s, reason) in [(0, "no disk"), (60, "bug")] {
            trouble.note(&Err::<(), _>(reason.to_owned()), Timestamp::from_s(at_s));
            let expected = json!({"state": "failing", "since": "1970-01-01T00:00:00.000Z", "reason": reason});
            assert_eq!(trouble.shown(), expected);
        }
        trouble.note(&Ok(()), Timestamp::from_s(61));
        assert_eq!(trouble.shown(), json!({"state": "working"}));
    }
}
