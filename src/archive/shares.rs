//! The archive key's secret in pieces: an XOR split for every m-subset of n officers. Any m officers have it; m - 1 have
//! random octets.

use super::cursor::Malformed;
use super::layout::ArchiveId;
use crate::crypto;
use crate::crypto::Digest;
use crate::crypto::Secret;
use crate::crypto::SecretBytes;
use crate::crypto::Sha256;
use crate::crypto::hash;
use crate::crypto::random;
use zeroize::Zeroizing;

/// Officers of one generation at most: the number of subsets grows fast.
pub const OFFICERS_MAX: usize = 7;
/// Octets of the longest file of shares: more than all there can be.
pub const SHARES_BYTES_MAX: usize = 64 * 1024;
const TITLE: &str = "sealpost archive key share 1";
/// Lines of a share.
const LINES: usize = 6;
const DIGEST_LABEL: &[u8] = b"sealpost archive key piece 1";

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let officer = u32::from(self.officer) + 1;
        let Label { archive, generation, members, .. } = self;
        format!(
            "{TITLE}\narchive {archive}\ngeneration {generation}\nofficers {}\nofficer {officer}\n",
            numbers(members)
        )
    }
    /// The text that is encrypted to the officer: for people and scripts to read.
    pub fn text(&self, piece: &Secret<32>) -> SecretBytes {
        let digits = Zeroizing::new(hash::hex(piece.expose()));
        SecretBytes::new([self.head().as_bytes(), b"piece ", digits.as_bytes(), b"\n"].concat())
    }
    /// What the generation file keeps of a piece, so that a wrong one is known by itself. Says nothing of it: a piece is 32 random
    /// octets.
    pub fn digest(&self, piece: &Secret<32>) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(DIGEST_LABEL);
        hasher.update(self.archive.octets());
        hasher.update(&self.generation.to_be_bytes());
        hasher.update(&[self.members.len() as u8]);
        hasher.update(self.members);
        hasher.update(&[self.officer]);
        hasher.update(piece.expose());
        hasher.finish()
    }
}

/// Officers as people count them.
pub fn numbers(members: &[u8]) -> String {
    let numbers: Vec<_> = members.iter().map(|m| (u32::from(*m) + 1).to_string()).collect();
    numbers.join(",")
}

/// A decrypted piece as an officer brings it. Proves nothing by itself: [`super::Gathering`] checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The archive it says it is of.
    pub archive: ArchiveId,
    /// The generation.
    pub generation: u32,
    /// The officers of its subset, counted from 0.
    pub members: Vec<u8>,
    /// Whose it is, counted from 0.
    pub officer: u8,
    /// One use: to be combined with the others of the subset.
    pub piece: Secret<32>,
}

impl Share {
    /// What it says it is.
    pub fn label(&self) -> Label<'_> {
        let Share { archive, generation, officer, .. } = *self;
        Label { archive, generation, members: &self.members, officer }
    }
    /// Its text, in the one form there is.
    pub fn text(&self) -> SecretBytes {
        self.label().text(&self.piece)
    }

    /// Reads the text that `gpg --decrypt` prints, with either end of line; several may follow one another.
    pub fn parse_all(text: &[u8]) -> Result<Vec<Share>, Malformed> {
        if text.len() > SHARES_BYTES_MAX {
            return Err(Malformed("longer than shares can be"));
        }
        let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect();
        let lines: Vec<&[u8]> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return Err(Malformed("there is no share in it"));
        }
        lines.chunks(LINES).map(Share::parse_lines).collect()
    }

    fn parse_lines(lines: &[&[u8]]) -> Result<Share, Malformed> {
        const WRONG: Malformed = Malformed("not the decrypted text of a share");
        let [title, archive, generation, members, officer, piece] = lines else { return Err(WRONG) };
        let field = |line: &&[u8], name: &str| {
            let text = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(name));
            text.map(|text| Zeroizing::new(text.to_owned())).ok_or(WRONG)
        };
        let number = |text: &str| text.parse::<u8>().ok().and_then(|n| n.checked_sub(1)).ok_or(WRONG);
        let archive = hash::unhex(&field(archive, "archive ")?).and_then(|o| o.try_into().ok()).ok_or(WRONG)?;
        let digits = field(piece, "piece ")?;
        let octets = hash::unhex(&digits).map(Zeroizing::new).ok_or(WRONG)?;
        let share = Share {
            archive: ArchiveId::from_octets(archive),
            generation: field(generation, "generation ")?.parse().map_err(|_| WRONG)?,
            members: field(members, "officers ")?.split(',').map(number).collect::<Result<_, _>>()?,
            officer: number(&field(officer, "officer ")?)?,
            piece: Secret::from_slice(&octets).ok_or(WRONG)?,
        };
        // One form only, so that what was read is what was written.
        let written = share.text();
        let is_same = written.expose().split(|&b| b == b'\n').filter(|line| !line.is_empty()).eq(lines.iter().copied());
        if is_same && *title == TITLE.as_bytes() { Ok(share) } else { Err(WRONG) }
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

    fn share() -> Share {
        let piece = Secret::new([7; 32]);
        Share { archive: ArchiveId::from_octets([1; 16]), generation: 2, members: vec![0, 2], officer: 2, piece }
    }

    #[test]
    fn texts_read_back_with_either_end_of_line() {
        let text = String::from_utf8(share().text().expose().to_vec()).expect("text");
        assert!(text.starts_with("sealpost archive key share 1\narchive 0101"), "{text}");
        assert!(text.contains("\nofficers 1,3\nofficer 3\npiece 0707"), "{text}");
        for (text, count) in [
            (text.clone(), 1),
            (text.replace('\n', "\r\n"), 1),
            (format!("{text}{text}"), 2),
            (format!("\n{}", text.trim_end()), 1),
        ] {
            assert_eq!(Share::parse_all(text.as_bytes()), Ok(vec![share(); count]), "{text}");
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        let text = String::from_utf8(share().text().expose().to_vec()).expect("text");
        for bent in [
            String::new(),
            text.replace("share 1", "share 2"),
            text.replace("generation 2", "generation 02"),
            text.replace("generation 2", "generation 99999999999"),
            text.replace("officer 3", "officer 0"),
            text.replace("officer 3", "officer 300"),
            text.replace("1,3", "1,,3"),
            text.replace("piece 07", "piece 7"),
            text.replace("archive 01", "archive 1"),
            text.replace("0101", "010A").to_lowercase().replace("010a", "010A"),
            text.lines().take(5).collect::<Vec<_>>().join("\n"),
            format!("{text}more\n"),
            "x\n".repeat(SHARES_BYTES_MAX),
        ] {
            assert!(Share::parse_all(bent.as_bytes()).is_err(), "{bent:.200}");
        }
    }

    #[test]
    fn a_digest_is_of_one_piece_in_one_place() {
        let share = share();
        let digest = share.label().digest(&share.piece);
        for other in [
            Label { generation: 3, ..share.label() },
            Label { officer: 0, ..share.label() },
            Label { members: &[0, 1], ..share.label() },
            Label { archive: ArchiveId::from_octets([2; 16]), ..share.label() },
        ] {
            assert_ne!(other.digest(&share.piece), digest);
        }
        assert_ne!(share.label().digest(&Secret::new([8; 32])), digest);
        assert_eq!(share.label().digest(&Secret::new([7; 32])), digest);
    }
}
