//! Outcomes: what one attempt came to for one recipient. When to try again is for others to say.

use super::answer::{Answer, Class};
use crate::smtp::limits;

/// What to do about a recipient now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next hop took the message for this recipient (2xx behind the final dot).
    Delivered,
    /// Try again later.
    Deferred,
    /// The connection was lost between the final dot and its reply: perhaps delivered. Try again later, with identical octets.
    InDoubt,
    /// The next hop took others, but no more in this transaction: offer it again at once, in another one.
    NextTransaction,
    /// This next hop lacks what the message needs, and was offered nothing: one for another next hop. Never, when none has it.
    Unfit,
    /// Never.
    Failed,
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The next hop, in a reply.
    NextHop,
    /// We, without a reply.
    Here,
}

/// One recipient's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What to do.
    pub verdict: Verdict,
    /// Enhanced status code (RFC 3463); `x.0.0` when the next hop gave none.
    pub status: String,
    /// One line: the reply with its code, or our own words.
    pub text: String,
    /// Whose text it is; only a next hop's belongs into `Diagnostic-Code: smtp;`.
    pub origin: Origin,
}

impl Outcome {
    /// What a reply means for a recipient, but for the cases that [`Outcome::of_recipient`] knows.
    pub(super) fn of(answer: &Answer) -> Outcome {
        let verdict = match answer.class() {
            Class::Positive => Verdict::Delivered,
            Class::Intermediate | Class::Temporary => Verdict::Deferred,
            Class::Permanent => Verdict::Failed,
        };
        let status = answer.status().map_or_else(|| format!("{}.0.0", answer.code() / 100), str::to_owned);
        let mut text = answer.to_string();
        text.truncate(text.floor_char_boundary(limits::ANSWER_SHOWN_BYTES_MAX));
        Outcome { verdict, status, text, origin: Origin::NextHop }
    }

    /// What a refusal of RCPT means when `accepted` recipients were taken before it: 452 is "too many" (RFC 5321 section
    /// 4.5.3.1.10), and so is the 552 of RFC 821, unless their enhanced status says something else.
    pub(super) fn of_recipient(answer: &Answer, accepted: usize) -> Outcome {
        let is_bound = matches!(answer.code(), 452 | 552) && answer.status().is_none_or(|s| s.ends_with(".5.3"));
        let mut outcome = Outcome::of(answer);
        if is_bound {
            outcome.verdict = if accepted > 0 { Verdict::NextTransaction } else { Verdict::Deferred };
        }
        outcome
    }

    pub(super) fn here(verdict: Verdict, status: &str, text: impl Into<String>) -> Outcome {
        Outcome { verdict, status: status.to_owned(), text: text.into(), origin: Origin::Here }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answers;
    use super::*;

    fn check(reply: &str, accepted: usize, verdict: Verdict, status: &str) {
        let (_, answer) = Answers::default().next(format!("{reply}\r\n").as_bytes()).expect(reply);
        let outcome = Outcome::of_recipient(&answer.expect("complete"), accepted);
        assert_eq!((outcome.verdict, outcome.status.as_str()), (verdict, status), "{reply}");
        assert_eq!(outcome.text, reply);
    }

    #[test]
    fn refusals_of_recipients_are_told_apart() {
        check("550 5.1.1 unknown", 1, Verdict::Failed, "5.1.1");
        check("550 unknown", 0, Verdict::Failed, "5.0.0");
        check("450 4.2.0 greylisted", 1, Verdict::Deferred, "4.2.0");
        check("452 too many", 1, Verdict::NextTransaction, "4.0.0");
        check("452 4.5.3 too many", 1, Verdict::NextTransaction, "4.5.3");
        check("452 4.5.3 too many", 0, Verdict::Deferred, "4.5.3");
        check("452 4.2.2 mailbox full", 1, Verdict::Deferred, "4.2.2");
        check("552 too many", 1, Verdict::NextTransaction, "5.0.0");
        check("552 too many", 0, Verdict::Deferred, "5.0.0");
        check("552 5.2.2 mailbox full", 1, Verdict::Failed, "5.2.2");
    }
}
