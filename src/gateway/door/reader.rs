//! Drives the IMAP and POP3 cores over a connection. Both have one shape, so there is one driver; it checks logins, and never
//! shows a mailbox before one.

use super::{Door, House};
use crate::access::Refused;
use crate::catalog::{Reading, Recorded, View};
use crate::gateway::ending::stopping;
use crate::gateway::ledger::Ledger;
use crate::gateway::observe::Event as AuditEvent;
use crate::gateway::read_audit;
use crate::gateway::reading::Locked;
use crate::gateway::wire::Stream;
use crate::imap;
use crate::mail::Tls;
use crate::pop3;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Octets read at once.
const READ_BYTES: usize = 16 * 1024;
/// A client that does not log in.
const BEFORE_LOGIN: Duration = Duration::from_secs(60);
/// A client that has, and is silent (RFC 3501 section 5.4: at least 30 minutes).
const AFTER_LOGIN: Duration = Duration::from_secs(30 * 60);
/// How often a waiting client is told of new mail.
const TICK: Duration = Duration::from_secs(2);
/// Pause after a wrong password.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// What a core asks of its driver.
enum Turn {
    Read,
    Again,
    Handshake,
    Authenticate { user: String, password: Zeroizing<Vec<u8>> },
    Record(Reading),
    Close,
}

/// Why nobody is let in.
#[derive(Clone, Copy)]
enum No {
    Credentials,
    Unavailable,
}

/// What the IMAP and the POP3 session have in common.
trait Core: Send {
    fn greeting(&self, out: &mut Vec<u8>);
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Turn);
    fn authenticated(&mut self, view: Box<dyn View>, out: &mut Vec<u8>);
    fn refused(&mut self, no: No, out: &mut Vec<u8>);
    fn recorded(&mut self, recorded: Recorded, out: &mut Vec<u8>);
    fn tls_started(&mut self);
    fn is_authenticated(&self) -> bool;
    fn is_idle(&self) -> bool;
    fn tick(&mut self, out: &mut Vec<u8>) -> Turn;
    fn bye(&mut self, text: &str, out: &mut Vec<u8>);
}

macro_rules! core {
    ($module:ident, $is_idle:expr, $tick:expr) => {
        impl From<$module::Event> for Turn {
            fn from(event: $module::Event) -> Turn {
                match event {
                    $module::Event::Read => Turn::Read,
                    $module::Event::Again => Turn::Again,
                    $module::Event::StartTls => Turn::Handshake,
                    $module::Event::Authenticate($module::Login { user, password }) => {
                        Turn::Authenticate { user, password }
                    }
                    $module::Event::Record(reading) => Turn::Record(reading),
                    $module::Event::Close => Turn::Close,
                }
            }
        }
        impl Core for $module::Session {
            fn greeting(&self, out: &mut Vec<u8>) {
                $module::Session::greeting(self, out);
            }
            fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Turn) {
                let step = $module::Session::step(self, input, out);
                (step.consumed, step.event.into())
            }
            fn authenticated(&mut self, view: Box<dyn View>, out: &mut Vec<u8>) {
                $module::Session::authenticated(self, view, out);
            }
            fn refused(&mut self, no: No, out: &mut Vec<u8>) {
                let refusal = match no {
                    No::Credentials => $module::Refusal::Credentials,
                    No::Unavailable => $module::Refusal::Unavailable,
                };
                $module::Session::refused(self, refusal, out);
            }
            fn recorded(&mut self, recorded: Recorded, out: &mut Vec<u8>) {
                $module::Session::recorded(self, recorded, out);
            }
            fn tls_started(&mut self) {
                $module::Session::tls_started(self);
            }
            fn is_authenticated(&self) -> bool {
                $module::Session::is_authenticated(self)
            }
            fn is_idle(&self) -> bool {
                $is_idle(self)
            }
            fn tick(&mut self, out: &mut Vec<u8>) -> Turn {
                $tick(self, out)
            }
            fn bye(&mut self, text: &str, out: &mut Vec<u8>) {
                // Always the same event: the connection is closed either way.
                let _close = $module::Session::bye(self, text, out);
            }
        }
    };
}

core!(imap, imap::Session::is_idle, |session: &mut imap::Session, out: &mut Vec<u8>| imap::Session::tick(session, out)
    .into());
core!(pop3, |_: &pop3::Session| false, |_: &mut pop3::Session, _: &mut Vec<u8>| Turn::Read);

/// Serves an IMAP client.
pub async fn imap(house: House, door: Arc<Door>, stream: Stream, ip: IpAddr) -> io::Result<()> {
    let tls = match (stream.tls(), door.offers_starttls()) {
        (Some(_), _) => imap::TlsState::Active,
        (None, true) => imap::TlsState::Offered,
        (None, false) => imap::TlsState::Absent,
    };
    let session = imap::Session::new(imap::Settings { hostname: door.smtp.hostname.clone(), tls });
    Reader::new(house, door, ip, Box::new(session))?.run(stream).await
}

/// Serves a POP3 client.
pub async fn pop3(house: House, door: Arc<Door>, stream: Stream, ip: IpAddr) -> io::Result<()> {
    let tls = match (stream.tls(), door.offers_starttls()) {
        (Some(_), _) => pop3::TlsState::Active,
        (None, true) => pop3::TlsState::Offered,
        (None, false) => pop3::TlsState::Absent,
    };
    let session = pop3::Session::new(pop3::Settings { hostname: door.smtp.hostname.clone(), tls });
    Reader::new(house, door, ip, Box::new(session))?.run(stream).await
}

struct Reader {
    house: House,
    door: Arc<Door>,
    ip: IpAddr,
    core: Box<dyn Core>,
    out: Vec<u8>,
    /// When the client was last heard.
    heard_at: Instant,
    /// Whether the archive that the view shows was locked; never, before there is a view.
    locked: watch::Receiver<bool>,
    /// Its records in the read audit.
    ledger: Ledger,
    let_in: LetIn,
}

/// Whether somebody is logged in, and so reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LetIn {
    No,
    Yes,
}

/// What came of waiting for the client.
enum Heard {
    Octets(usize),
    Silence,
    Stopping,
    Locked,
    Tick,
}

impl Reader {
    fn new(house: House, door: Arc<Door>, ip: IpAddr, core: Box<dyn Core>) -> io::Result<Reader> {
        let ledger = read_audit::ledger(&house.post, ip.to_string()).map_err(io::Error::other)?;
        // As long as nobody has logged in, what would tell of a lock is the gateway's own end.
        let locked = house.closing.clone();
        let (out, heard_at) = (Vec::new(), Instant::now());
        Ok(Reader { house, door, ip, core, out, heard_at, locked, ledger, let_in: LetIn::No })
    }

    async fn run(mut self, stream: Stream) -> io::Result<()> {
        let ended = self.converse(stream).await;
        if self.let_in == LetIn::Yes {
            self.house.post.read_audit().end(self.ledger.end());
        }
        ended
    }

    async fn converse(&mut self, mut stream: Stream) -> io::Result<()> {
        self.core.greeting(&mut self.out);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.flush(&mut stream).await?;
            let count = match self.hear(&mut stream, &mut buffer).await? {
                Heard::Octets(0) => return Ok(()),
                Heard::Octets(count) => count,
                Heard::Tick => match tokio::task::block_in_place(|| self.core.tick(&mut self.out)) {
                    Turn::Close => return self.close(stream).await,
                    _ => continue,
                },
                Heard::Silence => return self.hang_up(stream, "Idle for too long").await,
                Heard::Stopping => return self.hang_up(stream, "Shutting down").await,
                Heard::Locked => return self.hang_up(stream, "The archive was locked").await,
            };
            match self.consume(&mut stream, &buffer[..count]).await? {
                Turn::Handshake => {
                    self.flush(&mut stream).await?;
                    stream = stream.accept_tls(self.door.tls.clone()).await?;
                    self.core.tls_started();
                }
                Turn::Close => return self.close(stream).await,
                Turn::Read | Turn::Again | Turn::Authenticate { .. } | Turn::Record(_) => {}
            }
        }
    }

    /// Steps until all input is used, or the connection changes. Views block, so steps run where blocking is allowed.
    async fn consume(&mut self, stream: &mut Stream, mut input: &[u8]) -> io::Result<Turn> {
        loop {
            let (consumed, turn) = tokio::task::block_in_place(|| self.core.step(input, &mut self.out));
            input = &input[consumed..];
            match turn {
                Turn::Again if *self.house.closing.borrow() => {
                    self.core.bye("Shutting down", &mut self.out);
                    return Ok(Turn::Close);
                }
                Turn::Again if *self.locked.borrow() => {
                    self.core.bye("The archive was locked", &mut self.out);
                    return Ok(Turn::Close);
                }
                Turn::Again => self.flush(stream).await?,
                Turn::Authenticate { user, password } => self.login(stream.tls().as_ref(), user, password).await,
                Turn::Record(reading) => self.record(reading).await,
                other => return Ok(other),
            }
        }
    }

    /// Waits until what the core is about to show is recorded. It has shown nothing of it, and shows nothing if it is not.
    async fn record(&mut self, reading: Reading) {
        let recorded = match self.ledger.reading(reading) {
            Ok(record) => self.house.post.read_audit().keep(record).await,
            Err(e) => {
                tracing::error!("a read is refused: {e}");
                Recorded::Failed
            }
        };
        self.core.recorded(recorded, &mut self.out);
    }

    async fn login(&mut self, tls: Option<&Tls>, user: String, password: Zeroizing<Vec<u8>>) {
        let (no, reason) = match self.check(tls, &user, password).await {
            Ok((view, locked)) => {
                self.locked = locked;
                self.audit("login", &user, "");
                self.let_in = LetIn::Yes;
                return self.core.authenticated(view, &mut self.out);
            }
            Err(refusal) => refusal,
        };
        self.audit("login-refused", &user, &reason);
        let record = self.ledger.refused(&user, self.protocol(), tls, &reason);
        // Refused either way.
        self.house.post.read_audit().keep(record).await;
        tokio::time::sleep(AFTER_REFUSAL).await;
        self.core.refused(no, &mut self.out);
    }

    /// What somebody may see, once it is recorded that he was let in.
    async fn check(
        &mut self,
        tls: Option<&Tls>,
        user: &str,
        password: Zeroizing<Vec<u8>>,
    ) -> Result<(Box<dyn View>, watch::Receiver<bool>), (No, String)> {
        let (post, name) = (self.house.post.clone(), user.to_owned());
        let checked = self.house.post.logins().run(move || post.accounts().authenticate(&name, &password)).await;
        let account = match checked {
            None => return Err((No::Unavailable, "the login could not be checked".to_owned())),
            Some(Err(e @ (Refused::Credentials | Refused::Malformed))) => return Err((No::Credentials, e.to_string())),
            Some(Err(e @ Refused::Unavailable(_))) => return Err((No::Unavailable, e.to_string())),
            Some(Ok(account)) => account,
        };
        let view = tokio::task::block_in_place(|| self.house.reading.view(&account));
        let view = view.map_err(|e| match e {
            Locked::NotForThisRole => (No::Credentials, e.to_string()),
            Locked::Unavailable(_) => (No::Unavailable, e.to_string()),
        })?;
        let record = self.ledger.login(&account, self.protocol(), tls);
        match self.house.post.read_audit().keep(record).await {
            Recorded::Durable => Ok(view),
            Recorded::Failed => Err((No::Unavailable, "it cannot be recorded".to_owned())),
        }
    }

    fn protocol(&self) -> &'static str {
        self.door.listener.protocol.word()
    }

    fn audit(&self, event: &str, user: &str, detail: &str) {
        let post = &self.house.post;
        let who = Some(format!("{user} [{}]", self.ip));
        post.audit().write(&AuditEvent { who, detail, ..AuditEvent::new(post.now(), event) });
    }

    async fn hear(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<Heard> {
        let patience = if self.core.is_authenticated() { AFTER_LOGIN } else { BEFORE_LOGIN };
        // Ticks come between two octets of an idle client and must not renew its time.
        let limit = patience.saturating_sub(self.heard_at.elapsed());
        let is_idle = self.core.is_idle();
        let heard = tokio::select! {
            biased;
            () = stopping(&self.house.closing) => return Ok(Heard::Stopping),
            () = stopping(&self.locked) => return Ok(Heard::Locked),
            heard = stream.read(buffer, limit) => heard,
            () = tokio::time::sleep(TICK), if is_idle => return Ok(Heard::Tick),
        };
        match heard {
            Err(e) if e.kind() == io::ErrorKind::TimedOut => Ok(Heard::Silence),
            heard => {
                self.heard_at = Instant::now();
                heard.map(Heard::Octets)
            }
        }
    }

    async fn flush(&mut self, stream: &mut Stream) -> io::Result<()> {
        self.ledger.sent(self.out.len());
        stream.write(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    async fn hang_up(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        self.core.bye(text, &mut self.out);
        self.close(stream).await
    }

    async fn close(&mut self, mut stream: Stream) -> io::Result<()> {
        self.flush(&mut stream).await?;
        stream.close().await;
        Ok(())
    }
}
