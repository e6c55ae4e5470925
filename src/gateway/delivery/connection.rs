//! Drives the SMTP client core over a connection to a next hop: connects with failover, does TLS as the route wants, and brings a
//! transaction to an end for every recipient. Never sends in the clear what a route wants encrypted.

use super::settle::{Fate, Reports};
use crate::gateway::config::{HostPort, Route, RouteTls, Timeouts};
use crate::gateway::post::Post;
use crate::gateway::tls;
use crate::gateway::wire::Stream;
use crate::journal::Entry;
use crate::mail::Envelope;
use crate::smtp::Dialect;
use crate::smtp::client::{Client, Event, Extension, Next, Outcome, Report, Stage, Survey, Trust, Verdict};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Octets read at once; replies are short.
const READ_BYTES: usize = 8 * 1024;
/// Octets of content handed over at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What is sent: one rendition to some of its recipients.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// The message.
    pub entry: &'a Entry,
    /// Indices into its envelope's recipients.
    pub recipients: &'a [u32],
    /// The rendition's octets.
    pub octets: &'a [u8],
}

/// A session with a next hop that can take a transaction.
pub struct Connection {
    stream: Stream,
    client: Client,
    next_hop: String,
}

/// No next hop of a route could be spoken to.
#[derive(Debug)]
pub struct Unreachable {
    /// What went wrong with the last one tried.
    pub reply: String,
    /// Its `host:port`.
    pub next_hop: String,
}

/// Fates in the order of the transaction's recipients, the next hop, and the connection if it can be used again.
type Sent = (Vec<Fate>, String, Option<Connection>);

/// Sends over a connection that is open already, or over a new one.
pub async fn send(
    post: &Arc<Post>,
    route: &Route,
    reused: Option<Connection>,
    transaction: &Transaction<'_>,
) -> Result<Sent, Unreachable> {
    let timeouts = &post.config().timeouts;
    if let Some(mut connection) = reused {
        let was_taken = connection.transact(transaction, timeouts).await;
        if let Attempt::Ended(fates, next) = was_taken {
            return Ok(connection.with(fates, next));
        }
        // The next hop had closed it meanwhile, before it read a command: nothing was tried yet.
    }
    let mut connection = connect(post, route).await?;
    match connection.transact(transaction, timeouts).await {
        Attempt::Ended(fates, next) => Ok(connection.with(fates, next)),
        Attempt::Stale(text) => Err(Unreachable { reply: text, next_hop: connection.next_hop }),
    }
}

/// How a transaction ended.
enum Attempt {
    /// With an outcome for everybody.
    Ended(Vec<Fate>, Next),
    /// The connection was dead before its first command.
    Stale(String),
}

impl Connection {
    fn with(self, fates: Vec<Fate>, next: Next) -> Sent {
        let next_hop = self.next_hop.clone();
        match next {
            Next::Reuse => (fates, next_hop, Some(self)),
            Next::Close => (fates, next_hop, None),
        }
    }

    fn reports(&self) -> Reports {
        if self.client.capabilities().has(Extension::Dsn) { Reports::NextHop } else { Reports::Nobody }
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

    /// Brings every recipient to an outcome. What the next hop could not take in one go is offered again at once.
    async fn transact(&mut self, transaction: &Transaction<'_>, timeouts: &Timeouts) -> Attempt {
        let survey = Survey::of(transaction.octets);
        let mut open: Vec<usize> = (0..transaction.recipients.len()).collect();
        let mut fates: Vec<Option<Fate>> = vec![None; open.len()];
        loop {
            let envelope = envelope(transaction, &open);
            let is_first = fates.iter().all(Option::is_none);
            let (report, was_read) = self.deliver(envelope, survey, transaction.octets, timeouts).await;
            let text = report.outcomes.first().map_or_else(String::new, |o| o.text.clone());
            if was_read == Heard::Nothing && is_first {
                return Attempt::Stale(text);
            }
            let mut again = Vec::new();
            for (at, outcome) in open.iter().zip(&report.outcomes) {
                match fate(outcome, self.reports()) {
                    Some(fate) => fates[*at] = Some(fate),
                    None => again.push(*at),
                }
            }
            if again.is_empty() || again.len() == open.len() || report.next == Next::Close {
                let rest = || Fate::Deferred { reply: text.clone() };
                let fates = fates.into_iter().map(|fate| fate.unwrap_or_else(rest)).collect();
                return Attempt::Ended(fates, report.next);
            }
            open = again;
        }
    }

    async fn deliver(
        &mut self,
        envelope: Envelope,
        survey: Survey,
        octets: &[u8],
        timeouts: &Timeouts,
    ) -> (Report, Heard) {
        let recipients = envelope.recipients.len();
        let mut out = Vec::new();
        let mut event = self.client.deliver(envelope, survey, &mut out);
        let mut heard = if event.is_some() { Heard::Something } else { Heard::Nothing };
        loop {
            event = match event {
                Some(Event::Done(report)) => return (report, heard),
                Some(Event::Broken(failure)) => {
                    let outcomes = vec![failure.outcome(); recipients];
                    return (Report { outcomes, next: Next::Close }, heard);
                }
                Some(Event::Content) => self.write_content(octets, &mut out).await,
                _ => self.exchange(&mut out, timeouts, &mut heard).await,
            };
        }
    }

    async fn write_content(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        for chunk in octets.chunks(CHUNK_BYTES) {
            let event = self.client.content(chunk, out);
            if event.is_some() {
                return event;
            }
            if out.len() >= CHUNK_BYTES
                && let Some(lost) = self.flush(out).await
            {
                return Some(lost);
            }
        }
        self.client.end_content(out)
    }

    async fn flush(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let written = self.stream.write(out).await;
        out.clear();
        written.err().map(|e| self.client.lose(&why(&e)))
    }

    /// Sends what is to be sent, and waits for the next reply as long as its stage allows.
    async fn exchange(&mut self, out: &mut Vec<u8>, timeouts: &Timeouts, heard: &mut Heard) -> Option<Event> {
        if let Some(lost) = self.flush(out).await {
            return Some(lost);
        }
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer, patience(self.client.stage(), timeouts)).await {
            Ok(0) => Some(self.client.lose("connection closed by the next hop")),
            Ok(count) => {
                *heard = Heard::Something;
                self.client.receive(&buffer[..count], out)
            }
            Err(e) => Some(self.client.lose(&why(&e))),
        }
    }
}

/// Whether the next hop answered anything in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Something,
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "timed out waiting for the next hop".to_owned(),
        _ => format!("connection lost: {error}"),
    }
}

fn envelope(transaction: &Transaction<'_>, open: &[usize]) -> Envelope {
    let whole = &transaction.entry.accept.envelope;
    let recipient = |at: &usize| {
        let index = usize::try_from(transaction.recipients[*at]).ok()?;
        whole.recipients.get(index).cloned()
    };
    Envelope { recipients: open.iter().filter_map(recipient).collect(), ..whole.clone() }
}

/// `None`: offer it again in the next transaction.
fn fate(outcome: &Outcome, reports: Reports) -> Option<Fate> {
    let reply = outcome.text.clone();
    match outcome.verdict {
        Verdict::Delivered => Some(Fate::Delivered { reply, reports }),
        Verdict::Deferred | Verdict::InDoubt => Some(Fate::Deferred { reply }),
        Verdict::Failed => Some(Fate::Failed { status: outcome.status.clone(), reply }),
        Verdict::NextTransaction => None,
    }
}

fn patience(stage: Stage, timeouts: &Timeouts) -> Duration {
    Duration::from_secs(match stage {
        Stage::Initial | Stage::Idle => timeouts.initial_s,
        Stage::Mail => timeouts.mail_s,
        Stage::Rcpt => timeouts.rcpt_s,
        Stage::DataStart => timeouts.data_start_s,
        Stage::DataBlock => timeouts.data_block_s,
        Stage::DataDone => timeouts.data_done_s,
        Stage::Quit => return stage.patience(),
    })
}

/// Opens a session with the first next hop of the route that answers.
async fn connect(post: &Arc<Post>, route: &Route) -> Result<Connection, Unreachable> {
    let mut last = Unreachable { reply: "the route names no next hop".to_owned(), next_hop: String::new() };
    for hop in route.next_hop.iter() {
        let wish = if route.tls == RouteTls::None { Encryption::No } else { Encryption::Yes };
        let reply = match greet(post, route, hop, wish).await {
            Ok(connection) => return Ok(connection),
            // Opportunistic (RFC 7435): a broken handshake is no reason not to deliver.
            Err(Refused::Handshake(_)) if route.tls == RouteTls::Opportunistic => {
                match greet(post, route, hop, Encryption::No).await {
                    Ok(connection) => return Ok(connection),
                    Err(refused) => refused.into_text(),
                }
            }
            Err(refused) => refused.into_text(),
        };
        last = Unreachable { reply: format!("{hop}: {reply}"), next_hop: hop.to_string() };
    }
    Err(last)
}

/// Whether TLS is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    Yes,
    No,
}

enum Refused {
    Handshake(String),
    Other(String),
}

impl Refused {
    fn into_text(self) -> String {
        match self {
            Refused::Handshake(text) | Refused::Other(text) => text,
        }
    }
    fn io(error: &io::Error) -> Refused {
        Refused::Other(why(error))
    }
}

/// Connects, and speaks until a transaction can begin.
async fn greet(post: &Arc<Post>, route: &Route, hop: &HostPort, wish: Encryption) -> Result<Connection, Refused> {
    let config = post.config();
    let limit = Duration::from_secs(config.timeouts.initial_s);
    let tcp = match tokio::time::timeout(limit, TcpStream::connect((hop.host.as_str(), hop.port))).await {
        Ok(connected) => connected.map_err(|e| Refused::Other(e.to_string()))?,
        Err(_) => return Err(Refused::io(&io::ErrorKind::TimedOut.into())),
    };
    tcp.set_nodelay(true).map_err(|e| Refused::io(&e))?;
    let client = Client::new(config.hostname.as_str(), Dialect::Smtp);
    let mut connection = Connection { stream: Stream::Plain(tcp), client, next_hop: hop.to_string() };
    let mut out = Vec::new();
    connection.until_ready(&mut out, &config.timeouts).await?;
    if wish == Encryption::No {
        return Ok(connection);
    }
    if !connection.client.capabilities().has(Extension::StartTls) {
        return match route.tls {
            RouteTls::None | RouteTls::Opportunistic => Ok(connection),
            RouteTls::Required | RouteTls::Verified => {
                Err(Refused::Other("TLS is required and not offered".to_owned()))
            }
        };
    }
    connection.encrypt(route, hop, &config.timeouts).await
}

impl Connection {
    async fn until_ready(&mut self, out: &mut Vec<u8>, timeouts: &Timeouts) -> Result<(), Refused> {
        let mut heard = Heard::Nothing;
        loop {
            match self.exchange(out, timeouts, &mut heard).await {
                None => {}
                Some(Event::Ready) => return Ok(()),
                Some(Event::Broken(failure)) => return Err(Refused::Other(failure.outcome().text)),
                Some(other) => return Err(Refused::Other(format!("unexpected: {other:?}"))),
            }
        }
    }

    async fn encrypt(mut self, route: &Route, hop: &HostPort, timeouts: &Timeouts) -> Result<Connection, Refused> {
        let mut out = Vec::new();
        let mut heard = Heard::Nothing;
        self.client.start_tls(&mut out);
        loop {
            match self.exchange(&mut out, timeouts, &mut heard).await {
                None => {}
                Some(Event::StartTls) => break,
                Some(Event::NoStartTls(_)) if route.tls == RouteTls::Opportunistic => return Ok(self),
                Some(Event::NoStartTls(answer)) => return Err(Refused::Other(answer.to_string())),
                Some(Event::Broken(failure)) => return Err(Refused::Other(failure.outcome().text)),
                Some(other) => return Err(Refused::Other(format!("unexpected: {other:?}"))),
            }
        }
        let settings = match (route.tls, &route.ca_file) {
            (RouteTls::Verified, Some(anchors)) => tls::client_verified(anchors),
            _ => tls::client_opportunistic(),
        };
        let settings = settings.map_err(|e| Refused::Other(e.to_string()))?;
        let handshake = |e: io::Error| Refused::Handshake(format!("TLS handshake: {e}"));
        self.stream = self.stream.connect_tls(settings, &hop.host).await.map_err(handshake)?;
        let trust = if route.tls == RouteTls::Verified { Trust::Verified } else { Trust::Unverified };
        self.client.tls_started(trust, &mut out);
        self.until_ready(&mut out, timeouts).await?;
        Ok(self)
    }
}
