//! The TRANSACTION state (RFC 1939 section 5): a maildrop, the view behind it, and the answer under way. Hides, never deletes; opens
//! a message only once that is recorded.

use super::command::Command;
use super::maildrop::Maildrop;
use super::reply;
use super::sending;
use super::sending::Column;
use super::sending::Progress;
use super::sending::Sending;
use crate::catalog::Aim;
use crate::catalog::Reading;
use crate::catalog::Unavailable;
use crate::catalog::View;
use crate::mail::header;

/// A session that is logged in.
pub(super) struct Transaction {
    view: Box<dyn View>,
    maildrop: Maildrop,
    sending: Option<Sending>,
    asked: Option<Asked>,
}

/// A message that is to be shown. Nothing of it has been looked at.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Retr(usize),
    Top(usize, u64),
}

/// What a command comes to.
pub(super) enum Outcome {
    /// Its answer, or the first line of it.
    Line(Answered),
    /// This is to be recorded, then call `recorded`.
    Record(Reading),
}

/// A single line, `+OK` or `-ERR` first.
pub(super) type Answered = Result<String, &'static str>;

impl Transaction {
    /// Finds the messages; their facts are still to be loaded.
    pub(super) fn new(view: Box<dyn View>) -> Result<Transaction, Unavailable> {
        let maildrop = Maildrop::find(view.as_ref())?;
        Ok(Transaction { view, maildrop, sending: None, asked: None })
    }

    /// Loads some more facts; the answer to PASS when all are there.
    pub(super) fn load(&mut self) -> Result<Option<String>, Unavailable> {
        if self.maildrop.load(self.view.as_ref())? == Progress::Again {
            return Ok(None);
        }
        let (count, bytes) = self.maildrop.totals();
        Ok(Some(format!("+OK {count} messages ({bytes} octets)")))
    }

    /// Goes on with a multi-line answer.
    pub(super) fn advance(&mut self, out: &mut Vec<u8>) -> Progress {
        let Some(sending) = &mut self.sending else { return Progress::Done };
        let progress = sending.run(&self.maildrop, out);
        if progress == Progress::Done {
            self.sending = None;
        }
        progress
    }

    /// Whether a multi-line answer is under way.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    /// The first line of the answer; `advance` writes the others.
    pub(super) fn execute(&mut self, command: &Command) -> Outcome {
        Outcome::Line(match *command {
            Command::Stat => {
                let (count, bytes) = self.maildrop.totals();
                Ok(format!("+OK {count} {bytes}"))
            }
            Command::List(None) => Ok(self.begin(Sending::listing(Column::Size), "+OK".to_owned())),
            Command::Uidl(None) => Ok(self.begin(Sending::listing(Column::Id), "+OK".to_owned())),
            Command::List(Some(number)) => self.line(Column::Size, number),
            Command::Uidl(Some(number)) => self.line(Column::Id, number),
            Command::Retr(number) => return self.ask(Asked::Retr(number), "RETR", number),
            Command::Top(number, lines) => return self.ask(Asked::Top(number, lines), "TOP", number),
            Command::Dele(number) if self.maildrop.hide(number) => Ok("+OK Hidden for this session".to_owned()),
            Command::Dele(_) => Err(reply::ERR_NUMBER),
            Command::Rset => {
                self.maildrop.show_all();
                Ok("+OK".to_owned())
            }
            Command::Noop => Ok("+OK".to_owned()),
            _ => Err(reply::ERR_STATE),
        })
    }

    fn ask(&mut self, asked: Asked, command: &'static str, number: usize) -> Outcome {
        let Some(entry) = self.maildrop.shown(number) else { return Outcome::Line(Err(reply::ERR_NUMBER)) };
        let (mailbox, uid) = self.maildrop.place(entry);
        let aim = Aim::Messages { uids: vec![(uid, uid)], count: 1, items: command.to_owned() };
        let reading = Reading { command, mailbox: mailbox.to_owned(), aim };
        self.asked = Some(asked);
        Outcome::Record(reading)
    }

    /// Whether something is to be recorded before anything else is done.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// What was asked for is recorded: the first line of its answer.
    pub(super) fn recorded(&mut self) -> Answered {
        match self.asked.take() {
            Some(Asked::Retr(number)) => self.retr(number),
            Some(Asked::Top(number, lines)) => self.top(number, lines),
            None => Err(reply::ERR_STATE),
        }
    }

    /// It is not recorded and cannot be.
    pub(super) fn unrecorded(&mut self) -> Answered {
        self.asked = None;
        Err(reply::ERR_UNAVAILABLE)
    }

    fn begin(&mut self, sending: Sending, first: String) -> String {
        self.sending = Some(sending);
        first
    }

    fn line(&self, column: Column, number: usize) -> Answered {
        let entry = self.maildrop.shown(number).ok_or(reply::ERR_NUMBER)?;
        Ok(format!("+OK {}", sending::line(column, number, entry)))
    }

    fn retr(&mut self, number: usize) -> Answered {
        let octets = self.octets(number)?;
        let first = format!("+OK {} octets", octets.len());
        Ok(self.begin(Sending::message(octets), first))
    }

    fn top(&mut self, number: usize, lines: u64) -> Answered {
        let octets = self.octets(number)?;
        let (_, body) = header::split(&octets);
        let body = usize::try_from(body.start).unwrap_or(usize::MAX);
        Ok(self.begin(Sending::message(sending::top(octets, body, lines)), "+OK".to_owned()))
    }

    fn octets(&self, number: usize) -> Result<Vec<u8>, &'static str> {
        let entry = self.maildrop.shown(number).ok_or(reply::ERR_NUMBER)?;
        let octets = self.maildrop.octets(self.view.as_ref(), entry).map_err(|e| reply::unavailable(&e))?;
        octets.ok_or(reply::ERR_NUMBER)
    }
}
