//! The whole archive: verified, unlocked, every message read; and a gateway of today goes on with it.

use super::fixture::{self, Expected, golden, messages, unlock};
use super::make;
use sealpost::archive::{Archive, Unlocked, VerifyOptions, verify};
use sealpost::clock::{Clock, SystemClock};
use sealpost::crypto::{Secret, hash, sha256};
use sealpost::durable::RealDisk;
use sealpost::mail::{MailId, Retention};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const VERSIONS: [u32; 1] = [1];

/// All messages that can be read.
pub fn read(unlocked: &Unlocked) -> BTreeMap<String, Expected> {
    let mut read = BTreeMap::new();
    for segment in unlocked.segments().unwrap_or_default() {
        for entry in unlocked.directory(&segment).unwrap_or_default() {
            if let Ok(octets) = unlocked.octets(&segment, entry.slot) {
                let expected = Expected { sha256: hash::hex(&sha256(&octets)), octets: octets.len() as u64 };
                read.insert(entry.id.to_string(), expected);
            }
        }
    }
    read
}

fn assert_whole(archive: &Path, unlocked: &Unlocked) {
    for unlocked in [None, Some(unlocked)] {
        let report = verify(&RealDisk, archive, &VerifyOptions { unlocked, ..VerifyOptions::default() });
        assert_eq!(report.findings, []);
        assert_eq!((report.pending, report.missing, report.gaps), (0, 0, 0));
    }
}

#[test]
fn every_version_opens() {
    for version in VERSIONS {
        let dir = golden(version);
        let unlocked = unlock(&dir, &dir.join("archive")).expect("unlocked");
        assert_whole(&dir.join("archive"), &unlocked);
        assert_eq!(read(&unlocked), messages(&dir), "version {version}");
        let segments = unlocked.segments().expect("segments");
        let events: usize = segments.iter().map(|s| unlocked.events(s).expect("events").len()).sum();
        assert_eq!(events, 1);
    }
}

#[test]
fn a_gateway_of_today_goes_on_with_every_version() {
    for version in VERSIONS {
        let dir = golden(version);
        let place = tempfile::tempdir().expect("a directory");
        let copy = place.path().join("archive");
        fixture::copy(&dir.join("archive"), &copy);
        let host = fs::read(dir.join("host.key")).expect("a host key").try_into().expect("32 octets");
        let archive = Archive::open(Arc::new(RealDisk), &copy, &Secret::new(host)).expect("opened");
        let clock = Arc::new(SystemClock);
        let journal = make::open_journal(&place.path().join("journal"), &clock, &archive);
        let id = MailId::new(clock.now(), [9; 10]);
        make::accept(&journal, id, b"Subject: new\r\n\r\n", make::draft(clock.now(), Retention::forever()));
        archive.seal(&journal, clock.as_ref()).expect("sealed");
        let unlocked = unlock(&dir, &copy).expect("unlocked");
        assert_whole(&copy, &unlocked);
        assert_eq!(read(&unlocked).len(), messages(&dir).len() + 1, "version {version}");
        journal.close();
    }
}
