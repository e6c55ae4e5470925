//! Delivery status notifications (RFC 3461 section 6, RFC 3464, RFC 6533): failed, delayed, relayed. Never answers a null
//! sender, and returns nothing but what left towards the recipient: what a policy had encrypted comes back as ciphertext.
//!
//! `fields` writes message/delivery-status, `returned` what goes back of the message.

mod fields;
mod returned;

use crate::clock::Timestamp;
use crate::mail::{Address, MailId};

/// What the recipients of one report have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Given up for good.
    Failed,
    /// Still tried, until then.
    Delayed {
        /// When it will be given up.
        until: Timestamp,
    },
    /// Handed to a next hop that sends no reports (RFC 3461 section 5.2.2).
    Relayed,
}

/// One recipient.
#[derive(Clone, Debug)]
pub struct About {
    /// The recipient as the envelope had it.
    pub address: Address,
    /// ORCPT of the envelope, if given: `addr-type;xtext`.
    pub orcpt: Option<String>,
    /// `5.1.1` (RFC 3463).
    pub status: String,
    /// The next hop, `host:port`; empty when none was reached.
    pub next_hop: String,
    /// What it said, one line.
    pub diagnostic: String,
    /// When it said so.
    pub at: Timestamp,
}

/// How much of the message the sender wants back (RFC 3461 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// All of it.
    Full,
    /// Its header.
    Header,
}

/// In which characters a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway::delivery) enum Charset {
    /// 7 bits, which any next hop takes: a report that one cannot take would be lost, for nobody is told.
    Ascii,
    /// For a sender who can be reached through SMTPUTF8 only (RFC 6533).
    Utf8,
}

/// What the notification is about.
#[derive(Debug)]
pub struct Report<'a> {
    /// Our host name.
    pub hostname: &'a str,
    /// The notification's own id.
    pub id: MailId,
    /// The message's id.
    pub about: MailId,
    /// When the message was accepted.
    pub arrived: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// The sender of the message.
    pub to: &'a Address,
    /// ENVID of the envelope, still xtext.
    pub envid: Option<&'a str>,
    /// What happened.
    pub action: Action,
    /// To whom: at least one.
    pub recipients: &'a [About],
    /// The message as it left, or would have left.
    pub message: &'a [u8],
    /// How much of it goes back. Of what has not failed, the header.
    pub wanted: Return,
}

impl Report<'_> {
    pub(in crate::gateway::delivery) fn charset(&self) -> Charset {
        if self.to.is_internationalized() { Charset::Utf8 } else { Charset::Ascii }
    }
}

/// The whole notification: multipart/report with a text, a message/delivery-status and what is returned.
pub fn compose(report: &Report<'_>) -> Vec<u8> {
    let boundary = format!("=_dsn_{}", report.id);
    let hostname = report.hostname;
    let (status_type, text_charset) = match report.charset() {
        Charset::Ascii => ("message/delivery-status", "us-ascii"),
        Charset::Utf8 => ("message/global-delivery-status", "utf-8"),
    };
    let subject = match report.action {
        Action::Failed => "Undelivered Mail Returned to Sender",
        Action::Delayed { .. } => "Delayed Mail (still being retried)",
        Action::Relayed => "Mail Relayed",
    };
    let mut out = String::new();
    for line in [
        format!("From: Mail Delivery System <MAILER-DAEMON@{hostname}>"),
        format!("To: {}", report.to),
        format!("Date: {}", report.now.rfc5322()),
        format!("Message-ID: <{}@{hostname}>", report.id),
        format!("Subject: {subject}"),
        "Auto-Submitted: auto-replied".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: multipart/report; report-type=delivery-status;".to_owned(),
        format!("\tboundary=\"{boundary}\""),
        String::new(),
    ] {
        line_to(&mut out, &line);
    }
    part(&mut out, &boundary, &[&format!("Content-Type: text/plain; charset={text_charset}"), "Content-Language: en"]);
    explanation(&mut out, report);
    part(&mut out, &boundary, &[&format!("Content-Type: {status_type}")]);
    fields::write(&mut out, report);
    let returned = returned::of(report);
    part(&mut out, &boundary, &[&format!("Content-Type: {}", returned.media_type)]);
    let mut octets = out.into_bytes();
    octets.extend_from_slice(&returned.octets);
    octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    octets
}

fn line_to(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}

fn part(out: &mut String, boundary: &str, fields: &[&str]) {
    line_to(out, &format!("\r\n--{boundary}"));
    fields.iter().for_each(|field| line_to(out, field));
    line_to(out, "");
}

/// For people.
fn explanation(out: &mut String, report: &Report<'_>) {
    line_to(out, &format!("This is the mail gateway {}.", report.hostname));
    let what = match report.action {
        Action::Failed => {
            "Your message could not be delivered to these recipients, and will not be tried again:".to_owned()
        }
        Action::Delayed { until } => format!(
            "Your message has not yet been delivered to these recipients. You need not send it again:\r\n\
             it will be tried until {}.",
            until.rfc5322()
        ),
        Action::Relayed => {
            "Your message was handed to a mail server that will not report its delivery, for:".to_owned()
        }
    };
    line_to(out, &format!("\r\n{what}\r\n"));
    for one in report.recipients {
        let address = fields::text(&one.address.to_string(), report.charset());
        let diagnostic = fields::text(&one.diagnostic, report.charset());
        line_to(out, &format!("  <{address}>\r\n    {} {diagnostic}", one.status));
    }
    line_to(out, &format!("\r\nFor questions, name this id: {}", report.about));
}

#[cfg(test)]
mod tests;
