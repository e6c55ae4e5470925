//! Writing a segment's data object, once, from front to back, and making its key object and cover on the way. Never
//! renames: what it writes counts for nothing until a SEAL leaf names it.

use super::Error;
use super::cover::Cover;
use super::data_object::BLOCK_BYTES;
use super::data_object::Header;
use super::data_object::Trailer;
use super::directory::Directory;
use super::directory::EventEntry;
use super::directory::MessageEntry;
use super::key_object::KeyObject;
use super::key_object::Slot;
use super::key_object::Wrap;
use super::layout::ArchiveId;
use super::layout::SegmentId;
use super::unit::Part;
use super::unit::Place;
use super::unit::Sealer;
use super::unit::SegmentKey;
use super::unit::SlotKey;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::crypto::Secret;
use crate::crypto::sha256;
use crate::durable::DiskFile;
use crate::mail::MailId;
use std::io;

/// A file written front to back, hashed by the block.
struct Blocks {
    file: Box<dyn DiskFile>,
    /// Octets in the file; always whole blocks until the end.
    written: u64,
    block: Vec<u8>,
    hashes: Vec<u8>,
}

impl Blocks {
    fn position(&self) -> u64 {
        self.written + self.block.len() as u64
    }
    fn append(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            let room = BLOCK_BYTES - self.block.len();
            let (now, later) = octets.split_at(room.min(octets.len()));
            self.block.extend_from_slice(now);
            octets = later;
            if self.block.len() == BLOCK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.hashes.extend_from_slice(&sha256(&self.block));
        self.file.write_all_at(self.written, &self.block)?;
        self.written += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }
}

/// What a segment is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The archive.
    pub archive: ArchiveId,
    /// The segment's new id.
    pub segment: SegmentId,
    /// When sealing began.
    pub created: Timestamp,
    /// Message units to come.
    pub messages: u32,
    /// Event units to come.
    pub events: u32,
}

/// A message to be sealed.
pub struct Message<'a> {
    /// Its key.
    pub mek: &'a Secret<32>,
    /// Its ACCEPT leaf.
    pub accept_index: u64,
    /// Its id.
    pub id: MailId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The month of its mailbox, by INTERNALDATE: year * 12 + month - 1.
    pub month: u32,
    /// The slice of that.
    pub slice: u32,
    /// As received.
    pub octets: &'a [u8],
    /// The encoded meta.
    pub meta: &'a [u8],
}

/// A segment being written. Dropping it leaves a temporary file that means nothing.
pub struct SegmentWriter {
    blocks: Blocks,
    plan: Plan,
    key: SegmentKey,
    slot_key: SlotKey,
    sealer: Sealer,
    directory: Directory,
    slots: Vec<Slot>,
    raw_bytes: u64,
}

/// A segment's data object is written and synced; these belong to it.
pub struct Written {
    /// The key object, first generation.
    pub keys: KeyObject,
    /// The cover.
    pub cover: Cover,
    /// Octets of the data object.
    pub data_bytes: u64,
    /// Its root.
    pub data_root: Digest,
    /// Octets of the messages as received.
    pub raw_bytes: u64,
}

impl SegmentWriter {
    /// Begins the data object in a new, empty file.
    pub fn begin(file: Box<dyn DiskFile>, plan: Plan, key: SegmentKey) -> io::Result<SegmentWriter> {
        let header = Header {
            archive: plan.archive,
            segment: plan.segment,
            created: plan.created,
            messages: plan.messages,
            events: plan.events,
            commitment: key.commitment(&plan.archive),
        };
        let mut blocks = Blocks { file, written: 0, block: Vec::with_capacity(BLOCK_BYTES), hashes: Vec::new() };
        blocks.append(&header.encode())?;
        let slot_key = key.slots();
        Ok(SegmentWriter {
            blocks,
            plan,
            key,
            slot_key,
            sealer: Sealer::new()?,
            directory: Directory::default(),
            slots: Vec::new(),
            raw_bytes: 0,
        })
    }

    /// Adds the next message.
    pub fn message(&mut self, message: &Message<'_>) -> Result<(), Error> {
        let place = self.next_slot(message.mek)?;
        let offset = self.blocks.position();
        let body_stored = self.part(&place, message.mek, Part::Body, message.octets)?;
        let meta_stored = self.part(&place, message.mek, Part::Meta, message.meta)?;
        self.directory.messages.push(MessageEntry {
            accept_index: message.accept_index,
            id: message.id,
            accepted_at: message.accepted_at,
            month: message.month,
            slice: message.slice,
            octets: message.octets.len() as u64,
            offset,
            body_stored,
            meta_stored,
        });
        self.raw_bytes += message.octets.len() as u64;
        Ok(())
    }

    /// Adds the next event, under a key made for it alone. All messages come before the first event.
    pub fn event(&mut self, mek: &Secret<32>, accept_index: u64, meta: &[u8]) -> Result<(), Error> {
        let place = self.next_slot(mek)?;
        let offset = self.blocks.position();
        let meta_stored = self.part(&place, mek, Part::Meta, meta)?;
        self.directory.events.push(EventEntry { accept_index, offset, meta_stored });
        Ok(())
    }

    fn next_slot(&mut self, mek: &Secret<32>) -> Result<Place, Error> {
        let slot = u32::try_from(self.slots.len()).map_err(|_| Error::Bug("more units than slots"))?;
        let ciphertext = self.slot_key.seal(slot, mek).try_into().map_err(|_| Error::Bug("slot of another size"))?;
        self.slots.push(Slot::Live(ciphertext));
        Ok(Place { segment: self.plan.segment, slot })
    }

    fn part(&mut self, place: &Place, mek: &Secret<32>, part: Part, octets: &[u8]) -> Result<u64, Error> {
        let stored = self.sealer.seal(place, mek, part, octets).map_err(Error::data)?;
        self.blocks.append(&stored).map_err(Error::data)?;
        Ok(stored.len() as u64)
    }

    /// Writes directory, hash list and trailer, and syncs.
    pub fn finish(mut self, wraps: Vec<Wrap>) -> Result<Written, Error> {
        let counts = (self.directory.messages.len(), self.directory.events.len());
        if counts != (self.plan.messages as usize, self.plan.events as usize) {
            return Err(Error::Bug("a segment holds other units than planned"));
        }
        let start = self.blocks.position();
        self.blocks.append(&self.directory.seal(&self.key, &self.plan.segment)).map_err(Error::data)?;
        self.blocks.flush().map_err(Error::data)?;
        let Blocks { file, written, hashes, .. } = self.blocks;
        let trailer = Trailer::new(&self.plan.segment, start..written, &hashes);
        let tail = [hashes, trailer.encode()].concat();
        file.write_all_at(written, &tail).and_then(|()| file.sync()).map_err(Error::data)?;
        Ok(Written {
            keys: KeyObject {
                archive: self.plan.archive,
                segment: self.plan.segment,
                messages: self.plan.messages,
                events: self.plan.events,
                object_generation: 1,
                wraps,
                slots: self.slots,
            },
            cover: Cover {
                segment: self.plan.segment,
                messages: self.directory.messages.iter().map(|m| m.accept_index).collect(),
                events: self.directory.events.iter().map(|e| e.accept_index).collect(),
            },
            data_bytes: written + tail.len() as u64,
            data_root: trailer.root,
            raw_bytes: self.raw_bytes,
        })
    }
}
