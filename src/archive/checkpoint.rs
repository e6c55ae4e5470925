//! Checkpoints: a tree head as a C2SP signed note (tlog-checkpoint, signed-note), Ed25519. Never signs anything else.

use super::cursor::Malformed;
use super::layout::ArchiveId;
use super::tile::TreeHead;
use crate::crypto;
use crate::crypto::Secret;
use crate::crypto::hash;
use crate::crypto::sha256;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of the longest note we read: ours have about 300, witnesses add a line each.
pub const NOTE_BYTES_MAX: u64 = 64 * 1024;
/// signed-note's identifier of Ed25519.
const ALGORITHM: u8 = 1;

/// The log's secret half.
pub struct Signer {
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

/// The log's name and public half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    origin: String,
    public: [u8; 32],
}

impl Signer {
    /// From the 32 octets of the seed.
    pub fn new(archive: &ArchiveId, seed: &Secret<32>) -> Result<Signer, crypto::Error> {
        let malformed = |_| crypto::Error::Malformed("log key");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(malformed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| crypto::Error::Malformed("log key"))?;
        Ok(Signer { pair, verifier: Verifier::new(archive, public) })
    }
    /// The half that checks.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
    /// The note for a tree.
    pub fn sign(&self, head: &TreeHead) -> String {
        let text = self.verifier.text(head);
        let signature = self.pair.sign(text.as_bytes());
        let line = [&self.verifier.key_id()[..], signature.as_ref()].concat();
        format!("{text}\n\u{2014} {} {}\n", self.verifier.origin, STANDARD.encode(line))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.verifier.origin)
    }
}

impl Verifier {
    /// Of an archive's log.
    pub fn new(archive: &ArchiveId, public: [u8; 32]) -> Verifier {
        Verifier { origin: archive.origin(), public }
    }
    /// The public key's octets.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }
    /// signed-note's verifier key, one line.
    pub fn vkey(&self) -> String {
        let key = [&[ALGORITHM], &self.public[..]].concat();
        format!("{}+{}+{}\n", self.origin, hash::hex(&self.key_id()), STANDARD.encode(key))
    }
    /// Reads what `vkey` makes.
    pub fn parse_vkey(octets: &[u8]) -> Result<Verifier, Malformed> {
        let malformed = Malformed("no verifier key");
        let line = std::str::from_utf8(octets).ok().and_then(|text| text.strip_suffix('\n')).ok_or(malformed)?;
        // Base64 has `+` in it, so only the first two part the fields.
        let mut fields = line.splitn(3, '+');
        let (origin, key) = (fields.next().ok_or(malformed)?, fields.nth(1).ok_or(malformed)?);
        let key = STANDARD.decode(key).map_err(|_| malformed)?;
        let public = key.strip_prefix(&[ALGORITHM]).and_then(|k| k.try_into().ok()).ok_or(malformed)?;
        let verifier = Verifier { origin: origin.to_owned(), public };
        if verifier.vkey().as_bytes() == octets { Ok(verifier) } else { Err(malformed) }
    }
    fn key_id(&self) -> [u8; 4] {
        let digest = sha256(&[self.origin.as_bytes(), b"\n", &[ALGORITHM], &self.public].concat());
        [digest[0], digest[1], digest[2], digest[3]]
    }
    fn text(&self, head: &TreeHead) -> String {
        format!("{}\n{}\n{}\n", self.origin, head.size, STANDARD.encode(head.root))
    }
    /// The tree a note states, if our signature on it holds. Signatures of others are not looked at.
    pub fn open(&self, note: &[u8]) -> Result<TreeHead, Malformed> {
        let note = std::str::from_utf8(note).map_err(|_| Malformed("checkpoint is not UTF-8"))?;
        let (text, signatures) = note.split_once("\n\n").ok_or(Malformed("checkpoint without a signature"))?;
        let head = self.parse_text(text)?;
        let prefix = format!("\u{2014} {} ", self.origin);
        let ours = |line: &str| line.strip_prefix(&prefix).is_some_and(|s| self.signs(&head, s));
        let ends = signatures.ends_with('\n');
        if ends && signatures.lines().any(ours) { Ok(head) } else { Err(Malformed("signature does not hold")) }
    }
    fn parse_text(&self, text: &str) -> Result<TreeHead, Malformed> {
        let mut lines = text.split('\n');
        if lines.next() != Some(&self.origin) {
            return Err(Malformed("checkpoint of another log"));
        }
        let size = lines.next().and_then(|l| l.parse().ok()).ok_or(Malformed("tree size"))?;
        let root = lines.next().and_then(|l| STANDARD.decode(l).ok()).and_then(|r| r.try_into().ok());
        let head = TreeHead { size, root: root.ok_or(Malformed("tree root"))? };
        // One spelling, no extension lines: what we sign is exactly `text`.
        let same = self.text(&head).strip_suffix('\n') == Some(text);
        if same { Ok(head) } else { Err(Malformed("checkpoint in another form")) }
    }
    fn signs(&self, head: &TreeHead, line: &str) -> bool {
        let Ok(octets) = STANDARD.decode(line) else { return false };
        let Some((id, signature)) = octets.split_at_checked(4) else { return false };
        id == self.key_id()
            && UnparsedPublicKey::new(&ED25519, self.public).verify(self.text(head).as_bytes(), signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new(&ArchiveId::from_octets([7; 16]), &Secret::new([1; 32])).expect("a signer")
    }

    #[test]
    fn a_note_opens_to_what_was_signed() {
        let head = TreeHead { size: 300, root: [9; 32] };
        let note = signer().sign(&head);
        assert_eq!(signer().verifier().open(note.as_bytes()), Ok(head));
        let cosigned = format!("{note}\u{2014} witness.example AAAA\n");
        assert_eq!(signer().verifier().open(cosigned.as_bytes()), Ok(head));
        let other = Signer::new(&ArchiveId::from_octets([7; 16]), &Secret::new([2; 32])).expect("a signer");
        assert!(other.verifier().open(note.as_bytes()).is_err());
    }

    #[test]
    fn verifier_keys_read_back() {
        let verifier = signer().verifier().clone();
        assert_eq!(Verifier::parse_vkey(verifier.vkey().as_bytes()), Ok(verifier.clone()));
        assert!(Verifier::parse_vkey(verifier.vkey().trim_end().as_bytes()).is_err());
        assert!(Verifier::parse_vkey(b"a+b\n").is_err());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let note = signer().sign(&TreeHead { size: 300, root: [9; 32] }).into_bytes();
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bent = note.clone();
                bent[at] ^= 1 << bit;
                assert!(signer().verifier().open(&bent).is_err(), "octet {at} bit {bit}");
            }
        }
    }

    #[test]
    fn the_crate_tlog_tiles_reads_the_text() {
        let head = TreeHead { size: 300, root: [9; 32] };
        let note = signer().sign(&head);
        let text = &note[..note.find("\n\n").expect("a blank line") + 1];
        let read = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).expect("a checkpoint");
        assert_eq!((read.size(), read.hash().0), (300, [9; 32]));
    }
}
