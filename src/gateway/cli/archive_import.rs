//! `sealpost archive import`: reads files here, hands their messages to the running server, or to the journal when none runs.

use super::archive_export::counting;
use super::args_transfer::ImportOptions;
use super::out::Form;
use super::{Failure, Out, talk};
use crate::clock::SystemClock;
use crate::durable::RealDisk;
use crate::gateway::config::Config;
use crate::gateway::import::Found;
use crate::gateway::import::intake::{Imports, Intake, Outcome};
use crate::gateway::import::walk::{Fault, Item, Walk, canonical};
use crate::gateway::import::wire::{FRAME_BYTES, FRAME_MESSAGES_MAX, Remote};
use crate::gateway::post::Places;
use crate::gateway::{files, offline};
use crate::mail::retention::CLASS_DEFAULT;
use indicatif::ProgressBar;
use serde_json::json;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Frames that are read ahead.
const FRAMES_AHEAD: usize = 1;
const GOING_ON: &str = "run it again: it goes on where it stopped, and takes nothing twice";

/// What was read at once: messages, and what is none.
#[derive(Default)]
struct Frame {
    found: Vec<Found>,
    faults: Vec<Fault>,
    passed_over: u64,
    octets: usize,
}

#[derive(Default)]
struct Counts {
    read: u64,
    imported: u64,
    skipped: u64,
    failed: u64,
    passed_over: u64,
}

/// Runs the command.
pub fn run(config: &Config, config_path: &Path, options: &ImportOptions, out: &Out) -> Result<(), Failure> {
    let places = Places::of(config);
    if options.dry_run {
        let bytes_max = config.limits.message_bytes;
        return import(options, bytes_max, out, &mut |found| Ok(vec![Outcome::Imported; found.len()]));
    }
    let failed = |e: std::io::Error| Failure::temporary(format!("{}: {e}", places.control.display()));
    if let Some(begun) = Remote::begin(&places.control).map_err(failed)? {
        let mut remote = begun.map_err(Failure::temporary)?;
        let bytes_max = remote.bytes_max;
        let stopped = |reason: String| Failure::temporary(reason).with_help(GOING_ON);
        import(options, bytes_max, out, &mut |found| remote.take(found).map_err(stopped))?;
        return remote.finish().map_err(stopped);
    }
    let (journal, archive) = offline::open_store(config_path)?;
    let (imports, bytes_max) = (Imports::default(), config.limits.message_bytes);
    let stopped = |reason: String| Failure::temporary(reason).with_help(GOING_ON);
    let class = files::policies(&places.policies)?.class(CLASS_DEFAULT).cloned().unwrap_or_default();
    let opened = Intake::open(&RealDisk, &places, &journal, &SystemClock, &imports, class, bytes_max);
    let mut intake = opened.map_err(|stop| stopped(stop.to_string()))?;
    let mut seal = || archive.seal(&journal, &SystemClock).map(drop).map_err(|e| e.to_string());
    import(options, bytes_max, out, &mut |found| {
        intake.take(found, &mut seal).map_err(|stop| stopped(stop.to_string()))
    })?;
    seal().map_err(stopped)
}

/// Where frames go; one outcome for each message.
type Take<'a> = dyn FnMut(&[Found]) -> Result<Vec<Outcome>, Failure> + 'a;

fn import(options: &ImportOptions, bytes_max: u64, out: &Out, take: &mut Take<'_>) -> Result<(), Failure> {
    let progress = ProgressBar::new_spinner().with_style(counting());
    let mut counts = Counts::default();
    let ended = std::thread::scope(|scope| {
        let (sender, frames) = sync_channel(FRAMES_AHEAD);
        scope.spawn(|| read(options, bytes_max, sender));
        consume(&frames, options, &mut counts, &progress, out, take)
    });
    progress.finish_and_clear();
    let Counts { read, imported, skipped, failed, passed_over } = counts;
    let mut report =
        json!({"read": read, "imported": imported, "skipped": skipped, "failed": failed, "passed_over": passed_over});
    if options.dry_run {
        report["dry_run"] = true.into();
    }
    out.record(&["read", "imported", "skipped", "failed", "passed_over"], &report)?;
    ended?;
    match (failed, read) {
        (0, 0) => Err(Failure::bad("no mail was found").with_help(
            "files ending in .eml, Maildirs, and mbox, zip and gzip files are read; a single file is taken whatever its name",
        )),
        (0, _) => Ok(()),
        (count, _) => Err(Failure::bad(format!("{count} could not be imported; each is named above"))
            .with_help("what is said of each says what to do; run it again, it takes nothing twice")),
    }
}

fn consume(
    frames: &Receiver<Frame>,
    options: &ImportOptions,
    counts: &mut Counts,
    progress: &ProgressBar,
    out: &Out,
    take: &mut Take<'_>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let frame = match frames.recv_timeout(Duration::from_millis(100)) {
            Ok(frame) => frame,
            Err(RecvTimeoutError::Timeout) => {
                progress.tick();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        counts.passed_over += frame.passed_over;
        for fault in &frame.faults {
            counts.read += 1;
            counts.failed += 1;
            tell(fault, progress, out)?;
        }
        let outcomes = if frame.found.is_empty() { Vec::new() } else { take(&frame.found)? };
        for (found, outcome) in frame.found.iter().zip(outcomes) {
            counts.read += 1;
            match outcome {
                Outcome::Imported => counts.imported += 1,
                Outcome::Skipped => counts.skipped += 1,
                Outcome::Failed(error) => {
                    counts.failed += 1;
                    tell(&Fault { source: found.source.clone(), position: found.position, error }, progress, out)?;
                }
            }
        }
        progress.set_position(counts.read);
        pause(begun, counts.imported, options.rate);
    }
}

/// Not faster than so many a second.
fn pause(begun: Instant, imported: u64, rate: Option<u32>) {
    let Some(rate) = rate else { return };
    let due = Duration::from_secs_f64(imported as f64 / f64::from(rate));
    std::thread::sleep(due.saturating_sub(begun.elapsed()));
}

/// One message that is not imported: a line of JSON, or a line for people.
fn tell(fault: &Fault, progress: &ProgressBar, out: &Out) -> Result<(), Failure> {
    let Fault { source, position, error } = fault;
    match out.form() {
        Form::Json => out.record(&[], &json!({"source": source, "position": position, "error": error})),
        Form::Text => {
            let place = position.map_or_else(|| source.clone(), |position| format!("{source}, octet {position}"));
            progress.suspend(|| talk("error", &format!("{place}: {error}"), None));
            Ok(())
        }
    }
}

/// Reads all that was named, frame by frame, until nobody takes them any more.
fn read(options: &ImportOptions, bytes_max: u64, frames: SyncSender<Frame>) {
    let messages_max = options.rate.map_or(FRAME_MESSAGES_MAX, |rate| (rate as usize).clamp(1, FRAME_MESSAGES_MAX));
    let mut frame = Frame::default();
    let mut each = |item| {
        match item {
            Item::Found(found) => {
                frame.octets += found.octets.len();
                frame.found.push(*found);
            }
            Item::Fault(fault) => frame.faults.push(fault),
            Item::PassedOver => frame.passed_over += 1,
        }
        let is_full = frame.found.len() >= messages_max
            || frame.octets >= FRAME_BYTES
            || frame.faults.len() >= FRAME_MESSAGES_MAX;
        match is_full && frames.send(std::mem::take(&mut frame)).is_err() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let paths: BTreeSet<_> = options.paths.iter().map(|path| canonical(path)).collect();
    let mut walk = Walk { bytes_max, each: &mut each };
    if paths.iter().try_for_each(|path| walk.path(path)).is_continue() {
        // The rest; should nobody take it, the command has failed already.
        drop(frames.send(frame));
    }
}
