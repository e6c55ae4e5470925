//! Commands that show sealed mail are recorded before they do: by the running server, or, when none runs, here. What cannot be
//! recorded is not shown.

use super::{Failure, ask};
use crate::access::audit::{Error, Record, Writer};
use crate::archive::Archive;
use crate::catalog::{Aim, Listing, Query, Reading, Row};
use crate::clock::SystemClock;
use crate::crypto::hash;
use crate::durable::RealDisk;
use crate::gateway::control::Request;
use crate::gateway::ledger::Ledger;
use crate::gateway::post::Places;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long another writer is waited for: a server that starts, or another command.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// Records written at once.
const BATCH_RECORDS: usize = 256;

/// Messages of one mailbox: ranges of UIDs, and how many.
#[derive(Default)]
struct Chosen {
    ranges: Vec<(u32, u32)>,
    count: u64,
}

impl Chosen {
    /// One more, in ascending order.
    fn push(&mut self, uid: u32) {
        self.count += 1;
        match self.ranges.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(uid) => last.1 = uid,
            _ => self.ranges.push((uid, uid)),
        }
    }
}

/// Records one command.
pub struct Recorder {
    places: Places,
    ledger: Ledger,
}

impl Recorder {
    /// Of the command that runs.
    pub fn new(places: &Places, archive: &Archive) -> Result<Recorder, Failure> {
        let ledger = Ledger::of_command(Arc::new(SystemClock), archive.public_key()).map_err(Failure::temporary)?;
        Ok(Recorder { places: places.clone(), ledger })
    }

    /// These terms are looked for in the whole archive.
    pub fn search(&mut self, command: &'static str, terms: &str) -> Result<(), Failure> {
        let aim = Aim::Terms(terms.as_bytes().to_vec());
        self.keep(vec![Reading { command, mailbox: String::new(), aim }])
    }

    /// These messages are shown.
    pub fn show(&mut self, rows: &[Row], items: &str) -> Result<(), Failure> {
        let mut chosen: BTreeMap<String, Chosen> = BTreeMap::new();
        rows.iter().for_each(|row| chosen.entry(row.mailbox.clone()).or_default().push(row.uid));
        self.messages("archive show", items, chosen)
    }

    /// All that a query finds is written out.
    pub fn walk(&mut self, command: &'static str, listing: &Listing, query: &Query) -> Result<(), Failure> {
        let mut chosen: BTreeMap<String, Chosen> = BTreeMap::new();
        let listed: Result<(), crate::catalog::Error> = listing.each(query, |row| {
            chosen.entry(row.mailbox).or_default().push(row.uid);
            Ok(())
        });
        listed.map_err(Failure::bad)?;
        self.messages(command, "octets", chosen)
    }

    /// The command is done.
    pub fn end(&self) -> Result<(), Failure> {
        self.write(&[self.ledger.end()])
    }

    fn messages(
        &mut self,
        command: &'static str,
        items: &str,
        chosen: BTreeMap<String, Chosen>,
    ) -> Result<(), Failure> {
        let reading = |(mailbox, chosen): (String, Chosen)| {
            let aim = Aim::Messages { uids: chosen.ranges, count: chosen.count, items: items.to_owned() };
            Reading { command, mailbox, aim }
        };
        self.keep(chosen.into_iter().map(reading).collect())
    }

    fn keep(&mut self, readings: Vec<Reading>) -> Result<(), Failure> {
        let records = readings.into_iter().map(|reading| self.ledger.reading(reading));
        let records: Vec<Record> = records.collect::<Result<_, _>>().map_err(Failure::temporary)?;
        self.write(&records)
    }

    fn write(&self, records: &[Record]) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.tell(records)? {
                Told::Server => return Ok(()),
                Told::Nobody => match self.write_here(records) {
                    Err(Error::Busy) if Instant::now() < until => std::thread::sleep(PAUSE),
                    written => return written.map_err(unrecorded),
                },
            }
        }
    }

    /// By the server that runs.
    fn tell(&self, records: &[Record]) -> Result<Told, Failure> {
        for record in records {
            let request = Request::Audit { record: hash::hex(&record.encode()) };
            if ask(&self.places, &request).map_err(|failure| unrecorded(failure.text))?.is_none() {
                return Ok(Told::Nobody);
            }
        }
        Ok(Told::Server)
    }

    fn write_here(&self, records: &[Record]) -> Result<(), Error> {
        let mut writer = Writer::open(Arc::new(RealDisk), &self.places.read_audit)?;
        records.chunks(BATCH_RECORDS).try_for_each(|batch| writer.append(batch).map(drop))
    }
}

/// Who has recorded.
enum Told {
    Server,
    Nobody,
}

fn unrecorded(why: impl std::fmt::Display) -> Failure {
    Failure::temporary(format!("nothing is shown, for it cannot be recorded: {why}"))
        .with_help("is there space for audit/ below data_dir, and does it belong to the gateway's user?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_in_a_row_are_one_range() {
        let mut chosen = Chosen::default();
        [3, 4, 5, 9, u32::MAX].into_iter().for_each(|uid| chosen.push(uid));
        assert_eq!((chosen.ranges.as_slice(), chosen.count), (&[(3, 5), (9, 9), (u32::MAX, u32::MAX)][..], 5));
    }
}
