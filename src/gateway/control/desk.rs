//! Answers commands on the control socket of a running server.

use super::Request;
use crate::gateway::control;
use crate::gateway::delivery::Delivery;
use crate::gateway::import::wire;
use crate::gateway::post::Post;
use crate::gateway::queue::Selection;
use crate::gateway::reading::Reading;
use crate::gateway::rows;
use crate::gateway::sealing::Sealing;
use crate::journal::Entry;
use serde_json::Value;
use std::sync::Arc;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Leaves that are told at once: far more than a seal pass leaves behind.
const LEAVES_MAX: usize = 200_000;

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
            Request::Status => self.status().map(|status| vec![status]),
            Request::QueueList { selection } => self.list(&selection),
            Request::QueueShow { id } => rows::queue::show(self.post.journal(), &id).map(|row| vec![row]),
            Request::QueueChange { selection, action } => self.delivery.change(&selection, &action).await,
            Request::Leaves => Ok(self.leaves()),
            Request::Import => Err("an import is no question with one answer".to_owned()),
            Request::Reload => crate::gateway::serve::reload(&self.post).map(|()| Vec::new()).map_err(|e| e.line()),
        }
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

    fn status(&self) -> Result<Value, String> {
        let journal = self.post.journal();
        let mut status = rows::archive::status(self.post.archive(), Some(journal)).map_err(|e| e.to_string())?;
        status["queued"] = Value::from(journal.pending_ids().len());
        status["view"] = Value::from(self.reading.state().word());
        status["sealing"] = self.sealing.sealing();
        status["indexing"] = self.sealing.indexing();
        Ok(status)
    }
}

fn blocking(stream: UnixStream) -> std::io::Result<std::os::unix::net::UnixStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}
