//! Step 1 and 5 of an import: messages into the journal, many at once, and a mark for each that is durable.

use super::found::{Found, key};
use crate::clock::Clock;
use crate::crypto::{random, sha256};
use crate::durable::Disk;
use crate::gateway::marks::{Key, Marks};
use crate::gateway::post::Places;
use crate::journal;
use crate::journal::{AcceptDraft, Journal};
use crate::mail::derived::{Derived, derive};
use crate::mail::line_ends::LineEnds;
use crate::mail::{BodyType, Client, Direction, Envelope, MailId, Recipient};
use crate::policy::Class;
use crate::policy::Ruling;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// Leaves that may wait to be sealed before an import waits for the sealer: each message takes a kilobyte and a half of memory until then.
const UNSEALED_LEAVES_MAX: u64 = 12_000;
/// How often a full journal is sealed for room before the import gives up.
const ROOM_TRIES_MAX: u32 = 5;
/// Files of the journal become free in the background, a moment after a seal pass.
const ROOM_PAUSE: Duration = Duration::from_millis(300);

/// What keeps imports, and imports and seal passes, from coming in each other's way.
#[derive(Debug, Default)]
pub struct Imports {
    unmarked: Mutex<()>,
    running: Mutex<()>,
}

impl Imports {
    /// While it is held, no message is durable and not marked: a seal pass may begin.
    pub fn all_marked(&self) -> MutexGuard<'_, ()> {
        self.unmarked.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The one import that may run; `None` while another one does.
    pub fn begin(&self) -> Option<MutexGuard<'_, ()>> {
        match self.running.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is durable.
    Imported,
    /// It was imported before.
    Skipped,
    /// It cannot be taken, now or later.
    Failed(String),
}

/// Why an import cannot go on. Run again, it does where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The journal takes nothing.
    #[error("journal: {0}")]
    Journal(#[from] journal::Error),
    /// What is done could not be noted.
    #[error("{path}: {error}", path = path.display())]
    Marks {
        /// The file.
        path: PathBuf,
        /// What failed.
        error: io::Error,
    },
    /// Room could not be made.
    #[error("sealing: {0}")]
    Sealing(String),
}

/// The file of marks.
fn marks_path(places: &Places) -> PathBuf {
    places.root.join("import/done")
}

/// Marks what a killed import left unmarked in the journal. To be called before anything is sealed.
pub fn reconcile(disk: &dyn Disk, places: &Places, journal: &Journal) -> io::Result<()> {
    let path = marks_path(places);
    if !disk.exists(&path) {
        return Ok(());
    }
    let imported = journal.entries().into_iter().filter(|entry| entry.accept.client.direction == Direction::Import);
    let keys: Vec<Key> = imported.map(|entry| key(&entry.accept.client.ehlo, &entry.accept.body_sha256)).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let mut marks = Marks::open(disk, &path)?;
    let unmarked: Vec<Key> = keys.into_iter().filter(|key| !marks.contains(key)).collect();
    marks.add(&unmarked)?;
    marks.sync()
}

/// Takes messages into the journal.
pub struct Intake<'a> {
    journal: &'a Journal,
    clock: &'a dyn Clock,
    imports: &'a Imports,
    path: PathBuf,
    marks: Marks,
    /// What is imported is kept as long as mail of this class, counted from its own date.
    class: Class,
    bytes_max: u64,
}

impl std::fmt::Debug for Intake<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Intake({})", self.path.display())
    }
}

impl<'a> Intake<'a> {
    /// Begins or goes on. What is imported is of `class`. Messages longer than `bytes_max` are not taken.
    pub fn open(
        disk: &dyn Disk,
        places: &Places,
        journal: &'a Journal,
        clock: &'a dyn Clock,
        imports: &'a Imports,
        class: Class,
        bytes_max: u64,
    ) -> Result<Intake<'a>, Stop> {
        let path = marks_path(places);
        let marks = Marks::open(disk, &path).map_err(|error| Stop::Marks { path: path.clone(), error })?;
        Ok(Intake { journal, clock, imports, path, marks, class, bytes_max })
    }

    /// Takes messages; answers when each is durable and marked, or is not to be. Calls `seal`, which must wait for a seal pass, when the
    /// journal has enough to seal.
    pub fn take(
        &mut self,
        batch: &[Found],
        seal: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<Vec<Outcome>, Stop> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        let mut tries = 0;
        loop {
            if self.journal.durable_leaves().saturating_sub(self.journal.sealed_through()) >= UNSEALED_LEAVES_MAX {
                seal().map_err(Stop::Sealing)?;
            }
            match self.commit(batch, &mut outcomes)? {
                None => return Ok(outcomes.into_iter().flatten().collect()),
                Some(journal::Error::StorageFull) if tries < ROOM_TRIES_MAX => {
                    tries += 1;
                    seal().map_err(Stop::Sealing)?;
                    std::thread::sleep(ROOM_PAUSE);
                }
                Some(error) => return Err(error.into()),
            }
        }
    }

    /// Commits what has no outcome yet, and marks what is durable then. The error is the first that kept a message out.
    fn commit(&mut self, batch: &[Found], outcomes: &mut [Option<Outcome>]) -> Result<Option<journal::Error>, Stop> {
        let _unmarked = self.imports.all_marked();
        let (done, durable) = mpsc::channel();
        let mut keys: Vec<Option<Key>> = vec![None; batch.len()];
        let mut refused = None;
        for (at, found) in batch.iter().enumerate().filter(|(at, _)| outcomes[*at].is_none()).collect::<Vec<_>>() {
            match self.begin(found, &keys) {
                Ok(Begun::Draft(draft, accept, key)) => {
                    keys[at] = Some(key);
                    let done = done.clone();
                    // The receiver waits below for every sender.
                    draft.commit(*accept, Box::new(move |result| drop(done.send((at, result)))));
                }
                Ok(Begun::Settled(outcome)) => outcomes[at] = Some(outcome),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        drop(done);
        let mut marks = Vec::with_capacity(batch.len());
        for (at, result) in durable {
            match result {
                Ok(_) => {
                    outcomes[at] = Some(Outcome::Imported);
                    marks.extend(keys[at]);
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        let marked = self.marks.add(&marks).and_then(|()| self.marks.sync());
        marked.map_err(|error| Stop::Marks { path: self.path.clone(), error })?;
        Ok(refused)
    }

    fn begin(&self, found: &Found, keys: &[Option<Key>]) -> Result<Begun, journal::Error> {
        let bytes = found.octets.len() as u64;
        if bytes > self.bytes_max {
            let why = format!("longer than [limits] message_bytes = {}", self.bytes_max);
            return Ok(Begun::Settled(Outcome::Failed(why)));
        }
        let origin = found.origin();
        let key = key(&origin, &sha256(&found.octets));
        if self.marks.contains(&key) || keys.contains(&Some(key)) {
            return Ok(Begun::Settled(Outcome::Skipped));
        }
        let now = self.clock.now();
        let mut draft = self.journal.draft(MailId::new(now, random::bytes()?))?;
        draft.append(&found.octets)?;
        let Derived { dated_at, sender, recipients } = derive(&found.octets, found.from_line.as_ref(), now);
        if let Some(at) = dated_at {
            draft.date(at);
        }
        let needs_utf8 = sender.iter().chain(&recipients).any(|address| address.is_internationalized());
        let accept = AcceptDraft {
            accepted_at: now,
            envelope: Envelope {
                sender,
                recipients: recipients.into_iter().map(Recipient::new).collect(),
                body: if found.octets.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
                ret: None,
                envid: None,
                smtputf8: needs_utf8,
                require_tls: None,
            },
            client: Client {
                ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                ehlo: origin,
                protocol: protocol(found.line_ends).to_owned(),
                tls: None,
                account: None,
                direction: Direction::Import,
                at: now,
            },
            // Nothing was decided: no rule speaks about mail that goes nowhere.
            ruling: journal::encode(&Ruling { recipients: Vec::new(), policy_digest: [0; 32] }),
            retention: self.class.retention(dated_at.unwrap_or(now)),
            renditions: Vec::new(),
            reported: None,
        };
        Ok(Begun::Draft(Box::new(draft), Box::new(accept), key))
    }
}

enum Begun {
    Draft(Box<journal::Draft>, Box<AcceptDraft>, Key),
    Settled(Outcome),
}

/// What stands in the record in place of a protocol.
fn protocol(line_ends: LineEnds) -> &'static str {
    match line_ends {
        LineEnds::Kept => "import",
        LineEnds::MadeCrlf => "import, LF made CRLF",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::crypto::{Secret, hpke};
    use crate::durable::RealDisk;
    use crate::journal::{Keys, Settings};
    use crate::mail::mbox::FromLine;
    use std::cell::Cell;
    use std::path::Path;
    use std::sync::Arc;

    fn keys() -> Keys {
        Keys { host: Secret::new([7; 32]), archive: hpke::generate().expect("a pair").1 }
    }

    fn journal(dir: &Path, keys: &Keys, kept_bytes: u64) -> Journal {
        std::fs::create_dir_all(dir.join("journal")).expect("made");
        let settings = Settings {
            dir: dir.join("journal"),
            mirror: None,
            file_bytes: journal::FILE_BYTES_MIN,
            spares: 0,
            low_space_bytes: 0,
            kept_bytes,
            danger_volatile_filesystem: true,
        };
        Journal::open(Arc::new(RealDisk), Arc::new(SystemClock), settings, keys.clone(), 0, 0).expect("opens").0
    }

    fn found(n: u32) -> Found {
        Found {
            source: "/old.mbox".into(),
            position: Some(u64::from(n)),
            from_line: FromLine::parse(b"From a@x.example Tue Nov 24 17:03:42 2020"),
            line_ends: LineEnds::MadeCrlf,
            octets: format!("To: b@x.example\r\nSubject: {n}\r\n\r\nx\r\n").into_bytes(),
        }
    }

    fn take(dir: &Path, journal: &Journal, batch: &[Found]) -> Result<Vec<Outcome>, Stop> {
        let imports = Imports::default();
        let places = Places::below(dir);
        let mut intake = Intake::open(&RealDisk, &places, journal, &SystemClock, &imports, Class::default(), 1000)?;
        intake.take(batch, &mut || Err("nothing is sealed here".into()))
    }

    #[test]
    fn a_message_is_taken_once_and_its_record_claims_no_envelope() {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = journal(dir.path(), &keys(), 1 << 30);
        let long = Found { octets: vec![b'x'; 1001], ..found(3) };
        let batch = [found(0), found(1), found(0), long, Found { octets: vec![b'x'; 1000], ..found(4) }];
        let outcomes = take(dir.path(), &journal, &batch).expect("taken");
        let imported = Outcome::Imported;
        assert_eq!(outcomes[..3], [imported.clone(), imported.clone(), Outcome::Skipped]);
        assert!(matches!(&outcomes[3], Outcome::Failed(why) if why.contains("message_bytes = 1000")), "{outcomes:?}");
        assert_eq!(outcomes[4], imported, "at the bound");
        assert_eq!(take(dir.path(), &journal, &[found(1), found(2)]).expect("taken"), [Outcome::Skipped, imported]);
        let entries = journal.entries();
        assert_eq!(entries.len(), 4);
        let accept = &entries[0].accept;
        assert_eq!((accept.client.direction, accept.client.ehlo.as_str()), (Direction::Import, "/old.mbox@0"));
        assert_eq!(
            (accept.client.protocol.as_str(), accept.client.ip.is_unspecified()),
            ("import, LF made CRLF", true)
        );
        assert_eq!(accept.dated_at.map(|at| at.rfc3339()).as_deref(), Some("2020-11-24T17:03:42.000Z"));
        assert_eq!((accept.envelope.sender_text().as_str(), accept.envelope.recipients.len()), ("a@x.example", 1));
        assert!(entries.iter().all(|entry| !entry.is_pending()), "never delivered");
    }

    #[test]
    fn what_a_killed_import_has_not_marked_is_marked_when_the_journal_opens() {
        let (dir, keys) = (tempfile::tempdir().expect("a directory"), keys());
        let batch: Vec<Found> = (0..20).map(found).collect();
        let opened = journal(dir.path(), &keys, 1 << 30);
        take(dir.path(), &opened, &batch).expect("taken");
        opened.close();
        // As if it had been killed when three were marked.
        let path = dir.path().join("import/done");
        let whole = std::fs::read(&path).expect("marks");
        std::fs::write(&path, &whole[..16 * 4]).expect("written");
        let opened = journal(dir.path(), &keys, 1 << 30);
        reconcile(&RealDisk, &Places::below(dir.path()), &opened).expect("reconciled");
        let mut marks: Vec<_> = std::fs::read(&path).expect("marks").chunks(16).map(<[u8]>::to_vec).collect();
        let mut before: Vec<_> = whole.chunks(16).map(<[u8]>::to_vec).collect();
        marks.sort();
        before.sort();
        assert_eq!(marks, before, "each once");
        assert!(take(dir.path(), &opened, &batch).expect("taken").iter().all(|outcome| *outcome == Outcome::Skipped));
        assert_eq!(opened.entries().len(), 20);
    }

    #[test]
    fn a_full_journal_is_sealed_for_room_and_given_up_in_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = journal(dir.path(), &keys(), 4 * journal::FILE_BYTES_MIN);
        let (imports, asked) = (Imports::default(), Cell::new(0));
        let places = Places::below(dir.path());
        let mut intake = Intake::open(&RealDisk, &places, &journal, &SystemClock, &imports, Class::default(), 1 << 20)
            .expect("opens");
        let mut seal = || {
            asked.set(asked.get() + 1);
            Ok(())
        };
        let batch = |from: u32| -> Vec<Found> {
            (from..from + 8).map(|n| Found { octets: vec![b'x'; 200_000], ..found(n) }).collect()
        };
        let stop = (0..20).find_map(|round| intake.take(&batch(round * 8), &mut seal).err()).expect("full");
        assert!(matches!(stop, Stop::Journal(journal::Error::StorageFull)), "{stop}");
        assert_eq!(asked.get(), ROOM_TRIES_MAX);
        let taken = journal.entries().len();
        let marks = std::fs::read(dir.path().join("import/done")).expect("marks").len() / 16 - 1;
        assert_eq!(marks, taken, "what was taken is marked all the same");
    }

    #[test]
    fn one_import_runs_at_a_time() {
        let imports = Imports::default();
        let first = imports.begin().expect("the first");
        assert!(imports.begin().is_none());
        drop(first);
        assert!(imports.begin().is_some());
    }
}
