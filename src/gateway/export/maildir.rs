//! A Maildir that messages are added to. Names are made of the message's id, so that the same message has the same name for ever, and is
//! not added twice.

use super::{failed, private_dir, unfinished, whole_file};
use crate::catalog::Row;
use crate::durable::{Disk, RealDisk};
use crate::gateway::error::Error;
use std::path::{Path, PathBuf};

/// A Maildir.
#[derive(Debug)]
pub struct Maildir(PathBuf);

impl Maildir {
    /// Makes its directories; those that are there are taken as they are.
    pub fn create(path: &Path) -> Result<Maildir, Error> {
        for name in ["tmp", "new", "cur"] {
            let dir = path.join(name);
            private_dir(&dir).map_err(|e| failed(&dir, &e))?;
        }
        Ok(Maildir(path.to_owned()))
    }

    /// The file of a message, below the Maildir: read (`S`), and with its size for servers that count quotas by names.
    fn name(row: &Row) -> String {
        format!("cur/{}.{}.sealpost,S={}:2,S", row.internal_date.s().max(0), row.id, row.size)
    }

    /// Whether the message is there.
    pub fn has(&self, row: &Row) -> bool {
        self.0.join(Self::name(row)).exists()
    }

    /// Adds a message; its file below the Maildir. It is in `cur` whole or not at all.
    pub fn add(&self, row: &Row, octets: &[u8]) -> Result<String, Error> {
        let name = Self::name(row);
        let (path, temporary) = (self.0.join(&name), self.0.join(format!("tmp/{}.sealpost", row.id)));
        if path.exists() {
            return Err(failed(&path, &std::io::ErrorKind::AlreadyExists.into()));
        }
        if temporary.exists() {
            // What a killed export or restore left: it was never the message.
            std::fs::remove_file(&temporary).map_err(|e| Error::io(&temporary, &e))?;
        }
        whole_file(&temporary, octets, row.internal_date)?;
        RealDisk.rename(&temporary, &path).map_err(|e| unfinished(&temporary, &e))?;
        Ok(name)
    }
}
