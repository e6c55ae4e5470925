//! `sealpost archive verify` and `checkpoint`: whether the archive is what it was, and what others need to see it.

use super::archive::spinner;
use super::out::Form;
use super::{Failure, Out, ask, talk};
use crate::archive::{self, Depth, Pace, Reading, Report, Unlocked, VerifyOptions, Watch, Workers};
use crate::clock::{Clock, SystemClock};
use crate::durable::RealDisk;
use crate::gateway::anchoring::{self, memory};
use crate::gateway::config::Config;
use crate::gateway::control::Request;
use crate::gateway::error::Error;
use crate::gateway::post::Places;
use crate::gateway::{offline, rows};
use crate::journal::LeafEntry;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// What a running server has accepted and not sealed. A copy of the archive is verified without: nothing here needs a server.
pub fn journal_leaves(places: &Places) -> Result<Vec<LeafEntry>, Failure> {
    match ask(places, &Request::Leaves) {
        Ok(None) => Ok(Vec::new()),
        // A leaf left out would pass for a missing one, or hide that one is missing.
        Ok(Some(rows)) => rows.iter().map(rows::archive::read_leaf).collect::<Option<_>>().ok_or_else(|| {
            Failure::temporary("the running server answered what this program does not understand")
                .with_help("are both of the same version? restart the server after an upgrade")
        }),
        Err(failure) => {
            talk("warning", &failure.text, Some("what is not sealed yet is not verified"));
            Ok(Vec::new())
        }
    }
}

/// Shows on a terminal how far it is, and how fast.
struct Shown(ProgressBar);

impl Watch for Shown {
    fn begin(&self, bytes: u64) {
        let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
        // The template is ours; the default is as good where it is not understood.
        self.0.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.0.set_length(bytes);
    }
    fn read(&self, bytes: u64) -> Pace {
        self.0.inc(bytes);
        Pace::GoOn
    }
    fn checked(&self, _seal_index: u64, _report: &Report) {}
}

/// Verifies, prints every finding and a summary.
pub fn verify(
    (config, places): (&Config, &Places),
    (level, unlocked): (u8, Option<&Unlocked>),
    checkpoint: Option<&Path>,
    out: &Out,
) -> Result<(), Failure> {
    let outside = checkpoint.map(|path| std::fs::read(path).map_err(|e| Error::io(path, &e))).transpose()?;
    let depth = if level == 1 { Depth::Sample } else { Depth::Whole };
    let authorities = anchoring::authorities(config).map_err(Failure::bad)?;
    let journal = journal_leaves(places)?;
    let (began, shown) = (Instant::now(), Shown(ProgressBar::new(0)));
    let reading = Reading { after: None, workers: Workers::Cores, watch: Some(&shown) };
    let options = VerifyOptions {
        unlocked,
        depth,
        checkpoint: outside.as_deref(),
        journal: &journal,
        authorities: authorities.as_ref(),
        reading,
    };
    let mut report = archive::verify(&RealDisk, &places.archive, &options);
    super::audit::check_beside(places, &mut report);
    shown.0.finish_and_clear();
    let findings: Vec<Value> = report.findings.iter().map(rows::archive::finding).collect();
    out.table(&["level", "object", "kind", "detail"], &findings)?;
    let mut summary = rows::archive::summary(&report);
    summary["level"] = Value::from(level);
    summary["seconds"] = Value::from((began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0);
    out.record(&["ok", "accepted", "covered", "pending", "missing"], &summary)?;
    match findings.len() {
        0 => Ok(()),
        count => Err(Failure::bad(format!("{}: {count} findings", places.archive.display()))
            .with_help("keep it as it is for whoever investigates; restore what is named from a copy beside it")),
    }
}

/// Prints the newest checkpoint and sends it wherever checkpoints go.
pub fn checkpoint(config: &Config, places: &Places, config_path: &Path, out: &Out) -> Result<(), Failure> {
    let busy = spinner("sending checkpoints");
    let rows = match ask(places, &Request::Checkpoint)? {
        Some(rows) => rows,
        None => offline_checkpoint(config, places, config_path)?,
    };
    busy.finish_and_clear();
    match (out.form(), rows.split_first()) {
        (Form::Text, Some((checkpoint, sent))) => {
            // The checkpoint alone is the data: `sealpost archive checkpoint > FILE` keeps what `verify --checkpoint FILE` takes.
            out.raw(checkpoint["checkpoint"].as_str().unwrap_or_default())?;
            for row in sent {
                let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                eprintln!("{}: {}", word("to"), word("detail"));
            }
        }
        _ => out.table(&[], &rows)?,
    }
    let failed = rows.iter().filter(|row| row["ok"] == false).count();
    match failed {
        0 => Ok(()),
        count => Err(Failure::temporary(format!("{count} places did not get it"))
            .with_help("a running server tries again every five minutes; `sealpost archive status` shows how it goes")),
    }
}

fn offline_checkpoint(config: &Config, places: &Places, config_path: &Path) -> Result<Vec<Value>, Failure> {
    let (journal, archive) = offline::open_store(config_path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::of("runtime", e))?;
    let (mut rows, mut sent) = (Vec::new(), memory::load(&RealDisk, places));
    for to in anchoring::destinations(config) {
        let done = runtime.block_on(anchoring::send_offline(&RealDisk, config, (&archive, &journal), &to));
        let done = done.map(|detail| (memory::Sent { at: SystemClock.now(), size: archive.log_size() }, detail));
        if let Ok((one, _)) = &done {
            sent.insert(to.to_string(), *one);
        }
        rows.push(anchoring::outcome(&to, &done));
    }
    memory::save(&RealDisk, places, &sent).map_err(|e| Error::io(&places.state, &e))?;
    memory::remember(&RealDisk, config, &archive);
    let newest = anchoring::newest(&archive, &journal).map_err(Failure::bad)?;
    rows.insert(0, anchoring::row(&newest));
    Ok(rows)
}
