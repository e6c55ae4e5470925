//! ENVELOPE (RFC 3501 section 7.4.2) from a summary. Never opens the message.

use super::reply;
use crate::mail::summary::EnvelopeFields;
use crate::mail::summary::ListEntry;

/// `"(" date SP subject SP from SP sender SP reply-to SP to SP cc SP bcc SP in-reply-to SP message-id ")"`
pub(super) fn envelope(out: &mut Vec<u8>, fields: &EnvelopeFields) {
    out.push(b'(');
    reply::nstring(out, fields.date.as_deref());
    out.push(b' ');
    reply::nstring(out, fields.subject.as_deref());
    for list in address_lists(fields) {
        out.push(b' ');
        addresses(out, list);
    }
    out.push(b' ');
    reply::nstring(out, fields.in_reply_to.as_deref());
    out.push(b' ');
    reply::nstring(out, fields.message_id.as_deref());
    out.push(b')');
}

/// From, Sender, Reply-To, To, Cc, Bcc. A missing Sender or Reply-To is From (RFC 3501 section 7.4.2).
fn address_lists(fields: &EnvelopeFields) -> [&[ListEntry]; 6] {
    let from = fields.from.as_slice();
    let or_from = |list| if <[ListEntry]>::is_empty(list) { from } else { list };
    [from, or_from(&fields.sender), or_from(&fields.reply_to), &fields.to, &fields.cc, &fields.bcc]
}

fn addresses(out: &mut Vec<u8>, list: &[ListEntry]) {
    if list.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    for entry in list {
        address(out, entry);
    }
    out.push(b')');
}

/// `"(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`. A NIL host would mean a group, so an address without a domain
/// has an empty one.
fn address(out: &mut Vec<u8>, entry: &ListEntry) {
    let (name, local, domain) = match entry {
        ListEntry::Mailbox { name, local, domain } => (name.as_deref(), Some(local.as_str()), Some(domain.as_str())),
        ListEntry::GroupStart(group) => (None, Some(group.as_str()), None),
        ListEntry::GroupEnd => (None, None, None),
    };
    out.push(b'(');
    reply::nstring(out, name);
    out.extend_from_slice(b" NIL ");
    reply::nstring(out, local);
    out.push(b' ');
    reply::nstring(out, domain);
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(name: Option<&str>, local: &str, domain: &str) -> ListEntry {
        ListEntry::Mailbox { name: name.map(str::to_owned), local: local.to_owned(), domain: domain.to_owned() }
    }

    #[test]
    fn fields_stand_in_order_and_from_stands_in() {
        let fields = EnvelopeFields {
            date: Some("Tue, 24 Nov 2026 17:03:42 +0000".to_owned()),
            subject: Some("Grüße \"x\"".to_owned()),
            from: vec![mailbox(Some("A, B"), "a", "example.org")],
            to: vec![ListEntry::GroupStart("team".to_owned()), mailbox(None, "b", ""), ListEntry::GroupEnd],
            message_id: Some("<1@example.org>".to_owned()),
            ..EnvelopeFields::default()
        };
        let mut out = Vec::new();
        envelope(&mut out, &fields);
        let from = "((\"A, B\" NIL \"a\" \"example.org\"))";
        let to = "((NIL NIL \"team\" NIL)(NIL NIL \"b\" \"\")(NIL NIL NIL NIL))";
        let expected = format!(
            "(\"Tue, 24 Nov 2026 17:03:42 +0000\" {{11}}\r\nGrüße \"x\" {from} {from} {from} {to} NIL NIL NIL \"<1@example.org>\")"
        );
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn an_empty_message_has_an_envelope() {
        let mut out = Vec::new();
        envelope(&mut out, &EnvelopeFields::default());
        assert_eq!(out, b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
    }
}
