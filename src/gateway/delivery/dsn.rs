//! Delivery status notifications (RFC 3464) for recipients that failed for good. Never answers a null sender, and never
//! returns a body: only the header goes back, so that nothing a policy wanted encrypted travels in the clear.

use crate::clock::Timestamp;
use crate::mail::{Address, MailId, header};

/// Octets of the returned header; the rest is cut at a line end.
const RETURNED_HEADER_BYTES_MAX: usize = 64 * 1024;

/// What became of one recipient.
#[derive(Clone, Debug)]
pub struct FailedRecipient {
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
}

/// What the notification is about.
#[derive(Debug)]
pub struct Report<'a> {
    /// Our host name.
    pub hostname: &'a str,
    /// The notification's own id.
    pub id: MailId,
    /// The failed message's id.
    pub about: MailId,
    /// When the failed message was accepted.
    pub arrived: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// The sender of the failed message.
    pub to: &'a Address,
    /// ENVID of the envelope, still xtext.
    pub envid: Option<&'a str>,
    /// Those that failed.
    pub failed: &'a [FailedRecipient],
    /// The failed message as received.
    pub original: &'a [u8],
}

/// The whole notification: multipart/report with a text, a message/delivery-status and the header of the original.
pub fn compose(report: &Report<'_>) -> Vec<u8> {
    let boundary = format!("=_dsn_{}", report.id);
    let hostname = report.hostname;
    let mut out = String::new();
    for line in [
        format!("From: Mail Delivery System <MAILER-DAEMON@{hostname}>"),
        format!("To: {}", report.to),
        format!("Date: {}", report.now.rfc5322()),
        format!("Message-ID: <{}@{hostname}>", report.id),
        "Subject: Undelivered Mail Returned to Sender".to_owned(),
        "Auto-Submitted: auto-replied".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: multipart/report; report-type=delivery-status;".to_owned(),
        format!("\tboundary=\"{boundary}\""),
        String::new(),
    ] {
        line_to(&mut out, &line);
    }
    part(&mut out, &boundary, "text/plain; charset=us-ascii");
    explanation(&mut out, report);
    part(&mut out, &boundary, "message/delivery-status");
    status(&mut out, report);
    let (kind, returned) = returned_header(report.original);
    part(&mut out, &boundary, kind);
    let mut octets = out.into_bytes();
    octets.extend_from_slice(&returned);
    octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    octets
}

fn line_to(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}

fn part(out: &mut String, boundary: &str, content_type: &str) {
    line_to(out, &format!("\r\n--{boundary}\r\nContent-Type: {content_type}\r\n"));
}

fn explanation(out: &mut String, report: &Report<'_>) {
    line_to(out, &format!("This is the mail gateway {}.", report.hostname));
    line_to(out, "\r\nYour message could not be delivered to these recipients, and will not be tried again:\r\n");
    for one in report.failed {
        line_to(
            out,
            &format!("  <{}>\r\n    {} {}", ascii(&one.address.to_string()), one.status, ascii(&one.diagnostic)),
        );
    }
    line_to(out, &format!("\r\nFor questions, name this id: {}", report.about));
}

/// The fields of RFC 3464 section 2.2 and 2.3.
fn status(out: &mut String, report: &Report<'_>) {
    if let Some(envid) = report.envid {
        line_to(out, &format!("Original-Envelope-Id: {}", ascii(envid)));
    }
    line_to(out, &format!("Reporting-MTA: dns; {}", report.hostname));
    line_to(out, &format!("Arrival-Date: {}", report.arrived.rfc5322()));
    for one in report.failed {
        line_to(out, "");
        if let Some(orcpt) = &one.orcpt {
            line_to(out, &format!("Original-Recipient: {}", ascii(orcpt)));
        }
        line_to(out, &format!("Final-Recipient: rfc822; {}", ascii(&one.address.to_string())));
        line_to(out, "Action: failed");
        line_to(out, &format!("Status: {}", one.status));
        if let Some(host) = one.next_hop.rsplit_once(':').map(|(host, _)| host).filter(|h| !h.is_empty()) {
            line_to(out, &format!("Remote-MTA: dns; {}", ascii(host)));
        }
        line_to(out, &format!("Diagnostic-Code: smtp; {}", ascii(&one.diagnostic)));
        line_to(out, &format!("Last-Attempt-Date: {}", report.now.rfc5322()));
    }
}

/// text/rfc822-headers (RFC 3462), in 7 bits: a notification that some next hop cannot take would be lost, for nobody is told.
fn returned_header(original: &[u8]) -> (&'static str, Vec<u8>) {
    let (span, _) = header::split(original);
    let end = usize::try_from(span.end).unwrap_or(usize::MAX).min(original.len());
    let mut kept = &original[..end];
    if kept.len() > RETURNED_HEADER_BYTES_MAX {
        let cut = kept[..RETURNED_HEADER_BYTES_MAX].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        kept = &kept[..cut];
    }
    let mut returned: Vec<u8> = kept.iter().map(|&b| if b.is_ascii() && b != 0 { b } else { b'?' }).collect();
    if !returned.ends_with(b"\n") {
        returned.extend_from_slice(b"\r\n");
    }
    ("text/rfc822-headers", returned)
}

/// One line of visible ASCII, at most 900 octets; other characters become `?`.
fn ascii(text: &str) -> String {
    text.chars().take(900).map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compose_about(original: &[u8], diagnostic: &str) -> String {
        let address = |a: &str| Address::parse(a).expect("address");
        let failed = [FailedRecipient {
            address: address("nobody@partner.example"),
            orcpt: Some("rfc822;nobody@partner.example".into()),
            status: "5.1.1".into(),
            next_hop: "127.0.0.1:2526".into(),
            diagnostic: diagnostic.into(),
        }];
        let octets = compose(&Report {
            hostname: "gw.example.org",
            id: MailId::from_octets([2; 16]),
            about: MailId::from_octets([1; 16]),
            arrived: Timestamp::from_s(0),
            now: Timestamp::from_s(60),
            to: &address("alice@example.org"),
            envid: Some("QQ314159"),
            failed: &failed,
            original,
        });
        String::from_utf8(octets).expect("ASCII here")
    }

    #[test]
    fn has_the_three_parts_of_a_report() {
        let text =
            compose_about(b"From: alice@example.org\r\nSubject: secret\r\n\r\nthe body", "550 5.1.1 no such user");
        let parsed = mail_parser::MessageParser::default().parse(text.as_bytes()).expect("a message");
        assert_eq!(parsed.attachment_count() + parsed.text_body_count(), 3);
        for line in [
            "Auto-Submitted: auto-replied",
            "Original-Envelope-Id: QQ314159",
            "Reporting-MTA: dns; gw.example.org",
            "Original-Recipient: rfc822;nobody@partner.example",
            "Final-Recipient: rfc822; nobody@partner.example",
            "Action: failed",
            "Status: 5.1.1",
            "Remote-MTA: dns; 127.0.0.1",
            "Diagnostic-Code: smtp; 550 5.1.1 no such user",
            "Subject: secret",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(!text.contains("the body"), "a body never goes back");
    }

    #[test]
    fn a_hostile_reply_stays_in_its_line() {
        let text = compose_about(b"Subject: x\n\ny", "550 bad\r\nStatus: 2.0.0\u{fc}");
        assert!(!text.lines().any(|l| l.starts_with("Status: 2.0.0")), "{text}");
    }

    #[test]
    fn an_eight_bit_header_goes_back_in_seven() {
        let text = compose_about("Subject: gr\u{fc}\u{df}e\0\r\n\r\nx".as_bytes(), "550 x");
        assert!(text.is_ascii() && text.contains("\r\nSubject: gr????e?\r\n"), "{text}");
    }

    #[test]
    fn a_huge_header_is_cut_at_a_line() {
        let original = "X-Long: 0123456789\r\n".repeat(10_000);
        let text = compose_about(original.as_bytes(), "550 x");
        assert!(text.len() < RETURNED_HEADER_BYTES_MAX + 4096);
        assert!(text.lines().all(|l| !l.starts_with("X-Long") || l == "X-Long: 0123456789"));
    }
}
