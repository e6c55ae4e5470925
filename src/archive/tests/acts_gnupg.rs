//! Orders as an officer signs them without Sealpost: with GnuPG, clear-signed and detached.

use super::super::acts::*;
use super::super::{Certificate, OfficerSecret};
use super::acts::{ONE, world};
use super::world::{World, officers, start};
use crate::clock::Clock;
use crate::crypto::SecretBytes;
use std::process::Command;
use std::time::Duration;

/// Signs with GnuPG and the key of officer 0.
fn gpg(text: &str, how: &[&str]) -> Vec<u8> {
    let officer = &officers()[0];
    let home = tempfile::tempdir().expect("a directory");
    let file = |name: &str, octets: &[u8]| {
        let path = home.path().join(name);
        std::fs::write(&path, octets).expect("written");
        path
    };
    let key = file("key.pgp", officer.key.expose());
    let passphrase = file("passphrase", officer.passphrase.expose());
    let order = file("order", text.as_bytes());
    let run = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(home.path()).args(["--batch", "--quiet", "--pinentry-mode", "loopback"]);
        // The clock of these tests stands in 2024.
        command.args(["--faked-system-time", "20241201T000000!"]);
        command.arg("--passphrase-file").arg(&passphrase).args(arguments);
        command.output().expect("gpg runs (Debian package: gnupg)")
    };
    let imported = run(&["--import".as_ref(), key.as_ref()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let mut arguments: Vec<&std::ffi::OsStr> = how.iter().map(|word| word.as_ref()).collect();
    arguments.extend::<[&std::ffi::OsStr; 3]>(["--output".as_ref(), "-".as_ref(), order.as_ref()]);
    let signed = run(&arguments);
    let ended = Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).status();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    assert!(ended.expect("gpgconf runs").success());
    signed.stdout
}

#[test]
fn a_clear_signed_order_and_one_with_a_detached_signature() {
    let (_, world) = world();
    for (n, how) in [&["--clearsign"][..], &["--detach-sign", "--armor"], &["--detach-sign"]].into_iter().enumerate() {
        let id = world.archived(100 + n);
        world.clock.advance_s(60);
        let text = world.order_for(&[id]).text();
        let octets = gpg(&text, how);
        let signed = match how {
            ["--clearsign"] => take(&octets, &[]),
            _ => take(text.as_bytes(), &[octets]),
        }
        .expect("taken");
        let mut bent = signed.clone();
        bent.text = bent.text.replace("of a person", "of A person");
        assert!(world.archive.erase(&world.tools(), &bent, &ONE).is_err(), "{how:?}");
        let erased = world.archive.erase(&world.tools(), &signed, &ONE).expect("erased");
        assert_eq!(erased.signers, [officers()[0].certificate.fingerprint()], "{how:?}");
        let report = world.assert_whole(&world.unlock());
        assert_eq!(report.erased, n as u64 + 1, "the kept order verifies");
    }
}

/// An officer whose certificate ends after ten days, and the archive it is an officer of.
fn with_certificate_that_ends() -> (World, Vec<u8>) {
    use sequoia_openpgp::cert::CertBuilder;
    use sequoia_openpgp::serialize::SerializeInto;
    let created = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(start().s() as u64);
    let builder = CertBuilder::general_purpose(Some("Officer <o@example.org>")).set_creation_time(created);
    let (cert, _) = builder.set_validity_period(Duration::from_secs(10 * 86_400)).generate().expect("a key");
    let key = cert.as_tsk().to_vec().expect("octets");
    let world = World::of(&[Certificate::parse(&key, start()).expect("a certificate")]);
    (world, key)
}

#[test]
fn a_signature_holds_no_longer_than_the_officers_certificate() {
    let (world, key) = with_certificate_that_ends();
    let id = world.accept(&super::world::message(1));
    (0..2).for_each(|recipient| world.deliver(id, recipient));
    world.seal();
    // Nobody here unlocks it: erasure needs no key that opens mail.
    let accept_index = 2;
    let order = world.archive.order(vec![Named { accept_index, id }], "request", world.clock.now()).expect("an order");
    let (text, passphrase) = (order.text(), SecretBytes::new(Vec::new()));
    let secret = OfficerSecret { key: &key, passphrase: &passphrase };
    let signature = sign(&text, &secret, world.clock.now()).expect("signed");
    let signed = take(text.as_bytes(), &[signature]).expect("taken");
    let dry = EraseTerms { run: Run::Dry, ..ONE };
    world.clock.advance_s(9 * 86_400);
    world.archive.erase(&world.tools(), &signed, &dry).expect("still an officer");
    world.clock.advance_s(2 * 86_400);
    let late = world.archive.erase(&world.tools(), &signed, &dry).expect_err("an officer no more");
    assert!(late.to_string().contains("has expired or was revoked"), "{late}");
    assert!(sign(&text, &secret, world.clock.now()).is_err(), "nor can a new one be made");
}
