//! The archive as rows for people and JSON.

use crate::archive::{Archive, Census, Error, Finding, Group, Kept, Report, ResultRecord};
use crate::catalog::Row;
use crate::clock::Timestamp;
use crate::crypto::hash;
use crate::journal::{Journal, LeafEntry, Outcome, RecipientResult};
use crate::mail::MailId;
use crate::policy::{Disposition, Format, RecipientRuling, Ruling, Treatment};
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
        "generation": status.generation,
        "officers": status.officers,
        "threshold": status.threshold,
        "limits": LIMITS,
        "classes": classes(&status.census),
        "buckets": buckets(&status.census),
    }))
}

/// Adds the fields of one object to another.
pub fn add(status: &mut Value, more: Value) {
    if let (Some(status), Value::Object(more)) = (status.as_object_mut(), more) {
        status.extend(more);
    }
}

/// Per retention class.
fn classes(census: &Census) -> Value {
    let class = |(class, kept): (&str, Kept)| json!({"class": class, "messages": kept.messages, "stored_bytes": kept.stored_bytes, "segments": kept.segments});
    census.classes().into_iter().map(class).collect()
}

/// Per bucket of a class: the month at whose beginning it may expire, and the month before which no order may erase.
fn buckets(census: &Census) -> Value {
    let bucket = |(group, kept): (&Group, &Kept)| {
        json!({
            "class": group.class,
            "expires": group.expires_month(),
            "protected": group.protected_month(),
            "messages": kept.messages,
            "stored_bytes": kept.stored_bytes,
            "segments": kept.segments,
        })
    };
    census.buckets().map(bucket).collect()
}

/// One sealed message.
pub fn message(row: &Row) -> Value {
    json!({
        "id": row.id.to_string(),
        "accepted_at": row.accepted_at.rfc3339(),
        "internal_date": row.internal_date.rfc3339(),
        "class": row.class,
        "keep_until": row.keep_until.map(Timestamp::rfc3339),
        "direction": row.direction,
        "from": row.sender,
        "to": row.recipients,
        "subject": row.subject,
        "size": row.size,
        "readable_size": row.readable_size(),
        "sha256": hash::hex(&row.sha256),
        "mailbox": row.mailbox,
        "uid": row.uid,
        "message_id": row.message_id,
    })
}

/// One leaf of the journal.
pub fn leaf(entry: &LeafEntry) -> Value {
    json!({"index": entry.index, "leaf": hash::hex(&entry.octets)})
}

/// The same read back.
pub fn read_leaf(row: &Value) -> Option<LeafEntry> {
    let octets = hash::unhex(row["leaf"].as_str()?)?;
    Some(LeafEntry { index: row["index"].as_u64()?, octets: octets.into() })
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
        "audit_heads": report.audit_heads.len(),
        "timestamps": report.anchors,
        "bytes": report.bytes,
        "opened": report.opened,
    })
}

/// What became of each recipient, as far as it is sealed.
pub fn results(recipients: &[String], records: &[ResultRecord]) -> Value {
    records.iter().map(|record| result(recipients, record)).collect()
}

fn result(recipients: &[String], record: &ResultRecord) -> Value {
    match record.result() {
        Ok(result) => outcome(recipients, &result),
        Err(e) => json!({"unreadable": e.to_string()}),
    }
}

/// What became of one recipient.
pub fn outcome(recipients: &[String], result: &RecipientResult) -> Value {
    let (outcome, status, reply) = match &result.outcome {
        Outcome::Delivered { reply } => ("delivered", "", reply.as_str()),
        Outcome::Deferred { reply, .. } => ("deferred", "", reply.as_str()),
        Outcome::Failed { status, reply } => ("failed", status.as_str(), reply.as_str()),
        Outcome::Archived => ("archived", "", ""),
        Outcome::Dropped { reason } => ("dropped", "", reason.as_str()),
        Outcome::Parked { reason, .. } => ("parked", "", reason.as_str()),
        Outcome::Released { .. } => ("released", "", ""),
        Outcome::Warned => ("warned", "", ""),
    };
    let address = usize::try_from(result.recipient).ok().and_then(|at| recipients.get(at));
    json!({
        "recipient": address, "outcome": outcome, "at": result.at.rfc3339(), "next_hop": result.next_hop,
        "status": status, "reply": reply,
    })
}

/// Why each recipient was treated as it was, from the ruling kept with the message.
pub fn why(id: &MailId, recipients: &[String], ruling: &[u8]) -> Result<Vec<Value>, String> {
    let ruling: Ruling = minicbor::decode(ruling).map_err(|e| format!("{id}: the ruling cannot be read: {e}"))?;
    Ok(recipients.iter().zip(&ruling.recipients).map(|(address, entry)| why_row(id, address, entry)).collect())
}

fn why_row(id: &MailId, address: &str, entry: &RecipientRuling) -> Value {
    let ruling = match &entry.disposition {
        Disposition::Refuse { text } => format!("refuse: {text}"),
        Disposition::Deliver(treatment) => treatment_words(*treatment),
    };
    json!({"id": id.to_string(), "recipient": address, "ruling": ruling, "why": entry.why})
}

fn treatment_words(treatment: Treatment) -> String {
    let how = match treatment {
        Treatment::Plain => return "unchanged".to_owned(),
        Treatment::Sign(_) => "sign",
        Treatment::Encrypt(_) => "encrypt",
        Treatment::SignAndEncrypt(_) => "sign and encrypt",
    };
    let format = match treatment.format() {
        Some(Format::Smime) => "S/MIME",
        Some(Format::OpenPgp) => "OpenPGP",
        None => "",
    };
    format!("{how} with {format}")
}

/// The same for people: one reason, one line.
pub fn why_text(row: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reasons = row["why"].as_array().into_iter().flatten();
    let lines = reasons.map(|why| {
        let (action, value, because) = (word(&why["action"]), word(&why["value"]), word(&why["because"]));
        format!("\n  {action}: {value}, by {because}")
    });
    format!("{} {}: {}{}", word(&row["id"]), word(&row["recipient"]), word(&row["ruling"]), lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Why;

    #[test]
    fn leaves_come_back_as_they_were() {
        let entry = LeafEntry { index: 7, octets: vec![0, 255, 16].into() };
        assert_eq!(read_leaf(&leaf(&entry)), Some(entry));
        for row in
            [json!({}), json!({"index": 1, "leaf": "0g"}), json!({"leaf": "00"}), json!({"index": -1, "leaf": "00"})]
        {
            assert_eq!(read_leaf(&row), None, "{row}");
        }
    }

    #[test]
    fn rulings_are_told_in_words() {
        let why = Why { action: "encrypt".into(), value: "required".into(), because: "rule \"a\" (p.toml:1)".into() };
        for (disposition, words) in [
            (Disposition::Deliver(Treatment::Plain), "unchanged"),
            (Disposition::Deliver(Treatment::Sign(Format::Smime)), "sign with S/MIME"),
            (Disposition::Deliver(Treatment::SignAndEncrypt(Format::OpenPgp)), "sign and encrypt with OpenPGP"),
            (Disposition::Refuse { text: "5.7.1 no".into() }, "refuse: 5.7.1 no"),
        ] {
            let id = MailId::parse(&"0".repeat(32)).expect("an id");
            let row = why_row(&id, "b@x.example", &RecipientRuling { disposition, why: vec![why.clone()] });
            assert_eq!(row["ruling"], words);
            assert_eq!(row["why"][0]["because"], "rule \"a\" (p.toml:1)");
            let text = why_text(&row);
            assert!(text.ends_with(&format!("{words}\n  encrypt: required, by rule \"a\" (p.toml:1)")), "{text}");
        }
    }
}
