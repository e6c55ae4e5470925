//! The read audit as rows for people and JSON.

use crate::access::audit::{Entry, Event, Terms};
use crate::archive::Unlocked;
use crate::crypto::hash;
use serde_json::{Map, Value, json};

/// One record; search terms in words where the archive is unlocked.
pub fn record(entry: &Entry, unlocked: Option<&Unlocked>) -> Value {
    let Some(record) = &entry.record else {
        return json!({"number": entry.head.records, "event": "unreadable"});
    };
    let mut row = Map::new();
    let head = json!({
        "number": entry.head.records,
        "at": record.at.rfc3339(),
        "event": record.event.word(),
        "account": record.account,
        "client": record.client,
        "session": hash::hex(&record.session),
    });
    let fields = match &record.event {
        Event::Login { role, protocol, tls } => json!({"role": role, "protocol": protocol, "tls": tls}),
        Event::Refused { protocol, tls, reason } => json!({"protocol": protocol, "tls": tls, "reason": reason}),
        Event::Read { command, mailbox, uids, messages, exact, items } => json!({
            "command": command, "mailbox": mailbox, "uids": uids.to_string(), "messages": messages, "exact": exact,
            "items": items,
        }),
        Event::Search { command, mailbox, terms, whole } => {
            let mut fields = json!({"command": command, "mailbox": mailbox, "whole": whole});
            fields["terms"] = match unlocked {
                None => Value::from("sealed"),
                Some(unlocked) => {
                    let aad = Terms::aad(&record.session, record.at);
                    let opened = unlocked.open_secret(crate::access::audit::LABEL, &aad, terms.sealed());
                    opened.map_or_else(|e| json!({"unreadable": e.to_string()}), |text| Terms::text(&text).into())
                }
            };
            fields
        }
        Event::End { commands, messages, bytes } => {
            json!({"commands": commands, "messages": messages, "bytes": bytes})
        }
    };
    for part in [head, fields] {
        row.extend(part.as_object().cloned().unwrap_or_default());
    }
    Value::Object(row)
}

/// The same with a column of words for people.
pub fn with_detail(mut row: Value) -> Value {
    let word = |key: &str| match &row[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let tls = |text: String| if text.is_empty() { "no TLS".to_owned() } else { text };
    let detail = match row["event"].as_str().unwrap_or_default() {
        "login" => format!("{} by {}, {}", word("role"), word("protocol"), tls(word("tls"))),
        "refused" => format!("{}, {}: {}", word("protocol"), tls(word("tls")), word("reason")),
        "read" => {
            let most = if row["exact"] == false { "at most " } else { "" };
            format!("{} {} {most}{}: {}", word("command"), word("mailbox"), word("uids"), word("items"))
        }
        "search" => {
            let place = if row["mailbox"] == "" { "everywhere".to_owned() } else { word("mailbox") };
            format!("{} {place}: {}", word("command"), word("terms"))
        }
        "end" => format!("{} commands, {} messages, {} octets", word("commands"), word("messages"), word("bytes")),
        _ => String::new(),
    };
    row["detail"] = Value::from(detail);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::audit::{Head, Record, Uids};
    use crate::clock::Timestamp;

    #[test]
    fn records_are_told_in_words() {
        let (uids, exact) = Uids::new(&[(3, 5), (9, 9)]);
        let read = Event::Read {
            command: "FETCH".into(),
            mailbox: "Archive/2026/2026-11".into(),
            uids,
            messages: 4,
            exact,
            items: "UID BODY[]".into(),
        };
        let login = Event::Login { role: "officer".into(), protocol: "imap".into(), tls: "TLSv1.3".into() };
        let refused = Event::Refused { protocol: "pop3".into(), tls: String::new(), reason: "no".into() };
        let end = Event::End { commands: 1, messages: 4, bytes: 99 };
        for (event, detail) in [
            (read, "FETCH Archive/2026/2026-11 3:5,9: UID BODY[]"),
            (login, "officer by imap, TLSv1.3"),
            (refused, "pop3, no TLS: no"),
            (end, "1 commands, 4 messages, 99 octets"),
        ] {
            let record = Record {
                at: Timestamp::from_s(0),
                session: [1; 8],
                account: "alice".into(),
                client: "::1".into(),
                event,
            };
            let entry = Entry { head: Head { records: 7, chain: [0; 32] }, record: Some(record) };
            let row = with_detail(super::record(&entry, None));
            assert_eq!((&row["detail"], &row["number"], &row["account"]), (&detail.into(), &7.into(), &"alice".into()));
        }
        let entry = Entry { head: Head { records: 7, chain: [0; 32] }, record: None };
        assert_eq!(record(&entry, None), json!({"number": 7, "event": "unreadable"}));
    }
}
