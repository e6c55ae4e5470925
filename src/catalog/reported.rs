//! Mail that came in as a journal report stands in the catalog by the sender and the recipients that the report states. The
//! transaction that brought it, from a server to the archive, is nobody's mail.

use super::sealed::Also;
use crate::mail::{Envelope, Recipient, ReportedEnvelope};
use std::collections::HashSet;

/// The envelope of the message in a report, each recipient once, and who else is named there.
pub(super) fn parties(stated: &ReportedEnvelope, transaction: Envelope) -> (Envelope, Also) {
    let mut seen = HashSet::new();
    let recipients = stated.recipients.iter().filter(|r| seen.insert(r.address.canonical()));
    let envelope = Envelope {
        sender: stated.sender.clone(),
        recipients: recipients.map(|r| Recipient::new(r.address.clone())).collect(),
        ..transaction
    };
    let mut seen = HashSet::new();
    let origins = stated.recipients.iter().flat_map(|r| [&r.expanded_from, &r.forwarded_from]).flatten();
    let to = origins.filter(|address| seen.insert(address.canonical())).cloned().collect();
    (envelope, Also { from: stated.on_behalf_of.iter().cloned().collect(), to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, BodyType, RecipientKind, ReportedRecipient};

    #[test]
    fn the_report_counts_and_the_transaction_does_not() {
        let address = |text: &str| Address::parse(text).expect(text);
        let transaction = Envelope {
            sender: Some(address("exchange@example.org")),
            recipients: vec![Recipient::new(address("journal@example.org"))],
            body: BodyType::EightBitMime,
            ret: None,
            envid: None,
            smtputf8: false,
            require_tls: None,
        };
        let of = |whom: &str, list: Option<&str>| ReportedRecipient {
            address: address(whom),
            kind: RecipientKind::Bcc,
            expanded_from: list.map(address),
            forwarded_from: None,
        };
        let stated = ReportedEnvelope {
            sender: None,
            on_behalf_of: Some(address("boss@example.org")),
            recipients: vec![
                of("a@example.org", Some("list@example.org")),
                of("b@example.org", Some("List@example.org")),
                of("A@example.org", None),
            ],
        };
        let (envelope, also) = parties(&stated, transaction);
        let texts = |list: &[Recipient]| list.iter().map(|r| r.address.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (envelope.sender_text().as_str(), texts(&envelope.recipients)),
            ("", vec!["a@example.org".into(), "b@example.org".to_owned()])
        );
        assert_eq!(also, Also { from: vec![address("boss@example.org")], to: vec![address("list@example.org")] });
    }
}
