//! SHA-256 over whole inputs and streams. Never another hash: one algorithm stands in every format of ours.

use aws_lc_rs::digest;

/// Octets of a SHA-256 digest.
pub const DIGEST_BYTES: usize = 32;
/// A SHA-256 digest.
pub type Digest = [u8; DIGEST_BYTES];

/// SHA-256 of one input.
pub fn sha256(octets: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(octets);
    hasher.finish()
}

/// SHA-256 of an input that comes in pieces.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// An empty input so far.
    pub fn new() -> Sha256 {
        Sha256(digest::Context::new(&digest::SHA256))
    }
    /// Appends `octets` to the input.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }
    /// The digest of all input.
    pub fn finish(self) -> Digest {
        let mut out = [0; DIGEST_BYTES];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Sha256::new()
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256(..)")
    }
}

/// Lower-case hexadecimal, for people and JSON.
pub fn hex(octets: &[u8]) -> String {
    use std::fmt::Write;
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        let written = write!(text, "{octet:02x}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        text
    })
}

/// Reads hexadecimal of either case; `None` for odd length or another character.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let octets = text.as_bytes();
    if !octets.len().is_multiple_of(2) {
        return None;
    }
    octets.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_fips_180_4_example() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), expected);
        let mut pieces = Sha256::new();
        pieces.update(b"a");
        pieces.update(b"bc");
        assert_eq!(pieces.finish().to_vec(), unhex(expected).expect("hex"));
    }

    #[test]
    fn unhex_refuses_what_is_not_hex() {
        assert_eq!(unhex("0g"), None);
        assert_eq!(unhex("012"), None);
        assert_eq!(unhex("FFfe"), Some(vec![0xff, 0xfe]));
    }
}
