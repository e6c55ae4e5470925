//! `sealpost archive`: what was accepted, read and checked by those who may.

use super::archive_acts as acts;
use super::args::{Archive as Command, ExportForm};
use super::officer_args::Openers;
use super::openers;
use super::out::{Form, Reader};
use super::recorded::Recorder;
use super::{Failure, Out, archive_export, archive_import, archive_restore, ask, assurance, evidence};
use crate::archive::{Archive, ResultRecord, Unlocked};
use crate::catalog::{Listing, OpenedArchive, Query, Reference, Row, Sealed};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::crypto::sha256;
use crate::durable::{Disk, RealDisk};
use crate::gateway::acts::request::ExpireRequest;
use crate::gateway::config::Config;
use crate::gateway::control::Request;
use crate::gateway::drills::Drills;
use crate::gateway::error::Error;
use crate::gateway::post::Places;
use crate::gateway::{anchoring, files, offline, reading, rows, scrubbing};
use crate::mail::Direction;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The order in which people are told of the archive.
const STATUS: [&str; 15] = [
    "id",
    "messages",
    "pending",
    "queued",
    "sealing",
    "view",
    "unlocked_until",
    "shares",
    "shares_until",
    "indexing",
    "scrub",
    "checkpoints",
    "stored_bytes",
    "raw_bytes",
    "sealed_through",
];
/// The order in which people are told of a message.
const SHOWN: [&str; 12] = [
    "id",
    "accepted_at",
    "direction",
    "class",
    "keep_until",
    "from",
    "to",
    "subject",
    "message_id",
    "size",
    "mailbox",
    "uid",
];

/// Runs one of the commands.
pub fn run(command: Command, config_path: &Path, out: &Out) -> Result<(), Failure> {
    let config = files::configuration(config_path)?;
    let places = Places::of(&config);
    match command {
        Command::Status => status(&places, config_path, out),
        Command::Seal => seal(&places, config_path, &config, out),
        Command::List { query, by } => {
            let (words, query) = (query.join(" "), parse(&query)?);
            let room = Room::open_by(&by, &config)?;
            Recorder::new(&places, room.archive())?.search("archive list", &words)?;
            list(&room, &query, out)
        }
        Command::Show { message, why, by } => show(&places, &Room::open_by(&by, &config)?, &message, why, out),
        Command::Export { query, format, form, evidence: proves, output, by } => {
            let (words, query) = (query.join(" "), parse(&query)?);
            let room = Room::open_by(&by, &config)?;
            let mut recorder = Recorder::new(&places, room.archive())?;
            recorder.search("archive export", &words)?;
            recorder.walk("archive export", &room.listing, &query)?;
            let exported = match proves {
                true => evidence::export(&room, &query, &output, out),
                false => archive_export::run(&room, &query, (format, form), &output, out),
            };
            recorder.end()?;
            exported
        }
        Command::Import(options) => archive_import::run(&config, config_path, &options, out),
        Command::Restore(options) => {
            let (words, query) = (options.query.join(" "), parse(&options.query)?);
            let room = Room::open(&config)?;
            let mut recorder = Recorder::new(&places, room.archive())?;
            recorder.search("archive restore", &words)?;
            recorder.walk("archive restore", &room.listing, &query)?;
            let restored = archive_restore::run(&config, &room, &query, &options, out);
            recorder.end()?;
            restored
        }
        // Dispatched before this: some of it needs no configuration.
        Command::Officer(_) | Command::Drill(_) => Err(Failure::bad("bug: dispatched twice")),
        Command::Verify { level, checkpoint, by } => {
            let unlocked = if level == 0 { None } else { Some(unlock(&by, &config, &places)?) };
            assurance::verify((&config, &places), (level, unlocked.as_ref()), checkpoint.as_deref(), out)
        }
        Command::Hold(hold) => acts::hold(&config, config_path, &hold, out),
        Command::Release { name, reason } => acts::release(&config, config_path, name, reason, out),
        Command::Holds => acts::holds(&places, out),
        Command::Erase(erase) => acts::erase(&config, config_path, &erase, out),
        Command::Expire { class, before, dry_run, limit, yes } => {
            let request = ExpireRequest { class, before, limit, dry_run: !yes, by: acts::by() };
            acts::expire(&config, config_path, request, acts::Wish::of(dry_run, yes), out)
        }
        Command::Receipts { act } => acts::receipts(&places, act, out),
        Command::Checkpoint => assurance::checkpoint(&config, &places, config_path, out),
    }
}

/// Words given one by one are one query.
fn parse(words: &[String]) -> Result<Query, Failure> {
    Query::parse(&words.join(" ")).map_err(Failure::bad)
}

/// The archive unlocked, and its list.
pub struct Room {
    /// The archive.
    pub opened: Arc<OpenedArchive>,
    /// The list.
    pub listing: Listing,
}

impl Room {
    /// Unlocks with the key that the configuration names.
    pub fn open(config: &Config) -> Result<Room, Failure> {
        Room::open_by(&Openers::default(), config)
    }
    fn open_by(by: &Openers, config: &Config) -> Result<Room, Failure> {
        let places = Places::of(config);
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let opened = Arc::new(OpenedArchive::new(unlock(by, config, &places)?));
        let reader = reading::reader_for_command(config, &disk, &clock, &opened).map_err(Failure::temporary)?;
        let listing = reader.listing().map_err(Failure::bad)?;
        Ok(Room { opened, listing })
    }
    fn archive(&self) -> &Archive {
        self.opened.unlocked().archive()
    }
    /// What became of a message after it was sealed.
    pub fn late_results(&self, row: &Row) -> Result<Vec<ResultRecord>, Failure> {
        let mut results = Vec::new();
        for segment in self.listing.events(row.uid).map_err(Failure::bad)? {
            let info = self.opened.info(&segment).map_err(Failure::bad)?;
            let events = self.opened.unlocked().events(&info).map_err(Failure::bad)?;
            results.extend(events.into_iter().filter(|event| event.id == row.id).flat_map(|event| event.results));
        }
        Ok(results)
    }
    /// Names of the holds on a message.
    fn holds(&self, row: &Row) -> Result<Vec<String>, Failure> {
        let info = self.opened.info(&row.segment).map_err(Failure::bad)?;
        self.opened.unlocked().archive().holds_on(&info.seal.segment, row.slot).map_err(Failure::bad)
    }
    /// The octets that were received, checked once more against what the catalog knows of them, or the readable form in them.
    pub fn octets(&self, row: &Row, form: ExportForm) -> Result<Vec<u8>, Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::bad(format!("{}: {e}", row.id));
        let octets = self.opened.octets(&row.segment, row.slot).map_err(|e| failed(&e))?;
        if sha256(&octets) != row.sha256 {
            return Err(failed(&"not the octets that were accepted"));
        }
        match (form, row.readable) {
            (ExportForm::Received, _) | (ExportForm::Readable, None) => Ok(octets),
            (ExportForm::Readable, Some(slice)) => {
                let readable = slice.of(&octets).ok_or_else(|| failed(&"shorter than its readable form"))?;
                Ok(readable.to_vec())
            }
        }
    }
}

/// The archive opened by the officers who are here, or with the key that the configuration names.
pub fn unlock(by: &Openers, config: &Config, places: &Places) -> Result<Unlocked, Failure> {
    let archive = Archive::open_read_only(Arc::new(RealDisk), &places.archive)
        .map_err(|e| Error::archive(&places.archive, &e))?;
    if by.is_given() {
        let secrets = openers::secrets(by, Some(&config.view), &archive.generation())?;
        return archive.unlocked(secrets).map_err(Failure::bad);
    }
    reading::unlock(config, &archive).map_err(|e| {
        Failure::temporary(format!("the archive is locked: {e}")).with_help(
            "put the officer's key where [view] officer_key and passphrase_file say, or name officers' keys with --key: only they open sealed mail",
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
            rows::archive::add(&mut status, crate::gateway::acts::counts(&archive).map_err(Failure::bad)?);
            status["queued"] = Value::from(journal.pending_ids().len());
            let drills = Drills::load(&RealDisk, &places.drills)?;
            status["drill"] = drills.shown(&archive.generation(), SystemClock.now());
            let config = files::configuration(config_path)?;
            status["checkpoints"] = anchoring::shown(&RealDisk, &config);
            status["scrub"] = scrubbing::shown(&RealDisk, &config);
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
pub fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn show(places: &Places, room: &Room, message: &str, why: bool, out: &Out) -> Result<(), Failure> {
    let found = room.listing.find(&Reference::parse(message)).map_err(Failure::bad)?;
    if found.is_empty() {
        return Err(Failure::bad(format!("no sealed message is `{message}`"))
            .with_help("an id, a Message-ID, or MAILBOX/UID; `sealpost archive seal` seals what was just accepted"));
    }
    Recorder::new(places, room.archive())?.show(&found, if why { "why" } else { "summary" })?;
    for row in &found {
        let meta = room.opened.meta(&row.segment, row.slot).map_err(|e| {
            Failure::bad(format!("{}: {e}", row.id))
                .with_help("`sealpost archive verify --level 2` says what is damaged; restore that from a copy")
        })?;
        let accept = meta.accept().map_err(|e| Failure::bad(format!("{}: {e}", row.id)))?;
        // Rulings and results are about the transaction, also where a report states other recipients.
        let handed_in: Vec<String> = accept.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
        if why {
            let mut rows = rows::archive::why(&row.id, &handed_in, &accept.ruling).map_err(Failure::bad)?;
            if let Some(reported) = &accept.reported {
                rows.iter_mut().for_each(|row| rows::reported::add_why(row, reported));
            }
            match out.form() {
                Form::Json => out.table(&[], &rows)?,
                Form::Text => rows.iter().try_for_each(|row| out.line(&rows::archive::why_text(row)))?,
            }
            continue;
        }
        let mut shown = rows::archive::message(row);
        shown["protected_until"] = Value::from(accept.protected_until.map(Timestamp::rfc3339));
        shown["holds"] = Value::from(room.holds(row)?);
        shown["protocol"] = Value::from(accept.client.protocol.clone());
        if accept.client.direction == Direction::Import {
            shown["envelope"] = Value::from("none was seen: from and to are what header and From_ line say");
            shown["source"] = Value::from(accept.client.ehlo.clone());
        } else {
            shown["client"] = Value::from(accept.client.ip.to_string());
            shown["ehlo"] = Value::from(accept.client.ehlo.clone());
        }
        let results: Vec<ResultRecord> = meta.results.into_iter().chain(room.late_results(row)?).collect();
        shown["results"] = rows::archive::results(&handed_in, &results);
        if let Some(reported) = &accept.reported {
            shown["handed_in"] = json!({"from": accept.envelope.sender_text(), "to": handed_in});
            shown["reported"] = rows::reported::reported(reported);
        }
        out.record(&SHOWN, &shown)?;
    }
    Ok(())
}

/// Ends a walk through the list: with a failure, or because nobody reads on.
pub struct Stop(pub Option<Failure>);

impl From<crate::catalog::Error> for Stop {
    fn from(error: crate::catalog::Error) -> Stop {
        Stop(Some(Failure::bad(error)))
    }
}
