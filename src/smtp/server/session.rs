//! The session: which command may come when, and what the driver is asked. Never lets a command that was sent ahead of a TLS
//! handshake run behind it, and never ends a message anywhere but at its end.

use super::arguments::{Extensions, Mail};
use super::chunking::{Chunk, Chunks, Coming};
use super::content::{Content, Told};
use super::forwarding::{Origin, Peer};
use super::framing::{BareLf, Unfit};
use super::lines::{Line, Lines};
use super::login::{Exchange, Login, Scram, ScramMessage};
use super::reply;
use super::reply::Reply;
use crate::mail::{Envelope, Recipient, Tls};
use crate::smtp::Dialect;
use crate::smtp::limits;
use std::sync::Arc;

/// Whether STARTTLS is offered while the session is in the clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// Not offered, and not recognized.
    #[default]
    Absent,
    /// Offered.
    Offered,
}

/// Whether clients may log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// AUTH is not offered, and not recognized.
    #[default]
    Absent,
    /// AUTH is offered inside TLS, and refused in the clear.
    InsideTls,
}

/// What a listener's sessions have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name, in the greeting and the reply to EHLO.
    pub hostname: String,
    /// SMTP or LMTP.
    pub dialect: Dialect,
    /// Octets of a message once its dots are unstuffed; offered as SIZE.
    pub message_bytes_max: u64,
    /// Recipients of one transaction.
    pub recipients_max: usize,
    /// Whether STARTTLS is offered.
    pub starttls: StartTls,
    /// Whether clients may log in.
    pub auth: Auth,
    /// What becomes of lines that end in LF alone.
    pub bare_lf: BareLf,
    /// What becomes of content that no mail server should be sent.
    pub unfit: Unfit,
}

impl Settings {
    pub(super) fn too_large(&self) -> &'static Reply {
        match self.unfit {
            Unfit::Refused => &reply::TOO_LARGE,
            Unfit::Kept => &reply::TOO_LARGE_FOR_NOW,
        }
    }
}

/// What the driver has to know or to decide. [`Session::step`] does not go on before a question is answered.
#[derive(Debug)]
pub enum Event<'i> {
    /// MAIL: answer with [`Session::accept`] or [`Session::refuse`].
    Mail(Mail),
    /// RCPT: answer with [`Session::accept`] or [`Session::refuse`].
    Rcpt(Recipient),
    /// DATA, or the first BDAT (RFC 3030), with at least one recipient: open the draft, then answer with [`Session::accept`]
    /// (which says 354 to DATA) or [`Session::refuse`]. Each draft that was open before is to be dropped.
    Data,
    /// Octets of the message; append them to the draft. When that fails, [`Session::refuse_content`].
    Body(&'i [u8]),
    /// The message is unfit and will be refused with this reply once its end is read: drop the draft. No more of it is told.
    Discard(&'static Reply),
    /// The message is complete: answer with [`Session::finish`] or, in LMTP, [`Session::finish_each`].
    End {
        /// MAIL and all RCPTs that were accepted.
        envelope: Envelope,
        /// The protocol for `Received: ... with` (RFC 3848, RFC 6531 section 4.3).
        protocol: &'static str,
    },
    /// AUTH: check it, then answer with [`Session::authenticated`] or, after a pause, [`Session::refuse_login`].
    Authenticate(Login),
    /// AUTH SCRAM-SHA-256: answer with [`Session::challenge`], [`Session::authenticated`] or [`Session::refuse_login`].
    Scram(ScramMessage),
    /// The 220 is in `out`, and what was sent ahead is gone: handshake, then [`Session::tls_started`].
    StartTls,
    /// Send what is in `out`, then close the connection.
    Close,
}

/// How far a call of [`Session::step`] came.
#[derive(Debug)]
#[must_use]
pub struct Step<'i> {
    /// Octets of the input that are done with.
    pub consumed: usize,
    /// What happened behind them; `None`: all input is consumed, or a question is still open.
    pub event: Option<Event<'i>>,
}

/// What the next octets are, or whose turn it is.
#[derive(Debug)]
pub(super) enum Phase {
    Command,
    /// The next line is a response to a challenge.
    Response(Exchange),
    /// The driver has a question to answer.
    Asked(Question),
    /// What DATA carries.
    Content(Content),
    /// What BDAT carries.
    Chunk(Coming),
    Handshake,
    /// Told to close by the next step.
    Closing,
    Closed,
}

#[derive(Debug)]
pub(super) enum Question {
    Mail(Envelope),
    Rcpt(Recipient),
    Login,
    Data,
    /// The first of a message.
    Chunk(Chunk),
    /// For so many recipients.
    End(usize),
}

/// A client name as given, and which word gave it.
#[derive(Debug)]
pub(super) struct Hello {
    pub name: String,
    pub extensions: Extensions,
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Transaction {
    pub envelope: Envelope,
    pub refused_recipients: usize,
    pub chunks: Chunks,
}

/// One connection's session.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) phase: Phase,
    lines: Lines,
    pub(super) tls: Option<Tls>,
    pub(super) peer: Peer,
    /// What XCLIENT said; for the session.
    pub(super) client: Origin,
    /// What XFORWARD said; for a transaction.
    pub(super) forwarded: Origin,
    pub(super) hello: Option<Hello>,
    pub(super) transaction: Option<Transaction>,
    pub(super) account: Option<String>,
    pub(super) scram: Scram,
    pub(super) logins_refused: u32,
    errors: u32,
    /// Those the driver has not asked for yet.
    new_errors: u32,
    refused: u32,
}

impl Session {
    /// A session before its greeting. With implicit TLS, [`Session::tls_started`] comes first.
    pub fn new(settings: Arc<Settings>) -> Session {
        let lines = Lines::new(settings.bare_lf, limits::COMMAND_LINE_BYTES_MAX);
        Session {
            settings,
            phase: Phase::Command,
            lines,
            tls: None,
            peer: Peer::Stranger,
            client: Origin::default(),
            forwarded: Origin::default(),
            hello: None,
            transaction: None,
            account: None,
            scram: Scram::Absent,
            logins_refused: 0,
            errors: 0,
            new_errors: 0,
            refused: 0,
        }
    }

    /// Appends the 220 that opens the session.
    pub fn greeting(&self, out: &mut Vec<u8>) {
        let word = match self.settings.dialect {
            Dialect::Smtp => "ESMTP",
            Dialect::Lmtp => "LMTP",
        };
        out.extend_from_slice(format!("220 {} {word} Sealpost\r\n", self.settings.hostname).as_bytes());
    }

    /// Reads on until something happens. Replies are appended to `out`; send them when all input is consumed, before waiting
    /// for more. Call it again with what is not consumed, also when that is empty, as long as it returns an event.
    pub fn step<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> Step<'i> {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let (used, event) = match self.phase {
                Phase::Closing => {
                    self.phase = Phase::Closed;
                    (rest.len(), Some(Event::Close))
                }
                Phase::Asked(_) => return Step { consumed, event: None },
                Phase::Handshake | Phase::Closed => (rest.len(), None),
                Phase::Command | Phase::Response(_) => self.line(rest, out),
                Phase::Content(_) => self.content(rest, out),
                Phase::Chunk(_) => self.chunk(rest, out),
            };
            consumed += used;
            if matches!(self.phase, Phase::Handshake | Phase::Closing) {
                consumed = input.len();
            }
            let goes_on = match &self.phase {
                Phase::Closing => true,
                Phase::Chunk(coming) => coming.is_complete(),
                _ => false,
            };
            if event.is_some() || !(goes_on || consumed < input.len()) {
                return Step { consumed, event };
            }
        }
    }

    /// Yes to the open question. Without one, nothing happens.
    pub fn accept(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Asked(Question::Mail(envelope)) => {
                self.transaction = Some(Transaction { envelope, refused_recipients: 0, chunks: Chunks::None });
                reply::SENDER_OK.write(out);
            }
            Phase::Asked(Question::Rcpt(recipient)) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.envelope.recipients.push(recipient);
                }
                reply::RECIPIENT_OK.write(out);
            }
            Phase::Asked(Question::Data) => {
                self.phase = Phase::Content(Content::new(&self.settings));
                reply::START_INPUT.write(out);
            }
            Phase::Asked(Question::Chunk(chunk)) => self.accept_chunk(chunk),
            other => self.phase = other,
        }
    }

    /// No to the open question, and why. A 421 also ends the session.
    pub fn refuse(&mut self, why: &Reply, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Asked(Question::Rcpt(_)) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.refused_recipients += 1;
                }
                self.refused += 1;
                let harvests = self.refused > limits::REFUSED_RECIPIENTS_MAX;
                self.say(if harvests { &reply::TOO_MANY_ERRORS } else { why }, out);
            }
            Phase::Asked(Question::Mail(_) | Question::Data) => self.say(why, out),
            Phase::Asked(Question::Chunk(chunk)) => self.refuse_chunk(chunk, why.clone()),
            other => self.phase = other,
        }
    }

    /// While content comes in: the draft cannot be kept. The rest is read to its end, untold, and answered with this.
    pub fn refuse_content(&mut self, why: Reply) {
        match &mut self.phase {
            Phase::Content(content) => content.refuse(why),
            Phase::Chunk(coming) => coming.refuse(why),
            _ => {}
        }
    }

    /// The outcome of a complete message. In LMTP it is said once for each recipient.
    pub fn finish(&mut self, outcome: &Reply, out: &mut Vec<u8>) {
        let Phase::Asked(Question::End(recipients)) = self.phase else { return };
        let times = match self.settings.dialect {
            Dialect::Smtp => 1,
            Dialect::Lmtp => recipients,
        };
        self.conclude(&vec![outcome; times], out);
    }

    /// The outcome of a complete message for each recipient, in the order of the envelope. One that is missing is deferred; in
    /// SMTP, which has room for one reply, the first that is not positive speaks for all.
    pub fn finish_each(&mut self, outcomes: &[Reply], out: &mut Vec<u8>) {
        let Phase::Asked(Question::End(recipients)) = self.phase else { return };
        let known = outcomes.iter().take(recipients);
        let mut each: Vec<&Reply> = known.chain(std::iter::repeat(&reply::LOCAL_ERROR)).take(recipients).collect();
        if self.settings.dialect == Dialect::Smtp {
            let spokesman = each.iter().position(|r| !r.is_positive()).unwrap_or(0);
            each = vec![each[spokesman]];
        }
        self.conclude(&each, out);
    }

    fn conclude(&mut self, replies: &[&Reply], out: &mut Vec<u8>) {
        self.phase = Phase::Command;
        self.reset();
        for reply in replies {
            if reply.is_positive() {
                (self.errors, self.refused) = (0, 0);
            }
            self.say(reply, out);
        }
    }

    /// TLS is up: all the client said before is forgotten (RFC 3207 section 4.2).
    pub fn tls_started(&mut self, tls: Tls) {
        self.tls = Some(tls);
        self.hello = None;
        self.reset();
        self.account = None;
        let bytes_max = if self.offers_auth() { limits::AUTH_LINE_BYTES_MAX } else { limits::COMMAND_LINE_BYTES_MAX };
        self.lines = Lines::new(self.settings.bare_lf, bytes_max);
        self.phase = Phase::Command;
    }

    /// Ends the session from our side, with a 421 (timeout, shutdown). The next step tells to close.
    pub fn hang_up(&mut self, why: &Reply, out: &mut Vec<u8>) {
        if !matches!(self.phase, Phase::Closed | Phase::Closing) {
            why.write(out);
            self.phase = Phase::Closing;
        }
    }

    /// Whether the session is between transactions.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Command) && self.transaction.is_none()
    }
    /// Whether nothing of a message has come that the client would have to send again, so that a server may hang up.
    pub fn can_be_left(&self) -> bool {
        let chunks = self.transaction.as_ref().map(|transaction| &transaction.chunks);
        matches!(self.phase, Phase::Command | Phase::Response(_)) && !matches!(chunks, Some(Chunks::Open(_)))
    }
    /// Whether the client has made errors since [`Session::take_errors`].
    pub fn has_erred(&self) -> bool {
        self.new_errors > 0
    }
    /// Errors of the client's since this was last asked.
    pub fn take_errors(&mut self) -> u32 {
        std::mem::take(&mut self.new_errors)
    }
    /// The TLS parameters, once it is spoken.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
    /// The transaction so far: the accepted sender and recipients.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.transaction.as_ref().map(|t| &t.envelope)
    }

    /// Forgets the transaction.
    pub(super) fn reset(&mut self) {
        self.transaction = None;
        self.forwarded = Origin::default();
    }

    pub(super) fn say(&mut self, reply: &Reply, out: &mut Vec<u8>) {
        reply.write(out);
        if reply.code() == 421 {
            self.phase = Phase::Closing;
        }
    }

    /// Replies to an error of the client's, and ends the session when it made too many.
    pub(super) fn fault(&mut self, reply: &Reply, out: &mut Vec<u8>) {
        self.errors += 1;
        self.new_errors += 1;
        let reply = if self.errors > limits::ERRORS_MAX { &reply::TOO_MANY_ERRORS } else { reply };
        self.say(reply, out);
    }

    fn line<'i>(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Option<Event<'i>>) {
        let (used, line) = self.lines.next(input);
        let event = match line {
            None => None,
            Some(Line::Whole(line)) => self.whole_line(&line, out),
            Some(Line::TooLong) => {
                let is_response = matches!(self.phase, Phase::Response(_));
                self.phase = Phase::Command;
                self.fault(if is_response { &reply::AUTH_LINE_TOO_LONG } else { &reply::LINE_TOO_LONG }, out);
                None
            }
            // To answer and go on would run what someone smuggled behind the LF.
            Some(Line::BareLf) => {
                self.hang_up(&reply::BARE_LF_IN_COMMAND, out);
                None
            }
        };
        (used, event)
    }

    fn whole_line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Option<Event<'static>> {
        if let Phase::Response(exchange) = std::mem::replace(&mut self.phase, Phase::Command) {
            return self.respond(exchange, line, out);
        }
        let is_auth = line.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH "));
        if line.len() + 2 > limits::COMMAND_LINE_BYTES_MAX && !is_auth {
            self.fault(&reply::LINE_TOO_LONG, out);
            return None;
        }
        self.execute(line, out)
    }

    fn content<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> (usize, Option<Event<'i>>) {
        let Phase::Content(content) = &mut self.phase else { return (input.len(), None) };
        let (used, told) = content.read(input);
        let event = match told {
            None => None,
            Some(Told::Event(event)) => Some(event),
            Some(Told::End) => {
                let refusal = content.refusal().cloned();
                self.end(refusal.as_ref(), out)
            }
        };
        (used, event)
    }

    /// The end of a message: a question when it is fit, else the refusal that was due.
    pub(super) fn end<'i>(&mut self, refusal: Option<&Reply>, out: &mut Vec<u8>) -> Option<Event<'i>> {
        let transaction = self.transaction.take()?;
        self.phase = Phase::Asked(Question::End(transaction.envelope.recipients.len()));
        if let Some(refusal) = refusal {
            self.finish(refusal, out);
            return None;
        }
        let protocol = self.protocol(&transaction.envelope);
        Some(Event::End { envelope: transaction.envelope, protocol })
    }

    /// RFC 3848 registers no S for HELO over TLS, and RFC 6531 a name of its own for internationalized transactions. A login is
    /// only taken inside TLS.
    fn protocol(&self, envelope: &Envelope) -> &'static str {
        let is_plain = self.hello.as_ref().is_none_or(|hello| hello.extensions == Extensions::None);
        let security = match (&self.tls, &self.account) {
            (None, _) => 0,
            (Some(_), None) => 1,
            (Some(_), Some(_)) => 2,
        };
        match (self.settings.dialect, envelope.smtputf8) {
            (Dialect::Smtp, _) if is_plain => "SMTP",
            (Dialect::Smtp, false) => ["ESMTP", "ESMTPS", "ESMTPSA"][security],
            (Dialect::Smtp, true) => ["UTF8SMTP", "UTF8SMTPS", "UTF8SMTPSA"][security],
            (Dialect::Lmtp, false) => ["LMTP", "LMTPS", "LMTPSA"][security],
            (Dialect::Lmtp, true) => ["UTF8LMTP", "UTF8LMTPS", "UTF8LMTPSA"][security],
        }
    }
}

#[cfg(test)]
mod tests;
