//! Officers open the archive: any m of n, nobody with fewer, and GnuPG without our help.

use super::super::*;
use super::disk::FakeDisk;
use super::world::{TestOfficer, host_key, officers, start};
use crate::crypto::SecretBytes;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn archive(threshold: u8) -> Archive {
    let certificates: Vec<_> = officers().iter().map(|o| o.certificate.clone()).collect();
    let options = CreateOptions { officers: &certificates, threshold, uid_base: 0, now: start() };
    Archive::create(Arc::new(FakeDisk::default()), Path::new("/a"), &host_key(), &options).expect("an archive")
}

fn secret(officer: &TestOfficer) -> OfficerSecret<'_> {
    OfficerSecret { key: officer.key.expose(), passphrase: &officer.passphrase }
}

#[test]
fn any_two_of_three_and_no_single_one() {
    let archive = archive(2);
    for pair in [[0, 1], [0, 2], [2, 1]] {
        let secrets = pair.map(|n: usize| secret(&officers()[n]));
        archive.unlock_together(&secrets).expect("two are enough");
    }
    for officer in officers() {
        let refused = archive.unlock(officer.key.expose(), &officer.passphrase);
        assert!(matches!(refused, Err(Error::Officer(_))), "{refused:?}");
    }
    let twice = [secret(&officers()[0]), secret(&officers()[0])];
    assert!(archive.unlock_together(&twice).is_err(), "one officer twice is one officer");
}

#[test]
fn any_one_of_three() {
    let archive = archive(1);
    for officer in officers() {
        archive.unlock(officer.key.expose(), &officer.passphrase).expect("one is enough");
    }
    let wrong = SecretBytes::new(b"wrong".to_vec());
    assert!(matches!(archive.unlock(officers()[0].key.expose(), &wrong), Err(Error::Officer(_))));
    let stranger = generate("Stranger <s@example.org>", &wrong, start()).expect("a key");
    assert!(matches!(archive.unlock(stranger.key.expose(), &wrong), Err(Error::Officer(_))));
}

#[test]
fn too_many_officers_are_refused() {
    let certificates = vec![officers()[0].certificate.clone(); 8];
    for (n, threshold) in [(8, 1), (1, 2), (1, 0), (0, 0)] {
        let options = CreateOptions { officers: &certificates[..n], threshold, uid_base: 0, now: start() };
        let made = Archive::create(Arc::new(FakeDisk::default()), Path::new("/a"), &host_key(), &options);
        assert!(matches!(made, Err(Error::Officer(_))), "{threshold} of {n}");
    }
}

/// What an officer does who has no Sealpost: `gpg --decrypt` on one piece.
#[test]
fn gnupg_decrypts_a_piece() {
    let officer = &officers()[0];
    let archive = archive(1);
    let home = tempfile::tempdir().expect("a directory");
    let file = |name: &str, octets: &[u8]| {
        let path = home.path().join(name);
        std::fs::write(&path, octets).expect("written");
        path
    };
    let key = file("key.pgp", officer.key.expose());
    let passphrase = file("passphrase", officer.passphrase.expose());
    let piece = file("piece.pgp", &archive.generation().subsets[0].pieces[0].0);
    let gpg = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(home.path()).args(["--batch", "--quiet", "--pinentry-mode", "loopback"]);
        command.arg("--passphrase-file").arg(&passphrase).args(arguments);
        command.output().expect("gpg runs (Debian package: gnupg)")
    };
    let imported = gpg(&["--import".as_ref(), key.as_ref()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let opened = gpg(&["--decrypt".as_ref(), piece.as_ref()]);
    let ended = Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).status();
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    assert!(ended.expect("gpgconf runs").success());
    let text = String::from_utf8(opened.stdout).expect("text");
    let head = format!("sealpost archive key share 1\narchive {}\ngeneration 1\nofficers 1\nofficer 1\n", archive.id());
    assert!(text.starts_with(&head), "{text}");
}
