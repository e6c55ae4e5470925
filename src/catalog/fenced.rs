//! Reading of sealed mail that may meet a bug of ours: a message whose header does gets a line without it, and nothing else
//! suffers.

use super::line::Line;
use super::sealed::{Entry, Sealed, Segment, Unreadable};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A message's line.
pub(super) enum Read {
    /// With all that lists and searches need.
    Whole(Box<Line>),
    /// Its header met a bug: with what is known without it.
    Bare(Box<Line>),
}

/// Reads one message.
pub(super) fn message(sealed: &dyn Sealed, segment: &Segment, entry: &Entry) -> Result<Read, Unreadable> {
    let line = |facts| Box::new(Line::new(facts));
    if let Some(read) = fenced(|| Ok(line(sealed.facts(segment, entry.slot)?))) {
        return read.map(Read::Whole);
    }
    let bare = fenced(|| Ok(line(sealed.bare_facts(segment, entry.slot)?)));
    bare.unwrap_or_else(|| Err(bug(&format!("message {}", entry.id)))).map(Read::Bare)
}

/// Reads a segment's events: what next hops said is in them.
pub(super) fn events(sealed: &dyn Sealed, segment: &Segment) -> Result<Vec<u32>, Unreadable> {
    fenced(|| sealed.events(segment)).unwrap_or_else(|| Err(bug("events")))
}

/// `None` after a panic. Only what is read is made there; an archive that is being read changes nothing but its caches, which
/// hold whole entries at any time.
fn fenced<T>(read: impl FnOnce() -> Result<T, Unreadable>) -> Option<Result<T, Unreadable>> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}

fn bug(what: &str) -> Unreadable {
    Unreadable::Damaged(format!("bug: {what} cannot be read"))
}
