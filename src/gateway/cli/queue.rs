//! `sealpost queue`: mail that is not delivered yet; asks a running server, else reads the journal itself.

use super::args::Queue;
use super::{Failure, Out};
use crate::gateway::control::{self, Request};
use crate::gateway::offline;
use crate::gateway::post::Places;
use crate::gateway::{files, queue_rows};
use crate::mail::MailId;
use serde_json::Value;
use std::path::Path;

/// Runs one of the commands.
pub fn run(command: &Queue, config: &Path, out: &Out) -> Result<(), Failure> {
    let places = Places::of(&files::configuration(config)?);
    let request = match command {
        Queue::List => Request::QueueList,
        Queue::Retry { ids, .. } => {
            if let Some(bad) = ids.iter().find(|id| MailId::parse(id).is_none()) {
                return Err(Failure::bad(format!("`{bad}` is not an id (32 hex digits)")));
            }
            Request::QueueRetry { ids: ids.clone() }
        }
    };
    let rows = match control::ask(&places.control, &request).map_err(Failure::temporary)? {
        Some(answer) => answer.map_err(Failure::bad)?,
        None => stopped(command, config)?,
    };
    match command {
        Queue::List => out.table(&["id", "state", "from", "rcpt"], &rows),
        Queue::Retry { .. } => rows.iter().for_each(|row| out.record(row)),
    }
    Ok(())
}

/// Without a server: the list can be read; there is nobody who could try again.
fn stopped(command: &Queue, config: &Path) -> Result<Vec<Value>, Failure> {
    match command {
        Queue::List => {
            let (journal, _) = offline::open_store(config)?;
            Ok(journal.pending().iter().map(queue_rows::row).collect())
        }
        Queue::Retry { .. } => Err(Failure::temporary("no server runs on this configuration")
            .with_help("start it; everything deferred is tried when it is due")),
    }
}
