//! Standard output: JSON Lines for programs, aligned columns for people.

use serde_json::Value;
use std::io::{self, Write};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out {
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text,
}

impl Out {
    /// JSON when asked for.
    pub fn new(json: bool) -> Out {
        Out { form: if json { Form::Json } else { Form::Text } }
    }
    /// A line for people; nothing in JSON.
    pub fn line(&self, text: &str) {
        if self.form == Form::Text {
            print(text.trim_end());
        }
    }
    /// One value: as JSON, or `key: value` lines.
    pub fn record(&self, value: &Value) {
        match self.form {
            Form::Json => print(&value.to_string()),
            Form::Text => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    print(&format!("{key}: {}", plain(value)));
                }
            }
        }
    }
    /// Many values: as JSON Lines, or these columns under a heading.
    pub fn table(&self, columns: &[&str], rows: &[Value]) {
        if self.form == Form::Json {
            for row in rows {
                print(&row.to_string());
            }
            return;
        }
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| columns.iter().map(|column| plain(&row[column])).collect()).collect();
        let width = |at: usize| {
            let of_cells = cells.iter().map(|row| row[at].chars().count());
            of_cells.chain([columns[at].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let show = |row: &[String]| {
            let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            print(padded.collect::<Vec<_>>().join("  ").trim_end());
        };
        if !cells.is_empty() {
            show(&columns.iter().map(|c| c.to_uppercase()).collect::<Vec<_>>());
        }
        cells.iter().for_each(|row| show(row));
    }
}

/// A value without JSON's quotes; control characters cannot steer a terminal.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields.values().map(plain).filter(|v| !v.is_empty()).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A reader that has gone away (`| head`) is no error of ours.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n"));
    if let Err(e) = written
        && e.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!("error: standard output: {e}");
    }
}
