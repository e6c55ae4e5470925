//! The summary of a message whose header and structure were not read, because of a bug or a bound: it says so, and the octets
//! lie where they are. Parses nothing: it looks for the empty line and no further.

use super::header::split;
use super::structure::Part;
use super::summary::EnvelopeFields;
use super::summary::Summary;

/// Stands in place of the subject.
pub const NOTICE: &str = "(header not read; the message itself is complete)";

/// One part of unknown type, no fields, and [`NOTICE`] where people look.
pub fn unread(message: &[u8]) -> Summary {
    let (header, body) = split(message);
    let structure = Part {
        header,
        body,
        media_type: "application".to_owned(),
        subtype: "octet-stream".to_owned(),
        transfer_encoding: "binary".to_owned(),
        ..Part::default()
    };
    let envelope = EnvelopeFields { subject: Some(NOTICE.to_owned()), ..EnvelopeFields::default() };
    Summary { envelope, structure, subject: NOTICE.to_owned(), from: String::new(), date_s: None }
}

#[cfg(test)]
mod tests {
    use super::super::structure::scan;
    use super::*;

    #[test]
    fn header_and_body_lie_where_a_reading_would_find_them() {
        for message in
            ["", "\r\n", "x", "a: b", "a: b\r\n", "a: b\r\n\r\n", "a: b\r\n\r\nc\r\n\r\nd", "a: b\n\nc", "\nc"]
        {
            let (found, read) = (unread(message.as_bytes()).structure, scan(message.as_bytes()));
            assert_eq!((found.header, found.body), (read.header, read.body), "{message:?}");
        }
    }

    #[test]
    fn it_says_that_it_was_not_read() {
        let summary = unread(b"Subject: secret\r\nFrom: a@x.example\r\n\r\nbody");
        assert_eq!((summary.subject.as_str(), summary.envelope.subject.as_deref()), (NOTICE, Some(NOTICE)));
        assert_eq!((summary.from.as_str(), summary.date_s, summary.envelope.from.len()), ("", None, 0));
        assert_eq!(
            (summary.structure.media_type.as_str(), summary.structure.subtype.as_str()),
            ("application", "octet-stream")
        );
    }
}
