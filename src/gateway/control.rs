//! The control socket: how commands reach a running server. One request a connection, JSON lines both ways; mode 0600, so
//! that only the gateway's own user may ask.

pub(super) mod desk;
mod hidden;

pub use hidden::Hidden;

use super::acts::request::ActRequest;
use super::queue::{Action, Selection};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixListener;
use zeroize::Zeroizing;

/// Octets of a request line: an order may name 100,000 messages.
const REQUEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What a request line is given at once: shares fit, so that no copy of them is left behind.
const LINE_BYTES: usize = 64 * 1024;
/// How long a command waits for a running server's next line.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The same when it seals: a large backlog takes minutes.
const SEAL_TIMEOUT: Duration = Duration::from_secs(3600);

/// What a command asks a running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Seal everything accepted so far.
    Seal,
    /// Send the newest checkpoint wherever checkpoints go.
    Checkpoint,
    /// Counts of queue and archive.
    Status,
    /// Mail that is not final.
    QueueList {
        /// Which.
        selection: Selection,
    },
    /// One message of the queue in full.
    QueueShow {
        /// 32 hex digits.
        id: String,
    },
    /// Do something to mail in the queue.
    QueueChange {
        /// To which.
        selection: Selection,
        /// What.
        action: Action,
    },
    /// Leaves of the evidence log that only the journal holds yet, for `archive verify`.
    Leaves,
    /// Do something to sealed mail.
    Act {
        /// What.
        act: ActRequest,
    },
    /// Record what a command is about to show.
    Audit {
        /// The record, hexadecimal.
        record: String,
    },
    /// Take mail into the archive. What follows is not lines: [`super::import::wire`].
    Import,
    /// Read configuration, policies, keys, accounts and certificates again.
    Reload,
    /// Take officers' shares; unlock the view once they are enough.
    Unlock {
        /// Their texts.
        shares: Vec<Hidden>,
        /// After so long it is locked again.
        ttl_s: u64,
    },
    /// Lock the view.
    Lock,
    /// Take a new generation of the archive key into use.
    InstallGeneration {
        /// Its file, in hexadecimal.
        file: String,
    },
}

impl Request {
    fn patience(&self) -> Duration {
        match self {
            Request::Seal
            | Request::Act { .. }
            | Request::Unlock { .. }
            | Request::InstallGeneration { .. }
            | Request::Checkpoint => SEAL_TIMEOUT,
            _ => ANSWER_TIMEOUT,
        }
    }
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A row or result.
    Row(Value),
    /// The request is done.
    Done,
    /// It failed; the text is for the administrator.
    Failed(String),
}

/// Asks the server whose socket is `path`. `Ok(None)`: no server runs.
pub fn ask(path: &Path, request: &Request) -> io::Result<Option<Result<Vec<Value>, String>>> {
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(e) => return Err(e),
    };
    stream.set_read_timeout(Some(request.patience()))?;
    // It may hold shares.
    let mut line = Zeroizing::new(serde_json::to_vec(request)?);
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut rows = Vec::new();
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            Answer::Row(row) => rows.push(row),
            Answer::Done => return Ok(Some(Ok(rows))),
            Answer::Failed(reason) => return Ok(Some(Err(reason))),
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server stopped before it had answered"))
}

/// Binds the socket; one left by a killed server is replaced. The caller holds the journal's lock, so no other server runs.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Reads the request of a connection. Blocking. Nobody sends more than that before there was an answer.
pub fn request(stream: &UnixStream) -> io::Result<Result<Request, String>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut line = Zeroizing::new(String::with_capacity(LINE_BYTES));
    BufReader::new(stream.try_clone()?.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line).map_err(|e| format!("request not understood: {e}")))
}

/// Writes the rows of an answer, or why there are none. Blocking.
pub fn answer(stream: UnixStream, answered: Result<Vec<Value>, String>) -> io::Result<()> {
    let answers = match answered {
        Ok(rows) => rows.into_iter().map(Answer::Row).chain([Answer::Done]).collect(),
        Err(reason) => vec![Answer::Failed(reason)],
    };
    let mut out = io::BufWriter::new(stream);
    for answer in answers {
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(request: &Request, handle: fn(Request) -> Result<Vec<Value>, String>) -> Result<Vec<Value>, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("bind");
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            let asked = super::request(&stream).expect("read");
            super::answer(stream, asked.and_then(handle)).expect("served");
        });
        let answer = ask(&path, request).expect("asked").expect("a server");
        server.join().expect("ended");
        answer
    }

    #[test]
    fn rows_and_failures_come_back() {
        assert_eq!(
            served(&Request::Status, |r| Ok(vec![serde_json::to_value(r).expect("JSON")])),
            Ok(vec![serde_json::json!({"command": "status"})])
        );
        assert_eq!(served(&Request::Seal, |_| Err("locked".into())), Err("locked".into()));
    }

    #[test]
    fn no_server_is_not_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(ask(&dir.path().join("none.sock"), &Request::Seal).expect("asked").is_none());
    }
}
