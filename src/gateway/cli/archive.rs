//! `sealpost archive`: what was accepted, read and checked by those who may.

use super::args::{Archive as Command, ExportFormat};
use super::{Failure, Out};
use crate::archive::{self, Archive, VerifyOptions};
use crate::catalog::{Listing, OpenedArchive, Query, Reference, Row, Sealed};
use crate::clock::{Clock, SystemClock};
use crate::durable::{Disk, RealDisk};
use crate::gateway::config::Config;
use crate::gateway::control::{self, Request};
use crate::gateway::export::{Export, Writer};
use crate::gateway::post::Places;
use crate::gateway::{archive_rows, files, offline, reading};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Runs one of the commands.
pub fn run(command: Command, config_path: &Path, out: &Out) -> Result<(), Failure> {
    let config = files::configuration(config_path)?;
    let places = Places::of(&config);
    match command {
        Command::Status => status(&places, config_path, out),
        Command::Seal => seal(&places, config_path, &config, out),
        Command::List { query } => {
            let query = parse(&query)?;
            let room = Room::open(&config)?;
            let mut rows = Vec::new();
            room.listing
                .each(&query, |row| {
                    rows.push(archive_rows::message(&row));
                    Ok::<(), crate::catalog::Error>(())
                })
                .map_err(Failure::bad)?;
            out.table(&["accepted_at", "id", "from", "to", "subject", "size"], &rows);
            Ok(())
        }
        Command::Show { message, why } => show(&Room::open(&config)?, &message, why, out),
        Command::Export { query, format, output } => {
            let query = parse(&query)?;
            export(&Room::open(&config)?, &query, format, &output, out)
        }
        Command::Verify { level, checkpoint } => verify(&config, &places, level, checkpoint.as_deref(), out),
    }
}

/// Words given one by one are one query.
fn parse(words: &[String]) -> Result<Query, Failure> {
    Query::parse(&words.join(" ")).map_err(Failure::bad)
}

/// The archive unlocked, and its list.
struct Room {
    opened: Arc<OpenedArchive>,
    listing: Listing,
}

impl Room {
    fn open(config: &Config) -> Result<Room, Failure> {
        let places = Places::of(config);
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let archive = Archive::open_read_only(disk.clone(), &places.archive).map_err(Failure::bad)?;
        let unlocked = reading::unlock(config, &archive).map_err(|e| {
            Failure::temporary(format!("the archive is locked: {e}"))
                .with_help("[view] officer_key and passphrase_file name the officer's key")
        })?;
        let opened = Arc::new(OpenedArchive::new(unlocked));
        let reader = reading::reader_for_command(config, &disk, &clock, &opened).map_err(Failure::temporary)?;
        let listing = reader.listing().map_err(Failure::bad)?;
        Ok(Room { opened, listing })
    }
    fn octets(&self, row: &Row) -> Result<Vec<u8>, Failure> {
        self.opened.octets(&row.segment, row.slot).map_err(|e| Failure::bad(format!("{}: {e}", row.id)))
    }
}

fn status(places: &Places, config_path: &Path, out: &Out) -> Result<(), Failure> {
    let rows = match control::ask(&places.control, &Request::Status).map_err(Failure::temporary)? {
        Some(answer) => answer.map_err(Failure::bad)?,
        None => {
            let (journal, archive) = offline::open_store(config_path)?;
            vec![archive_rows::status(&archive, Some(&journal)).map_err(Failure::bad)?]
        }
    };
    rows.iter().for_each(|row| out.record(row));
    Ok(())
}

fn seal(places: &Places, config_path: &Path, config: &Config, out: &Out) -> Result<(), Failure> {
    let rows = match control::ask(&places.control, &Request::Seal).map_err(Failure::temporary)? {
        Some(answer) => answer.map_err(Failure::temporary)?,
        None => {
            let (journal, archive) = offline::open_store(config_path)?;
            let report = archive.seal(&journal, &SystemClock).map_err(Failure::bad)?;
            // The list is brought up to date where it can be read.
            if let Err(failure) = Room::open(config).map(drop) {
                tracing::debug!("not indexed: {}", failure.text);
            }
            vec![json!({"messages": report.messages, "sealed_through": report.sealed_through})]
        }
    };
    rows.iter().for_each(|row| out.record(row));
    Ok(())
}

fn show(room: &Room, message: &str, why: bool, out: &Out) -> Result<(), Failure> {
    let found = room.listing.find(&Reference::parse(message)).map_err(Failure::bad)?;
    if found.is_empty() {
        return Err(Failure::bad(format!("no sealed message is `{message}`"))
            .with_help("an id, a Message-ID, or MAILBOX/UID; `sealpost archive seal` seals what was just accepted"));
    }
    for row in &found {
        let meta = room.opened.meta(&row.segment, row.slot).map_err(Failure::bad)?;
        let accept = meta.accept().map_err(|e| Failure::bad(format!("{}: {e}", row.id)))?;
        if why {
            let rows = archive_rows::why(&row.id, &row.recipients, &accept.ruling).map_err(Failure::bad)?;
            rows.iter().for_each(|row| out.record(row));
            continue;
        }
        let mut shown = archive_rows::message(row);
        shown["client"] = Value::from(accept.client.ip.to_string());
        shown["ehlo"] = Value::from(accept.client.ehlo.clone());
        shown["protocol"] = Value::from(accept.client.protocol.clone());
        shown["results"] = results(&meta);
        out.record(&shown);
    }
    Ok(())
}

fn results(meta: &archive::Meta) -> Value {
    let one = |record: &archive::ResultRecord| match record.result() {
        Ok(result) => json!({"recipient": result.recipient, "at": result.at.rfc3339(), "next_hop": result.next_hop,
                             "outcome": format!("{:?}", result.outcome)}),
        Err(e) => json!({"unreadable": e.to_string()}),
    };
    Value::from(meta.results.iter().map(one).collect::<Vec<_>>())
}

fn export(room: &Room, query: &Query, format: ExportFormat, output: &Path, out: &Out) -> Result<(), Failure> {
    let format = match format {
        ExportFormat::Eml => Export::Eml,
        ExportFormat::Mbox => Export::Mbox,
    };
    let failed = |e: std::io::Error| Failure::bad(format!("{}: {e}", output.display()));
    let mut writer = Writer::create(format, output).map_err(failed)?;
    let progress = indicatif::ProgressBar::new_spinner().with_message("exported");
    let (mut messages, mut octets_total) = (0u64, 0u64);
    let mut damaged = Vec::new();
    let mut write = |row: Row| -> Result<(), Stop> {
        match room.octets(&row) {
            Ok(octets) => {
                writer.write(&row, &octets).map_err(|e| Stop(failed(e)))?;
                messages += 1;
                octets_total += row.size;
                progress.inc(1);
            }
            // One message that cannot be read does not keep the others from the officer.
            Err(failure) => damaged.push(failure.text),
        }
        Ok(())
    };
    room.listing.each(query, &mut write).map_err(|Stop(failure)| failure)?;
    writer.finish().map_err(failed)?;
    progress.finish_and_clear();
    out.record(&json!({"messages": messages, "bytes": octets_total, "failed": damaged.len()}));
    damaged.iter().for_each(|text| eprintln!("error: {text}"));
    if damaged.is_empty() { Ok(()) } else { Err(Failure::silent()) }
}

/// Ends a walk through the list.
struct Stop(Failure);

impl From<crate::catalog::Error> for Stop {
    fn from(error: crate::catalog::Error) -> Stop {
        Stop(Failure::bad(error))
    }
}

fn verify(config: &Config, places: &Places, level: u8, checkpoint: Option<&Path>, out: &Out) -> Result<(), Failure> {
    let outside = checkpoint
        .map(|path| std::fs::read(path).map_err(|e| Failure::bad(format!("{}: {e}", path.display()))))
        .transpose()?;
    let unlocked = match level {
        0 => None,
        _ => {
            let archive = Archive::open_read_only(Arc::new(RealDisk), &places.archive).map_err(Failure::bad)?;
            Some(reading::unlock(config, &archive).map_err(Failure::temporary)?)
        }
    };
    let options = VerifyOptions { unlocked: unlocked.as_ref(), checkpoint: outside.as_deref(), journal: &[] };
    let report = archive::verify(&RealDisk, &places.archive, &options);
    let findings: Vec<Value> = report.findings.iter().map(archive_rows::finding).collect();
    out.table(&["level", "object", "kind", "detail"], &findings);
    out.record(&archive_rows::summary(&report));
    if report.is_ok() { Ok(()) } else { Err(Failure::silent()) }
}
