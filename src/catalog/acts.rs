//! Following acts: what is under which hold, and what is erased or expired, of which nothing stays here.

use super::index::Error;
use super::schema;
use super::sealed::{Act, Sealed};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// Takes in all acts that are not yet, in one transaction. How many messages were forgotten.
pub(super) fn follow(connection: &mut Connection, sealed: &dyn Sealed) -> Result<u64, Error> {
    let sql = "SELECT act FROM followed";
    let known: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    let known = known.map(i64::unsigned_abs);
    let acts = sealed.acts_after(known)?;
    if acts.newest == known {
        return Ok(0);
    }
    if acts.newest < known {
        return Err(Error::Diverged);
    }
    let transaction = connection.transaction()?;
    let mut forgotten = 0;
    for act in &acts.acts {
        match act {
            Act::Held { hold, name, uids } => held(&transaction, hold, name, uids)?,
            Act::Released(hold) => released(&transaction, hold)?,
            Act::Gone(uids) => forgotten += gone(&transaction, uids)?,
        }
    }
    transaction.execute("DELETE FROM followed", [])?;
    transaction.execute("INSERT INTO followed(act) VALUES (?)", [acts.newest.map(schema::number)])?;
    transaction.commit()?;
    Ok(forgotten)
}

/// Empties the write-ahead log, which may hold pages from before; whether no reader was in the way.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

fn held(transaction: &Transaction<'_>, hold: &[u8; 16], name: &str, uids: &[u32]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO holds(id, name) VALUES (?, ?) ON CONFLICT(id) DO UPDATE SET name = excluded.name
               RETURNING number";
    let number: i64 = transaction.prepare_cached(sql)?.query_row(params![hold, name], |row| row.get(0))?;
    let mut statement = transaction.prepare_cached("INSERT OR IGNORE INTO held(hold, uid) VALUES (?, ?)")?;
    uids.iter().try_for_each(|uid| statement.execute(params![number, uid]).map(drop))
}

fn released(transaction: &Transaction<'_>, hold: &[u8; 16]) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM held WHERE hold = (SELECT number FROM holds WHERE id = ?)", params![hold])?;
    transaction.execute("DELETE FROM holds WHERE id = ?", params![hold]).map(drop)
}

/// Deletes every row about these messages. A mailbox without a message is none.
fn gone(transaction: &Transaction<'_>, uids: &[u32]) -> rusqlite::Result<u64> {
    transaction
        .execute_batch("CREATE TEMP TABLE IF NOT EXISTS doomed(uid INTEGER PRIMARY KEY); DELETE FROM temp.doomed;")?;
    let mut statement = transaction.prepare_cached("INSERT OR IGNORE INTO temp.doomed(uid) VALUES (?)")?;
    uids.iter().try_for_each(|uid| statement.execute([uid]).map(drop))?;
    drop(statement);
    transaction.execute(
        "UPDATE mailboxes SET messages = messages - d.count FROM (SELECT m.mailbox AS number, count(*) AS count
         FROM messages m JOIN temp.doomed USING(uid) GROUP BY m.mailbox) AS d WHERE mailboxes.number = d.number",
        [],
    )?;
    let forgotten = transaction.execute("DELETE FROM messages WHERE uid IN (SELECT uid FROM temp.doomed)", [])?;
    for table in ["summaries", "parties", "events", "held"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE uid IN (SELECT uid FROM temp.doomed)"), [])?;
    }
    transaction.execute("DELETE FROM mailboxes WHERE messages <= 0", [])?;
    Ok(forgotten as u64)
}
