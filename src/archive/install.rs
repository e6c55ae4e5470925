//! A new generation becomes the one that counts, in the order that `docs/archive-format.md` section 3 prescribes. A crash at any
//! step leaves the former generation or the new one, whole.

use super::Error;
use super::cursor::Malformed;
use super::files;
use super::keys::GENERATION_BYTES_MAX;
use super::keys::Generation;
use super::leaf::Key;
use super::officers::Certificate;
use super::open::Archive;
use super::open::lock;
use super::seal::append;
use crate::clock::Timestamp;
use crate::journal::Journal;

impl Archive {
    /// Takes a generation file into use: what is sealed when this returns, and later, is sealed to it alone. It must follow the
    /// newest one; that it can be opened is not known here.
    pub fn install(&self, journal: &Journal, octets: &[u8], now: Timestamp) -> Result<(), Error> {
        let _pass = lock(&self.inner.pass);
        self.catch_up(journal)?;
        let generation = self.checked(octets, now)?;
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let path = layout.generation(generation.number);
        let io = |e| Error::io(layout.name(&path), e);
        files::stage(disk, &path, octets).map_err(io)?;
        files::publish(disk, &[&path]).map_err(io)?;
        if files::read(disk, &path, GENERATION_BYTES_MAX).map_err(io)? != octets {
            return Err(Error::damaged(layout.name(&path), Malformed("not what was written a moment ago")));
        }
        // Durable from here, and still nothing: a crash leaves a file that the next start removes.
        append(journal, &[Key::of(&generation).to_leaf().ok_or(Error::Bug("a KEY leaf is too long"))?])?;
        // The generation counts from here. After a crash `catch_up` finds its KEY leaf in the journal.
        self.extend_log(journal)?;
        self.current_key().write_hint(disk, layout)
    }

    fn checked(&self, octets: &[u8], now: Timestamp) -> Result<Generation, Error> {
        let refuse = |text: String| Err(Error::Officer(text));
        if octets.len() as u64 > GENERATION_BYTES_MAX {
            return refuse("the generation file is longer than it can be".into());
        }
        let generation = match Generation::parse(octets) {
            Ok(generation) => generation,
            Err(what) => return refuse(format!("no generation file: {what}")),
        };
        let newest = self.current_key().generation.number;
        if generation.archive != self.id() {
            return refuse(format!("this generation is of another archive, {}", generation.archive));
        }
        if generation.number != newest + 1 {
            return refuse(format!(
                "this is generation {} and the archive is at {newest}: the next is {}, made from that one",
                generation.number,
                newest + 1
            ));
        }
        for officer in &generation.officers {
            let certificate = Certificate::parse(&officer.certificate, now)?;
            if certificate.fingerprint() != officer.fingerprint {
                return refuse(format!("the certificate of {} is another's", officer.fingerprint));
            }
        }
        Ok(generation)
    }
}
