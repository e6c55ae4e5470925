//! A session with a next hop: drives the client core over a stream, gives every reply its time, and listens while it writes, so
//! that a reply before the end of data is never taken for one behind it.

use crate::gateway::config::{HostPort, Timeouts};
use crate::gateway::delivery::settle::Reports;
use crate::gateway::wire::{Pending, Stream};
use crate::mail::Envelope;
use crate::smtp::client::{Client, Event, Extension, Report, Stage, Survey};
use std::io;
use std::time::{Duration, Instant};

/// Octets read at once; replies are short.
const READ_BYTES: usize = 8 * 1024;
/// Octets of content handed over at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long a connection is used again and again; then the route's first next hop gets its chance.
const AGE_MAX: Duration = Duration::from_secs(300);
/// How long is waited for what has announced itself.
const MOMENT: Duration = Duration::from_millis(200);

/// A session with a next hop that can take a transaction.
pub struct Connection {
    pub(super) stream: Stream,
    pub(super) client: Client,
    hop: HostPort,
    domain: Option<String>,
    opened: Instant,
    /// Since when a reply is awaited, and how many there were before.
    waiting: (Instant, u64),
}

impl Connection {
    /// Before the greeting. `domain` is the recipients' whose MX record led here.
    pub(super) fn new(stream: Stream, client: Client, hop: &HostPort, domain: Option<&str>) -> Connection {
        let (now, hop, domain) = (Instant::now(), hop.clone(), domain.map(str::to_owned));
        Connection { stream, client, hop, domain, opened: now, waiting: (now, 0) }
    }

    /// Where it leads.
    pub fn hop(&self) -> &HostPort {
        &self.hop
    }
    /// Whether an MX record of this domain led here.
    pub fn is_for(&self, domain: &str) -> bool {
        self.domain.as_deref() == Some(domain)
    }

    /// Who tells senders of what comes after.
    pub fn reports(&self) -> Reports {
        if self.client.capabilities().has(Extension::Dsn) { Reports::NextHop } else { Reports::Nobody }
    }

    /// Whether it is young, and the next hop has neither closed it nor said anything unasked (421, mostly).
    async fn is_usable(&mut self) -> bool {
        if self.opened.elapsed() >= AGE_MAX {
            return false;
        }
        match (self.stream.pending(), &self.stream) {
            (Pending::Nothing, _) => true,
            // Perhaps TLS alone had something to say.
            (Pending::Octets, Stream::Client(_)) => {
                let said = self.stream.read(&mut [0; 1], MOMENT).await;
                said.is_err_and(|e| e.kind() == io::ErrorKind::TimedOut)
            }
            (Pending::Octets | Pending::End, _) => false,
        }
    }

    /// Says goodbye.
    pub async fn quit(mut self) {
        let mut out = Vec::new();
        self.client.quit(&mut out);
        if self.stream.write(&out).await.is_ok() {
            let mut buffer = [0; 512];
            // Its answer does not matter.
            let _bye = self.stream.read(&mut buffer, Stage::Quit.patience()).await;
        }
        self.stream.close().await;
    }

    /// One transaction, to its end.
    pub async fn deliver(&mut self, envelope: Envelope, survey: Survey, octets: &[u8], timeouts: &Timeouts) -> Report {
        let recipients = envelope.recipients.len();
        if !self.is_usable().await {
            let outcome =
                self.client.lost("the next hop closed the connection, or spoke unasked, before a message was sent");
            return Report::lost(vec![outcome; recipients]);
        }
        let mut out = Vec::new();
        let mut event = self.client.deliver(envelope, survey, &mut out);
        loop {
            event = match event {
                Some(Event::Done(report)) => return report,
                Some(Event::Broken(failure)) => return Report::lost(vec![failure.outcome(); recipients]),
                Some(Event::Content) => self.write_content(octets, &mut out, timeouts).await,
                _ => self.exchange(&mut out, timeouts).await,
            };
        }
    }

    async fn write_content(&mut self, octets: &[u8], out: &mut Vec<u8>, timeouts: &Timeouts) -> Option<Event> {
        for chunk in octets.chunks(CHUNK_BYTES) {
            if out.len() >= CHUNK_BYTES
                && let Some(event) = self.flush(out, timeouts).await
            {
                return Some(event);
            }
            if let Some(event) = self.overhear().await {
                return Some(event);
            }
            let event = self.client.content(chunk, out);
            if event.is_some() {
                return event;
            }
        }
        self.client.end_content(out)
    }

    /// What the next hop says before it has all of the message. Only a refusal makes sense; an acceptance ends the session.
    async fn overhear(&mut self) -> Option<Event> {
        match self.stream.pending() {
            Pending::Nothing => return None,
            Pending::End => return Some(self.client.lose("connection closed by the next hop before the end of data")),
            Pending::Octets => {}
        }
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer, MOMENT).await {
            Ok(0) => Some(self.client.lose("connection closed by the next hop before the end of data")),
            Ok(count) => {
                let event = self.client.receive(&buffer[..count], &mut Vec::new());
                Some(event.unwrap_or_else(|| self.client.lose("a reply before the end of data")))
            }
            // TLS had something to say, its application had not.
            Err(e) if e.kind() == io::ErrorKind::TimedOut => None,
            Err(e) => Some(self.client.lose(&why(&e))),
        }
    }

    async fn flush(&mut self, out: &mut Vec<u8>, timeouts: &Timeouts) -> Option<Event> {
        let limit = Duration::from_secs(timeouts.data_block_s);
        let written = tokio::time::timeout(limit, self.stream.write(out)).await;
        out.clear();
        match written {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(self.last_words(&why(&e)).await),
            Err(_) => Some(self.last_words("timed out: the next hop did not read").await),
        }
    }

    /// A next hop that refuses what it is being sent and closes has often said why.
    async fn last_words(&mut self, why: &str) -> Event {
        let mut buffer = [0; READ_BYTES];
        if let Ok(count) = self.stream.read(&mut buffer, MOMENT).await
            && matches!(buffer[..count].first(), Some(b'4' | b'5'))
            && let Some(event) = self.client.receive(&buffer[..count], &mut Vec::new())
        {
            return event;
        }
        self.client.lose(why)
    }

    /// Sends what is to be sent, and waits for the next reply as long as its stage allows: for the whole of it, so that one that
    /// comes octet by octet for ever is no way to hold us.
    pub(super) async fn exchange(&mut self, out: &mut Vec<u8>, timeouts: &Timeouts) -> Option<Event> {
        let has_sent = !out.is_empty();
        if let Some(lost) = self.flush(out, timeouts).await {
            return Some(lost);
        }
        if has_sent || self.waiting.1 != self.client.answers_heard() {
            self.waiting = (Instant::now(), self.client.answers_heard());
        }
        let (limit, what) = patience(self.client.stage(), timeouts);
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer, limit.saturating_sub(self.waiting.0.elapsed())).await {
            Ok(0) => Some(self.client.lose("connection closed by the next hop")),
            Ok(count) => self.client.receive(&buffer[..count], out),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                Some(self.client.lose(&format!("timed out waiting for the next hop: {what}")))
            }
            Err(e) => Some(self.client.lose(&why(&e))),
        }
    }
}

/// An error of a connection, for people.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "timed out waiting for the next hop".to_owned(),
        _ => format!("connection lost: {error}"),
    }
}

/// How long to wait, and for what (RFC 5321 section 4.5.3.2).
fn patience(stage: Stage, timeouts: &Timeouts) -> (Duration, &'static str) {
    let (seconds, what) = match stage {
        Stage::Initial | Stage::Idle => (timeouts.initial_s, "greeting, EHLO or STARTTLS"),
        Stage::Mail => (timeouts.mail_s, "no reply to MAIL"),
        Stage::Rcpt => (timeouts.rcpt_s, "no reply to RCPT"),
        Stage::DataStart => (timeouts.data_start_s, "no reply to DATA"),
        Stage::DataBlock => (timeouts.data_block_s, "it did not read"),
        Stage::DataDone => (timeouts.data_done_s, "no reply to the message"),
        Stage::Quit => return (stage.patience(), "no reply to QUIT"),
    };
    (Duration::from_secs(seconds), what)
}
