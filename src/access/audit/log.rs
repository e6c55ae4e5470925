//! The server's read audit: whoever reads waits here until the record is durable. One thread writes, one sync for all who wait.
//! What cannot be recorded is refused, and nothing is shown.

use super::file::Head;
use super::record::Record;
use super::writer::Error;
use super::writer::Writer;
use crate::durable::Disk;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records of one batch: with the largest of them a file stays within what is read.
const BATCH_RECORDS_MAX: usize = 256;
/// Records that wait; more are refused.
const WAITING_MAX: usize = 16 * 1024;
/// After a failure nothing is tried for so long.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Why something was not recorded; for the log, never for the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read audit cannot be written: {0}")]
pub struct Unrecorded(String);

/// Told when a record is durable, or that it is not.
pub type Done = Box<dyn FnOnce(Result<Head, Unrecorded>) + Send>;

/// The log of a running server.
pub struct AuditLog {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<(Record, Done)>,
    is_closing: bool,
    /// Everything below is durable; nothing is known before the first opening.
    head: Option<Head>,
    trouble: Option<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditLog {
    /// Starts the writer. A directory that cannot be written to is no reason for a gateway not to start: mail goes on, and nobody
    /// reads.
    pub fn start(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<AuditLog> {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new() });
        let mut work = Work {
            shared: shared.clone(),
            disk,
            dir: dir.to_owned(),
            writer: None,
            failed_at: None,
            pause: AFTER_FAILURE,
        };
        work.reopen();
        let thread = std::thread::Builder::new().name("read-audit".to_owned()).spawn(move || work.run())?;
        Ok(AuditLog { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Calls `done` once the record is durable, or cannot be.
    pub fn record(&self, record: Record, done: Done) {
        let mut state = self.shared.state();
        let refusal = match () {
            () if state.is_closing => "the server is stopping",
            () if state.waiting.len() >= WAITING_MAX => "too many records wait",
            () => {
                state.waiting.push((record, done));
                self.shared.wake.notify_one();
                return;
            }
        };
        drop(state);
        done(Err(Unrecorded(refusal.to_owned())));
    }

    /// The last record that is durable; `None` while the files could not be opened.
    pub fn head(&self) -> Option<Head> {
        self.shared.state().head
    }

    /// Why nobody can read, if so.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state().trouble.clone()
    }

    /// Writes what waits, and ends.
    pub fn close(&self) {
        self.shared.state().is_closing = true;
        self.shared.wake.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("bug: the read audit's thread panicked");
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuditLog({:?})", self.head())
    }
}

/// What the thread has.
struct Work {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    writer: Option<Writer>,
    failed_at: Option<Instant>,
    pause: Duration,
}

impl Work {
    fn run(mut self) {
        while let Some(batch) = self.next() {
            let (records, done): (Vec<Record>, Vec<Done>) = batch.into_iter().unzip();
            let result = self.write(&records);
            done.into_iter().for_each(|done| done(result.clone()));
        }
    }

    /// What waits; `None` when nothing does and nothing will come.
    fn next(&self) -> Option<Vec<(Record, Done)>> {
        let is_idle = |state: &mut State| state.waiting.is_empty() && !state.is_closing;
        let state = self.shared.wake.wait_while(self.shared.state(), is_idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let count = state.waiting.len().min(BATCH_RECORDS_MAX);
        (count > 0).then(|| state.waiting.drain(..count).collect())
    }

    fn write(&mut self, records: &[Record]) -> Result<Head, Unrecorded> {
        if self.failed_at.is_some_and(|at| at.elapsed() < self.pause) {
            return Err(self.refusal());
        }
        if self.writer.is_none() {
            self.reopen();
        }
        let Some(writer) = &mut self.writer else { return Err(self.refusal()) };
        match writer.append(records) {
            Ok(head) => {
                self.works(head);
                Ok(head)
            }
            Err(e) => {
                self.failed(&e);
                Err(self.refusal())
            }
        }
    }

    fn reopen(&mut self) {
        match Writer::open(self.disk.clone(), &self.dir) {
            Ok(writer) => {
                self.works(writer.head());
                self.writer = Some(writer);
            }
            Err(e) => self.failed(&e),
        }
    }

    fn works(&mut self, head: Head) {
        self.failed_at = None;
        let mut state = self.shared.state();
        state.head = Some(head);
        if state.trouble.take().is_some() {
            tracing::warn!("the read audit can be written again: mail can be read");
        }
    }

    fn failed(&mut self, error: &Error) {
        tracing::error!("NOBODY CAN READ MAIL: the read audit cannot be written: {error}");
        self.failed_at = Some(Instant::now());
        self.shared.state().trouble = Some(error.to_string());
    }

    fn refusal(&self) -> Unrecorded {
        Unrecorded(self.shared.state().trouble.clone().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FailingDisk, record};
    use super::*;
    use crate::durable::RealDisk;
    use std::sync::mpsc;

    fn log(disk: Arc<dyn Disk>, dir: &Path, pause: Duration) -> AuditLog {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new() });
        let mut work = Work { shared: shared.clone(), disk, dir: dir.to_owned(), writer: None, failed_at: None, pause };
        work.reopen();
        let thread = std::thread::spawn(move || work.run());
        AuditLog { shared, thread: Mutex::new(Some(thread)) }
    }

    fn ask(log: &AuditLog, n: u64) -> mpsc::Receiver<Result<Head, Unrecorded>> {
        let (sender, receiver) = mpsc::channel();
        log.record(record(n), Box::new(move |result| sender.send(result).expect("somebody waits")));
        receiver
    }

    #[test]
    fn a_hundred_who_wait_share_a_few_syncs() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(FailingDisk::slow(Duration::from_millis(20)));
        let log = log(disk.clone(), dir.path(), AFTER_FAILURE);
        let first = ask(&log, 0);
        first.recv().expect("answered").expect("durable");
        let before = disk.syncs();
        let waiting: Vec<_> = (1..=100).map(|n| ask(&log, n)).collect();
        let mut heads: Vec<u64> =
            waiting.iter().map(|w| w.recv().expect("answered").expect("durable").records).collect();
        heads.dedup();
        assert!(disk.syncs() - before <= 3, "{} syncs", disk.syncs() - before);
        assert_eq!((log.head().map(|head| head.records), heads.len() <= 3), (Some(101), true));
    }

    #[test]
    fn a_failing_disk_refuses_and_a_mended_one_goes_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(FailingDisk::default());
        let log = log(disk.clone(), dir.path(), Duration::from_millis(50));
        ask(&log, 1).recv().expect("answered").expect("durable");
        disk.fail(true);
        let refused = ask(&log, 2).recv().expect("answered").expect_err("nothing is shown");
        assert!(refused.to_string().contains("No space") && log.trouble().is_some(), "{refused}");
        disk.fail(false);
        assert!(ask(&log, 3).recv().expect("answered").is_err(), "not tried so soon");
        std::thread::sleep(Duration::from_millis(60));
        let head = ask(&log, 4).recv().expect("answered").expect("durable");
        assert_eq!((head.records, log.trouble()), (2, None), "the refused ones do not count");
        assert_eq!(Some(head), log.head());
    }

    #[test]
    fn a_directory_that_cannot_be_used_refuses_until_it_can() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("audit");
        std::fs::write(&place, b"no directory").expect("written");
        let log = log(Arc::new(RealDisk), &place, Duration::from_millis(10));
        assert_eq!(log.head(), None);
        assert!(ask(&log, 1).recv().expect("answered").is_err());
        std::fs::remove_file(&place).expect("removed");
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(ask(&log, 1).recv().expect("answered").expect("durable").records, 1);
        assert!(matches!(Writer::open(Arc::new(RealDisk), &place), Err(Error::Busy)), "one writer");
        log.close();
        assert!(ask(&log, 2).recv().expect("answered").is_err(), "closed");
        Writer::open(Arc::new(RealDisk), &place).expect("free again");
    }
}
