//! `sealpost queue`: mail that is not delivered yet; asks a running server, else opens the journal itself.

use super::args::{Choose, Queue, QueueState, Select};
use super::out::Form;
use super::{Failure, Out, ask};
use crate::clock::{Clock, SystemClock};
use crate::gateway::control::Request;
use crate::gateway::error::Error;
use crate::gateway::observe::Audit;
use crate::gateway::post::Places;
use crate::gateway::queue::{self, Action, Progress, Selection};
use crate::gateway::{files, offline, rows};
use serde_json::Value;
use std::path::Path;

/// Runs one of the commands.
pub fn run(command: &Queue, config: &Path, out: &Out) -> Result<(), Failure> {
    let places = Places::of(&files::configuration(config)?);
    let request = request(command);
    let rows = match ask(&places, &request)? {
        Some(rows) => rows,
        None => stopped(&request, config, &places)?,
    };
    match &request {
        Request::QueueList { .. } => list(&rows, out),
        Request::QueueChange { selection, action } => changed(&rows, selection, action, out),
        _ => rows.iter().try_for_each(|row| out.record(&["id", "state", "from", "rcpt"], row)),
    }
}

fn request(command: &Queue) -> Request {
    let change = |choose: &Choose, action| Request::QueueChange { selection: selection(&choose.select), action };
    match command {
        Queue::List(select) => Request::QueueList { selection: selection(select) },
        Queue::Show { id } => Request::QueueShow { id: id.to_string() },
        Queue::Retry(choose) => change(choose, Action::Retry),
        Queue::Park { choose, reason } => change(choose, Action::Park { reason: reason.clone() }),
        Queue::Release(choose) => change(choose, Action::Release),
        Queue::Drop { choose, reason, notify: false } => change(choose, Action::Drop { reason: reason.clone() }),
        Queue::Drop { choose, reason, notify: true } => change(choose, Action::Return { reason: reason.clone() }),
    }
}

fn selection(select: &Select) -> Selection {
    let state = |state| match state {
        QueueState::Queued => Progress::Queued,
        QueueState::Deferred => Progress::Deferred,
        QueueState::Parked => Progress::Parked,
    };
    Selection {
        ids: select.ids.iter().map(ToString::to_string).collect(),
        state: select.state.map(state),
        from: select.from.clone(),
        to: select.to.clone(),
        older_than_s: select.older_than,
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

/// What was asked for by name and was not there is a failure; what is being delivered just now may be asked for again.
fn changed(rows: &[Value], selection: &Selection, action: &Action, out: &Out) -> Result<(), Failure> {
    out.table(&["id", "done", "recipients"], rows)?;
    let missing = selection.ids.iter().find(|id| rows.iter().all(|row| row["id"] != id.as_str()));
    if let Some(id) = missing {
        let failure = Failure::bad(format!("{id}: nothing there that could be {}", action.done()));
        return Err(failure
            .with_help("`sealpost queue list` shows what is queued; what is delivered is in `sealpost archive list`"));
    }
    match rows.iter().filter(|row| row["done"] == "busy").count() {
        0 => Ok(()),
        busy => Err(Failure::temporary(format!("{busy} messages are being delivered just now"))
            .with_help("`sealpost queue park` keeps them from another attempt; then try again")),
    }
}

/// Without a server: all but what needs one that delivers.
fn stopped(request: &Request, config: &Path, places: &Places) -> Result<Vec<Value>, Failure> {
    let (journal, _) = offline::open_store(config)?;
    let now = SystemClock.now();
    match request {
        Request::QueueShow { id } => Ok(vec![rows::queue::show(&journal, id).map_err(Failure::bad)?]),
        Request::QueueChange { action: Action::Return { .. }, .. } => {
            Err(Failure::temporary("no server runs on this configuration, so none can tell the sender")
                .with_help("start it, or leave out --notify"))
        }
        Request::QueueChange { selection, action } => {
            let chosen = queue::choose(&journal, selection, action, now).map_err(Failure::bad)?;
            let audit = Audit::open(&places.audit).map_err(|e| Error::io(&places.audit, &e))?;
            queue::record(&journal, &audit, &chosen, now).map_err(|e| Error::journal(&places.journal, &e))?;
            Ok(queue::rows(&chosen, action))
        }
        Request::QueueList { selection } => {
            let chosen = selection.of(&journal, now).map_err(Failure::bad)?;
            Ok(chosen.iter().map(|(entry, _)| rows::queue::row(entry, |_, _| None)).collect())
        }
        _ => Ok(Vec::new()),
    }
}
