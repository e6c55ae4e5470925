//! The golden archive, bent in every way a file can be: truncated, flipped, swapped, missing, foreign, newer. Each fault is one
//! finding that names the file, and everything else stays readable.

use super::fixture::{self, golden, messages, unlock};
use super::make;
use super::whole::read;
use sealpost::archive::{Archive, FaultKind, Finding, VerifyOptions, verify};
use sealpost::crypto::{Secret, sha256};
use sealpost::durable::RealDisk;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Truncated,
    Flipped,
    Swapped,
    Missing,
    Foreign,
    Newer,
}

const ALL: [Damage; 6] =
    [Damage::Truncated, Damage::Flipped, Damage::Swapped, Damage::Missing, Damage::Foreign, Damage::Newer];

/// A kind of file: where one of it lies, what an archive is without it, and where its version stands.
struct Kind {
    dir: &'static str,
    suffix: &'static str,
    /// Whether nothing can be opened without it.
    is_needed: bool,
    /// Messages that cannot be read by way of the log without one of it; `recover.py` goes without the log.
    cost: usize,
    newer: fn(&mut [u8]),
}

fn no_version(_: &mut [u8]) {}

/// The version in a first line of text.
fn in_text(octets: &mut [u8]) {
    let at = octets.iter().position(|o| *o == b'\n').expect("a first line");
    octets[at - 1] = b'2';
}

/// The u16 behind a magic of eight octets.
fn in_field(octets: &mut [u8]) {
    octets[9] = 2;
}

fn in_checked_field(octets: &mut [u8]) {
    in_field(octets);
    rehash(octets);
}

fn in_checked_text(octets: &mut [u8]) {
    in_text(octets);
    rehash(octets);
}

/// Makes the hash at the end hold, so that the version alone is wrong.
fn rehash(octets: &mut [u8]) {
    let (content, hash) = octets.split_last_chunk_mut::<32>().expect("a hash");
    *hash = sha256(content);
}

const KINDS: [Kind; 10] = [
    Kind { dir: "", suffix: "archive", is_needed: true, cost: 0, newer: in_checked_text },
    Kind { dir: "keys", suffix: "generation-1", is_needed: true, cost: 0, newer: in_text },
    Kind { dir: "log", suffix: "vkey", is_needed: false, cost: 0, newer: no_version },
    Kind { dir: "log", suffix: "checkpoint", is_needed: true, cost: 0, newer: no_version },
    Kind { dir: "log/tile/0/000.p", suffix: "13", is_needed: true, cost: 0, newer: no_version },
    Kind { dir: "log/tile/entries/000.p", suffix: "13", is_needed: true, cost: 5, newer: no_version },
    Kind { dir: "log/cover", suffix: "", is_needed: false, cost: 0, newer: in_field },
    Kind { dir: "segments", suffix: ".data", is_needed: false, cost: 2, newer: in_field },
    Kind { dir: "segments", suffix: ".keys", is_needed: false, cost: 0, newer: in_checked_field },
    Kind { dir: "key-copies", suffix: ".keys", is_needed: false, cost: 0, newer: in_checked_field },
];

fn files(archive: &Path, kind: &Kind) -> Vec<PathBuf> {
    let all = fs::read_dir(archive.join(kind.dir)).expect("a directory").map(|e| e.expect("an entry").path());
    let is_it = |path: &PathBuf| path.is_file() && path.to_str().is_some_and(|name| name.ends_with(kind.suffix));
    let mut found: Vec<PathBuf> = all.filter(is_it).collect();
    found.sort();
    found
}

/// Bends one file, or swaps two; the files that are not as they were, or `None` where this cannot be done to this kind.
fn bend(archive: &Path, foreign: &Path, kind: &Kind, damage: Damage) -> Option<Vec<PathBuf>> {
    let found = files(archive, kind);
    let path = found.first().expect("a file of this kind").clone();
    let mut octets = fs::read(&path).expect("read");
    match damage {
        Damage::Truncated => octets.truncate(octets.len() - 1),
        Damage::Flipped => {
            let at = octets.len() / 2;
            octets[at] ^= 4;
        }
        Damage::Swapped => {
            let other = found.get(1)?;
            fs::write(&path, fs::read(other).expect("read")).expect("written");
            fs::write(other, octets).expect("written");
            return Some(vec![path, other.clone()]);
        }
        Damage::Missing => {
            fs::remove_file(&path).expect("removed");
            return Some(vec![path]);
        }
        Damage::Foreign => octets = fs::read(files(foreign, kind).first().expect("a file")).expect("read"),
        Damage::Newer => {
            let before = octets.clone();
            (kind.newer)(&mut octets);
            if octets == before {
                return None;
            }
        }
    }
    fs::write(&path, octets).expect("written");
    Some(vec![path])
}

fn check(case: &str, archive: &Path, kind: &Kind, damage: Damage, changed: &[PathBuf]) {
    let names: BTreeSet<String> =
        changed.iter().map(|p| p.strip_prefix(archive).expect("inside").display().to_string()).collect();
    let report = verify(&RealDisk, archive, &VerifyOptions::default());
    let told: Vec<&String> = report.findings.iter().map(|finding| &finding.object).collect();
    assert_eq!(
        told.iter().map(|name| (*name).clone()).collect::<BTreeSet<_>>(),
        names,
        "{case}: {:?}",
        report.findings
    );
    assert_eq!(told.len(), names.len(), "{case}: one finding for each: {:?}", report.findings);
    let fits = |finding: &Finding| (finding.kind == FaultKind::Missing) == (damage == Damage::Missing);
    assert!(report.findings.iter().all(fits), "{case}: {:?}", report.findings);
    match unlock(&golden(VERSION), archive) {
        Ok(unlocked) => {
            let left = read(&unlocked);
            let whole = messages(&golden(VERSION));
            assert!(left.iter().all(|(id, message)| whole.get(id) == Some(message)), "{case}: another message");
            assert!(whole.len() - left.len() <= kind.cost * changed.len(), "{case}: only {left:?} can be read");
        }
        // Without it nothing opens, and the error says which file it is; of one that is well-formed, what it belies.
        Err(e) => {
            let is_named = names.iter().any(|n| e.to_string().contains(n));
            let belied = [
                "checkpoint of another log",
                "is no officer of this archive",
                "the tiles have another root",
                // Of a bundle of another archive, whose KEY leaf names another generation.
                "not the generation that its KEY leaf names",
            ];
            let is_well_formed = matches!(damage, Damage::Foreign | Damage::Flipped);
            let is_belied = is_well_formed && belied.iter().any(|what| e.to_string().contains(what));
            assert!(kind.is_needed && (is_named || is_belied), "{case}: {e}");
        }
    }
}

#[test]
fn each_damage_is_one_finding_and_the_rest_stays_readable() {
    let place = tempfile::tempdir().expect("a directory");
    make::make(&place.path().join("foreign"), &place.path().join("journal"));
    let mut cases = 0;
    for kind in &KINDS {
        for damage in ALL {
            let archive = place.path().join("bent");
            fs::remove_dir_all(&archive).unwrap_or_default();
            fixture::copy(&golden(VERSION).join("archive"), &archive);
            let Some(changed) = bend(&archive, &place.path().join("foreign/archive"), kind, damage) else { continue };
            check(&format!("{damage:?} {}/{}", kind.dir, kind.suffix), &archive, kind, damage, &changed);
            cases += 1;
        }
    }
    assert!(cases >= 50, "{cases} cases");
}

/// The sealed log key has no public counterpart of its own: whoever would seal with it finds out.
#[test]
fn a_damaged_log_key_stops_sealing_and_nothing_else() {
    let host: [u8; 32] = fs::read(golden(VERSION).join("host.key")).expect("a key").try_into().expect("32 octets");
    let place = tempfile::tempdir().expect("a directory");
    for damage in [Damage::Truncated, Damage::Flipped, Damage::Missing] {
        let archive = place.path().join(format!("{damage:?}"));
        fixture::copy(&golden(VERSION).join("archive"), &archive);
        let kind = Kind { dir: "keys", suffix: "log", is_needed: false, cost: 0, newer: no_version };
        bend(&archive, &archive, &kind, damage).expect("bent");
        let error = Archive::open(Arc::new(RealDisk), &archive, &Secret::new(host)).err().expect("refused");
        assert!(error.to_string().contains("keys/log"), "{damage:?}: {error}");
        assert_eq!(read(&unlock(&golden(VERSION), &archive).expect("unlocked")), messages(&golden(VERSION)));
    }
}
