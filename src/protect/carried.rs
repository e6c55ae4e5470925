//! What protection a message carries when it arrives. Never believes a label: a message that only calls itself encrypted is
//! not, and must not pass a rule that requires encryption (P4).

use super::encoding;
use crate::mail::header;
use crate::mail::structure;
use crate::mail::structure::{Content, Part};
use crate::policy::Already;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_CT_AUTH_ENVELOPED_DATA, ID_ENVELOPED_DATA, ID_SIGNED_DATA};
use sequoia_openpgp::Packet;
use sequoia_openpgp::parse::{PacketParser, PacketParserResult, Parse};

/// Octets of a body that are looked at: the session keys of a thousand recipients stand before the ciphertext.
const LOOKED_AT_BYTES_MAX: usize = 1024 * 1024;
/// Packets before the encrypted one.
const PACKETS_MAX: usize = 4096;
/// Octets of a DER or BER tag and length before what it holds.
const HEAD_BYTES_MAX: usize = 6;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Protection by the sender's own program, as far as the content bears its label out:
///
/// ```text
/// multipart/encrypted         two parts: application/pgp-encrypted, then an OpenPGP message whose content is encrypted (RFC 3156)
/// multipart/signed            two parts, the second a signature (RFC 1847)
/// application/pkcs7-mime      a ContentInfo of (Auth)EnvelopedData or SignedData (RFC 8551); CompressedData protects nothing
/// ```
///
/// Whether a signature is good, or a ciphertext can be opened, is not for a sender's gateway to know.
pub fn already(message: &[u8]) -> Already {
    let (head, _) = header::split(message);
    let mut kinds = header::named(head.of(message), "Content-Type");
    // Of several, another agent may read another.
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return Already::Nothing };
    match header::structured(kind.value).0.as_str() {
        "multipart/encrypted" if is_pgp_encrypted(message) => Already::Encrypted,
        "multipart/signed" if has_signature(message) => Already::Signed,
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => smime(message),
        _ => Already::Nothing,
    }
}

/// Both parts of a multipart that has two.
fn two_parts(part: &Part) -> Option<(&Part, &Part)> {
    match &part.content {
        Content::Multipart(parts) => match parts.as_slice() {
            [first, second] => Some((first, second)),
            _ => None,
        },
        _ => None,
    }
}

fn is(part: &Part, media_type: &str, subtypes: &[&str]) -> bool {
    part.media_type == media_type && subtypes.contains(&part.subtype.as_str())
}

fn is_pgp_encrypted(message: &[u8]) -> bool {
    let root = structure::scan(message);
    let Some((control, data)) = two_parts(&root) else { return false };
    is(control, "application", &["pgp-encrypted"]) && is_encrypted_openpgp(&body(data, message))
}

fn has_signature(message: &[u8]) -> bool {
    let root = structure::scan(message);
    two_parts(&root).is_some_and(|(_, second)| {
        is(second, "application", &["pkcs7-signature", "x-pkcs7-signature", "pgp-signature"])
    })
}

/// Session keys, then encrypted data (RFC 9580 section 10.3).
fn is_encrypted_openpgp(octets: &[u8]) -> bool {
    let Ok(mut result) = PacketParser::from_bytes(octets) else { return false };
    for _ in 0..PACKETS_MAX {
        let PacketParserResult::Some(parser) = result else { return false };
        match &parser.packet {
            Packet::SEIP(_) => return true,
            Packet::PKESK(_) | Packet::SKESK(_) | Packet::Marker(_) | Packet::Padding(_) => {}
            _ => return false,
        }
        match parser.next() {
            Ok((_, next)) => result = next,
            Err(_) => return false,
        }
    }
    false
}

fn smime(message: &[u8]) -> Already {
    let root = structure::scan(message);
    match content_type(&body(&root, message)) {
        Some(ID_ENVELOPED_DATA | ID_CT_AUTH_ENVELOPED_DATA) => Already::Encrypted,
        Some(ID_SIGNED_DATA) => Already::Signed,
        _ => Already::Nothing,
    }
}

/// `ContentInfo ::= SEQUENCE { contentType OBJECT IDENTIFIER, ... }`, definite length or, from Outlook, indefinite.
fn content_type(octets: &[u8]) -> Option<ObjectIdentifier> {
    let inside = behind_head(octets, 0x30)?;
    let length = usize::from(*inside.get(1)?);
    let is_short = inside.first() == Some(&0x06) && length < 0x80;
    let oid = inside.get(2..2 + length).filter(|_| is_short)?;
    // The content itself, `[0] EXPLICIT`, must be there.
    behind_head(&inside[2 + length..], 0xa0).filter(|content| !content.is_empty())?;
    ObjectIdentifier::from_bytes(oid).ok()
}

/// What follows a tag and its length.
fn behind_head(octets: &[u8], tag: u8) -> Option<&[u8]> {
    let first = *octets.get(1).filter(|_| octets.first() == Some(&tag))?;
    let head = if first > 0x80 { 2 + usize::from(first & 0x7f) } else { 2 };
    octets.get(head..).filter(|_| head <= HEAD_BYTES_MAX)
}

/// The beginning of a part's body, its transfer encoding undone.
fn body(part: &Part, message: &[u8]) -> Vec<u8> {
    let octets = part.body.of(message);
    let octets = &octets[..octets.len().min(LOOKED_AT_BYTES_MAX)];
    match part.transfer_encoding.as_str() {
        "base64" => {
            let mut text: Vec<u8> =
                octets.iter().copied().filter(|o| o.is_ascii_alphanumeric() || matches!(o, b'+' | b'/')).collect();
            // What was cut may end in the middle of a group.
            text.truncate(text.len() / 4 * 4 + if text.len() % 4 == 1 { 0 } else { text.len() % 4 });
            LENIENT.decode(&text).unwrap_or_default()
        }
        "quoted-printable" => encoding::from_quoted_printable(octets),
        _ => octets.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    /// An OpenPGP message to nobody in particular: PKESK of version 3 with a wildcard key id, then SEIPD version 1.
    const PKESK: &[u8] = &[0xc1, 14, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 16, 0xff, 0];
    const SEIPD: &[u8] = b"\xd2\x28\x01some octets that nobody can read, thirt";
    const LITERAL: &[u8] = &[0xcb, 8, b'b', 0, 0, 0, 0, 0, b'h', b'i'];

    fn check(head: &str, body: &[u8], expected: Already) {
        let message = [format!("Subject: x\r\n{head}\r\n\r\n").as_bytes(), body].concat();
        assert_eq!(already(&message), expected, "{head}\n{}", body.escape_ascii());
    }

    fn armored(packets: &[&[u8]]) -> String {
        format!(
            "-----BEGIN PGP MESSAGE-----\r\n\r\n{}\r\n-----END PGP MESSAGE-----\r\n",
            STANDARD.encode(packets.concat())
        )
    }

    fn multipart(parts: &[(&str, &str)]) -> Vec<u8> {
        let part = |(kind, body): &(&str, &str)| format!("--b\r\nContent-Type: {kind}\r\n\r\n{body}\r\n");
        (parts.iter().map(part).collect::<String>() + "--b--\r\n").into_bytes()
    }

    #[test]
    fn pgp_mime_is_what_is_encrypted() {
        const HEAD: &str = "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b";
        const CONTROL: (&str, &str) = ("application/pgp-encrypted", "Version: 1\r\n");
        let data = |text: &str| multipart(&[CONTROL, ("application/octet-stream", text)]);
        check(HEAD, &data(&armored(&[PKESK, SEIPD])), Already::Encrypted);
        check(HEAD, &data(&armored(&[SEIPD])), Already::Encrypted);
        for text in ["a secret\r\n", "", &armored(&[LITERAL]), &armored(&[PKESK, LITERAL]), &armored(&[PKESK])] {
            check(HEAD, &data(text), Already::Nothing);
        }
        let cipher = armored(&[PKESK, SEIPD]);
        let cipher = ("application/octet-stream", cipher.as_str());
        check(HEAD, &multipart(&[CONTROL, cipher, ("text/plain", "a secret")]), Already::Nothing);
        check(HEAD, &multipart(&[("text/plain", "a secret"), cipher]), Already::Nothing);
        check(HEAD, &multipart(&[CONTROL]), Already::Nothing);
        check(&format!("{HEAD}\r\nContent-Type: text/plain"), &data(cipher.1), Already::Nothing);
    }

    #[test]
    fn smime_is_what_its_content_info_says() {
        const HEAD: &str = "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m";
        let info = |oid: &ObjectIdentifier, behind: &[u8]| {
            let oid = [&[0x06, u8::try_from(oid.as_bytes().len()).expect("short")], oid.as_bytes()].concat();
            [&[0x30, 0x80][..], &oid, behind].concat()
        };
        let compressed = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.9");
        for (oid, behind, expected) in [
            (ID_ENVELOPED_DATA, &[0xa0, 0x80, 0x30][..], Already::Encrypted),
            (ID_CT_AUTH_ENVELOPED_DATA, &[0xa0, 3, 0x30, 1, 0], Already::Encrypted),
            (ID_SIGNED_DATA, &[0xa0, 0x82, 0, 1, 0x30], Already::Signed),
            (compressed, &[0xa0, 0x80, 0x30], Already::Nothing),
            (ID_ENVELOPED_DATA, b"a secret", Already::Nothing),
            (ID_ENVELOPED_DATA, b"", Already::Nothing),
        ] {
            let der = info(&oid, behind);
            check(HEAD, &der, expected);
            let base64 = STANDARD.encode(&der);
            check(&format!("{HEAD}\r\nContent-Transfer-Encoding: base64"), base64.as_bytes(), expected);
            check("Content-Type: application/x-pkcs7-mime", &der, expected);
            check("Content-Type: application/octet-stream; name=smime.p7m", &der, Already::Nothing);
            for cut in 0..der.len() - behind.len() {
                check(HEAD, &der[..cut], Already::Nothing);
            }
        }
        for body in [&b"a secret"[..], b"", b"0", b"\x30\xff", b"\x30\x84", b"\x30\x80\x06\x85\x01\x01\x01\x01\x01"] {
            check(HEAD, body, Already::Nothing);
        }
    }

    #[test]
    fn a_signature_stands_in_the_second_of_two_parts() {
        const HEAD: &str = "Content-Type: Multipart/Signed; boundary=b";
        let (text, signature) = (("text/plain", "hello"), ("application/pgp-signature", "s"));
        check(HEAD, &multipart(&[text, signature]), Already::Signed);
        check(HEAD, &multipart(&[text, ("application/x-pkcs7-signature; name=smime.p7s", "s")]), Already::Signed);
        for parts in [&[text][..], &[text, text], &[signature, text], &[text, signature, text]] {
            check(HEAD, &multipart(parts), Already::Nothing);
        }
        check("Content-Type: multipart/mixed; boundary=b", &multipart(&[text, signature]), Already::Nothing);
        check("X: y", b"", Already::Nothing);
    }
}
