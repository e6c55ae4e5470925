//! The archive as rows for people and JSON.

use crate::archive::{Archive, Error, Finding, Report};
use crate::catalog::Row;
use crate::crypto::hash;
use crate::journal::Journal;
use crate::mail::MailId;
use crate::policy::{Disposition, RecipientRuling, Ruling};
use serde_json::{Value, json};

/// What a compliance officer must know of what protects the archive, and what does not.
const LIMITS: &str = "the gateway can read what is not sealed, queued, or in journal files still in use; \
                      journal and host key never belong in a backup";

/// Sizes, counts and what protects it. The journal knows what is pending.
pub fn status(archive: &Archive, journal: Option<&Journal>) -> Result<Value, Error> {
    let status = archive.status(journal)?;
    Ok(json!({
        "id": status.id,
        "created": status.created.rfc3339(),
        "messages": status.messages,
        "pending": status.pending,
        "segments": status.segments,
        "raw_bytes": status.raw_bytes,
        "stored_bytes": status.stored_bytes,
        "sealed_through": status.sealed_through,
        "log_size": status.tree.size,
        "officers": status.officers,
        "threshold": status.threshold,
        "limits": LIMITS,
    }))
}

/// One sealed message.
pub fn message(row: &Row) -> Value {
    json!({
        "id": row.id.to_string(),
        "accepted_at": row.accepted_at.rfc3339(),
        "class": row.class,
        "direction": row.direction,
        "from": row.sender,
        "to": row.recipients,
        "subject": row.subject,
        "size": row.size,
        "sha256": hash::hex(&row.sha256),
        "mailbox": row.mailbox,
        "uid": row.uid,
        "message_id": row.message_id,
    })
}

/// One finding of `verify`.
pub fn finding(finding: &Finding) -> Value {
    json!(finding)
}

/// The last line of `verify`.
pub fn summary(report: &Report) -> Value {
    json!({
        "ok": report.is_ok(),
        "accepted": report.accepted,
        "covered": report.covered,
        "pending": report.pending,
        "erased": report.erased,
        "expired": report.expired,
        "gaps": report.gaps,
        "missing": report.missing,
    })
}

/// Why each recipient was treated as it was, from the ruling kept with the message.
pub fn why(id: &MailId, recipients: &[String], ruling: &[u8]) -> Result<Vec<Value>, String> {
    let ruling: Ruling = minicbor::decode(ruling).map_err(|e| format!("{id}: the ruling cannot be read: {e}"))?;
    Ok(recipients.iter().zip(&ruling.recipients).map(|(address, entry)| why_row(address, entry)).collect())
}

fn why_row(address: &str, entry: &RecipientRuling) -> Value {
    let outcome = match &entry.disposition {
        Disposition::Refuse { text } => format!("refused: {text}"),
        Disposition::Deliver(treatment) => format!("delivered: {treatment:?}"),
    };
    let because: Vec<String> =
        entry.why.iter().map(|why| format!("{} = {} by {}", why.action, why.value, why.because)).collect();
    json!({"recipient": address, "outcome": outcome, "why": because})
}
