//! What can be told of a journal file without any key: whose it is and which batches in it are whole. Reads octets only.

use super::batch;
use super::batch::{BLOCK_BYTES, Head};
use super::header;
use super::header::{Area, HEADER_BYTES};

/// A file, seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// The ordinal in its header; `None` for a free file.
    pub ordinal: Option<u64>,
    /// Batches that carry their own CRC and belong to the header's incarnation, in order of place.
    pub batches: Vec<InspectedBatch>,
}

/// A whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectedBatch {
    /// Its number in the file.
    pub sequence: u64,
    /// The last batch known durable when it was written.
    pub synced_through: u64,
    /// The index its first leaf has.
    pub first_leaf: u64,
    /// Frames in it.
    pub frames: u32,
}

/// Looks through the image of a journal file. Total on any octets.
pub fn inspect(image: &[u8]) -> Inspected {
    let last = image.len().saturating_sub(HEADER_BYTES);
    let areas = [image.get(..HEADER_BYTES), image.get(last..)];
    let header = areas.into_iter().flatten().find_map(|area| match header::read(area) {
        Area::Header(header) => Some(header),
        Area::UnknownVersion(_) | Area::Nothing => None,
    });
    let Some(header) = header else { return Inspected::default() };
    let mut inspected = Inspected { ordinal: Some(header.ordinal), batches: Vec::new() };
    let mut at = HEADER_BYTES;
    while at < last {
        let head = whole_batch(&image[at..last]).filter(|head| head.incarnation == header.incarnation);
        at += head.map_or(BLOCK_BYTES, |head| head.total_bytes());
        inspected.batches.extend(head.map(|head| InspectedBatch {
            sequence: head.sequence,
            synced_through: head.synced_through,
            first_leaf: head.first_leaf,
            frames: head.frames,
        }));
    }
    inspected
}

/// The head of the batch at the start of `octets`, if it is whole.
pub fn whole_batch(octets: &[u8]) -> Option<Head> {
    let head = Head::parse(octets)?;
    batch::is_intact(octets.get(..head.total_bytes())?).then_some(head)
}
