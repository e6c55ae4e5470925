//! From a section to octets of the message: part numbers (RFC 3501 section 6.4.5) over a scanned structure. Copies only
//! selected header fields.

use super::section::Section;
use super::section::Selection;
use super::section::Wanted;
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
        (Wanted::Whole, []) => Found::Octets(0..message.len()),
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
fn entity<'a, 't>(root: &'a Part, numbers: &[u32], text: &'t Wanted) -> Option<(&'a Part, &'t Wanted)> {
    let Some((first, rest)) = numbers.split_first() else { return Some((root, text)) };
    let mut part = of_message(root, *first)?;
    for number in rest {
        part = of_part(part, *number)?;
    }
    match (text, &part.content) {
        (Wanted::Whole | Wanted::Mime, _) => Some((part, text)),
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

fn octets(entity: &Part, text: &Wanted, message: &[u8]) -> Found {
    match text {
        Wanted::Whole | Wanted::Text => Found::Octets(range(entity.body, message.len())),
        Wanted::Header | Wanted::Mime => Found::Octets(header_range(entity, message.len())),
        Wanted::Fields(selection, names) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cursor::Cursor;
    use crate::imap::section::Item;
    use crate::imap::section::items;
    use crate::mail::structure::scan;

    const MESSAGE: &str = "Subject: outer\r\nX: 1\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\npre\r\n--x\r\n\r\none\r\n--x\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n\
        --y\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--y\r\n\r\nthree\r\n--y--\r\n--x\r\nContent-Type: message/rfc822\r\n\
        \r\nSubject: last\r\n\r\nfour\r\n--x--\r\n";

    fn section(text: &str) -> Box<Section> {
        match items(&mut Cursor::new(text.as_bytes())).expect("an item").remove(0) {
            Item::Section(section) => section,
            other => panic!("{other:?} is no section"),
        }
    }

    fn found(text: &str, message: &str) -> Option<String> {
        let octets = message.as_bytes();
        let octets = match locate(&section(text), &scan(octets), octets) {
            Found::Octets(range) => octets[range].to_vec(),
            Found::Built(octets) => octets,
            Found::Nothing => return None,
        };
        Some(String::from_utf8(octets).expect("UTF-8"))
    }

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(found(text, MESSAGE).as_deref(), expected, "{text}");
    }

    #[test]
    fn part_numbers_lead_to_octets() {
        check("BODY[]", Some(MESSAGE));
        check("BODY[1]", Some("one"));
        check("BODY[1.MIME]", Some("\r\n"));
        check("BODY[2.MIME]", Some("Content-Type: message/rfc822\r\n\r\n"));
        check("BODY[2.HEADER]", Some("Subject: inner\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n"));
        check("BODY[2.HEADER.FIELDS (subject)]", Some("Subject: inner\r\n\r\n"));
        check("BODY[2.1]", Some("two"));
        check("BODY[2.1.MIME]", Some("Content-Type: text/plain\r\n\r\n"));
        check("BODY[2.2]", Some("three"));
        check("BODY[3]", Some("Subject: last\r\n\r\nfour"));
        check("BODY[3.TEXT]", Some("four"));
        check("BODY[3.1]", Some("four"));
        check("BODY[3.1.MIME]", Some("Subject: last\r\n\r\n"));
        for nothing in
            ["[4]", "[1.1]", "[1.TEXT]", "[1.HEADER]", "[2.3]", "[2.1.1]", "[3.2]", "[3.1.HEADER]", "[4294967295]"]
        {
            check(&format!("BODY{nothing}"), None);
        }
    }

    #[test]
    fn header_and_text_are_the_whole() {
        for message in [MESSAGE, "A: b\r\n\r\n", "A: b\r\n", "A: b", "", "\r\nx", "no header\n\nx", "A: b\n\nbody"] {
            let halves = [found("BODY[HEADER]", message), found("BODY[TEXT]", message)].map(Option::unwrap_or_default);
            assert_eq!(halves.concat(), message, "{message:?}");
        }
    }

    #[test]
    fn fields_are_chosen_and_ended() {
        check("BODY[HEADER.FIELDS (x NONE subject)]", Some("Subject: outer\r\nX: 1\r\n\r\n"));
        check("BODY[HEADER.FIELDS.NOT (subject content-type)]", Some("X: 1\r\n\r\n"));
        check("BODY[HEADER.FIELDS (none)]", Some("\r\n"));
        assert_eq!(found("BODY[HEADER.FIELDS (a)]", "A: b").as_deref(), Some("A: b\r\n\r\n"));
    }

    #[test]
    fn partial_ranges_are_cut() {
        check("BODY[1]<0.2>", Some("on"));
        check("BODY[1]<1.100>", Some("ne"));
        check("BODY[1]<3.1>", Some(""));
        check("BODY[1]<9223372036854775807.9223372036854775807>", Some(""));
        check("BODY[HEADER.FIELDS (x)]<2.4>", Some(" 1\r\n"));
        check("BODY[9]<0.1>", None);
    }

    #[test]
    fn a_message_that_is_a_message_is_its_own_first_part() {
        let message = "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nin";
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(found(text, message).as_deref(), expected, "{text}");
        check("BODY[1]", Some("A: b\r\n\r\nin"));
        check("BODY[1.HEADER]", Some("A: b\r\n\r\n"));
        check("BODY[1.1]", Some("in"));
        check("BODY[HEADER]", Some("Content-Type: message/rfc822\r\n\r\n"));
    }

    #[test]
    fn spans_of_another_message_are_held_to_this_one() {
        let far = scan(MESSAGE.as_bytes());
        for text in ["BODY[3.1]", "BODY[HEADER]", "BODY[2.HEADER.FIELDS (a)]", "BODY[TEXT]<5.5>"] {
            assert_ne!(locate(&section(text), &far, b"short"), Found::Nothing, "{text}");
        }
    }
}
