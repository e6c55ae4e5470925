//! Content: a message on its way in, by DATA in one go or by BDAT in chunks. Tells no more of it once it is unfit.

use super::framing::{Fault, Framing, Piece};
use super::reply;
use super::reply::Reply;
use super::session::Event;
use super::session::Settings;

/// The state between two pieces of input.
#[derive(Debug)]
pub struct Content {
    framing: Framing,
    too_large: &'static Reply,
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
    /// Before the first octet of what DATA carries.
    pub fn new(settings: &Settings) -> Content {
        Content::framed(Framing::new(settings.message_bytes_max, settings.bare_lf), settings)
    }
    /// Before the first octet of what BDAT carries.
    pub fn chunked(settings: &Settings) -> Content {
        Content::framed(Framing::chunked(settings.message_bytes_max, settings.bare_lf), settings)
    }
    fn framed(framing: Framing, settings: &Settings) -> Content {
        Content { framing: framing.when_unfit(settings.unfit), too_large: settings.too_large(), refusal: None }
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
        let why = match fault {
            Fault::BareCr => &reply::BARE_CR,
            Fault::BareLf => &reply::BARE_LF,
            Fault::LineTooLong => &reply::TEXT_LINE_TOO_LONG,
            Fault::HeaderTooLong => &reply::HEADER_TOO_LONG,
            Fault::TooLarge => self.too_large,
        };
        self.refusal = Some(why.clone());
        Some(Event::Discard(why))
    }
}
