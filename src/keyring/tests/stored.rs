//! The keyring on disk.

use super::make::{NOW, Place, RSA, Spec, address, pkcs8_pem};
use crate::crypto::Secret;
use crate::durable::RealDisk;
use crate::keyring::{Error, Format, Keyring, Options, remove};
use std::path::PathBuf;

fn only_file(place: &Place) -> PathBuf {
    let dir = place.dir.path().join("keyring");
    let mut entries = std::fs::read_dir(dir).expect("a directory");
    let path = entries.next().expect("a file").expect("an entry").path();
    assert!(entries.next().is_none());
    path
}

#[test]
fn private_keys_are_sealed() {
    let place = Place::with(&[&[Spec::default().pem(), pkcs8_pem(&RSA)].concat()]);
    let octets = std::fs::read(only_file(&place)).expect("read");
    let private = RSA.rsa().expect("RSA").d().to_vec();
    assert!(!octets.windows(private.len()).any(|window| window == private));
    let prime = RSA.rsa().expect("RSA").p().expect("a prime").to_vec();
    assert!(!octets.windows(prime.len()).any(|window| window == prime));
}

#[test]
fn a_changed_item_fails_the_whole_keyring() {
    let place = Place::with(&[&Spec::default().pem()]);
    let path = only_file(&place);
    let octets = std::fs::read(&path).expect("read");
    let load = |key: u8| Keyring::load(&RealDisk, place.dir.path(), &Secret::new([key; 32]));
    assert!(matches!(load(8), Err(Error::Item { .. })), "another host key");
    for bent in [&octets[..octets.len() - 1], b"", b"x"] {
        std::fs::write(&path, bent).expect("write");
        let error = load(7).expect_err("a changed item");
        assert!(error.to_string().contains(".item") && error.help().is_some(), "{error}");
    }
    std::fs::write(&path, &octets).expect("write");
    load(7).expect("as it was");
    let other = path.with_file_name(format!("{}.item", "0".repeat(32)));
    std::fs::copy(&path, other).expect("copied");
    load(7).expect_err("an item under another's name");
}

#[test]
fn a_snapshot_does_not_change() {
    let place = Place::with(&[&Spec::default().pem()]);
    let before = place.load();
    let shown = before.list(*NOW);
    let id = &shown[0].id;
    assert_eq!(before.show(&id[..8], *NOW).expect("shown").fingerprint[..32], id[..]);
    assert!(matches!(before.show("", *NOW), Err(Error::NotFound(_))));
    assert!(matches!(before.show(&id[..3], *NOW), Err(Error::NotFound(_))), "too short");
    assert!(before.show(&id[..4], *NOW).is_ok());
    assert!(matches!(before.show("zzzz", *NOW), Err(Error::NotFound(_))));
    let removed = remove(&RealDisk, place.dir.path(), &place.host_key, &id[..8].to_uppercase()).expect("removed");
    assert_eq!(removed, *id);
    let error = remove(&RealDisk, place.dir.path(), &place.host_key, id).expect_err("gone");
    assert!(matches!(error, Error::NotFound(_)));
    let alice = address("alice@x.example");
    assert!(before.recipient_key(&alice, Format::Smime, *NOW).taken.is_some());
    assert!(place.load().recipient_key(&alice, Format::Smime, *NOW).taken.is_none());
}

#[test]
fn an_empty_keyring_loads_and_leftovers_are_passed_over() {
    let place = Place::new();
    assert!(place.load().list(*NOW).is_empty());
    place.import(&[&Spec::default().pem()], &Options::default()).expect("imported");
    std::fs::write(only_file(&place).with_extension("item.tmp"), b"torn").expect("write");
    assert_eq!(place.load().list(*NOW).len(), 1);
}
