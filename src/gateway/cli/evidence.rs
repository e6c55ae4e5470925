//! `sealpost archive export --evidence`: a bundle for each message.

use super::archive::{Room, Stop};
use super::archive_export::counting;
use super::{Failure, Out};
use crate::catalog::{Query, Row};
use crate::gateway::evidence;
use indicatif::ProgressBar;
use serde_json::json;
use std::path::Path;

/// Writes a bundle for each message that matches.
pub fn export(room: &Room, query: &Query, output: &Path, out: &Out) -> Result<(), Failure> {
    let progress = ProgressBar::new_spinner().with_style(counting());
    let (mut messages, mut stamped) = (0u64, 0u64);
    let mut damaged = Vec::new();
    let mut write = |row: Row| -> Result<(), Stop> {
        match of(room, &row) {
            Ok(evidence) => {
                evidence::write(output, &evidence).map_err(|e| Stop(Some(e.into())))?;
                messages += 1;
                stamped += u64::from(evidence.stamped.is_some());
                progress.inc(1);
            }
            // One message that cannot be proved does not keep the others from the officer.
            Err(failure) => damaged.push(failure.text),
        }
        Ok(())
    };
    let walked = room.listing.each(query, &mut write);
    progress.finish_and_clear();
    if let Err(Stop(Some(failure))) = walked {
        eprintln!("{messages} bundles were written before this happened:");
        return Err(failure);
    }
    let counted = json!({"messages": messages, "timestamped": stamped, "failed": damaged.len()});
    out.record(&["messages", "timestamped"], &counted)?;
    if messages > stamped {
        eprintln!(
            "{} of them have no time stamp: [archive] tsa names an authority, `sealpost archive checkpoint` asks it",
            messages - stamped
        );
    }
    match damaged.len() {
        0 => Ok(()),
        count => {
            damaged.iter().for_each(|text| eprintln!("error: {text}"));
            Err(Failure::bad(format!("{count} messages cannot be proved and are not in the export"))
                .with_help("`sealpost archive verify --level 2` says what is damaged; restore that from a copy"))
        }
    }
}

fn of(room: &Room, row: &Row) -> Result<crate::archive::Evidence, Failure> {
    let bad = |e: &dyn std::fmt::Display| Failure::bad(format!("{}: {e}", row.id));
    let late = room.late_results(row)?;
    let info = room.opened.info(&row.segment).map_err(|e| bad(&e))?;
    room.opened.unlocked().evidence(&info, row.slot, &late).map_err(|e| bad(&e))
}
