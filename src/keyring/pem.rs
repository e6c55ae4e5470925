//! Text files of blocks between `-----BEGIN label-----` and `-----END label-----`: PEM (RFC 7468) and OpenPGP's armor
//! (RFC 9580 section 6). Never looks inside a block.

use super::error::Fault;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One block.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What it says it is.
    pub label: &'a str,
    /// The whole block with its first and last line.
    pub text: &'a [u8],
    /// The lines between.
    inside: &'a [u8],
}

impl Block<'_> {
    /// The octets of a PEM block without headers.
    pub fn content(&self) -> Result<Vec<u8>, Fault> {
        let text: Vec<u8> = self.inside.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
        STANDARD.decode(text).map_err(|_| Fault::Malformed(format!("base64 in a block \"{}\"", self.label)))
    }
}

/// The blocks of a file, in order; text around them is passed over, a block that does not end is a fault.
pub fn blocks(octets: &[u8]) -> Result<Vec<Block<'_>>, Fault> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize, usize)> = None;
    let mut at = 0;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        let (start, end) = (at, at + line.len());
        at = end;
        match open {
            None => open = labelled(line, BEGIN).map(|label| (label, start, end)),
            Some((label, first, inside)) if labelled(line, END) == Some(label) => {
                blocks.push(Block { label, text: &octets[first..end], inside: &octets[inside..start] });
                open = None;
            }
            Some(_) => {}
        }
    }
    match open {
        None => Ok(blocks),
        Some((label, ..)) => Err(Fault::Malformed(format!("block \"{}\": it does not end", label.escape_debug()))),
    }
}

fn labelled<'a>(line: &'a [u8], marker: &str) -> Option<&'a str> {
    let line = std::str::from_utf8(line).ok()?.trim();
    line.strip_prefix(marker)?.strip_suffix(DASHES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = blocks(text.as_bytes()).expect("blocks");
        let found: Vec<_> = found.iter().map(|b| (b.label, std::str::from_utf8(b.inside).expect("text"))).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn blocks_stand_between_their_lines() {
        check("", &[]);
        check("text\n", &[]);
        check("-----BEGIN A-----\nx\n-----END A-----", &[("A", "x\n")]);
        check("Bag\r\n-----BEGIN A B-----\r\n-----END A B-----\r\nmore", &[("A B", "")]);
        check(
            "-----BEGIN A-----\n1\n-----END B-----\n-----END A-----\n-----BEGIN B-----\n-----END B-----",
            &[("A", "1\n-----END B-----\n"), ("B", "")],
        );
        for text in ["-----BEGIN A-----\n", "-----BEGIN A-----\n-----END B-----", "-----BEGIN A-----\n-----END A----"] {
            assert!(blocks(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn content_is_strict_base64() {
        let content = |inside: &str| {
            let text = format!("-----BEGIN A-----\n{inside}\n-----END A-----\n");
            blocks(text.as_bytes()).expect("blocks")[0].content()
        };
        assert_eq!(content("AAEC\r\nAw=="), Ok(vec![0, 1, 2, 3]));
        assert!(content("AAEC\nAw").is_err());
        assert!(content("A: b\n\nAAEC").is_err());
    }
}
