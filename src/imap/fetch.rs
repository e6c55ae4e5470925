//! FETCH (RFC 3501 section 6.4.5): answers message by message, and stops whenever enough is written. Opens a message only for
//! items that need its octets.

use super::bodystructure;
use super::bodystructure::Form;
use super::envelope::envelope;
use super::locate;
use super::locate::Found;
use super::reply;
use super::section::Item;
use super::section::Section;
use super::selected::Selected;
use super::sequence::Chosen;
use super::session::OUTPUT_BYTES_FULL;
use super::work::Progress;
use crate::catalog::Message;
use crate::catalog::Unavailable;
use crate::catalog::View;
use std::collections::VecDeque;
use std::ops::Range;

/// A FETCH under way.
pub(super) struct Fetch {
    items: Vec<Item>,
    need: Need,
    chosen: Chosen,
    next: usize,
    answer: Answer,
    missing: Missing,
}

/// What an item asks of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Number,
    Summary,
    Octets,
}

/// Whether a message was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// All were there.
    None,
    /// RFC 5530: EXPUNGEISSUED.
    Some,
}

impl Fetch {
    /// `items` of the messages in `chosen`.
    pub(super) fn new(items: Vec<Item>, chosen: Chosen) -> Fetch {
        let need = items.iter().map(need).max().unwrap_or(Need::Number);
        Fetch { items, need, chosen, next: 0, answer: Answer::default(), missing: Missing::None }
    }

    /// Whether anything but numbers and flags is shown, which are the same whatever a message says.
    pub(super) fn shows_mail(&self) -> bool {
        self.need > Need::Number
    }

    /// The UIDs of the messages chosen, as ranges; `uids` are those of the mailbox.
    pub(super) fn uids(&self, uids: &[u32]) -> Vec<(u32, u32)> {
        self.chosen.uids(uids)
    }

    /// How many messages are chosen.
    pub(super) fn count(&self) -> u64 {
        self.chosen.count()
    }

    /// The items, as the answer calls them.
    pub(super) fn items(&self) -> String {
        self.items.iter().map(Item::name).collect::<Vec<_>>().join(" ")
    }

    /// Whether messages were gone.
    pub(super) fn missing(&self) -> Missing {
        self.missing
    }

    /// Goes on until done or `out` is full.
    pub(super) fn run(
        &mut self,
        selected: &mut Selected,
        view: &dyn View,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Unavailable> {
        loop {
            self.answer.drain(selected.opened_octets(), out);
            if out.len() >= OUTPUT_BYTES_FULL {
                return Ok(Progress::Again);
            }
            let Some(index) = self.chosen.next(self.next) else { return Ok(Progress::Done) };
            self.next = index + 1;
            self.compose(index, selected, view)?;
        }
    }

    /// One `* n FETCH (...)`.
    fn compose(&mut self, index: usize, selected: &mut Selected, view: &dyn View) -> Result<(), Unavailable> {
        let Some(&uid) = selected.uids().get(index) else { return Ok(()) };
        let (message, octets) = match self.need {
            Need::Number => (None, &[][..]),
            Need::Summary => (selected.message(view, index)?, &[][..]),
            Need::Octets => selected.octets(view, index)?.map_or((None, &[][..]), |(m, octets)| (Some(m), octets)),
        };
        if message.is_none() && self.need != Need::Number {
            self.missing = Missing::Some;
            return Ok(());
        }
        self.answer.text(format!("* {} FETCH (", index + 1).as_bytes());
        for (at, item) in self.items.iter().enumerate() {
            if at > 0 {
                self.answer.text(b" ");
            }
            write(&mut self.answer, item, uid, message, octets);
        }
        self.answer.text(b")\r\n");
        Ok(())
    }
}

fn need(item: &Item) -> Need {
    match item {
        Item::Flags | Item::Uid => Need::Number,
        Item::InternalDate | Item::Size | Item::Envelope | Item::Body | Item::BodyStructure => Need::Summary,
        Item::Section(_) => Need::Octets,
    }
}

fn write(answer: &mut Answer, item: &Item, uid: u32, message: Option<&Message>, octets: &[u8]) {
    match (item, message) {
        (Item::Flags, _) => answer.text(reply::FLAGS.as_bytes()),
        (Item::Uid, _) => answer.text(format!("UID {uid}").as_bytes()),
        (Item::Section(section), Some(message)) => write_section(answer, section, message, octets),
        (item, Some(message)) => write_summary(&mut answer.text, item, message),
        // `compose` leaves out messages of which it has no facts.
        (_, None) => {}
    }
}

fn write_summary(out: &mut Vec<u8>, item: &Item, message: &Message) {
    let structure = &message.summary.structure;
    match item {
        Item::InternalDate => {
            out.extend_from_slice(format!("INTERNALDATE \"{}\"", message.internal_date.imap_date_time()).as_bytes());
        }
        Item::Size => out.extend_from_slice(format!("RFC822.SIZE {}", message.size).as_bytes()),
        Item::Envelope => {
            out.extend_from_slice(b"ENVELOPE ");
            envelope(out, &message.summary.envelope);
        }
        Item::Body => {
            out.extend_from_slice(b"BODY ");
            bodystructure::body(out, structure, Form::Basic);
        }
        Item::BodyStructure => {
            out.extend_from_slice(b"BODYSTRUCTURE ");
            bodystructure::body(out, structure, Form::Extended);
        }
        Item::Flags | Item::Uid | Item::Section(_) => {}
    }
}

/// Section content goes as a literal, whatever it is: clients handle that best. Empty is `""`, as imaptest and Dovecot have it.
fn write_section(answer: &mut Answer, section: &Section, message: &Message, octets: &[u8]) {
    answer.text(&section.name);
    answer.text(b" ");
    match locate::locate(section, &message.summary.structure, octets) {
        Found::Nothing => answer.text(b"NIL"),
        Found::Octets(range) if range.is_empty() => answer.text(b"\"\""),
        Found::Built(built) if built.is_empty() => answer.text(b"\"\""),
        Found::Octets(range) => {
            reply::literal_header(&mut answer.text, range.len());
            answer.octets(range);
        }
        Found::Built(built) => {
            reply::literal_header(&mut answer.text, built.len());
            answer.text(&built);
        }
    }
}

/// The answer about one message. Octets of the message stay where they are until they are written out, so that a large message
/// is in memory once.
#[derive(Debug, Default)]
struct Answer {
    text: Vec<u8>,
    /// How much of `text` is written.
    written: usize,
    /// Where in `text` which octets of the message stand.
    inserts: VecDeque<(usize, Range<usize>)>,
}

impl Answer {
    fn text(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    fn octets(&mut self, range: Range<usize>) {
        self.inserts.push_back((self.text.len(), range));
    }

    /// Writes until there is nothing left or `out` is full.
    fn drain(&mut self, message: &[u8], out: &mut Vec<u8>) {
        while out.len() < OUTPUT_BYTES_FULL {
            let until = self.inserts.front().map_or(self.text.len(), |(at, _)| *at);
            out.extend_from_slice(&self.text[self.written..until]);
            self.written = until;
            let Some((_, range)) = self.inserts.front_mut() else {
                self.text.clear();
                self.written = 0;
                return;
            };
            let end = range.end.min(range.start + OUTPUT_BYTES_FULL.saturating_sub(out.len()));
            out.extend_from_slice(&message[range.start..end]);
            range.start = end;
            if range.start == range.end {
                self.inserts.pop_front();
            }
        }
    }
}
