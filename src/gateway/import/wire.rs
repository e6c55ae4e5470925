//! Found messages on their way from the command to a running server, over its control socket.
//!
//! ```text
//! command  {"command":"import"} LF                     server  {"row":{"bytes_max":N}} LF
//! command  length(u32, big-endian) CBOR [Found*]       server  {"row":[outcome*]} LF, when all are durable
//! command  0(u32)                                      server  "done" LF
//! ```
//! Instead of any of its lines the server may say that it failed, and ends.

use super::found::Found;
use super::intake::{Intake, Outcome};
use crate::gateway::control::{Answer, Request};
use crate::gateway::observe::Event;
use crate::gateway::post::{Places, Post};
use crate::mail::retention::CLASS_DEFAULT;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// Octets of messages that the command puts into one frame, unless a single one has more.
pub const FRAME_BYTES: usize = 4 << 20;
/// Messages in one frame.
pub const FRAME_MESSAGES_MAX: usize = 1000;
/// Octets of a frame besides its messages' octets, and of the last message that made it full.
const OVERHEAD_BYTES_MAX: u64 = 8 << 20;
/// How often it is looked whether the server stops.
const TICK: Duration = Duration::from_millis(500);
/// How long an import waits for another one to end.
const PLACE_WAIT: Duration = Duration::from_secs(5);
/// How long a command may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// How long a command waits for a frame's outcomes: a seal pass may come first.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(3600);

/// Reads the messages of a frame.
pub fn parse(frame: &[u8]) -> Result<Vec<Found>, String> {
    let mut decoder = minicbor::Decoder::new(frame);
    let strange = |e: minicbor::decode::Error| format!("frame not understood: {e}");
    let count = decoder.array().map_err(strange)?.ok_or("frame not understood: a list without length")?;
    if count > FRAME_MESSAGES_MAX as u64 {
        return Err(format!("more than {FRAME_MESSAGES_MAX} messages in a frame"));
    }
    let found = (0..count).map(|_| decoder.decode()).collect::<Result<_, _>>().map_err(strange)?;
    if decoder.position() == frame.len() { Ok(found) } else { Err("octets behind a frame's messages".to_owned()) }
}

/// Serves an import to its end. Blocking. `seal` waits for a seal pass.
pub fn serve(
    stream: &UnixStream,
    post: &Post,
    is_closing: &dyn Fn() -> bool,
    seal: impl FnMut() -> Result<(), String>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(TICK))?;
    let Some(_running) = begin(post) else {
        return tell(stream, &Answer::Failed("another import is under way; run this one when it has ended".to_owned()));
    };
    let config = post.config();
    let places = Places::of(&config);
    let bytes_max = config.limits.message_bytes;
    let class = post.policy().class(CLASS_DEFAULT).cloned().unwrap_or_default();
    let (disk, clock) = (&**post.disk(), &**post.clock());
    let opened = Intake::open(disk, &places, post.journal(), clock, post.imports(), class, bytes_max);
    let mut session = match opened {
        Ok(intake) => Session { stream, is_closing, intake, bytes_max, imported: 0, skipped: 0, failed: 0 },
        Err(stop) => return tell(stream, &Answer::Failed(stop.to_string())),
    };
    tell(stream, &Answer::Row(json!({"bytes_max": bytes_max})))?;
    let ended = session.run(seal);
    let Session { imported, skipped, failed, .. } = session;
    let how = ended.as_ref().map_or_else(|e| format!("; ended early: {e}"), |()| String::new());
    let detail = format!("{imported} messages, {skipped} were there already, {failed} could not be taken{how}");
    post.audit().write(&Event { detail: &detail, ..Event::new(post.now(), "imported") });
    match ended {
        Ok(()) => tell(stream, &Answer::Done),
        Err(reason) => tell(stream, &Answer::Failed(reason)),
    }
}

/// The place of the one import that may run. One whose command was killed a moment ago still ends its last frame.
fn begin(post: &Post) -> Option<MutexGuard<'_, ()>> {
    let end = Instant::now() + PLACE_WAIT;
    loop {
        match post.imports().begin() {
            None if Instant::now() < end => std::thread::sleep(TICK / 5),
            place => return place,
        }
    }
}

struct Session<'a> {
    stream: &'a UnixStream,
    is_closing: &'a dyn Fn() -> bool,
    intake: Intake<'a>,
    bytes_max: u64,
    imported: u64,
    skipped: u64,
    failed: u64,
}

impl Session<'_> {
    fn run(&mut self, mut seal: impl FnMut() -> Result<(), String>) -> Result<(), String> {
        loop {
            let frame = self.frame()?;
            if frame.is_empty() {
                return Ok(());
            }
            let outcomes = self.intake.take(&parse(&frame)?, &mut seal).map_err(|stop| stop.to_string())?;
            for outcome in &outcomes {
                *match outcome {
                    Outcome::Imported => &mut self.imported,
                    Outcome::Skipped => &mut self.skipped,
                    Outcome::Failed(_) => &mut self.failed,
                } += 1;
            }
            tell(self.stream, &Answer::Row(json!(outcomes))).map_err(gone)?;
        }
    }

    /// The next frame; empty when the command has no more.
    fn frame(&self) -> Result<Vec<u8>, String> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_be_bytes(length);
        if u64::from(length) > self.bytes_max.saturating_add(OVERHEAD_BYTES_MAX) {
            return Err(format!("a frame of {length} octets is too long"));
        }
        let mut frame = vec![0; usize::try_from(length).map_err(|e| e.to_string())?];
        self.fill(&mut frame)?;
        Ok(frame)
    }

    fn fill(&self, mut into: &mut [u8]) -> Result<(), String> {
        let mut heard = Instant::now();
        while !into.is_empty() {
            match (&mut &*self.stream).read(into) {
                Ok(0) => return Err("the command has ended".to_owned()),
                Ok(count) => {
                    heard = Instant::now();
                    into = &mut into[count..];
                }
                Err(e) if is_quiet(&e) && (self.is_closing)() => {
                    return Err("the server is stopping; run the import again, it goes on where it stopped".to_owned());
                }
                Err(e) if is_quiet(&e) && heard.elapsed() < SILENCE_MAX => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(gone(e)),
            }
        }
        Ok(())
    }
}

fn is_quiet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn gone(error: io::Error) -> String {
    format!("the command is gone: {error}")
}

fn tell(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// The command's side.
#[derive(Debug)]
pub struct Remote {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
    /// Octets of the longest message the server takes.
    pub bytes_max: u64,
}

impl Remote {
    /// Begins an import at the server whose socket is `path`. `Ok(None)`: no server runs.
    pub fn begin(path: &Path) -> io::Result<Option<Result<Remote, String>>> {
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        stream.set_read_timeout(Some(OUTCOME_TIMEOUT))?;
        let answers = BufReader::new(stream.try_clone()?);
        let mut remote = Remote { stream, answers, bytes_max: 0 };
        let mut line = serde_json::to_vec(&Request::Import)?;
        line.push(b'\n');
        remote.stream.write_all(&line)?;
        Ok(Some(remote.answer().map(|row| {
            remote.bytes_max = row["bytes_max"].as_u64().unwrap_or(0);
            remote
        })))
    }

    /// Hands over a frame; answers when all of it has an outcome.
    pub fn take(&mut self, batch: &[Found]) -> Result<Vec<Outcome>, String> {
        let mut frame = vec![0; 4];
        minicbor::encode(batch, &mut frame).map_err(|e| e.to_string())?;
        let length = u32::try_from(frame.len() - 4).map_err(|_| "a frame over 4 GiB".to_owned())?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        // A server that stops has said why before it hangs up.
        let written = self.stream.write_all(&frame);
        let row = match (self.answer(), written) {
            (Ok(row), Ok(())) => row,
            (Err(reason), _) => return Err(reason),
            (_, Err(e)) => return Err(e.to_string()),
        };
        let outcomes: Vec<Outcome> = serde_json::from_value(row).map_err(|e| e.to_string())?;
        if outcomes.len() == batch.len() { Ok(outcomes) } else { Err("the server answered out of step".to_owned()) }
    }

    /// Says that there is no more.
    pub fn finish(mut self) -> Result<(), String> {
        self.stream.write_all(&[0; 4]).map_err(|e| e.to_string())?;
        match self.line()? {
            Answer::Done => Ok(()),
            Answer::Failed(reason) => Err(reason),
            Answer::Row(_) => Err("the server answered out of step".to_owned()),
        }
    }

    fn answer(&mut self) -> Result<Value, String> {
        match self.line()? {
            Answer::Row(row) => Ok(row),
            Answer::Failed(reason) => Err(reason),
            Answer::Done => Err("the server answered out of step".to_owned()),
        }
    }

    fn line(&mut self) -> Result<Answer, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err("the server stopped; run the import again, it goes on where it stopped".to_owned()),
            Ok(_) => serde_json::from_str(&line).map_err(|e| e.to_string()),
            Err(e) => Err(format!("the running server does not answer: {e}")),
        }
    }
}
