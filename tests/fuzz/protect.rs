//! Taking messages apart for signing: whatever comes in, what comes out can be carried by any relay and is a fixed point.

use crate::driver::run;
use sealpost::policy::Already;
use sealpost::protect::{Parted, Purpose, already, part};

/// Octets in a line of mail, its CRLF not counted (RFC 5321 section 4.5.3.1.6).
const LINE_MAX: usize = 998;

fn check_lines(octets: &[u8]) {
    assert!(octets.is_ascii() && !octets.contains(&0), "seven bits, no NUL");
    for line in octets.split_inclusive(|&o| o == b'\n') {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        assert!(!text.contains(&b'\r') && !text.contains(&b'\n'), "CRLF only");
        assert!(text.len() <= LINE_MAX, "line of {}", text.len());
    }
}

fn entity(input: &[u8]) {
    // Encryption passes on what may not be altered, so it fails on nothing but what signing fails on too.
    let encrypting = part(input, Purpose::EncryptOnly);
    let Ok(Parted { outer, entity }) = part(input, Purpose::Sign) else { return };
    let encrypting = encrypting.expect("what can be signed can be encrypted");
    assert_eq!(encrypting.entity, entity, "one form for both");
    check_lines(&entity);
    assert!(outer.is_empty() || outer.ends_with(b"\r\n"), "whole lines outside");
    let again = part(&[&outer[..], &entity].concat(), Purpose::Sign).expect("safe octets can be signed");
    assert_eq!(
        again.entity.escape_ascii().to_string(),
        entity.escape_ascii().to_string(),
        "safe parts are not touched"
    );
}

#[test]
fn entities() {
    let multipart = "From: a@b\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\npre\r\n--b\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\nä \r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: ü\r\n\r\nx\r\n--b\r\n\
        Content-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n\r\nx \r\n--c--\r\n--b--\r\nepi\r\n";
    let seeds: &[&[u8]] = &[
        b"Subject: x\r\n\r\nHello \r\n.\r\nFrom x\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=20=\r\nb=C3=BC \r\n",
        b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD QUJD\r\n",
        b"Content-Disposition: attachment; filename=\"\xc3\x9c.pdf\"\r\n\r\n\x00\r\n",
        multipart.as_bytes(),
    ];
    let tokens: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" \r\n",
        b"\r\n\r\n",
        b"--b\r\n",
        b"--b--",
        b"--c",
        b"\xc3\xbc",
        b"=\r\n",
        b"=3D",
        b"From ",
        b".\r\n",
        b"Content-Transfer-Encoding: binary\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"multipart/digest",
        b"\r\n ",
        b"\"",
        b";",
    ];
    run("entity", seeds, tokens, entity);
}

/// What calls itself protected and is cut off or bent is looked into without trust.
fn carried(input: &[u8]) {
    let found = already(input);
    assert!(found == Already::Nothing || input.windows(13).any(|w| w.eq_ignore_ascii_case(b"Content-Type:")));
}

#[test]
fn carried_protection() {
    let seeds: &[&[u8]] = &[
        b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\nMIAGCSqGSIb3DQEHA6CAMIACAQA=\r\n",
        b"Content-Type: application/pkcs7-mime\r\n\r\n\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80\x30",
        b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\n--b--\r\n",
        b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\
          --b\r\nContent-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nwQ4DAAAAAAAAAAABABD/ANIoAXNvbWUgb2N0ZXRzIHRoYXQgbm9ib2R5IGNhbiByZWFkLCB0aGlydA==\r\n\
          -----END PGP MESSAGE-----\r\n\r\n--b--\r\n",
    ];
    run("carried", seeds, &[b"--b\r\n", b"Content-Type: ", b"\x30\x80", b"=", b"--b--"], carried);
}
