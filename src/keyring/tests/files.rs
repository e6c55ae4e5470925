//! What files are detected as.

use super::make::{EC, NOW, Place, RSA, RSA_OTHER, Spec, address, pkcs8_pem, with_password};
use crate::keyring::{Change, FILE_BYTES_MAX, FILE_ITEMS_MAX, Fault, Format, Holds, Options, PASSWORD_BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::stack::Stack;
use openssl::symm::Cipher;

#[test]
fn private_keys_come_in_many_forms() {
    let rsa = RSA.rsa().expect("RSA");
    let ec = EC.ec_key().expect("EC");
    let aes = Cipher::aes_256_cbc();
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("PKCS#8 PEM", pkcs8_pem(&RSA)),
        ("PKCS#8 DER", RSA.private_key_to_pkcs8().expect("DER")),
        ("PKCS#1 PEM", rsa.private_key_to_pem().expect("PEM")),
        ("PKCS#1 DER", rsa.private_key_to_der().expect("DER")),
        ("PKCS#8 PEM, EC", pkcs8_pem(&EC)),
        ("SEC1 PEM", ec.private_key_to_pem().expect("PEM")),
        ("SEC1 DER", ec.private_key_to_der().expect("DER")),
        ("encrypted PKCS#8 PEM", RSA.private_key_to_pem_pkcs8_passphrase(aes, b"secret").expect("PEM")),
        ("encrypted PKCS#8 DER", RSA.private_key_to_pkcs8_passphrase(aes, b"secret").expect("DER")),
        ("encrypted PKCS#1 PEM", rsa.private_key_to_pem_passphrase(aes, b"secret").expect("PEM")),
        ("encrypted SEC1 PEM", ec.private_key_to_pem_passphrase(aes, b"secret").expect("PEM")),
    ];
    for (name, key) in forms {
        let place = Place::new();
        let certificate = Spec { key: if name.contains("EC") { &EC } else { &RSA }, ..Spec::default() }.make();
        let der = certificate.to_der().expect("DER");
        let imported = place.import(&[&key, &der], &with_password("secret")).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((imported.len(), imported[0].holds), (1, Holds::PrivateKey), "{name}");
        let ring = place.load();
        let choice = ring.signing_key(&address("alice@x.example"), Format::Smime, *NOW);
        assert!(choice.taken.is_some(), "{name}: {choice:?}");
        if name.starts_with("encrypted") {
            let place = Place::new();
            assert_eq!(place.fault(&[&key], &Options::default()), Fault::PasswordNeeded, "{name}");
            assert_eq!(place.fault(&[&key], &with_password("wrong")), Fault::WrongPassword, "{name}");
        }
    }
}

#[test]
fn a_key_finds_its_certificate_in_the_keyring() {
    let place = Place::with(&[&Spec::default().pem(), &Spec { key: &EC, ..Spec::default() }.pem()]);
    assert_eq!(place.fault(&[&pkcs8_pem(&RSA_OTHER)], &Options::default()), Fault::KeyWithoutCertificate);
    let imported = place.import(&[&pkcs8_pem(&RSA)], &Options::default()).expect("imported");
    assert_eq!((imported.len(), imported[0].change, imported[0].holds), (1, Change::Updated, Holds::PrivateKey));
    let again = place.import(&[&Spec::default().pem()], &Options::default()).expect("imported");
    assert_eq!((again[0].change, again[0].holds), (Change::Added, Holds::PrivateKey), "renewed for the same key");
    let choice = place.load().signing_key(&address("alice@x.example"), Format::Smime, *NOW);
    assert_eq!(choice.considered.iter().filter(|c| c.to_string().contains("private key")).count(), 1, "{choice:?}");
}

fn pkcs12(key_algorithm: Option<Nid>, password: &str) -> Vec<u8> {
    let ca = Spec { name: "CA", san: &[], ca: true, key: &EC, ..Spec::default() }.make();
    let middle = Spec { name: "M", san: &[], ca: true, key: &RSA_OTHER, issuer: Some((&ca, &EC)), ..Spec::default() };
    let middle = middle.make();
    let leaf = Spec { issuer: Some((&middle, &RSA_OTHER)), ..Spec::default() }.make();
    let mut others = Stack::new().expect("a stack");
    others.push(ca).expect("pushed");
    others.push(middle).expect("pushed");
    let mut builder = Pkcs12::builder();
    builder.name("alice").pkey(&RSA).cert(&leaf).ca(others);
    if let Some(algorithm) = key_algorithm {
        builder.key_algorithm(algorithm).cert_algorithm(algorithm).mac_md(openssl::hash::MessageDigest::sha1());
    }
    builder.build2(password).expect("built").to_der().expect("DER")
}

#[test]
fn pkcs12_brings_key_certificate_and_chain() {
    let triple_des = Some(Nid::PBE_WITHSHA1AND3_KEY_TRIPLEDES_CBC);
    for (algorithm, password) in [(None, "secret"), (triple_des, "secret"), (None, "p\u{e4}ss"), (None, "")] {
        let place = Place::new();
        let file = pkcs12(algorithm, password);
        if !password.is_empty() {
            assert_eq!(place.fault(&[&file], &Options::default()), Fault::PasswordNeeded);
            assert_eq!(place.fault(&[&file], &with_password("wrong")), Fault::WrongPassword);
        }
        let options = if password.is_empty() { Options::default() } else { with_password(password) };
        let imported = place.import(&[&file], &options).expect("imported");
        assert_eq!((imported.len(), imported[0].holds), (1, Holds::PrivateKey), "{imported:?}");
        let exported = place.load().export(&imported[0].id).expect("exported");
        assert_eq!(exported.matches("BEGIN CERTIFICATE").count(), 2);
    }
}

#[test]
fn withdrawn_algorithms_are_named() {
    // openssl pkcs12 -export -legacy: RC2 with 40 bits, which the vendored OpenSSL leaves out.
    let file = STANDARD.decode(LEGACY.replace('\n', "")).expect("base64");
    let fault = Place::new().fault(&[&file], &with_password("secret"));
    assert!(
        matches!(&fault, Fault::Unsupported(text) if text.contains("RC2") && text.contains("-legacy")),
        "{fault:?}"
    );
}

#[test]
fn what_is_nothing_is_named() {
    let check = |octets: &[u8], expected: Fault| {
        assert_eq!(
            Place::new().fault(&[octets], &Options::default()),
            expected,
            "{:?}",
            String::from_utf8_lossy(octets)
        );
    };
    let pem = Spec::default().pem();
    let text = String::from_utf8(pem.clone()).expect("text");
    check(b"", Fault::Unrecognized);
    check(b"hello\n", Fault::Unrecognized);
    check(b"\x30", Fault::Unrecognized);
    check(b"\x30\x03\x02\x01\x00", Fault::Unrecognized);
    check(&[Spec::default().make().to_der().expect("DER"), vec![0]].concat(), Fault::Unrecognized);
    check(&pem[..pem.len() - 30], Fault::Malformed("block \"CERTIFICATE\": it does not end".to_owned()));
    check(text.replace("MII", "MIJ").as_bytes(), Fault::Malformed("X.509 certificate".to_owned()));
    let request = text.replace("CERTIFICATE", "CERTIFICATE REQUEST");
    check(request.as_bytes(), Fault::Unsupported("a block \"CERTIFICATE REQUEST\"".to_owned()));
    for before in [&b"\xef\xbb\xbf"[..], b"0 is a digit\r\n"] {
        Place::with(&[&[before, &pem].concat()]);
    }
    let place = Place::new();
    place.import(&[&pem, b"hello"], &Options::default()).expect_err("the second file");
    assert!(place.load().list(*NOW).is_empty(), "nothing of the first was stored");
}

#[test]
fn bounds_hold() {
    let place = Place::new();
    let pem = Spec { key: &EC, ..Spec::default() }.pem();
    let mut file = vec![b'\n'; FILE_BYTES_MAX - pem.len()];
    file.extend_from_slice(&pem);
    place.import(&[&file], &Options::default()).expect("at the bound");
    file.insert(0, b'\n');
    assert_eq!(place.fault(&[&file], &Options::default()), Fault::TooLarge);
    let many = pem.repeat(FILE_ITEMS_MAX);
    assert!(many.len() <= FILE_BYTES_MAX);
    assert_eq!(place.import(&[&many], &Options::default()).expect("at the bound").len(), 1, "all the same");
    assert_eq!(place.fault(&[&[many, pem.clone()].concat()], &Options::default()), Fault::TooManyItems);
    let long = "p".repeat(PASSWORD_BYTES_MAX);
    let key = EC.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), long.as_bytes()).expect("PEM");
    place.import(&[&pem, &key], &with_password(&long)).expect("at the bound");
    assert_eq!(place.fault(&[&key], &with_password(&format!("{long}p"))), Fault::NotAPassword);
    assert_eq!(place.fault(&[&key], &with_password("a\0b")), Fault::NotAPassword);
}

const LEGACY: &str = "\
MIIDkgIBAzCCA1gGCSqGSIb3DQEHAaCCA0kEggNFMIIDQTCCAjcGCSqGSIb3DQEHBqCCAigwggIkAgEAMIICHQYJKoZIhvcNAQcBMBwGCiqGSI
b3DQEMAQYwDgQIQNdchqDflooCAggAgIIB8DPu0/4Uy7C1w6E1eMbM8IR5IFlhJg6uusI2KorirUGPUCaHupm74nOh23SCq87J64S30KKX7m0w
GHovXv9qldQ6TofrHXSM+3m0MSuz8W87fECgiP2eE6d6morUHeoOCrvlYDv9CmT45L29/mmkd/0mrn495Myd5rBBXac89NM2arv4V5hNLoqD/U
pSxo2GL2A3/y8ZzG7QNAfjt8Ttlb/AykPyvoi5FRmnUN1F16hwO+f22MjpwVWUBdIJnsjned1pdxSqoDPbCKVDuL/4nJN7eCmpmKxNH1zzvjHw
lhgacTosQDNRUbqyOMR2/GA+EOXW6szpITHl6a640xsCCnJOonKvnn6BDeEeFIkTyPP0665q3BI+U615BYqPwhmuoV/dSb1lHFxzpFZEJLAE7q
yBqm6Hv6Sg5w/k7Jy/qVsL6jRouULv4G6/guUxhb6d3fNAXf4hIn8tFotZEMH84V+mf9s46xOLY9bM6x/QxL7leSOLOhYgxrHi05/Hft1/hupW
+JkeTMa1cT8lQEfr+pSmLhpJApgZjIDQ3ERl6HJgI/pMdtCCd3u9A2CKjNlwX+hzzQ4uVIUTgRCknDu8zgc5yEM0QjeYUb91P5hzHIViLTz/Tq
6EGQBePbhPMmAs0o5hXvq5xqKC9eSLxKTSqkYwggECBgkqhkiG9w0BBwGggfQEgfEwge4wgesGCyqGSIb3DQEMCgECoIG0MIGxMBwGCiqGSIb3
DQEMAQMwDgQIej9Eb6J9SRQCAggABIGQ8PcDi0IIowwgtP3WTut+SRkvxccoRX83C6EwuFvB9anRlUzDa5Pa+kxhLssQdtoi+rIgq2g0yBi60A
YWCOvzlQ6kl3OqLNVaGBZbxAq699W4GgG0a96Q8j4K57MbBOcsxapZrAwS2dXhrjHfWgYWWwIYqmia65Bmq6B44/h/LY/lnr6MT9YMvc3bPKYr
GuFZMSUwIwYJKoZIhvcNAQkVMRYEFKKzO1DSJv8LhBe0evL0W9F/GdT8MDEwITAJBgUrDgMCGgUABBQDVcC9nuOkaJLwvnFQGQh5Tj+ZPAQIWS
gbMA5rbs4CAggA";
