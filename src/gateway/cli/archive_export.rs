//! `sealpost archive export`: messages out of the archive, into files.

use super::archive::{Room, Stop};
use super::args::{ExportForm, ExportFormat};
use super::out::Form;
use super::{Failure, Out, talk};
use crate::catalog::{Query, Row};
use crate::gateway::export::{Export, Writer};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::Path;

/// Runs the command.
pub fn run(
    room: &Room,
    query: &Query,
    (format, form): (ExportFormat, ExportForm),
    output: &Path,
    out: &Out,
) -> Result<(), Failure> {
    let format = match format {
        ExportFormat::Eml => Export::Eml,
        ExportFormat::Maildir => Export::Maildir,
        ExportFormat::Mbox => Export::Mbox,
        ExportFormat::Zip => Export::Zip,
    };
    let mut writer = Writer::create(format, output)?;
    let progress = ProgressBar::new_spinner().with_style(counting());
    let (mut messages, mut octets_total, mut damaged) = (0u64, 0u64, 0u64);
    let mut write = |row: Row| -> Result<(), Stop> {
        match room.octets(&row, form) {
            Ok(octets) => {
                writer.write(&row, &octets).map_err(|e| Stop(Some(e.into())))?;
                messages += 1;
                octets_total += octets.len() as u64;
                progress.inc(1);
            }
            // One message that cannot be read does not keep the others from the officer.
            Err(failure) => {
                damaged += 1;
                unreadable(&row, &failure, &progress, out).map_err(|failure| Stop(Some(failure)))?;
            }
        }
        Ok(())
    };
    let walked = room.listing.each(query, &mut write);
    progress.finish_and_clear();
    if let Err(Stop(Some(failure))) = walked {
        eprintln!("{messages} messages were exported before this happened:");
        return Err(failure);
    }
    writer.finish()?;
    out.record(&["messages", "bytes"], &json!({"messages": messages, "bytes": octets_total, "failed": damaged}))?;
    match damaged {
        0 => Ok(()),
        count => Err(Failure::bad(format!("{count} messages could not be read and are not in the export"))
            .with_help("`sealpost archive verify --level 2` says what is damaged; restore that from a copy")),
    }
}

/// One message that cannot be read: a line of JSON, or a line for people.
pub fn unreadable(row: &Row, failure: &Failure, progress: &ProgressBar, out: &Out) -> Result<(), Failure> {
    match out.form() {
        Form::Json => out.record(&[], &json!({"id": row.id.to_string(), "error": failure.text})),
        Form::Text => {
            progress.suspend(|| talk("error", &failure.text, None));
            Ok(())
        }
    }
}

/// Messages and messages per second, on a terminal.
pub fn counting() -> ProgressStyle {
    // The template is ours; the default is as good where it is not understood.
    ProgressStyle::with_template("{spinner} {pos} messages, {per_sec}, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
