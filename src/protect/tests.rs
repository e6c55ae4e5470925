//! Whole messages, read back as clients read them: by GnuPG and OpenSSL, from the octets between the boundaries.

mod gallery;
mod peers;
mod reading;

use super::*;
use crate::clock::{Clock, SystemClock};
use peers::{Gpg, OpenSsl};
use reading::{Message, checked_outside, same_content};
use sequoia_openpgp::Profile;
use sequoia_openpgp::cert::{CertBuilder, CipherSuite};
use sequoia_openpgp::serialize::Serialize;
use sequoia_openpgp::types::Features;

fn rendered(
    original: &[u8],
    treatment: Treatment,
    signer: Option<&SigningKey>,
    recipients: &[&RecipientKey],
) -> Vec<u8> {
    let job = Job { original, treatment, signer, recipients, now: SystemClock.now() };
    render(&job).unwrap_or_else(|e| panic!("{treatment:?}: {e}"))
}

fn smime_keys(authority: &OpenSsl, name: &str, algorithm: &str) -> (RecipientKey, SigningKey) {
    let (certificate, signer) = authority.generate(name, algorithm);
    (RecipientKey::Smime(certificate), SigningKey::Smime(signer))
}

fn openpgp_keys(keys: (OpenPgpCertificate, OpenPgpSigner)) -> (RecipientKey, SigningKey) {
    (RecipientKey::OpenPgp(keys.0), SigningKey::OpenPgp(keys.1))
}

/// The entity that any treatment of `original` protects.
fn entity_of(original: &[u8]) -> Vec<u8> {
    part(original, Purpose::Sign).expect("an entity").entity
}

#[test]
fn openssl_verifies_every_sample() {
    let authority = OpenSsl::new();
    let (_, signer) = smime_keys(&authority, "alice", "EC");
    for (name, original) in gallery::samples() {
        let message = rendered(&original, Treatment::Sign(Format::Smime), Some(&signer), &[]);
        checked_outside(name, &original, &message);
        let signed = authority.verify(&message).unwrap_or_else(|e| panic!("{name}: {e}"));
        let entity = entity_of(&original);
        assert_eq!(signed.escape_ascii().to_string(), entity.escape_ascii().to_string(), "{name}");
        assert!(entity.is_ascii() && !entity.contains(&0), "{name}: 7-bit");
        same_content(name, &original, &entity);
        let read = Message::new(&message);
        assert!(
            read.content_type()
                .starts_with("multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256;")
        );
        assert_eq!(read.parts()[0], entity, "{name}: the octets between the boundaries");
    }
}

#[test]
fn gpg_verifies_every_sample() {
    let gpg = Gpg::new();
    let (_, signer) = openpgp_keys(gpg.generate("alice@example.org", "ed25519", "cv25519"));
    for (name, original) in gallery::samples() {
        let message = rendered(&original, Treatment::Sign(Format::OpenPgp), Some(&signer), &[]);
        checked_outside(name, &original, &message);
        let read = Message::new(&message);
        assert!(
            read.content_type()
                .starts_with("multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha512;")
        );
        let parts = read.parts();
        let signature = Message::new(parts[1]).body;
        gpg.verify(parts[0], signature).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(parts[0], entity_of(&original), "{name}");
        let mut bent = parts[0].to_vec();
        bent.push(b' ');
        assert!(gpg.verify(&bent, signature).is_err(), "{name}: another content");
    }
}

#[test]
fn gpg_decrypts_and_verifies() {
    let gpg = Gpg::new();
    let (rsa, rsa_signer) = openpgp_keys(gpg.generate("rsa@example.org", "rsa3072", "rsa3072"));
    let (curve, curve_signer) = openpgp_keys(gpg.generate("curve@example.org", "ed25519", "cv25519"));
    let (nist, nist_signer) = openpgp_keys(gpg.generate("nist@example.org", "nistp256", "nistp256"));
    for (signer, recipients) in [
        (None, vec![&rsa]),
        (Some(&rsa_signer), vec![&curve]),
        (Some(&curve_signer), vec![&rsa, &curve, &nist]),
        (Some(&nist_signer), vec![&nist]),
    ] {
        for (name, original) in gallery::samples().into_iter().step_by(5) {
            let treatment = match signer {
                Some(_) => Treatment::SignAndEncrypt(Format::OpenPgp),
                None => Treatment::Encrypt(Format::OpenPgp),
            };
            let message = rendered(&original, treatment, signer, &recipients);
            checked_outside(name, &original, &message);
            let read = Message::new(&message);
            assert!(read.content_type().starts_with("multipart/encrypted; protocol=\"application/pgp-encrypted\";"));
            let parts = read.parts();
            assert_eq!(Message::new(parts[0]).body, b"Version: 1\r\n");
            let (plain, status) = gpg.decrypt(Message::new(parts[1]).body);
            assert_eq!(plain, entity_of(&original), "{name}");
            assert_eq!(status.contains("GOODSIG"), signer.is_some(), "{name}: {status}");
            assert!(status.contains("DECRYPTION_OKAY"), "{name}: {status}");
        }
    }
}

/// GnuPG 2.2 has to read what goes to certificates that other software made, too.
#[test]
fn gpg_reads_what_goes_to_sequoia_keys_of_version_4() {
    let gpg = Gpg::new();
    let builder = CertBuilder::general_purpose(Some("bob@partner.example")).set_cipher_suite(CipherSuite::Cv25519);
    let builder = builder.set_profile(Profile::RFC4880).expect("a profile");
    // sequoia's own default announces SEIPDv2, which is then what it gets.
    let builder = builder.set_features(Features::empty().set_seipdv1()).expect("features");
    let (key, _) = builder.generate().expect("a key");
    let mut octets = Vec::new();
    key.as_tsk().serialize(&mut octets).expect("serialized");
    gpg.import(&octets);
    let (recipient, signer) = openpgp_keys(peers::signer(&key));
    let (name, original) = gallery::samples().swap_remove(0);
    let message = rendered(&original, Treatment::SignAndEncrypt(Format::OpenPgp), Some(&signer), &[&recipient]);
    let (plain, status) = gpg.decrypt(Message::new(Message::new(&message).parts()[1]).body);
    assert_eq!(plain, entity_of(&original), "{name}");
    assert!(status.contains("GOODSIG"), "{status}");
}

#[test]
fn version_6_keys_sign_and_decrypt() {
    let make = |address: &str, profile: Profile| {
        let builder = CertBuilder::general_purpose(Some(address)).set_cipher_suite(CipherSuite::Cv25519);
        builder.set_profile(profile).expect("a profile").generate().expect("a key").0
    };
    let (new, old) = (make("new@example.org", Profile::RFC9580), make("old@example.org", Profile::RFC4880));
    let (to_new, signer) = openpgp_keys(peers::signer(&new));
    let (to_old, _) = openpgp_keys(peers::signer(&old));
    let original = gallery::samples().swap_remove(0).1;
    let signed = rendered(&original, Treatment::Sign(Format::OpenPgp), Some(&signer), &[]);
    let read = Message::new(&signed);
    reading::sequoia_verify(read.parts()[0], Message::new(read.parts()[1]).body, &new);
    for recipients in [vec![&to_new], vec![&to_new, &to_old]] {
        let message = rendered(&original, Treatment::SignAndEncrypt(Format::OpenPgp), Some(&signer), &recipients);
        let armored = Message::new(Message::new(&message).parts()[1]).body.to_vec();
        for reader in [&new, &old].into_iter().take(recipients.len()) {
            assert_eq!(reading::sequoia_decrypt(&armored, reader, &new), entity_of(&original));
        }
    }
}

#[test]
fn openssl_decrypts_and_verifies_mixed_recipients() {
    let authority = OpenSsl::new();
    let names = ["rsa2", "rsa3", "curve"];
    let keys: Vec<_> = names.iter().zip(["2048", "3072", "EC"]).map(|(n, a)| smime_keys(&authority, n, a)).collect();
    let recipients: Vec<&RecipientKey> = keys.iter().map(|(recipient, _)| recipient).collect();
    for (name, original) in gallery::samples().into_iter().step_by(4) {
        let entity = entity_of(&original);
        let message = rendered(&original, Treatment::Encrypt(Format::Smime), None, &recipients);
        checked_outside(name, &original, &message);
        assert!(
            Message::new(&message).content_type().starts_with("application/pkcs7-mime; smime-type=enveloped-data;")
        );
        for reader in names {
            assert_eq!(authority.decrypt(&message, reader), entity, "{name} for {reader}");
        }
        for ((_, signer), reader) in keys.iter().zip(names) {
            let treatment = Treatment::SignAndEncrypt(Format::Smime);
            let message = rendered(&original, treatment, Some(signer), &recipients[..1]);
            let signed = authority.decrypt(&message, names[0]);
            assert_eq!(authority.verify(&signed).unwrap_or_else(|e| panic!("{name} by {reader}: {e}")), entity);
        }
    }
}

#[test]
fn openssl_refuses_a_changed_octet() {
    let authority = OpenSsl::new();
    let (_, signer) = smime_keys(&authority, "alice", "2048");
    let original = b"From: a@b\r\n\r\nPay 100\r\n";
    let message = rendered(original, Treatment::Sign(Format::Smime), Some(&signer), &[]);
    assert!(authority.verify(&message).is_ok());
    let bent = String::from_utf8(message).expect("ASCII").replace("Pay 100", "Pay 900");
    assert!(authority.verify(bent.as_bytes()).is_err());
}

#[test]
fn signed_data_says_what_verifiers_look_for() {
    let authority = OpenSsl::new();
    let (_, signer) = smime_keys(&authority, "alice", "EC");
    let message = rendered(b"From: a@b\r\n\r\nx\r\n", Treatment::Sign(Format::Smime), Some(&signer), &[]);
    let printed = authority.print(&message);
    for expected in [
        "contentType",
        "messageDigest",
        "signingTime",
        "S/MIME Capabilities",
        "id-smime-aa-signingCertificateV2",
        "1.2.840.113549.1.9.52",
    ] {
        assert!(printed.contains(expected), "{expected} in {printed}");
    }
    let subjects: Vec<&str> =
        printed.lines().filter(|line| line.trim().starts_with("subject:")).map(str::trim).collect();
    assert_eq!(subjects, ["subject: CN=alice", "subject: CN=middle"], "leaf first, then its issuers");
}

#[test]
fn what_cannot_be_signed_unaltered_is_refused_and_still_encrypts() {
    let gpg = Gpg::new();
    let (recipient, signer) = openpgp_keys(gpg.generate("alice@example.org", "ed25519", "cv25519"));
    let part =
        "Content-Type: multipart/signed; boundary=s; protocol=x/y\r\n\r\n--s\r\n\r\nGrüße\r\n--s\r\n\r\nx\r\n--s--\r\n";
    let original = format!("From: a@b\r\nContent-Type: message/rfc822\r\n\r\n{part}").into_bytes();
    let now = SystemClock.now();
    let treatment = Treatment::SignAndEncrypt(Format::OpenPgp);
    let job = Job { original: &original, treatment, signer: Some(&signer), recipients: &[&recipient], now };
    let error = render(&job).expect_err("not to be altered");
    assert_eq!(error, Error::Unalterable("multipart/signed".to_owned()));
    assert_eq!(error.class(), Class::Reject);
    let message = rendered(&original, Treatment::Encrypt(Format::OpenPgp), None, &[&recipient]);
    let (plain, _) = gpg.decrypt(Message::new(Message::new(&message).parts()[1]).body);
    assert_eq!(plain, format!("Content-Type: message/rfc822\r\n\r\n{part}").into_bytes());
}

#[test]
fn a_job_without_its_keys_is_refused() {
    let authority = OpenSsl::new();
    let (recipient, signer) = smime_keys(&authority, "alice", "EC");
    let original = b"From: a@b\r\n\r\nx\r\n";
    let check = |treatment, signer, recipients: &[&RecipientKey]| {
        let job = Job { original, treatment, signer, recipients, now: SystemClock.now() };
        assert_eq!(render(&job).expect_err("no key").class(), Class::Ours, "{treatment:?}");
    };
    for format in [Format::Smime, Format::OpenPgp] {
        check(Treatment::Sign(format), None, &[]);
        check(Treatment::Encrypt(format), Some(&signer), &[]);
        check(Treatment::SignAndEncrypt(format), None, &[&recipient]);
    }
    check(Treatment::Sign(Format::OpenPgp), Some(&signer), &[]);
    check(Treatment::Encrypt(Format::OpenPgp), None, &[&recipient]);
    assert_eq!(rendered(original, Treatment::Plain, None, &[]), original);
}
