//! Choosing certificates for S/MIME.

use super::make::{DAY_S, EC, NOW, Place, RSA, RSA_OTHER, Spec, address, ec, pkcs8_pem, rsa};
use crate::keyring::{Format, Options, Owner, Reason, RecipientKey, SigningKey, SmimeKeyPair, Use, Verdict};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::sign::Verifier;
use openssl::x509::X509;

const MAIL: &str = "1.3.6.1.5.5.7.3.4";
const SERVER: &str = "1.3.6.1.5.5.7.3.1";
const ANY: &str = "2.5.29.37.0";

/// What becomes of one certificate with its key, for encrypting and for signing.
#[track_caller]
fn check(spec: &Spec<'_>, encrypt: Result<(), Reason>, sign: Result<(), Reason>) {
    let place = Place::with(&[&[spec.pem(), pkcs8_pem(spec.key)].concat()]);
    let ring = place.load();
    let alice = address("alice@x.example");
    let choice = ring.recipient_key(&alice, Format::Smime, *NOW);
    let verdict = |of: Result<(), Reason>| of.map_or_else(Verdict::Refused, |()| Verdict::Taken);
    assert_eq!(choice.taken.is_some(), encrypt.is_ok());
    assert_eq!(choice.considered[0].verdict, verdict(encrypt));
    let choice = ring.signing_key(&alice, Format::Smime, *NOW);
    assert_eq!(choice.taken.is_some(), sign.is_ok());
    assert_eq!(choice.considered[0].verdict, verdict(sign));
}

#[test]
fn usage_decides() {
    let both = |spec: Spec<'_>, result: Result<(), Reason>| check(&spec, result.clone(), result);
    let no = |wanted| Err(Reason::KeyUsage(wanted));
    let spec = Spec::default;
    both(spec(), Ok(()));
    both(Spec { key: &EC, ..spec() }, Ok(()));
    check(&Spec { usage: &["sign"], ..spec() }, no(Use::Encrypt), Ok(()));
    check(&Spec { usage: &["repudiate"], ..spec() }, no(Use::Encrypt), Ok(()));
    check(&Spec { usage: &["encipher"], ..spec() }, Ok(()), no(Use::Sign));
    check(&Spec { usage: &["agree"], ..spec() }, no(Use::Encrypt), no(Use::Sign));
    check(&Spec { usage: &["agree"], key: &EC, ..spec() }, Ok(()), no(Use::Sign));
    check(&Spec { usage: &["encipher"], key: &EC, ..spec() }, no(Use::Encrypt), no(Use::Sign));
    check(&Spec { usage: &["sign", "encipher"], ..spec() }, Ok(()), Ok(()));
    both(Spec { purposes: &[MAIL], ..spec() }, Ok(()));
    both(Spec { purposes: &[SERVER, MAIL], ..spec() }, Ok(()));
    both(Spec { purposes: &[ANY], ..spec() }, Ok(()));
    both(Spec { purposes: &[SERVER], ..spec() }, Err(Reason::ExtendedKeyUsage));
    both(Spec { ca: true, ..spec() }, Ok(()));
}

#[test]
fn validity_includes_both_ends() {
    let (from, until) = (NOW.plus_s(-180 * DAY_S), NOW.plus_s(180 * DAY_S));
    let ring = Place::with(&[&Spec::default().pem()]).load();
    let verdict = |now| {
        let choice = ring.recipient_key(&address("alice@x.example"), Format::Smime, now);
        choice.considered[0].verdict.clone()
    };
    assert_eq!(verdict(from.plus_s(-1)), Verdict::Refused(Reason::NotYetValid(from)));
    assert_eq!(verdict(from), Verdict::Taken);
    assert_eq!(verdict(until), Verdict::Taken);
    assert_eq!(verdict(until.plus_s(1)), Verdict::Refused(Reason::Expired(until)));
}

#[test]
fn algorithms_that_are_not_used_are_kept_but_refused() {
    for (key, text) in [(ec(Nid::SECP384R1), "secp384r1"), (rsa(1024), "RSA with 1024 bits")] {
        let place = Place::with(&[&[Spec { key: &key, ..Spec::default() }.pem(), pkcs8_pem(&key)].concat()]);
        let ring = place.load();
        let choice = ring.recipient_key(&address("alice@x.example"), Format::Smime, *NOW);
        let reason = choice.fact().expect_err("no key");
        assert!(reason.contains(text), "{reason}");
        let reason = ring.signing_key(&address("alice@x.example"), Format::Smime, *NOW).fact().expect_err("no key");
        assert!(reason.contains(text), "{reason}");
    }
}

#[test]
fn the_newest_usable_certificate_is_taken() {
    let spec = Spec::default();
    let old = Spec { from_day: -100, ..spec.clone() };
    let new = Spec { from_day: -10, ..spec.clone() };
    let expired = Spec { from_day: -5, until_day: -1, ..spec.clone() };
    let early = Spec { from_day: 1, ..spec.clone() };
    let files: Vec<Vec<u8>> = [&old, &expired, &new, &early].iter().map(|s| s.pem()).collect();
    let ring = Place::with(&files.iter().map(Vec::as_slice).collect::<Vec<_>>()).load();
    let choice = ring.recipient_key(&address("Alice@X.example"), Format::Smime, *NOW);
    let reasons: Vec<Verdict> = choice.considered.iter().map(|c| c.verdict.clone()).collect();
    let refused = Verdict::Refused;
    assert_eq!(
        reasons,
        [
            refused(Reason::NotYetValid(NOW.plus_s(DAY_S))),
            refused(Reason::Expired(NOW.plus_s(-DAY_S))),
            Verdict::Taken,
            refused(Reason::LessRecent),
        ]
    );
    assert_eq!(choice.fact(), Ok(choice.considered[2].id.clone()));
    let RecipientKey::Smime(taken) = &*choice.taken.expect("one") else { panic!("S/MIME") };
    let taken = X509::from_der(taken.der()).expect("a certificate");
    assert_eq!(taken.to_pem().expect("PEM"), files[2]);
}

#[test]
fn signing_and_encryption_certificates_may_be_separate() {
    let signs = Spec { usage: &["sign"], ..Spec::default() }.make();
    let encrypts = Spec { usage: &["encipher"], key: &RSA_OTHER, ..Spec::default() }.make();
    let file = [signs.to_pem().expect("PEM"), encrypts.to_pem().expect("PEM"), pkcs8_pem(&RSA), pkcs8_pem(&RSA_OTHER)];
    let ring = Place::with(&[&file.concat()]).load();
    let alice = address("alice@x.example");
    let recipient = ring.recipient_key(&alice, Format::Smime, *NOW).taken.expect("one");
    let RecipientKey::Smime(recipient) = &*recipient else { panic!("S/MIME") };
    assert_eq!(recipient.der(), encrypts.to_der().expect("DER"));
    let signer = ring.signing_key(&alice, Format::Smime, *NOW).taken.expect("one");
    let SigningKey::Smime(signer) = &*signer else { panic!("S/MIME") };
    assert_eq!(signer.certificate().der(), signs.to_der().expect("DER"));
    assert!(ring.recipient_key(&alice, Format::OpenPgp, *NOW).considered.is_empty());
}

#[test]
fn only_equal_addresses_match() {
    let ring = Place::with(&[&Spec::default().pem()]).load();
    for other in
        ["lice@x.example", "alice@x.example.org", "malice@x.example", "alice@xx.example", "\"alice \"@x.example"]
    {
        let choice = ring.recipient_key(&address(other), Format::Smime, *NOW);
        assert!(choice.taken.is_none() && choice.considered.is_empty(), "{other}");
        assert_eq!(choice.fact(), Err("no key names this address".to_owned()));
    }
    for same in ["ALICE@x.EXAMPLE", "\"alice\"@x.example"] {
        assert!(ring.recipient_key(&address(same), Format::Smime, *NOW).taken.is_some(), "{same}");
    }
}

/// The addresses a certificate is taken for, or those it is refused for.
#[track_caller]
fn check_names(spec: &Spec<'_>, expected: Result<&[&str], &[&str]>) {
    let place = Place::new();
    let result = place.import(&[&spec.pem()], &Options::default());
    match (result, expected) {
        (Ok(imported), Ok(expected)) => {
            let found: Vec<String> = imported[0].addresses.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        }
        (Err(error), Err(expected)) => {
            let text = error.to_string();
            assert!(expected.iter().all(|part| text.contains(part)), "{text}");
        }
        (result, _) => panic!("{result:?}"),
    }
}

#[test]
fn names_are_addresses_or_do_not_count() {
    let subject = |email| Spec { subject_email: Some(email), san: &[], ..Spec::default() };
    check_names(
        &Spec { san: &["b@x.example", "a@x.example", "A@x.example"], ..Spec::default() },
        Ok(&["b@x.example", "a@x.example"]),
    );
    check_names(&subject("bob@x.example"), Ok(&["bob@x.example"]));
    check_names(&Spec { subject_email: Some("bob@x.example"), ..Spec::default() }, Ok(&["alice@x.example"]));
    check_names(&Spec { san: &["alice @x.example", "b@x.example"], ..Spec::default() }, Ok(&["b@x.example"]));
    check_names(&Spec { san: &["\"a b\"@x.example"], ..Spec::default() }, Err(&["names no e-mail address", "a b"]));
    check_names(
        &Spec { san: &[" alice@x.example"], subject_email: Some("bob@x.example"), ..Spec::default() },
        Err(&[" alice@x.example"]),
    );
    check_names(&subject("alice@x.example "), Err(&["names no e-mail address"]));
    check_names(&subject("x.example"), Err(&["not addresses: x.example"]));
    check_names(&Spec { san: &[], ..Spec::default() }, Err(&["CN=Alice names no e-mail address"]));
    check_names(&Spec { san: &[], ca: true, ..Spec::default() }, Err(&["names no e-mail address"]));
}

#[test]
fn an_address_given_at_import_replaces_those_named() {
    let place = Place::new();
    let given = Options { owner: Owner::Given(vec![address("sales@x.example")]), ..Options::default() };
    let pem = Spec::default().pem();
    place.import(&[&pem], &given).expect("imported");
    let again = place.import(&[&pem], &Options::default()).expect("imported");
    assert_eq!(again[0].addresses, [address("sales@x.example")], "what was given stays");
    let ring = place.load();
    assert!(ring.recipient_key(&address("sales@x.example"), Format::Smime, *NOW).taken.is_some());
    assert!(ring.recipient_key(&address("alice@x.example"), Format::Smime, *NOW).considered.is_empty());
}

#[test]
fn signers_sign_and_carry_their_chain() {
    let root = Spec { name: "Root", san: &[], ca: true, key: &RSA_OTHER, ..Spec::default() }.make();
    let middle = Spec {
        name: "Middle",
        san: &["ca@x.example"],
        ca: true,
        key: &EC,
        issuer: Some((&root, &RSA_OTHER)),
        ..Spec::default()
    }
    .make();
    let leaf = Spec { issuer: Some((&middle, &EC)), ..Spec::default() }.make();
    // Has the issuer's name, but did not sign.
    let stranger = Spec { name: "Middle", san: &[], ca: true, key: &RSA_OTHER, ..Spec::default() }.make();
    let pem = |c: &X509| c.to_pem().expect("PEM");
    let file = [pem(&stranger), pem(&root), pem(&middle), pkcs8_pem(&RSA), pem(&leaf)].concat();
    let place = Place::new();
    let imported = place.import(&[&file], &Options::default()).expect("imported");
    assert_eq!(imported.len(), 1, "issuers are no items: {imported:?}");
    let ring = place.load();
    let signer = ring.signing_key(&address("alice@x.example"), Format::Smime, *NOW).taken.expect("one");
    let SigningKey::Smime(signer) = &*signer else { panic!("S/MIME") };
    assert_eq!(signer.chain(), [leaf.to_der().expect("DER"), middle.to_der().expect("DER")]);
    let SmimeKeyPair::Rsa(pair) = signer.key_pair() else { panic!("RSA") };
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), b"text", &mut signature).expect("signed");
    let key = leaf.public_key().expect("a key");
    let mut verifier = Verifier::new(MessageDigest::sha256(), &key).expect("a verifier");
    assert!(verifier.verify_oneshot(&signature, b"text").expect("verified"));
    assert!(format!("{signer:?} {ring:?}").len() < 20_000, "no octets in Debug");
    let exported = ring.export(&imported[0].id).expect("exported");
    assert_eq!(X509::stack_from_pem(exported.as_bytes()).expect("PEM").len(), 2);
}

#[test]
fn anchors_are_for_nobody() {
    use crate::keyring::Fault;
    let place = Place::new();
    let anchor = Options { owner: Owner::Authority, ..Options::default() };
    let pem = Spec { ca: true, ..Spec::default() }.pem();
    let imported = place.import(&[&pem], &anchor).expect("imported");
    assert!(imported[0].id.starts_with("ca-") && imported[0].addresses.is_empty());
    let ring = place.load();
    assert_eq!(ring.anchors().count(), 1);
    assert!(ring.recipient_key(&address("alice@x.example"), Format::Smime, *NOW).considered.is_empty());
    assert_eq!(ring.list(*NOW)[0].encrypts, Err(Reason::TrustAnchor));
    // The same certificate for its addresses is another item.
    place.import(&[&pem], &Options::default()).expect("imported");
    assert_eq!(place.load().list(*NOW).len(), 2);
    assert_eq!(place.fault(&[&pkcs8_pem(&RSA)], &anchor), Fault::NotAnAnchor);
    let ca = Spec { name: "CA", san: &[], ca: true, ..Spec::default() }.make();
    let leaf = Spec { issuer: Some((&ca, &RSA)), key: &EC, ..Spec::default() }.pem();
    assert_eq!(place.fault(&[&leaf], &anchor), Fault::NotAnAnchor);
}

#[test]
fn an_authority_beside_a_person_is_not_that_person() {
    let stranger = Spec { name: "Stranger", san: &[], ca: true, key: &RSA_OTHER, ..Spec::default() }.pem();
    let given = Options { owner: Owner::Given(vec![address("alice@x.example")]), ..Options::default() };
    for owner in [&given, &Options::default()] {
        let imported = Place::new().import(&[&Spec::default().pem(), &stranger], owner).expect("imported");
        assert_eq!(imported.len(), 1);
    }
    // Alone it may be: OpenSSL marks self-signed certificates so by default.
    assert_eq!(Place::new().import(&[&stranger], &given).expect("imported").len(), 1);
}
