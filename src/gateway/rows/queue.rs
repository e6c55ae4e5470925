//! The queue as rows for people and JSON. Shows no content.

use crate::journal::{Entry, RecipientState};
use serde_json::{Value, json};

/// One message: id, state, from, and each recipient with its own state.
pub fn row(entry: &Entry) -> Value {
    let recipients: Vec<Value> = entry
        .accept
        .envelope
        .recipients
        .iter()
        .zip(entry.states.iter())
        .map(|(recipient, state)| recipient_row(&recipient.address.to_string(), state))
        .collect();
    let sender = entry.accept.envelope.sender.as_ref().map_or_else(String::new, ToString::to_string);
    json!({
        "id": entry.accept.id.to_string(),
        "state": state_of(entry),
        "from": sender,
        "accepted_at": entry.accept.accepted_at.rfc3339(),
        "size": entry.accept.body_bytes,
        "rcpt": recipients,
    })
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

fn state_of(entry: &Entry) -> &'static str {
    let tried = |state: &RecipientState| matches!(state, RecipientState::Pending { attempts: 1.., .. });
    let is_parked = |state: &RecipientState| matches!(state, RecipientState::Parked { .. });
    match entry.is_pending() {
        false => "final",
        true if entry.states.iter().any(is_parked) => "parked",
        true if entry.states.iter().any(tried) => "deferred",
        true => "queued",
    }
}

fn recipient_row(address: &str, state: &RecipientState) -> Value {
    let (word, next_at, reply) = match state {
        RecipientState::Pending { attempts: 0, next_at, .. } => ("queued", Some(*next_at), String::new()),
        RecipientState::Pending { next_at, last_reply, .. } => ("deferred", Some(*next_at), last_reply.clone()),
        RecipientState::Delivered { reply, .. } => ("delivered", None, reply.clone()),
        RecipientState::Failed { reply, .. } => ("failed", None, reply.clone()),
        RecipientState::Archived { .. } => ("archived", None, String::new()),
        RecipientState::Parked { reason, until, .. } => ("parked", *until, reason.clone()),
        RecipientState::Dropped { reason, .. } => ("dropped", None, reason.clone()),
        RecipientState::Refused => ("refused", None, String::new()),
    };
    json!({"address": address, "state": word, "next_at": next_at.map(|at| at.rfc3339()), "reply": reply})
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
