//! The statement of a journal report: lines that say who sent the message and who got it.
//!
//! ```text
//! Sender: address                          first; empty or <> is the null sender
//! On-Behalf-Of: address                    optional, anywhere
//! Subject: words                           from 2007 on
//! Message-ID: id
//! To: address [, Expanded: list] [, Forwarded: person]      To, Cc, Bcc, or Recipient where it is not known which
//! Recipients:                              2003: then a recipient a line, Name <address>
//! ```
//!
//! Other lines (Label, SentUtc) are passed over. The subject is the only line whose words the author of the message chose: should
//! it break into lines, recipients in them would be the author's. The server writes recipients behind the Message-ID, so what
//! stands between subject and the last Message-ID is not believed.

use super::Malformed;
use super::Problems;
use super::RECIPIENTS_MAX;
use super::RecipientKind;
use super::ReportedEnvelope;
use super::ReportedRecipient;
use crate::mail::Address;

/// Characters of a line that a problem quotes.
const QUOTED_CHARS_MAX: usize = 80;

/// What the lines say.
#[derive(Debug, Default)]
pub(super) struct Statement {
    pub envelope: ReportedEnvelope,
    pub subject: Option<String>,
    pub message_id: Option<String>,
    pub problems: Problems,
}

/// Reads a statement. It names a sender and at least one recipient, of whom one may be unreadable.
pub(super) fn read(text: &str) -> Result<Statement, Malformed> {
    let mut reader = Reader::default();
    for line in text.trim_start_matches('\u{feff}').split('\n') {
        reader.line(line.strip_suffix('\r').unwrap_or(line));
    }
    reader.finish()
}

/// Whether a line may be one of a list of recipients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum List {
    #[default]
    Closed,
    /// Behind `Recipients:`.
    Begun,
    /// Behind its first recipient; an empty line ends it.
    Open,
}

#[derive(Default)]
struct Reader {
    statement: Statement,
    has_sender: bool,
    recipient_lines: usize,
    list: List,
    /// What was known when the subject came.
    at_subject: Option<Known>,
}

/// What may have to be gone back to.
struct Known {
    on_behalf_of: Option<Address>,
    recipients: usize,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if self.list != List::Closed && self.listed(line) {
            return;
        }
        let Some((name, value)) = line.split_once(':') else { return };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "sender" => self.sender(value),
            "on-behalf-of" => self.on_behalf_of(value),
            "subject" => self.subject(value),
            "message-id" => self.message_id(value),
            "to" => self.recipient(RecipientKind::To, value),
            "cc" => self.recipient(RecipientKind::Cc, value),
            "bcc" => self.recipient(RecipientKind::Bcc, value),
            "recipient" => self.recipient(RecipientKind::Recipient, value),
            "recipients" => {
                self.list = List::Begun;
                if !value.is_empty() {
                    self.listed(value);
                }
            }
            _ => {}
        }
    }

    fn sender(&mut self, value: &str) {
        if self.has_sender {
            return self.problem("a second sender is not believed", value);
        }
        self.has_sender = true;
        self.statement.envelope.sender = address(value);
        if self.statement.envelope.sender.is_none() && !matches!(value, "" | "<>") {
            self.problem("the sender is no address", value);
        }
    }

    fn on_behalf_of(&mut self, value: &str) {
        match address(value) {
            Some(address) => self.statement.envelope.on_behalf_of = Some(address),
            None => self.problem("On-Behalf-Of is no address", value),
        }
    }

    fn subject(&mut self, value: &str) {
        if self.at_subject.is_none() {
            self.statement.subject = Some(value.to_owned());
            let ReportedEnvelope { on_behalf_of, recipients, .. } = &self.statement.envelope;
            self.at_subject = Some(Known { on_behalf_of: on_behalf_of.clone(), recipients: recipients.len() });
        }
    }

    fn message_id(&mut self, value: &str) {
        self.statement.message_id = Some(value.to_owned());
        let Some(Known { on_behalf_of, recipients }) = &self.at_subject else { return };
        let envelope = &mut self.statement.envelope;
        if envelope.recipients.len() > *recipients || envelope.on_behalf_of != *on_behalf_of {
            envelope.recipients.truncate(*recipients);
            envelope.on_behalf_of = on_behalf_of.clone();
            self.problem("what stands between subject and Message-ID is not believed", "");
        }
    }

    fn recipient(&mut self, kind: RecipientKind, value: &str) {
        self.recipient_lines += 1;
        let (whom, redirections) = split(value);
        let Some(address) = address(whom) else { return self.problem("a recipient is no address", value) };
        let mut recipient = ReportedRecipient { address, kind, expanded_from: None, forwarded_from: None };
        for (redirection, from) in redirections {
            let slot = match redirection {
                Redirection::Expanded => &mut recipient.expanded_from,
                Redirection::Forwarded => &mut recipient.forwarded_from,
            };
            match self::address(from) {
                Some(from) if slot.is_none() => *slot = Some(from),
                _ => self.problem("what a recipient was expanded or forwarded from cannot be read", value),
            }
        }
        self.push(recipient);
    }

    /// A line behind `Recipients:`. Answers whether it was one of the list.
    fn listed(&mut self, line: &str) -> bool {
        let value = line.trim().trim_end_matches([',', ';']);
        if value.is_empty() {
            if self.list == List::Open {
                self.list = List::Closed;
            }
            return true;
        }
        // Before it is looked at as an address, for a Message-ID is one in brackets.
        if line.split_once(':').is_some_and(|(name, _)| is_known(name)) {
            self.list = List::Closed;
            return false;
        }
        self.list = List::Open;
        self.recipient_lines += 1;
        match address(value) {
            Some(address) => self.push(ReportedRecipient {
                address,
                kind: RecipientKind::Recipient,
                expanded_from: None,
                forwarded_from: None,
            }),
            None => self.problem("a recipient is no address", value),
        }
        true
    }

    fn push(&mut self, recipient: ReportedRecipient) {
        let recipients = &mut self.statement.envelope.recipients;
        if recipients.len() < RECIPIENTS_MAX {
            recipients.push(recipient);
        }
    }

    fn problem(&mut self, what: &str, line: &str) {
        let quoted: String =
            line.chars().take(QUOTED_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect();
        let colon = if quoted.is_empty() { "" } else { ": " };
        self.statement.problems.add(format!("{what}{colon}{quoted}"));
    }

    fn finish(mut self) -> Result<Statement, Malformed> {
        if !self.has_sender {
            return Err(Malformed("the text of the journal report names no sender"));
        }
        if self.recipient_lines == 0 {
            return Err(Malformed("the text of the journal report names no recipient"));
        }
        if self.recipient_lines > RECIPIENTS_MAX && self.statement.envelope.recipients.len() == RECIPIENTS_MAX {
            self.problem("only the first 10,000 recipients are read", "");
        }
        Ok(self.statement)
    }
}

fn is_known(name: &str) -> bool {
    const NAMES: [&str; 9] =
        ["sender", "on-behalf-of", "subject", "message-id", "to", "cc", "bcc", "recipient", "recipients"];
    NAMES.iter().any(|known| name.trim().eq_ignore_ascii_case(known))
}

/// How a recipient got mail that named another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Redirection {
    Expanded,
    Forwarded,
}

/// `address *( "," redirection ":" address )`. A comma within quotes, or before other words, separates nothing.
fn split(value: &str) -> (&str, Vec<(Redirection, &str)>) {
    let mut cuts = Vec::new();
    let (mut in_quotes, mut is_escaped) = (false, false);
    for (at, c) in value.char_indices() {
        match c {
            '"' if !is_escaped => in_quotes = !in_quotes,
            ',' if !in_quotes => cuts.extend(redirection(&value[at + 1..]).map(|(kind, rest)| (at, kind, rest))),
            _ => {}
        }
        is_escaped = in_quotes && c == '\\' && !is_escaped;
    }
    let whom = cuts.first().map_or(value, |(at, _, _)| &value[..*at]);
    let ends = cuts.iter().skip(1).map(|(at, _, _)| *at).chain([value.len()]);
    // `rest` runs to the end of the value: what the next cut takes is off its end.
    let redirections = cuts.iter().zip(ends).map(|(&(_, kind, rest), end)| {
        let length = rest.len() - (value.len() - end);
        (kind, &rest[..length])
    });
    (whom, redirections.collect())
}

/// Looks no further than the word, so that a line of commas costs no more than any other.
fn redirection(text: &str) -> Option<(Redirection, &str)> {
    let text = text.trim_start();
    let words = [("expanded", Redirection::Expanded), ("forwarded", Redirection::Forwarded)];
    words.into_iter().find_map(|(word, kind)| {
        let (found, rest) = text.split_at_checked(word.len())?;
        let rest = rest.trim_start().strip_prefix(':').filter(|_| found.eq_ignore_ascii_case(word))?;
        Some((kind, rest))
    })
}

/// An address alone, or the one in angle brackets behind a name.
fn address(text: &str) -> Option<Address> {
    let text = text.trim();
    let bracketed = || {
        let inside = text.strip_suffix('>')?;
        Address::parse(&inside[inside.rfind('<')? + 1..]).ok()
    };
    Address::parse(text).ok().or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, whom: &str, expected: &[(Redirection, &str)]) {
        let (found, redirections) = split(value);
        let trimmed: Vec<_> = redirections.into_iter().map(|(kind, from)| (kind, from.trim())).collect();
        assert_eq!((found, trimmed.as_slice()), (whom, expected), "{value}");
    }

    #[test]
    fn redirections_stand_behind_commas_outside_of_quotes() {
        use Redirection::{Expanded, Forwarded};
        check("", "", &[]);
        check("a@x.example", "a@x.example", &[]);
        check("a@x.example, Expanded: l@x.example", "a@x.example", &[(Expanded, "l@x.example")]);
        check("a@x.example,forwarded:b@x.example", "a@x.example", &[(Forwarded, "b@x.example")]);
        check("a, Expanded: b, Forwarded: c", "a", &[(Expanded, "b"), (Forwarded, "c")]);
        check("a, Expanded:", "a", &[(Expanded, "")]);
        check("Doe, Jane <a@x.example>", "Doe, Jane <a@x.example>", &[]);
        check("\"a, Expanded: b\"@x.example", "\"a, Expanded: b\"@x.example", &[]);
        check("\"a\\\", Expanded: b\"@x, Forwarded: c", "\"a\\\", Expanded: b\"@x", &[(Forwarded, "c")]);
        check("\"a, Expanded: b", "\"a, Expanded: b", &[]);
        check("a, Expanded b", "a, Expanded b", &[]);
    }

    #[test]
    fn addresses_stand_alone_or_in_brackets() {
        for (text, expected) in [
            (" a@x.example ", Some("a@x.example")),
            ("<a@x.example>", Some("a@x.example")),
            ("\"<b@x.example>\" <a@x.example>", Some("a@x.example")),
            ("Jane Doe <a@x.example>", Some("a@x.example")),
            ("a@x.example b@x.example", None),
            ("a@x.example\rb", None),
            ("<>", None),
            ("", None),
            ("/O=ORG/OU=FIRST/CN=JANE", None),
            ("<a@x.example> x", None),
        ] {
            assert_eq!(address(text).map(|a| a.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}
