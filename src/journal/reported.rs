//! Mail that came in as a journal report: which of the octets received are the message that people read. Never reads the report
//! again: the record says it, and evidence commits to the record.

use super::held::Held;
use super::record::Accept;
use crate::mail::Slice;

impl Accept {
    /// Where the readable form lies among the octets received; `None`: they are the readable form themselves.
    pub fn readable(&self) -> Option<Slice> {
        let slice = self.reported.as_ref()?.readable()?;
        slice.offset.checked_add(slice.bytes).is_some_and(|end| end <= self.body_bytes).then_some(slice)
    }
}

impl Held {
    /// The readable form of the message, whose octets as received are given.
    pub fn readable<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        self.accept().readable().and_then(|slice| slice.of(octets)).unwrap_or(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fixtures, record};
    use super::*;
    use crate::mail::{Reported, ReportedEnvelope};

    fn accept(offset: u64, bytes: u64) -> Accept {
        let readable = Some(Slice { offset, bytes });
        let reported = Reported::Report { envelope: ReportedEnvelope::default(), readable, problems: Vec::new() };
        Accept { reported: Some(reported), ..fixtures::accept(1, 1) }
    }

    #[test]
    fn a_range_beyond_the_octets_is_none() {
        for (offset, bytes, is_within) in
            [(0, 4, true), (3, 1, true), (4, 0, true), (4, 1, false), (5, 0, false), (1, u64::MAX, false)]
        {
            assert_eq!(accept(offset, bytes).readable().is_some(), is_within, "{offset} {bytes}");
        }
    }

    #[test]
    fn records_of_other_mail_are_as_they_were() {
        let other = record::encode(&fixtures::accept(1, 1));
        assert_eq!(other[0], 0x89, "an array of nine");
        let reported = accept(1, 2);
        let octets = record::encode(&reported);
        assert_eq!(octets[0], 0x8d, "an array of thirteen, three of them null");
        assert_eq!(minicbor::decode::<Accept>(&octets).expect("decoded"), reported);
        // The tail: nulls for 9 to 11, then variant 1 of an envelope, a range, and no problems.
        let tail = [&[0xf6; 3][..], &[0x82, 1, 0x83, 0x83, 0xf6, 0xf6, 0x80, 0x82, 1, 2, 0x80]].concat();
        assert!(octets.ends_with(&tail), "{octets:02x?}");
    }
}
