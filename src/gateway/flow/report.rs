//! Journal reports: whom to believe that a message is one. A header anybody can write is no reason; the listener is.

use super::Intake;
use crate::mail::{Direction, MailId, Reported};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a message states as a journal report. On any but a journal listener, whose relay rules say who may hand in copies for the
/// record, a report is ordinary mail: nothing in it is believed, and it is not unwrapped.
pub fn reported(intake: &Intake, octets: &[u8]) -> Option<Reported> {
    of_direction(intake.client.direction, &intake.draft.id(), octets)
}

fn of_direction(direction: Direction, id: &MailId, octets: &[u8]) -> Option<Reported> {
    match direction {
        Direction::Journal => read(id, octets, Reported::of),
        Direction::Outbound | Direction::Inbound => None,
    }
}

/// A copy for the record is taken whatever it is: one that meets a bug here is kept as ordinary mail.
fn read(id: &MailId, octets: &[u8], of: fn(&[u8]) -> Option<Reported>) -> Option<Reported> {
    let reported = catch_unwind(AssertUnwindSafe(|| of(octets)))
        .unwrap_or_else(|_| Some(Reported::Not("bug: it could not be read".to_owned())));
    if let Some(Reported::Not(reason)) = &reported {
        tracing::warn!("{id}: kept as ordinary mail, though it claims to be a journal report: {reason}");
    }
    reported
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &[u8] = b"X-MS-Journal-Report:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\
        Sender: a@example.org\r\nMessage-ID: <1@example.org>\r\nBcc: c@example.org\r\n--b\r\n\
        Content-Type: message/rfc822\r\n\r\nMessage-ID: <1@example.org>\r\n\r\nx\r\n--b--\r\n";

    #[test]
    fn only_a_journal_listener_is_believed() {
        let of = |direction| of_direction(direction, &MailId::from_octets([1; 16]), REPORT);
        assert_eq!((of(Direction::Outbound), of(Direction::Inbound)), (None, None));
        let reported = of(Direction::Journal).expect("a report");
        assert_eq!(reported.readable().and_then(|slice| slice.of(REPORT)), Some(&b"Message-ID: <1@example.org>\r\n\r\nx"[..]));
        assert_eq!(reported.envelope().map(|envelope| envelope.recipients.len()), Some(1));
    }

    #[test]
    fn a_bug_makes_ordinary_mail_of_it() {
        let reported = read(&MailId::from_octets([1; 16]), b"", |_| panic!("met by a test"));
        assert!(matches!(reported, Some(Reported::Not(reason)) if reason.starts_with("bug")));
    }
}
