//! What goes back of the message: its header, or with RET=FULL all of it. Bounded; without change where its type allows.

use super::{Action, Charset, Report, Return};
use crate::mail::header;
use crate::smtp::client::{Octets, Survey};

/// Octets of a returned header; the rest is cut at a line end.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Octets of a message that is returned whole; of a longer one goes the header.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The third part of a report.
pub struct Returned {
    /// Its media type.
    pub media_type: &'static str,
    /// Its octets.
    pub octets: Vec<u8>,
}

/// As the sender wants it and the report can carry it.
pub fn of(report: &Report<'_>) -> Returned {
    match is_whole(report) {
        true => Returned {
            media_type: match report.charset() {
                Charset::Ascii => "message/rfc822",
                Charset::Utf8 => "message/global",
            },
            octets: report.message.to_vec(),
        },
        false => head(report),
    }
}

/// Failed mail only (RFC 3461 section 4.3), and only what needs no conversion: 8-bit content might be more than the way back
/// takes.
fn is_whole(report: &Report<'_>) -> bool {
    let survey = Survey::of(report.message);
    let is_carried =
        survey.line_ends.is_ok() && (survey.whole == Octets::SevenBit || report.charset() == Charset::Utf8);
    report.wanted == Return::Full
        && report.action == Action::Failed
        && report.message.len() <= MESSAGE_BYTES_MAX
        && is_carried
}

/// text/rfc822-headers (RFC 6522), in 7 bits, or message/global-headers (RFC 6533).
fn head(report: &Report<'_>) -> Returned {
    let (span, _) = header::split(report.message);
    let end = usize::try_from(span.end).unwrap_or(usize::MAX).min(report.message.len());
    let mut kept = &report.message[..end];
    if kept.len() > HEADER_BYTES_MAX {
        let cut = kept[..HEADER_BYTES_MAX].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        kept = &kept[..cut];
    }
    let (media_type, mut octets) = match report.charset() {
        Charset::Ascii => {
            let seven_bits = kept.iter().map(|&b| if b.is_ascii() && b != 0 { b } else { b'?' });
            ("text/rfc822-headers", seven_bits.collect::<Vec<u8>>())
        }
        Charset::Utf8 => {
            ("message/global-headers", String::from_utf8_lossy(kept).replace(['\0', '\u{fffd}'], "?").into_bytes())
        }
    };
    if !octets.ends_with(b"\n") {
        octets.extend_from_slice(b"\r\n");
    }
    Returned { media_type, octets }
}
