//! `sealpost archive hold|release|holds|erase|expire|receipts`: asks the running server, or does it here when none runs.

use super::archive::Room;
use super::args_acts::{Erase, Hold};
use super::{Failure, Out, USAGE, ask_or, talk};
use crate::archive::acts::{self, MESSAGES_MAX, Named};
use crate::archive::{Archive, OfficerSecret};
use crate::catalog::{Query, Reference, Row};
use crate::clock::{Clock, SystemClock};
use crate::crypto::{SecretBytes, hash};
use crate::durable::{Disk, RealDisk};
use crate::gateway::acts::request::{Accepts, ActRequest, EraseRequest, ExpireRequest, HoldRequest};
use crate::gateway::acts::settle::Settling;
use crate::gateway::acts::{self as office, Office, standing};
use crate::gateway::config::Config;
use crate::gateway::control::Request;
use crate::gateway::control::desk::wait;
use crate::gateway::error::Error;
use crate::gateway::observe::Audit;
use crate::gateway::post::Places;
use crate::gateway::{offline, reading, secret_file};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// What was said about carrying an expiry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Tell only.
    Dry,
    /// Do it.
    Yes,
    /// Neither.
    Unsaid,
}

impl Wish {
    /// Of the two flags.
    pub fn of(dry_run: bool, yes: bool) -> Wish {
        match (dry_run, yes) {
            (true, _) => Wish::Dry,
            (false, true) => Wish::Yes,
            (false, false) => Wish::Unsaid,
        }
    }
}

/// Who asks, for the audit trail: the account the command runs under.
pub fn by() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let plain = |name: &String| !name.is_empty() && name.len() < 100 && !name.chars().any(char::is_control);
    names.into_iter().find(plain).unwrap_or_else(|| "unknown".to_owned())
}

/// `archive hold`
pub fn hold(config: &Config, config_path: &Path, hold: &Hold, out: &Out) -> Result<(), Failure> {
    let text = hold.query.join(" ");
    let query = Query::parse(&text).map_err(Failure::bad)?;
    let mut ids = hold.ids.clone();
    if let Some(path) = &hold.ids_file {
        let file = std::fs::read_to_string(path).map_err(|e| Error::io(path, &e))?;
        ids.extend(file.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
    }
    let (by_query, by_list) = (!query.is_everything(), !ids.is_empty() || !hold.accepts.is_empty());
    if by_query == by_list {
        return Err(usage("either a query or a list: --id, --ids-file or --accept"));
    }
    if hold.standing && query.asks_for_holds() {
        return Err(usage("a standing hold cannot ask for `hold:`"));
    }
    let mut accepts = hold.accepts.clone();
    let mut seen = None;
    if by_query || !ids.is_empty() {
        seal_first(config, config_path)?;
        let room = Room::open(config)?;
        // Before the list: what is sealed meanwhile is compared later.
        seen = room.listing.newest_segment().map_err(Failure::bad)?.map(|segment| segment.seal_index);
        let rows = if by_query { matching(&room, &query)? } else { listed(&room, &ids)? };
        accepts.extend(rows.iter().map(|row| accept_index(&room, row)));
    }
    let request = HoldRequest {
        name: hold.name.clone(),
        by: by(),
        reason: hold.reason.clone(),
        query: hold.standing.then_some(text),
        seen: seen.filter(|_| hold.standing),
        accepts: Accepts::of(accepts),
    };
    let row = carry_out(config, config_path, &ActRequest::Hold(request))?;
    if row["gone"].as_u64().is_some_and(|gone| gone > 0) {
        talk("warning", &format!("{} messages were erased or expired before and cannot be held", row["gone"]), None);
    }
    out.record(&["hold", "messages", "act"], &row)
}

/// `archive release`
pub fn release(config: &Config, config_path: &Path, name: String, reason: String, out: &Out) -> Result<(), Failure> {
    let row = carry_out(config, config_path, &ActRequest::Release { name, by: by(), reason })?;
    out.record(&["hold", "act"], &row)
}

/// `archive holds`
pub fn holds(places: &Places, out: &Out) -> Result<(), Failure> {
    let rows = office::holds(&read_only(places)?).map_err(Failure::bad)?;
    out.table(&["name", "messages", "standing", "since", "by", "released", "reason"], &rows)
}

/// `archive receipts`
pub fn receipts(places: &Places, act: Option<u64>, out: &Out) -> Result<(), Failure> {
    let archive = read_only(places)?;
    let Some(act) = act else {
        let rows = office::receipts(&archive).map_err(Failure::bad)?;
        return out.table(&["act", "kind", "at", "units", "state", "key_backups_until"], &rows);
    };
    match archive.receipt(act).map_err(Failure::bad)? {
        Some(receipt) => out.record(&["kind", "act", "decided_at", "completed_at"], &receipt),
        None => Err(Failure::bad(format!("no receipt of act {act}")).with_help(
            "`sealpost archive receipts` lists all acts; a pending one gets its receipt when all has followed",
        )),
    }
}

/// `archive erase`
pub fn erase(config: &Config, config_path: &Path, erase: &Erase, out: &Out) -> Result<(), Failure> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| Error::io(path, &e));
    let (order, signatures) = match &erase.order {
        Some(path) => {
            let signatures = erase.signatures.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
            (read(path)?, signatures)
        }
        None => {
            let text = write_order(config, config_path, erase)?;
            if let Some(path) = &erase.prepare {
                return prepared(path, &text, out);
            }
            let key = erase.sign_with.as_deref().ok_or_else(|| usage("sign with what?"))?;
            let key = SecretBytes::new(read(key)?);
            let passphrase = secret_file::passphrase(erase.passphrase_file.as_deref()).map_err(Failure::bad)?;
            let secret = OfficerSecret { key: key.expose(), passphrase: &passphrase };
            let signature = acts::sign(&text, &secret, SystemClock.now()).map_err(Failure::bad)?;
            (text.into_bytes(), vec![signature])
        }
    };
    compare_ids(config, &order, &signatures)?;
    let request = EraseRequest {
        order: hash::hex(&order),
        signatures: signatures.iter().map(|signature| hash::hex(signature)).collect(),
        limit: erase.limit,
        dry_run: erase.dry_run,
        by: by(),
    };
    let row = carry_out(config, config_path, &ActRequest::Erase(request))?;
    tell_pending(&row);
    out.record(&["messages", "already", "units", "act", "receipt"], &row)
}

/// `archive expire`
pub fn expire(
    config: &Config,
    config_path: &Path,
    request: ExpireRequest,
    wish: Wish,
    out: &Out,
) -> Result<(), Failure> {
    let row = carry_out(config, config_path, &ActRequest::Expire(request))?;
    let blind = row["not_yet_compared_with"].as_array().map_or(0, Vec::len);
    if blind > 0 {
        let help = "unlock the view and let it index: what a standing hold has not seen is left alone";
        talk("warning", "segments that a standing hold has not been compared with are left alone", Some(help));
    }
    tell_pending(&row);
    out.record(&["messages", "held", "queued", "units", "act", "receipt"], &row)?;
    match wish {
        Wish::Unsaid if row["messages"] != 0 => Err(Failure {
            status: USAGE,
            ..Failure::bad("nothing was expired").with_help("--yes does what was just told")
        }),
        _ => Ok(()),
    }
}

fn tell_pending(row: &Value) {
    if let Some(why) = row["waiting_for"].as_str() {
        let help =
            "it is decided and what is left goes on by itself; `sealpost archive receipts` tells when it is complete";
        talk("note", &format!("the receipt is pending: {why}"), Some(help));
    }
}

fn usage(text: &str) -> Failure {
    Failure { status: USAGE, ..Failure::bad(text) }
}

fn read_only(places: &Places) -> Result<Archive, Failure> {
    Ok(Archive::open_read_only(Arc::new(RealDisk), &places.archive).map_err(|e| Error::archive(&places.archive, &e))?)
}

/// What was accepted so far becomes visible, so that a query finds it.
fn seal_first(config: &Config, config_path: &Path) -> Result<(), Failure> {
    let places = Places::of(config);
    if super::ask(&places, &Request::Seal)?.is_none() {
        let (journal, archive) = offline::open_store(config_path)?;
        archive.seal(&journal, &SystemClock).map_err(|e| Error::archive(&places.archive, &e))?;
    }
    Ok(())
}

fn matching(room: &Room, query: &Query) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let each = |row| {
        rows.push(row);
        Ok::<(), crate::catalog::Error>(())
    };
    room.listing.each(query, each).map_err(Failure::bad)?;
    Ok(rows)
}

fn listed(room: &Room, ids: &[String]) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for id in ids {
        let found = room.listing.find(&Reference::parse(id)).map_err(Failure::bad)?;
        if found.is_empty() {
            return Err(Failure::bad(format!("no sealed message is `{id}`")));
        }
        rows.extend(found);
    }
    Ok(rows)
}

fn accept_index(room: &Room, row: &Row) -> u64 {
    u64::from(row.uid) - u64::from(room.opened.unlocked().archive().uid_base()) - 1
}

/// The text of an order for what the arguments name.
fn write_order(config: &Config, config_path: &Path, erase: &Erase) -> Result<String, Failure> {
    let query = Query::parse(&erase.query.join(" ")).map_err(Failure::bad)?;
    if query.is_everything() == erase.ids.is_empty() {
        return Err(usage("either a query, which must not be empty, or --id"));
    }
    seal_first(config, config_path)?;
    let room = Room::open(config)?;
    let rows = if erase.ids.is_empty() { matching(&room, &query)? } else { listed(&room, &erase.ids)? };
    let most = erase.limit.min(MESSAGES_MAX);
    match rows.len() {
        0 => return Err(Failure::bad("no message matches")),
        count if count > most => {
            return Err(Failure::bad(format!("{count} messages match, more than the limit of {most}"))
                .with_help("a narrower query, or --limit"));
        }
        _ => {}
    }
    let named = rows.iter().map(|row| Named { accept_index: accept_index(&room, row), id: row.id }).collect();
    let reason = erase.reason.as_deref().unwrap_or_default();
    let order = room.opened.unlocked().archive().order(named, reason, SystemClock.now());
    Ok(order.map_err(Failure::bad)?.text())
}

fn prepared(path: &Path, text: &str, out: &Out) -> Result<(), Failure> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|e| Error::io(path, &e))?;
    let shown = path.display();
    talk(
        "note",
        "the order is to be signed by an officer",
        Some(&format!("gpg --clearsign {shown}; sealpost archive erase --order {shown}.asc")),
    );
    let messages = text.lines().filter(|line| line.starts_with("message ")).count();
    out.record(&["order", "messages"], &serde_json::json!({"order": shown.to_string(), "messages": messages}))
}

/// Where mail can be read here, the ids that people signed must be those that erasure goes by.
fn compare_ids(config: &Config, order: &[u8], signatures: &[Vec<u8>]) -> Result<(), Failure> {
    let signed = acts::take(order, signatures).map_err(Failure::bad)?;
    let order = signed.order().map_err(Failure::bad)?;
    let Ok(room) = Room::open(config) else { return Ok(()) };
    let base = u64::from(room.opened.unlocked().archive().uid_base());
    for Named { accept_index, id } in &order.messages {
        let Ok(uid) = u32::try_from(base + accept_index + 1) else { continue };
        let found = room.listing.find(&Reference::Uid("INBOX".to_owned(), uid)).map_err(Failure::bad)?;
        if let Some(other) = found.iter().find(|row| row.id != *id) {
            let text = format!("order: ACCEPT leaf {accept_index} is message {}, not {id}", other.id);
            return Err(Failure::bad(text).with_help("an order is written by `sealpost archive erase --prepare`"));
        }
    }
    Ok(())
}

/// In the running server, or here.
fn carry_out(config: &Config, config_path: &Path, act: &ActRequest) -> Result<Value, Failure> {
    let places = Places::of(config);
    let busy = super::archive::spinner(act.word());
    let request = Request::Act { act: act.clone() };
    let row = match ask_or(&places, &request, Failure::bad)? {
        Some(rows) => rows.into_iter().next().unwrap_or_default(),
        None => here(config, &places, config_path, act)?,
    };
    busy.finish_and_clear();
    Ok(row)
}

fn here(config: &Config, places: &Places, config_path: &Path, act: &ActRequest) -> Result<Value, Failure> {
    let (journal, archive) = offline::open_store(config_path)?;
    archive.seal(&journal, &SystemClock).map_err(|e| Error::archive(&places.archive, &e))?;
    let audit = Audit::open(&places.audit).map_err(|e| Error::io(&places.audit, &e))?;
    let signatures = config.archive.erase_signatures;
    let office = Office { archive: &archive, journal: &journal, clock: &SystemClock, signatures, audit: Some(&audit) };
    if let Err(why) = compare_standing(config, &office) {
        tracing::debug!("standing holds are not compared: {why}");
    }
    let mut row = office.run(act).map_err(Failure::bad)?;
    if act.takes() && !row["act"].is_null() {
        let settling = Settling::default();
        let forget = || reading::forget_for_command(config);
        let waited = wait(|| settling.settle(&office, config.archive.key_backup_days, forget));
        row["receipt"] = Value::from(if waited.is_none() { "written" } else { "pending" });
        row["waiting_for"] = Value::from(waited);
    }
    Ok(row)
}

fn compare_standing(config: &Config, office: &Office<'_>) -> Result<(), String> {
    let unlocked = reading::unlock(config, office.archive)?;
    let opened = Arc::new(crate::catalog::OpenedArchive::new(unlocked));
    let (disk, clock): (Arc<dyn Disk>, Arc<dyn Clock>) = (Arc::new(RealDisk), Arc::new(SystemClock));
    let reader = reading::reader_for_command(config, &disk, &clock, &opened)?;
    standing::compare(&office.tools(), &opened, &reader).map(drop)
}
