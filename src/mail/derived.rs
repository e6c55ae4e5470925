//! What a stored message says of its own transport: date, sender and recipients of mail that comes without an envelope. Total and
//! bounded; a guess by its nature, and whoever keeps it says so.

use super::Address;
use super::date::date_s;
use super::header;
use super::header::Field;
use super::header::addresses;
use super::header::fields;
use super::mbox::FromLine;
use super::summary::ListEntry;
use crate::clock::Timestamp;

/// Recipients that are kept; more stand in the header all the same.
pub const RECIPIENTS_MAX: usize = 1000;
/// Before this there was no mail with such a header: such a date is a broken clock's.
const EARLIEST_S: i64 = 86_400;
/// A clock may be fast by so much.
const FUTURE_S: i64 = 86_400;

/// What header and From_ line say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// The topmost Received field's date, else the From_ line's, else that of Date; `None` when there is none between 1970 and
    /// tomorrow.
    pub dated_at: Option<Timestamp>,
    /// Return-Path, else the From_ line's address, else the first of From; `None` for `<>`, or when there is no address.
    pub sender: Option<Address>,
    /// Delivered-To, X-Original-To, To, Cc and Bcc, each address once, in this order.
    pub recipients: Vec<Address>,
}

/// Reads what a message says. `now` bounds its dates.
pub fn derive(message: &[u8], from_line: Option<&FromLine>, now: Timestamp) -> Derived {
    let header = header::split(message).0.of(message);
    let mut found = Found::default();
    for field in fields(header) {
        found.field(&field);
    }
    let dates = [found.received, from_line.map(|from| from.at.s()), found.date];
    let is_likely = |at: &i64| (EARLIEST_S..=now.s().saturating_add(FUTURE_S)).contains(at);
    Derived {
        dated_at: dates.into_iter().flatten().find(is_likely).map(Timestamp::from_s),
        sender: sender(found.return_path, from_line, found.from),
        recipients: recipients(found.lists),
    }
}

#[derive(Default)]
struct Found {
    received: Option<i64>,
    date: Option<i64>,
    /// `Some(None)` is `<>`.
    return_path: Option<Option<Address>>,
    from: Option<Address>,
    /// By their order in [`Derived::recipients`].
    lists: [Vec<Address>; 5],
}

/// Fields with recipients, by their order.
const LISTS: [&str; 5] = ["Delivered-To", "X-Original-To", "To", "Cc", "Bcc"];

impl Found {
    fn field(&mut self, field: &Field<'_>) {
        if field.is("Received") {
            // The date stands behind the last semicolon (RFC 5322 section 3.6.7). Only the topmost field counts.
            let date = field.value.rsplit(|&b| b == b';').next();
            self.received = self.received.or_else(|| Some(date.and_then(date_s).unwrap_or(i64::MIN)));
        } else if field.is("Date") {
            self.date = self.date.or_else(|| date_s(field.value));
        } else if field.is("Return-Path") {
            self.return_path.get_or_insert_with(|| path(field.value));
        } else if field.is("From") {
            self.from = self.from.take().or_else(|| mailboxes(field.value).next());
        } else if let Some(list) = LISTS.iter().position(|name| field.is(name)) {
            self.lists[list].extend(mailboxes(field.value).take(RECIPIENTS_MAX));
        }
    }
}

/// `path = angle-addr / ([CFWS] "<" [CFWS] ">" [CFWS])`
fn path(value: &[u8]) -> Option<Address> {
    mailboxes(value).next()
}

fn sender(
    return_path: Option<Option<Address>>,
    from_line: Option<&FromLine>,
    from: Option<Address>,
) -> Option<Address> {
    if let Some(path) = return_path {
        return path;
    }
    match from_line.map(|from| from.sender.as_str()) {
        Some("MAILER-DAEMON") => None,
        Some(sender) => Address::parse(sender).ok().or(from),
        None => from,
    }
}

fn recipients(lists: [Vec<Address>; 5]) -> Vec<Address> {
    let mut seen = std::collections::BTreeSet::new();
    let new = |address: &Address| seen.insert(address.canonical());
    lists.into_iter().flatten().filter(new).take(RECIPIENTS_MAX).collect()
}

fn mailboxes(value: &[u8]) -> impl Iterator<Item = Address> {
    addresses(value).into_iter().filter_map(|entry| match entry {
        ListEntry::Mailbox { local, domain, .. } => address(&local, &domain),
        ListEntry::GroupStart(_) | ListEntry::GroupEnd => None,
    })
}

/// The local part stands without its quotes here; they are put back where it needs them.
fn address(local: &str, domain: &str) -> Option<Address> {
    let quoted = || format!("\"{}\"@{domain}", local.replace('\\', "\\\\").replace('"', "\\\""));
    Address::parse(&format!("{local}@{domain}")).or_else(|_| Address::parse(&quoted())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse_date("2026-11-30").expect("a day")
    }
    fn derived(message: &str, from_line: Option<&str>) -> (String, String, Vec<String>) {
        let from_line = from_line.map(|line| FromLine::parse(line.as_bytes()).expect("a From_ line"));
        let derived = derive(message.as_bytes(), from_line.as_ref(), now());
        let text = |address: &Address| address.to_string();
        (
            derived.dated_at.map(Timestamp::rfc3339).unwrap_or_default(),
            derived.sender.as_ref().map(text).unwrap_or_default(),
            derived.recipients.iter().map(text).collect(),
        )
    }

    #[test]
    fn dates_have_an_order() {
        let received = "Received: from a by b; Tue, 1 Jul 2025 10:00:00 +0200 (CEST)\r\n";
        let later = "Received: by c;\r\n\tWed, 2 Jul 2025 10:00:00 +0200\r\n";
        let date = "Date: Mon, 30 Jun 2025 09:00:00 +0000\r\n";
        let from = "From a@x Thu Jul  3 08:00:00 2025";
        for (message, from_line, expected) in [
            (format!("{later}{received}{date}\r\n"), Some(from), "2025-07-02T08:00:00.000Z"),
            (format!("{date}{received}\r\n"), None, "2025-07-01T08:00:00.000Z"),
            (format!("{date}\r\n{received}"), Some(from), "2025-07-03T08:00:00.000Z"),
            (date.to_owned(), None, "2025-06-30T09:00:00.000Z"),
            // A topmost Received field without a date does not give its place to one below.
            (format!("Received: by c\r\n{received}{date}\r\n"), None, "2025-06-30T09:00:00.000Z"),
            (
                "Date: Fri, 31 Dec 1999 00:00:00 Z\r\nDate: Sat, 1 Jan 2000 00:00:00 Z\r\n".to_owned(),
                None,
                "1999-12-31T00:00:00.000Z",
            ),
            ("Date: Tue, 1 Dec 2026 00:00:00 Z\r\n".to_owned(), None, "2026-12-01T00:00:00.000Z"),
            ("Date: Tue, 1 Dec 2026 00:00:01 Z\r\n".to_owned(), None, ""),
            ("Date: Fri, 2 Jan 1970 00:00:00 Z\r\n".to_owned(), None, "1970-01-02T00:00:00.000Z"),
            ("Date: Thu, 1 Jan 1970 23:59:59 Z\r\n".to_owned(), None, ""),
            ("Subject: x\r\n".to_owned(), None, ""),
        ] {
            assert_eq!(derived(&message, from_line).0, expected, "{message} {from_line:?}");
        }
    }

    #[test]
    fn senders_have_an_order() {
        let from = "From: A <a@x.example>, b@x.example\r\n";
        let line = "From c@x.example Thu Jul  3 08:00:00 2025";
        for (message, from_line, expected) in [
            (format!("Return-Path: <p@x.example>\r\n{from}"), Some(line), "p@x.example"),
            (format!("Return-Path: <>\r\n{from}"), Some(line), ""),
            (from.to_owned(), Some(line), "c@x.example"),
            (from.to_owned(), Some("From - Thu Jul  3 08:00:00 2025"), "a@x.example"),
            (from.to_owned(), Some("From MAILER-DAEMON Thu Jul  3 08:00:00 2025"), ""),
            (from.to_owned(), None, "a@x.example"),
            ("From: nobody\r\n".to_owned(), None, ""),
        ] {
            assert_eq!(derived(&message, from_line).1, expected, "{message} {from_line:?}");
        }
    }

    #[test]
    fn recipients_come_once_each_and_are_bounded() {
        let message = "To: A <a@x.example>, g: b@x.example;\r\nCc: \"c d\"@x.example, A@X.example, none\r\nBcc: e@x.example\r\n\
                       Delivered-To: f@x.example\r\nX-Original-To: b@x.example\r\nResent-To: g@x.example\r\n\r\nTo: h@x.example\r\n";
        let expected = ["f@x.example", "b@x.example", "a@x.example", "\"c d\"@x.example", "e@x.example"];
        assert_eq!(derived(message, None).2, expected);
        let many = |n: usize| (0..n).map(|n| format!("To: a{n}@x.example\r\n")).collect::<String>();
        assert_eq!(derived(&many(RECIPIENTS_MAX), None).2.len(), RECIPIENTS_MAX);
        assert_eq!(derived(&many(RECIPIENTS_MAX + 1), None).2.len(), RECIPIENTS_MAX);
    }
}
