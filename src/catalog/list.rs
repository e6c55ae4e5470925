//! Lists: rows of sealed messages that a query asks for, for command line and export. Reads the catalog alone, no bodies.

use super::fold;
use super::index::{self, Error};
use super::query::{Node, Query, Term};
use super::schema;
use super::sealed::Segment;
use super::session::Reader;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::mail::{MailId, Slice};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// Rows of one page.
const PAGE_ROWS: u32 = 1000;

/// One sealed message as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// IMAP UID.
    pub uid: u32,
    /// Our id.
    pub id: MailId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// INTERNALDATE: the same, but for mail that was imported.
    pub internal_date: Timestamp,
    /// Octets as received.
    pub size: u64,
    /// SHA-256 of those octets.
    pub sha256: Digest,
    /// Which of those octets people read, if not all.
    pub readable: Option<Slice>,
    /// Where it lies.
    pub segment: Segment,
    /// Its slot there.
    pub slot: u32,
    /// Its month.
    pub mailbox: String,
    /// Retention class.
    pub class: String,
    /// When it may expire; `None`: never.
    pub keep_until: Option<Timestamp>,
    /// `outbound`, `inbound` or `journal`.
    pub direction: String,
    /// Envelope sender as given, or as a journal report states it; empty for the null sender.
    pub sender: String,
    /// Envelope recipients as given, Bcc too; of a journal report, those it states.
    pub recipients: Vec<String>,
    /// Subject, decoded.
    pub subject: String,
    /// Message-ID without angle brackets; empty when missing.
    pub message_id: String,
}

/// How a person names one message: `ID`, `MESSAGE-ID` or `MAILBOX/UID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Our id.
    Id(MailId),
    /// Mailbox and UID.
    Uid(String, u32),
    /// The sender's Message-ID, without angle brackets; several messages may have it.
    MessageId(String),
}

impl Reference {
    /// Reads a reference; what is neither an id nor a mailbox with a UID is a Message-ID.
    pub fn parse(text: &str) -> Reference {
        if let Some(id) = MailId::parse(text) {
            return Reference::Id(id);
        }
        let in_mailbox = text.rsplit_once('/').filter(|(name, _)| name.starts_with("Archive/") || *name == "INBOX");
        match in_mailbox.and_then(|(name, uid)| Some((name, uid.parse().ok()?))) {
            Some((name, uid)) => Reference::Uid(name.to_owned(), uid),
            None => Reference::MessageId(fold::message_id(text).to_owned()),
        }
    }
}

/// Reads lists over a connection of its own.
#[derive(Debug)]
pub struct Listing(Connection);

impl Reader {
    /// Opens lists of all mail.
    pub fn listing(&self) -> Result<Listing, Error> {
        Ok(Listing(self.connection()?))
    }
}

impl Row {
    /// Octets of what people read.
    pub fn readable_size(&self) -> u64 {
        self.readable.map_or(self.size, |slice| slice.bytes)
    }
}

impl Listing {
    /// Calls `each` for every message the query asks for, in UID order, until it answers an error. Memory holds one page.
    pub fn each<E: From<Error>>(&self, query: &Query, mut each: impl FnMut(Row) -> Result<(), E>) -> Result<(), E> {
        let mut from_uid = 0;
        loop {
            let page = self.page(query, from_uid, PAGE_ROWS)?;
            let Some(last) = page.last().map(|row| row.uid) else { return Ok(()) };
            page.into_iter().try_for_each(&mut each)?;
            match last.checked_add(1) {
                Some(next) => from_uid = next,
                None => return Ok(()),
            }
        }
    }

    /// The first `max` messages the query asks for with a UID of at least `from_uid`, in UID order.
    pub fn page(&self, query: &Query, from_uid: u32, max: u32) -> Result<Vec<Row>, Error> {
        let mut condition = Condition { sql: "m.uid >= ? AND ".to_owned(), values: vec![Value::from(from_uid)] };
        condition.node(&query.0);
        condition.values.push(Value::from(max));
        self.rows(&format!("{} ORDER BY m.uid LIMIT ?", condition.sql), condition.values)
    }

    /// The messages a reference means: one or none, but for a Message-ID.
    pub fn find(&self, reference: &Reference) -> Result<Vec<Row>, Error> {
        match reference {
            Reference::Id(id) => self.rows("m.id = ?", vec![Value::from(id.octets().to_vec())]),
            Reference::MessageId(id) => self.rows("m.msgid = ? ORDER BY m.uid", vec![Value::from(id.clone())]),
            Reference::Uid(name, uid) if name == "INBOX" => self.rows("m.uid = ?", vec![Value::from(*uid)]),
            Reference::Uid(name, uid) => {
                self.rows("m.uid = ? AND b.name = ?", vec![Value::from(*uid), Value::from(name.clone())])
            }
        }
    }

    /// The newest segment that is in the catalog: what a list shows is complete up to it.
    pub fn newest_segment(&self) -> Result<Option<Segment>, Error> {
        Ok(index::newest_segment(&self.0)?)
    }

    /// Messages the query asks for that lie in segments with a greater SEAL leaf, by UID.
    pub fn uids_after(&self, query: &Query, seal_index: Option<u64>) -> Result<Vec<u32>, Error> {
        let from = seal_index.map_or(-1, schema::number);
        let mut condition = Condition { sql: "m.segment > ? AND ".to_owned(), values: vec![Value::from(from)] };
        condition.node(&query.0);
        let sql = format!("SELECT m.uid FROM messages m WHERE {} ORDER BY m.uid", condition.sql);
        let mut statement = self.0.prepare(&sql)?;
        let uids = statement.query_map(params_from_iter(condition.values), |row| row.get(0))?;
        Ok(uids.collect::<rusqlite::Result<_>>()?)
    }

    /// The segments with results that became known after the message was sealed, in log order.
    pub fn events(&self, uid: u32) -> Result<Vec<Segment>, Error> {
        let sql = "SELECT s.seal_index, s.id FROM events e JOIN segments s ON s.seal_index = e.segment
                   WHERE e.uid = ? ORDER BY e.segment";
        let mut statement = self.0.prepare_cached(sql)?;
        let events = statement.query_map([uid], |row| schema::segment(row, 0))?;
        Ok(events.collect::<rusqlite::Result<_>>()?)
    }

    fn rows(&self, condition: &str, values: Vec<Value>) -> Result<Vec<Row>, Error> {
        let sql = format!(
            "SELECT m.uid, m.id, m.accepted_ms, m.size, m.sha256, m.slot, b.name, m.class, m.direction, m.sender,
             m.recipients, m.subject, m.msgid, s.seal_index, s.id, m.readable_offset, m.readable_bytes, m.keep_ms, m.dated_ms
             FROM messages m JOIN mailboxes b ON b.number = m.mailbox JOIN segments s ON s.seal_index = m.segment WHERE {condition}"
        );
        let mut statement = self.0.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let recipients: String = row.get(10)?;
    let recipients = serde_json::from_str(&recipients)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(10, rusqlite::types::Type::Text, Box::new(e)))?;
    Ok(Row {
        uid: row.get(0)?,
        id: MailId::from_octets(row.get(1)?),
        accepted_at: Timestamp::from_ms(row.get(2)?),
        internal_date: Timestamp::from_ms(row.get(18)?),
        size: row.get::<_, i64>(3)?.unsigned_abs(),
        sha256: row.get(4)?,
        readable: schema::readable(row, 15)?,
        segment: schema::segment(row, 13)?,
        slot: row.get(5)?,
        mailbox: row.get(6)?,
        class: row.get(7)?,
        keep_until: row.get::<_, Option<i64>>(17)?.map(Timestamp::from_ms),
        direction: row.get(8)?,
        sender: row.get(9)?,
        recipients,
        subject: row.get(11)?,
        message_id: row.get(12)?,
    })
}

/// A query as SQL. Words of people go into values, never into the text.
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    fn node(&mut self, node: &Node) {
        match node {
            Node::All(nodes) => self.joined(nodes, " AND ", "1"),
            Node::Any(nodes) => self.joined(nodes, " OR ", "0"),
            Node::Not(node) => {
                self.sql.push_str("NOT ");
                self.joined(std::slice::from_ref(&**node), "", "1");
            }
            Node::Term(term) => self.term(term),
        }
    }

    fn joined(&mut self, nodes: &[Node], with: &str, empty: &str) {
        self.sql.push('(');
        for (i, node) in nodes.iter().enumerate() {
            if i > 0 {
                self.sql.push_str(with);
            }
            self.node(node);
        }
        if nodes.is_empty() {
            self.sql.push_str(empty);
        }
        self.sql.push(')');
    }

    fn term(&mut self, term: &Term) {
        let (sql, value): (&str, Value) = match term {
            Term::From(who) => ("instr(m.from_lines, ?) > 0", fold::wanted(who).into()),
            Term::To(who) => ("instr(m.to_lines, ?) > 0", fold::wanted(who).into()),
            Term::Subject(text) => ("instr(m.subject_folded, ?) > 0", text.clone().into()),
            Term::After(at) => ("m.dated_ms >= ?", at.ms().into()),
            Term::Before(at) => ("m.dated_ms < ?", at.ms().into()),
            Term::Class(class) => ("m.class = ?", class.clone().into()),
            Term::Hold(name) => (
                "m.uid IN (SELECT h.uid FROM held h JOIN holds n ON n.number = h.hold WHERE n.name = ?)",
                name.clone().into(),
            ),
            Term::Direction(direction) => ("m.direction = ?", direction.word().to_owned().into()),
            Term::Id(id) => ("m.id = ?", id.octets().to_vec().into()),
            Term::MessageId(id) => ("m.msgid = ?", id.clone().into()),
            Term::Hash(digest) => ("m.sha256 = ?", digest.to_vec().into()),
            Term::HasAttachment => {
                self.sql.push_str("m.has_attachment");
                return;
            }
            Term::Larger(octets) => ("m.size > ?", i64::try_from(*octets).unwrap_or(i64::MAX).into()),
        };
        self.sql.push_str(sql);
        self.values.push(value);
    }
}
