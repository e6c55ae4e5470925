//! Drives the SMTP and LMTP server core over a connection: answers its questions about relaying, streams content into the
//! journal, and hands complete messages to the flow. Decides nothing about a message itself.

use super::login;
use super::rates::{Deed, Pace};
use super::{Door, House};
use crate::access::Account;
use crate::access::scram::{Exchange, Reached};
use crate::gateway::config::ClientCertificate;
use crate::gateway::ending::stopping;
use crate::gateway::flow::permission::{self, Relaying, Sending, Submitter};
use crate::gateway::flow::replies;
use crate::gateway::flow::{self, Answer, Intake, Partial};
use crate::gateway::observe::Event as AuditEvent;
use crate::gateway::post::is_in_memory;
use crate::gateway::wire::Stream;
use crate::journal::Draft;
use crate::mail::{Address, Client, Direction, Envelope, Recipient, Tls};
use crate::smtp::Dialect;
use crate::smtp::server::{Event, Login, LoginRefusal, Reply, ScramMessage, Session, reply};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Octets read at once.
const READ_BYTES: usize = 64 * 1024;
/// Replies are sent when this many octets of them wait, even if more commands do too.
const REPLIES_BYTES: usize = 32 * 1024;

/// How many times as long as in silence a client may take from one message to the next, besides a second for every
/// `PACE_BYTES_PER_S` octets.
const PACE_IDLES: u32 = 2;
/// Octets a second that even the slowest line carries.
const PACE_BYTES_PER_S: u64 = 512;

/// Whether a client gets on: one that sends an octet now and then would keep its place for ever.
#[derive(Debug)]
struct Progress {
    since: Instant,
    octets: u64,
}

impl Progress {
    fn start(now: Instant) -> Progress {
        Progress { since: now, octets: 0 }
    }
    /// The time that is left.
    fn left(&self, now: Instant, silence: Duration) -> Duration {
        let allowed = silence * PACE_IDLES + Duration::from_secs(self.octets / PACE_BYTES_PER_S);
        allowed.saturating_sub(now.duration_since(self.since))
    }
}

/// Waits so long; for ever, when no limit is set.
async fn passed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// How long a message may still take when the gateway stops: a little less than the gateway waits.
const LAST_MESSAGE: Duration = Duration::from_secs(25);

/// One conversation.
struct Conversation {
    house: House,
    door: Arc<Door>,
    ip: IpAddr,
    session: Session,
    account: Option<Account>,
    scram: Option<Exchange>,
    draft: Option<Draft>,
    out: Vec<u8>,
    progress: Progress,
    /// Since when the gateway stops, if a message was under way then.
    stopping_since: Option<Instant>,
}

/// What the connection does next.
enum Next {
    Go,
    Handshake,
    Close,
}

/// What came of waiting for the client.
enum Heard {
    Octets(usize),
    Silence,
    Stopping,
}

/// Talks until either side ends it.
pub async fn run(house: House, door: Arc<Door>, mut stream: Stream, ip: IpAddr) -> io::Result<()> {
    let mut session = Session::new(door.smtp.clone());
    if door.listener.believes(ip) {
        session.trust_peer();
    }
    let mut this = Conversation {
        house,
        door,
        ip,
        session,
        account: None,
        scram: None,
        draft: None,
        out: Vec::new(),
        progress: Progress::start(Instant::now()),
        stopping_since: None,
    };
    if let Some(tls) = stream.tls() {
        this.secured(tls, &stream);
    }
    if this.pace(Deed::Connection, 1) == Pace::TooFast {
        this.session.hang_up(&replies::TOO_FAST, &mut this.out);
        stream.write(&this.out).await?;
        stream.close().await;
        return Ok(());
    }
    this.session.greeting(&mut this.out);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        stream.write(&this.out).await?;
        this.out.clear();
        let count = match this.hear(&mut stream, &mut buffer).await? {
            Heard::Octets(0) => return Ok(()),
            Heard::Octets(count) => count,
            Heard::Silence => this.hang_up(&reply::IDLE),
            Heard::Stopping => this.hang_up(&reply::SHUTTING_DOWN),
        };
        match this.consume(&mut stream, &buffer[..count]).await? {
            Next::Go => {}
            Next::Handshake => {
                stream.write(&this.out).await?;
                this.out.clear();
                stream = stream.accept_tls(this.door.tls.clone()).await?;
                let tls = stream.tls().ok_or_else(|| io::Error::other("no TLS after its handshake"))?;
                this.secured(tls, &stream);
            }
            Next::Close => {
                stream.write(&this.out).await?;
                stream.close().await;
                return Ok(());
            }
        }
    }
}

impl Conversation {
    /// Waits for octets. When the gateway stops, a message under way has a while to end; where none is, that is the end.
    async fn hear(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<Heard> {
        let silence = self.house.post.config().timeouts.server_idle();
        if self.stopping_since.is_some() && self.session.can_be_left() {
            return Ok(Heard::Stopping);
        }
        let limit = silence.min(self.progress.left(Instant::now(), silence));
        let heard = loop {
            let left = self.stopping_since.map(|since| LAST_MESSAGE.saturating_sub(since.elapsed()));
            tokio::select! {
                biased;
                () = stopping(&self.house.closing), if left.is_none() => {
                    if self.session.can_be_left() {
                        return Ok(Heard::Stopping);
                    }
                    self.stopping_since = Some(Instant::now());
                }
                () = passed(left) => return Ok(Heard::Stopping),
                heard = stream.read(buffer, limit) => break heard,
            }
        };
        match heard {
            Err(e) if e.kind() == io::ErrorKind::TimedOut => Ok(Heard::Silence),
            Err(e) => Err(e),
            Ok(count) => {
                self.progress.octets = self.progress.octets.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                Ok(Heard::Octets(count))
            }
        }
    }

    /// Says why; the session is told to close by its next step, which needs no octets.
    fn hang_up(&mut self, why: &Reply) -> usize {
        self.session.hang_up(why, &mut self.out);
        0
    }

    /// Feeds the session until it wants more octets or something else.
    async fn consume(&mut self, stream: &mut Stream, mut input: &[u8]) -> io::Result<Next> {
        loop {
            let step = self.session.step(input, &mut self.out);
            input = &input[step.consumed..];
            match step.event {
                None if self.session.has_erred() => self.blame(),
                None => {
                    // RSET, EHLO and STARTTLS end a message between its chunks (RFC 3030), too.
                    self.draft = self.draft.take().filter(|_| !self.session.is_idle());
                    return Ok(Next::Go);
                }
                Some(Event::StartTls) => return Ok(Next::Handshake),
                Some(Event::Close) => return Ok(Next::Close),
                Some(event) => self.handle(event).await,
            }
            if self.out.len() >= REPLIES_BYTES {
                stream.write(&self.out).await?;
                self.out.clear();
            }
        }
    }

    async fn handle(&mut self, event: Event<'_>) {
        match event {
            Event::Mail(mail) => self.sender(mail.envelope.sender.as_ref()),
            Event::Rcpt(recipient) => self.recipient(&recipient),
            Event::Data => self.open_draft(),
            Event::Body(octets) => self.append(octets),
            Event::Discard(_) => self.draft = None,
            Event::End { envelope, protocol } => self.end(envelope, protocol).await,
            Event::Authenticate(login) => self.log_in(login).await,
            Event::Scram(message) => self.scram(message).await,
            // Answered by `consume`.
            Event::StartTls | Event::Close => {}
        }
    }

    /// Whose rights count: the peer's, or those of whom it speaks for.
    fn client_ip(&self) -> IpAddr {
        self.session.client_ip().unwrap_or(self.ip)
    }

    /// The account, as long as the session stands by it: XCLIENT gives the session to another client.
    fn account(&self) -> Option<&Account> {
        self.account.as_ref().filter(|_| self.session.account().is_some())
    }

    /// Counts what the client does, if it is one of those that are counted.
    fn pace(&self, deed: Deed, times: u32) -> Pace {
        let ip = self.client_ip();
        let listener = &self.door.listener;
        match ip.is_loopback() || listener.relays_for(ip) || listener.believes(ip) {
            true => Pace::Fine,
            false => self.house.rates.count(ip, deed, times),
        }
    }

    /// Any account that knows its password may submit; what it may sign is for [`permission::signing`] to say.
    async fn log_in(&mut self, login: Login) {
        match login::check(&self.house.post, self.client_ip(), login.user, login.password).await {
            Ok(account) => self.logged_in(account),
            Err(why) => self.not_logged_in(why),
        }
    }

    async fn scram(&mut self, message: ScramMessage) {
        match login::advance(&self.house.post, self.client_ip(), self.scram.take(), message).await {
            Ok(Reached::Challenge(exchange, challenge)) => {
                self.scram = Some(exchange);
                self.session.challenge(&challenge, &mut self.out);
            }
            Ok(Reached::Proven(account)) => self.logged_in(account),
            Err(why) => self.not_logged_in(why),
        }
    }

    fn logged_in(&mut self, account: Account) {
        self.session.authenticated(account.name.as_str(), &mut self.out);
        self.account = Some(account);
    }

    fn not_logged_in(&mut self, why: LoginRefusal) {
        self.session.refuse_login(why, &mut self.out);
        self.blame();
    }

    /// TLS is spoken: now a certificate may be known, and logins be offered, those by SCRAM only if somebody has one.
    fn secured(&mut self, tls: Tls, stream: &Stream) {
        let now = self.house.post.now();
        let known = self.door.certificates.as_ref().and_then(|c| c.relaying(stream.client_certificates(), now));
        self.session.tls_started(Tls { certificate: known.map(ToString::to_string), ..tls });
        if !self.door.listener.takes_logins() {
            return;
        }
        match tokio::task::block_in_place(|| self.house.post.accounts().offer_scram()) {
            Ok(true) => self.session.offer_scram(),
            Ok(false) => {}
            Err(e) => tracing::error!("SCRAM is not offered: {e}"),
        }
    }

    /// The client did what it should not; when it does so too often, it is shown the door.
    fn blame(&mut self) {
        let times = self.session.take_errors().max(1);
        if self.pace(Deed::Error, times) == Pace::TooFast {
            self.session.hang_up(&replies::TOO_FAST, &mut self.out);
        }
    }

    fn sender(&mut self, sender: Option<&Address>) {
        if self.pace(Deed::Message, 1) == Pace::TooFast {
            return self.session.refuse(&replies::SLOW_DOWN, &mut self.out);
        }
        let is_certified = self.door.listener.asks_for_certificate() == Some(ClientCertificate::Required);
        if is_certified && self.session.tls().is_none() {
            return self.session.refuse(&replies::TLS_FIRST, &mut self.out);
        }
        match permission::sending(&self.door.listener, self.account(), sender) {
            Sending::Allowed => self.session.accept(&mut self.out),
            Sending::NotItsOwn => {
                self.session.refuse(&replies::NOT_YOUR_SENDER, &mut self.out);
                self.blame();
            }
        }
    }

    fn recipient(&mut self, recipient: &Recipient) {
        if self.pace(Deed::Recipient, 1) == Pace::TooFast {
            return self.session.refuse(&replies::SLOW_DOWN, &mut self.out);
        }
        let post = &self.house.post;
        let certificate = permission::certificate(self.session.tls());
        let submitter = Submitter { ip: self.client_ip(), account: self.account(), certificate };
        let relaying = permission::relaying(&post.config(), &self.door.listener, submitter, &recipient.address);
        let why = match relaying {
            Relaying::Allowed => return self.session.accept(&mut self.out),
            Relaying::Denied => &replies::RELAYING_DENIED,
            Relaying::NoRoute => &replies::NO_ROUTE,
        };
        let mut event = AuditEvent::new(post.now(), "refused");
        event.who = Some(submitter.ip.to_string());
        event.recipient = Some(recipient.address.to_string());
        event.detail = why.text();
        post.audit().write(&event);
        self.session.refuse(why, &mut self.out);
        // A domain without a route is our affair.
        if relaying == Relaying::Denied {
            self.blame();
        }
    }

    /// Before the 354: what cannot be stored is not asked for.
    fn open_draft(&mut self) {
        self.draft = None;
        let post = &self.house.post;
        let draft = post.new_id().map_err(Into::into).and_then(|id| post.journal().draft(id));
        match draft {
            Ok(draft) => {
                self.draft = Some(draft);
                self.session.accept(&mut self.out);
            }
            Err(e) => self.session.refuse(&replies::of_journal(&e), &mut self.out),
        }
    }

    fn append(&mut self, octets: &[u8]) {
        let Some(draft) = &mut self.draft else { return };
        let appended = match is_in_memory(draft) {
            true => draft.append(octets),
            // A large message waits for the disk; other sessions do not.
            false => tokio::task::block_in_place(|| draft.append(octets)),
        };
        if let Err(e) = appended {
            self.draft = None;
            self.session.refuse_content(replies::of_journal(&e));
        }
    }

    async fn end(&mut self, envelope: Envelope, protocol: &str) {
        let Some(draft) = self.draft.take() else {
            return self.session.finish(&replies::TEMPORARY, &mut self.out);
        };
        let post = &self.house.post;
        let client = Client {
            ip: self.client_ip(),
            ehlo: self.session.client_name().to_owned(),
            protocol: protocol.to_owned(),
            tls: self.session.tls().cloned(),
            account: self.session.account().map(str::to_owned),
            direction: self.door.listener.direction.unwrap_or(Direction::Inbound),
            at: post.now(),
        };
        let partial = match self.door.smtp.dialect {
            Dialect::Smtp => Partial::All,
            Dialect::Lmtp => Partial::Split,
        };
        let forwarded = self.session.forwarded().cloned();
        if let Some(origin) = &forwarded {
            tracing::info!("{}: {} has it from {origin}", draft.id(), self.ip);
        }
        let listener = Some(self.door.index);
        let intake = Intake { listener, client, forwarded, account: self.account().cloned(), envelope, draft };
        match flow::carry(post, intake, partial).await {
            Answer::All(reply) => self.session.finish(&reply, &mut self.out),
            Answer::Each(replies) => self.session.finish_each(&replies, &mut self.out),
        }
        self.progress = Progress::start(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_time_for_what_it_sends_and_no_more() {
        let start = Instant::now();
        let silence = Duration::from_secs(300);
        let left = |octets: u64, s: u64| {
            Progress { since: start, octets }.left(start + Duration::from_secs(s), silence).as_secs()
        };
        assert_eq!((left(0, 0), left(0, 599), left(0, 600), left(0, 601)), (600, 1, 0, 0));
        assert_eq!((left(511, 600), left(512, 600), left(1024, 601)), (0, 1, 1));
        assert_eq!(left(104_857_600, 3600), 600 + 204_800 - 3600, "a hundred mebioctets over the slowest line");
    }
}
