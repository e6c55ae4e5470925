//! Sessions: what one account sees, each over a read connection of its own. Cannot write.

use super::index::Error;
use super::key;
use super::schema;
use super::sealed::{Sealed, Unreadable};
use super::view::{Mailbox, Message, Unavailable, View};
use crate::clock::{Clock, Timestamp};
use crate::crypto::{Secret, Sha256};
use crate::durable::Disk;
use crate::mail::{Address, MailId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The mailbox of mail accepted lately.
const INBOX: &str = "INBOX";
/// How many days back `INBOX` shows.
pub const INBOX_DAYS: i64 = 30;
/// Messages in a mailbox; what mail clients bear. Months are cut into slices when they are sealed, `INBOX` shows the newest.
pub const MAILBOX_MESSAGES_MAX: u32 = 50_000;
const DAY_S: i64 = 86_400;

/// Whose mail a session sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// All mail: an officer.
    Everything,
    /// Mail with one of these addresses in the envelope, From, To or Cc: a user.
    Addresses(Vec<Address>),
}

/// Opens sessions on the catalog. Cheap to clone.
#[derive(Clone)]
pub struct Reader(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    sealed: Arc<dyn Sealed>,
    /// The database in use and its key; changes when the catalog is made anew.
    place: Mutex<(PathBuf, Secret<32>)>,
}

impl Reader {
    pub(super) fn new(clock: Arc<dyn Clock>, sealed: Arc<dyn Sealed>, path: PathBuf, key: Secret<32>) -> Reader {
        Reader(Arc::new(Shared { clock, sealed, place: Mutex::new((path, key)) }))
    }

    /// Reads the catalog that another process keeps, as far as that one has indexed.
    pub fn open(disk: &dyn Disk, clock: Arc<dyn Clock>, dir: &Path, sealed: Arc<dyn Sealed>) -> Result<Reader, Error> {
        let key = key::read(disk, dir, &*sealed)?.ok_or(Error::Absent)?;
        let path = key::database(dir, &key);
        if !disk.exists(&path) {
            return Err(Error::Absent);
        }
        Ok(Reader::new(clock, sealed, path, key))
    }

    /// A view for one session.
    pub fn view(&self, viewer: &Viewer) -> Result<Box<dyn View>, Unavailable> {
        let parties = match viewer {
            Viewer::Everything => everybody(),
            Viewer::Addresses(own) => json(own.iter().map(Address::canonical).collect()),
        };
        let connection = self.connection().map_err(failed)?;
        let Shared { clock, sealed, .. } = &*self.0;
        let archive_id = sealed.archive_id();
        Ok(Box::new(Session { connection, clock: Arc::clone(clock), sealed: Arc::clone(sealed), archive_id, parties }))
    }

    pub(super) fn connection(&self) -> rusqlite::Result<Connection> {
        let place = self.0.place.lock().unwrap_or_else(PoisonError::into_inner);
        schema::open_reader(&place.0, &place.1)
    }

    pub(super) fn moved(&self, path: PathBuf, key: Secret<32>) {
        *self.0.place.lock().unwrap_or_else(PoisonError::into_inner) = (path, key);
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader(..)")
    }
}

/// UIDVALIDITY: 31 non-zero bits of SHA-256(archive id, mailbox name), so that a catalog made anew keeps it (ARCHIVE.md
/// section 5).
pub fn uid_validity(archive_id: &[u8; 16], mailbox: &str) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(archive_id);
    hasher.update(mailbox.as_bytes());
    let digest = hasher.finish();
    let words = digest.chunks_exact(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]) & 0x7fff_ffff);
    words.into_iter().find(|word| *word != 0).unwrap_or(1)
}

struct Session {
    connection: Connection,
    clock: Arc<dyn Clock>,
    sealed: Arc<dyn Sealed>,
    archive_id: [u8; 16],
    /// Whose rows of `parties` are seen: a JSON list of canonical addresses, or of [`schema::EVERYBODY`] alone.
    parties: String,
}

/// The newest `?3` UIDs from `?2` on in mailboxes from `?4` on that are seen by `?1`, newest first. Old mail that was imported lately
/// lies in the mailboxes of its own months, and does not push new mail out of `INBOX`.
const INBOX_UIDS: &str =
    "SELECT DISTINCT uid FROM parties WHERE address IN (SELECT value FROM json_each(?1)) AND uid >= ?2
    AND mailbox IN (SELECT number FROM mailboxes WHERE last_uid >= ?2 AND name >= ?4) ORDER BY uid DESC LIMIT ?3";

impl Session {
    fn archive_mailboxes(&self) -> rusqlite::Result<Vec<Mailbox>> {
        // Those who see everything need not count everything.
        let sql = if self.parties == everybody() {
            "SELECT name, messages, last_uid FROM mailboxes WHERE ?1 NOTNULL"
        } else {
            "SELECT b.name, count(DISTINCT p.uid), max(p.uid) FROM parties p JOIN mailboxes b ON b.number = p.mailbox
             WHERE p.address IN (SELECT value FROM json_each(?1)) GROUP BY p.mailbox"
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([&self.parties], |row| {
            let last_uid: u32 = row.get(2)?;
            Ok(self.named(row.get(0)?, row.get(1)?, last_uid.saturating_add(1)))
        })?;
        rows.collect()
    }

    fn named(&self, name: String, messages: u32, uid_next: u32) -> Mailbox {
        let uid_validity = uid_validity(&self.archive_id, &name);
        Mailbox { name, uid_validity, uid_next, messages }
    }

    /// `INBOX` beside the other mailboxes: its UIDNEXT never falls when old mail leaves it.
    fn inbox(&self, others: &[Mailbox]) -> rusqlite::Result<Mailbox> {
        let sql = format!("SELECT count(*) FROM ({INBOX_UIDS})");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let oldest = self.oldest_mailbox();
        let count =
            |first| statement.query_row(params![self.parties, first, MAILBOX_MESSAGES_MAX, oldest], |row| row.get(0));
        let messages = self.first_recent()?.map_or(Ok(0), count)?;
        let uid_next = others.iter().map(|mailbox| mailbox.uid_next).max().unwrap_or(1);
        Ok(self.named(INBOX.to_owned(), messages, uid_next))
    }

    fn since(&self) -> Timestamp {
        self.clock.now().plus_s(-INBOX_DAYS * DAY_S)
    }

    /// The mailbox of the oldest month of which `INBOX` shows mail.
    fn oldest_mailbox(&self) -> String {
        let (year, month) = self.since().year_month();
        format!("Archive/{year:04}/{year:04}-{month:02}")
    }

    /// The first UID accepted in the days that `INBOX` shows. Log order and time order agree but for sessions that ran side by side.
    fn first_recent(&self) -> rusqlite::Result<Option<u32>> {
        let since = self.since().ms();
        let sql = "SELECT uid FROM messages WHERE accepted_ms >= ? ORDER BY accepted_ms, uid LIMIT 1";
        self.connection.prepare_cached(sql)?.query_row([since], |row| row.get(0)).optional()
    }

    /// The newest recent UIDs, ascending, from `from_uid` on.
    fn inbox_uids(&self, from_uid: u32) -> rusqlite::Result<Vec<u32>> {
        let Some(first) = self.first_recent()? else { return Ok(Vec::new()) };
        let mut statement = self.connection.prepare_cached(INBOX_UIDS)?;
        let from = params![self.parties, first.max(from_uid), MAILBOX_MESSAGES_MAX, self.oldest_mailbox()];
        let mut uids: Vec<u32> = statement.query_map(from, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        uids.reverse();
        Ok(uids)
    }

    fn archive_uids(&self, mailbox: &str, from_uid: u32) -> rusqlite::Result<Vec<u32>> {
        let sql = "SELECT DISTINCT uid FROM parties WHERE address IN (SELECT value FROM json_each(?1))
                   AND mailbox = (SELECT number FROM mailboxes WHERE name = ?2) AND uid >= ?3 ORDER BY uid";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_map(params![self.parties, mailbox, from_uid], |row| row.get(0))?.collect()
    }

    /// Columns of one message, if it is in the mailbox and the viewer's. A message that has left `INBOX` since the session looked
    /// is still found there, so that nothing vanishes under a client that reads.
    fn find<T>(
        &self,
        columns: &str,
        mailbox: &str,
        uid: u32,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        let sql = format!(
            "SELECT {columns} FROM messages m JOIN mailboxes b ON b.number = m.mailbox JOIN segments s ON s.seal_index = m.segment
             JOIN summaries y ON y.uid = m.uid WHERE m.uid = ?2 AND (?3 OR b.name = ?4) AND EXISTS (SELECT 1 FROM parties p
             WHERE p.uid = m.uid AND p.mailbox = m.mailbox AND p.address IN (SELECT value FROM json_each(?1)))"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let is_inbox = mailbox.eq_ignore_ascii_case(INBOX);
        statement.query_row(params![self.parties, uid, is_inbox, mailbox], read).optional()
    }
}

impl View for Session {
    fn mailboxes(&self) -> Result<Vec<Mailbox>, Unavailable> {
        let mut mailboxes = self.archive_mailboxes().map_err(failed)?;
        mailboxes.push(self.inbox(&mailboxes).map_err(failed)?);
        mailboxes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(mailboxes)
    }

    fn mailbox(&self, name: &str) -> Result<Option<Mailbox>, Unavailable> {
        let all = self.archive_mailboxes().map_err(failed)?;
        if name.eq_ignore_ascii_case(INBOX) {
            return self.inbox(&all).map(Some).map_err(failed);
        }
        Ok(all.into_iter().find(|mailbox| mailbox.name == name))
    }

    fn uids(&self, mailbox: &str, from_uid: u32) -> Result<Vec<u32>, Unavailable> {
        let is_inbox = mailbox.eq_ignore_ascii_case(INBOX);
        let uids = if is_inbox { self.inbox_uids(from_uid) } else { self.archive_uids(mailbox, from_uid) };
        uids.map_err(failed)
    }

    fn message(&self, mailbox: &str, uid: u32) -> Result<Option<Message>, Unavailable> {
        let columns = "m.uid, m.id, m.dated_ms, coalesce(m.readable_bytes, m.size), m.sha256, y.summary";
        let found = self.find(columns, mailbox, uid, |row| {
            let summary: Vec<u8> = row.get(5)?;
            let message = |summary| -> rusqlite::Result<Message> {
                Ok(Message {
                    uid: row.get(0)?,
                    id: MailId::from_octets(row.get(1)?),
                    internal_date: Timestamp::from_ms(row.get(2)?),
                    size: row.get::<_, i64>(3)?.unsigned_abs(),
                    sha256: row.get(4)?,
                    summary,
                })
            };
            Ok(minicbor::decode(&summary).map(message))
        });
        match found.map_err(failed)? {
            None => Ok(None),
            Some(Ok(message)) => message.map(Some).map_err(failed),
            Some(Err(e)) => Err(Unavailable::Failed(format!("catalog: summary of UID {uid}: {e}"))),
        }
    }

    fn octets(&self, mailbox: &str, uid: u32) -> Result<Option<Vec<u8>>, Unavailable> {
        let columns = "s.seal_index, s.id, m.slot, m.readable_offset, m.readable_bytes";
        let place = |row: &Row<'_>| Ok((schema::segment(row, 0)?, row.get(2)?, schema::readable(row, 3)?));
        let Some((segment, slot, readable)) = self.find(columns, mailbox, uid, place).map_err(failed)? else {
            return Ok(None);
        };
        let octets = match self.sealed.octets(&segment, slot) {
            Ok(octets) => octets,
            // Erased since the session looked.
            Err(Unreadable::Erased) => return Ok(None),
            Err(e) => return Err(Unavailable::Failed(e.to_string())),
        };
        let Some(slice) = readable else { return Ok(Some(octets)) };
        let missing = || Unavailable::Failed(format!("catalog: UID {uid} is shorter than its readable form"));
        slice.of(&octets).map(|octets| Some(octets.to_vec())).ok_or_else(missing)
    }
}

fn everybody() -> String {
    json(vec![schema::EVERYBODY.to_owned()])
}

fn json(items: Vec<String>) -> String {
    serde_json::Value::from(items).to_string()
}

fn failed(error: rusqlite::Error) -> Unavailable {
    Unavailable::Failed(format!("catalog: {error}"))
}
