//! The scanner behind `structure::scan`: one pass over the lines with a stack of open entities. Never decodes a body and never
//! reads a line twice.

use super::address_list::ADDRESSES_MAX;
use super::entity;
use super::entity::Default as DefaultType;
use super::header::span;
use super::lines::Line;
use super::lines::lines;
use super::structure::Content;
use super::structure::DEPTH_MAX;
use super::structure::PARAMETERS_KEPT_MAX;
use super::structure::PARTS_MAX;
use super::structure::Part;
use super::structure::Span;
use super::summary::EnvelopeFields;
use super::summary::envelope_fields;

pub(super) fn scan(message: &[u8]) -> Part {
    let mut scanner = Scanner::new(message);
    for line in lines(message, 0) {
        scanner.line(line);
    }
    scanner.finish()
}

/// An entity whose end has not been seen.
struct Open {
    part: Part,
    default: DefaultType,
    header_start: usize,
    body_start: usize,
    /// Line breaks of the message before the body.
    breaks_before: u64,
    state: State,
}

enum State {
    Header,
    Leaf,
    Multipart { boundary: Vec<u8>, parts: Vec<Part>, more: More },
    Message { inner: Option<Box<Part>>, envelope: Box<EnvelopeFields> },
}

/// Whether a multipart still listens to its boundary.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Parts,
    /// The closing delimiter was seen (or the bound on parts reached): what follows is epilogue.
    Epilogue,
}

/// A delimiter line of the multipart at `level` of the stack.
struct Delimiter {
    level: usize,
    kind: DelimiterKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DelimiterKind {
    Opens,
    Closes,
}

/// Where bodies end when a delimiter line or the end of the message closes them.
#[derive(Clone, Copy)]
struct End {
    at: usize,
    /// Line breaks of the message before `at`.
    breaks: u64,
}

struct Scanner<'a> {
    message: &'a [u8],
    /// From the message itself down to the innermost open entity.
    stack: Vec<Open>,
    whole: Option<Part>,
    parts: usize,
    /// Line breaks before the current line.
    breaks: u64,
    /// Octets of the line break before the current line.
    last_break_bytes: usize,
    addresses_left: usize,
    parameters_left: usize,
}

impl<'a> Scanner<'a> {
    fn new(message: &'a [u8]) -> Scanner<'a> {
        let mut scanner = Scanner {
            message,
            stack: Vec::new(),
            whole: None,
            parts: 0,
            breaks: 0,
            last_break_bytes: 0,
            addresses_left: ADDRESSES_MAX,
            parameters_left: PARAMETERS_KEPT_MAX,
        };
        scanner.open(0, DefaultType::Text);
        scanner
    }

    fn line(&mut self, line: Line) {
        if let Some(delimiter) = self.delimiter(line.content) {
            self.delimit(&delimiter, line);
        } else if line.content.is_empty() && self.stack.last().is_some_and(|open| matches!(open.state, State::Header)) {
            let breaks = self.breaks + 1;
            self.end_header(line.start, line.end, breaks);
        }
        self.last_break_bytes = line.break_bytes();
        self.breaks += u64::from(self.last_break_bytes > 0);
    }

    fn finish(mut self) -> Part {
        self.close_above(0, End { at: self.message.len(), breaks: self.breaks });
        self.whole.take().unwrap_or_default()
    }

    /// `dash-boundary transport-padding` or `close-delimiter transport-padding` (RFC 2046 section 5.1.1) of an open multipart,
    /// the innermost first. At most `DEPTH_MAX` comparisons, each no longer than the line.
    fn delimiter(&self, content: &[u8]) -> Option<Delimiter> {
        let dashed = content.strip_prefix(b"--")?;
        let padding = dashed.iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let word = &dashed[..dashed.len() - padding];
        self.stack.iter().enumerate().rev().find_map(|(level, open)| {
            let State::Multipart { boundary, more: More::Parts, .. } = &open.state else { return None };
            let kind = match word.strip_prefix(boundary.as_slice())? {
                b"" => DelimiterKind::Opens,
                b"--" => DelimiterKind::Closes,
                _ => return None,
            };
            Some(Delimiter { level, kind })
        })
    }

    fn delimit(&mut self, delimiter: &Delimiter, line: Line) {
        self.close_inside(delimiter.level, line.start);
        let room = self.parts < PARTS_MAX;
        let Some(Open { part, state: State::Multipart { more, .. }, .. }) = self.stack.get_mut(delimiter.level) else {
            return;
        };
        if delimiter.kind == DelimiterKind::Opens && room {
            let default = if part.subtype == "digest" { DefaultType::Message } else { DefaultType::Text };
            self.open(line.end, default);
        } else {
            *more = More::Epilogue;
        }
    }

    fn open(&mut self, header_start: usize, default: DefaultType) {
        self.parts += 1;
        self.stack.push(Open {
            part: Part::default(),
            default,
            header_start,
            body_start: header_start,
            breaks_before: 0,
            state: State::Header,
        });
    }

    /// The innermost entity's header ends at `header_end`: what it says decides what its body is.
    fn end_header(&mut self, header_end: usize, body_start: usize, breaks_before: u64) {
        let may_nest = self.stack.len() < DEPTH_MAX && self.parts < PARTS_MAX;
        let Some(open) = self.stack.last_mut() else { return };
        let header_start = open.header_start.min(header_end);
        let header = &self.message[header_start..header_end];
        let entity = entity::read(header, open.default, &mut self.parameters_left);
        open.part = entity.part;
        open.part.header = span(header_start, header_end);
        open.body_start = body_start;
        open.breaks_before = breaks_before;
        let is_message = is_readable_message(&open.part);
        open.state = match entity.boundary {
            Some(boundary) if may_nest => State::Multipart { boundary, parts: Vec::new(), more: More::Parts },
            None if may_nest && is_message => State::Message { inner: None, envelope: Box::default() },
            _ => State::Leaf,
        };
        if matches!(open.state, State::Message { .. }) {
            self.open(body_start, DefaultType::Text);
        }
    }

    /// Closes everything inside the multipart at `level` before the delimiter line that begins at `at`: the line break before
    /// the delimiter is part of it. A part without even that ends where its header begins.
    fn close_inside(&mut self, level: usize, at: usize) {
        let Some(child) = self.stack.get(level + 1) else { return };
        let end = at.saturating_sub(self.last_break_bytes).max(child.header_start);
        self.close_above(level + 1, End { at: end, breaks: self.breaks - u64::from(end < at) });
    }

    /// Closes entities until `depth` are left.
    fn close_above(&mut self, depth: usize, end: End) {
        while self.stack.len() > depth {
            if self.stack.last().is_some_and(|open| matches!(open.state, State::Header)) {
                self.end_header(end.at, end.at, end.breaks);
            } else if let Some(open) = self.stack.pop() {
                let part = self.closed(open, end);
                self.attach(part);
            }
        }
    }

    fn closed(&mut self, open: Open, end: End) -> Part {
        let mut part = open.part;
        // The empty line may itself be the delimiter's line break: then there is no body.
        part.body = span(open.body_start.min(end.at), end.at);
        part.lines = self.lines_in(part.body, end.breaks.saturating_sub(open.breaks_before));
        part.content = match open.state {
            State::Multipart { parts, .. } if !parts.is_empty() => Content::Multipart(parts),
            State::Message { inner: Some(inner), envelope } => Content::Message(inner, envelope),
            _ => Content::Leaf,
        };
        part
    }

    fn lines_in(&self, body: Span, breaks: u64) -> u64 {
        if body.start == body.end {
            return 0;
        }
        let last = usize::try_from(body.end - 1).ok().and_then(|at| self.message.get(at));
        breaks + u64::from(last != Some(&b'\n'))
    }

    fn attach(&mut self, part: Part) {
        match self.stack.last_mut().map(|parent| &mut parent.state) {
            Some(State::Multipart { parts, .. }) => parts.push(part),
            Some(State::Message { inner, envelope }) => {
                let header = part.header.of(self.message);
                **envelope = envelope_fields(header, &mut self.addresses_left);
                *inner = Some(Box::new(part));
            }
            _ => self.whole = Some(part),
        }
    }
}

/// A message/rfc822 whose body is the message itself (RFC 2046 section 5.2.1 admits no other encoding; some senders do).
fn is_readable_message(part: &Part) -> bool {
    part.media_type == "message"
        && part.subtype == "rfc822"
        && matches!(part.transfer_encoding.as_str(), "7bit" | "8bit" | "binary")
}
