//! Standard output: JSON Lines for programs, `key: value` lines and aligned columns for people.
//!
//! A reader that has gone away (`| head`) ends the output and is no error; a disk that is full is one.

use super::Failure;
use serde_json::Value;
use std::io::{self, BufWriter, StdoutLock, Write};

/// Rows from which the widths of columns are taken; later rows are shown as they come, so that a list of any length fits in
/// memory.
const MEASURED_ROWS: usize = 500;
/// A cell is cut here when others follow it.
const CELL_CHARS_MAX: usize = 60;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out {
    form: Form,
}

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// Whether somebody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Somebody does.
    There,
    /// The pipe is closed: what follows is wanted by nobody.
    Gone,
}

impl Out {
    /// JSON when asked for.
    pub fn new(json: bool) -> Out {
        Out { form: if json { Form::Json } else { Form::Text } }
    }
    /// For whom it prints.
    pub fn form(&self) -> Form {
        self.form
    }
    /// A line for people; nothing in JSON.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        match self.form {
            Form::Json => Ok(()),
            Form::Text => self.raw(text),
        }
    }
    /// Text that is itself the data, in either form.
    pub fn raw(&self, text: &str) -> Result<(), Failure> {
        settle(writeln!(io::stdout().lock(), "{}", text.trim_end())).map(drop)
    }
    /// One value: as JSON, or a line for each key, those in `order` first. A list of objects is shown below its key.
    pub fn record(&self, order: &[&str], value: &Value) -> Result<(), Failure> {
        let text = match self.form {
            Form::Json => value.to_string(),
            Form::Text => lines(order, value),
        };
        self.raw(&text)
    }
    /// Many values, all at hand: as JSON Lines, or these columns under a heading.
    pub fn table(&self, columns: &[&str], rows: &[Value]) -> Result<(), Failure> {
        let mut table = self.open_table(columns);
        for row in rows {
            if table.row(row)? == Reader::Gone {
                return Ok(());
            }
        }
        table.finish()
    }
    /// Many values, one by one.
    pub fn open_table<'a>(&self, columns: &'a [&'a str]) -> Table<'a> {
        let stdout = BufWriter::new(io::stdout().lock());
        Table { form: self.form, columns, measured: Vec::new(), widths: None, stdout }
    }
}

/// Rows on their way to standard output.
#[derive(Debug)]
pub struct Table<'a> {
    form: Form,
    columns: &'a [&'a str],
    measured: Vec<Vec<String>>,
    /// Known once enough rows were seen; then rows are no longer kept.
    widths: Option<Vec<usize>>,
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Table<'_> {
    /// Adds a row.
    pub fn row(&mut self, row: &Value) -> Result<Reader, Failure> {
        if self.form == Form::Json {
            return settle(writeln!(self.stdout, "{row}"));
        }
        let cells: Vec<String> = self.columns.iter().map(|column| plain(&row[*column])).collect();
        match &self.widths {
            Some(widths) => settle(writeln!(self.stdout, "{}", aligned(&cells, widths))),
            None => {
                self.measured.push(cells);
                if self.measured.len() < MEASURED_ROWS { Ok(Reader::There) } else { settle(self.begin()) }
            }
        }
    }
    /// Writes out what waits.
    pub fn finish(mut self) -> Result<(), Failure> {
        let begun = if self.widths.is_none() && !self.measured.is_empty() { self.begin() } else { Ok(()) };
        settle(begun.and_then(|()| self.stdout.flush())).map(drop)
    }

    /// The heading, and the rows so far.
    fn begin(&mut self) -> io::Result<()> {
        let heading: Vec<String> = self.columns.iter().map(|column| column.to_uppercase()).collect();
        let rows = std::mem::take(&mut self.measured);
        let width = |at: usize| rows.iter().chain([&heading]).map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).map(|width| width.min(CELL_CHARS_MAX)).collect();
        for row in [&heading].into_iter().chain(&rows) {
            writeln!(self.stdout, "{}", aligned(row, &widths))?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

/// The cells of one line; all but the last are cut to their column.
fn aligned(cells: &[String], widths: &[usize]) -> String {
    let Some((last, before)) = cells.split_last() else { return String::new() };
    let mut line = String::new();
    for (cell, &width) in before.iter().zip(widths) {
        let shown: String = match cell.chars().count() > width {
            true => cell.chars().take(width.saturating_sub(1)).chain(['~']).collect(),
            false => cell.clone(),
        };
        line.push_str(&format!("{shown:width$}  "));
    }
    (line + last).trim_end().to_owned()
}

fn lines(order: &[&str], value: &Value) -> String {
    let Some(fields) = value.as_object() else { return plain(value) };
    let first = order.iter().filter_map(|key| fields.get_key_value(*key));
    let rest = fields.iter().filter(|(key, _)| !order.contains(&key.as_str()));
    first.chain(rest).map(|(key, value)| field(key, value)).collect::<Vec<_>>().join("\n")
}

fn field(key: &str, value: &Value) -> String {
    match value.as_array() {
        Some(items) if items.iter().any(Value::is_object) => {
            let below = items.iter().map(|item| format!("\n  {}", plain(item)));
            format!("{key}:{}", below.collect::<String>())
        }
        _ => format!("{key}: {}", plain(value)),
    }
}

/// A value without JSON's quotes; control characters cannot steer a terminal.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let shown = fields.iter().map(|(key, value)| (key, plain(value))).filter(|(_, text)| !text.is_empty());
            shown.map(|(key, text)| format!("{key}={text}")).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn settle(written: io::Result<()>) -> Result<Reader, Failure> {
    match written {
        Ok(()) => Ok(Reader::There),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(e) => Err(Failure::bad(format!("standard output: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_are_lines_in_a_given_order() {
        for (value, expected) in [
            (json!({"b": 1, "a": "x", "c": null}), "c: \nb: 1\na: x"),
            (json!({"b": ["y", "z"], "c": "evil\u{1b}[2J"}), "c: evil?[2J\nb: y, z"),
            (json!({"c": [{"to": "x", "why": ""}, {"to": "y"}]}), "c:\n  to=x\n  to=y"),
        ] {
            assert_eq!(lines(&["c", "b"], &value), expected);
        }
    }

    #[test]
    fn columns_are_aligned_and_cut_but_for_the_last() {
        let cells = |cells: [&str; 3]| cells.map(str::to_owned);
        for (row, expected) in [
            (cells(["a", "b", "c"]), "a     b   c"),
            (cells(["aaaa", "bb", ""]), "aaaa  bb"),
            (cells(["12345", "b", "c"]), "123~  b   c"),
            (cells(["", "", "a long last cell"]), "          a long last cell"),
        ] {
            assert_eq!(aligned(&row, &[4, 2, 1]), expected);
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert_eq!(settle(Err(io::ErrorKind::BrokenPipe.into())).expect("no error"), Reader::Gone);
        assert!(settle(Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
