//! The queue as rows for people and JSON. Shows no content.

use crate::clock::Timestamp;
use crate::crypto::hash;
use crate::gateway::delivery::Down;
use crate::gateway::queue::Progress;
use crate::journal::{Entry, Journal, RecipientState};
use crate::mail::MailId;
use serde_json::{Value, json};

/// One message: id, state, from, and each recipient with its own state. `obstacle` knows why one is not being tried.
pub fn row(entry: &Entry, obstacle: impl Fn(&Entry, u32) -> Option<Down>) -> Value {
    let accept = &entry.accept;
    let recipients = (0u32..).zip(accept.envelope.recipients.iter().zip(entry.states.iter()));
    let rows: Vec<Value> = recipients
        .map(|(index, (recipient, state))| {
            let address = recipient.address.to_string();
            match (state, obstacle(entry, index)) {
                // What waits behind a route that is down has not been tried itself.
                (RecipientState::Pending { next_at, .. }, Some(down)) if *next_at < down.until => {
                    recipient_row(&address, "deferred", Some(down.until), &down.reply)
                }
                _ => state_row(&address, state),
            }
        })
        .collect();
    json!({
        "id": accept.id.to_string(),
        "state": state_of(entry, &rows),
        "from": accept.envelope.sender_text(),
        "accepted_at": accept.accepted_at.rfc3339(),
        "size": accept.body_bytes,
        "rcpt": rows,
    })
}

/// One message in full. The error is for people.
pub fn show(journal: &Journal, id: &str) -> Result<Value, String> {
    let id = MailId::parse(id).ok_or_else(|| format!("`{id}` is not an id: 32 hex digits"))?;
    let entry = journal.entry(&id).ok_or_else(|| format!("{id} is not in the queue"))?;
    let accept = &entry.accept;
    let addresses: Vec<String> = accept.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    let mut shown = row(&entry, |_, _| None);
    let client = &accept.client;
    shown["client"] =
        json!({"ip": client.ip, "ehlo": client.ehlo, "protocol": client.protocol, "account": client.account});
    shown["sha256"] = json!(hash::hex(&accept.body_sha256));
    let renditions = accept.renditions.iter().map(|rendition| {
        let of = |index: &u32| usize::try_from(*index).ok().and_then(|at| addresses.get(at));
        let recipients: Vec<_> = rendition.recipients.iter().filter_map(of).collect();
        json!({"bytes": rendition.bytes, "sha256": hash::hex(&rendition.sha256), "recipients": recipients})
    });
    shown["renditions"] = renditions.collect();
    shown["results"] = entry.results.iter().map(|(_, result)| super::archive::outcome(&addresses, result)).collect();
    shown["why"] = super::archive::why(&id, &addresses, &accept.ruling)?.into();
    Ok(shown)
}

/// A row of [`row`] as one for each recipient.
pub fn by_recipient(row: &Value) -> Vec<Value> {
    let line = |recipient: &Value| {
        json!({
            "id": row["id"], "from": row["from"], "rcpt": recipient["address"],
            "state": recipient["state"], "next_at": recipient["next_at"], "reply": recipient["reply"],
        })
    };
    row["rcpt"].as_array().map_or_else(Vec::new, |recipients| recipients.iter().map(line).collect())
}

/// The message's state is that of the recipient that needs most attention.
fn state_of(entry: &Entry, rows: &[Value]) -> &'static str {
    let any = |progress: Progress| rows.iter().any(|row| row["state"] == progress.word());
    match [Progress::Parked, Progress::Deferred, Progress::Queued].into_iter().find(|progress| any(*progress)) {
        Some(progress) if entry.is_pending() => progress.word(),
        _ => "final",
    }
}

fn state_row(address: &str, state: &RecipientState) -> Value {
    let (word, next_at, reply) = match state {
        RecipientState::Pending { attempts: 0, next_at, .. } => ("queued", Some(*next_at), ""),
        RecipientState::Pending { next_at, last_reply, .. } => ("deferred", Some(*next_at), last_reply.as_str()),
        RecipientState::Parked { reason, until, .. } => ("parked", *until, reason.as_str()),
        RecipientState::Delivered { reply, .. } => ("delivered", None, reply.as_str()),
        RecipientState::Failed { reply, .. } => ("failed", None, reply.as_str()),
        RecipientState::Dropped { reason, .. } => ("dropped", None, reason.as_str()),
        RecipientState::Archived { .. } => ("archived", None, ""),
        RecipientState::Refused => ("refused", None, ""),
    };
    recipient_row(address, word, next_at, reply)
}

fn recipient_row(address: &str, state: &str, next_at: Option<Timestamp>, reply: &str) -> Value {
    json!({"address": address, "state": state, "next_at": next_at.map(|at| at.rfc3339()), "reply": reply})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_a_line_for_each_recipient() {
        let row = json!({"id": "01", "state": "deferred", "from": "a@x.example", "rcpt": [
            {"address": "b@y.example", "state": "delivered", "next_at": null, "reply": "250 ok"},
            {"address": "c@y.example", "state": "deferred", "next_at": "2026-11-25T05:05:29.304Z", "reply": "451 later"},
        ]});
        let lines = by_recipient(&row);
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["id"], &lines[0]["rcpt"]), (&json!("01"), &json!("b@y.example")));
        assert_eq!((&lines[1]["state"], &lines[1]["reply"]), (&json!("deferred"), &json!("451 later")));
    }
}
