//! The session with a next hop: greeting, EHLO, STARTTLS, transactions, QUIT. Nothing that arrives where nothing is awaited is
//! ever taken for an answer.

use super::answer::{Answer, Answers, Class, Nonsense};
use super::capabilities::{Capabilities, Extension};
use super::content::Survey;
use super::login::{self, Credentials, Login};
use super::outcome::{Outcome, Verdict};
use super::transaction::{Command, Hop, Left, Transaction, Turn};
use crate::mail::Envelope;
use crate::smtp::Dialect;
use crate::smtp::limits;
use std::time::Duration;

/// What the driver has to do next.
#[derive(Debug)]
pub enum Event {
    /// The next hop is ready: [`Client::start_tls`], [`Client::deliver`] or [`Client::quit`].
    Ready,
    /// Handshake, then [`Client::tls_started`].
    StartTls,
    /// The next hop does not start TLS after all; it is still ready, in the clear.
    NoStartTls(Answer),
    /// Write the message: [`Client::content`] for each chunk, then [`Client::end_content`].
    Content,
    /// The transaction is over.
    Done(Report),
    /// The session is over before or between transactions: drop the connection.
    Broken(Failure),
    /// QUIT was answered: drop the connection.
    Closed,
}

/// What a transaction came to.
#[derive(Debug)]
pub struct Report {
    /// One outcome per recipient, in the order of the envelope.
    pub outcomes: Vec<Outcome>,
    /// What the connection is still good for.
    pub next: Next,
    /// How far the transaction came.
    pub progress: Progress,
    /// Whether BDAT was understood.
    pub chunking: Chunking,
}

/// How far a transaction came; before MAIL is taken, what goes wrong says nothing about the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// MAIL was not taken.
    Nothing,
    /// MAIL was taken.
    MailTaken,
}

/// Whether a next hop that offers CHUNKING knows BDAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunking {
    /// Nothing was heard to the contrary.
    Fine,
    /// It does not: the recipients are to be offered again, over another connection without it
    /// ([`Client::forget_chunking`]).
    Refused,
}

/// What a connection is good for after a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another transaction, or QUIT.
    Reuse,
    /// Nothing: drop it.
    Close,
}

/// Why a session is over outside a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The next hop said no: to us, or to everybody just now.
    Refused(Answer),
    /// It does not speak SMTP as it should.
    Misbehaved(String),
    /// The connection ended, in the driver's words.
    Lost(String),
}

impl Report {
    /// Of a connection that is no more.
    pub fn lost(outcomes: Vec<Outcome>) -> Report {
        Report { outcomes, next: Next::Close, progress: Progress::Nothing, chunking: Chunking::Fine }
    }
}

impl Failure {
    /// What it means for those who wait to be delivered: never more than a deferral, because it says nothing about them.
    pub fn outcome(&self) -> Outcome {
        match self {
            Failure::Refused(answer) => Outcome { verdict: Verdict::Deferred, ..Outcome::of(answer) },
            Failure::Misbehaved(why) => Outcome::here(Verdict::Deferred, "4.5.0", why.clone()),
            Failure::Lost(why) => Outcome::here(Verdict::Deferred, "4.4.2", why.clone()),
        }
    }
}

/// What is waited for; each has its own timeout (RFC 5321 section 4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The greeting, or the reply to EHLO, STARTTLS or RSET.
    Initial,
    /// The reply to MAIL.
    Mail,
    /// The reply to a RCPT.
    Rcpt,
    /// The 354.
    DataStart,
    /// The driver, who writes content.
    DataBlock,
    /// The reply to the final dot.
    DataDone,
    /// The reply to QUIT.
    Quit,
    /// The driver.
    Idle,
}

impl Stage {
    /// How long to wait unless the configuration says otherwise.
    pub fn patience(self) -> Duration {
        match self {
            Stage::Initial | Stage::Idle => limits::INITIAL,
            Stage::Mail => limits::MAIL,
            Stage::Rcpt => limits::RCPT,
            Stage::DataStart => limits::DATA_START,
            Stage::DataBlock => limits::DATA_BLOCK,
            Stage::DataDone => limits::DATA_DONE,
            Stage::Quit => limits::QUIT,
        }
    }
}

/// What is known of who the next hop is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: there is no TLS.
    #[default]
    Clear,
    /// Nothing: its certificate was not checked.
    Unverified,
    /// It has a certificate for its name, from an authority that the driver trusts.
    Verified,
}

#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    Ready,
    StartTls,
    Handshake,
    Login(Login),
    Transaction(Box<Transaction>),
    Quit,
    Over,
}

/// One connection to a next hop.
#[derive(Debug)]
pub struct Client {
    name: String,
    dialect: Dialect,
    state: State,
    answers: Answers,
    capabilities: Capabilities,
    trust: Trust,
    left: Left,
    answers_heard: u64,
}

impl Client {
    /// A client that calls itself `name` (a domain or an address literal), before the greeting.
    pub fn new(name: impl Into<String>, dialect: Dialect) -> Client {
        Client {
            name: name.into(),
            dialect,
            state: State::Greeting,
            answers: Answers::default(),
            capabilities: Capabilities::default(),
            trust: Trust::Clear,
            left: Left::Nothing,
            answers_heard: 0,
        }
    }

    /// Takes octets of the next hop, all of them. What is to be sent is appended to `out`; send it before waiting for more.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        let mut rest = input;
        while !rest.is_empty() {
            let (used, answer) = match self.answers.next(rest) {
                Ok(read) => read,
                Err(nonsense) => return Some(self.talks_nonsense(nonsense)),
            };
            rest = &rest[used..];
            self.answers_heard += u64::from(answer.is_some());
            let event = answer.and_then(|answer| self.hear(answer, out));
            if let Some(event) = event {
                return Some(self.alone(event, rest));
            }
        }
        None
    }

    fn talks_nonsense(&mut self, nonsense: Nonsense) -> Event {
        self.misbehaved(&nonsense.to_string())
    }

    /// Events come when nothing is awaited any more. Octets behind them are no answer: they were injected in front of TLS, or
    /// the replies are out of step.
    fn alone(&mut self, event: Event, rest: &[u8]) -> Event {
        if rest.is_empty() {
            return event;
        }
        match event {
            Event::Done(report) => {
                self.state = State::Over;
                Event::Done(Report { next: Next::Close, ..report })
            }
            Event::Broken(_) | Event::Closed => event,
            Event::Ready | Event::StartTls | Event::NoStartTls(_) | Event::Content => {
                self.misbehaved("octets behind a reply that ends its turn")
            }
        }
    }

    fn hear(&mut self, answer: Answer, out: &mut Vec<u8>) -> Option<Event> {
        match &mut self.state {
            State::Greeting if answer.code() == 220 => {
                self.hello(out);
                None
            }
            State::Ehlo if answer.class() == Class::Positive => {
                self.capabilities = Capabilities::parse(&answer);
                self.state = State::Ready;
                Some(Event::Ready)
            }
            State::Ehlo if answer.class() == Class::Permanent && self.dialect == Dialect::Smtp => {
                self.state = State::Helo;
                self.command("HELO", out);
                None
            }
            State::Helo if answer.class() == Class::Positive => {
                self.state = State::Ready;
                Some(Event::Ready)
            }
            State::StartTls if answer.code() == 220 => {
                self.state = State::Handshake;
                Some(Event::StartTls)
            }
            State::StartTls if answer.class() != Class::Positive && answer.code() != 421 => {
                self.state = State::Ready;
                Some(Event::NoStartTls(answer))
            }
            State::Quit => {
                self.state = State::Over;
                Some(Event::Closed)
            }
            State::Login(login) => match login.hear(&answer, out) {
                login::Turn::Wait => None,
                login::Turn::Done => {
                    self.state = State::Ready;
                    Some(Event::Ready)
                }
                login::Turn::Refused => Some(self.unexpected(answer)),
            },
            State::Transaction(transaction) => {
                let turn = transaction.hear(&answer, out);
                self.turn(turn)
            }
            State::Greeting
            | State::Ehlo
            | State::Helo
            | State::Ready
            | State::StartTls
            | State::Handshake
            | State::Over => Some(self.unexpected(answer)),
        }
    }

    /// A refusal ends the session; anything else where it does not belong is worse.
    fn unexpected(&mut self, answer: Answer) -> Event {
        match answer.class() {
            Class::Temporary | Class::Permanent => self.break_off(Failure::Refused(answer)),
            Class::Positive | Class::Intermediate => self.misbehaved(&format!("unexpected reply {answer}")),
        }
    }

    fn turn(&mut self, turn: Turn) -> Option<Event> {
        match turn {
            Turn::Wait => None,
            Turn::Content => Some(Event::Content),
            Turn::Done => Some(self.done(Next::Reuse)),
            Turn::Hopeless => Some(self.done(Next::Close)),
            Turn::Nonsense(what) => Some(self.misbehaved(what)),
        }
    }

    fn done(&mut self, next: Next) -> Event {
        let state = match next {
            Next::Reuse => State::Ready,
            Next::Close => State::Over,
        };
        match std::mem::replace(&mut self.state, state) {
            State::Transaction(transaction) => {
                self.left = transaction.left();
                let (progress, chunking) = (transaction.progress(), transaction.chunking());
                Event::Done(Report { outcomes: transaction.into_outcomes(), next, progress, chunking })
            }
            _ => self.break_off(Failure::Lost("no transaction".to_owned())),
        }
    }

    fn misbehaved(&mut self, what: &str) -> Event {
        let text = format!("next hop misbehaved: {what}");
        if let State::Transaction(transaction) = &mut self.state {
            transaction.lose(&text);
            return self.done(Next::Close);
        }
        self.break_off(Failure::Misbehaved(text))
    }

    fn break_off(&mut self, failure: Failure) -> Event {
        self.state = State::Over;
        Event::Broken(failure)
    }

    fn hello(&mut self, out: &mut Vec<u8>) {
        self.state = State::Ehlo;
        self.capabilities = Capabilities::default();
        let word = match self.dialect {
            Dialect::Smtp => "EHLO",
            Dialect::Lmtp => "LHLO",
        };
        self.command(word, out);
    }

    fn command(&self, word: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{word} {}\r\n", self.name).as_bytes());
    }

    /// What the next hop offered in its last EHLO reply.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// When ready: asks for TLS, whether offered or not. It answers with [`Event::StartTls`] or [`Event::NoStartTls`].
    pub fn start_tls(&mut self, out: &mut Vec<u8>) {
        if matches!(self.state, State::Ready) {
            self.state = State::StartTls;
            out.extend_from_slice(b"STARTTLS\r\n");
        }
    }

    /// TLS is up: what was heard before is forgotten and asked again (RFC 3207 section 4.2).
    pub fn tls_started(&mut self, trust: Trust, out: &mut Vec<u8>) {
        if matches!(self.state, State::Handshake) {
            self.trust = trust;
            self.answers = Answers::default();
            self.left = Left::Nothing;
            self.hello(out);
        }
    }

    /// Content goes by DATA although CHUNKING was offered.
    pub fn forget_chunking(&mut self) {
        self.capabilities.forget(Extension::Chunking);
    }

    /// When ready: logs in. It answers with [`Event::Ready`], or the session is broken; at once when there is no TLS or nothing
    /// offered that this client knows.
    pub fn login(&mut self, credentials: Credentials, out: &mut Vec<u8>) -> Option<Event> {
        if !matches!(self.state, State::Ready) {
            return None;
        }
        if self.trust == Trust::Clear {
            let why = "credentials are never sent without TLS".to_owned();
            return Some(self.break_off(Failure::Misbehaved(why)));
        }
        let Some(mechanism) = self.capabilities.mechanism() else {
            let why =
                "next hop offers neither AUTH PLAIN nor AUTH LOGIN, which the route's credentials need".to_owned();
            return Some(self.break_off(Failure::Misbehaved(why)));
        };
        self.state = State::Login(Login::begin(mechanism, credentials, out));
        None
    }

    /// When ready: begins a transaction. `content` describes the octets that [`Client::content`] will be given. Returns an
    /// event at once when this next hop cannot take it.
    pub fn deliver(&mut self, envelope: Envelope, content: Survey, out: &mut Vec<u8>) -> Option<Event> {
        if !matches!(self.state, State::Ready) {
            let outcome = Outcome::here(Verdict::Deferred, "4.4.2", "session not ready");
            let outcomes = vec![outcome; envelope.recipients.len()];
            return Some(Event::Done(Report::lost(outcomes)));
        }
        let hop = Hop { capabilities: self.capabilities.clone(), dialect: self.dialect, trust: self.trust };
        let mut transaction = Transaction::new(envelope, content, hop, self.left);
        if let Some(obstacle) = transaction.obstacle() {
            transaction.settle(&obstacle);
            self.state = State::Transaction(Box::new(transaction));
            return Some(self.done(Next::Reuse));
        }
        let out_of_step = self.answers.is_inside();
        if !out_of_step {
            transaction.send(out);
        }
        self.state = State::Transaction(Box::new(transaction));
        out_of_step.then(|| self.misbehaved("a reply that was not asked for"))
    }

    /// After [`Event::Content`]: appends a chunk of the message, dots doubled. An event means that the content cannot be sent:
    /// drop the connection at once, so that the next hop drops the message too.
    pub fn content(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        let State::Transaction(transaction) = &mut self.state else { return None };
        let unsendable = transaction.content(chunk, out).err()?;
        transaction.cannot_send(unsendable);
        Some(self.done(Next::Close))
    }

    /// After the last chunk: appends the final dot. An event means as with [`Client::content`].
    pub fn end_content(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let State::Transaction(transaction) = &mut self.state else { return None };
        let unsendable = transaction.end_content(out).err()?;
        transaction.cannot_send(unsendable);
        Some(self.done(Next::Close))
    }

    /// When ready: says goodbye.
    pub fn quit(&mut self, out: &mut Vec<u8>) {
        if matches!(self.state, State::Ready) {
            self.state = State::Quit;
            out.extend_from_slice(b"QUIT\r\n");
        }
    }

    /// The connection ended, timed out or is given up, for a reason in the driver's words. Recipients without an outcome are
    /// deferred; in doubt if the final dot was written.
    pub fn lose(&mut self, why: &str) -> Event {
        match &mut self.state {
            State::Transaction(transaction) => {
                transaction.lose(why);
                self.done(Next::Close)
            }
            State::Quit => {
                self.state = State::Over;
                Event::Closed
            }
            _ => self.break_off(Failure::Lost(why.to_owned())),
        }
    }

    /// What it means for a recipient that the connection had ended before a transaction began.
    pub fn lost(&self, why: &str) -> Outcome {
        Failure::Lost(why.to_owned()).outcome()
    }

    /// What is waited for.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Greeting | State::Ehlo | State::Helo | State::StartTls | State::Login(_) => Stage::Initial,
            State::Ready | State::Handshake | State::Over => Stage::Idle,
            State::Quit => Stage::Quit,
            State::Transaction(transaction) => match transaction.awaits() {
                Some(Command::Rset) => Stage::Initial,
                Some(Command::Mail) => Stage::Mail,
                Some(Command::Rcpt(_)) => Stage::Rcpt,
                Some(Command::Data | Command::Bdat) => Stage::DataStart,
                Some(Command::Dot | Command::DotFor(_) | Command::LoneDot) => Stage::DataDone,
                None => Stage::DataBlock,
            },
        }
    }

    /// How many replies came so far: a driver gives each its own time.
    pub fn answers_heard(&self) -> u64 {
        self.answers_heard
    }

    /// Whether STARTTLS was offered.
    pub fn offers_tls(&self) -> bool {
        self.capabilities.has(Extension::StartTls)
    }
}

#[cfg(test)]
mod tests;
