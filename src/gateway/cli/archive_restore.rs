//! `sealpost archive restore`: messages out of the archive, back into a mail system.

use super::archive::{Room, Stop};
use super::archive_export::{counting, unreadable};
use super::args::ExportForm;
use super::args_transfer::RestoreOptions;
use super::out::Form;
use super::{Failure, Out, talk};
use crate::catalog::{Query, Row};
use crate::durable::RealDisk;
use crate::gateway::config::Config;
use crate::gateway::restore::place::{Place, Wishes};
use crate::gateway::restore::{Fault, Message, Put};
use crate::mail::Envelope;
use indicatif::ProgressBar;
use serde_json::json;
use std::time::{Duration, Instant};

const GOING_ON: &str = "run it again: it goes on where it stopped";

/// A restore under way.
struct Restore<'a> {
    room: &'a Room,
    options: &'a RestoreOptions,
    out: &'a Out,
    place: Place<'a>,
    progress: ProgressBar,
    begun: Instant,
    read: u64,
    restored: u64,
    skipped: u64,
    failed: u64,
    in_doubt: u64,
}

/// Runs the command.
pub fn run(config: &Config, room: &Room, query: &Query, options: &RestoreOptions, out: &Out) -> Result<(), Failure> {
    let wishes = Wishes {
        recipients: options.rcpt.clone(),
        password_file: options.password_file.clone(),
        ca_file: options.ca_file.clone(),
    };
    let mut restore = Restore {
        room,
        options,
        out,
        place: Place::open(&RealDisk, config, &options.to, wishes)?,
        progress: ProgressBar::new_spinner().with_style(counting()),
        begun: Instant::now(),
        read: 0,
        restored: 0,
        skipped: 0,
        failed: 0,
        in_doubt: 0,
    };
    let walked = room.listing.each(query, |row| restore.message(&row));
    restore.progress.finish_and_clear();
    let Restore { place, read, restored, skipped, failed, in_doubt, .. } = restore;
    let finished = place.finish();
    let report =
        json!({"read": read, "restored": restored, "skipped": skipped, "failed": failed, "in_doubt": in_doubt});
    out.record(&["read", "restored", "skipped", "failed", "in_doubt"], &report)?;
    if let Err(Stop(Some(failure))) = walked {
        return Err(failure);
    }
    finished?;
    match failed {
        0 => Ok(()),
        count => Err(Failure::bad(format!("{count} messages were not restored; each is named above"))
            .with_help("run it again when what is said of each is seen to: what is there is left out")),
    }
}

impl Restore<'_> {
    fn message(&mut self, row: &Row) -> Result<(), Stop> {
        self.read += 1;
        self.progress.set_position(self.read);
        if self.place.has(row) {
            self.skipped += 1;
            return Ok(());
        }
        let (envelope, octets) = match self.opened(row) {
            Ok(opened) => opened,
            // One message that cannot be read does not keep the others back.
            Err(failure) => {
                self.failed += 1;
                return unreadable(row, &failure, &self.progress, self.out).map_err(|failure| Stop(Some(failure)));
            }
        };
        let was_in_doubt = self.is_in_doubt(row);
        let put = self.place.put(&Message { row, envelope: &envelope, octets: &octets });
        match put {
            Ok(Put::Skipped) => self.skipped += 1,
            Ok(Put::Done) => {
                self.restored += 1;
                if was_in_doubt {
                    self.in_doubt += 1;
                    self.say(row, "in_doubt", "was being handed over when a former run ended: it may be there twice")?;
                }
                self.pause();
            }
            Err(Fault::Message(text)) => {
                self.failed += 1;
                self.say(row, "error", &text)?;
            }
            Err(Fault::Ended(text)) => return Err(stop(&text)),
        }
        Ok(())
    }

    fn opened(&self, row: &Row) -> Result<(Envelope, Vec<u8>), Failure> {
        let failed = |what: &dyn std::fmt::Display| Failure::bad(format!("{}: {what}", row.id));
        let octets = self.room.octets(row, ExportForm::Received)?;
        let meta = self.room.opened.meta(&row.segment, row.slot).map_err(|e| failed(&e))?;
        Ok((meta.accept().map_err(|e| failed(&e))?.envelope, octets))
    }

    fn is_in_doubt(&self, row: &Row) -> bool {
        let named: Vec<String> = self.options.rcpt.iter().map(ToString::to_string).collect();
        self.place.is_in_doubt(row, if named.is_empty() { &row.recipients } else { &named })
    }

    fn pause(&self) {
        let Some(rate) = self.options.rate else { return };
        let due = Duration::from_secs_f64(self.restored as f64 / f64::from(rate));
        std::thread::sleep(due.saturating_sub(self.begun.elapsed()));
    }

    /// What is to be said of one message: a line of JSON, or a line for people.
    fn say(&self, row: &Row, kind: &str, text: &str) -> Result<(), Stop> {
        match self.out.form() {
            Form::Json => {
                let line = json!({"id": row.id.to_string(), kind: text});
                self.out.record(&[], &line).map_err(|failure| Stop(Some(failure)))
            }
            Form::Text => {
                let level = if kind == "error" { "error" } else { "warning" };
                self.progress.suspend(|| talk(level, &format!("{}: {text}", row.id), None));
                Ok(())
            }
        }
    }
}

fn stop(text: &str) -> Stop {
    Stop(Some(Failure::temporary(text).with_help(GOING_ON)))
}
