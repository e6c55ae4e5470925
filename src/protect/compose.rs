//! The frames of RFC 1847 and RFC 8551 around a protected entity. Each function appends Content-* fields, an empty line and a
//! body: an entity again, which can be protected once more or go under the outer header. Never looks inside the entity.

use super::Error;
use super::encoding;
use super::hazards::canonical;
use crate::crypto::hash;
use crate::crypto::random;

/// A boundary that `content` does not hold as a delimiter. Random, so that a sender cannot foresee it; `=_` stands in neither
/// base64 nor quoted-printable.
fn boundary(content: &[u8]) -> Result<String, Error> {
    loop {
        let boundary = format!("=_{}", hash::hex(&random::bytes::<16>().map_err(|_| Error::Randomness)?));
        if !holds_delimiter(content, boundary.as_bytes()) {
            return Ok(boundary);
        }
    }
}

fn holds_delimiter(content: &[u8], boundary: &[u8]) -> bool {
    let is_delimiter = |line: &[u8]| line.strip_prefix(b"--").is_some_and(|rest| rest.starts_with(boundary));
    content.split(|&o| o == b'\n').any(is_delimiter)
}

/// What a kind of detached signature is called.
pub struct SignatureNames {
    /// Media type of the signature, and `protocol` of the whole.
    pub protocol: &'static str,
    /// `micalg` of the whole.
    pub micalg: &'static str,
    /// File name of the signature, and what readers without support show.
    pub file: &'static str,
    /// Content-Description of the signature.
    pub description: &'static str,
}

/// How the signature's octets are written.
pub enum Signature {
    /// As base64.
    Binary(Vec<u8>),
    /// As they are: lines of ASCII.
    Armored(Vec<u8>),
}

/// multipart/signed (RFC 1847 section 2.1): the entity stands in it octet for octet.
pub fn signed(entity: &[u8], names: &SignatureNames, signature: &Signature, out: &mut Vec<u8>) -> Result<(), Error> {
    let SignatureNames { protocol, micalg, file, description } = names;
    let boundary = boundary(entity)?;
    out.reserve(entity.len() + 16 * 1024);
    text(out, &format!("Content-Type: multipart/signed; protocol=\"{protocol}\";\r\n micalg={micalg};"));
    text(out, &format!(" boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n"));
    out.extend_from_slice(entity);
    text(out, &format!("\r\n--{boundary}\r\nContent-Type: {protocol}; name=\"{file}\"\r\n"));
    if let Signature::Binary(_) = signature {
        text(out, "Content-Transfer-Encoding: base64\r\n");
    }
    text(out, &format!("Content-Disposition: attachment; filename=\"{file}\"\r\n"));
    text(out, &format!("Content-Description: {description}\r\n\r\n"));
    match signature {
        Signature::Binary(octets) => encoding::base64(octets, out),
        Signature::Armored(lines) => canonical(lines, out),
    }
    text(out, &format!("\r\n--{boundary}--\r\n"));
    Ok(())
}

/// application/pkcs7-mime with an EnvelopedData (RFC 8551 section 3.3).
pub fn enveloped(cms: &[u8], out: &mut Vec<u8>) {
    text(out, "Content-Type: application/pkcs7-mime; smime-type=enveloped-data;\r\n name=\"smime.p7m\"\r\n");
    text(out, "Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7m\"\r\n");
    text(out, "Content-Description: S/MIME Encrypted Message\r\n\r\n");
    encoding::base64(cms, out);
}

/// multipart/encrypted with an armored OpenPGP message (RFC 3156 section 4).
pub fn encrypted(armored: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let boundary = boundary(armored)?;
    // One CR more for each line of 64.
    out.reserve(armored.len() + armored.len() / 60 + 1024);
    text(out, "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\r\n");
    text(out, &format!(" boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\nContent-Type: application/pgp-encrypted\r\n"));
    text(out, "Content-Description: PGP/MIME version identification\r\n\r\nVersion: 1\r\n");
    text(out, &format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\r\n"));
    text(out, "Content-Disposition: inline; filename=\"encrypted.asc\"\r\n");
    text(out, "Content-Description: OpenPGP encrypted message\r\n\r\n");
    canonical(armored, out);
    text(out, &format!("\r\n--{boundary}--\r\n"));
    Ok(())
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_differ_and_are_looked_for() {
        let (one, other) = (boundary(b"").expect("one"), boundary(b"").expect("another"));
        assert_ne!(one, other);
        assert_eq!(one.len(), 34);
        for (content, expected) in
            [("--x", true), ("a\r\n--xy\r\n", true), ("a --x\r\n", false), ("-x", false), ("", false)]
        {
            assert_eq!(holds_delimiter(content.as_bytes(), b"x"), expected, "{content:?}");
        }
    }
}
