//! An archive made once, of which every seed gets a copy: deriving an officer's key from its passphrase takes longer than a life.

use super::super::tests::world::{host_key, officers, start};
use super::super::*;
use crate::crypto::hpke::PrivateKey;
use crate::durable::simulated::FakeDisk;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// UIDs begin above this.
const UID_BASE: u32 = 7;

/// A disk with an archive, and the key that its officers have.
pub struct Template {
    pub disk: FakeDisk,
    pub secret: PrivateKey,
}

pub fn archive_dir() -> PathBuf {
    Path::new("/gw/archive").to_owned()
}

pub fn options(officers: &[Certificate]) -> CreateOptions<'_> {
    CreateOptions { officers, threshold: 1, uid_base: UID_BASE, now: start() }
}

/// An archive on a new disk, with its secret.
pub fn make() -> Template {
    let disk = FakeDisk::default();
    let officer = &officers()[0];
    let certificate = [officer.certificate.clone()];
    let archive = Archive::create(Arc::new(disk.clone()), &archive_dir(), &host_key(), &options(&certificate));
    let archive = archive.expect("an archive");
    let key = OfficerKey::parse(officer.key.expose(), &officer.passphrase).expect("a key");
    let shares = archive.generation().shares_by(&mut [key], Purpose::Open).expect("shares");
    let mut gathering = Gathering::new(archive.generation());
    gathering.add(&shares).expect("added");
    let secret = gathering.secrets_now().expect("secrets").into_keys().remove(&1).expect("the first generation's");
    Template { disk, secret }
}

pub fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(make)
}
