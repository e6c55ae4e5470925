//! Level 0 of the data objects: every octet of every one, on as many cores as there are, so that a disk is the bound. Data
//! objects never change: what is read once need not be read again because a gateway sealed meanwhile.

use super::data_object;
use super::data_object::Pace;
use super::layout::Layout;
use super::leaf::Epoch;
use super::open::SegmentInfo;
use super::open::lock;
use super::verify::FaultKind;
use super::verify::Report;
use crate::durable::Disk;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Who looks on while data objects are read: shows progress, slows it down, or ends it. Called from several threads.
pub trait Watch: Sync {
    /// So many octets are to be read.
    fn begin(&self, bytes: u64);
    /// So many more were read. May wait.
    fn read(&self, bytes: u64) -> Pace;
    /// The data object of the SEAL leaf at this index is read, and so many findings were made in it; with one worker in log order.
    fn checked(&self, seal_index: u64, findings: &Report);
}

/// How many data objects are read at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// One on each core.
    #[default]
    Cores,
    /// One after the other, in log order.
    One,
}

/// Which data objects, and how.
#[derive(Clone, Copy, Default)]
pub struct Reading<'a> {
    /// Only those of SEAL leaves behind this index; the others were read before.
    pub after: Option<u64>,
    /// How many at a time.
    pub workers: Workers,
    /// Who looks on.
    pub watch: Option<&'a dyn Watch>,
}

/// Checks the data objects of these segments; findings in log order.
pub fn verify(
    disk: &dyn Disk,
    layout: &Layout,
    epoch: &Epoch,
    seals: &[SegmentInfo],
    reading: Reading<'_>,
    report: &mut Report,
) {
    let first = seals.partition_point(|info| reading.after.is_some_and(|known| info.seal_index <= known));
    let seals = &seals[first..];
    if let Some(watch) = reading.watch {
        watch.begin(seals.iter().map(|info| info.seal.data_bytes).fold(0, u64::saturating_add));
    }
    let shared = Shared {
        disk,
        layout,
        epoch,
        seals,
        watch: reading.watch,
        next: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
        done: Mutex::new(Vec::new()),
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let workers = match reading.workers {
        Workers::Cores => cores.min(seals.len()),
        Workers::One => 1,
    };
    if workers <= 1 {
        shared.work();
    } else {
        std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(|| shared.work()))));
    }
    report.stopped |= shared.stopped.load(Ordering::Relaxed);
    let mut done = shared.done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    for (_, mut part) in done {
        report.findings.append(&mut part.findings);
        report.bytes += part.bytes;
    }
}

struct Shared<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    epoch: &'a Epoch,
    seals: &'a [SegmentInfo],
    watch: Option<&'a dyn Watch>,
    next: AtomicUsize,
    stopped: AtomicBool,
    done: Mutex<Vec<(usize, Report)>>,
}

impl Shared<'_> {
    fn work(&self) {
        while !self.stopped.load(Ordering::Relaxed) {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(info) = self.seals.get(at) else { return };
            let mut report = Report::default();
            match self.object(info, &mut report) {
                Pace::Stop => self.stopped.store(true, Ordering::Relaxed),
                Pace::GoOn => self.watch.into_iter().for_each(|watch| watch.checked(info.seal_index, &report)),
            }
            lock(&self.done).push((at, report));
        }
    }

    fn object(&self, info: &SegmentInfo, report: &mut Report) -> Pace {
        let path = self.layout.data(&info.seal.segment);
        let name = self.layout.name(&path);
        let (mut faults, mut bytes) = (Vec::new(), 0u64);
        let read = |octets: u64| {
            bytes += octets;
            self.watch.map_or(Pace::GoOn, |watch| watch.read(octets))
        };
        let checked = self.disk.open_read(&path).and_then(|file| {
            data_object::check_watched(file.as_ref(), &self.epoch.archive, &info.seal, read, |fault| faults.push(fault))
        });
        report.bytes = bytes;
        for fault in faults {
            report.add(0, name.clone(), FaultKind::Changed, fault);
        }
        checked.unwrap_or_else(|e| {
            report.unread(0, name, &e);
            Pace::GoOn
        })
    }
}
