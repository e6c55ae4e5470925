//! One POP3 session: octets in, octets out, and what the driver must do between (RFC 1939 section 3).
//! Does no I/O, holds no password longer than it takes to hand it over, and has no way to write.

use super::command;
use super::command::COMMAND_BYTES_MAX;
use super::command::Command;
use super::reply;
use super::sending::Progress;
use super::transaction::Outcome;
use super::transaction::Transaction;
use crate::catalog::Reading;
use crate::catalog::Recorded;
use crate::catalog::View;
use zeroize::Zeroize;
use zeroize::Zeroizing;

/// A step returns [`Event::Again`] when this much is waiting in `out`.
pub const OUTPUT_BYTES_FULL: usize = 256 * 1024;
/// Lines in a row that cannot be read before the connection ends.
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
    /// STLS may be used.
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

enum Phase {
    /// Before USER, or between USER and PASS.
    Authorization(Option<String>),
    /// The driver checks a login.
    Authenticating,
    /// The maildrop is being read; PASS is answered when it is.
    Loading(Transaction),
    Transaction(Transaction),
    Closed,
}

/// One connection.
pub struct Session {
    settings: Settings,
    phase: Phase,
    line: Vec<u8>,
    /// Whether the line outgrew its bound and is only read past.
    line_length: LineLength,
    bad_commands: u32,
    refused_logins: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineLength {
    Fits,
    Exceeded,
}

impl Session {
    /// A connection that was just accepted.
    pub fn new(settings: Settings) -> Session {
        Session {
            settings,
            phase: Phase::Authorization(None),
            line: Vec::new(),
            line_length: LineLength::Fits,
            bad_commands: 0,
            refused_logins: 0,
        }
    }

    /// Writes the greeting.
    pub fn greeting(&self, out: &mut Vec<u8>) {
        reply::line(out, &format!("+OK {} Sealpost ready", self.settings.hostname));
    }

    /// Takes input and appends answers to `out`. Blocks as the view does.
    pub fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        let mut consumed = 0;
        loop {
            if let Some(event) = self.advance(out) {
                return Step { consumed, event };
            }
            let rest = &input[consumed..];
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                self.keep(rest);
                return Step { consumed: input.len(), event: Event::Read };
            };
            self.keep(&rest[..end]);
            consumed += end + 1;
            match self.on_line(out) {
                None => {}
                Some(Event::StartTls) => return Step { consumed: input.len(), event: Event::StartTls },
                Some(event) => return Step { consumed, event },
            }
        }
    }

    fn keep(&mut self, octets: &[u8]) {
        // One more for the CR.
        if self.line.len() + octets.len() > COMMAND_BYTES_MAX + 1 {
            self.line_length = LineLength::Exceeded;
        } else {
            self.line.extend_from_slice(octets);
        }
    }

    /// What is to be done before more input is looked at.
    fn advance(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        if out.len() >= OUTPUT_BYTES_FULL {
            return Some(Event::Again);
        }
        match &mut self.phase {
            Phase::Closed => Some(Event::Close),
            Phase::Authenticating => Some(Event::Read),
            Phase::Loading(_) => self.load(out),
            Phase::Transaction(transaction) if transaction.is_asking() => Some(Event::Read),
            Phase::Transaction(transaction) => (transaction.advance(out) == Progress::Again).then_some(Event::Again),
            Phase::Authorization(_) => None,
        }
    }

    /// Reads some more of the maildrop, and answers PASS when it is whole.
    fn load(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let phase = std::mem::replace(&mut self.phase, Phase::Authorization(None));
        let Phase::Loading(mut transaction) = phase else { return None };
        match transaction.load() {
            Ok(None) => {
                self.phase = Phase::Loading(transaction);
                Some(Event::Again)
            }
            Ok(Some(text)) => {
                reply::line(out, &text);
                self.phase = Phase::Transaction(transaction);
                None
            }
            Err(e) => {
                reply::line(out, reply::unavailable(&e));
                None
            }
        }
    }

    fn on_line(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let mut line = Zeroizing::new(std::mem::take(&mut self.line));
        if line.ends_with(b"\r") {
            line.pop();
        }
        let length = std::mem::replace(&mut self.line_length, LineLength::Fits);
        let parsed = match length {
            LineLength::Fits if line.len() <= COMMAND_BYTES_MAX => command::parse(&line),
            _ => Err(reply::ERR_TOO_LONG),
        };
        match parsed {
            Ok(command) => {
                self.bad_commands = 0;
                self.execute(command, out)
            }
            Err(text) => {
                reply::line(out, text);
                self.bad_commands += 1;
                (self.bad_commands >= BAD_COMMANDS_MAX).then(|| self.bye("Too many invalid commands", out))
            }
        }
    }

    fn execute(&mut self, command: Command, out: &mut Vec<u8>) -> Option<Event> {
        let result = match (command, &mut self.phase) {
            (Command::Capa, _) => {
                out.extend_from_slice(self.capabilities().as_bytes());
                return None;
            }
            (Command::Quit, _) => return Some(self.quit(out)),
            (Command::Stls, Phase::Authorization(_)) => return self.start_tls(out),
            (Command::User(_), Phase::Authorization(_)) if self.settings.tls != TlsState::Active => {
                Err(reply::ERR_PRIVACY)
            }
            (Command::User(name), Phase::Authorization(user)) => {
                *user = Some(name);
                Ok("+OK Now the password".to_owned())
            }
            (Command::Pass(password), Phase::Authorization(user)) => match user.take() {
                Some(user) => {
                    self.phase = Phase::Authenticating;
                    return Some(Event::Authenticate(Login { user, password }));
                }
                None => Err(reply::ERR_STATE),
            },
            (command, Phase::Transaction(transaction)) => match transaction.execute(&command) {
                Outcome::Record(reading) => return Some(Event::Record(reading)),
                Outcome::Line(answered) => answered,
            },
            _ => Err(reply::ERR_STATE),
        };
        reply::line(out, result.as_deref().unwrap_or_else(|text| text));
        None
    }

    /// CAPA (RFC 2449). USER is there only where it is taken.
    fn capabilities(&self) -> String {
        let mut lines =
            vec!["+OK Capabilities", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"];
        match (&self.phase, self.settings.tls) {
            (_, TlsState::Active) => lines.push("USER"),
            (Phase::Authorization(_), TlsState::Offered) => lines.push("STLS"),
            _ => {}
        }
        lines.extend(["IMPLEMENTATION Sealpost", ".", ""]);
        lines.join("\r\n")
    }

    fn start_tls(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        if self.settings.tls != TlsState::Offered {
            reply::line(out, reply::ERR_STATE);
            return None;
        }
        reply::line(out, "+OK Begin TLS now");
        Some(Event::StartTls)
    }

    fn quit(&mut self, out: &mut Vec<u8>) -> Event {
        reply::line(out, "+OK Goodbye");
        self.phase = Phase::Closed;
        Event::Close
    }

    /// The login was right: `view` shows what the account may see. PASS is answered in the next steps.
    pub fn authenticated(&mut self, view: Box<dyn View>, out: &mut Vec<u8>) {
        if !matches!(self.phase, Phase::Authenticating) {
            return;
        }
        self.refused_logins = 0;
        match Transaction::new(view) {
            Ok(transaction) => self.phase = Phase::Loading(transaction),
            Err(e) => {
                reply::line(out, reply::unavailable(&e));
                self.phase = Phase::Authorization(None);
            }
        }
    }

    /// The login was not right, or there is nothing to see now. Too many end the session: the next step says so.
    pub fn refused(&mut self, refusal: Refusal, out: &mut Vec<u8>) {
        if !matches!(self.phase, Phase::Authenticating) {
            return;
        }
        self.phase = Phase::Authorization(None);
        self.refused_logins += 1;
        let text = match refusal {
            Refusal::Credentials => reply::ERR_CREDENTIALS,
            Refusal::Unavailable => reply::ERR_UNAVAILABLE,
        };
        reply::line(out, text);
        if self.refused_logins >= REFUSED_LOGINS_MAX {
            self.phase = Phase::Closed;
        }
    }

    /// What the last [`Event::Record`] asked for is recorded, and the next steps show it; or it is not, and is refused.
    pub fn recorded(&mut self, recorded: Recorded, out: &mut Vec<u8>) {
        let Phase::Transaction(transaction) = &mut self.phase else { return };
        if !transaction.is_asking() {
            return;
        }
        let answered = match recorded {
            Recorded::Durable => transaction.recorded(),
            Recorded::Failed => transaction.unrecorded(),
        };
        reply::line(out, answered.as_deref().unwrap_or_else(|text| text));
    }

    /// The handshake is done.
    pub fn tls_started(&mut self) {
        self.settings.tls = TlsState::Active;
        self.line.zeroize();
        // RFC 2595: what was said before is forgotten.
        self.phase = Phase::Authorization(None);
    }

    /// Whether somebody is logged in: idle limits differ (RFC 1939 wants 10 minutes then).
    pub fn is_authenticated(&self) -> bool {
        matches!(self.phase, Phase::Loading(_) | Phase::Transaction(_))
    }

    /// Ends the session from our side: shutdown, end of an unlock. Then write `out` and close. POP3 has no unasked answers, so
    /// in the middle of one nothing is said.
    pub fn bye(&mut self, text: &str, out: &mut Vec<u8>) -> Event {
        let is_midway = match &self.phase {
            Phase::Closed => true,
            Phase::Transaction(transaction) => transaction.is_sending(),
            _ => false,
        };
        if !is_midway {
            reply::line(out, &format!("-ERR [SYS/TEMP] {text}"));
        }
        self.phase = Phase::Closed;
        Event::Close
    }
}
