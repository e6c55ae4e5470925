//! A segment's directory: where each unit lies and into which mailbox it went. Encrypted under the segment key; outlives
//! the message keys, so it holds nothing of a message's content.

use super::cursor::Malformed;
use super::layout::SegmentId;
use super::strict;
use super::unit::BODY_BYTES_MAX;
use super::unit::SegmentKey;
use super::unit::UNITS_MAX;
use crate::clock::Timestamp;
use crate::crypto::stream;
use crate::mail::MailId;
use minicbor::{Decode, Encode};

/// Octets of the longest directory.
pub const DIRECTORY_BYTES_MAX: u64 = 16 << 20;
/// Messages of one mailbox; the next one goes into the next slice.
pub const SLICE_MESSAGES: u64 = 50_000;

/// A message's line.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MessageEntry {
    /// Its ACCEPT leaf.
    #[n(0)]
    pub accept_index: u64,
    /// Its id.
    #[n(1)]
    pub id: MailId,
    /// When it was accepted.
    #[n(2)]
    pub accepted_at: Timestamp,
    /// Year * 12 + month - 1 of its INTERNALDATE, in UTC.
    #[n(3)]
    pub month: u32,
    /// Slice of the month's mailbox, from 1.
    #[n(4)]
    pub slice: u32,
    /// Octets as received.
    #[n(5)]
    pub octets: u64,
    /// Where its body lies; the meta follows.
    #[n(6)]
    pub offset: u64,
    /// Octets of the stored body.
    #[n(7)]
    pub body_stored: u64,
    /// Octets of the stored meta.
    #[n(8)]
    pub meta_stored: u64,
}

/// An event's line.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EventEntry {
    /// The ACCEPT leaf of the message it belongs to.
    #[n(0)]
    pub accept_index: u64,
    /// Where its meta lies.
    #[n(1)]
    pub offset: u64,
    /// Octets of the stored meta.
    #[n(2)]
    pub meta_stored: u64,
}

/// All units of a segment, in slot order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Directory {
    /// Messages.
    #[n(0)]
    pub messages: Vec<MessageEntry>,
    /// Events.
    #[n(1)]
    pub events: Vec<EventEntry>,
}

/// Year * 12 + month - 1 of an instant in UTC.
pub fn month_of(at: Timestamp) -> u32 {
    let (year, month) = at.year_month();
    u32::try_from(year).unwrap_or(0) * 12 + u32::from(month) - 1
}

/// The mailbox of a month's slice: `Archive/2026/2026-11`, `Archive/2026/2026-11.2`.
pub fn mailbox(month: u32, slice: u32) -> String {
    let name = format!("Archive/{:04}/{}", month / 12, month_name(month));
    if slice > 1 { format!("{name}.{slice}") } else { name }
}

/// `2026-11` of a month.
pub fn month_name(month: u32) -> String {
    format!("{:04}-{:02}", month / 12, month % 12 + 1)
}

/// The slice of the message that follows `before` others of its month.
pub fn slice_after(before: u64) -> u32 {
    u32::try_from(before / SLICE_MESSAGES).map_or(u32::MAX, |full| full.saturating_add(1))
}

impl MessageEntry {
    /// Its mailbox.
    pub fn mailbox(&self) -> String {
        mailbox(self.month, self.slice)
    }
}

impl Directory {
    /// The stored form.
    pub fn seal(&self, key: &SegmentKey, segment: &SegmentId) -> Vec<u8> {
        stream::seal(&key.directory(), segment.octets(), &strict::encode(self))
    }
    /// From the stored form of the data object whose units fill `units`.
    pub fn open(
        sealed: &[u8],
        key: &SegmentKey,
        segment: &SegmentId,
        units: std::ops::Range<u64>,
    ) -> Result<Directory, Malformed> {
        let octets = stream::open(&key.directory(), segment.octets(), sealed);
        Directory::parse(&octets.map_err(|_| Malformed("directory is not authentic"))?, units)
    }
    /// Reads the plain form; units must fill `units` without gaps.
    pub fn parse(octets: &[u8], units: std::ops::Range<u64>) -> Result<Directory, Malformed> {
        let directory: Directory = strict::decode(octets)?;
        if directory.messages.len().saturating_add(directory.events.len()) > UNITS_MAX {
            return Err(Malformed("too many units"));
        }
        let mut at = units.start;
        for entry in &directory.messages {
            if entry.offset != at || entry.octets > BODY_BYTES_MAX || entry.slice == 0 {
                return Err(Malformed("directory entry of a message"));
            }
            at = advance(advance(at, entry.body_stored)?, entry.meta_stored)?;
        }
        for entry in &directory.events {
            if entry.offset != at {
                return Err(Malformed("directory entry of an event"));
            }
            at = advance(at, entry.meta_stored)?;
        }
        if at == units.end { Ok(directory) } else { Err(Malformed("units do not fill the object")) }
    }
}

fn advance(at: u64, octets: u64) -> Result<u64, Malformed> {
    at.checked_add(octets).ok_or(Malformed("offset over 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let message = MessageEntry {
            accept_index: 2,
            id: MailId::from_octets([1; 16]),
            accepted_at: Timestamp::from_ms(880_127_706_042),
            month: 1997 * 12 + 10,
            slice: 1,
            octets: 9,
            offset: 108,
            body_stored: 60,
            meta_stored: 70,
        };
        let event = EventEntry { accept_index: 1, offset: 238, meta_stored: 12 };
        Directory { messages: vec![message], events: vec![event] }
    }

    #[test]
    fn units_fill_the_object() {
        let octets = strict::encode(&directory());
        assert_eq!(Directory::parse(&octets, 108..250), Ok(directory()));
        for units in [107..250, 108..251, 109..250] {
            assert!(Directory::parse(&octets, units).is_err());
        }
    }

    #[test]
    fn a_directory_opens_under_its_key_and_segment_only() {
        let segment = SegmentId::from_octets([3; 16]);
        let key = SegmentKey::generate(segment).expect("a key");
        let sealed = directory().seal(&key, &segment);
        assert_eq!(Directory::open(&sealed, &key, &segment, 108..250), Ok(directory()));
        assert!(Directory::open(&sealed, &key, &SegmentId::from_octets([4; 16]), 108..250).is_err());
    }

    #[test]
    fn months_and_slices_name_mailboxes() {
        let at = Timestamp::from_date(2026, 11, 30).expect("a day");
        assert_eq!(mailbox(month_of(at), 1), "Archive/2026/2026-11");
        assert_eq!(mailbox(month_of(at.plus_s(86_400)), 2), "Archive/2026/2026-12.2");
        assert_eq!(mailbox(month_of(at.plus_s(32 * 86_400)), 1), "Archive/2027/2027-01");
        for (before, slice) in [(0, 1), (SLICE_MESSAGES - 1, 1), (SLICE_MESSAGES, 2), (2 * SLICE_MESSAGES, 3)] {
            assert_eq!(slice_after(before), slice);
        }
    }
}
