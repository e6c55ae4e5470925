//! The meta of a message on its way into a segment. A message that meets a bug of ours while it is read keeps its octets and
//! its evidence, gets a summary that says so, and stops nobody else.

use super::meta::Meta;
use super::unit::META_BYTES_MAX;
use crate::mail::MailId;
use crate::mail::summary::Summary;
use crate::mail::unread::unread;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Reads header and structure of a message.
pub type Summarize = fn(&[u8]) -> Summary;

/// The octets of a message's meta, whose summary is made here.
pub fn encode(mut meta: Meta, id: &MailId, message: &[u8], summarize: Summarize) -> Vec<u8> {
    let read = || {
        meta.summary = summarize(message);
        meta.encode()
    };
    // Only the summary is touched there, and after a panic another one takes its place.
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(encoded) if encoded.len() as u64 <= META_BYTES_MAX => return encoded,
        // A header of many megabytes: its octets are in the body, a list does without.
        Ok(_) => {}
        // What the panic said may quote the message; standard error has it already.
        Err(_) => tracing::error!("bug: {id}: header and structure cannot be read; it is sealed whole, and says so"),
    }
    meta.summary = unread(message);
    meta.encode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::summary::summarize;
    use crate::mail::unread::NOTICE;

    #[test]
    fn what_cannot_be_read_or_kept_is_said_not_to_be() {
        let too_long = |message: &[u8]| {
            let subject = "x".repeat(usize::try_from(META_BYTES_MAX).expect("fits"));
            Summary { subject, ..summarize(message) }
        };
        let cases: [(Summarize, &str); 3] = [(summarize, "a"), (too_long, NOTICE), (|_| panic!("a bug"), NOTICE)];
        for (summarize, subject) in cases {
            let message = b"Subject: a\r\n\r\nbody";
            let meta = Meta::new(7, vec![0x80], Vec::new(), unread(message));
            let encoded = encode(meta, &MailId::from_octets([1; 16]), message, summarize);
            let meta = Meta::parse(&encoded).expect("a meta");
            assert_eq!((meta.accept_index, meta.summary.subject.as_str()), (7, subject));
        }
    }
}
