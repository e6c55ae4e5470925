//! Threads of their own for passwords, as many as there are cores. On threads that come and go the allocator would keep each
//! one's 19 MiB, and a crowd at the login would hold up what else runs on them. Knows no account.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The threads; they end with it. Who waits is bounded by the connections there may be.
#[derive(Debug)]
pub struct Logins(Mutex<Sender<Job>>);

impl Logins {
    /// Starts one thread for each core.
    pub fn start() -> std::io::Result<Logins> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let queue = queue.clone();
            std::thread::Builder::new().name("login".to_owned()).spawn(move || work(&queue))?;
        }
        Ok(Logins(Mutex::new(jobs)))
    }

    /// What `check` answers, in its turn; `None` when it panicked.
    pub async fn run<T: Send + 'static>(&self, check: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        // A client that has gone away does not matter.
        let job = Box::new(move || drop(reply.send(check())));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).send(job).ok()?;
        answer.await.ok()
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("bug: a login panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_come_back_and_a_panic_ends_no_thread() {
        let logins = Logins::start().expect("threads");
        for _ in 0..64 {
            assert_eq!(logins.run(|| -> u8 { panic!("on purpose") }).await, None);
        }
        assert_eq!(logins.run(|| 7).await, Some(7));
    }
}
