//! Choosing OpenPGP certificates.

use super::make::{DAY_S, NOW, Place, address, with_password};
use crate::clock::Timestamp;
use crate::keyring::{
    Change, Fault, Format, Holds, Keyring, Options, Owner, POLICY, Reason, RecipientKey, SigningKey, Use, Verdict,
};
use sequoia_openpgp as openpgp;
use sequoia_openpgp::cert::{Cert, CertBuilder, CertRevocationBuilder, CipherSuite, UserIDRevocationBuilder};
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::parse::stream::{DetachedVerifierBuilder, MessageStructure, VerificationHelper};
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::serialize::stream::{Message, Signer};
use sequoia_openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation};
use sequoia_openpgp::{Packet, Profile};
use std::io::Write;
use std::time::{Duration, SystemTime};

fn at(day: i64) -> SystemTime {
    crate::keyring::material::system_time(NOW.plus_s(day * DAY_S))
}

fn builder() -> CertBuilder<'static> {
    CertBuilder::new()
        .set_creation_time(at(-100))
        .add_userid("Alice <alice@x.example>")
        .add_signing_subkey()
        .add_transport_encryption_subkey()
}

fn made(builder: CertBuilder<'_>) -> Cert {
    builder.generate().expect("a certificate").0
}

fn public(cert: &Cert) -> Vec<u8> {
    cert.armored().to_vec().expect("armored")
}

fn secret(cert: &Cert) -> Vec<u8> {
    cert.as_tsk().armored().to_vec().expect("armored")
}

fn recipient(ring: &Keyring, now: Timestamp) -> Verdict {
    ring.recipient_key(&address("alice@x.example"), Format::OpenPgp, now).considered[0].verdict.clone()
}

fn signer(ring: &Keyring, now: Timestamp) -> Verdict {
    ring.signing_key(&address("alice@x.example"), Format::OpenPgp, now).considered[0].verdict.clone()
}

struct Helper(Cert);

impl VerificationHelper for Helper {
    fn get_certs(&mut self, _: &[openpgp::KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(vec![self.0.clone()])
    }
    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        assert!(format!("{structure:?}").contains("GoodChecksum"), "{structure:?}");
        Ok(())
    }
}

#[test]
fn every_kind_signs_and_encrypts() {
    for suite in [CipherSuite::Cv25519, CipherSuite::RSA2k, CipherSuite::P256] {
        for profile in [Profile::RFC4880, Profile::RFC9580] {
            let cert = made(builder().set_cipher_suite(suite).set_profile(profile).expect("a profile"));
            let ring = Place::with(&[&secret(&cert)]).load();
            let alice = address("alice@x.example");
            let taken = ring.recipient_key(&alice, Format::OpenPgp, *NOW).taken.expect("one");
            let RecipientKey::OpenPgp(taken) = &*taken else { panic!("OpenPGP") };
            assert_eq!(taken.recipients(*NOW).len(), 1, "{suite:?} {profile:?}");
            assert!(!taken.cert().is_tsk());
            let taken = ring.signing_key(&alice, Format::OpenPgp, *NOW).taken.expect("one");
            let SigningKey::OpenPgp(taken) = &*taken else { panic!("OpenPGP") };
            assert_ne!(taken.subkey_fingerprint(), cert.fingerprint(), "the subkey signs");
            let mut signature = Vec::new();
            let message = Message::new(&mut signature);
            let stream = Signer::new(message, taken.signer()).expect("a signer").detached();
            let stream = stream.hash_algo(HashAlgorithm::SHA512).expect("SHA-512").creation_time(at(0));
            let mut stream = stream.build().expect("a stream");
            stream.write_all(b"text").expect("written");
            stream.finalize().expect("signed");
            let verifier = DetachedVerifierBuilder::from_bytes(&signature).expect("a signature");
            let mut verifier = verifier.with_policy(&POLICY, at(0), Helper(cert)).expect("a verifier");
            verifier.verify_bytes(b"text").expect("verified");
        }
    }
}

#[test]
fn files_hold_several_armored_or_binary() {
    let alice = made(builder());
    let bob = made(CertBuilder::general_purpose(Some("bob@x.example")).set_creation_time(at(-1)));
    let binary = [alice.to_vec().expect("octets"), bob.to_vec().expect("octets")].concat();
    let armored = [b"Hello,\n\n".to_vec(), public(&alice), b"\n".to_vec(), secret(&bob)].concat();
    for (file, holds) in [(binary, Holds::Certificate), (armored, Holds::PrivateKey)] {
        let place = Place::new();
        let imported = place.import(&[&file], &Options::default()).expect("imported");
        assert_eq!(imported.len(), 2);
        let of_bob = imported.iter().find(|i| i.addresses == [address("bob@x.example")]).expect("bob");
        assert_eq!(of_bob.holds, holds);
        let ring = place.load();
        assert_eq!(recipient(&ring, *NOW), Verdict::Taken);
        assert_eq!(signer(&ring, *NOW), Verdict::Refused(Reason::NoPrivateKey));
        let exported = ring.export(&of_bob.id).expect("exported");
        assert!(!Cert::from_bytes(exported.as_bytes()).expect("a certificate").is_tsk());
    }
}

#[test]
fn locked_keys_need_their_password() {
    let cert = made(builder().set_password(Some("secret".into())));
    let place = Place::new();
    assert_eq!(place.fault(&[&secret(&cert)], &Options::default()), Fault::PasswordNeeded);
    assert_eq!(place.fault(&[&secret(&cert)], &with_password("Secret")), Fault::WrongPassword);
    place.import(&[&public(&cert)], &Options::default()).expect("imported");
    assert_eq!(signer(&place.load(), *NOW), Verdict::Refused(Reason::NoPrivateKey));
    let imported = place.import(&[&secret(&cert)], &with_password("secret")).expect("imported");
    assert_eq!((imported[0].change, imported[0].holds), (Change::Updated, Holds::PrivateKey));
    assert_eq!(signer(&place.load(), *NOW), Verdict::Taken);
    let imported = place.import(&[&public(&cert)], &Options::default()).expect("imported");
    assert_eq!((imported[0].change, imported[0].holds), (Change::Unchanged, Holds::PrivateKey));
    assert_eq!(signer(&place.load(), *NOW), Verdict::Taken);
}

#[test]
fn time_and_subkeys_decide() {
    let year = Duration::from_secs(200 * 86_400);
    let expiring = Place::with(&[&secret(&made(builder().set_validity_period(year)))]).load();
    let (from, until) = (NOW.plus_s(-100 * DAY_S), NOW.plus_s(100 * DAY_S));
    for verdict in [recipient, signer] {
        assert_eq!(verdict(&expiring, from.plus_s(-1)), Verdict::Refused(Reason::NotYetValid(from)));
        assert_eq!(verdict(&expiring, from), Verdict::Taken);
        assert_eq!(verdict(&expiring, until.plus_s(-1)), Verdict::Taken);
        assert_eq!(verdict(&expiring, until), Verdict::Refused(Reason::Expired(until)));
    }
    let base = || CertBuilder::new().set_creation_time(at(-100)).add_userid("alice@x.example");
    let signs = Place::with(&[&secret(&made(base().add_signing_subkey()))]).load();
    assert_eq!(recipient(&signs, *NOW), Verdict::Refused(Reason::NoCapableSubkey(Use::Encrypt)));
    assert_eq!(signer(&signs, *NOW), Verdict::Taken);
    let encrypts = Place::with(&[&secret(&made(base().add_transport_encryption_subkey()))]).load();
    assert_eq!(recipient(&encrypts, *NOW), Verdict::Taken);
    assert_eq!(signer(&encrypts, *NOW), Verdict::Refused(Reason::NoCapableSubkey(Use::Sign)));
}

#[test]
fn an_expired_subkey_says_since_when() {
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    let cert = made(
        CertBuilder::new()
            .set_creation_time(at(-100))
            .add_userid("alice@x.example")
            .add_subkey(KeyFlags::empty().set_transport_encryption(), days(90), None)
            .add_subkey(KeyFlags::empty().set_signing(), days(80), None)
            .add_subkey(KeyFlags::empty().set_signing(), days(95), None),
    );
    let ring = Place::with(&[&secret(&cert)]).load();
    let expired = |day| Verdict::Refused(Reason::Expired(NOW.plus_s(day * DAY_S)));
    assert_eq!((recipient(&ring, *NOW), signer(&ring, *NOW)), (expired(-10), expired(-5)));
    let before = NOW.plus_s(-15 * DAY_S);
    assert_eq!((recipient(&ring, before), signer(&ring, before)), (Verdict::Taken, Verdict::Taken));
}

fn primary_signer(cert: &Cert) -> openpgp::crypto::KeyPair {
    let key = cert.primary_key().key().clone().parts_into_secret().expect("secret");
    key.into_keypair().expect("a pair")
}

#[test]
fn a_revocation_once_seen_is_kept() {
    let cert = made(builder());
    let mut signs = primary_signer(&cert);
    let revocation = CertRevocationBuilder::new()
        .set_signature_creation_time(at(-1))
        .expect("a time")
        .set_reason_for_revocation(ReasonForRevocation::KeyRetired, b"")
        .expect("a reason")
        .build(&mut signs, &cert, None)
        .expect("a revocation");
    let (revoked, _) = cert.clone().insert_packets(vec![Packet::from(revocation)]).expect("inserted");
    let place = Place::with(&[&secret(&cert)]);
    assert_eq!(recipient(&place.load(), *NOW), Verdict::Taken);
    place.import(&[&public(&revoked)], &Options::default()).expect("imported");
    place.import(&[&public(&cert)], &Options::default()).expect("imported");
    let ring = place.load();
    assert_eq!(recipient(&ring, *NOW), Verdict::Refused(Reason::Revoked));
    assert_eq!(signer(&ring, *NOW), Verdict::Refused(Reason::Revoked));
    assert_eq!(ring.list(*NOW)[0].encrypts, Err(Reason::Revoked));
}

#[test]
fn only_valid_user_ids_name_addresses() {
    let cert = made(builder().add_userid("alias@x.example").add_userid("Not an address").add_userid("<a b@x.example>"));
    let mut signs = primary_signer(&cert);
    let alias = UserID::from("alias@x.example");
    let revocation = UserIDRevocationBuilder::new()
        .set_signature_creation_time(at(-1))
        .expect("a time")
        .set_reason_for_revocation(ReasonForRevocation::UIDRetired, b"")
        .expect("a reason")
        .build(&mut signs, &cert, &alias, None)
        .expect("a revocation");
    let (revoked, _) = cert.insert_packets(vec![Packet::from(alias), revocation.into()]).expect("inserted");
    let place = Place::new();
    let imported = place.import(&[&public(&revoked)], &Options::default()).expect("imported");
    let mut refused = imported[0].refused_names.clone();
    refused.sort_unstable();
    assert_eq!(refused, ["Not an address", "a b@x.example"]);
    let ring = place.load();
    assert_eq!(recipient(&ring, *NOW), Verdict::Taken);
    let choice = ring.recipient_key(&address("alias@x.example"), Format::OpenPgp, *NOW);
    assert_eq!(choice.considered[0].verdict, Verdict::Refused(Reason::NotForAddress));
    assert!(choice.fact().expect_err("none").contains("not for this address"));
    let given = Options { owner: Owner::Given(vec![address("alias@x.example")]), ..Options::default() };
    place.import(&[&public(&revoked)], &given).expect("imported");
    let ring = place.load();
    assert!(ring.recipient_key(&address("alias@x.example"), Format::OpenPgp, *NOW).taken.is_some());
    assert!(ring.recipient_key(&address("alice@x.example"), Format::OpenPgp, *NOW).considered.is_empty());
}

#[test]
fn a_certificate_without_address_needs_one() {
    let cert = made(CertBuilder::general_purpose(Some("Alice")).set_creation_time(at(-1)));
    let fault = Place::new().fault(&[&public(&cert)], &Options::default());
    assert!(matches!(&fault, Fault::NoAddress { subject, .. } if subject == "Alice"), "{fault:?}");
    assert!(fault.help().expect("help").contains("--address"));
}
