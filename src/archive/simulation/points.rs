//! Crash points: every durable operation of a seal pass, of the log and of a start has a name, which stands in a comment where the
//! product does it. The name of an operation follows from what it is, on which file, and what came before.

use super::template::archive_dir;
use super::world::{JOURNAL, MIRROR};
use crate::durable::simulated::Operation;
use std::path::{Path, PathBuf};

/// All of them. `crash.rs` shows that the power went in each.
pub const NAMES: &[&str] = &[
    "create-1",
    "create-2",
    "create-3",
    "create-4",
    "create-5",
    "create-6",
    "create-7", //
    "seal-1",
    "seal-2",
    "seal-3",
    "seal-4",
    "seal-5",
    "seal-6",
    "seal-7",
    "seal-8", //
    "log-1",
    "log-2",
    "log-3",
    "log-4",
    "log-5",
    "log-6",
    "log-7",
    "log-8",
    "log-9", //
    "stale-1",
    "sweep-1",
    "sweep-2",
    "attempt-1", //
    "journal-1",
    "journal-2",
    "journal-3",
    "journal-4",
    "journal-5",
    "journal-6",
    "journal-7",
];

type Trace = [(Operation, PathBuf)];

/// The name of the last operation of a trace.
pub fn name(trace: &Trace) -> Option<&'static str> {
    let ((operation, path), before) = trace.split_last()?;
    let Ok(inside) = path.strip_prefix(archive_dir()) else { return journal(*operation, path, before) };
    let text = inside.to_str()?;
    let is_temporary = text.ends_with(".tmp");
    let dir = if *operation == Operation::SyncDir { text } else { inside.parent()?.to_str()? };
    match (*operation, dir) {
        (Operation::Remove, "segments" | "key-copies" | "log/cover") => Some(removed(path, is_temporary, before)),
        (Operation::Remove, _) if is_temporary => Some("stale-1"),
        (Operation::Create | Operation::Write, "segments") if text.ends_with(".data.tmp") => Some("seal-1"),
        (Operation::Sync, "segments") if text.ends_with(".data.tmp") => Some("seal-2"),
        (Operation::Create | Operation::Write, "segments" | "key-copies" | "log/cover") => Some("seal-3"),
        (Operation::Sync, "segments" | "key-copies" | "log/cover") => Some("seal-4"),
        (Operation::Rename, "segments" | "key-copies" | "log/cover") => Some("seal-5"),
        (Operation::SyncDir, "segments" | "key-copies" | "log/cover") => Some("seal-6"),
        (Operation::Create | Operation::Write, _) if text.starts_with("log/tile") => Some("log-1"),
        (Operation::Sync, _) if text.starts_with("log/tile") => Some("log-2"),
        (Operation::Rename, _) if text.starts_with("log/tile") => Some("log-3"),
        (Operation::SyncDir, _) if text.starts_with("log/tile") => Some("log-4"),
        (Operation::Remove, _) if text.starts_with("log/tile") => Some("log-9"),
        (Operation::Create | Operation::Write, "log") if text == "log/checkpoint.tmp" => Some("log-5"),
        (Operation::Sync, "log") if text == "log/checkpoint.tmp" => Some("log-6"),
        (Operation::Rename, "log") if text == "log/checkpoint" => Some("log-7"),
        (Operation::SyncDir, "log") if has(before, Operation::Rename, "log/checkpoint") => Some("log-8"),
        (Operation::Create | Operation::Write, _) if is_recovery(text) => Some("create-1"),
        (Operation::Sync, _) if is_recovery(text) => Some("create-2"),
        (Operation::Rename, _) if is_recovery(text) => Some("create-3"),
        (Operation::Create | Operation::Write, "keys" | "log") => Some("create-1"),
        (Operation::Sync, "keys" | "log") => Some("create-2"),
        (Operation::Rename, "keys" | "log") => Some("create-3"),
        (Operation::SyncDir, "keys" | "log") => Some("create-4"),
        (Operation::Create | Operation::Write, "") => Some("create-5"),
        (Operation::Sync, "") => Some("create-6"),
        (Operation::Rename | Operation::SyncDir, "") => Some("create-7"),
        _ => None,
    }
}

fn is_recovery(text: &str) -> bool {
    text.starts_with("recover.py") || text.starts_with("RECOVERY.md")
}

fn has(trace: &Trace, operation: Operation, inside: &str) -> bool {
    let path = archive_dir().join(inside);
    trace.iter().any(|one| *one == (operation, path.clone()))
}

/// A pass removes first what may lie under a temporary name; one that failed removes its files; a start those of a crash.
fn removed(path: &Path, is_temporary: bool, before: &Trace) -> &'static str {
    let staged = if is_temporary { path.to_owned() } else { super::super::files::temporary(path) };
    let is_own = before.contains(&(Operation::Create, staged.clone()));
    // Whoever stages a file creates its data object before.
    let id =
        staged.file_name().and_then(|name| name.to_str()).unwrap_or_default().split('.').next().unwrap_or_default();
    let data = archive_dir().join(format!("segments/{id}.data.tmp"));
    match (is_own, is_temporary) {
        (true, _) => "attempt-1",
        (false, _) if before.contains(&(Operation::Create, data)) => "stale-1",
        (false, true) => "sweep-1",
        (false, false) => "sweep-2",
    }
}

fn journal(operation: Operation, path: &Path, before: &Trace) -> Option<&'static str> {
    let is_journal = path.starts_with(JOURNAL) || path.starts_with(MIRROR);
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    // The SEAL leaves are the first thing written once the files of a pass are durable.
    let last = before.iter().rev().find(|(_, path)| path.starts_with(archive_dir()));
    let is_pass = last.is_some_and(|(o, p)| *o == Operation::SyncDir && p.ends_with("segments"));
    let segments = before.iter().rev().take_while(|(_, p)| !p.starts_with(archive_dir())).count();
    match (operation, extension) {
        _ if !is_journal => None,
        (Operation::Write, "journal") if is_pass && segments == 0 => Some("seal-7"),
        (Operation::Sync, "journal") if is_pass && segments <= 2 => Some("seal-8"),
        (Operation::Create | Operation::Write | Operation::SetLen, "new") => Some("journal-1"),
        (Operation::Sync, "new") => Some("journal-2"),
        (Operation::Rename, "journal") => Some("journal-3"),
        (Operation::SyncDir, _) => Some("journal-4"),
        (Operation::Write, "journal") => Some("journal-5"),
        (Operation::Sync, "journal") => Some("journal-6"),
        (Operation::Remove, _) => Some("journal-7"),
        _ => None,
    }
}
