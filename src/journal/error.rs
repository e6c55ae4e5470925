//! What can go wrong in the journal, and who has to act on it.

use crate::crypto;
use crate::mail::MailId;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What the gateway does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The peer should try again later.
    Retry,
    /// The caller asked for something that cannot be had.
    Reject,
    /// We have to act: the operator is told.
    Ours,
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No room for new mail: 452.
    #[error("journal storage is full")]
    StorageFull,
    /// The disk failed a write or sync, or no file can be opened: 451.
    #[error("journal is unavailable: {0}")]
    Unavailable(String),
    /// Acknowledged octets cannot be read back.
    #[error("journal data of message {0} is damaged: {1}")]
    Damaged(MailId, String),
    /// The directory's file system loses what it says it synced.
    #[error("journal directory is on {0}, which does not keep what it syncs")]
    Volatile(String),
    /// Another process has this journal open.
    #[error("journal is in use by another process")]
    Locked,
    /// The host key does not open the journal's files.
    #[error("the host key does not open journal file {0}")]
    WrongHostKey(String),
    /// Not a message the journal holds.
    #[error("no message {0} in the journal")]
    Unknown(MailId),
    /// Sealed, and nobody to deliver to needs these octets any more.
    #[error("these octets of message {0} are no longer in the journal: read them from the archive")]
    NotKept(MailId),
    /// A setting or a record is outside its bounds.
    #[error("out of bounds: {0}")]
    OutOfBounds(&'static str),
}

impl Error {
    /// Who has to act.
    pub fn class(&self) -> Class {
        match self {
            Error::StorageFull | Error::Unavailable(_) => Class::Retry,
            Error::Unknown(_) | Error::NotKept(_) | Error::OutOfBounds(_) => Class::Reject,
            Error::Damaged(..) | Error::Volatile(_) | Error::Locked | Error::WrongHostKey(_) => Class::Ours,
        }
    }

    /// The error of a disk operation: a full disk is told apart, all else is `Unavailable`.
    pub(super) fn disk(what: &str, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::StorageFull,
            _ => Error::Unavailable(format!("{what}: {error}")),
        }
    }

    pub(super) fn closed() -> Error {
        Error::Unavailable("closed".to_owned())
    }
}

impl From<crypto::Error> for Error {
    fn from(error: crypto::Error) -> Error {
        Error::Unavailable(error.to_string())
    }
}

/// Called once, from the writer thread when the thing is durable or has failed; from the caller's own when it failed before it was
/// queued. Must not block.
pub type Done<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

/// A `Done` that cannot be forgotten: dropped unanswered, it answers `Unavailable`, so that no committer waits for ever.
pub(super) struct Answer<T>(Option<Done<T>>);

impl<T> Answer<T> {
    pub(super) fn new(done: Done<T>) -> Answer<T> {
        Answer(Some(done))
    }
    pub(super) fn give(mut self, result: Result<T, Error>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(Error::closed()));
        }
    }
}

/// One answer for several jobs: the first error, or success when all are done.
pub(super) struct Gathered {
    left: AtomicUsize,
    answer: Mutex<Option<Answer<()>>>,
}

impl Gathered {
    /// For this many jobs.
    pub(super) fn new(jobs: usize, done: Done<()>) -> Gathered {
        Gathered { left: AtomicUsize::new(jobs), answer: Mutex::new(Some(Answer::new(done))) }
    }

    /// One of them has ended.
    pub(super) fn settle(&self, result: Result<(), Error>) {
        let is_last = self.left.fetch_sub(1, Ordering::AcqRel) == 1;
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = answer.take_if(|_| is_last || result.is_err()) {
            drop(answer);
            done.give(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_forgotten_answer_is_a_refusal() {
        let (sender, receiver) = mpsc::channel();
        let other = sender.clone();
        drop(Answer::<u64>::new(Box::new(move |r| sender.send(r).expect("send"))));
        Answer::new(Box::new(move |r| other.send(r).expect("send"))).give(Ok(7));
        assert_eq!(receiver.recv(), Ok(Err(Error::closed())));
        assert_eq!(receiver.recv(), Ok(Ok(7)));
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let of = |kind| Error::disk("write", &io::Error::from(kind));
        assert_eq!(of(io::ErrorKind::StorageFull), Error::StorageFull);
        assert_eq!(of(io::ErrorKind::PermissionDenied).class(), Class::Retry);
    }
}
