//! Leaves: the entries of the evidence log. Commitments, never content: no leaf names a message id or an address.
//!
//! ```text
//! leaf       = kind(1) body                                             at most 65,535 octets (C2SP tlog-tiles)
//! ACCEPT     = 1 version(1) commitment(32)
//! RESULT     = 2 version(1) accept index(u64 BE) commitment(32)
//! GAP        = 9 version(1) from(u64 BE) until(u64 BE)                  what the log entries from..until meant is lost
//! commitment = SHA-256(len(label) label len(blind) blind len(hash) hash)     lengths as u32 BE
//! ```
//! The hash is the SHA-256 of the record's CBOR; the blind is derived from the message key, so that once the key is gone a
//! commitment says nothing, even to one who guesses the record.

use crate::crypto::Digest;
use crate::crypto::Secret;
use crate::crypto::Sha256;
use crate::crypto::kdf;
use crate::crypto::sha256;
use crate::mail::MailId;

/// Octets of the longest leaf: tlog-tiles entries have a 16-bit length.
pub const LEAF_BYTES_MAX: usize = 65_535;
/// Octets of leaves that become durable together, with 2 more for each; a batch takes such a group and some mail besides.
pub const GROUP_BYTES_MAX: usize = 384 * 1024;
/// The version octet of the leaves made here.
pub const LEAF_VERSION: u8 = 1;

/// What a leaf says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LeafKind {
    /// A log epoch begins.
    Epoch = 0,
    /// A message was accepted.
    Accept = 1,
    /// A recipient's delivery ended.
    Result = 2,
    /// A message got a new ruling.
    Rerule = 3,
    /// A segment was sealed.
    Seal = 4,
    /// A legal hold began.
    Hold = 5,
    /// A legal hold ended.
    Release = 6,
    /// A message was erased.
    Erase = 7,
    /// A class's bucket expired.
    Expire = 8,
    /// Journal damage: entries whose meaning is lost.
    Gap = 9,
    /// Keys or officers changed.
    Key = 10,
    /// A checkpoint was witnessed outside.
    Anchor = 11,
}

impl LeafKind {
    const ALL: [LeafKind; 12] = [
        LeafKind::Epoch,
        LeafKind::Accept,
        LeafKind::Result,
        LeafKind::Rerule,
        LeafKind::Seal,
        LeafKind::Hold,
        LeafKind::Release,
        LeafKind::Erase,
        LeafKind::Expire,
        LeafKind::Gap,
        LeafKind::Key,
        LeafKind::Anchor,
    ];

    /// Whether it is something done to sealed mail.
    pub fn is_act(self) -> bool {
        matches!(self, LeafKind::Hold | LeafKind::Release | LeafKind::Erase | LeafKind::Expire)
    }

    /// The kind an octet stands for.
    pub fn from_octet(octet: u8) -> Option<LeafKind> {
        LeafKind::ALL.get(usize::from(octet)).copied()
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What happened.
    pub kind: LeafKind,
    /// The rest, whose first octet is its version.
    pub body: Vec<u8>,
}

impl Leaf {
    /// A leaf; `None` when it would be longer than `LEAF_BYTES_MAX`.
    pub fn new(kind: LeafKind, body: Vec<u8>) -> Option<Leaf> {
        (body.len() < LEAF_BYTES_MAX).then_some(Leaf { kind, body })
    }
    /// Reads kind and body.
    pub fn parse(octets: &[u8]) -> Option<Leaf> {
        let (kind, body) = octets.split_first()?;
        Leaf::new(LeafKind::from_octet(*kind)?, body.to_vec())
    }
    /// Kind octet and body, as the log hashes them.
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(1 + self.body.len());
        octets.push(self.kind as u8);
        octets.extend_from_slice(&self.body);
        octets
    }
    /// The leaf of an acceptance.
    pub fn accept(mek: &Secret<32>, id: &MailId, accept_octets: &[u8]) -> Leaf {
        let mut body = vec![LEAF_VERSION];
        body.extend_from_slice(&accept_commitment(&accept_blind(mek, id), &sha256(accept_octets)));
        Leaf { kind: LeafKind::Accept, body }
    }
    /// The leaf of a terminal result, the `ordinal`-th of its message.
    pub fn result(mek: &Secret<32>, accept_index: u64, ordinal: u64, result_octets: &[u8]) -> Leaf {
        Leaf::blinded_result(&result_blind(mek, accept_index, ordinal), accept_index, result_octets)
    }
    /// The same, of a blind that is known already.
    pub(super) fn blinded_result(blind: &Secret<32>, accept_index: u64, result_octets: &[u8]) -> Leaf {
        let mut body = vec![LEAF_VERSION];
        body.extend_from_slice(&accept_index.to_be_bytes());
        body.extend_from_slice(&result_commitment(blind, &sha256(result_octets)));
        Leaf { kind: LeafKind::Result, body }
    }
    /// The leaf that declares `from..until` lost.
    pub fn gap(from: u64, until: u64) -> Leaf {
        let mut body = vec![LEAF_VERSION];
        body.extend_from_slice(&from.to_be_bytes());
        body.extend_from_slice(&until.to_be_bytes());
        Leaf { kind: LeafKind::Gap, body }
    }
    /// The range a GAP leaf declares lost.
    pub fn gap_range(&self) -> Option<(u64, u64)> {
        let (version, rest) = self.body.split_first()?;
        let (from, until) = rest.split_at_checked(8)?;
        let (from, until) = (u64::from_be_bytes(from.try_into().ok()?), u64::from_be_bytes(until.try_into().ok()?));
        (self.kind == LeafKind::Gap && *version == LEAF_VERSION).then_some((from, until))
    }
}

/// Leaves that stand or fall together, end to end, each behind its length (u16): as in an entry bundle of the log. `None` for no
/// leaf at all, or more than `GROUP_BYTES_MAX` octets.
pub fn encode_group(leaves: &[Leaf]) -> Option<Vec<u8>> {
    let mut group = Vec::new();
    for leaf in leaves {
        let octets = leaf.octets();
        group.extend_from_slice(&u16::try_from(octets.len()).ok()?.to_be_bytes());
        group.extend_from_slice(&octets);
    }
    (!group.is_empty() && group.len() <= GROUP_BYTES_MAX).then_some(group)
}

/// The leaves of a group, as the log hashes them; `None` for what `encode_group` does not make.
pub fn parse_group(mut group: &[u8]) -> Option<Vec<&[u8]>> {
    let mut members = Vec::new();
    while let Some((length, rest)) = group.split_first_chunk() {
        let (leaf, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        Leaf::parse(leaf)?;
        members.push(leaf);
        group = rest;
    }
    (group.is_empty() && !members.is_empty()).then_some(members)
}

/// Blinds the commitment to a message's record. One key, one blind: bound to the message.
pub fn accept_blind(mek: &Secret<32>, id: &MailId) -> Secret<32> {
    kdf::derive(mek.expose(), "leaf blind", &[id.octets()])
}

/// Blinds the commitment to the `ordinal`-th terminal result of the message accepted at `accept_index`.
pub fn result_blind(mek: &Secret<32>, accept_index: u64, ordinal: u64) -> Secret<32> {
    kdf::derive(mek.expose(), "result blind", &[&accept_index.to_be_bytes(), &ordinal.to_be_bytes()])
}

/// The commitment in an ACCEPT leaf. `record` is the SHA-256 of the `Accept` CBOR.
pub fn accept_commitment(blind: &Secret<32>, record: &Digest) -> Digest {
    commitment("sealpost accept leaf", blind, record)
}

/// The commitment in a RESULT leaf. `record` is the SHA-256 of the `RecipientResult` CBOR.
pub fn result_commitment(blind: &Secret<32>, record: &Digest) -> Digest {
    commitment("sealpost result leaf", blind, record)
}

fn commitment(label: &str, blind: &Secret<32>, record: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    for item in [label.as_bytes(), blind.expose(), record] {
        let length = u32::try_from(item.len()).unwrap_or_else(|_| unreachable!("labels and digests are short"));
        hasher.update(&length.to_be_bytes());
        hasher.update(item);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_and_kinds_agree() {
        for (octet, kind) in (0..).zip(LeafKind::ALL) {
            let leaf = Leaf::new(kind, vec![1, 2]).expect("short");
            assert_eq!(leaf.octets(), [octet, 1, 2]);
            assert_eq!(Leaf::parse(&leaf.octets()), Some(leaf));
        }
        assert_eq!(LeafKind::from_octet(12), None);
        assert_eq!(Leaf::parse(&[]), None);
    }

    #[test]
    fn the_longest_leaf_fits_sixteen_bits() {
        let most = LEAF_BYTES_MAX - 1;
        assert_eq!(Leaf::new(LeafKind::Seal, vec![0; most]).map(|l| l.octets().len()), Some(LEAF_BYTES_MAX));
        assert_eq!(Leaf::new(LeafKind::Seal, vec![0; most + 1]), None);
    }

    #[test]
    fn commitments_depend_on_key_message_and_record() {
        let (a, b) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let (x, y) = (MailId::from_octets([1; 16]), MailId::from_octets([2; 16]));
        let base = Leaf::accept(&a, &x, b"record");
        assert_eq!(base, Leaf::accept(&a, &x, b"record"));
        assert_eq!(base.octets().len(), 34);
        for other in
            [Leaf::accept(&b, &x, b"record"), Leaf::accept(&a, &y, b"record"), Leaf::accept(&a, &x, b"recorded")]
        {
            assert_ne!(base, other);
        }
        let result = Leaf::result(&a, 7, 0, b"result");
        assert_eq!(result.octets()[..10], [2, 1, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(result.octets().len(), 42);
        assert_ne!(result, Leaf::result(&a, 7, 1, b"result"));
    }

    #[test]
    fn groups_read_back_within_their_bound_and_nothing_else_does() {
        let leaf = |bytes: usize| Leaf::new(LeafKind::Seal, vec![7; bytes]).expect("short");
        let octets = encode_group(&[leaf(3), Leaf::gap(1, 2)]).expect("a group");
        assert_eq!(octets[..6], [0, 4, 4, 7, 7, 7]);
        assert_eq!(parse_group(&octets), Some(vec![&leaf(3).octets()[..], &Leaf::gap(1, 2).octets()]));
        for cut in (0..octets.len()).filter(|cut| *cut != 6) {
            assert_eq!(parse_group(&octets[..cut]), None, "{cut}");
        }
        assert_eq!(parse_group(&[0, 0]), None, "no kind");
        assert_eq!(parse_group(&[0, 1, 12]), None, "no such kind");
        assert_eq!(encode_group(&[]), None);
        let each = 48 * 1024 - 3;
        let most = vec![leaf(each); 8];
        assert_eq!(encode_group(&most).map(|g| g.len()), Some(GROUP_BYTES_MAX));
        assert_eq!(encode_group(&[&most[1..], &[leaf(each + 1)]].concat()), None);
    }

    #[test]
    fn gaps_read_back() {
        assert_eq!(Leaf::gap(3, 9).gap_range(), Some((3, 9)));
        assert_eq!(Leaf { kind: LeafKind::Seal, ..Leaf::gap(3, 9) }.gap_range(), None);
        assert_eq!(Leaf::new(LeafKind::Gap, vec![1, 2]).and_then(|l| l.gap_range()), None);
    }
}
