//! What the gateway tells about itself: the log on standard error and the audit trail on disk. Never writes a body, a
//! subject or a secret.

use crate::clock::Timestamp;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

/// Starts logging to standard error: text on a terminal or journal, JSON when `SEALPOST_LOG_FORMAT=json`. The level is
/// taken from `SEALPOST_LOG` (`info` when unset).
pub fn start_logging() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("SEALPOST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
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
    /// `accepted`, `refused`, `delivered`, `deferred`, `failed`, `sealed`, `login`, `login-refused`, `reloaded`.
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
    /// Reply, reason, numbers.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detail: &'a str,
}

impl<'a> Event<'a> {
    /// An event without particulars.
    pub fn new(at: Timestamp, event: &'a str) -> Event<'a> {
        Event { at: at.rfc3339(), event, id: None, who: None, recipient: None, detail: "" }
    }
}

/// The audit trail: JSON Lines, appended. What must not be lost stands in the journal; this is the readable copy.
#[derive(Debug)]
pub struct Audit(Mutex<File>);

impl Audit {
    /// Opens `path` for appending, mode 0600.
    pub fn open(path: &Path) -> io::Result<Audit> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Audit(Mutex::new(file)))
    }
    /// Appends one event. A failing audit disk is logged and does not stop mail.
    pub fn write(&self, event: &Event<'_>) {
        let written = serde_json::to_vec(event).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write_all(&line)
        });
        if let Err(e) = written {
            tracing::error!("audit trail: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
