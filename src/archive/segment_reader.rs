//! Reading a segment with its key: directory, meta and octets, any unit at random. What it returns is authentic under the
//! slots that the SEAL leaf commits to.

use super::Error;
use super::cursor::Malformed;
use super::data_object::HEADER_BYTES;
use super::data_object::Header;
use super::data_object::Trailer;
use super::directory::DIRECTORY_BYTES_MAX;
use super::directory::Directory;
use super::directory::MessageEntry;
use super::files;
use super::key_object::KEY_OBJECT_BYTES_MAX;
use super::key_object::KeyObject;
use super::key_object::Slot;
use super::layout::Layout;
use super::leaf::Epoch;
use super::leaf::Seal;
use super::meta::Event;
use super::meta::Meta;
use super::unit::META_BYTES_MAX;
use super::unit::Part;
use super::unit::Place;
use super::unit::SegmentKey;
use crate::crypto::Secret;
use crate::crypto::hpke::PrivateKey;
use crate::durable::Disk;
use crate::durable::DiskFile;
use crate::journal::Accept;
use std::collections::BTreeMap;
use std::path::Path;

/// Archive keys by generation.
pub type ArchiveKeys = BTreeMap<u32, PrivateKey>;

/// The label of segment key wraps.
pub const WRAP_LABEL: &str = "segment key";

/// What a wrap is bound to.
pub fn wrap_aad(archive: &[u8; 16], segment: &[u8; 16], generation: u32) -> Vec<u8> {
    [&archive[..], segment, &generation.to_be_bytes()].concat()
}

/// A segment that is open for reading.
pub struct OpenSegment {
    file: Box<dyn DiskFile>,
    name: String,
    key: SegmentKey,
    slots: Vec<Slot>,
    directory: Directory,
    seal: Seal,
}

impl OpenSegment {
    /// Opens the segment of a SEAL leaf: key object first, from either copy, then the directory.
    pub fn open(
        disk: &dyn Disk,
        layout: &Layout,
        epoch: &Epoch,
        seal: &Seal,
        keys: &ArchiveKeys,
    ) -> Result<OpenSegment, Error> {
        let object = load_keys(disk, layout, seal)?;
        let key = unwrap(&object, epoch, seal, keys)?;
        let path = layout.data(&seal.segment);
        let name = layout.name(&path);
        let file = disk.open_read(&path).map_err(|e| Error::io(&name, e))?;
        let directory = read_directory(file.as_ref(), &name, epoch, seal, &key)?;
        let counts = (directory.messages.len(), directory.events.len());
        if counts != (seal.messages as usize, seal.events as usize) {
            return Err(Error::damaged(name, Malformed("directory of another segment")));
        }
        Ok(OpenSegment { file, name, key, slots: object.slots, directory, seal: seal.clone() })
    }

    /// All units.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    fn message_entry(&self, slot: u32) -> Result<&MessageEntry, Error> {
        self.directory.messages.get(slot as usize).ok_or(Error::NoSuchUnit)
    }

    /// The key of a unit; `Erased` when only a tomb is left.
    pub fn message_key(&self, slot: u32) -> Result<Secret<32>, Error> {
        match self.slots.get(slot as usize).ok_or(Error::NoSuchUnit)? {
            Slot::Tomb { .. } => Err(Error::Erased),
            Slot::Live(ciphertext) => {
                let damaged = |_| Error::damaged(format!("{} slot {slot}", self.name), Malformed("not authentic"));
                self.key.slots().open(slot, ciphertext).map_err(damaged)
            }
        }
    }

    fn part(&self, slot: u32, part: Part, at: u64, stored: u64, most: u64) -> Result<Vec<u8>, Error> {
        let mek = self.message_key(slot)?;
        // The directory is authentic and its units fill the file, so `stored` is at most the file's length.
        let mut sealed = vec![0; usize::try_from(stored).map_err(|_| Error::NoSuchUnit)?];
        self.file.read_exact_at(at, &mut sealed).map_err(|e| Error::io(&self.name, e))?;
        Place { segment: self.seal.segment, slot }.open(&mek, part, &sealed, most).map_err(|e| match e {
            Error::Crypto(_) => Error::damaged(format!("{} unit {slot}", self.name), Malformed("not authentic")),
            other => other,
        })
    }

    /// A message's octets as received.
    pub fn octets(&self, slot: u32) -> Result<Vec<u8>, Error> {
        let entry = self.message_entry(slot)?;
        let octets = self.part(slot, Part::Body, entry.offset, entry.body_stored, entry.octets)?;
        if octets.len() as u64 == entry.octets {
            return Ok(octets);
        }
        Err(Error::damaged(format!("{} unit {slot}", self.name), Malformed("other length than in the directory")))
    }

    /// A message's meta.
    pub fn meta(&self, slot: u32) -> Result<Meta, Error> {
        self.parsed(slot, Meta::parse(&self.meta_octets(slot)?))
    }

    /// A message's record of acceptance; the rest of its meta is not looked at.
    pub fn accept(&self, slot: u32) -> Result<Accept, Error> {
        self.parsed(slot, Meta::parse_accept(&self.meta_octets(slot)?))
    }

    fn meta_octets(&self, slot: u32) -> Result<Vec<u8>, Error> {
        let entry = self.message_entry(slot)?;
        let at = entry.offset + entry.body_stored;
        self.part(slot, Part::Meta, at, entry.meta_stored, META_BYTES_MAX)
    }

    /// An event; `slot` counts from the first message unit.
    pub fn event(&self, slot: u32) -> Result<Event, Error> {
        let number = (slot as usize).checked_sub(self.directory.messages.len()).ok_or(Error::NoSuchUnit)?;
        let entry = self.directory.events.get(number).ok_or(Error::NoSuchUnit)?;
        let octets = self.part(slot, Part::Meta, entry.offset, entry.meta_stored, META_BYTES_MAX)?;
        self.parsed(slot, Event::parse(&octets))
    }

    fn parsed<T>(&self, slot: u32, parsed: Result<T, Malformed>) -> Result<T, Error> {
        parsed.map_err(|what| Error::damaged(format!("{} unit {slot}", self.name), what))
    }
}

/// A key object as the SEAL leaf knows it: its slots have the leaf's root.
pub fn parse_keys(octets: &[u8], seal: &Seal) -> Result<KeyObject, Malformed> {
    let object = KeyObject::parse(octets)?;
    let counts = (object.segment, object.messages, object.events) == (seal.segment, seal.messages, seal.events);
    if counts && object.root() == seal.slot_root { Ok(object) } else { Err(Malformed("key object of another segment")) }
}

/// The newer of the two copies; one is enough.
fn load_keys(disk: &dyn Disk, layout: &Layout, seal: &Seal) -> Result<KeyObject, Error> {
    let load = |path: &Path| -> Result<KeyObject, Error> {
        let octets = files::read(disk, path, KEY_OBJECT_BYTES_MAX).map_err(|e| Error::io(layout.name(path), e))?;
        parse_keys(&octets, seal).map_err(|what| Error::damaged(layout.name(path), what))
    };
    let [first, second] = layout.keys(&seal.segment).map(|path| load(&path));
    match (first, second) {
        (Ok(a), Ok(b)) => Ok(if a.object_generation >= b.object_generation { a } else { b }),
        (Ok(object), Err(_)) | (Err(_), Ok(object)) => Ok(object),
        (Err(e), Err(_)) => Err(e),
    }
}

fn unwrap(object: &KeyObject, epoch: &Epoch, seal: &Seal, keys: &ArchiveKeys) -> Result<SegmentKey, Error> {
    let (wrap, private) =
        object.wraps.iter().find_map(|wrap| Some((wrap, keys.get(&wrap.generation)?))).ok_or(Error::KeyMissing)?;
    let aad = wrap_aad(epoch.archive.octets(), seal.segment.octets(), wrap.generation);
    let key = private.open(WRAP_LABEL, &aad, &wrap.sealed)?;
    let key = Secret::from_slice(&key).ok_or(Error::KeyMissing)?;
    Ok(SegmentKey::new(key, seal.segment))
}

fn read_directory(
    file: &dyn DiskFile,
    name: &str,
    epoch: &Epoch,
    seal: &Seal,
    key: &SegmentKey,
) -> Result<Directory, Error> {
    let io = |e| Error::io(name, e);
    let damaged = |what| Error::damaged(name, what);
    let header = Header::read(file).map_err(io)?.map_err(damaged)?;
    if header.commitment != key.commitment(&epoch.archive) {
        return Err(damaged(Malformed("another segment key")));
    }
    let trailer = Trailer::read(file).map_err(io)?.map_err(damaged)?;
    if trailer.directory_bytes > DIRECTORY_BYTES_MAX {
        return Err(damaged(Malformed("directory is too long")));
    }
    let mut sealed = vec![0; trailer.directory_bytes as usize];
    file.read_exact_at(trailer.directory_offset, &mut sealed).map_err(io)?;
    Directory::open(&sealed, key, &seal.segment, HEADER_BYTES..trailer.directory_offset).map_err(damaged)
}
