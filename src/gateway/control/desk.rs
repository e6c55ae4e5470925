//! Answers commands on the control socket of a running server.

use super::{Hidden, Request};
use crate::archive::Share;
use crate::crypto::hash;
use crate::gateway::acts::request::ActRequest;
use crate::gateway::acts::settle::Settled;
use crate::gateway::anchoring::Anchoring;
use crate::gateway::control;
use crate::gateway::delivery::Delivery;
use crate::gateway::drills::Drills;
use crate::gateway::import::wire;
use crate::gateway::observe::Event;
use crate::gateway::post::{Places, Post};
use crate::gateway::queue::Selection;
use crate::gateway::reading::{Reached, Reading};
use crate::gateway::rows;
use crate::gateway::scrubbing::Scrubbing;
use crate::gateway::sealing::Sealing;
use crate::journal::Entry;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Leaves that are told at once: far more than a seal pass leaves behind.
const LEAVES_MAX: usize = 200_000;

/// How often a command looks whether everything has followed its act, and how long it waits between.
const ROUNDS: u32 = 60;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

/// What it takes to answer.
#[derive(Clone, Debug)]
pub struct Desk {
    /// What is shared.
    pub post: Arc<Post>,
    /// The queue.
    pub delivery: Arc<Delivery>,
    /// The sealer.
    pub sealing: Arc<Sealing>,
    /// The readers' side.
    pub reading: Arc<Reading>,
    /// Who sends checkpoints.
    pub anchoring: Arc<Anchoring>,
    /// Who reads the archive once a day.
    pub scrubbing: Arc<Scrubbing>,
    /// Turns true when the gateway stops.
    pub closing: watch::Receiver<bool>,
}

impl Desk {
    /// Serves connections one thread each for as long as the gateway runs.
    pub async fn attend(self, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.clone().serve(stream),
                Err(e) => {
                    tracing::warn!("control socket: {e}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn serve(self, stream: UnixStream) {
        let handle = Handle::current();
        tokio::task::spawn_blocking(move || {
            let served = blocking(stream).and_then(|stream| match control::request(&stream)? {
                Ok(Request::Import) => self.import(&stream, &handle),
                Ok(request) => control::answer(stream, handle.block_on(self.answer(request))),
                Err(reason) => control::answer(stream, Err(reason)),
            });
            if let Err(e) = served {
                tracing::debug!("control socket: {e}");
            }
        });
    }

    fn import(&self, stream: &std::os::unix::net::UnixStream, handle: &Handle) -> std::io::Result<()> {
        let seal = || handle.block_on(self.sealing.now()).map(drop);
        let is_closing = || *self.closing.borrow();
        wire::serve(stream, &self.post, &is_closing, seal)
    }

    async fn answer(&self, request: Request) -> Result<Vec<Value>, String> {
        match request {
            Request::Seal => self.sealing.now().await.map(|report| vec![report]),
            Request::Checkpoint => self.anchoring.now().await,
            Request::Status => self.status().map(|status| vec![status]),
            Request::QueueList { selection } => self.list(&selection),
            Request::QueueShow { id } => rows::queue::show(self.post.journal(), &id).map(|row| vec![row]),
            Request::QueueChange { selection, action } => self.delivery.change(&selection, &action).await,
            Request::Leaves => Ok(self.leaves()),
            Request::Unlock { shares, ttl_s } => self.unlock(&shares, Duration::from_secs(ttl_s)).map(|row| vec![row]),
            Request::Lock => Ok(vec![self.lock()]),
            Request::InstallGeneration { file } => self.install(&file).map(|row| vec![row]),
            Request::Act { act } => self.act(act).await.map(|row| vec![row]),
            Request::Audit { record } => self.post.read_audit().keep_local(&record).await.map(|()| Vec::new()),
            Request::Import => Err("an import is no question with one answer".to_owned()),
            Request::Reload => crate::gateway::serve::reload(&self.post).map(|()| Vec::new()).map_err(|e| e.line()),
        }
    }

    /// Sealed and compared with standing holds first, so that fresh mail is no obstacle. Waits a while for what follows.
    async fn act(&self, act: ActRequest) -> Result<Value, String> {
        self.sealing.now().await?;
        let this = self.clone();
        let carried_out = tokio::task::spawn_blocking(move || {
            // What an import has not marked yet must not be sealed by this.
            let marked = this.post.imports().all_marked();
            let mut row = this.post.office().run(&act)?;
            drop(marked);
            if act.takes() && !row["act"].is_null() {
                let waited = wait(|| this.post.settle(|| this.reading.forget()));
                row["receipt"] = Value::from(if waited.is_none() { "written" } else { "pending" });
                row["waiting_for"] = Value::from(waited);
            } else if let Err(error) = this.reading.index() {
                tracing::warn!("not in the catalog yet: {error}");
            }
            Ok(row)
        });
        carried_out
            .await
            .map_err(|_| "bug: the act ended in a panic; `archive receipts` says what came of it".to_owned())?
    }

    fn list(&self, selection: &Selection) -> Result<Vec<Value>, String> {
        let obstacle = |entry: &Entry, recipient| self.delivery.obstacle(entry, recipient);
        let chosen = selection.of(self.post.journal(), self.post.now())?;
        Ok(chosen.iter().map(|(entry, _)| rows::queue::row(entry, obstacle)).collect())
    }

    fn leaves(&self) -> Vec<Value> {
        let from = self.post.archive().log_size();
        self.post.journal().leaves(from, LEAVES_MAX).iter().map(rows::archive::leaf).collect()
    }

    fn unlock(&self, texts: &[Hidden], ttl: Duration) -> Result<Value, String> {
        let read = |text: &Hidden| Share::parse_all(text.0.expose()).map_err(|e| e.to_string());
        let shares = texts.iter().map(read).collect::<Result<Vec<_>, _>>()?.concat();
        let reached = self.reading.unlock(&shares, ttl).inspect_err(|reason| self.audit("unlock-refused", reason))?;
        let mut shown = self.reading.shown();
        match reached {
            Reached::Waiting => self.audit("share", shown["shares"].as_str().unwrap_or_default()),
            Reached::Unlocked => {
                self.audit("unlocked", &format!("until {}", shown["unlocked_until"].as_str().unwrap_or_default()));
                // Whoever waits for this wants to read. What fails is tried again after the next seal pass.
                if let Err(reason) = self.reading.index() {
                    tracing::error!("indexing: {reason}");
                    shown["indexing"] = Value::from(reason);
                }
            }
        }
        Ok(shown)
    }

    fn lock(&self) -> Value {
        self.reading.lock("it was locked with `sealpost lock`");
        self.audit("locked", "");
        self.reading.shown()
    }

    fn install(&self, file: &str) -> Result<Value, String> {
        let post = &self.post;
        let octets = hash::unhex(file).ok_or("the generation file came damaged")?;
        post.archive().install(post.journal(), &octets, post.now()).map_err(|e| e.to_string())?;
        let generation = post.archive().generation();
        let (number, threshold, officers) = (generation.number, generation.threshold, generation.officers.len());
        self.audit("officers", &format!("generation {number}: any {threshold} of {officers} officers"));
        self.reading.follow(&post.config());
        Ok(self.reading.shown())
    }

    fn audit(&self, event: &str, detail: &str) {
        self.post.audit().write(&Event { detail, ..Event::new(self.post.now(), event) });
    }

    fn status(&self) -> Result<Value, String> {
        let journal = self.post.journal();
        let mut status = rows::archive::status(self.post.archive(), Some(journal)).map_err(|e| e.to_string())?;
        status["queued"] = Value::from(journal.pending_ids().len());
        if let (Value::Object(status), Value::Object(view)) = (&mut status, self.reading.shown()) {
            status.extend(view);
        }
        let generation = self.post.archive().generation();
        let places = Places::of(&self.post.config());
        status["drill"] = match Drills::load(&**self.post.disk(), &places.drills) {
            Ok(drills) => drills.shown(&generation, self.post.now()),
            Err(e) => Value::from(e.line()),
        };
        let acts = crate::gateway::acts::counts(self.post.archive()).map_err(|e| e.to_string())?;
        rows::archive::add(&mut status, acts);
        status["read_audit"] = Value::from(self.post.read_audit().trouble().unwrap_or_else(|| "working".to_owned()));
        status["sealing"] = self.sealing.sealing();
        status["indexing"] = self.sealing.indexing();
        status["checkpoints"] = self.anchoring.shown();
        status["scrub"] = self.scrubbing.shown();
        Ok(status)
    }
}

/// Tries again and again for a while; what it still waits for then.
pub fn wait(mut settle: impl FnMut() -> Result<Settled, String>) -> Option<String> {
    for round in 0..ROUNDS {
        let why = match settle() {
            Ok(Settled::All(_)) => return None,
            Ok(Settled::Waiting(why)) | Err(why) => why,
        };
        if round + 1 == ROUNDS {
            return Some(why);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

fn blocking(stream: UnixStream) -> std::io::Result<std::os::unix::net::UnixStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}
