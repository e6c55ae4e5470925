//! One IMAP session: octets in, octets out, and what the driver must do between (RFC 3501 section 3).
//! Does no I/O, holds no password longer than it takes to hand it over, and has no way to write.

use super::command;
use super::cursor::Malformed;
use super::frame::Frame;
use super::frame::Keeping;
use super::frame::Literal;
use super::frame::LiteralKind;
use super::frame::Taken;
use super::reply;
use super::sasl;
use super::selected::Expunges;
use super::selected::Selected;
use super::work::Asked;
use super::work::Progress;
use super::work::Work;
use crate::catalog::Reading;
use crate::catalog::Recorded;
use crate::catalog::Unavailable;
use crate::catalog::View;
use zeroize::Zeroizing;

/// A step returns [`Event::Again`] when this much is waiting in `out`.
pub const OUTPUT_BYTES_FULL: usize = 256 * 1024;
/// Commands in a row that cannot be read before the connection ends.
const BAD_COMMANDS_MAX: u32 = 20;
/// Refused logins before the connection ends.
const REFUSED_LOGINS_MAX: u32 = 5;

/// What a session must know of its surroundings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in the greeting.
    pub hostname: String,
    /// Where the connection stands.
    pub tls: TlsState,
}

/// TLS on this connection. Nobody logs in without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsState {
    /// Spoken.
    Active,
    /// STARTTLS may be used.
    Offered,
    /// Not to be had.
    Absent,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Octets of the input that are used up.
    pub consumed: usize,
    /// What to do now. Whatever it is, write `out` first.
    pub event: Event,
}

/// What the driver does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// All input is used: read more.
    Read,
    /// There is more to do: call `step` again with the input that is left, even if that is none.
    Again,
    /// Handshake, then call [`Session::tls_started`]. All input is used: what came before the handshake is worth nothing.
    StartTls,
    /// Check the account, then call [`Session::authenticated`] or [`Session::refused`]; steps do nothing before.
    Authenticate(Login),
    /// Record this durably, then call [`Session::recorded`]; steps do nothing before, and nothing of it is in `out`.
    Record(Reading),
    /// Close the connection.
    Close,
}

/// What a client says who it is.
#[derive(PartialEq, Eq)]
pub struct Login {
    /// The account's name.
    pub user: String,
    /// The password, wiped when dropped.
    pub password: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such account, wrong password, or none that may read mail: the client is not told which.
    Credentials,
    /// The account is right, but no officer has unlocked the archive, or it cannot be read.
    Unavailable,
}

/// What the next line is.
pub(super) enum Phase {
    Command,
    /// The answer to `+` of AUTHENTICATE.
    Sasl(String),
    /// The driver checks a login.
    Authenticating(String),
    /// DONE.
    Idle(String),
    Closed,
}

/// One connection.
pub struct Session {
    pub(super) settings: Settings,
    pub(super) phase: Phase,
    /// There is one once logged in.
    pub(super) view: Option<Box<dyn View>>,
    pub(super) selected: Option<Selected>,
    pub(super) work: Option<Work>,
    /// What may become work once it is recorded.
    pub(super) asked: Option<Asked>,
    frame: Frame,
    /// The answer to a command that is being read past.
    refusal: Option<String>,
    bad_commands: u32,
    refused_logins: u32,
}

impl Session {
    /// A connection that was just accepted.
    pub fn new(settings: Settings) -> Session {
        Session {
            settings,
            phase: Phase::Command,
            view: None,
            selected: None,
            work: None,
            asked: None,
            frame: Frame::new(),
            refusal: None,
            bad_commands: 0,
            refused_logins: 0,
        }
    }

    /// Writes the greeting.
    pub fn greeting(&self, out: &mut Vec<u8>) {
        let text = format!("OK [{}] {} Sealpost ready", self.capabilities(), self.settings.hostname);
        reply::untagged(out, &text);
    }

    /// Takes input and appends answers to `out`. Blocks as the view does.
    pub fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        let mut consumed = 0;
        loop {
            if let Some(event) = self.advance(out) {
                return Step { consumed, event };
            }
            if consumed == input.len() {
                return Step { consumed, event: Event::Read };
            }
            let (used, taken) = self.frame.take(&input[consumed..]);
            consumed += used;
            match self.on_taken(taken, out) {
                None => {}
                Some(Event::StartTls) => return Step { consumed: input.len(), event: Event::StartTls },
                Some(event) => return Step { consumed, event },
            }
        }
    }

    /// What is to be done before more input is looked at.
    fn advance(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        match self.phase {
            Phase::Closed => return Some(Event::Close),
            Phase::Authenticating(_) => return Some(Event::Read),
            _ if self.asked.is_some() => return Some(Event::Read),
            _ => {}
        }
        if out.len() >= OUTPUT_BYTES_FULL || self.step_work(out) == Progress::Again {
            return Some(Event::Again);
        }
        None
    }

    fn step_work(&mut self, out: &mut Vec<u8>) -> Progress {
        let Some(mut work) = self.work.take() else { return Progress::Done };
        let (Some(selected), Some(view)) = (&mut self.selected, &self.view) else { return Progress::Done };
        match work.run(selected, view.as_ref(), out) {
            Ok(Progress::Again) => {
                self.work = Some(work);
                return Progress::Again;
            }
            Ok(Progress::Done) => {
                self.finish(work.tag(), work.result(), Expunges::Held, out);
            }
            Err(e) => reply::tagged(out, work.tag(), unavailable(&e)),
        }
        Progress::Done
    }

    /// The tagged answer, and before it what is new.
    pub(super) fn finish(&mut self, tag: &str, result: &str, expunges: Expunges, out: &mut Vec<u8>) {
        let refreshed = match (&mut self.selected, &self.view) {
            (Some(selected), Some(view)) => selected.refresh(view.as_ref(), expunges, out),
            _ => Ok(()),
        };
        match refreshed {
            Ok(()) => reply::tagged(out, tag, result),
            Err(e) => reply::tagged(out, tag, unavailable(&e)),
        }
    }

    fn on_taken(&mut self, taken: Taken, out: &mut Vec<u8>) -> Option<Event> {
        match taken {
            Taken::More => None,
            Taken::Announced(literal) => {
                self.on_literal(literal, out);
                None
            }
            Taken::Complete => self.on_complete(out),
            Taken::Lost => Some(self.bye("A literal is too large", out)),
        }
    }

    /// Says `+`, or no before the client sends what would be refused anyway: a message to APPEND, a password in the clear.
    fn on_literal(&mut self, literal: Literal, out: &mut Vec<u8>) {
        match (self.literal_refusal(literal), literal.kind) {
            (None, kind) => {
                self.frame.accept(literal);
                if kind == LiteralKind::Synchronizing {
                    out.extend_from_slice(b"+ OK\r\n");
                }
            }
            (Some(refusal), LiteralKind::NonSynchronizing) => {
                self.refusal = Some(refusal);
                self.frame.swallow(literal);
            }
            (Some(refusal), LiteralKind::Synchronizing) => {
                self.frame.clear();
                self.after_refusal(&refusal, out);
            }
        }
    }

    fn literal_refusal(&self, literal: Literal) -> Option<String> {
        let Ok((tag, name)) = command::head(self.frame.octets()) else {
            return Some(format!("* {}", reply::BAD_TAG));
        };
        let text = match name.as_str() {
            _ if !matches!(self.phase, Phase::Command) => reply::BAD_LITERAL,
            "APPEND" if self.view.is_none() => reply::BAD_NOT_LOGGED_IN,
            "APPEND" => reply::NO_PERMISSION,
            "LOGIN" if self.settings.tls != TlsState::Active => reply::NO_PRIVACY,
            _ if !self.frame.has_room(literal) => reply::BAD_TOO_LONG,
            _ => return None,
        };
        Some(format!("{tag} {text}"))
    }

    fn after_refusal(&mut self, refusal: &str, out: &mut Vec<u8>) {
        if !matches!(self.phase, Phase::Closed) {
            self.phase = Phase::Command;
        }
        out.extend_from_slice(refusal.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn on_complete(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let octets = Zeroizing::new(self.frame.octets().to_vec());
        let keeping = self.frame.keeping();
        self.frame.clear();
        if let Some(refusal) = self.refusal.take() {
            self.after_refusal(&refusal, out);
            return None;
        }
        match std::mem::replace(&mut self.phase, Phase::Command) {
            _ if keeping == Keeping::Nothing => self.bad(&octets, reply::BAD_TOO_LONG, out),
            Phase::Sasl(tag) => self.on_sasl(tag, &octets, out),
            Phase::Idle(tag) => self.on_done(&tag, &octets, out),
            _ => self.on_command(&octets, out),
        }
    }

    fn on_command(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        match (command::head(octets), command::parse(octets)) {
            (Ok((tag, _)), Ok(command)) => {
                self.bad_commands = 0;
                self.execute(tag, command, command::untagged(octets), out)
            }
            (_, Err(Malformed(why))) => self.bad(octets, &format!("BAD Syntax: {why}"), out),
            (Err(Malformed(why)), _) => self.bad(octets, &format!("BAD Syntax: {why}"), out),
        }
    }

    /// Answers what cannot be read; too much of it ends the session.
    fn bad(&mut self, octets: &[u8], text: &str, out: &mut Vec<u8>) -> Option<Event> {
        match command::head(octets) {
            Ok((tag, _)) => reply::tagged(out, &tag, text),
            Err(_) => reply::untagged(out, text),
        }
        self.bad_commands += 1;
        (self.bad_commands >= BAD_COMMANDS_MAX).then(|| self.bye("Too many invalid commands", out))
    }

    fn on_sasl(&mut self, tag: String, line: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        if line == b"*" {
            reply::tagged(out, &tag, "BAD Authentication cancelled");
            return None;
        }
        self.authenticate_plain(tag, line, out)
    }

    /// Hands over what SASL PLAIN (RFC 4616) carries.
    pub(super) fn authenticate_plain(&mut self, tag: String, response: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        match sasl::plain(response) {
            Ok(login) => Some(self.authenticate(tag, login)),
            Err(text) => {
                reply::tagged(out, &tag, text);
                None
            }
        }
    }

    pub(super) fn authenticate(&mut self, tag: String, login: Login) -> Event {
        self.phase = Phase::Authenticating(tag);
        Event::Authenticate(login)
    }

    fn on_done(&mut self, tag: &str, line: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        if line.eq_ignore_ascii_case(b"DONE") {
            self.finish(tag, "OK IDLE completed", Expunges::Allowed, out);
            return None;
        }
        reply::tagged(out, tag, "BAD DONE was expected");
        None
    }

    /// The login was right: `view` shows what the account may see.
    pub fn authenticated(&mut self, view: Box<dyn View>, out: &mut Vec<u8>) {
        let Some(tag) = self.end_authenticating() else { return };
        self.view = Some(view);
        self.refused_logins = 0;
        reply::tagged(out, &tag, &format!("OK [{}] Logged in", self.capabilities()));
    }

    /// The login was not right, or there is nothing to see now. Too many end the session: the next step says so.
    pub fn refused(&mut self, refusal: Refusal, out: &mut Vec<u8>) {
        let Some(tag) = self.end_authenticating() else { return };
        let text = match refusal {
            Refusal::Credentials => reply::NO_CREDENTIALS,
            Refusal::Unavailable => reply::NO_UNAVAILABLE,
        };
        reply::tagged(out, &tag, text);
        self.refused_logins += 1;
        if self.refused_logins >= REFUSED_LOGINS_MAX {
            self.bye("Too many refused logins", out);
        }
    }

    /// What the last [`Event::Record`] asked for is recorded, and the next steps show it; or it is not, and they refuse it.
    pub fn recorded(&mut self, recorded: Recorded, out: &mut Vec<u8>) {
        let Some(asked) = self.asked.take() else { return };
        match recorded {
            Recorded::Durable => self.work = Some(asked.recorded()),
            Recorded::Failed => reply::tagged(out, asked.tag(), reply::NO_UNAVAILABLE),
        }
    }

    /// The tag of the login that was being checked, unless the session has ended meanwhile.
    fn end_authenticating(&mut self) -> Option<String> {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Authenticating(tag) => Some(tag),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// The handshake is done.
    pub fn tls_started(&mut self) {
        self.settings.tls = TlsState::Active;
        self.frame.clear();
    }

    /// Whether somebody is logged in: idle limits differ (RFC 3501 section 5.4 wants 30 minutes then).
    pub fn is_authenticated(&self) -> bool {
        self.view.is_some()
    }

    /// Whether the client waits in IDLE: call [`Session::tick`] when new mail may be there.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle(_))
    }

    /// In IDLE, tells the client what is new. [`Event::Close`] when the archive can no longer be read.
    pub fn tick(&mut self, out: &mut Vec<u8>) -> Event {
        let (Phase::Idle(_), Some(selected), Some(view)) = (&self.phase, &mut self.selected, &self.view) else {
            return Event::Read;
        };
        match selected.refresh(view.as_ref(), Expunges::Allowed, out) {
            Ok(()) => Event::Read,
            Err(e) => {
                unavailable(&e);
                self.bye("The archive is not available now", out)
            }
        }
    }

    /// Ends the session from our side: shutdown, time limit, end of an unlock. Then write `out` and close. In the middle of an
    /// answer nothing may be said, and nothing is.
    pub fn bye(&mut self, text: &str, out: &mut Vec<u8>) -> Event {
        if self.work.is_none() && !matches!(self.phase, Phase::Closed) {
            reply::untagged(out, &format!("BYE {text}"));
        }
        self.work = None;
        self.asked = None;
        self.phase = Phase::Closed;
        Event::Close
    }
}

/// What a client is told when the view cannot answer; the cause goes to the log.
pub(super) fn unavailable(cause: &Unavailable) -> &'static str {
    tracing::warn!(%cause, "the archive view did not answer an IMAP session");
    reply::NO_UNAVAILABLE
}
