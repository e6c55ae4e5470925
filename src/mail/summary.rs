//! What lists, searches and IMAP need of a message without opening it. Made once, when the message is sealed.

use super::structure::Part;
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
    /// From, To and Cc decoded to Unicode, for people and search.
    #[n(3)]
    pub from: String,
    /// Instant of the Date field in seconds since the epoch, if it can be read.
    #[n(4)]
    pub date_s: Option<i64>,
}
