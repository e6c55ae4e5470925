//! The fixture of version 1 and what is known of it.

use sealpost::archive::{Archive, OfficerSecret, Unlocked};
use sealpost::crypto::SecretBytes;
use sealpost::durable::RealDisk;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a version's fixture lies: `archive/`, `officer-<n>.key`, `passphrase`, `host.key`, `messages`.
pub fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

/// A message of the fixture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub sha256: String,
    pub octets: u64,
}

/// Per id, from the lines `<id> <SHA-256> <octets>` of the file `messages`.
pub fn messages(dir: &Path) -> BTreeMap<String, Expected> {
    let text = fs::read_to_string(dir.join("messages")).expect("the list of messages");
    let line = |line: &str| {
        let [id, sha256, octets] = line.split(' ').collect::<Vec<_>>().try_into().expect("three words");
        (id.to_owned(), Expected { sha256: sha256.to_owned(), octets: octets.parse().expect("a number") })
    };
    text.lines().map(line).collect()
}

/// A copy to bend.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

/// Private keys of the officers, and the passphrase of all of them.
pub fn officers(dir: &Path) -> (Vec<Vec<u8>>, SecretBytes) {
    let keys = (1..=3).map(|n| fs::read(dir.join(format!("officer-{n}.key"))).expect("a key")).collect();
    (keys, SecretBytes::new(fs::read(dir.join("passphrase")).expect("a passphrase").trim_ascii().to_vec()))
}

/// Opened for reading, with the first and the third officer.
pub fn unlock(dir: &Path, archive: &Path) -> Result<Unlocked, sealpost::archive::Error> {
    let (keys, passphrase) = officers(dir);
    let secret = |n: usize| OfficerSecret { key: &keys[n], passphrase: &passphrase };
    Archive::open_read_only(Arc::new(RealDisk), archive)?.unlock_together(&[secret(0), secret(2)])
}
