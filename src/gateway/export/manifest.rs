//! The manifest of an export: JSON Lines beside it, one for each message, by which somebody else can tell that nothing was lost or changed
//! on the way. Holds no content of mail.

use super::{failed, new_file};
use crate::catalog::Row;
use crate::crypto::hash;
use crate::gateway::error::Error;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A manifest under way.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    /// Made with the first line.
    file: Option<BufWriter<File>>,
}

impl Manifest {
    /// `OUTPUT.manifest.jsonl`.
    pub fn beside(output: &Path) -> Manifest {
        let mut name = output.file_name().unwrap_or_default().to_owned();
        name.push(".manifest.jsonl");
        Manifest { path: output.with_file_name(name), file: None }
    }

    /// Adds a message, and where it was written to.
    pub fn line(&mut self, row: &Row, place: Value) -> Result<(), Error> {
        let mut line = json!({
            "id": row.id.to_string(),
            "sha256": hash::hex(&row.sha256),
            "size": row.size,
            "from": row.sender,
            "to": row.recipients,
            "accepted_at": row.accepted_at.rfc3339(),
            "internal_date": row.internal_date.rfc3339(),
            "mailbox": row.mailbox,
            "uid": row.uid,
        });
        for (key, value) in place.as_object().into_iter().flatten() {
            line[key] = value.clone();
        }
        let path = self.path.clone();
        writeln!(self.file()?, "{line}").map_err(|e| Error::io(&path, &e))
    }

    /// Writes out what is buffered; an export of nothing has an empty manifest.
    pub fn finish(mut self) -> Result<(), Error> {
        let path = self.path.clone();
        self.file()?.flush().map_err(|e| Error::io(&path, &e))
    }

    fn file(&mut self) -> Result<&mut BufWriter<File>, Error> {
        let file = match self.file.take() {
            Some(file) => file,
            None => BufWriter::new(new_file(&self.path).map_err(|e| failed(&self.path, &e))?),
        };
        Ok(self.file.insert(file))
    }
}
