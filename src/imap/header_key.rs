//! Header fields a summary can answer for in searches. Never opens a message.

use crate::mail::header;
use crate::mail::summary::ListEntry;
use crate::mail::summary::Summary;

/// A field of the ENVELOPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnvelopeField {
    Bcc,
    Cc,
    From,
    To,
    Subject,
    Date,
    InReplyTo,
    MessageId,
}

impl EnvelopeField {
    /// The field that answers `HEADER name text` as the header itself would. Address fields do not (a summary has no quoting),
    /// nor does an empty text, which asks whether the field is there.
    pub(super) fn answering(name: &str, text: &str) -> Option<EnvelopeField> {
        match name {
            _ if text.is_empty() => None,
            "subject" => Some(EnvelopeField::Subject),
            "date" => Some(EnvelopeField::Date),
            "in-reply-to" => Some(EnvelopeField::InReplyTo),
            "message-id" => Some(EnvelopeField::MessageId),
            _ => None,
        }
    }

    /// Its decoded text.
    pub(super) fn text(self, summary: &Summary) -> String {
        let envelope = &summary.envelope;
        let plain = |field: &Option<String>| field.clone().unwrap_or_default();
        match self {
            EnvelopeField::Bcc => addresses(&envelope.bcc),
            EnvelopeField::Cc => addresses(&envelope.cc),
            EnvelopeField::From => addresses(&envelope.from),
            EnvelopeField::To => addresses(&envelope.to),
            EnvelopeField::Subject => summary.subject.clone(),
            EnvelopeField::Date => plain(&envelope.date),
            EnvelopeField::InReplyTo => plain(&envelope.in_reply_to),
            EnvelopeField::MessageId => plain(&envelope.message_id),
        }
    }
}

/// `name <local@domain>, ...`, as a reader would see it.
fn addresses(list: &[ListEntry]) -> String {
    let words = list.iter().map(|entry| match entry {
        ListEntry::Mailbox { name: Some(name), local, domain } => {
            format!("{} <{local}@{domain}>", header::decode(name.as_bytes()))
        }
        ListEntry::Mailbox { name: None, local, domain } => format!("{local}@{domain}"),
        ListEntry::GroupStart(name) => format!("{}:", header::decode(name.as_bytes())),
        ListEntry::GroupEnd => ";".to_owned(),
    });
    words.collect::<Vec<_>>().join(", ")
}
