//! What the gateway tells about itself: the log on standard error and the audit trail on disk. Never writes a body, a
//! subject or a secret.

use crate::clock::Timestamp;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What is logged when `SEALPOST_LOG` says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Every event, for a server.
    Events,
    /// What is wrong, for a command that answers on standard output.
    Warnings,
}

/// Starts logging to standard error: text on a terminal or journal, JSON when `SEALPOST_LOG_FORMAT=json`. `SEALPOST_LOG` sets
/// the level (`error`, `warn`, `info`, `debug`).
pub fn start_logging(verbosity: Verbosity) {
    use tracing_subscriber::EnvFilter;
    let level = match verbosity {
        Verbosity::Events => "info",
        Verbosity::Warnings => "warn",
    };
    let filter = match std::env::var("SEALPOST_LOG").as_deref().map(EnvFilter::try_new) {
        Ok(Ok(filter)) => filter,
        Ok(Err(e)) => {
            eprintln!("warning: SEALPOST_LOG: {e}; logging at level {level}");
            EnvFilter::new(level)
        }
        Err(_) => EnvFilter::new(level),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    let json = std::env::var("SEALPOST_LOG_FORMAT").is_ok_and(|f| f == "json");
    let started = if json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    if let Err(e) = started {
        eprintln!("sealpost: logging was already started: {e}");
    }
}

/// One line of the audit trail.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    /// RFC 3339, UTC.
    pub at: String,
    /// `accepted`, `refused`, `delivered`, `deferred`, `in-doubt`, `failed`, `parked`, `released`, `dropped`, `warned`, `sealed`,
    /// `login`, `login-refused`, `reloaded`, `share`, `unlocked`, `unlock-refused`, `locked`, `officers`.
    pub event: &'a str,
    /// The message's id, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Envelope sender, account or peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Recipient, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// The next hop spoken to, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
    /// Reply, reason, numbers.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detail: &'a str,
}

impl<'a> Event<'a> {
    /// An event without particulars.
    pub fn new(at: Timestamp, event: &'a str) -> Event<'a> {
        Event { at: at.rfc3339(), event, id: None, who: None, recipient: None, next_hop: None, detail: "" }
    }
}

impl std::fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.event)?;
        let particulars = [("", &self.id), ("from ", &self.who), ("to ", &self.recipient), ("via ", &self.next_hop)];
        for (word, text) in particulars {
            if let Some(text) = text {
                write!(f, " {word}{text}")?;
            }
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// What somebody has to look at is a warning; strangers who are turned away are not.
fn tell(event: &Event<'_>) {
    let line = one_line(&event.to_string());
    match event.event {
        "deferred" | "in-doubt" | "failed" | "parked" | "login-refused" | "unlock-refused" => tracing::warn!("{line}"),
        _ => tracing::info!("{line}"),
    }
}

/// One event, one line; peers cannot write lines of their own into the log or steer a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The audit trail: JSON Lines, appended. What must not be lost stands in the journal; this is the readable copy.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: Mutex<File>,
}

impl Audit {
    /// Opens `path` for appending, mode 0600.
    pub fn open(path: &Path) -> io::Result<Audit> {
        Ok(Audit { path: path.to_owned(), file: Mutex::new(append_to(path)?) })
    }
    /// Goes on in a file of the same name, for the time when the former was moved away (`logrotate`).
    pub fn reopen(&self) -> io::Result<()> {
        let file = append_to(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
    /// Appends one event, and logs it. A failing audit disk is logged and does not stop mail.
    pub fn write(&self, event: &Event<'_>) {
        tell(event);
        let written = serde_json::to_vec(event).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
        });
        if let Err(e) = written {
            tracing::error!("audit trail {}: {e}", self.path.display());
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_the_log() {
        let event = Event {
            id: Some("01a2".into()),
            who: Some("a@x.example [192.0.2.1]".into()),
            recipient: Some("b@y.example".into()),
            detail: "550 no\nfrom: forged",
            ..Event::new(Timestamp::from_s(0), "failed")
        };
        let expected = "failed 01a2 from a@x.example [192.0.2.1] to b@y.example: 550 no?from: forged";
        assert_eq!(one_line(&event.to_string()), expected);
        assert_eq!(Event::new(Timestamp::from_s(0), "reloaded").to_string(), "reloaded");
    }

    #[test]
    fn a_trail_that_was_moved_away_goes_on_in_a_new_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let audit = Audit::open(&path).expect("open");
        audit.write(&Event::new(Timestamp::from_s(0), "accepted"));
        std::fs::remove_file(&path).expect("taken away");
        audit.reopen().expect("reopened");
        audit.write(&Event::new(Timestamp::from_s(1), "delivered"));
        let text = std::fs::read_to_string(&path).expect("a new file");
        assert!(text.contains("delivered") && !text.contains("accepted"), "{text}");
    }

    #[test]
    fn events_are_json_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let audit = Audit::open(&path).expect("open");
        audit.write(&Event { who: Some("a\nb".into()), ..Event::new(Timestamp::from_s(0), "refused") });
        audit.write(&Event { detail: "250 ok", ..Event::new(Timestamp::from_s(1), "delivered") });
        let text = std::fs::read_to_string(&path).expect("read");
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["who"], "a\nb");
        assert_eq!(lines[1]["at"], "1970-01-01T00:00:01.000Z");
    }
}
