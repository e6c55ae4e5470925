//! `sealpost archive`: what was accepted, read and checked by those who may.

use super::args::Archive as Command;
use super::out::{Form, Reader};
use super::{Failure, Out, archive_export, archive_import, archive_restore, ask, talk};
use crate::archive::{self, Archive, ResultRecord, Unlocked, VerifyOptions};
use crate::catalog::{Listing, OpenedArchive, Query, Reference, Row, Sealed};
use crate::clock::{Clock, SystemClock};
use crate::crypto::sha256;
use crate::durable::{Disk, RealDisk};
use crate::gateway::config::Config;
use crate::gateway::control::Request;
use crate::gateway::error::Error;
use crate::gateway::post::Places;
use crate::gateway::{files, offline, reading, rows};
use crate::journal::LeafEntry;
use crate::mail::Direction;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The order in which people are told of the archive.
const STATUS: [&str; 10] = [
    "id",
    "messages",
    "pending",
    "queued",
    "sealing",
    "view",
    "indexing",
    "stored_bytes",
    "raw_bytes",
    "sealed_through",
];
/// The order in which people are told of a message.
const SHOWN: [&str; 11] =
    ["id", "accepted_at", "direction", "class", "from", "to", "subject", "message_id", "size", "mailbox", "uid"];

/// Runs one of the commands.
pub fn run(command: Command, config_path: &Path, out: &Out) -> Result<(), Failure> {
    let config = files::configuration(config_path)?;
    let places = Places::of(&config);
    match command {
        Command::Status => status(&places, config_path, out),
        Command::Seal => seal(&places, config_path, &config, out),
        Command::List { query } => {
            let query = parse(&query)?;
            list(&Room::open(&config)?, &query, out)
        }
        Command::Show { message, why } => show(&Room::open(&config)?, &message, why, out),
        Command::Export { query, format, output } => {
            let query = parse(&query)?;
            archive_export::run(&Room::open(&config)?, &query, format, &output, out)
        }
        Command::Import(options) => archive_import::run(&config, config_path, &options, out),
        Command::Restore(options) => {
            let query = parse(&options.query)?;
            archive_restore::run(&config, &Room::open(&config)?, &query, &options, out)
        }
        Command::Verify { level, checkpoint } => verify(&config, &places, level, checkpoint.as_deref(), out),
    }
}

/// Words given one by one are one query.
fn parse(words: &[String]) -> Result<Query, Failure> {
    Query::parse(&words.join(" ")).map_err(Failure::bad)
}

/// The archive unlocked, and its list.
pub(super) struct Room {
    pub opened: Arc<OpenedArchive>,
    pub listing: Listing,
}

impl Room {
    pub fn open(config: &Config) -> Result<Room, Failure> {
        let places = Places::of(config);
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let opened = Arc::new(OpenedArchive::new(unlock(config, &places)?));
        let reader = reading::reader_for_command(config, &disk, &clock, &opened).map_err(Failure::temporary)?;
        let listing = reader.listing().map_err(Failure::bad)?;
        Ok(Room { opened, listing })
    }
    /// What became of a message after it was sealed.
    fn late_results(&self, row: &Row) -> Result<Vec<ResultRecord>, Failure> {
        let mut results = Vec::new();
        for segment in self.listing.events(row.uid).map_err(Failure::bad)? {
            let info = self.opened.info(&segment).map_err(Failure::bad)?;
            let events = self.opened.unlocked().events(&info).map_err(Failure::bad)?;
            results.extend(events.into_iter().filter(|event| event.id == row.id).flat_map(|event| event.results));
        }
        Ok(results)
    }
    /// The octets that were received, checked once more against what the catalog knows of them.
    pub fn octets(&self, row: &Row) -> Result<Vec<u8>, Failure> {
        let failed = |what: &dyn std::fmt::Display| Failure::bad(format!("{}: {what}", row.id));
        let octets = self.opened.octets(&row.segment, row.slot).map_err(|e| failed(&e))?;
        if sha256(&octets) == row.sha256 { Ok(octets) } else { Err(failed(&"not the octets that were accepted")) }
    }
}

/// The archive opened with the officer's key.
fn unlock(config: &Config, places: &Places) -> Result<Unlocked, Failure> {
    let archive = Archive::open_read_only(Arc::new(RealDisk), &places.archive)
        .map_err(|e| Error::archive(&places.archive, &e))?;
    reading::unlock(config, &archive).map_err(|e| {
        Failure::temporary(format!("the archive is locked: {e}")).with_help(
            "put the officer's key where [view] officer_key and passphrase_file say; only it opens sealed mail",
        )
    })
}

fn list(room: &Room, query: &Query, out: &Out) -> Result<(), Failure> {
    let mut table = out.open_table(&["accepted_at", "id", "from", "to", "subject", "size"]);
    let listed = room.listing.each(query, |row| match table.row(&rows::archive::message(&row)) {
        Ok(Reader::There) => Ok(()),
        Ok(Reader::Gone) => Err(Stop(None)),
        Err(failure) => Err(Stop(Some(failure))),
    });
    match listed {
        Ok(()) => table.finish(),
        Err(Stop(None)) => Ok(()),
        Err(Stop(Some(failure))) => Err(failure),
    }
}

fn status(places: &Places, config_path: &Path, out: &Out) -> Result<(), Failure> {
    let rows = match ask(places, &Request::Status)? {
        Some(rows) => rows,
        None => {
            let (journal, archive) = offline::open_store(config_path)?;
            let mut status = rows::archive::status(&archive, Some(&journal)).map_err(Failure::bad)?;
            status["queued"] = Value::from(journal.pending_ids().len());
            vec![status]
        }
    };
    rows.iter().try_for_each(|row| out.record(&STATUS, row))
}

fn seal(places: &Places, config_path: &Path, config: &Config, out: &Out) -> Result<(), Failure> {
    let busy = spinner("sealing");
    let rows = match ask(places, &Request::Seal)? {
        Some(rows) => rows,
        None => {
            let (journal, archive) = offline::open_store(config_path)?;
            let report = archive.seal(&journal, &SystemClock).map_err(|e| Error::archive(&places.archive, &e))?;
            // The list is brought up to date where it can be read.
            if let Err(failure) = Room::open(config).map(drop) {
                tracing::debug!("not indexed: {}", failure.text);
            }
            vec![json!({"messages": report.messages, "sealed_through": report.sealed_through})]
        }
    };
    busy.finish_and_clear();
    rows.iter().try_for_each(|row| out.record(&[], row))
}

/// Says on a terminal that long work is under way.
fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn show(room: &Room, message: &str, why: bool, out: &Out) -> Result<(), Failure> {
    let found = room.listing.find(&Reference::parse(message)).map_err(Failure::bad)?;
    if found.is_empty() {
        return Err(Failure::bad(format!("no sealed message is `{message}`"))
            .with_help("an id, a Message-ID, or MAILBOX/UID; `sealpost archive seal` seals what was just accepted"));
    }
    for row in &found {
        let meta = room.opened.meta(&row.segment, row.slot).map_err(|e| {
            Failure::bad(format!("{}: {e}", row.id))
                .with_help("`sealpost archive verify --level 2` says what is damaged; restore that from a copy")
        })?;
        let accept = meta.accept().map_err(|e| Failure::bad(format!("{}: {e}", row.id)))?;
        if why {
            let rows = rows::archive::why(&row.id, &row.recipients, &accept.ruling).map_err(Failure::bad)?;
            match out.form() {
                Form::Json => out.table(&[], &rows)?,
                Form::Text => rows.iter().try_for_each(|row| out.line(&rows::archive::why_text(row)))?,
            }
            continue;
        }
        let mut shown = rows::archive::message(row);
        shown["protocol"] = Value::from(accept.client.protocol.clone());
        if accept.client.direction == Direction::Import {
            shown["envelope"] = Value::from("none was seen: from and to are what header and From_ line say");
            shown["source"] = Value::from(accept.client.ehlo.clone());
        } else {
            shown["client"] = Value::from(accept.client.ip.to_string());
            shown["ehlo"] = Value::from(accept.client.ehlo.clone());
        }
        let results: Vec<ResultRecord> = meta.results.into_iter().chain(room.late_results(row)?).collect();
        shown["results"] = rows::archive::results(&row.recipients, &results);
        out.record(&SHOWN, &shown)?;
    }
    Ok(())
}

/// Ends a walk through the list: with a failure, or because nobody reads on.
pub(super) struct Stop(pub Option<Failure>);

impl From<crate::catalog::Error> for Stop {
    fn from(error: crate::catalog::Error) -> Stop {
        Stop(Some(Failure::bad(error)))
    }
}

/// What a running server has accepted and not sealed. A copy of the archive is verified without: nothing here needs a server.
fn journal_leaves(places: &Places) -> Result<Vec<LeafEntry>, Failure> {
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

fn verify(config: &Config, places: &Places, level: u8, checkpoint: Option<&Path>, out: &Out) -> Result<(), Failure> {
    let outside = checkpoint.map(|path| std::fs::read(path).map_err(|e| Error::io(path, &e))).transpose()?;
    let unlocked = match level {
        0 => None,
        _ => Some(unlock(config, places)?),
    };
    let journal = journal_leaves(places)?;
    let busy = spinner("verifying");
    let options = VerifyOptions { unlocked: unlocked.as_ref(), checkpoint: outside.as_deref(), journal: &journal };
    let report = archive::verify(&RealDisk, &places.archive, &options);
    busy.finish_and_clear();
    let findings: Vec<Value> = report.findings.iter().map(rows::archive::finding).collect();
    out.table(&["level", "object", "kind", "detail"], &findings)?;
    out.record(&["ok", "accepted", "covered", "pending", "missing"], &rows::archive::summary(&report))?;
    match findings.len() {
        0 => Ok(()),
        count => Err(Failure::bad(format!("{}: {count} findings", places.archive.display()))
            .with_help("keep it as it is for whoever investigates; restore what is named from a copy beside it")),
    }
}
