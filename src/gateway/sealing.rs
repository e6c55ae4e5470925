//! Step 7, seal: turns what the journal holds into segments, by age, by size, or when asked; then shows it to readers.

use super::ending::{stopping, until};
use super::observe::Event;
use super::post::Post;
use super::reading::Reading;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How often age and size are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Pause after a failed pass.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Leaves that are not sealed yet and call for a pass whatever their age: each message has a few, and a place in memory until then.
const UNSEALED_LEAVES_MAX: u64 = 3_000;
/// Requests that may wait.
const REQUESTS_MAX: usize = 64;

type Reply = oneshot::Sender<Result<Value, String>>;

/// The sealer of a running gateway.
#[derive(Debug)]
pub struct Sealing {
    requests: mpsc::Sender<Reply>,
    ended: watch::Sender<bool>,
}

impl Sealing {
    /// Seals in the background until `closing`.
    pub fn start(post: Arc<Post>, reading: Arc<Reading>, closing: watch::Receiver<bool>) -> Arc<Sealing> {
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let sealing = Arc::new(Sealing { requests, ended: watch::channel(false).0 });
        let this = sealing.clone();
        tokio::spawn(async move {
            run(&post, &reading, queue, closing).await;
            this.ended.send_replace(true);
        });
        sealing
    }

    /// Seals everything accepted so far; returns when it is sealed and, if the view is unlocked, visible in it.
    pub async fn now(&self) -> Result<Value, String> {
        let (reply, answer) = oneshot::channel();
        let stopping = |_| "the server is stopping".to_owned();
        self.requests.send(reply).await.map_err(|_| "the server is stopping".to_owned())?;
        answer.await.map_err(stopping)?
    }

    /// Waits until no pass is under way and none will come.
    pub async fn ended(&self) {
        until(&self.ended, |ended| *ended).await;
    }
}

async fn run(
    post: &Arc<Post>,
    reading: &Arc<Reading>,
    mut queue: mpsc::Receiver<Reply>,
    closing: watch::Receiver<bool>,
) {
    // After a long stop or a lost catalog this takes its time; mail does not wait for it.
    let first = reading.clone();
    if let Err(e) = tokio::task::spawn_blocking(move || first.index()).await {
        tracing::error!("bug: indexing ended: {e}");
    }
    loop {
        let request = tokio::select! {
            biased;
            () = stopping(&closing) => return,
            request = queue.recv() => request,
            () = tokio::time::sleep(TICK) => None,
        };
        if request.is_none() && !is_due(post) {
            continue;
        }
        let result = pass(post, reading).await;
        let failed = result.is_err();
        match request {
            // A command that has gone away does not matter: the pass is done.
            Some(reply) => drop(reply.send(result)),
            None if failed => tokio::select! {
                () = stopping(&closing) => return,
                () = tokio::time::sleep(AFTER_FAILURE) => {}
            },
            None => {}
        }
    }
}

/// By the age of the oldest unsealed message, or by the octets or the leaves that are not sealed.
fn is_due(post: &Post) -> bool {
    let config = post.config();
    let journal = post.journal();
    let age_s = i64::try_from(config.archive.seal_after_s).unwrap_or(i64::MAX);
    let is_old = journal.oldest_unsealed().is_some_and(|oldest| post.now() >= oldest.plus_s(age_s));
    let unsealed_leaves = journal.durable_leaves().saturating_sub(journal.sealed_through());
    is_old || journal.unsealed_bytes() >= config.archive.seal_bytes || unsealed_leaves >= UNSEALED_LEAVES_MAX
}

async fn pass(post: &Arc<Post>, reading: &Arc<Reading>) -> Result<Value, String> {
    let (post, reading) = (post.clone(), reading.clone());
    let work = tokio::task::spawn_blocking(move || {
        let report = post.archive().seal(post.journal(), &**post.clock()).map_err(|e| {
            tracing::error!("sealing: {e}");
            e.to_string()
        })?;
        if report.messages > 0 {
            let detail = format!("{} messages", report.messages);
            post.audit().write(&Event { detail: &detail, ..Event::new(post.now(), "sealed") });
        }
        reading.index();
        Ok(json!({"messages": report.messages, "sealed_through": report.sealed_through}))
    });
    work.await.map_err(|e| format!("sealing ended: {e}"))?
}
