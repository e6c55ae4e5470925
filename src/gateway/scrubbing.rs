//! The scrub: once a day every octet of the archive is read and compared with the log, without a key, slowly, beside everything
//! else. It ends when the gateway does and goes on where it was; what it finds is an alarm, every day anew.

use super::anchoring::{self, memory};
use super::config::Scrub as Wish;
use super::ending::stopping;
use super::post::{Places, Post};
use super::sealing::fenced::fenced;
use crate::archive::{self, Finding, Pace, Reading, Report, VerifyOptions, Watch, Workers};
use crate::clock::Timestamp;
use crate::durable::Disk;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often it is looked whether one is due.
const TICK: Duration = Duration::from_secs(5);
/// From the beginning of one to that of the next.
const DAY_S: i64 = 24 * 3600;
/// After one that could not end.
const AFTER_FAILURE: Duration = Duration::from_secs(600);
/// How long it waits at a time for its rate, and so how soon it hears that the gateway ends.
const NAP: Duration = Duration::from_millis(200);
/// How often the place is kept on disk.
const KEPT_EVERY: Duration = Duration::from_secs(10);
/// Leaves of the journal that it looks at: far more than a seal pass leaves behind.
const LEAVES_MAX: usize = 200_000;
/// Where all this is remembered.
const NAME: &str = "scrub.json";

/// How far a scrub is, and how the last whole one went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// When the one under way, or the last, began.
    started_at: Option<Timestamp>,
    /// It has read the segments up to this SEAL leaf.
    position: Option<u64>,
    /// Octets read so far.
    bytes: u64,
    /// Findings in them so far.
    findings: u64,
    /// The first of them.
    first: Option<String>,
    /// The last whole one.
    last: Option<Last>,
    /// Whole ones so far.
    runs: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    started_at: Timestamp,
    finished_at: Timestamp,
    bytes: u64,
    findings: u64,
    first: Option<String>,
}

impl Memory {
    fn load(disk: &dyn Disk, state: &Path) -> Memory {
        let read = disk.read(&state.join(NAME));
        // What cannot be read is forgotten: a scrub more does no harm.
        read.ok().and_then(|octets| serde_json::from_slice(&octets).ok()).unwrap_or_default()
    }
    fn is_under_way(&self) -> bool {
        let ended = self.last.as_ref().map(|last| last.started_at);
        self.started_at.is_some() && self.started_at != ended
    }
    fn is_due(&self, now: Timestamp) -> bool {
        self.is_under_way() || self.started_at.is_none_or(|began| now >= began.plus_s(DAY_S))
    }
    fn begin(&mut self, now: Timestamp) {
        if !self.is_under_way() {
            let (last, runs) = (self.last.take(), self.runs);
            *self = Memory { started_at: Some(now), last, runs, ..Memory::default() };
        }
    }
    fn count(&mut self, findings: &[Finding]) {
        self.findings += findings.len() as u64;
        let first = findings.first().map(|finding| format!("{}: {}", finding.object, finding.detail));
        self.first = self.first.take().or(first);
    }
    fn end(&mut self, now: Timestamp) {
        let started_at = self.started_at.unwrap_or(now);
        let Memory { bytes, findings, first, .. } = self.clone();
        self.last = Some(Last { started_at, finished_at: now, bytes, findings, first });
        self.runs += 1;
    }
    fn shown(&self, state: &str) -> Value {
        let last = self.last.as_ref().map(|last| {
            json!({
                "started_at": last.started_at.rfc3339(), "finished_at": last.finished_at.rfc3339(),
                "ok": last.findings == 0, "findings": last.findings, "first": last.first, "bytes": last.bytes,
            })
        });
        let under_way = self.is_under_way().then(|| {
            json!({"started_at": self.started_at.map(Timestamp::rfc3339), "bytes": self.bytes, "findings": self.findings})
        });
        json!({"state": state, "runs": self.runs, "last": last, "under_way": under_way})
    }
}

/// What `archive status` shows where no server runs.
pub fn shown(disk: &dyn Disk, config: &super::config::Config) -> Value {
    Memory::load(disk, &Places::of(config).state).shown("no server runs")
}

/// Scrubs the archive of a running gateway.
#[derive(Debug)]
pub struct Scrubbing {
    post: Arc<Post>,
    state: PathBuf,
    memory: Mutex<Memory>,
}

impl Scrubbing {
    /// Scrubs in the background until `closing`.
    pub fn start(post: Arc<Post>, closing: watch::Receiver<bool>) -> Arc<Scrubbing> {
        let state = Places::of(&post.config()).state;
        let memory = Mutex::new(Memory::load(&**post.disk(), &state));
        let scrubbing = Arc::new(Scrubbing { post, state, memory });
        let this = scrubbing.clone();
        tokio::spawn(async move {
            let mut pause = TICK;
            loop {
                tokio::select! {
                    biased;
                    () = stopping(&closing) => return,
                    () = tokio::time::sleep(pause) => pause = TICK,
                }
                if this.is_on() && this.memory().is_due(this.post.now()) {
                    let (taken, closing) = (this.clone(), closing.clone());
                    if let Err(e) = fenced(move || taken.scrub(&closing)).await {
                        tracing::error!("scrub: {e}; it is tried again");
                        pause = AFTER_FAILURE;
                    }
                }
            }
        });
        scrubbing
    }

    /// How far it is, and how the last one went.
    pub fn shown(&self) -> Value {
        let memory = self.memory();
        let state = match (self.is_on(), memory.is_under_way()) {
            (false, _) => "off",
            (true, true) => "reading",
            (true, false) => "waiting",
        };
        memory.shown(state)
    }

    fn is_on(&self) -> bool {
        self.post.config().archive.scrub == Wish::Daily
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) -> Result<(), String> {
        let octets = serde_json::to_vec(&*self.memory()).map_err(|e| e.to_string())?;
        memory::put(&**self.post.disk(), &self.state, NAME, &octets)
            .map_err(|e| format!("{}: {e}", self.state.display()))
    }

    fn scrub(&self, closing: &watch::Receiver<bool>) -> Result<(), String> {
        let post = &self.post;
        self.memory().begin(post.now());
        self.keep()?;
        let config = post.config();
        let authorities = anchoring::authorities(&config)?;
        let journal = post.journal().leaves(post.archive().log_size(), LEAVES_MAX);
        let rate = config.archive.scrub_mb_s.saturating_mul(1_000_000);
        let pacer = Pacer {
            scrubbing: self,
            closing: closing.clone(),
            rate,
            began: Instant::now(),
            read: AtomicU64::new(0),
            kept_at: Mutex::new(Instant::now()),
            in_objects: AtomicU64::new(0),
        };
        let reading = Reading { after: self.memory().position, workers: Workers::One, watch: Some(&pacer) };
        let options =
            VerifyOptions { journal: &journal, authorities: authorities.as_ref(), reading, ..VerifyOptions::default() };
        let report = archive::verify(&**post.disk(), &Places::of(&config).archive, &options);
        if report.stopped {
            // At the next start it goes on here; the log and the small objects are looked at again then.
            return self.keep();
        }
        self.conclude(&report, pacer.in_objects.load(Ordering::Relaxed));
        self.keep()
    }

    /// Findings in data objects were counted one by one, so that an end in between does not lose them.
    fn conclude(&self, report: &Report, counted: u64) {
        let others = report.findings.len().saturating_sub(usize::try_from(counted).unwrap_or(usize::MAX));
        let mut memory = self.memory();
        memory.count(&report.findings[..others]);
        memory.end(self.post.now());
        match (memory.findings, memory.first.as_deref()) {
            (0, _) => tracing::info!("scrub: the archive is whole; {} octets read", memory.bytes),
            (count, first) => tracing::error!(
                "scrub: THE ARCHIVE IS DAMAGED: {count} findings, the first: {}; `sealpost archive verify` names all",
                first.unwrap_or_default()
            ),
        }
    }
}

/// Holds the scrub to its rate, and keeps its place.
struct Pacer<'a> {
    scrubbing: &'a Scrubbing,
    closing: watch::Receiver<bool>,
    /// Octets a second.
    rate: u64,
    began: Instant,
    read: AtomicU64,
    kept_at: Mutex<Instant>,
    in_objects: AtomicU64,
}

impl Watch for Pacer<'_> {
    fn begin(&self, _bytes: u64) {}

    fn read(&self, bytes: u64) -> Pace {
        self.scrubbing.memory().bytes += bytes;
        let read = self.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let due = Duration::from_secs_f64(read as f64 / self.rate.max(1) as f64);
        loop {
            if *self.closing.borrow() {
                return Pace::Stop;
            }
            match due.checked_sub(self.began.elapsed()) {
                Some(ahead) if !ahead.is_zero() => std::thread::sleep(ahead.min(NAP)),
                _ => return Pace::GoOn,
            }
        }
    }

    fn checked(&self, seal_index: u64, report: &Report) {
        self.in_objects.fetch_add(report.findings.len() as u64, Ordering::Relaxed);
        {
            let mut memory = self.scrubbing.memory();
            memory.position = Some(seal_index);
            memory.count(&report.findings);
        }
        let mut kept_at = self.kept_at.lock().unwrap_or_else(PoisonError::into_inner);
        if kept_at.elapsed() >= KEPT_EVERY {
            *kept_at = Instant::now();
            self.scrubbing.keep().unwrap_or_else(|e| tracing::warn!("the place of the scrub is not kept: {e}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::FaultKind;

    fn finding(object: &str) -> Finding {
        Finding { level: 0, object: object.into(), kind: FaultKind::Changed, detail: "x".into() }
    }

    #[test]
    fn one_a_day_and_what_was_broken_off_goes_on() {
        let at = Timestamp::from_s;
        let mut memory = Memory::default();
        assert!(memory.is_due(at(0)), "never yet");
        memory.begin(at(0));
        memory.position = Some(7);
        memory.count(&[finding("a"), finding("b")]);
        let back: Memory = serde_json::from_slice(&serde_json::to_vec(&memory).expect("JSON")).expect("back");
        assert_eq!(back, memory);
        assert!(back.is_due(at(1)) && back.is_under_way(), "after a restart");
        memory.begin(at(100));
        assert_eq!((memory.position, memory.findings, memory.started_at), (Some(7), 2, Some(at(0))), "it goes on");
        memory.end(at(200));
        assert!(!memory.is_under_way() && !memory.is_due(at(DAY_S - 1)) && memory.is_due(at(DAY_S)));
        assert_eq!(memory.shown("waiting")["last"]["first"], "a: x");
        memory.begin(at(DAY_S));
        assert_eq!((memory.position, memory.findings, memory.runs), (None, 0, 1), "the next begins anew");
        assert_eq!(memory.shown("reading")["last"]["findings"], 2, "and the last is still shown");
    }
}
