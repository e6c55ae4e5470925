//! What the catalog stores of one message, made of its facts. Pure, so that it can be fenced: all that is made of what senders
//! wrote is made here.

use super::fold;
use super::sealed::Facts;
use std::collections::BTreeSet;

/// One message's columns.
pub(super) struct Line {
    pub facts: Facts,
    pub sender: String,
    /// A JSON list.
    pub recipients: String,
    pub message_id: String,
    pub from_lines: String,
    pub to_lines: String,
    pub subject_folded: String,
    /// CBOR.
    pub summary: Vec<u8>,
    /// Everybody whose mail it is.
    pub parties: BTreeSet<String>,
}

impl Line {
    pub fn new(facts: Facts) -> Line {
        let Facts { envelope, summary, .. } = &facts;
        let recipients: Vec<String> = envelope.recipients.iter().map(|r| r.address.to_string()).collect();
        let message_id = fold::message_id(summary.envelope.message_id.as_deref().unwrap_or_default());
        let blob = minicbor::to_vec(summary).unwrap_or_else(|_| unreachable!("encoding into memory cannot fail"));
        Line {
            sender: envelope.sender_text(),
            recipients: serde_json::Value::from(recipients).to_string(),
            message_id: message_id.to_owned(),
            from_lines: fold::from_lines(&facts),
            to_lines: fold::to_lines(&facts),
            subject_folded: fold::fold(&summary.subject),
            summary: blob,
            parties: fold::parties(envelope, summary),
            facts,
        }
    }
}
