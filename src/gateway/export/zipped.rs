//! A zip file that messages are added to, each as it is: what reads it can copy them out without unpacking, and writing is as fast as the
//! disk. Beyond 65,535 messages or 4 GiB it is a zip64 file.

use super::{failed, new_file, unfinished};
use crate::catalog::Row;
use crate::clock::Timestamp;
use crate::gateway::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A zip file under way. Memory grows by the names in it.
pub struct Zipped {
    path: PathBuf,
    writer: ZipWriter<BufWriter<File>>,
}

impl std::fmt::Debug for Zipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Zipped({})", self.path.display())
    }
}

impl Zipped {
    /// Makes the file, which must be new.
    pub fn create(path: &Path) -> Result<Zipped, Error> {
        let file = new_file(path).map_err(|e| failed(path, &e))?;
        Ok(Zipped { path: path.to_owned(), writer: ZipWriter::new(BufWriter::with_capacity(1 << 17, file)) })
    }

    /// Adds a message; its name in the file.
    pub fn add(&mut self, row: &Row, octets: &[u8]) -> Result<String, Error> {
        let name = format!("{}.eml", row.id);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .unix_permissions(0o600)
            .last_modified_time(date_time(row.internal_date));
        let started = self.writer.start_file(&name, options).map_err(io::Error::from);
        let written = started.and_then(|()| self.writer.write_all(octets));
        written.map_err(|e| unfinished(&self.path, &e))?;
        Ok(name)
    }

    /// Writes the directory that makes it a zip file.
    pub fn finish(self) -> Result<(), Error> {
        let Zipped { path, writer } = self;
        let finished = writer.finish().map_err(io::Error::from).and_then(|mut file| file.flush());
        finished.map_err(|e| unfinished(&path, &e))
    }
}

/// In UTC; zip files know the years 1980 to 2107.
fn date_time(at: Timestamp) -> DateTime {
    let (year, month, day) = at.year_month_day();
    let second = at.s().rem_euclid(86_400);
    let part = |value: i64| u8::try_from(value).unwrap_or(0);
    let made = u16::try_from(year).ok().and_then(|year| {
        DateTime::from_date_and_time(year, month, day, part(second / 3600), part(second / 60 % 60), part(second % 60))
            .ok()
    });
    made.unwrap_or_default()
}
