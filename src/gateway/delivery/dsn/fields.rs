//! message/delivery-status: the fields of RFC 3464 sections 2.2 and 2.3. What strangers wrote stays in its line.

use super::{About, Action, Charset, Report, line_to};
use crate::mail::Address;
use crate::smtp::xtext;

/// Characters of what a field takes from elsewhere.
const TEXT_CHARS_MAX: usize = 900;

/// All fields: those of the message, then those of each recipient.
pub fn write(out: &mut String, report: &Report<'_>) {
    let charset = report.charset();
    if let Some(envid) = report.envid {
        line_to(out, &format!("Original-Envelope-Id: {}", text(&decoded(envid), charset)));
    }
    line_to(out, &format!("Reporting-MTA: dns; {}", report.hostname));
    line_to(out, &format!("Arrival-Date: {}", report.arrived.rfc5322()));
    for one in report.recipients {
        line_to(out, "");
        recipient(out, report.action, one, charset);
    }
}

fn recipient(out: &mut String, action: Action, one: &About, charset: Charset) {
    if let Some(orcpt) = &one.orcpt {
        line_to(out, &format!("Original-Recipient: {}", original(orcpt, charset)));
    }
    line_to(out, &format!("Final-Recipient: {}", address(&one.address, charset)));
    line_to(
        out,
        match action {
            Action::Failed => "Action: failed",
            Action::Delayed { .. } => "Action: delayed",
            Action::Relayed => "Action: relayed",
        },
    );
    line_to(out, &format!("Status: {}", one.status));
    if let Some(host) = one.next_hop.rsplit_once(':').map(|(host, _)| host).filter(|host| !host.is_empty()) {
        line_to(out, &format!("Remote-MTA: dns; {}", text(host, charset)));
        line_to(out, &format!("Diagnostic-Code: smtp; {}", text(&one.diagnostic, charset)));
    } else {
        // Nobody said it but we: the type `smtp` is for what a mail server replied (RFC 3464 section 2.3.6).
        line_to(out, &format!("Diagnostic-Code: x-sealpost; {}", text(&one.diagnostic, charset)));
    }
    line_to(out, &format!("Last-Attempt-Date: {}", one.at.rfc5322()));
    if let Action::Delayed { until } = action {
        line_to(out, &format!("Will-Retry-Until: {}", until.rfc5322()));
    }
}

/// `addr-type; address`. In 7 bits, characters beyond ASCII are written as `\x{HEX}` (RFC 6533 section 3).
fn address(address: &Address, charset: Charset) -> String {
    let whole = address.to_string();
    match (address.is_internationalized(), charset) {
        (false, _) => format!("rfc822; {}", text(&whole, charset)),
        (true, Charset::Utf8) => format!("utf-8; {}", text(&whole, charset)),
        (true, Charset::Ascii) => format!("utf-8; {}", text(&embedded(&whole), charset)),
    }
}

fn embedded(address: &str) -> String {
    let one = |c: char| match c {
        '\\' => "\\x{5C}".to_owned(),
        _ if c.is_ascii() => c.to_string(),
        _ => format!("\\x{{{:X}}}", u32::from(c)),
    };
    address.chars().map(one).collect()
}

/// ORCPT (RFC 3461 section 4.2) without its xtext; an address of type `utf-8` keeps its own encoding.
fn original(orcpt: &str, charset: Charset) -> String {
    match orcpt.split_once(';') {
        Some((kind, address)) if kind.eq_ignore_ascii_case("rfc822") => {
            format!("{}; {}", text(kind, charset), text(&decoded(address), charset))
        }
        Some((kind, address)) => format!("{}; {}", text(kind, charset), text(address, charset)),
        None => text(orcpt, charset),
    }
}

/// What xtext stands for; what is none stays as it is.
fn decoded(text: &str) -> String {
    xtext::decode(text).map_or_else(|| text.to_owned(), |octets| String::from_utf8_lossy(&octets).into_owned())
}

/// One line: visible characters and blanks, at most 900; others become `?`.
pub fn text(text: &str, charset: Charset) -> String {
    let is_shown = |c: char| match charset {
        Charset::Ascii => (' '..='~').contains(&c),
        Charset::Utf8 => !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}'),
    };
    text.chars().take(TEXT_CHARS_MAX).map(|c| if is_shown(c) { c } else { '?' }).collect()
}
