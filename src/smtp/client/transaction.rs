//! The transaction: MAIL, RCPTs, DATA or BDAT, and what the replies mean for each recipient. Sends ahead where the next hop offers
//! PIPELINING (RFC 2920), and never takes a reply for another command's.

use super::answer::{Answer, Class};
use super::capabilities::{Capabilities, Extension};
use super::content::{Octets, Survey};
use super::framing::{Framing, Unsendable};
use super::outcome::{Outcome, Verdict};
use super::session::{Chunking, Progress, Trust};
use crate::mail::{BodyType, Envelope, Recipient};
use crate::smtp::Dialect;
use crate::smtp::limits;
use std::collections::VecDeque;

/// A command whose reply is awaited, or that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ends a transaction that an earlier attempt left open.
    Rset,
    Mail,
    /// Of the recipient with this index.
    Rcpt(usize),
    Data,
    /// Its reply is that to its last octet, so it is never awaited itself.
    Bdat,
    /// The final dot or the last octet of BDAT, for all accepted recipients.
    Dot,
    /// The same reply for one recipient (LMTP).
    DotFor(usize),
    /// The final dot of an empty message to nobody: DATA was sent ahead and taken although no RCPT was.
    LoneDot,
}

/// How a transaction goes on after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Replies are awaited.
    Wait,
    /// Content may be written.
    Content,
    /// All recipients have an outcome.
    Done,
    /// All recipients have an outcome, and the connection is of no more use.
    Hopeless,
    /// The reply cannot be an answer to this command.
    Nonsense(&'static str),
}

/// What the next hop still has open when a transaction is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// MAIL was taken and no final dot was sent.
    OpenTransaction,
}

/// What is known of the next hop.
#[derive(Debug)]
pub struct Hop {
    pub capabilities: Capabilities,
    pub dialect: Dialect,
    pub trust: Trust,
}

/// One transaction under way.
#[derive(Debug)]
pub struct Transaction {
    envelope: Envelope,
    content: Survey,
    hop: Hop,
    outcomes: Vec<Option<Outcome>>,
    accepted: Vec<usize>,
    next: Option<Command>,
    awaited: VecDeque<Command>,
    left: Left,
    progress: Progress,
    chunking: Chunking,
    framing: Option<Framing>,
}

impl Transaction {
    /// Before its first command. `left` is what the transaction before it left open.
    pub fn new(envelope: Envelope, content: Survey, hop: Hop, left: Left) -> Self {
        let outcomes = vec![None; envelope.recipients.len()];
        let next = Some(if left == Left::OpenTransaction { Command::Rset } else { Command::Mail });
        Transaction {
            envelope,
            content,
            hop,
            outcomes,
            accepted: Vec::new(),
            next,
            awaited: VecDeque::new(),
            left,
            progress: Progress::Nothing,
            chunking: Chunking::Fine,
            framing: None,
        }
    }

    /// Why this next hop cannot take the message at all, without converting it or losing what it needs.
    pub fn obstacle(&self) -> Option<Outcome> {
        let unfit = |status: &str, text: String| Some(Outcome::here(Verdict::Unfit, status, text));
        let lacks = |extension| !self.hop.capabilities.has(extension);
        if self.envelope.recipients.is_empty() {
            return Some(Outcome::here(Verdict::Failed, "5.5.1", "no recipients"));
        }
        if let Err(unsendable) = self.content.line_ends {
            return Some(cannot_send(unsendable));
        }
        if self.must_keep_tls() && (lacks(Extension::RequireTls) || self.hop.trust != Trust::Verified) {
            let text = "message requires TLS, which next hop does not promise to keep behind a verified certificate";
            return unfit("5.7.30", text.to_owned());
        }
        if self.needs_smtputf8() && lacks(Extension::SmtpUtf8) {
            return unfit("5.6.7", "next hop does not offer SMTPUTF8, which this message needs".to_owned());
        }
        if self.content.whole == Octets::EightBit && lacks(Extension::EightBitMime) {
            return unfit("5.6.3", "next hop does not offer 8BITMIME, which this message needs".to_owned());
        }
        match self.hop.capabilities.size_max() {
            Some(max) if self.content.bytes > max => {
                unfit("5.3.4", format!("message has {} octets, next hop takes at most {max}", self.content.bytes))
            }
            _ => None,
        }
    }

    /// A notification to the null sender goes on without, so that it is not lost (RFC 8689 section 5).
    fn must_keep_tls(&self) -> bool {
        self.envelope.require_tls.is_some() && self.envelope.sender.is_some()
    }

    /// A sender may ask for SMTPUTF8 and then not use it; such a message may go anywhere (RFC 6531 section 3.4).
    fn needs_smtputf8(&self) -> bool {
        let envelope = &self.envelope;
        let mut addresses = envelope.sender.iter().chain(envelope.recipients.iter().map(|r| &r.address));
        let is_used = addresses.any(|a| a.is_internationalized()) || self.content.header == Octets::EightBit;
        envelope.smtputf8 && is_used
    }

    /// Appends the commands that may be sent now.
    pub fn send(&mut self, out: &mut Vec<u8>) {
        while let Some(command) = self.next.filter(|_| self.may_send()) {
            self.next = self.behind(command);
            let is_content = matches!(command, Command::Data | Command::Bdat);
            if is_content && self.awaited.is_empty() && self.accepted.is_empty() {
                return;
            }
            self.write(command, out);
            if command == Command::Bdat {
                self.framing = Some(Framing::counted(self.content.bytes));
            } else {
                self.awaited.push_back(command);
            }
        }
    }

    /// BDAT is followed by content at once, so it waits until there is somebody to get it.
    fn may_send(&self) -> bool {
        if self.next == Some(Command::Bdat) {
            return self.awaited.is_empty();
        }
        let ahead = self.hop.capabilities.has(Extension::Pipelining) && self.awaited.len() < limits::COMMANDS_AHEAD_MAX;
        self.awaited.is_empty() || ahead
    }

    fn behind(&self, command: Command) -> Option<Command> {
        match command {
            Command::Rset => Some(Command::Mail),
            Command::Mail => Some(Command::Rcpt(0)),
            Command::Rcpt(index) if index + 1 < self.outcomes.len() => Some(Command::Rcpt(index + 1)),
            Command::Rcpt(_) if self.hop.capabilities.has(Extension::Chunking) => Some(Command::Bdat),
            Command::Rcpt(_) => Some(Command::Data),
            Command::Data | Command::Bdat | Command::Dot | Command::DotFor(_) | Command::LoneDot => None,
        }
    }

    fn write(&self, command: Command, out: &mut Vec<u8>) {
        match command {
            Command::Rset => out.extend_from_slice(b"RSET"),
            Command::Mail => self.write_mail(out),
            Command::Rcpt(index) => self.write_rcpt(&self.envelope.recipients[index], out),
            Command::Data => out.extend_from_slice(b"DATA"),
            Command::Bdat => out.extend_from_slice(format!("BDAT {} LAST", self.content.bytes).as_bytes()),
            Command::Dot | Command::DotFor(_) | Command::LoneDot => out.push(b'.'),
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_mail(&self, out: &mut Vec<u8>) {
        let has = |extension| self.hop.capabilities.has(extension);
        out.extend_from_slice(format!("MAIL FROM:<{}>", self.envelope.sender_text()).as_bytes());
        if has(Extension::Size) {
            out.extend_from_slice(format!(" SIZE={}", self.content.bytes).as_bytes());
        }
        let is_eight_bit = self.content.whole == Octets::EightBit || self.envelope.body == BodyType::EightBitMime;
        if has(Extension::EightBitMime) && is_eight_bit {
            out.extend_from_slice(b" BODY=8BITMIME");
        }
        if has(Extension::SmtpUtf8) && self.envelope.smtputf8 {
            out.extend_from_slice(b" SMTPUTF8");
        }
        if has(Extension::RequireTls) && self.hop.trust != Trust::Clear && self.envelope.require_tls.is_some() {
            out.extend_from_slice(b" REQUIRETLS");
        }
        if has(Extension::Dsn) {
            self.write_parameter("RET", self.envelope.ret.as_deref(), out);
            self.write_parameter("ENVID", self.envelope.envid.as_deref(), out);
        }
    }

    fn write_rcpt(&self, recipient: &Recipient, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("RCPT TO:<{}>", recipient.address).as_bytes());
        if self.hop.capabilities.has(Extension::Dsn) {
            self.write_parameter("NOTIFY", recipient.notify.as_deref(), out);
            self.write_parameter("ORCPT", recipient.orcpt.as_deref(), out);
        }
    }

    /// Left out when there is none, or when it could not stand in a command here; a report then lacks it, no more.
    fn write_parameter(&self, key: &str, value: Option<&str>, out: &mut Vec<u8>) {
        let utf8 = self.envelope.smtputf8 && self.hop.capabilities.has(Extension::SmtpUtf8);
        let fits = |c: char| c.is_ascii_graphic() || (utf8 && !c.is_ascii() && !c.is_control());
        if let Some(value) = value.filter(|value| value.chars().all(fits)) {
            out.extend_from_slice(format!(" {key}={value}").as_bytes());
        }
    }

    /// Takes the reply to the oldest command that awaits one.
    pub fn hear(&mut self, answer: &Answer, out: &mut Vec<u8>) -> Turn {
        let Some(command) = self.awaited.pop_front() else { return self.hear_early(answer) };
        let is_final = matches!(command, Command::Dot | Command::DotFor(_) | Command::LoneDot);
        if answer.code() == 421 && !is_final {
            self.settle(&Outcome::of(answer));
            return Turn::Hopeless;
        }
        match (command, answer.class()) {
            (Command::Data, Class::Intermediate) => return self.start_content(out),
            (Command::Data, Class::Positive) => return self.no_answer(command, "DATA answered with 2xx"),
            (_, Class::Intermediate) => return self.no_answer(command, "3xx where none can be"),
            (Command::Rset, Class::Positive) => self.left = Left::Nothing,
            (Command::Rset, _) => return self.no_answer(command, "RSET refused"),
            (Command::Mail, Class::Positive) => {
                self.left = Left::OpenTransaction;
                self.progress = Progress::MailTaken;
            }
            (Command::Mail | Command::Data | Command::Bdat, _) => self.refuse_all(answer),
            (Command::Rcpt(index), _) => self.hear_recipient(index, answer),
            (Command::Dot | Command::DotFor(_), _) if self.is_bdat_unknown(answer) => return self.refuse_bdat(answer),
            (Command::Dot, _) => self.settle(&Outcome::of(answer)),
            (Command::DotFor(index), _) => self.outcomes[index] = Some(Outcome::of(answer)),
            (Command::LoneDot, _) => {}
        }
        self.send(out);
        match self.framing {
            Some(_) => Turn::Content,
            None if self.awaited.is_empty() && self.next.is_none() => self.end(),
            None => Turn::Wait,
        }
    }

    /// Whether the next hop offers CHUNKING and does not know BDAT.
    fn is_bdat_unknown(&self, answer: &Answer) -> bool {
        self.hop.capabilities.has(Extension::Chunking) && matches!(answer.code(), 500 | 502..=504)
    }

    /// What it reads next are octets of the message; it must not take them for commands.
    fn refuse_bdat(&mut self, answer: &Answer) -> Turn {
        self.chunking = Chunking::Refused;
        self.settle(&Outcome { verdict: Verdict::NextTransaction, ..Outcome::of(answer) });
        Turn::Hopeless
    }

    /// The command still awaits its answer, which matters for the final dot: its outcome stays in doubt.
    fn no_answer(&mut self, command: Command, what: &'static str) -> Turn {
        self.awaited.push_front(command);
        Turn::Nonsense(what)
    }

    /// A reply while content is being written. Only a refusal makes sense; an acceptance of what was not yet sent does not.
    fn hear_early(&mut self, answer: &Answer) -> Turn {
        match answer.class() {
            Class::Permanent if self.is_bdat_unknown(answer) => self.refuse_bdat(answer),
            Class::Temporary | Class::Permanent => {
                self.settle(&Outcome::of(answer));
                Turn::Hopeless
            }
            Class::Positive | Class::Intermediate => Turn::Nonsense("a reply before the end of data"),
        }
    }

    fn hear_recipient(&mut self, index: usize, answer: &Answer) {
        if self.outcomes[index].is_some() {
            return;
        }
        if answer.class() == Class::Positive {
            self.accepted.push(index);
        } else {
            self.outcomes[index] = Some(Outcome::of_recipient(answer, self.accepted.len()));
        }
    }

    /// MAIL or DATA was refused: so are all recipients without an outcome, and no more commands follow.
    fn refuse_all(&mut self, answer: &Answer) {
        self.settle(&Outcome::of(answer));
        self.accepted.clear();
        self.next = None;
    }

    fn start_content(&mut self, out: &mut Vec<u8>) -> Turn {
        if !self.accepted.is_empty() {
            self.framing = Some(Framing::dotted());
            return Turn::Content;
        }
        // RFC 2920 section 3.1: a server may take DATA without recipients; then only a lone dot ends it.
        self.write(Command::LoneDot, out);
        self.left = Left::Nothing;
        match self.hop.dialect {
            Dialect::Smtp => {
                self.awaited.push_back(Command::LoneDot);
                Turn::Wait
            }
            // LMTP has no reply for a message to nobody, so none can be awaited (RFC 2033 section 4.2).
            Dialect::Lmtp => Turn::Hopeless,
        }
    }

    /// Every accepted or unheard recipient of a finished conversation has been settled; what has not is deferred.
    fn end(&mut self) -> Turn {
        let unheard = Outcome::here(Verdict::Deferred, "4.5.0", "next hop gave no reply");
        self.settle(&unheard);
        Turn::Done
    }

    /// Appends a chunk of content.
    pub fn content(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unsendable> {
        match &mut self.framing {
            Some(framing) => framing.write(chunk, out),
            None => Ok(()),
        }
    }

    /// Appends the end of data. From here on the message may be delivered, whatever is heard.
    pub fn end_content(&mut self, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        let Some(framing) = self.framing.take() else { return Ok(()) };
        framing.finish(out)?;
        self.left = Left::Nothing;
        match self.hop.dialect {
            Dialect::Smtp => self.awaited.push_back(Command::Dot),
            Dialect::Lmtp => self.awaited.extend(self.accepted.iter().map(|&index| Command::DotFor(index))),
        }
        Ok(())
    }

    /// The content turned out to be unsendable while it was written: the connection must be dropped without a final dot.
    pub fn cannot_send(&mut self, unsendable: Unsendable) {
        self.settle(&cannot_send(unsendable));
    }

    /// The connection is gone, or as good as gone.
    pub fn lose(&mut self, why: &str) {
        let verdict = match self.awaited.front() {
            Some(Command::Dot | Command::DotFor(_)) => Verdict::InDoubt,
            _ => Verdict::Deferred,
        };
        self.settle(&Outcome::here(verdict, "4.4.2", why));
    }

    /// Gives an outcome to every recipient that has none.
    pub fn settle(&mut self, outcome: &Outcome) {
        for slot in self.outcomes.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(outcome.clone());
        }
    }

    /// The oldest command that awaits a reply.
    pub fn awaits(&self) -> Option<Command> {
        self.awaited.front().copied()
    }
    /// How far it came.
    pub fn progress(&self) -> Progress {
        self.progress
    }
    /// Whether BDAT was understood.
    pub fn chunking(&self) -> Chunking {
        self.chunking
    }
    /// What the next hop still has open.
    pub fn left(&self) -> Left {
        self.left
    }
    /// The outcomes in the order of the recipients; of those that have one, which after [`Turn::Done`] are all.
    pub fn into_outcomes(mut self) -> Vec<Outcome> {
        self.lose("connection ended");
        self.outcomes.into_iter().flatten().collect()
    }
}

fn cannot_send(unsendable: Unsendable) -> Outcome {
    Outcome::here(Verdict::Failed, "5.6.0", unsendable.to_string())
}
