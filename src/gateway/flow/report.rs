//! Journal reports: whom to believe that a message is one. A header anybody can write is no reason; the listener is.

use super::Intake;
use super::permission::{self, Submitter};
use crate::gateway::config::Listener;
use crate::mail::{Direction, MailId, Reported};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Whether what came in is believed to be a report if it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    /// It is.
    Believed,
    /// Whoever handed it in writes no reports, though the listener is for them.
    Doubted,
    /// Nothing is a report here.
    None,
}

/// What a message states as a journal report. On any but a journal listener, whose relay rules say who may hand in copies for the
/// record, a report is ordinary mail: nothing in it is believed, and it is not unwrapped.
pub fn reported(listener: Option<&Listener>, intake: &Intake, octets: &[u8]) -> Option<Reported> {
    let submitter = Submitter::of(&intake.client, intake.account.as_ref());
    let belief = match (intake.client.direction, listener) {
        (Direction::Journal, Some(listener)) if permission::reporting(listener, submitter) => Belief::Believed,
        (Direction::Journal, _) => Belief::Doubted,
        (Direction::Outbound | Direction::Inbound | Direction::Import, _) => Belief::None,
    };
    let id = intake.draft.id();
    believed(belief, &id, octets)
}

fn believed(belief: Belief, id: &MailId, octets: &[u8]) -> Option<Reported> {
    match belief {
        Belief::Believed => read(id, octets, Reported::of),
        Belief::Doubted => read(id, octets, doubted),
        Belief::None => None,
    }
}

fn doubted(octets: &[u8]) -> Option<Reported> {
    let reason = "a person's account handed it in: reports come from relay_networks, relay_certificates or an account without \
                  addresses";
    Reported::of(octets).map(|_| Reported::Not(reason.to_owned()))
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
    fn only_who_may_report_is_believed() {
        let of = |belief, octets| believed(belief, &MailId::from_octets([1; 16]), octets);
        assert_eq!(of(Belief::None, REPORT), None);
        let reported = of(Belief::Believed, REPORT).expect("a report");
        let inner = &b"Message-ID: <1@example.org>\r\n\r\nx"[..];
        assert_eq!(reported.readable().and_then(|slice| slice.of(REPORT)), Some(inner));
        assert_eq!(reported.envelope().map(|envelope| envelope.recipients.len()), Some(1));
        assert!(matches!(of(Belief::Doubted, REPORT), Some(Reported::Not(reason)) if reason.contains("account")));
        assert_eq!((of(Belief::Doubted, inner), of(Belief::Believed, inner)), (None, None), "ordinary mail");
    }

    #[test]
    fn a_bug_makes_ordinary_mail_of_it() {
        let reported = read(&MailId::from_octets([1; 16]), b"", |_| panic!("met by a test"));
        assert!(matches!(reported, Some(Reported::Not(reason)) if reason.starts_with("bug")));
    }
}
