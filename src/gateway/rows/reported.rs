//! Journal reports as rows for people and JSON.

use crate::mail::{Reported, ReportedRecipient};
use serde_json::{Value, json};

/// What the record of acceptance says of a report.
pub fn reported(reported: &Reported) -> Value {
    match reported {
        Reported::Not(reason) => json!({"believed": false, "reason": reason}),
        Reported::Report { envelope, readable, problems } => json!({
            "believed": true,
            "from": envelope.sender.as_ref().map(ToString::to_string).unwrap_or_default(),
            "on_behalf_of": envelope.on_behalf_of.as_ref().map(ToString::to_string),
            "recipients": envelope.recipients.iter().map(recipient).collect::<Vec<_>>(),
            "readable": readable.map(|slice| json!({"offset": slice.offset, "bytes": slice.bytes})),
            "problems": problems,
        }),
    }
}

fn recipient(recipient: &ReportedRecipient) -> Value {
    let mut row = json!({"address": recipient.address.to_string(), "kind": recipient.kind.word()});
    for (name, from) in [("expanded_from", &recipient.expanded_from), ("forwarded_from", &recipient.forwarded_from)] {
        if let Some(from) = from {
            row[name] = Value::from(from.to_string());
        }
    }
    row
}

/// Adds to the reasons of a ruling how the message was read.
pub fn add_why(row: &mut Value, reported: &Reported) {
    let (value, because) = match reported {
        Reported::Not(reason) => ("ordinary mail", reason.clone()),
        Reported::Report { readable: Some(_), .. } => ("unwrapped", "it came by a journal listener".to_owned()),
        Reported::Report { readable: None, problems, .. } => ("shown as it came", problems.join("; ")),
    };
    if let Some(why) = row["why"].as_array_mut() {
        why.push(json!({"action": "journal report", "value": value, "because": because}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, RecipientKind, ReportedEnvelope, Slice};

    #[test]
    fn reports_are_told_whole() {
        let address = |text: &str| Address::parse(text).expect(text);
        let bcc = ReportedRecipient {
            address: address("b@example.org"),
            kind: RecipientKind::Bcc,
            expanded_from: Some(address("list@example.org")),
            forwarded_from: None,
        };
        let envelope = ReportedEnvelope { sender: None, on_behalf_of: None, recipients: vec![bcc] };
        let report =
            Reported::Report { envelope, readable: Some(Slice { offset: 3, bytes: 4 }), problems: vec!["p".into()] };
        let expected = json!({
            "believed": true, "from": "", "on_behalf_of": null, "problems": ["p"], "readable": {"offset": 3, "bytes": 4},
            "recipients": [{"address": "b@example.org", "kind": "bcc", "expanded_from": "list@example.org"}],
        });
        assert_eq!(reported(&report), expected);
        let not = Reported::Not("no sender".into());
        assert_eq!(reported(&not), json!({"believed": false, "reason": "no sender"}));
        for (reported, value, because) in
            [(&report, "unwrapped", "it came by a journal listener"), (&not, "ordinary mail", "no sender")]
        {
            let mut row = json!({"why": []});
            add_why(&mut row, reported);
            assert_eq!(row["why"], json!([{"action": "journal report", "value": value, "because": because}]));
        }
    }
}
