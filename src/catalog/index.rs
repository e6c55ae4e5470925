//! Indexing: the catalog follows the archive, one seal pass a transaction, in log order. Never changes the archive; a catalog
//! that cannot be gone on with is made anew and gives the same UIDs.

use super::acts;
use super::fenced::{self, Read};
use super::key;
use super::line::Line;
use super::schema::{self, State};
use super::sealed::{Entry, Facts, Sealed, Segment, Unreadable};
use super::session::Reader;
use crate::clock::{Clock, Timestamp};
use crate::crypto::Secret;
use crate::durable::{DirLock, Disk};
use crate::mail::MailId;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can go wrong. None of it harms the archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process keeps the catalog.
    #[error("another process keeps the catalog")]
    Busy,
    /// There is no catalog to read yet.
    #[error("there is no catalog yet")]
    Absent,
    /// The archive cannot be read.
    #[error("archive: {0}")]
    Archive(#[from] Unreadable),
    /// The disk failed.
    #[error("catalog: {0}")]
    Disk(#[from] io::Error),
    /// The database failed.
    #[error("catalog: {0}")]
    Database(#[from] rusqlite::Error),
    /// The archive is not the one the catalog followed.
    #[error("catalog: the archive's segments are not those that were indexed")]
    Diverged,
    /// No random bytes.
    #[error("catalog: the kernel's random source failed")]
    NoRandomness,
}

/// What a pass of indexing did.
#[derive(Debug, Default)]
pub struct Indexed {
    /// Segments.
    pub segments: usize,
    /// Messages that became visible.
    pub messages: usize,
    /// Those of them that are shown without their header, because reading it met a bug.
    pub unread: Vec<MailId>,
    /// What could not be read and is not in the catalog.
    pub damage: Vec<Damage>,
    /// Messages that were erased or expired and are not in the catalog any more.
    pub forgotten: u64,
    /// Whether nothing of what was forgotten is left in the catalog's files; else another call finishes it.
    pub clean: bool,
}

/// A unit or a whole segment that is not in the catalog because it is damaged in the archive.
#[derive(Debug)]
pub struct Damage {
    /// The segment.
    pub segment: Segment,
    /// The slot; `None` for its directory or events.
    pub slot: Option<u32>,
    /// What was found.
    pub detail: String,
}

/// Whether the write-ahead log may still hold what was forgotten.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Traces {
    Perhaps,
    None,
}

/// The catalog as its one writer holds it.
pub struct Catalog {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    sealed: Arc<dyn Sealed>,
    connection: Connection,
    traces: Traces,
    reader: Reader,
    _lock: DirLock,
}

impl Catalog {
    /// Opens the catalog in `dir`, which is for it alone, or makes one. One process at a time; others take [`Reader::open`].
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        sealed: Arc<dyn Sealed>,
    ) -> Result<Catalog, Error> {
        disk.create_dir(dir)?;
        let lock = DirLock::acquire(dir).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => Error::Busy,
            _ => Error::Disk(e),
        })?;
        let (connection, key) = match open_current(&*disk, dir, &*sealed)? {
            Some(found) => found,
            None => create(&*disk, dir, &*sealed)?,
        };
        let reader = Reader::new(Arc::clone(&clock), Arc::clone(&sealed), key::database(dir, &key), key);
        Ok(Catalog {
            disk,
            clock,
            dir: dir.to_owned(),
            sealed,
            connection,
            traces: Traces::Perhaps,
            reader,
            _lock: lock,
        })
    }

    /// A handle for sessions and lists. Cheap to clone.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Removes the catalog in `dir` without opening it: where no officer unlocks it, it cannot forget single messages. It is made anew
    /// when one does. `Busy` while another process keeps it.
    pub fn discard(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
        if !disk.exists(dir) {
            return Ok(());
        }
        let lock = DirLock::acquire(dir).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => Error::Busy,
            _ => Error::Disk(e),
        })?;
        key::remove_databases(disk, dir)?;
        drop(lock);
        Ok(())
    }

    /// Indexes every segment that is not yet. A catalog that turns out damaged or of another archive is made anew first.
    pub fn index(&mut self) -> Result<Indexed, Error> {
        match self.index_on() {
            Err(Error::Database(e)) if schema::says_unusable(&e) => self.rebuild(),
            Err(Error::Diverged) => self.rebuild(),
            done => done,
        }
    }

    /// How long the writer waits for readers.
    #[cfg(test)]
    pub(super) fn set_patience(&self, patience: std::time::Duration) {
        self.connection.busy_timeout(patience).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Makes the catalog anew. Views opened before show the old one until they are closed.
    pub fn rebuild(&mut self) -> Result<Indexed, Error> {
        let (connection, key) = create(&*self.disk, &self.dir, &*self.sealed)?;
        self.reader.moved(key::database(&self.dir, &key), key);
        self.connection = connection;
        self.traces = Traces::Perhaps;
        self.index_on()
    }

    fn index_on(&mut self) -> Result<Indexed, Error> {
        let newest = newest_segment(&self.connection)?;
        if let Some(known) = &newest
            && self.sealed.segment_at(known.seal_index)?.as_ref() != Some(known)
        {
            return Err(Error::Diverged);
        }
        let mut done = Indexed::default();
        for segments in self.sealed.passes_after(newest.map(|known| known.seal_index))? {
            self.index_pass(&segments, &mut done)?;
        }
        done.forgotten = acts::follow(&mut self.connection, &*self.sealed)?;
        if done.forgotten > 0 {
            self.traces = Traces::Perhaps;
        }
        if self.traces == Traces::Perhaps && acts::truncate(&self.connection)? {
            self.traces = Traces::None;
        }
        done.clean = self.traces == Traces::None;
        Ok(done)
    }

    /// The segments of a seal pass share the messages of its range of the log: they become visible together, or a client that knows
    /// UID n + 1 would miss UID n.
    fn index_pass(&mut self, segments: &[Segment], done: &mut Indexed) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        for segment in segments {
            let number = schema::number(segment.seal_index);
            transaction.execute("INSERT INTO segments(seal_index, id) VALUES (?, ?)", params![number, segment.id])?;
            let mut pass = Pass { transaction: &transaction, sealed: &*self.sealed, segment, number, done };
            pass.messages()?;
            pass.events()?;
        }
        transaction.commit()?;
        // From here their messages are visible; a crash before leaves all of them for the next time.
        done.segments += segments.len();
        Ok(())
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Catalog({}, {})", self.dir.display(), self.clock.now().rfc3339())
    }
}

/// The catalog as it stands, if it can be gone on with.
fn open_current(disk: &dyn Disk, dir: &Path, sealed: &dyn Sealed) -> Result<Option<(Connection, Secret<32>)>, Error> {
    let Some(key) = key::read(disk, dir, sealed)? else { return Ok(None) };
    let path = key::database(dir, &key);
    if !disk.exists(&path) {
        return Ok(None);
    }
    match schema::open(&path, &key, &sealed.archive_id())? {
        State::Current(connection) => Ok(Some((connection, key))),
        State::Unusable => Ok(None),
    }
}

fn create(disk: &dyn Disk, dir: &Path, sealed: &dyn Sealed) -> Result<(Connection, Secret<32>), Error> {
    key::remove_databases(disk, dir)?;
    let key = key::create(disk, dir, sealed)?;
    let path = key::database(dir, &key);
    // Made here and empty, so that it is private; SQLite gives its other files the same mode.
    drop(disk.create(&path)?);
    let connection = schema::create(&path, &key, &sealed.archive_id())?;
    Ok((connection, key))
}

pub(super) fn newest_segment(connection: &Connection) -> rusqlite::Result<Option<Segment>> {
    let sql = "SELECT seal_index, id FROM segments ORDER BY seal_index DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row([], |row| schema::segment(row, 0)).optional()
}

/// One segment on its way into the catalog.
struct Pass<'p> {
    transaction: &'p Transaction<'p>,
    sealed: &'p dyn Sealed,
    segment: &'p Segment,
    number: i64,
    done: &'p mut Indexed,
}

impl Pass<'_> {
    fn messages(&mut self) -> Result<(), Error> {
        let entries = self.readable(None, self.sealed.directory(self.segment))?;
        for entry in entries.into_iter().flatten() {
            self.message(&entry)?;
        }
        Ok(())
    }

    fn events(&mut self) -> Result<(), Error> {
        let uids = self.readable(None, fenced::events(self.sealed, self.segment))?;
        let mut statement =
            self.transaction.prepare_cached("INSERT OR IGNORE INTO events(uid, segment) VALUES (?, ?)")?;
        for uid in uids.into_iter().flatten() {
            statement.execute(params![uid, self.number])?;
        }
        Ok(())
    }

    /// What could be read; damage is noted and does not stop the rest, all other failures stop the pass.
    fn readable<T>(&mut self, slot: Option<u32>, read: Result<T, Unreadable>) -> Result<Option<T>, Error> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Unreadable::Erased) => Ok(None),
            Err(Unreadable::Damaged(detail)) => {
                self.damaged(slot, detail);
                Ok(None)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    fn damaged(&mut self, slot: Option<u32>, detail: String) {
        self.done.damage.push(Damage { segment: *self.segment, slot, detail });
    }

    fn message(&mut self, entry: &Entry) -> Result<(), Error> {
        let read = fenced::message(self.sealed, self.segment, entry);
        if matches!(read, Err(Unreadable::Erased)) {
            return Ok(self.step_over(entry)?);
        }
        let Some(read) = self.readable(Some(entry.slot), read)? else { return Ok(()) };
        if self.exists(entry)? {
            let detail = format!("UID {} or id {} stands in the catalog already", entry.uid, entry.id);
            self.damaged(Some(entry.slot), detail);
            return Ok(());
        }
        let mailbox = self.mailbox(entry)?;
        let (Read::Whole(line) | Read::Bare(line)) = &read;
        self.insert(entry, line, mailbox)?;
        self.insert_parties(entry.uid, line, mailbox)?;
        self.done.messages += 1;
        if matches!(read, Read::Bare(_)) {
            self.done.unread.push(entry.id);
        }
        Ok(())
    }

    /// UIDNEXT stays above the UID of a message that is gone.
    fn step_over(&self, entry: &Entry) -> rusqlite::Result<()> {
        let sql = "UPDATE mailboxes SET last_uid = max(last_uid, ?2) WHERE name = ?1";
        self.transaction.prepare_cached(sql)?.execute(params![entry.mailbox, entry.uid]).map(drop)
    }

    fn exists(&self, entry: &Entry) -> rusqlite::Result<bool> {
        let mut statement = self.transaction.prepare_cached("SELECT 1 FROM messages WHERE uid = ? OR id = ?")?;
        Ok(statement.query_row(params![entry.uid, entry.id.octets()], |_| Ok(())).optional()?.is_some())
    }

    /// The mailbox's number, with the message counted in.
    fn mailbox(&self, entry: &Entry) -> rusqlite::Result<i64> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO mailboxes(name, messages, last_uid) VALUES (?1, 1, ?2) ON CONFLICT(name) DO UPDATE
             SET messages = messages + 1, last_uid = max(last_uid, ?2) RETURNING number",
        )?;
        statement.query_row(params![entry.mailbox, entry.uid], |row| row.get(0))
    }

    fn insert(&self, entry: &Entry, line: &Line, mailbox: i64) -> Result<(), Error> {
        let Facts { direction, internal_date, class, keep_until, size, sha256, readable, summary, .. } = &line.facts;
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO messages(uid, id, mailbox, accepted_ms, dated_ms, size, sha256, segment, slot, class, direction, sender,
             recipients, subject, msgid, from_lines, to_lines, subject_folded, readable_offset, readable_bytes, keep_ms, has_attachment)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        statement.execute(params![
            entry.uid,
            entry.id.octets(),
            mailbox,
            entry.accepted_at.ms(),
            internal_date.ms(),
            i64::try_from(*size).unwrap_or(i64::MAX),
            sha256,
            self.number,
            entry.slot,
            class,
            direction.word(),
            line.sender,
            line.recipients,
            summary.subject,
            line.message_id,
            line.from_lines,
            line.to_lines,
            line.subject_folded,
            readable.map(|slice| schema::number(slice.offset)),
            readable.map(|slice| schema::number(slice.bytes)),
            keep_until.map(Timestamp::ms),
            summary.structure.has_attachment(),
        ])?;
        let mut statement = self.transaction.prepare_cached("INSERT INTO summaries(uid, summary) VALUES (?, ?)")?;
        statement.execute(params![entry.uid, line.summary])?;
        Ok(())
    }

    fn insert_parties(&self, uid: u32, line: &Line, mailbox: i64) -> rusqlite::Result<()> {
        let mut statement =
            self.transaction.prepare_cached("INSERT INTO parties(address, mailbox, uid) VALUES (?, ?, ?)")?;
        statement.execute(params![schema::EVERYBODY, mailbox, uid])?;
        for address in &line.parties {
            statement.execute(params![address, mailbox, uid])?;
        }
        Ok(())
    }
}
