//! The archive key's secret in pieces: an XOR split for every m-subset of n officers. Any m officers have it; m - 1 have
//! random octets.

use super::cursor::Malformed;
use super::layout::ArchiveId;
use crate::crypto;
use crate::crypto::Secret;
use crate::crypto::SecretBytes;
use crate::crypto::hash;
use crate::crypto::random;
use zeroize::Zeroizing;

/// Officers of one generation at most: the number of subsets grows fast.
pub const OFFICERS_MAX: usize = 7;
const TITLE: &str = "sealpost archive key share 1";

/// Every `m`-subset of `0..n`, ascending, in lexicographic order.
pub fn subsets(n: usize, m: usize) -> Result<Vec<Vec<u8>>, Malformed> {
    if n == 0 || n > OFFICERS_MAX || m == 0 || m > n {
        return Err(Malformed("number of officers"));
    }
    let members = |mask: u32| (0..n as u8).filter(|i| mask & (1 << i) != 0).collect::<Vec<u8>>();
    let mut found: Vec<_> = (0..1u32 << n).filter(|mask| mask.count_ones() as usize == m).map(members).collect();
    found.sort_unstable();
    Ok(found)
}

/// Pieces whose XOR is `secret`; all but the last are random.
pub fn split(secret: &Secret<32>, pieces: usize) -> Result<Vec<Secret<32>>, crypto::Error> {
    let mut out = Vec::with_capacity(pieces);
    let mut rest = secret.clone();
    for _ in 1..pieces {
        let piece = random::hedged("archive key piece", &[])?;
        rest = xor(&rest, &piece);
        out.push(piece);
    }
    out.push(rest);
    Ok(out)
}

/// The secret that was split.
pub fn combine(pieces: &[Secret<32>]) -> Secret<32> {
    pieces.iter().fold(Secret::new([0; 32]), |sum, piece| xor(&sum, piece))
}

fn xor(a: &Secret<32>, b: &Secret<32>) -> Secret<32> {
    let mut sum = Zeroizing::new([0; 32]);
    for (s, (x, y)) in sum.iter_mut().zip(a.expose().iter().zip(b.expose())) {
        *s = x ^ y;
    }
    Secret::new(*sum)
}

/// What a piece is a piece of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The archive.
    pub archive: ArchiveId,
    /// The archive key's generation.
    pub generation: u32,
    /// The officers that have the other pieces, counted from 0, and `officer` itself.
    pub members: &'a [u8],
    /// Whose piece it is, counted from 0.
    pub officer: u8,
}

impl Label<'_> {
    fn head(&self) -> String {
        let numbers: Vec<_> = self.members.iter().map(|m| (u32::from(*m) + 1).to_string()).collect();
        format!(
            "{TITLE}\narchive {}\ngeneration {}\nofficers {}\nofficer {}\n",
            self.archive,
            self.generation,
            numbers.join(","),
            u32::from(self.officer) + 1
        )
    }
    /// The text that is encrypted to the officer: for people and scripts to read.
    pub fn text(&self, piece: &Secret<32>) -> SecretBytes {
        let digits = Zeroizing::new(hash::hex(piece.expose()));
        SecretBytes::new([self.head().as_bytes(), b"piece ", digits.as_bytes(), b"\n"].concat())
    }
    /// The piece in a decrypted text, if it is the one this label names.
    pub fn parse(&self, text: &SecretBytes) -> Result<Secret<32>, Malformed> {
        let rest = text.expose().strip_prefix(self.head().as_bytes()).ok_or(Malformed("another piece"))?;
        let digits = rest.strip_prefix(b"piece ").and_then(|r| r.strip_suffix(b"\n"));
        let digits = digits.and_then(|d| std::str::from_utf8(d).ok()).ok_or(Malformed("no piece"))?;
        let octets = hash::unhex(digits).map(Zeroizing::new).ok_or(Malformed("no piece"))?;
        Secret::from_slice(&octets).ok_or(Malformed("no piece"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_all_and_in_order() {
        assert_eq!(subsets(1, 1), Ok(vec![vec![0]]));
        assert_eq!(subsets(3, 1), Ok(vec![vec![0], vec![1], vec![2]]));
        assert_eq!(subsets(4, 3), Ok(vec![vec![0, 1, 2], vec![0, 1, 3], vec![0, 2, 3], vec![1, 2, 3]]));
        assert_eq!(subsets(7, 4).map(|s| s.len()), Ok(35));
        for (n, m) in [(0, 0), (1, 0), (1, 2), (8, 1)] {
            assert!(subsets(n, m).is_err(), "{m} of {n}");
        }
    }

    #[test]
    fn all_pieces_make_the_secret_and_fewer_do_not() {
        let secret = Secret::new([0x5a; 32]);
        for n in 1..=OFFICERS_MAX {
            let pieces = split(&secret, n).expect("split");
            assert_eq!(combine(&pieces), secret);
            assert_ne!(combine(&pieces[1..]), secret);
        }
    }

    #[test]
    fn a_text_is_read_only_under_its_label() {
        let label = Label { archive: ArchiveId::from_octets([1; 16]), generation: 2, members: &[0, 2], officer: 2 };
        let text = label.text(&Secret::new([7; 32]));
        assert_eq!(label.parse(&text), Ok(Secret::new([7; 32])));
        assert!(text.expose().starts_with(b"sealpost archive key share 1\narchive 0101"));
        assert!(Label { officer: 0, ..label.clone() }.parse(&text).is_err());
        assert!(Label { generation: 1, ..label }.parse(&text).is_err());
    }
}
