//! `sealpost audit`: who read what, shown and checked by those who may. Needs no key; shows no mail.

use super::args_transfer::Audit as Command;
use super::officer_args::Openers;
use super::out::{Form, Reader};
use super::recorded::Recorder;
use super::{Failure, Out, archive, assurance, talk};
use crate::access::audit::{Entry, FaultKind, Trail};
use crate::archive as evidence;
use crate::archive::{Finding, Report, Unlocked};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::crypto::Digest;
use crate::durable::{Disk, RealDisk};
use crate::gateway::files::Error;
use crate::gateway::post::Places;
use crate::gateway::{files, rows};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const COLUMNS: [&str; 5] = ["at", "account", "client", "event", "detail"];

/// Runs one of the commands; `file` finds the configuration, which a directory alone does without.
pub fn run(command: Command, file: impl Fn() -> Result<PathBuf, Error>, out: &Out) -> Result<(), Failure> {
    match command {
        Command::Show { since, account, open, dir } => {
            let now = SystemClock.now();
            let since = since.map(|age_s| now.plus_s(-i64::try_from(age_s).unwrap_or(i64::MAX)));
            let filter = Filter { since, account };
            match dir {
                Some(dir) => show(&dir, &filter, None, out),
                None => {
                    let config = files::configuration(&file()?)?;
                    let places = Places::of(&config);
                    let unlocked =
                        if open { Some(archive::unlock(&Openers::default(), &config, &places)?) } else { None };
                    if let Some(unlocked) = &unlocked {
                        let terms = filter.account.as_deref().unwrap_or_default();
                        Recorder::new(&places, unlocked.archive())?.search("audit show --open", terms)?;
                    }
                    show(&places.read_audit, &filter, unlocked.as_ref(), out)
                }
            }
        }
        Command::Verify { dir } => {
            let places = match (&dir, file().and_then(|file| files::configuration(&file))) {
                (_, Ok(config)) => Some(Places::of(&config)),
                (Some(_), Err(_)) => None,
                (None, Err(e)) => return Err(e.into()),
            };
            verify(dir.as_deref(), places.as_ref(), out)
        }
    }
}

/// Which records.
struct Filter {
    since: Option<Timestamp>,
    account: Option<String>,
}

impl Filter {
    /// What cannot be read is always shown.
    fn takes(&self, entry: &Entry) -> bool {
        let Some(record) = &entry.record else { return true };
        self.since.is_none_or(|since| record.at >= since)
            && self.account.as_ref().is_none_or(|account| record.account.eq_ignore_ascii_case(account))
    }
}

fn unread(dir: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |e| {
        let failure = Failure::bad(format!("{}: {e}", dir.display()));
        match e.kind() {
            io::ErrorKind::PermissionDenied => {
                failure.with_help("let a group read it: docs/audit-format.md, section 5; or give a copy with --dir")
            }
            io::ErrorKind::NotFound => failure.with_help("nothing was read yet, or the files are elsewhere: --dir DIR"),
            _ => failure,
        }
    }
}

fn show(dir: &Path, filter: &Filter, unlocked: Option<&Unlocked>, out: &Out) -> Result<(), Failure> {
    let mut table = out.open_table(&COLUMNS);
    let mut stopped = None;
    let trail = Trail::read(&RealDisk, dir, |entry| {
        if !filter.takes(&entry) {
            return ControlFlow::Continue(());
        }
        let row = rows::audit::record(&entry, unlocked);
        let row = if out.form() == Form::Json { row } else { rows::audit::with_detail(row) };
        match table.row(&row) {
            Ok(Reader::There) => ControlFlow::Continue(()),
            ended => {
                stopped = Some(ended.map(drop));
                ControlFlow::Break(())
            }
        }
    })
    .map_err(unread(dir))?;
    if let Some(stopped) = stopped {
        return stopped;
    }
    table.finish()?;
    match trail.faults.len() {
        0 => Ok(()),
        count => {
            Err(Failure::bad(format!("{}: {count} faults", dir.display()))
                .with_help("`sealpost audit verify` says which"))
        }
    }
}

fn verify(dir: Option<&Path>, places: Option<&Places>, out: &Out) -> Result<(), Failure> {
    let mut report = match places {
        Some(places) => evidence::verify_heads(&RealDisk, &places.archive, &assurance::journal_leaves(places)?),
        None => {
            let help = "with --config FILE of the gateway, or a copy of its archive, what was cut off or rewritten is found too";
            talk("warning", "without a configuration the chain alone is checked", Some(help));
            Report::default()
        }
    };
    let dir = dir.or(places.map(|places| places.read_audit.as_path()));
    let dir = dir.ok_or_else(|| Failure::bad("no directory is known"))?;
    let trail = check(dir, &mut report).map_err(unread(dir))?;
    let findings: Vec<Value> = report.findings.iter().map(rows::archive::finding).collect();
    out.table(&["level", "object", "kind", "detail"], &findings)?;
    let summary = json!({
        "ok": report.is_ok(), "records": trail.head.records, "files": trail.files,
        "anchors": report.audit_heads.len(), "anchored": report.audit_heads.iter().map(|head| head.1).max(),
        "torn_bytes": trail.torn_bytes,
    });
    out.record(&["ok", "records", "files", "anchors", "anchored", "torn_bytes"], &summary)?;
    match report.findings.len() {
        0 => Ok(()),
        count => Err(Failure::bad(format!("{}: {count} findings", dir.display()))
            .with_help("keep it as it is for whoever investigates; compare with a copy from before")),
    }
}

/// Compares the files beside an archive with the heads it states; where they are not at hand, says so.
pub(super) fn check_beside(places: &Places, report: &mut Report) {
    let dir = &places.read_audit;
    if report.audit_heads.is_empty() && !RealDisk.exists(dir) {
        return;
    }
    if let Err(e) = check(dir, report) {
        let text = format!(
            "{}: {e}: the read audit is not compared with its {} anchored heads",
            dir.display(),
            report.audit_heads.len()
        );
        talk("warning", &text, Some("`sealpost audit verify --dir DIR` compares a copy"));
    }
}

/// Adds to the report what is wrong with the files in `dir`, or contradicts the heads of the report.
fn check(dir: &Path, report: &mut Report) -> io::Result<Trail> {
    let mut stated: BTreeMap<u64, Option<Digest>> = report.audit_heads.iter().map(|(_, n, _)| (*n, None)).collect();
    let trail = Trail::read(&RealDisk, dir, |entry| {
        if let Some(chain) = stated.get_mut(&entry.head.records) {
            *chain = Some(entry.head.chain);
        }
        ControlFlow::Continue(())
    })?;
    for fault in &trail.faults {
        add(report, format!("audit/{}", fault.file), kind(fault.kind), fault.detail.clone());
    }
    for (leaf, records, chain) in report.audit_heads.clone() {
        match stated.get(&records).copied().flatten() {
            Some(found) if found == chain => {}
            Some(_) => {
                let detail = format!("record {records} or one before it is not what leaf {leaf} anchors: rewritten");
                add(report, "audit".to_owned(), evidence::FaultKind::Inconsistent, detail);
            }
            // Records before the first file are missed once, as a fault of that file.
            None if records <= trail.before => {}
            None => {
                let detail = format!("leaf {leaf} anchors record {records}, which is not there: cut off or removed");
                add(report, "audit".to_owned(), evidence::FaultKind::Missing, detail);
            }
        }
    }
    Ok(trail)
}

fn add(report: &mut Report, object: String, kind: evidence::FaultKind, detail: String) {
    report.findings.push(Finding { level: 0, object, kind, detail });
}

fn kind(kind: FaultKind) -> evidence::FaultKind {
    match kind {
        FaultKind::Missing => evidence::FaultKind::Missing,
        FaultKind::Changed => evidence::FaultKind::Changed,
        FaultKind::Inconsistent => evidence::FaultKind::Inconsistent,
        FaultKind::Unreadable => evidence::FaultKind::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::audit::{Event, Record, Writer};
    use std::sync::Arc;

    fn record(n: u64) -> Record {
        let event = Event::End { commands: n, messages: 0, bytes: 0 };
        Record { at: Timestamp::from_s(1), session: [7; 8], account: "a".into(), client: "::1".into(), event }
    }

    #[test]
    fn anchored_heads_are_looked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = Writer::open(Arc::new(RealDisk), dir.path()).expect("a writer");
        let heads: Vec<_> = (0..4).map(|n| writer.append(&[record(n)]).expect("durable")).collect();
        let anchored = |n: usize| (10 + n as u64, heads[n].records, heads[n].chain);
        let found = |audit_heads: Vec<(u64, u64, Digest)>| {
            let mut report = Report { audit_heads, ..Report::default() };
            check(dir.path(), &mut report).expect("read");
            report.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>()
        };
        assert_eq!(found(vec![anchored(1), anchored(1), anchored(3)]), []);
        let (leaf, records, _) = anchored(1);
        assert_eq!(found(vec![(leaf, records, [0; 32])]), [evidence::FaultKind::Inconsistent]);
        assert_eq!(found(vec![(leaf, 5, [0; 32])]), [evidence::FaultKind::Missing]);
    }
}
