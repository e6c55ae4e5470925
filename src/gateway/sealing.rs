//! Step 7, seal: turns what the journal holds into segments, by age, by size, or when asked; then shows it to readers. A step that
//! fails, and be it by a panic, is told, shown and tried again; mail does not wait for it.

pub mod fenced;
mod steps;
pub mod trouble;

use super::ending::{stopping, until};
use super::post::Post;
use super::reading::Reading;
use fenced::fenced;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use steps::{Archiving, Steps};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use trouble::Trouble;

/// How often age and size are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Pause after a failed step, unless somebody asks.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Pause between looks at what follows erasures and expiries.
const SETTLE: Duration = Duration::from_secs(2);
/// Requests that may wait.
const REQUESTS_MAX: usize = 64;

type Reply = oneshot::Sender<Result<Value, String>>;

/// The sealer of a running gateway.
#[derive(Debug)]
pub struct Sealing {
    requests: mpsc::Sender<Reply>,
    ended: watch::Sender<bool>,
    sealing: Trouble,
    indexing: Trouble,
}

impl Sealing {
    /// Seals in the background until `closing`.
    pub fn start(post: Arc<Post>, reading: Arc<Reading>, closing: watch::Receiver<bool>) -> Arc<Sealing> {
        Sealing::take(Arc::new(Archiving { post, reading }), AFTER_FAILURE, closing)
    }

    /// Takes these steps, with this pause after a failure.
    fn take(steps: Arc<dyn Steps>, pause: Duration, closing: watch::Receiver<bool>) -> Arc<Sealing> {
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let (sealing, indexing) = (Trouble::none("sealing"), Trouble::none("indexing"));
        let sealing = Arc::new(Sealing { requests, ended: watch::channel(false).0, sealing, indexing });
        let this = sealing.clone();
        tokio::spawn(async move {
            this.run(&steps, pause, queue, closing).await;
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

    /// Whether sealing works, for people and JSON.
    pub fn sealing(&self) -> Value {
        self.sealing.shown()
    }

    /// Whether indexing works, for people and JSON.
    pub fn indexing(&self) -> Value {
        self.indexing.shown()
    }

    async fn run(
        &self,
        steps: &Arc<dyn Steps>,
        pause: Duration,
        mut queue: mpsc::Receiver<Reply>,
        closing: watch::Receiver<bool>,
    ) {
        // After a long stop or a lost catalog the first indexing takes its time; mail does not wait for it.
        let (mut seal_from, mut index_at) = (Instant::now(), Some(Instant::now()));
        let mut settle_at = Instant::now();
        loop {
            if index_at.is_some_and(|at| at <= Instant::now()) {
                index_at = self.index(steps).await.err().map(|_| Instant::now() + pause);
            }
            if settle_at <= Instant::now() {
                let taken = steps.clone();
                if let Err(why) = fenced(move || taken.settle()).await {
                    tracing::debug!("receipts are pending: {why}");
                }
                settle_at = Instant::now() + SETTLE;
            }
            let request = tokio::select! {
                biased;
                () = stopping(&closing) => return,
                request = queue.recv() => request,
                () = tokio::time::sleep(TICK) => None,
            };
            if request.is_none() && (Instant::now() < seal_from || !steps.is_due()) {
                continue;
            }
            let sealed = self.seal(steps).await;
            match &sealed {
                Ok(_) => index_at = self.index(steps).await.err().map(|_| Instant::now() + pause),
                Err(_) => seal_from = Instant::now() + pause,
            }
            if let Some(reply) = request {
                // A command that has gone away does not matter: the pass is done.
                drop(reply.send(sealed));
            }
        }
    }

    async fn seal(&self, steps: &Arc<dyn Steps>) -> Result<Value, String> {
        let taken = steps.clone();
        let sealed = fenced(move || taken.seal()).await;
        self.sealing.note(&sealed, steps.now());
        sealed
    }

    async fn index(&self, steps: &Arc<dyn Steps>) -> Result<(), String> {
        let taken = steps.clone();
        let indexed = fenced(move || taken.index()).await;
        self.indexing.note(&indexed, steps.now());
        indexed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Steps that have a bug the first few times.
    #[derive(Default)]
    struct Buggy {
        bugs: AtomicU32,
        sealed: AtomicU32,
        indexed: Mutex<u32>,
    }

    impl Buggy {
        fn step(&self) {
            let left = self.bugs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            assert!(left.is_err(), "a bug of the pass");
        }
    }

    impl Steps for Buggy {
        fn now(&self) -> Timestamp {
            Timestamp::from_s(0)
        }
        fn is_due(&self) -> bool {
            self.sealed.load(Ordering::Relaxed) == 0
        }
        fn seal(&self) -> Result<Value, String> {
            self.step();
            Ok(Value::from(self.sealed.fetch_add(1, Ordering::Relaxed)))
        }
        fn index(&self) -> Result<(), String> {
            *self.indexed.lock().expect("whole") += 1;
            Ok(())
        }
    }

    fn start(bugs: u32, pause: Duration) -> (Arc<Buggy>, Arc<Sealing>, watch::Sender<bool>) {
        let steps = Arc::new(Buggy { bugs: AtomicU32::new(bugs), ..Buggy::default() });
        let (close, closing) = watch::channel(false);
        (steps.clone(), Sealing::take(steps, pause, closing), close)
    }

    #[tokio::test]
    async fn a_pass_that_panics_is_told_shown_and_asked_for_again() {
        let (steps, sealing, close) = start(2, Duration::from_secs(3600));
        for _ in 0..2 {
            assert_eq!(sealing.now().await, Err("bug: a bug of the pass".to_owned()));
            assert_eq!(sealing.sealing()["state"], "failing");
        }
        assert_eq!(sealing.now().await, Ok(Value::from(0)), "a request does not wait for the pause");
        assert_eq!((&sealing.sealing()["state"], &sealing.indexing()["state"]), (&"working".into(), &"working".into()));
        assert_eq!(*steps.indexed.lock().expect("whole"), 2, "at the start, and after the pass");
        close.send_replace(true);
        sealing.ended().await;
    }

    #[tokio::test]
    async fn a_pass_that_panics_is_repeated_after_a_pause() {
        let (steps, sealing, close) = start(2, Duration::from_millis(10));
        tokio::time::timeout(Duration::from_secs(20), async {
            while steps.is_due() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("sealed at last");
        assert_eq!(steps.bugs.load(Ordering::Relaxed), 0);
        close.send_replace(true);
        sealing.ended().await;
    }
}
