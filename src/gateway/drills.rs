//! Drills: when officers last proved that they can open the archive. Kept beside the archive in `drills`, JSON; says nothing of
//! keys. Without a drill for half a year an alarm is due.

use super::error::Error;
use crate::archive::Generation;
use crate::clock::Timestamp;
use crate::durable::{self, Disk};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Days without a drill after which somebody must be told.
const ALARM_DAYS: i64 = 180;
const DAY_S: i64 = 86_400;
/// Octets of the file: seven officers in 256 generations have less.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One officer's last proof of one generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Proof {
    officer: String,
    generation: u32,
    at_ms: Timestamp,
}

/// All proofs, the newest of each officer and generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drills {
    proofs: Vec<Proof>,
}

impl Drills {
    /// Reads the file; none yet is no fault.
    pub fn load(disk: &dyn Disk, path: &Path) -> Result<Drills, Error> {
        let octets = match disk.open_read(path).and_then(|file| file.len()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Drills::default()),
            Err(e) => return Err(Error::io(path, &e)),
            Ok(length) if length > FILE_BYTES_MAX => return Err(damaged(path, "longer than it can be")),
            Ok(_) => disk.read(path).map_err(|e| Error::io(path, &e))?,
        };
        Drills::parse(&octets).map_err(|e| damaged(path, e))
    }
    /// Reads what `record` wrote.
    pub fn parse(octets: &[u8]) -> Result<Drills, serde_json::Error> {
        serde_json::from_slice(octets)
    }
    /// Notes that these officers proved it, and makes that durable.
    pub fn record(
        mut self,
        disk: &dyn Disk,
        path: &Path,
        generation: u32,
        officers: &[String],
        now: Timestamp,
    ) -> Result<Drills, Error> {
        self.proofs.retain(|proof| proof.generation != generation || !officers.contains(&proof.officer));
        let proof = |officer: &String| Proof { officer: officer.clone(), generation, at_ms: now };
        self.proofs.extend(officers.iter().map(proof));
        let octets = serde_json::to_vec(&self).map_err(|e| Error::of("drills", e))?;
        durable::replace(disk, path, &octets).map_err(|e| Error::io(path, &e))?;
        Ok(self)
    }
    /// When an officer last proved it for this generation.
    pub fn of(&self, officer: &str, generation: u32) -> Option<Timestamp> {
        let proofs = self.proofs.iter().filter(|p| p.officer == officer && p.generation == generation);
        proofs.map(|proof| proof.at_ms).max()
    }
    /// When so many officers as it takes were last shown to be able to open this generation.
    pub fn last(&self, generation: &Generation) -> Option<Timestamp> {
        let officers: BTreeSet<&String> = generation.officers.iter().map(|officer| &officer.fingerprint).collect();
        let mut times: Vec<_> = officers.into_iter().filter_map(|o| self.of(o, generation.number)).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        // The newest drill proved this many at once.
        times.get(usize::from(generation.threshold).checked_sub(1)?).copied()
    }
    /// When the next drill is due.
    pub fn due(&self, generation: &Generation) -> Timestamp {
        self.last(generation).unwrap_or(generation.created).plus_s(ALARM_DAYS * DAY_S)
    }
    /// What to tell whoever operates the gateway, if a drill is overdue.
    pub fn alarm(&self, generation: &Generation, now: Timestamp) -> Option<String> {
        if now < self.due(generation) {
            return None;
        }
        let since = match self.last(generation) {
            Some(last) => format!("the last drill was at {}", last.rfc3339()),
            None => format!("there was no drill since generation {} was made", generation.number),
        };
        Some(format!(
            "nobody has proved for {ALARM_DAYS} days that the archive can still be opened: {since}; run `sealpost archive drill`"
        ))
    }
    /// For people and JSON.
    pub fn shown(&self, generation: &Generation, now: Timestamp) -> Value {
        json!({
            "last": self.last(generation).map(Timestamp::rfc3339),
            "due": self.due(generation).rfc3339(),
            "overdue": self.alarm(generation, now).is_some(),
        })
    }
}

fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::of(path.display(), what)
        .with_help("remove it and run `sealpost archive drill`: it holds nothing but the times of drills")
}

/// Tells on the log what is overdue.
pub fn watch(disk: &dyn Disk, path: &Path, generation: &Generation, now: Timestamp) {
    match Drills::load(disk, path) {
        Err(e) => tracing::error!("{}", e.line()),
        Ok(drills) => {
            if let Some(alarm) = drills.alarm(generation, now) {
                tracing::warn!("{alarm}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::keys::Officer;
    use crate::archive::{ArchiveId, Origin};
    use crate::durable::RealDisk;

    fn generation(number: u32, threshold: u8) -> Generation {
        let officer = |name: &str| Officer { fingerprint: name.to_owned(), certificate: Vec::new() };
        Generation {
            archive: ArchiveId::from_octets([1; 16]),
            number,
            public: Vec::new(),
            origin: Origin::Gateway,
            threshold,
            officers: ["A", "B", "C"].map(officer).to_vec(),
            subsets: Vec::new(),
            created: day(100),
            older: Vec::new(),
        }
    }

    fn day(n: i64) -> Timestamp {
        Timestamp::from_s(n * DAY_S)
    }

    #[test]
    fn drills_are_kept_by_officer_and_generation() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("drills");
        let record = |number, officers: &[&str], at| {
            let officers: Vec<String> = officers.iter().map(|&o| o.to_owned()).collect();
            Drills::load(&RealDisk, &path).expect("read").record(&RealDisk, &path, number, &officers, day(at))
        };
        record(1, &["A", "B"], 110).expect("recorded");
        record(1, &["B", "C"], 120).expect("recorded");
        record(2, &["A"], 130).expect("recorded");
        let drills = Drills::load(&RealDisk, &path).expect("read");
        for (officer, number, expected) in
            [("A", 1, Some(110)), ("B", 1, Some(120)), ("C", 1, Some(120)), ("A", 2, Some(130)), ("B", 2, None)]
        {
            assert_eq!(drills.of(officer, number), expected.map(day), "{officer} {number}");
        }
        // As many as it takes, not the last one alone.
        for (number, threshold, expected) in [(1, 1, Some(120)), (1, 2, Some(120)), (1, 3, Some(110)), (2, 2, None)] {
            assert_eq!(drills.last(&generation(number, threshold)), expected.map(day), "{threshold} of {number}");
        }
        std::fs::write(&path, "[").expect("write");
        let refused = Drills::load(&RealDisk, &path).expect_err("refused");
        assert!(refused.help().is_some_and(|help| help.contains("archive drill")), "{refused}");
        std::fs::write(&path, vec![b' '; FILE_BYTES_MAX as usize + 1]).expect("write");
        assert!(Drills::load(&RealDisk, &path).expect_err("refused").to_string().contains("longer"));
    }

    #[test]
    fn half_a_year_without_a_drill_is_an_alarm() {
        let none = Drills::default();
        let generation = generation(1, 2);
        assert_eq!(none.alarm(&generation, day(100 + ALARM_DAYS).plus_s(-1)), None);
        let alarm = none.alarm(&generation, day(100 + ALARM_DAYS)).expect("an alarm");
        assert!(alarm.contains("no drill since generation 1"), "{alarm}");
        let proof = |officer: &str| Proof { officer: officer.to_owned(), generation: 1, at_ms: day(200) };
        let one = Drills { proofs: vec![proof("A")] };
        assert!(one.alarm(&generation, day(300)).is_some(), "one officer of two proves nothing");
        let two = Drills { proofs: vec![proof("A"), proof("C")] };
        assert_eq!(two.alarm(&generation, day(200 + ALARM_DAYS).plus_s(-1)), None);
        let alarm = two.alarm(&generation, day(200 + ALARM_DAYS)).expect("an alarm");
        assert!(alarm.contains(&day(200).rfc3339()), "{alarm}");
        assert_eq!(two.shown(&generation, day(201))["overdue"], false);
    }
}
