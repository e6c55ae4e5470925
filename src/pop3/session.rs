//! One POP3 session: octets in, octets out, and what the driver must do between (RFC 1939 section 3).
//! Does no I/O, holds no password longer than it takes to hand it over, and has no way to write.

use super::command;
use super::command::COMMAND_BYTES_MAX;
use super::command::Command;
use super::maildrop::Maildrop;
use super::sending;
use super::sending::Column;
use super::sending::Progress;
use super::sending::Sending;
use crate::catalog::Unavailable;
use crate::catalog::View;
use zeroize::Zeroize;
use zeroize::Zeroizing;

/// A step returns [`Event::Again`] when this much is waiting in `out`.
pub const OUTPUT_BYTES_FULL: usize = 256 * 1024;
/// Lines in a row that cannot be read before the connection ends.
const BAD_COMMANDS_MAX: u32 = 20;
/// Refused logins before the connection ends.
const REFUSED_LOGINS_MAX: u32 = 5;

// Answers in one table; codes of RFC 2449 and 3206. Public text names no file, rule or mechanism.
const OK: &str = "+OK";
const ERR_STATE: &str = "-ERR Not now";
const ERR_PRIVACY: &str = "-ERR Start TLS first";
const ERR_CREDENTIALS: &str = "-ERR [AUTH] User name or password is wrong";
const ERR_UNAVAILABLE: &str = "-ERR [SYS/TEMP] The archive is not available now";
const ERR_NUMBER: &str = "-ERR No such message";
const ERR_TOO_LONG: &str = "-ERR The line is too long";

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
    Loading(Box<dyn View>),
    Transaction(Box<dyn View>),
    Closed,
}

/// One connection.
pub struct Session {
    settings: Settings,
    phase: Phase,
    maildrop: Maildrop,
    sending: Option<Sending>,
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
            maildrop: Maildrop::default(),
            sending: None,
            line: Vec::new(),
            line_length: LineLength::Fits,
            bad_commands: 0,
            refused_logins: 0,
        }
    }

    /// Writes the greeting.
    pub fn greeting(&self, out: &mut Vec<u8>) {
        answer(out, &format!("{OK} {} Sealpost ready", self.settings.hostname));
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
        match &self.phase {
            Phase::Closed => return Some(Event::Close),
            Phase::Authenticating => return Some(Event::Read),
            Phase::Loading(_) => return self.load(out),
            Phase::Authorization(_) | Phase::Transaction(_) => {}
        }
        if out.len() >= OUTPUT_BYTES_FULL {
            return Some(Event::Again);
        }
        let mut sending = self.sending.take()?;
        if sending.run(&self.maildrop, out) == Progress::Done {
            return None;
        }
        self.sending = Some(sending);
        Some(Event::Again)
    }

    /// Reads some more of the maildrop, and answers PASS when it is whole.
    fn load(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let Phase::Loading(view) = std::mem::replace(&mut self.phase, Phase::Authorization(None)) else { return None };
        match self.maildrop.load(view.as_ref()) {
            Ok(true) => {
                let (count, bytes) = self.maildrop.totals();
                answer(out, &format!("{OK} {count} messages ({bytes} octets)"));
                self.phase = Phase::Transaction(view);
                None
            }
            Ok(false) => {
                self.phase = Phase::Loading(view);
                Some(Event::Again)
            }
            Err(e) => {
                answer(out, unavailable(&e));
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
            _ => Err(ERR_TOO_LONG),
        };
        match parsed {
            Ok(command) => {
                self.bad_commands = 0;
                self.execute(command, out)
            }
            Err(text) => {
                answer(out, text);
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
            (Command::User(name), Phase::Authorization(user)) => match self.settings.tls {
                TlsState::Active => {
                    *user = Some(name);
                    Ok("+OK Now the password".to_owned())
                }
                _ => Err(ERR_PRIVACY),
            },
            (Command::Pass(password), Phase::Authorization(user)) => match user.take() {
                Some(user) => {
                    self.phase = Phase::Authenticating;
                    return Some(Event::Authenticate(Login { user, password }));
                }
                None => Err(ERR_STATE),
            },
            (command, Phase::Transaction(view)) => {
                transaction(command, view.as_ref(), &mut self.maildrop, &mut self.sending)
            }
            _ => Err(ERR_STATE),
        };
        match result {
            Ok(text) => answer(out, &text),
            Err(text) => answer(out, text),
        }
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
            answer(out, ERR_STATE);
            return None;
        }
        answer(out, "+OK Begin TLS now");
        Some(Event::StartTls)
    }

    fn quit(&mut self, out: &mut Vec<u8>) -> Event {
        answer(out, "+OK Goodbye");
        self.phase = Phase::Closed;
        Event::Close
    }

    /// The login was right: `view` shows what the account may see. PASS is answered in the next steps.
    pub fn authenticated(&mut self, view: Box<dyn View>, out: &mut Vec<u8>) {
        if !matches!(self.phase, Phase::Authenticating) {
            return;
        }
        self.refused_logins = 0;
        match Maildrop::find(view.as_ref()) {
            Ok(maildrop) => {
                self.maildrop = maildrop;
                self.phase = Phase::Loading(view);
            }
            Err(e) => {
                answer(out, unavailable(&e));
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
        answer(
            out,
            match refusal {
                Refusal::Credentials => ERR_CREDENTIALS,
                Refusal::Unavailable => ERR_UNAVAILABLE,
            },
        );
        if self.refused_logins >= REFUSED_LOGINS_MAX {
            self.phase = Phase::Closed;
        }
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
        if self.sending.is_none() && !matches!(self.phase, Phase::Closed) {
            answer(out, &format!("-ERR [SYS/TEMP] {text}"));
        }
        self.sending = None;
        self.phase = Phase::Closed;
        Event::Close
    }
}

/// The commands of the TRANSACTION state (RFC 1939 section 5).
fn transaction(
    command: Command,
    view: &dyn View,
    maildrop: &mut Maildrop,
    sending: &mut Option<Sending>,
) -> Result<String, &'static str> {
    let listing = |column, number, maildrop: &Maildrop, sending: &mut Option<Sending>| match number {
        Some(number) => sending::line(column, number, maildrop).map(|line| format!("{OK} {line}")).ok_or(ERR_NUMBER),
        None => {
            *sending = Some(Sending::listing(column));
            Ok(OK.to_owned())
        }
    };
    match command {
        Command::Stat => {
            let (count, bytes) = maildrop.totals();
            Ok(format!("{OK} {count} {bytes}"))
        }
        Command::List(number) => listing(Column::Size, number, maildrop, sending),
        Command::Uidl(number) => listing(Column::Id, number, maildrop, sending),
        Command::Retr(number) => {
            let octets = octets(number, view, maildrop)?;
            let text = format!("{OK} {} octets", octets.len());
            *sending = Some(Sending::message(octets));
            Ok(text)
        }
        Command::Top(number, lines) => {
            let octets = octets(number, view, maildrop)?;
            let (_, body) = crate::mail::header::split(&octets);
            let body = usize::try_from(body.start).unwrap_or(usize::MAX);
            *sending = Some(Sending::message(sending::top(octets, body, lines)));
            Ok(OK.to_owned())
        }
        Command::Dele(number) if maildrop.hide(number) => Ok("+OK Hidden for this session".to_owned()),
        Command::Dele(_) => Err(ERR_NUMBER),
        Command::Rset => {
            maildrop.show_all();
            Ok(OK.to_owned())
        }
        Command::Noop => Ok(OK.to_owned()),
        _ => Err(ERR_STATE),
    }
}

fn octets(number: usize, view: &dyn View, maildrop: &Maildrop) -> Result<Vec<u8>, &'static str> {
    let entry = maildrop.shown(number).ok_or(ERR_NUMBER)?;
    maildrop.octets(view, entry).map_err(|e| unavailable(&e))?.ok_or(ERR_NUMBER)
}

fn answer(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What a client is told when the view cannot answer; the cause goes to the log.
fn unavailable(cause: &Unavailable) -> &'static str {
    tracing::warn!(%cause, "the archive view did not answer a POP3 session");
    ERR_UNAVAILABLE
}
