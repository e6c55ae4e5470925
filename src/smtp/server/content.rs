//! Content: a message on its way in, by DATA in one go or by BDAT in chunks. Tells no more of it once it is unfit.

use super::framing::{Fault, Framing, Piece};
use super::reply;
use super::reply::Reply;
use super::session::Event;

/// The state between two pieces of input.
#[derive(Debug)]
pub struct Content {
    framing: Framing,
    refusal: Option<Reply>,
}

/// What a piece of content comes to.
#[derive(Debug)]
pub enum Told<'i> {
    /// Something for the driver.
    Event(Event<'i>),
    /// The final dot.
    End,
}

impl Content {
    /// Before its first octet.
    pub fn new(framing: Framing) -> Content {
        Content { framing, refusal: None }
    }

    /// Reads on: how many octets are done with, and what they end with.
    pub fn read<'i>(&mut self, input: &'i [u8]) -> (usize, Option<Told<'i>>) {
        let (used, piece) = self.framing.next(input);
        let told = match piece {
            Some(Piece::End) => Some(Told::End),
            Some(Piece::Content(octets)) if self.refusal.is_none() => Some(Told::Event(Event::Body(octets))),
            Some(Piece::Unfit(fault)) => self.spoil(fault).map(Told::Event),
            Some(Piece::Content(_)) | None => None,
        };
        (used, told)
    }

    /// The last chunk has come: what the driver must be told of it.
    pub fn close<'i>(&mut self) -> Option<Event<'i>> {
        let fault = self.framing.close()?;
        self.spoil(fault)
    }

    /// It will be refused with this, unless there is a reason already.
    pub fn refuse(&mut self, why: Reply) {
        self.refusal.get_or_insert(why);
    }

    /// Why it is refused.
    pub fn refusal(&self) -> Option<&Reply> {
        self.refusal.as_ref()
    }

    fn spoil<'i>(&mut self, fault: Fault) -> Option<Event<'i>> {
        if self.refusal.is_some() {
            return None;
        }
        let why = unfit(fault);
        self.refusal = Some(why.clone());
        Some(Event::Discard(why))
    }
}

fn unfit(fault: Fault) -> &'static Reply {
    match fault {
        Fault::BareCr => &reply::BARE_CR,
        Fault::BareLf => &reply::BARE_LF,
        Fault::LineTooLong => &reply::TEXT_LINE_TOO_LONG,
        Fault::HeaderTooLong => &reply::HEADER_TOO_LONG,
        Fault::TooLarge => &reply::TOO_LARGE,
    }
}
