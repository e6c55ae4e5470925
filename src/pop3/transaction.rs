//! The TRANSACTION state (RFC 1939 section 5): a maildrop, the view behind it, and the answer under way. Hides, never deletes.

use super::command::Command;
use super::maildrop::Maildrop;
use super::reply;
use super::sending;
use super::sending::Column;
use super::sending::Progress;
use super::sending::Sending;
use crate::catalog::Unavailable;
use crate::catalog::View;
use crate::mail::header;

/// A session that is logged in.
pub(super) struct Transaction {
    view: Box<dyn View>,
    maildrop: Maildrop,
    sending: Option<Sending>,
}

/// A single line, `+OK` or `-ERR` first.
type Answered = Result<String, &'static str>;

impl Transaction {
    /// Finds the messages; their facts are still to be loaded.
    pub(super) fn new(view: Box<dyn View>) -> Result<Transaction, Unavailable> {
        let maildrop = Maildrop::find(view.as_ref())?;
        Ok(Transaction { view, maildrop, sending: None })
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
    pub(super) fn execute(&mut self, command: &Command) -> Answered {
        match *command {
            Command::Stat => {
                let (count, bytes) = self.maildrop.totals();
                Ok(format!("+OK {count} {bytes}"))
            }
            Command::List(None) => Ok(self.begin(Sending::listing(Column::Size), "+OK".to_owned())),
            Command::Uidl(None) => Ok(self.begin(Sending::listing(Column::Id), "+OK".to_owned())),
            Command::List(Some(number)) => self.line(Column::Size, number),
            Command::Uidl(Some(number)) => self.line(Column::Id, number),
            Command::Retr(number) => self.retr(number),
            Command::Top(number, lines) => self.top(number, lines),
            Command::Dele(number) if self.maildrop.hide(number) => Ok("+OK Hidden for this session".to_owned()),
            Command::Dele(_) => Err(reply::ERR_NUMBER),
            Command::Rset => {
                self.maildrop.show_all();
                Ok("+OK".to_owned())
            }
            Command::Noop => Ok("+OK".to_owned()),
            _ => Err(reply::ERR_STATE),
        }
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
