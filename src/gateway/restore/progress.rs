//! What a restore has handed over to a server, so that one that is run again goes on, and says of which message it cannot know.
//!
//! A message is noted, durably, before it is sent, and once more when the server has it. After a kill or a power cut, one that was begun and not
//! finished may be there: it is sent again, for a duplicate is better than a loss, and the report names it.

use super::target::Target;
use crate::crypto::Sha256;
use crate::durable::{DirLock, Disk};
use crate::gateway::error::Error;
use crate::gateway::marks::{Key, Marks};
use crate::gateway::post::Places;
use crate::mail::MailId;
use std::io;
use std::path::PathBuf;

/// What is known of a message at this target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    New,
    /// It was being sent when a former run ended.
    InDoubt,
    /// The server has it.
    There,
}

/// The progress towards one target.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    marks: Marks,
    _lock: DirLock,
}

#[derive(Clone, Copy)]
enum Step {
    Begun,
    Done,
}

impl Progress {
    /// Opens what is known of a target. One restore at a time.
    pub fn open(disk: &dyn Disk, places: &Places, target: &Target) -> Result<Progress, Error> {
        let dir = places.root.join("restore");
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::WouldBlock => Error::of(dir.display(), "another restore is under way")
                .passing()
                .with_help("run this one when it has ended"),
            _ => Error::io(&dir, &e),
        };
        disk.create_dir(&dir).map_err(failed)?;
        let lock = DirLock::acquire(&dir).map_err(failed)?;
        let name: String = digest(format!("{target:?}").as_bytes(), b"").iter().map(|b| format!("{b:02x}")).collect();
        let path = dir.join(name);
        let marks = Marks::open(disk, &path).map_err(|e| Error::io(&path, &e))?;
        Ok(Progress { path, marks, _lock: lock })
    }

    /// What is known of a message for one recipient, or for the mailbox (an empty one).
    pub fn of(&self, id: &MailId, recipient: &str) -> Known {
        let has = |step| self.marks.contains(&key(id, recipient, step));
        match (has(Step::Done), has(Step::Begun)) {
            (true, _) => Known::There,
            (false, true) => Known::InDoubt,
            (false, false) => Known::New,
        }
    }

    /// From here on it may be there.
    pub fn begin(&mut self, id: &MailId, recipients: &[String]) -> Result<(), String> {
        self.note(id, recipients, Step::Begun)?;
        self.marks.sync().map_err(|e| format!("{}: {e}", self.path.display()))
    }

    /// The server has it.
    pub fn done(&mut self, id: &MailId, recipients: &[String]) -> Result<(), String> {
        self.note(id, recipients, Step::Done)
    }

    fn note(&mut self, id: &MailId, recipients: &[String], step: Step) -> Result<(), String> {
        let keys: Vec<Key> = recipients.iter().map(|recipient| key(id, recipient, step)).collect();
        self.marks.add(&keys).map_err(|e| format!("{}: {e}", self.path.display()))
    }
}

fn key(id: &MailId, recipient: &str, step: Step) -> Key {
    let step: &[u8] = match step {
        Step::Begun => b"begun ",
        Step::Done => b"done ",
    };
    digest(&[step, id.octets()].concat(), recipient.as_bytes())
}

fn digest(first: &[u8], second: &[u8]) -> Key {
    let mut hasher = Sha256::new();
    hasher.update(b"sealpost restore\n");
    hasher.update(first);
    hasher.update(second);
    let digest = hasher.finish();
    digest[..16].try_into().unwrap_or_else(|_| unreachable!("half of 32 octets"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::RealDisk;

    #[test]
    fn what_was_begun_is_in_doubt_until_it_is_done() {
        let home = tempfile::tempdir().expect("a directory");
        let places = Places::below(home.path());
        let [target, other] = ["a", "b"].map(|name| Target::Maildir(name.into()));
        let id = MailId::from_octets([7; 16]);
        let open = |target| Progress::open(&RealDisk, &places, target);
        let mut progress = open(&target).expect("opened");
        assert!(open(&target).is_err(), "one at a time");
        assert_eq!(progress.of(&id, ""), Known::New);
        progress.begin(&id, &[String::new(), "b@x.example".into()]).expect("noted");
        drop(progress);
        let mut progress = open(&target).expect("opened");
        assert_eq!(progress.of(&id, ""), Known::InDoubt);
        progress.done(&id, &[String::new()]).expect("noted");
        drop(progress);
        let progress = open(&target).expect("opened");
        assert_eq!((progress.of(&id, ""), progress.of(&id, "b@x.example")), (Known::There, Known::InDoubt));
        drop(progress);
        assert_eq!(open(&other).expect("opened").of(&id, ""), Known::New, "each target for itself");
    }
}
