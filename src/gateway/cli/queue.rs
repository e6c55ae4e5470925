//! `sealpost queue`: mail that is not delivered yet; asks a running server, else reads the journal itself.

use super::args::Queue;
use super::out::Form;
use super::{Failure, Out, ask};
use crate::gateway::control::Request;
use crate::gateway::offline;
use crate::gateway::post::Places;
use crate::gateway::{files, rows};
use crate::mail::MailId;
use serde_json::Value;
use std::path::Path;

/// Runs one of the commands.
pub fn run(command: &Queue, config: &Path, out: &Out) -> Result<(), Failure> {
    let places = Places::of(&files::configuration(config)?);
    let request = match command {
        Queue::List => Request::QueueList,
        Queue::Retry { ids, .. } => Request::QueueRetry { ids: ids.iter().map(ToString::to_string).collect() },
    };
    let rows = match ask(&places, &request)? {
        Some(rows) => rows,
        None => stopped(command, config)?,
    };
    match command {
        Queue::List => list(&rows, out),
        Queue::Retry { ids, .. } => retried(&rows, ids, out),
    }
}

/// For people a line for each recipient, since each has a fate of its own.
fn list(rows: &[Value], out: &Out) -> Result<(), Failure> {
    match out.form() {
        Form::Json => out.table(&[], rows),
        Form::Text => {
            let lines: Vec<Value> = rows.iter().flat_map(rows::queue::by_recipient).collect();
            out.table(&["id", "from", "rcpt", "state", "next_at", "reply"], &lines)
        }
    }
}

fn retried(rows: &[Value], ids: &[MailId], out: &Out) -> Result<(), Failure> {
    rows.iter().try_for_each(|row| out.record(&[], row))?;
    let is_none = rows.iter().all(|row| row["retried"] == 0);
    match is_none && !ids.is_empty() {
        true => Err(Failure::bad("nothing with this id waits for another try")
            .with_help("`sealpost queue list` shows what is queued; what is delivered is in `sealpost archive list`")),
        false => Ok(()),
    }
}

/// Without a server: the list can be read; there is nobody who could try again.
fn stopped(command: &Queue, config: &Path) -> Result<Vec<Value>, Failure> {
    match command {
        Queue::List => {
            let (journal, _) = offline::open_store(config)?;
            Ok(journal.pending().iter().map(rows::queue::row).collect())
        }
        Queue::Retry { .. } => Err(Failure::temporary("no server runs on this configuration")
            .with_help("start it; everything deferred is tried when it is due")),
    }
}
