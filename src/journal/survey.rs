//! What lies in the journal directory: live files, files without a header, and which of them count. Reads only.

use super::Error;
use super::batch::BATCH_BYTES_MAX;
use super::header;
use super::header::{Area, HEADER_BYTES, Header};
use super::inspect;
use super::scan::End;
use super::spares;
use super::spares::{NEW_SUFFIX, SUFFIX};
use crate::durable::Disk;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file without a readable header.
pub struct Headless {
    pub path: PathBuf,
    /// The ordinal its first batch names, if it has a valid one: a free file's is long retired.
    pub first_batch_of: Option<u64>,
}

/// The journal directory.
#[derive(Default)]
pub struct Survey {
    /// Files with a header, by ordinal.
    pub live: BTreeMap<u64, (PathBuf, Header)>,
    pub headless: Vec<Headless>,
    /// Preallocations a crash interrupted.
    pub unfinished: Vec<PathBuf>,
    /// Above every number in a name.
    pub next_number: u64,
}

/// Looks at every file.
pub fn survey(disk: &dyn Disk, dir: &Path) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    for name in disk.list(dir).map_err(|e| Error::disk("list journal directory", &e))? {
        let path = dir.join(&name);
        survey.next_number = survey.next_number.max(spares::number(&name).map_or(0, |n| n.saturating_add(1)));
        if name.ends_with(NEW_SUFFIX) {
            survey.unfinished.push(path);
        } else if name.ends_with(SUFFIX) {
            survey.add(disk, path)?;
        }
    }
    Ok(survey)
}

impl Survey {
    fn add(&mut self, disk: &dyn Disk, path: PathBuf) -> Result<(), Error> {
        let areas = spares::header_areas(disk, &path).map_err(|e| Error::disk("read journal file", &e))?;
        for area in areas.iter().map(|area| header::read(area)) {
            match area {
                Area::Header(header) => {
                    self.live.insert(header.ordinal, (path, *header));
                    return Ok(());
                }
                Area::UnknownVersion(_) => {
                    return Err(Error::OutOfBounds("a journal file has a version newer than this program"));
                }
                Area::Nothing => {}
            }
        }
        let first_batch_of = first_batch_of(disk, &path);
        self.headless.push(Headless { path, first_batch_of });
        Ok(())
    }

    /// The greatest ordinal in use.
    pub fn newest(&self) -> Option<&Header> {
        self.live.last_key_value().map(|(_, (_, header))| header)
    }

    /// The ordinals that count, and where each file ends: the newest, and those its header names.
    pub fn ends(&self) -> BTreeMap<u64, End> {
        let Some(newest) = self.newest() else { return BTreeMap::new() };
        let mut ends: BTreeMap<_, _> = newest.live.iter().map(|l| (l.ordinal, End::At(l.last_sequence))).collect();
        ends.insert(newest.ordinal, End::Open);
        ends
    }
}

fn first_batch_of(disk: &dyn Disk, path: &Path) -> Option<u64> {
    let file = disk.open_read(path).ok()?;
    let rest = file.len().ok()?.checked_sub(HEADER_BYTES as u64)?;
    let mut octets = vec![0; usize::try_from(rest).ok()?.min(BATCH_BYTES_MAX)];
    file.read_exact_at(HEADER_BYTES as u64, &mut octets).ok()?;
    inspect::whole_batch(&octets).map(|head| head.ordinal)
}
