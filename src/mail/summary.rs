//! What lists, searches and IMAP need of a message without opening it. Made once, when the message is sealed.

use super::address_list::ADDRESSES_MAX;
use super::address_list::addresses_within;
use super::address_list::to_text;
use super::date::date_s;
use super::header::decode;
use super::header::fields;
use super::header::named;
use super::header::text;
use super::structure::Part;
use super::structure::scan;
use minicbor::{Decode, Encode};

/// One element of an address list, octets as they stood in the field (encoded words not decoded).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ListEntry {
    /// `"display name" <local@domain>`.
    #[n(0)]
    Mailbox {
        /// Display name without its quotes.
        #[n(0)]
        name: Option<String>,
        /// Left of the `@`, quoting removed.
        #[n(1)]
        local: String,
        /// Right of the `@`; empty when there is none.
        #[n(2)]
        domain: String,
    },
    /// `group name:`.
    #[n(1)]
    GroupStart(#[n(0)] String),
    /// `;`.
    #[n(2)]
    GroupEnd,
}

/// The fields of IMAP's ENVELOPE (RFC 3501 section 7.4.2), unfolded, otherwise as they stood; octets that are not UTF-8 are
/// replaced by `?` in this copy only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct EnvelopeFields {
    /// Date.
    #[n(0)]
    pub date: Option<String>,
    /// Subject.
    #[n(1)]
    pub subject: Option<String>,
    /// From.
    #[n(2)]
    pub from: Vec<ListEntry>,
    /// Sender; empty when missing (IMAP then shows From).
    #[n(3)]
    pub sender: Vec<ListEntry>,
    /// Reply-To; empty when missing (IMAP then shows From).
    #[n(4)]
    pub reply_to: Vec<ListEntry>,
    /// To.
    #[n(5)]
    pub to: Vec<ListEntry>,
    /// Cc.
    #[n(6)]
    pub cc: Vec<ListEntry>,
    /// Bcc.
    #[n(7)]
    pub bcc: Vec<ListEntry>,
    /// In-Reply-To.
    #[n(8)]
    pub in_reply_to: Option<String>,
    /// Message-ID with its angle brackets.
    #[n(9)]
    pub message_id: Option<String>,
}

/// Header and structure facts of one message; stored in the archive unit's meta.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Summary {
    /// For ENVELOPE.
    #[n(0)]
    pub envelope: EnvelopeFields,
    /// For BODYSTRUCTURE and section offsets.
    #[n(1)]
    pub structure: Part,
    /// Subject decoded (RFC 2047) to Unicode, for people and search.
    #[n(2)]
    pub subject: String,
    /// From decoded to Unicode, for people and search: `Alice <a@example.org>`.
    #[n(3)]
    pub from: String,
    /// Instant of the Date field in seconds since the epoch, if it can be read.
    #[n(4)]
    pub date_s: Option<i64>,
}

/// Reads header and structure of a message. Total and linear, as its parts are.
pub fn summarize(message: &[u8]) -> Summary {
    let structure = scan(message);
    let header = structure.header.of(message);
    let envelope = envelope_fields(header, &mut ADDRESSES_MAX.clone());
    let value = |name: &str| named(header, name).next().map(|field| field.value);
    Summary {
        subject: value("Subject").map(decode).unwrap_or_default(),
        from: to_text(&envelope.from),
        date_s: value("Date").and_then(date_s),
        envelope,
        structure,
    }
}

/// The fields of ENVELOPE. Of a text field given twice the first counts; address fields given twice are joined.
pub(super) fn envelope_fields(header: &[u8], addresses_left: &mut usize) -> EnvelopeFields {
    let mut envelope = EnvelopeFields::default();
    for field in fields(header) {
        if let Some(slot) = text_slot(&mut envelope, field.name) {
            slot.get_or_insert_with(|| text(field.value));
        } else if let Some(list) = list_slot(&mut envelope, field.name) {
            list.extend(addresses_within(field.value, addresses_left));
        }
    }
    envelope
}

fn text_slot<'a>(envelope: &'a mut EnvelopeFields, name: &[u8]) -> Option<&'a mut Option<String>> {
    match name.to_ascii_lowercase().as_slice() {
        b"date" => Some(&mut envelope.date),
        b"subject" => Some(&mut envelope.subject),
        b"in-reply-to" => Some(&mut envelope.in_reply_to),
        b"message-id" => Some(&mut envelope.message_id),
        _ => None,
    }
}

fn list_slot<'a>(envelope: &'a mut EnvelopeFields, name: &[u8]) -> Option<&'a mut Vec<ListEntry>> {
    match name.to_ascii_lowercase().as_slice() {
        b"from" => Some(&mut envelope.from),
        b"sender" => Some(&mut envelope.sender),
        b"reply-to" => Some(&mut envelope.reply_to),
        b"to" => Some(&mut envelope.to),
        b"cc" => Some(&mut envelope.cc),
        b"bcc" => Some(&mut envelope.bcc),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_brief() {
        let message = b"Date: Thu, 1 Jan 1970 00:00:01 +0000\r\nsubject: =?utf-8?q?h=C3=A9?=\r\nSubject: second\r\n\
            From: =?utf-8?q?=C3=84?= <a@x>\r\nTo: b@y\r\nTO: G: c@z;\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n";
        let summary = summarize(message);
        assert_eq!(
            (summary.subject.as_str(), summary.from.as_str(), summary.date_s),
            ("h\u{e9}", "\u{c4} <a@x>", Some(1))
        );
        assert_eq!(summary.envelope.subject.as_deref(), Some("=?utf-8?q?h=C3=A9?="));
        assert_eq!(summary.envelope.message_id.as_deref(), Some("<1@x>"));
        assert_eq!((summary.envelope.to.len(), summary.envelope.in_reply_to.as_deref()), (4, None));
        let empty = summarize(b"");
        assert_eq!((empty.envelope, empty.subject, empty.date_s), (EnvelopeFields::default(), String::new(), None));
    }
}
