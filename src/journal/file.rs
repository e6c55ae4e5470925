//! One live file: its key, and reading and writing at its offsets. Never decides where a batch goes.

use super::Error;
use super::batch::Placed;
use super::frame;
use super::frame::{Frame, Position};
use super::header::{HEADER_BYTES, Header};
use crate::crypto::Digest;
use crate::crypto::Secret;
use crate::crypto::sha256;
use crate::durable::Disk;
use crate::durable::DiskFile;
use crate::mail::MailId;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file with a header. Whoever needs a frame of it holds it by `Arc`, so that it is not recycled under them.
pub struct JournalFile {
    pub ordinal: u64,
    pub incarnation: [u8; 16],
    /// SHA-256 of header area A: the chain value of the first batch.
    pub header_digest: Digest,
    pub path: PathBuf,
    /// Octets of the file, by its header.
    pub bytes: u64,
    /// JK: only frames of this incarnation, each under a key derived from it.
    pub key: Secret<32>,
    file: Box<dyn DiskFile>,
}

impl JournalFile {
    /// Writes a header over a free file.
    pub fn activate(disk: &dyn Disk, path: &Path, header: &Header, key: Secret<32>) -> io::Result<JournalFile> {
        let area = header.encode().ok_or(io::ErrorKind::StorageFull)?;
        let file = disk.open(path)?;
        let end = header.file_bytes.checked_sub(HEADER_BYTES as u64).ok_or(io::ErrorKind::InvalidData)?;
        file.write_all_at(0, &area)?;
        file.write_all_at(end, &area)?;
        file.sync()?;
        // Durable from here: after a crash this is a live file without batches.
        Ok(JournalFile::with(header, &area, path, key, file))
    }

    /// Opens a live file found at start.
    pub fn reopen(disk: &dyn Disk, path: &Path, header: &Header, host: &Secret<32>) -> Result<JournalFile, Error> {
        let name = || path.display().to_string();
        let key = header.unwrap_key(host).map_err(|_| Error::WrongHostKey(name()))?;
        let area = header.encode().ok_or(Error::OutOfBounds("live files in a header"))?;
        let file = disk.open(path).map_err(|e| Error::disk("open journal file", &e))?;
        Ok(JournalFile::with(header, &area, path, key, file))
    }

    fn with(header: &Header, area: &[u8], path: &Path, key: Secret<32>, file: Box<dyn DiskFile>) -> JournalFile {
        JournalFile {
            ordinal: header.ordinal,
            incarnation: header.incarnation,
            header_digest: sha256(area),
            path: path.to_owned(),
            bytes: header.file_bytes,
            key,
            file,
        }
    }

    /// Whether the file still has the length its header gives.
    pub fn has_its_length(&self) -> bool {
        self.file.len().is_ok_and(|bytes| bytes == self.bytes)
    }

    /// Where batches must end.
    pub fn batches_end(&self) -> u64 {
        self.bytes.saturating_sub(HEADER_BYTES as u64)
    }

    /// Writes a batch and makes it durable.
    pub fn write(&self, at: u64, batch: &[u8]) -> io::Result<()> {
        self.file.write_all_at(at, batch)?;
        self.file.sync()
    }

    /// Reads `bytes` octets at `at`.
    pub fn read(&self, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut octets = vec![0; bytes];
        self.read_into(at, &mut octets)?;
        Ok(octets)
    }

    /// Fills `octets` from `at`.
    pub fn read_into(&self, at: u64, octets: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(at, octets)
    }

    /// The position of a frame in this file.
    pub fn position(&self, sequence: u64, place: u32) -> Position {
        Position { incarnation: self.incarnation, sequence, place }
    }
}

/// Overwrites both header areas, and the key wraps in them, with zeros.
pub fn wipe(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let file = disk.open(path)?;
    let zeros = vec![0; HEADER_BYTES];
    let end = file.len()?.checked_sub(HEADER_BYTES as u64).ok_or(io::ErrorKind::InvalidData)?;
    file.write_all_at(0, &zeros)?;
    file.write_all_at(end, &zeros)?;
    file.sync()
    // Durable from here: without JK the frames left in it are noise.
}

/// Where a piece of a stream lies.
#[derive(Clone)]
pub struct Chunk {
    pub file: Arc<JournalFile>,
    /// Offset of the frame's salt in the file.
    pub at: u64,
    /// Octets of salt and ciphertext.
    pub bytes: usize,
    pub sequence: u64,
    pub place: u32,
    /// Offset of the piece in its stream.
    pub offset: u64,
    /// Octets of the piece.
    pub length: u64,
}

impl Chunk {
    /// The chunk of a BODY frame placed in a batch that starts at `batch_at`.
    pub fn new(
        file: &Arc<JournalFile>,
        batch_at: u64,
        sequence: u64,
        placed: Placed,
        offset: u64,
        length: u64,
    ) -> Chunk {
        let (at, bytes) = (batch_at + placed.at as u64, placed.bytes);
        Chunk { file: Arc::clone(file), at, bytes, sequence, place: placed.place, offset, length }
    }

    /// Appends the piece to `out`, if it is what it was.
    pub fn read(&self, id: &MailId, stream: u32, out: &mut Vec<u8>) -> Result<(), Error> {
        let damaged = |what: String| Error::Damaged(*id, what);
        let sealed = self.file.read(self.at, self.bytes).map_err(|e| damaged(e.to_string()))?;
        let plain = frame::open(&self.file.key, self.file.position(self.sequence, self.place), &sealed)
            .ok_or_else(|| damaged(format!("a frame of {} is not authentic", self.file.path.display())))?;
        match Frame::decode(&plain) {
            Some(Frame::Body(b)) if b.id == *id && b.stream == stream && b.offset == self.offset => {
                out.extend_from_slice(b.octets);
                Ok(())
            }
            _ => Err(damaged("another frame stands in a piece's place".to_owned())),
        }
    }
}
