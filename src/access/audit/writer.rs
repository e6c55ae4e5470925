//! Appends to the audit files. The one writer of a directory; after an error never touches the same file again.

use super::file;
use super::file::FILE_BYTES_MAX;
use super::file::Frame;
use super::file::Frames;
use super::file::HEADER_BYTES;
use super::file::Head;
use super::file::READ_BYTES_MAX;
use super::record::Record;
use crate::durable::Disk;
use crate::durable::DiskFile;
use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process writes.
    #[error("another process writes the read audit")]
    Busy,
    /// The disk.
    #[error("{path}: {source}")]
    Disk {
        /// What was written or read.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Disk { path: path.display().to_string(), source }
    }
}

/// The writer of a directory, until dropped.
pub struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Everything below is durable.
    head: Head,
    /// The newest number that was used.
    number: u32,
    open: Option<Open>,
    _lock: Box<dyn Any + Send>,
}

/// The file that is appended to.
struct Open {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    bytes: u64,
}

impl Writer {
    /// Takes the directory, made if it is not there, and finds where the chain goes on.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Writer, Error> {
        disk.create_dir(dir).map_err(Error::disk(dir))?;
        let lock = disk.lock(dir).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => Error::Busy,
            _ => Error::disk(dir)(e),
        })?;
        let names = disk.list(dir).map_err(Error::disk(dir))?;
        let numbers: Vec<u32> = names.iter().filter_map(|name| file::number(name)).collect();
        let number = numbers.iter().max().copied().unwrap_or(0);
        let mut writer = Writer { disk, dir: dir.to_owned(), head: Head::default(), number, open: None, _lock: lock };
        for &candidate in numbers.iter().rev() {
            // One without a header was begun in a crash or by a failing disk; no record of it was acknowledged.
            if writer.resume(candidate)? {
                break;
            }
        }
        Ok(writer)
    }

    /// The last record that is durable.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Goes on behind the last record of a file; false when it has no header.
    fn resume(&mut self, number: u32) -> Result<bool, Error> {
        let path = file::path(&self.dir, number);
        let handle = self.disk.open(&path).map_err(Error::disk(&path))?;
        let octets = contents(handle.as_ref()).map_err(Error::disk(&path))?;
        let Some(mut head) = file::parse_header(&octets) else { return Ok(false) };
        let (mut frames, mut changed) = (Frames::of(&octets), 0u64);
        for frame in frames.by_ref() {
            match frame {
                Frame::Whole { body: _, chain } => {
                    head = Head { records: head.records.saturating_add(changed).saturating_add(1), chain };
                    changed = 0;
                }
                // If whole ones follow, it was acknowledged and counts.
                Frame::Changed { .. } => changed += 1,
            }
        }
        self.head = head;
        let bytes = octets.len() as u64;
        if frames.rest() > 0 || changed > 0 {
            tracing::warn!("read audit: {}: it ends in a torn record; a new file is begun", path.display());
        } else if number == self.number && bytes < FILE_BYTES_MAX {
            self.open = Some(Open { file: handle, path, bytes });
        }
        Ok(true)
    }

    /// Makes records durable: one write, one sync. On an error none of them counts, and the next call begins a new file.
    pub fn append(&mut self, records: &[Record]) -> Result<Head, Error> {
        let mut open = match self.open.take() {
            Some(open) if open.bytes < FILE_BYTES_MAX => open,
            _ => self.begin()?,
        };
        let (mut octets, mut head) = (Vec::new(), self.head);
        for record in records {
            head = file::append(&mut octets, &head, &record.encode());
        }
        open.file.write_all_at(open.bytes, &octets).map_err(Error::disk(&open.path))?;
        open.file.sync().map_err(Error::disk(&open.path))?;
        // Durable from here.
        open.bytes += octets.len() as u64;
        self.open = Some(open);
        self.head = head;
        Ok(head)
    }

    /// A new file behind the last durable record.
    fn begin(&mut self) -> Result<Open, Error> {
        let full = || io::Error::new(io::ErrorKind::InvalidData, "no file number is left");
        self.number = self.number.checked_add(1).ok_or_else(full).map_err(Error::disk(&self.dir))?;
        let path = file::path(&self.dir, self.number);
        let failed = || Error::disk(&path);
        let handle = self.disk.create(&path).map_err(failed())?;
        self.disk.let_group_read(&path).map_err(failed())?;
        handle.write_all_at(0, &file::header(&self.head)).map_err(failed())?;
        handle.sync().map_err(failed())?;
        self.disk.sync_dir(&self.dir).map_err(Error::disk(&self.dir))?;
        Ok(Open { file: handle, path, bytes: HEADER_BYTES as u64 })
    }
}

/// All octets of a file, which must not be longer than any that was written.
pub(super) fn contents(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let bytes = file.len()?;
    if bytes > READ_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than an audit file can be"));
    }
    let mut octets = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_exact_at(0, &mut octets)?;
    Ok(octets)
}
