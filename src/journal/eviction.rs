//! Eviction: every file that is live now is to go, because it may hold the key or the octets of a message that was erased. What
//! is still needed is carried out of it. Rules: docs/journal-format.md section 5d.

use super::Error;
use super::error::Answer;
use super::header;
use super::header::Area;
use super::journal::Journal;
use super::queue::Job;
use super::replay::QUARANTINE;
use super::spares;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

/// Files that are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// All up to this ordinal.
    through: u64,
    /// How many they were.
    pub files: u64,
}

/// How far an eviction is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evicted {
    /// No file holds anything of it any more.
    Done,
    /// Why one still may, in words.
    Not(String),
}

impl Journal {
    /// Leaves the file being written and lets all files up to it go. What is in them and not sealed must be sealed first, what is
    /// still to be delivered is carried out of them.
    pub fn evict(&self) -> Result<Eviction, Error> {
        let (sender, receiver) = mpsc::channel();
        // Should the receiver be gone, nobody needs the answer.
        let done = Answer::new(Box::new(move |result| drop(sender.send(result))));
        let files = self.shared().live.files.load(Ordering::Relaxed) as u64;
        self.shared().queue.push(Job::Turn(done))?;
        let through = receiver.recv().map_err(|_| Error::closed())??;
        self.shared().carrier.evict(through);
        self.shared().queue.push(Job::Retire)?;
        Ok(Eviction { through, files })
    }

    /// How far an eviction is. Each call has the writer look again at what can go.
    pub fn evicted(&self, eviction: &Eviction) -> Result<Evicted, Error> {
        let oldest = self.shared().live.oldest.load(Ordering::Acquire);
        if oldest <= eviction.through {
            self.shared().queue.push(Job::Retire)?;
            let why = "journal files are still needed by mail that is being received, sealed or delivered";
            return Ok(Evicted::Not(why.to_owned()));
        }
        match self.quarantined().map_err(|e| Error::disk("look into the journal's quarantine", &e))? {
            0 => Ok(Evicted::Done),
            count => Ok(Evicted::Not(format!(
                "{} damaged journal files are kept in {}/{QUARANTINE}; remove them when they are investigated",
                count,
                self.shared().settings.dir.display()
            ))),
        }
    }

    /// Copies of damaged files that still have a header, and with it their key.
    fn quarantined(&self) -> io::Result<usize> {
        let (disk, dir) = (&*self.shared().disk, self.shared().settings.dir.join(QUARANTINE));
        let names = match disk.list(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            names => names?,
        };
        let mut count = 0;
        for name in names {
            let areas = spares::header_areas(disk, &dir.join(name))?;
            count += usize::from(areas.iter().any(|area| header::read(area) != Area::Nothing));
        }
        Ok(count)
    }
}
