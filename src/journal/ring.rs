//! The ring: deliveries that were just recorded, written at once and never synced. A process that is killed leaves them with the
//! kernel, so that its successor does not send again what the next hop has. After a power cut the ring may be anything: each record
//! authenticates, and what is true stays true. Layout: docs/journal-format.md section 5c.

use super::record::{self, Outcome, RecipientResult};
use crate::crypto::{self, Secret, aead, kdf, random, sha256};
use crate::durable::{Disk, DiskFile};
use crate::mail::MailId;
use minicbor::{Decode, Encode};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The file's name in the journal directory.
pub const NAME: &str = "delivered.ring";
/// Octets of a slot.
const SLOT_BYTES: usize = 512;
/// Slots; far more than results wait for the disk.
const SLOTS: u64 = 4096;
/// Octets in a slot before the ciphertext: salt and length.
const PREFIX_BYTES: usize = 34;
/// Octets of the longest record.
const RECORD_BYTES_MAX: usize = SLOT_BYTES - PREFIX_BYTES - aead::TAG_BYTES;
/// Octets of a reply kept here; with the longest next hop a record still fits.
const REPLY_BYTES_MAX: usize = 128;

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Delivered {
    /// The message.
    #[n(0)]
    pub id: MailId,
    /// The result; its outcome is `Delivered`.
    #[n(1)]
    pub result: RecipientResult,
}

/// The ring of a running journal.
pub struct Ring {
    file: Box<dyn DiskFile>,
    key: Secret<32>,
    next: AtomicU64,
    broken: AtomicBool,
}

impl Ring {
    /// Opens or makes the ring in `dir`, and reads what a predecessor left.
    pub fn open(disk: &dyn Disk, dir: &Path, host: &Secret<32>) -> io::Result<(Ring, Vec<Delivered>)> {
        let path = dir.join(NAME);
        let key = ring_key(host);
        if !disk.exists(&path) {
            let file = disk.create(&path)?;
            file.set_len(SLOTS * SLOT_BYTES as u64)?;
            disk.sync_dir(dir)?;
            return Ok((Ring::new(file, key), Vec::new()));
        }
        let file = disk.open(&path)?;
        let bytes = file.len()?.min(SLOTS * SLOT_BYTES as u64);
        let mut octets = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        file.read_exact_at(0, &mut octets)?;
        let left = read(host, &octets);
        Ok((Ring::new(file, key), left))
    }

    fn new(file: Box<dyn DiskFile>, key: Secret<32>) -> Ring {
        Ring { file, key, next: AtomicU64::new(0), broken: AtomicBool::new(false) }
    }

    /// Remembers a delivery; other results are passed over. After a write that fails, nothing is remembered any more: a kill
    /// then repeats deliveries, and loses nothing.
    pub fn put(&self, id: MailId, result: &RecipientResult) -> io::Result<()> {
        let Outcome::Delivered { reply } = &result.outcome else { return Ok(()) };
        let short = reply[..reply.floor_char_boundary(REPLY_BYTES_MAX)].to_owned();
        let result = RecipientResult { outcome: Outcome::Delivered { reply: short }, ..result.clone() };
        let record = record::encode(&Delivered { id, result });
        if record.len() > RECORD_BYTES_MAX {
            return Ok(());
        }
        let slot = seal(&self.key, &record).map_err(io::Error::other)?;
        if self.broken.load(Ordering::Relaxed) {
            return Ok(());
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed) % SLOTS;
        let written = self.file.write_all_at(number * SLOT_BYTES as u64, &slot);
        // A file that failed once is not written again.
        written.inspect_err(|_| self.broken.store(true, Ordering::Relaxed))
    }
}

/// The deliveries in a ring of any octets: those that authenticate under this host key, in the order of their slots.
pub fn read(host: &Secret<32>, octets: &[u8]) -> Vec<Delivered> {
    let key = ring_key(host);
    octets.chunks(SLOT_BYTES).filter_map(|slot| open(&key, slot)).collect()
}

fn ring_key(host: &Secret<32>) -> Secret<32> {
    kdf::derive(host.expose(), "journal ring", &[])
}

fn key(ring: &Secret<32>, salt: &[u8]) -> Secret<32> {
    kdf::derive(ring.expose(), "journal ring record", &[salt])
}

/// A fresh key for every record, also when the kernel repeats itself.
fn seal(ring: &Secret<32>, record: &[u8]) -> Result<Vec<u8>, crypto::Error> {
    let salt = random::hedged("journal ring salt", &[&sha256(record)])?;
    let sealed = aead::seal(&key(ring, salt.expose()), &aead::SINGLE_USE, NAME.as_bytes(), record);
    let length = u16::try_from(sealed.len()).map_err(|_| crypto::Error::Malformed("record too long"))?;
    let mut slot = Vec::with_capacity(PREFIX_BYTES + sealed.len());
    slot.extend_from_slice(salt.expose());
    slot.extend_from_slice(&length.to_be_bytes());
    slot.extend_from_slice(&sealed);
    Ok(slot)
}

/// `None`: never written, torn, or not ours.
fn open(ring: &Secret<32>, slot: &[u8]) -> Option<Delivered> {
    let (prefix, rest) = slot.split_at_checked(PREFIX_BYTES)?;
    let (salt, length) = prefix.split_at(PREFIX_BYTES - 2);
    let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
    let sealed = rest.get(..length).filter(|sealed| !sealed.is_empty())?;
    let record = aead::open(&key(ring, salt), &aead::SINGLE_USE, NAME.as_bytes(), sealed).ok()?;
    let delivered: Delivered = minicbor::decode(&record).ok()?;
    matches!(delivered.result.outcome, Outcome::Delivered { .. }).then_some(delivered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::durable::RealDisk;

    fn result(reply: &str) -> RecipientResult {
        let outcome = Outcome::Delivered { reply: reply.to_owned() };
        RecipientResult { recipient: 3, at: Timestamp::from_s(7), next_hop: "hop:25".into(), outcome }
    }
    fn host() -> Secret<32> {
        Secret::new([1; 32])
    }

    #[test]
    fn a_successor_reads_what_was_put() {
        let dir = tempfile::tempdir().expect("a directory");
        let (ring, left) = Ring::open(&RealDisk, dir.path(), &host()).expect("made");
        assert!(left.is_empty());
        let ids: Vec<_> = (0..5).map(|n| MailId::from_octets([n; 16])).collect();
        for id in &ids {
            ring.put(*id, &result(&"250 2.0.0 taken \u{fc}".repeat(20))).expect("put");
        }
        let deferred = Outcome::Deferred { reply: "451 later".into(), next_at: Timestamp::from_s(9) };
        ring.put(ids[0], &RecipientResult { outcome: deferred, ..result("") }).expect("passed over");
        let (_, left) = Ring::open(&RealDisk, dir.path(), &host()).expect("opened");
        assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), ids);
        assert!(matches!(&left[0].result.outcome, Outcome::Delivered { reply } if reply.len() <= REPLY_BYTES_MAX));
        let (_, strange) = Ring::open(&RealDisk, dir.path(), &Secret::new([2; 32])).expect("opened");
        assert!(strange.is_empty(), "another host key's records are not ours");
    }

    #[test]
    fn what_is_torn_is_nothing() {
        let slot =
            seal(&host(), &record::encode(&Delivered { id: MailId::from_octets([1; 16]), result: result("ok") }));
        let slot = slot.expect("sealed");
        let ring = host();
        assert!(open(&ring, &slot).is_some());
        for at in 0..slot.len() {
            let mut bad = slot.clone();
            bad[at] ^= 1;
            assert!(open(&ring, &bad).is_none(), "octet {at}");
            assert!(open(&ring, &slot[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn the_oldest_are_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        let (ring, _) = Ring::open(&RealDisk, dir.path(), &host()).expect("made");
        for n in 0..SLOTS + 3 {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&n.to_be_bytes());
            ring.put(MailId::from_octets(octets), &result("ok")).expect("put");
        }
        let (_, left) = Ring::open(&RealDisk, dir.path(), &host()).expect("opened");
        assert_eq!(left.len() as u64, SLOTS);
        assert_eq!(left[3].id.octets()[..8], 3u64.to_be_bytes(), "the fourth is the oldest now");
    }
}
