//! The catalog's file: SQLCipher, its tables and how connections to it are opened. Never holds anything that cannot be made
//! again from the archive.

use super::sealed::Segment;
use crate::crypto::{Secret, hash};
use crate::mail::Slice;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// The tables' version. Another one is rebuilt, not migrated: the archive has everything.
const VERSION: i64 = 5;
/// How long a connection waits for another one's write.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// `parties` says whose a message is, one row per address and one for [`EVERYBODY`]: mailboxes are read from it alone, in
/// order and without the wide rows of `messages`. Summaries stand apart, so that searches do not read over them.
const TABLES: &str = "
CREATE TABLE archive(id BLOB NOT NULL);
CREATE TABLE segments(seal_index INTEGER PRIMARY KEY, id BLOB NOT NULL);
CREATE TABLE mailboxes(
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, messages INTEGER NOT NULL, last_uid INTEGER NOT NULL);
CREATE TABLE messages(
    uid INTEGER PRIMARY KEY, id BLOB NOT NULL, mailbox INTEGER NOT NULL, accepted_ms INTEGER NOT NULL, dated_ms INTEGER NOT NULL,
    size INTEGER NOT NULL, sha256 BLOB NOT NULL, segment INTEGER NOT NULL, slot INTEGER NOT NULL,
    class TEXT NOT NULL, direction TEXT NOT NULL, sender TEXT NOT NULL, recipients TEXT NOT NULL,
    subject TEXT NOT NULL, msgid TEXT NOT NULL,
    from_lines TEXT NOT NULL, to_lines TEXT NOT NULL, subject_folded TEXT NOT NULL,
    readable_offset INTEGER, readable_bytes INTEGER, keep_ms INTEGER, has_attachment INTEGER NOT NULL);
CREATE TABLE summaries(uid INTEGER PRIMARY KEY, summary BLOB NOT NULL);
CREATE UNIQUE INDEX messages_id ON messages(id);
CREATE INDEX messages_mailbox ON messages(mailbox);
CREATE INDEX messages_accepted ON messages(accepted_ms);
CREATE INDEX messages_dated ON messages(dated_ms);
CREATE INDEX messages_msgid ON messages(msgid);
CREATE TABLE parties(
    address TEXT NOT NULL, mailbox INTEGER NOT NULL, uid INTEGER NOT NULL,
    PRIMARY KEY(address, mailbox, uid)) WITHOUT ROWID;
CREATE TABLE events(
    uid INTEGER NOT NULL, segment INTEGER NOT NULL, PRIMARY KEY(uid, segment)) WITHOUT ROWID;
CREATE TABLE holds(number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE held(hold INTEGER NOT NULL, uid INTEGER NOT NULL, PRIMARY KEY(hold, uid)) WITHOUT ROWID;
CREATE TABLE followed(act INTEGER NOT NULL);
";

/// Stands in `parties` for those who see all mail. No address is empty.
pub(super) const EVERYBODY: &str = "";

/// Whether a file can be gone on with.
pub(super) enum State {
    /// Of this version and archive.
    Current(Connection),
    /// Empty, of another version or archive, under another key, or damaged.
    Unusable,
}

/// Opens the file for writing and looks what it is.
pub(super) fn open(path: &Path, key: &Secret<32>, archive: &[u8; 16]) -> rusqlite::Result<State> {
    let opened = || -> rusqlite::Result<State> {
        let connection = connect_writer(path, key)?;
        let is_current = archive_of(&connection)? == Some(*archive);
        Ok(if is_current { State::Current(connection) } else { State::Unusable })
    };
    match opened() {
        Err(error) if says_unusable(&error) => Ok(State::Unusable),
        opened => opened,
    }
}

/// Opens the file for reading alone.
pub(super) fn open_reader(path: &Path, key: &Secret<32>) -> rusqlite::Result<Connection> {
    // Not SQLITE_OPEN_READ_ONLY: the first reader may have to recover the write-ahead log.
    let connection = connect(path, key)?;
    connection.execute_batch("PRAGMA query_only=ON;")?;
    Ok(connection)
}

/// Makes the tables in an empty file.
pub(super) fn create(path: &Path, key: &Secret<32>, archive: &[u8; 16]) -> rusqlite::Result<Connection> {
    let mut connection = connect_writer(path, key)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute("INSERT INTO archive(id) VALUES (?)", [archive.as_slice()])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(connection)
}

fn connect_writer(path: &Path, key: &Secret<32>) -> rusqlite::Result<Connection> {
    let connection = connect(path, key)?;
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;")?;
    Ok(connection)
}

fn connect(path: &Path, key: &Secret<32>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    // Its errors come back to us; SQLCipher would also print them.
    connection.execute_batch("PRAGMA cipher_log_level=NONE;")?;
    // A raw key: 32 random octets need no password stretching. It must come before anything that reads the file.
    let digits = Zeroizing::new(hash::hex(key.expose()));
    let pragma = Zeroizing::new(format!("PRAGMA key = \"x'{}'\";", *digits));
    connection.execute_batch(&pragma)?;
    connection.execute_batch("PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA cache_size=-16000;")?;
    Ok(connection)
}

/// The archive of a catalog of this version.
fn archive_of(connection: &Connection) -> rusqlite::Result<Option<[u8; 16]>> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != VERSION {
        return Ok(None);
    }
    connection.query_row("SELECT id FROM archive", [], |row| row.get(0)).optional()
}

/// A leaf index as SQLite's integer; the log's tree sizes fit 63 bits.
pub(super) fn number(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// A segment from its SEAL leaf's index and its id, the columns from `first` on.
pub(super) fn segment(row: &Row<'_>, first: usize) -> rusqlite::Result<Segment> {
    Ok(Segment { seal_index: row.get::<_, i64>(first)?.unsigned_abs(), id: row.get(first + 1)? })
}

/// The range of the octets that people read, if not all: the columns from `first` on.
pub(super) fn readable(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Slice>> {
    let number =
        |column| -> rusqlite::Result<Option<u64>> { Ok(row.get::<_, Option<i64>>(column)?.map(i64::unsigned_abs)) };
    Ok(number(first)?.zip(number(first + 1)?).map(|(offset, bytes)| Slice { offset, bytes }))
}

/// Errors that mean the file, not the disk or another process: it is made anew.
pub(super) fn says_unusable(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            let missing_table = failure.extended_code == rusqlite::ffi::SQLITE_ERROR;
            missing_table || matches!(failure.code, NotADatabase | DatabaseCorrupt)
        }
        rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..) => true,
        _ => false,
    }
}
