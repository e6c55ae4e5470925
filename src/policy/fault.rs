//! Faults in a text people write: file, line, column, the line itself, a caret, and what to do. Never stops at the first.

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Characters of a line that are kept for showing.
const LINE_CHARS_MAX: usize = 200;

/// Whether a report may use terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Colours and line drawing.
    Terminal,
    /// Printable ASCII around the text itself.
    Plain,
}

/// A text with a name, in which faults are found.
#[derive(Clone, Debug)]
pub struct Document {
    name: String,
    /// The text as it is shown: control characters replaced octet for octet, so that a fault cannot steer a terminal.
    shown: Arc<NamedSource<String>>,
    line_starts: Arc<Vec<usize>>,
}

/// One fault and its place.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The document's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Octets in the document.
    pub span: Range<usize>,
    /// The line, shortened when very long.
    pub line_text: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed or meant, if there is anything to say.
    pub help: Option<String>,
    source: Arc<NamedSource<String>>,
}

impl Document {
    /// A document of this name and text.
    pub fn new(name: &str, text: &str) -> Document {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Document {
            name: name.to_owned(),
            shown: Arc::new(NamedSource::new(name, printable(text))),
            line_starts: Arc::new(line_starts),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line an octet lies in, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    /// A fault at a span of octets; one that reaches beyond the text is cut.
    pub fn fault(&self, span: Range<usize>, message: impl Into<String>, help: Option<String>) -> Fault {
        let text = self.shown.inner();
        let start = floor_char_boundary(text, span.start);
        let span = start..floor_char_boundary(text, span.end).max(start);
        let line = self.line(start);
        let line_start = self.line_starts[line - 1];
        let rest = &text[line_start..];
        Fault {
            file: self.name.clone(),
            line,
            column: text[line_start..start].chars().count() + 1,
            span,
            line_text: rest.lines().next().unwrap_or_default().chars().take(LINE_CHARS_MAX).collect(),
            message: message.into(),
            help,
            source: Arc::clone(&self.shown),
        }
    }
}

impl Fault {
    /// The whole report: message, place, line, caret, help.
    pub fn report(&self, colour: Colour) -> String {
        let theme = match colour {
            Colour::Terminal => GraphicalTheme::unicode(),
            Colour::Plain => GraphicalTheme::none(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(120);
        let mut out = String::new();
        match handler.render_report(&mut out, self) {
            Ok(()) => out,
            // A report that cannot be drawn still says what and where.
            Err(fmt::Error) => format!("{}:{}:{}: {self}\n", self.file, self.line, self.column),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Diagnostic for Fault {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(None, self.span.clone()))))
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// Control characters as `?`, one for each octet, so that spans stay true.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(c),
            _ if c.is_control() => out.extend(std::iter::repeat_n('?', c.len_utf8())),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters() {
        let document = Document::new("a.toml", "eins\nzwei ü x\n\u{1b}[2J");
        for (span, line, column, text) in [
            (0..4, 1, 1, "eins"),
            (4..4, 1, 5, "eins"),
            (5..9, 2, 1, "zwei ü x"),
            (13..14, 2, 8, "zwei ü x"),
            (11..12, 2, 6, "zwei ü x"),
            (15..99, 3, 1, "?[2J"),
            (99..999, 3, 5, "?[2J"),
        ] {
            let fault = document.fault(span.clone(), "m", None);
            assert_eq!((fault.line, fault.column, fault.line_text.as_str()), (line, column, text), "{span:?}");
        }
        assert_eq!(Document::new("empty", "").fault(0..0, "m", None).line, 1);
    }

    #[test]
    fn reports_show_place_line_caret_and_help() {
        let document = Document::new("p/a.toml", "x = 1\nfoo = { bar = 2 }\ny = 3\n");
        let fault = document.fault(14..17, "unknown key `bar`", Some("did you mean `baz`?".into()));
        let plain = fault.report(Colour::Plain);
        for piece in ["unknown key `bar`", "p/a.toml:2:9", "foo = { bar = 2 }", "^", "did you mean `baz`?"] {
            assert!(plain.contains(piece), "{piece} in\n{plain}");
        }
        assert!(!plain.contains('\u{1b}'), "{plain}");
        assert!(fault.report(Colour::Terminal).contains('\u{1b}'));
    }
}
