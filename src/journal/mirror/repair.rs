//! Making twins equal before a replay: what is missing or damaged on one side is copied from the other, batch by batch. Needs no
//! key, for batches carry their own checks; never changes a side that is whole.

use super::super::batch;
use super::super::batch::{BLOCK_BYTES, HEAD_BYTES, Head};
use super::super::header;
use super::super::header::{Area, HEADER_BYTES, Header};
use super::super::spares;
use super::super::spares::{NEW_SUFFIX, SUFFIX};
use super::Mirror;
use crate::durable::DiskFile;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Threads that compare twins.
const THREADS_MAX: usize = 4;
/// Octets copied in one step.
const COPY_BYTES: usize = 1024 * 1024;

/// A file as it lies on one side; `None` where it is missing or cannot be opened.
type Opened = Option<Box<dyn DiskFile>>;

/// Looks at every pair of twins.
pub fn repair(mirror: &Mirror) -> io::Result<Vec<String>> {
    let names = [names(mirror, 0)?, names(mirror, 1)?];
    let mut told = Vec::new();
    // An empty directory is a mirror just set up, or one side lost whole: every file is copied, and it is told once.
    for (side, own) in names.iter().enumerate().filter(|(_, own)| own.is_empty()) {
        let all = names.iter().map(BTreeSet::len).sum::<usize>();
        if all > 0 {
            told.push(format!(
                "{}: all {} journal files were copied here",
                mirror.dirs[side].display(),
                all - own.len()
            ));
        }
    }
    let is_new = !told.is_empty();
    let pairs: BTreeSet<&String> = names.iter().flatten().collect();
    let found = side_by_side(pairs.into_iter().collect(), |name| Pair::open(mirror, name).repair(mirror));
    told.extend(found.into_iter().flatten().filter(|_| !is_new));
    Ok(told)
}

/// Does the same with every name, on a few threads; the answers come in the order of the names.
fn side_by_side<T: Send>(names: Vec<&String>, act: impl Fn(&str) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(names.len());
    let (waiting, done) = (Mutex::new(names.into_iter().enumerate()), Mutex::new(BTreeMap::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((number, name)) = next() {
                    let answer = act(name);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(number, answer);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn names(mirror: &Mirror, side: usize) -> io::Result<BTreeSet<String>> {
    let names = mirror.disk.list(&mirror.dirs[side])?;
    Ok(names.into_iter().filter(|name| name.ends_with(SUFFIX)).collect())
}

/// What one side lacks, by offset and length.
#[derive(Default)]
struct Lacks {
    ranges: Vec<(u64, usize)>,
    what: What,
}

/// Whether what is lacking was ever acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    #[default]
    Nothing,
    /// A crash came between the two writes.
    Unfinished,
    Damaged,
    Missing,
}

struct Pair {
    paths: [PathBuf; 2],
    files: [Opened; 2],
}

impl Pair {
    fn open(mirror: &Mirror, name: &str) -> Pair {
        let paths = mirror.dirs.each_ref().map(|dir| dir.join(name));
        let files = paths.each_ref().map(|path| mirror.disk.open_read(path).ok());
        Pair { paths, files }
    }

    /// Repairs both sides; what there was to repair of acknowledged data, in words.
    fn repair(&self, mirror: &Mirror) -> Vec<String> {
        let lacks = match self.header(mirror) {
            Some((header, area)) => self.compare(&header, &area),
            // A free file, or one whose header is lost on both sides: nothing to compare by.
            None => {
                self.files.each_ref().map(|file| Lacks { ranges: vec![], what: missing(file).min(What::Unfinished) })
            }
        };
        let mut told = Vec::new();
        for (side, lacks) in lacks.iter().enumerate().filter(|(_, lacks)| lacks.what > What::Nothing) {
            let path = &self.paths[side];
            if let Err(error) = self.rewrite(mirror, side, lacks) {
                mirror.lost.add(path, &error);
            }
            if lacks.what > What::Unfinished {
                let count = lacks.ranges.len();
                told.push(format!("{}: {:?}; {count} stretches came from the twin", path.display(), lacks.what));
            }
        }
        told
    }

    /// The later header of the two sides: an older one was to be overwritten.
    fn header(&self, mirror: &Mirror) -> Option<(Header, Vec<u8>)> {
        let present = self.paths.iter().zip(&self.files).filter(|(_, file)| file.is_some());
        let areas = present.filter_map(|(path, _)| spares::header_areas(&*mirror.disk, path).ok()).flatten();
        let headers = areas.filter_map(|area| match header::read(&area) {
            Area::Header(header) => Some((*header, area)),
            Area::UnknownVersion(_) | Area::Nothing => None,
        });
        headers.max_by_key(|(header, _)| header.ordinal)
    }

    fn compare(&self, header: &Header, area: &[u8]) -> [Lacks; 2] {
        let mut lacks = self.files.each_ref().map(|file| Lacks { ranges: vec![], what: missing(file) });
        let end = header.file_bytes.saturating_sub(HEADER_BYTES as u64);
        for (file, lacks) in self.files.iter().zip(&mut lacks) {
            for at in [0, end] {
                let own = read(file, at, HEADER_BYTES);
                if own.as_deref() != Some(area) {
                    // Zeros or a former header: an activation or a wipe that a crash interrupted.
                    let is_former = own.is_some_and(|own| own.iter().all(|o| *o == 0) || is_other(&own, header));
                    lacks.add(at, HEADER_BYTES, if is_former { What::Unfinished } else { What::Damaged });
                }
            }
            let has_length = file.as_ref().and_then(|file| file.len().ok()) == Some(header.file_bytes);
            lacks.what = lacks.what.max(if has_length { What::Nothing } else { What::Damaged }).max(missing(file));
        }
        self.compare_batches(header, end, &mut lacks);
        lacks
    }

    /// Side by side through the batches. A side that lacks the last batch alone was never waited for.
    fn compare_batches(&self, header: &Header, end: u64, lacks: &mut [Lacks; 2]) {
        let (mut at, mut sequence) = (HEADER_BYTES as u64, 1);
        let mut unfinished: [Option<(u64, usize)>; 2] = [None, None];
        while at < end {
            let found = self.files.each_ref().map(|file| valid_batch(file, header, at, end, sequence));
            let Some((head, octets)) = found.iter().flatten().min_by_key(|(head, _)| head.sequence) else {
                at += BLOCK_BYTES as u64;
                continue;
            };
            for ((lacks, unfinished), own) in lacks.iter_mut().zip(&mut unfinished).zip(&found) {
                if let Some((at, bytes)) = unfinished.take() {
                    lacks.add(at, bytes, What::Damaged);
                }
                if own.as_ref().is_none_or(|(_, own)| own != octets) {
                    *unfinished = Some((at, octets.len()));
                }
            }
            at += octets.len() as u64;
            sequence = head.sequence + 1;
        }
        for (lacks, unfinished) in lacks.iter_mut().zip(unfinished) {
            unfinished.into_iter().for_each(|(at, bytes)| lacks.add(at, bytes, What::Unfinished));
        }
    }

    /// A fresh file in place of the bad one: its own octets, and the twin's where it lacks them.
    fn rewrite(&self, mirror: &Mirror, side: usize, lacks: &Lacks) -> io::Result<()> {
        let (path, twin) = (&self.paths[side], &self.files[1 - side]);
        let is_missing = self.files[side].is_none();
        let base = if is_missing { twin } else { &self.files[side] };
        let length = |file: &Opened| file.as_ref().and_then(|file| file.len().ok()).unwrap_or_default();
        let bytes = length(twin).max(length(base));
        let new = path.with_extension(NEW_SUFFIX.trim_start_matches('.'));
        if mirror.disk.exists(&new) {
            mirror.disk.remove(&new)?;
        }
        let file = mirror.disk.create(&new)?;
        let mut at = 0;
        while at < bytes {
            let step = usize::try_from(bytes - at).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            let octets = read(base, at, step).or_else(|| read(twin, at, step)).unwrap_or_else(|| vec![0; step]);
            file.write_all_at(at, &octets)?;
            at += step as u64;
        }
        for (at, bytes) in lacks.ranges.iter().filter(|_| !is_missing) {
            let octets = read(twin, *at, *bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
            file.write_all_at(*at, &octets)?;
        }
        file.sync()?;
        mirror.disk.rename(&new, path)?;
        mirror.disk.sync_dir(path.parent().unwrap_or(Path::new("")))
        // Durable from here: this side is as good as its twin.
    }
}

impl Lacks {
    fn add(&mut self, at: u64, bytes: usize, what: What) {
        self.ranges.push((at, bytes));
        self.what = self.what.max(what);
    }
}

fn missing(file: &Opened) -> What {
    if file.is_none() { What::Missing } else { What::Nothing }
}

/// Whether it is the header of another activation of this file.
fn is_other(area: &[u8], header: &Header) -> bool {
    matches!(header::read(area), Area::Header(other) if other.ordinal != header.ordinal)
}

fn read(file: &Opened, at: u64, bytes: usize) -> Option<Vec<u8>> {
    let mut octets = vec![0; bytes];
    file.as_ref()?.read_exact_at(at, &mut octets).ok().map(|()| octets)
}

/// A whole batch of this file at this place, not older than expected.
fn valid_batch(file: &Opened, header: &Header, at: u64, end: u64, sequence: u64) -> Option<(Head, Vec<u8>)> {
    let head = Head::parse(&read(file, at, HEAD_BYTES)?)?;
    let is_ours = head.incarnation == header.incarnation && head.ordinal == header.ordinal;
    if !is_ours || head.sequence < sequence || at + head.total_bytes() as u64 > end {
        return None;
    }
    let octets = read(file, at, head.total_bytes())?;
    batch::is_intact(&octets).then_some((head, octets))
}
