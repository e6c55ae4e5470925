//! From a section to octets of the message: part numbers (RFC 3501 section 6.4.5) over a scanned structure. Copies only
//! selected header fields.

use super::section::Section;
use super::section::Selection;
use super::section::Text;
use crate::mail::header;
use crate::mail::structure::Content;
use crate::mail::structure::Part;
use crate::mail::structure::Span;
use std::ops::Range;

/// Where an answer comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// These octets of the message.
    Octets(Range<usize>),
    /// Octets put together.
    Built(Vec<u8>),
    /// There is no such part: NIL.
    Nothing,
}

/// What `section` means in `message`.
pub(super) fn locate(section: &Section, root: &Part, message: &[u8]) -> Found {
    let whole = match (&section.text, section.part.as_slice()) {
        (Text::Whole, []) => Found::Octets(0..message.len()),
        (text, part) => match entity(root, part, text) {
            Some((entity, text)) => octets(entity, text, message),
            None => Found::Nothing,
        },
    };
    match section.partial {
        Some((first, count)) => cut(whole, first, count),
        None => whole,
    }
}

/// The entity whose own header and body answer, and what is asked of it.
fn entity<'a, 't>(root: &'a Part, numbers: &[u32], text: &'t Text) -> Option<(&'a Part, &'t Text)> {
    let Some((first, rest)) = numbers.split_first() else { return Some((root, text)) };
    let mut part = of_message(root, *first)?;
    for number in rest {
        part = of_part(part, *number)?;
    }
    match (text, &part.content) {
        (Text::Whole | Text::Mime, _) => Some((part, text)),
        (_, Content::Message(inner, _)) => Some((inner, text)),
        // RFC 3501: HEADER and TEXT of a part need a message/rfc822.
        _ => None,
    }
}

/// Part `number` of a message: of its multipart, or 1 for its only content.
fn of_message(message: &Part, number: u32) -> Option<&Part> {
    match &message.content {
        Content::Multipart(parts) => nth(parts, number),
        _ => (number == 1).then_some(message),
    }
}

fn of_part(part: &Part, number: u32) -> Option<&Part> {
    match &part.content {
        Content::Multipart(parts) => nth(parts, number),
        Content::Message(inner, _) => of_message(inner, number),
        Content::Leaf => None,
    }
}

fn nth(parts: &[Part], number: u32) -> Option<&Part> {
    parts.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

fn octets(entity: &Part, text: &Text, message: &[u8]) -> Found {
    match text {
        Text::Whole | Text::Text => Found::Octets(range(entity.body, message.len())),
        Text::Header | Text::Mime => Found::Octets(header_range(entity, message.len())),
        Text::Fields(selection, names) => {
            let header = &message[range(entity.header, message.len())];
            Found::Built(fields(header, *selection, names))
        }
    }
}

/// Up to the body, so that header and body together are the whole: the empty line belongs to the header.
fn header_range(entity: &Part, message_bytes: usize) -> Range<usize> {
    let end = entity.header.end.max(entity.body.start);
    range(Span { start: entity.header.start, end }, message_bytes)
}

/// A span of a stored summary, held to the message's bounds: the two come from different places.
pub(super) fn range(span: Span, message_bytes: usize) -> Range<usize> {
    let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(message_bytes);
    within(span.start)..within(span.end).max(within(span.start))
}

fn fields(header: &[u8], selection: Selection, names: &[Vec<u8>]) -> Vec<u8> {
    let mut built = Vec::new();
    for field in header::fields(header) {
        let named = names.iter().any(|name| field.name.eq_ignore_ascii_case(name));
        if named == (selection == Selection::Only) {
            built.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                built.extend_from_slice(b"\r\n");
            }
        }
    }
    built.extend_from_slice(b"\r\n");
    built
}

/// `<first.count>`; past the end it is empty, never NIL.
fn cut(found: Found, first: u64, count: u64) -> Found {
    let part = |range: Range<usize>| {
        let start = usize::try_from(first).unwrap_or(usize::MAX).min(range.len()) + range.start;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(range.end)
    };
    match found {
        Found::Octets(range) => Found::Octets(part(range)),
        Found::Built(octets) => Found::Built(octets[part(0..octets.len())].to_vec()),
        Found::Nothing => Found::Nothing,
    }
}
