//! Checkpoints leave the machine: to a time stamping authority, to directories, to people; once a day and when asked. A failure is
//! told, shown and tried again; mail never waits for it.

mod authority;
mod directory;
pub mod http;
mod letter;
pub mod memory;

use super::config::{CheckpointTo, Config};
use super::ending::stopping;
use super::post::{Places, Post};
use super::sealing::fenced::fenced;
use super::sealing::trouble::Trouble;
use crate::archive::{Archive, Checkpoint};
use crate::crypto::hash;
use crate::durable::Disk;
use crate::journal::Journal;
pub use authority::authorities;
use memory::{Destinations, Sent};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often it is looked whether one is due.
const TICK: Duration = Duration::from_secs(1);
/// Between two checkpoints to one place.
const DAY_S: i64 = 24 * 3600;
/// Pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(300);

/// Sends checkpoints of a running gateway.
#[derive(Debug)]
pub struct Anchoring {
    post: Arc<Post>,
    known: Mutex<Known>,
    /// One at a time: what the timer does, and what is asked for.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    sent: Destinations,
    troubles: BTreeMap<String, Trouble>,
    not_before: BTreeMap<String, Instant>,
}

/// Where checkpoints go, the authority first: what goes to the others then covers its stamp.
pub fn destinations(config: &Config) -> Vec<CheckpointTo> {
    let archive = &config.archive;
    let stamped = archive.tsa.is_some() || archive.checkpoint_to.contains(&CheckpointTo::TimeStamp);
    let others = archive.checkpoint_to.iter().filter(|to| **to != CheckpointTo::TimeStamp).cloned();
    stamped.then_some(CheckpointTo::TimeStamp).into_iter().chain(others).collect()
}

/// The newest checkpoint, over everything that is durable.
pub fn newest(archive: &Archive, journal: &Journal) -> Result<Checkpoint, String> {
    archive.reconcile(journal).and_then(|()| archive.checkpoint()).map_err(|e| e.to_string())
}

/// A checkpoint as a row.
pub fn row(checkpoint: &Checkpoint) -> Value {
    let note = String::from_utf8_lossy(&checkpoint.note);
    json!({"size": checkpoint.head.size, "root": hash::hex(&checkpoint.head.root), "checkpoint": note})
}

/// What `archive status` shows where no server runs.
pub fn shown(disk: &dyn Disk, config: &Config) -> Value {
    let sent = memory::load(disk, &Places::of(config));
    destinations(config).iter().map(|to| state(to, sent.get(&to.to_string()), json!({"state": "unknown"}))).collect()
}

fn state(to: &CheckpointTo, sent: Option<&Sent>, mut trouble: Value) -> Value {
    trouble["to"] = Value::from(to.to_string());
    trouble["sent_at"] = sent.map(|sent| sent.at.rfc3339()).into();
    trouble["size"] = sent.map(|sent| sent.size).into();
    trouble
}

/// Sends a checkpoint where no server runs; what takes one says so.
pub async fn send_offline(
    disk: &dyn Disk,
    config: &Config,
    (archive, journal): (&Archive, &Journal),
    to: &CheckpointTo,
) -> Result<String, String> {
    let checkpoint = newest(archive, journal)?;
    match to {
        CheckpointTo::TimeStamp => authority::stamp(config, (archive, journal), &checkpoint).await,
        CheckpointTo::File(dir) => directory::put(disk, dir, archive, &checkpoint),
        CheckpointTo::Mail(_) => Err("mail is sent by a running server: start `sealpost serve`".to_owned()),
    }
}

impl Anchoring {
    /// Sends in the background until `closing`.
    pub fn start(post: Arc<Post>, closing: watch::Receiver<bool>) -> Arc<Anchoring> {
        let sent = memory::load(&**post.disk(), &Places::of(&post.config()));
        let known = Mutex::new(Known { sent, ..Known::default() });
        let anchoring = Arc::new(Anchoring { post, known, turn: tokio::sync::Mutex::default() });
        let this = anchoring.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = stopping(&closing) => return,
                    () = tokio::time::sleep(TICK) => {}
                }
                for to in destinations(&this.post.config()) {
                    if this.is_due(&to) {
                        // A failure is told and shown by `send`.
                        drop(this.send(&to).await);
                    }
                }
            }
        });
        anchoring
    }

    /// Sends the newest checkpoint to every place now; first the checkpoint as a row, then how it went with each.
    pub async fn now(&self) -> Result<Vec<Value>, String> {
        let mut rows = Vec::new();
        for to in destinations(&self.post.config()) {
            rows.push(outcome(&to, &self.send(&to).await));
        }
        let checkpoint = self.newest().await?;
        rows.insert(0, row(&checkpoint));
        Ok(rows)
    }

    /// What was sent where, and whether it works.
    pub fn shown(&self) -> Value {
        let known = self.known();
        let shown = destinations(&self.post.config()).into_iter().map(|to| {
            let name = to.to_string();
            let trouble = known.troubles.get(&name).map_or_else(|| json!({"state": "working"}), Trouble::shown);
            state(&to, known.sent.get(&name), trouble)
        });
        shown.collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, to: &CheckpointTo) -> bool {
        let (known, name) = (self.known(), to.to_string());
        let is_sent = known.sent.get(&name).is_some_and(|sent| self.post.now() < sent.at.plus_s(DAY_S));
        !is_sent && known.not_before.get(&name).is_none_or(|at| *at <= Instant::now())
    }

    async fn newest(&self) -> Result<Checkpoint, String> {
        let post = self.post.clone();
        fenced(move || newest(post.archive(), post.journal())).await
    }

    async fn send(&self, to: &CheckpointTo) -> Result<(Sent, String), String> {
        let _turn = self.turn.lock().await;
        let done = self.try_to_send(to).await;
        let (now, name) = (self.post.now(), to.to_string());
        let sent = {
            let mut known = self.known();
            match &done {
                Ok((sent, _)) => drop((known.sent.insert(name.clone(), *sent), known.not_before.remove(&name))),
                Err(_) => drop(known.not_before.insert(name.clone(), Instant::now() + AFTER_FAILURE)),
            }
            let trouble =
                known.troubles.entry(name.clone()).or_insert_with(|| Trouble::none(format!("checkpoint to {name}")));
            trouble.note(&done.as_ref().map(drop).map_err(String::clone), now);
            known.sent.clone()
        };
        if done.is_ok() {
            let post = self.post.clone();
            let kept = fenced(move || {
                memory::remember(&**post.disk(), &post.config(), post.archive());
                memory::save(&**post.disk(), &Places::of(&post.config()), &sent).map_err(|e| e.to_string())
            });
            kept.await.unwrap_or_else(|e| tracing::warn!("that a checkpoint was sent to {name} is not kept: {e}"));
        }
        done
    }

    async fn try_to_send(&self, to: &CheckpointTo) -> Result<(Sent, String), String> {
        let (post, checkpoint) = (&self.post, self.newest().await?);
        let sent = Sent { at: post.now(), size: checkpoint.head.size };
        let detail = match to {
            CheckpointTo::TimeStamp => {
                authority::stamp(&post.config(), (post.archive(), post.journal()), &checkpoint).await
            }
            CheckpointTo::Mail(address) => letter::send(post, address, &checkpoint).await,
            CheckpointTo::File(dir) => {
                let (post, dir) = (post.clone(), dir.clone());
                fenced(move || directory::put(&**post.disk(), &dir, post.archive(), &checkpoint)).await
            }
        };
        detail.map(|detail| (sent, detail))
    }
}

/// How it went with one place, as a row.
pub fn outcome(to: &CheckpointTo, done: &Result<(Sent, String), String>) -> Value {
    match done {
        Ok((sent, detail)) => json!({"to": to.to_string(), "ok": true, "size": sent.size, "detail": detail}),
        Err(reason) => json!({"to": to.to_string(), "ok": false, "detail": reason}),
    }
}
