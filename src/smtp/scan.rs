//! Scan: finds line ends a word at a time, because content is looked at once on its way in and once on its way out.
//! Never copies.

use super::{CR, LF};

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
const CRS: u64 = u64::from_ne_bytes([CR; 8]);
const LFS: u64 = u64::from_ne_bytes([LF; 8]);

/// Where the first CR or LF stands.
#[inline]
pub fn line_break(octets: &[u8]) -> Option<usize> {
    let (words, tail) = octets.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let hits = zeros(word ^ CRS) | zeros(word ^ LFS);
        if hits != 0 {
            return Some(index * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    let found = tail.iter().position(|&octet| octet == CR || octet == LF)?;
    Some(words.len() * 8 + found)
}

/// Marks the octets that are zero by their highest bit. The lowest mark is always right; a borrow can set false ones only
/// above a right one.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds() {
        for octet in 0..=255_u8 {
            for length in 0..40 {
                let mut octets = vec![octet; length];
                for at in 0..length {
                    for end in [CR, LF] {
                        octets[at] = end;
                        let plain = octets.iter().position(|&o| o == CR || o == LF);
                        assert_eq!(line_break(&octets), plain, "{octets:?}");
                        octets[at] = octet;
                    }
                }
            }
        }
    }
}
