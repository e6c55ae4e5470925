//! Cover files: which ACCEPT leaves a segment covers, in the clear and kept for ever, so that completeness can be checked
//! without a key. Numbers only.

use super::cursor::{Cursor, Malformed, put_varint};
use super::layout::SegmentId;
use super::unit::UNITS_MAX;

/// Octets of the longest cover file.
pub const COVER_BYTES_MAX: u64 = (36 + UNITS_MAX * 10) as u64;
const MAGIC: &[u8; 8] = b"SPCOVER1";
const VERSION: u16 = 1;

/// What a segment covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// The segment.
    pub segment: SegmentId,
    /// ACCEPT indices of the message units, in slot order, ascending.
    pub messages: Vec<u64>,
    /// ACCEPT indices that the event units belong to, in slot order, ascending. They cover nothing.
    pub events: Vec<u64>,
}

impl Cover {
    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(self.segment.octets());
        out.extend_from_slice(&(self.messages.len() as u32).to_be_bytes());
        out.extend_from_slice(&(self.events.len() as u32).to_be_bytes());
        put_gaps(&mut out, &self.messages);
        put_gaps(&mut out, &self.events);
        out
    }

    /// Reads one.
    pub fn parse(octets: &[u8]) -> Result<Cover, Malformed> {
        let mut cursor = Cursor::new(octets);
        cursor.expect(MAGIC, "no cover file")?;
        cursor.expect(&VERSION.to_be_bytes(), "cover file of an unknown version")?;
        cursor.zeros(2)?;
        let segment = SegmentId::from_octets(cursor.array()?);
        let (messages, events) = (cursor.u32()? as usize, cursor.u32()? as usize);
        if messages.saturating_add(events) > UNITS_MAX {
            return Err(Malformed("too many units"));
        }
        let cover = Cover { segment, messages: gaps(&mut cursor, messages)?, events: gaps(&mut cursor, events)? };
        cursor.end()?;
        Ok(cover)
    }
}

/// Ascending numbers as the count of numbers left out before each.
fn put_gaps(out: &mut Vec<u8>, indices: &[u64]) {
    let mut next = 0;
    for &index in indices {
        put_varint(out, index - next);
        next = index + 1;
    }
}

fn gaps(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<u64>, Malformed> {
    let mut next = 0u64;
    let mut indices = Vec::with_capacity(count);
    for _ in 0..count {
        let index = next.checked_add(cursor.varint()?).ok_or(Malformed("index over 64 bits"))?;
        indices.push(index);
        next = index.checked_add(1).ok_or(Malformed("index over 64 bits"))?;
    }
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_read_back() {
        for (messages, events) in
            [(vec![], vec![]), (vec![0, 1, 5, 1_000_000], vec![3]), (vec![u64::MAX - 1], vec![0, 1])]
        {
            let cover = Cover { segment: SegmentId::from_octets([1; 16]), messages, events };
            let octets = cover.encode();
            assert_eq!(Cover::parse(&octets), Ok(cover));
            for cut in 0..octets.len() {
                assert!(Cover::parse(&octets[..cut]).is_err());
            }
            assert!(Cover::parse(&[&octets[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn consecutive_messages_take_an_octet_each() {
        let cover = Cover { segment: SegmentId::from_octets([1; 16]), messages: (7..1007).collect(), events: vec![] };
        assert_eq!(cover.encode().len(), 36 + 1000);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let mut octets = Cover { segment: SegmentId::from_octets([1; 16]), messages: vec![], events: vec![] }.encode();
        octets[31] = 2;
        put_varint(&mut octets, u64::MAX - 1);
        let one_more = [&octets[..], &[1]].concat();
        assert_eq!(Cover::parse(&one_more), Err(Malformed("index over 64 bits")));
        octets[28..32].copy_from_slice(&(UNITS_MAX as u32 + 1).to_be_bytes());
        assert_eq!(Cover::parse(&octets), Err(Malformed("too many units")));
    }
}
