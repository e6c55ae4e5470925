//! The files of `keys/` and the descriptor: generations of the archive key, the sealed log key, what the archive is. Never
//! holds the archive key's secret.

use super::Error;
use super::checkpoint::Signer;
use super::cursor::Malformed;
use super::files;
use super::layout::ArchiveId;
use super::layout::Layout;
use super::leaf::Epoch;
use super::shares;
use super::strict;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::crypto::Secret;
use crate::crypto::hash::DIGEST_BYTES;
use crate::crypto::hpke;
use crate::crypto::sealed;
use crate::crypto::sha256;
use crate::durable::Disk;
use crate::journal::LEAF_VERSION;
use minicbor::{Decode, Encode};
use std::collections::BTreeSet;

/// Generations of one archive: each file holds the secrets of all before it.
pub const GENERATIONS_MAX: u32 = 256;
/// Octets of the longest generation file we read.
pub const GENERATION_BYTES_MAX: u64 = 1 << 20;
const DESCRIPTOR_BYTES_MAX: u64 = 1024;
const LOG_KEY_BYTES_MAX: u64 = 1024;
const DESCRIPTOR_MAGIC: &[u8] = b"sealpost archive 1\n";
const GENERATION_MAGIC: &[u8] = b"sealpost archive key 1\n";

/// Where an archive key's secret was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Origin {
    /// On an officer's machine.
    #[n(0)]
    Elsewhere,
    /// On the gateway's host, which could have kept it.
    #[n(1)]
    Gateway,
}

/// One officer of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Officer {
    /// The certificate's fingerprint in hexadecimal.
    #[n(0)]
    pub fingerprint: String,
    /// The certificate, binary OpenPGP.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub certificate: Vec<u8>,
}

/// An XOR split of the secret among some officers: all of its pieces are needed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Subset {
    /// Officers, counted from 0, ascending.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub members: Vec<u8>,
    /// An OpenPGP message for each member.
    #[n(1)]
    pub pieces: Vec<Piece>,
    /// What each piece must hash to: [`shares::Label::digest`].
    #[n(2)]
    pub digests: Vec<PieceDigest>,
}

/// The hash of a decrypted piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct PieceDigest(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub Digest,
);

/// The secret of an older generation, sealed to this one's public half.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Older {
    /// The older generation.
    #[n(0)]
    pub generation: u32,
    /// HPKE.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
}

/// An OpenPGP message that holds one piece.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Piece(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub Vec<u8>,
);

/// A generation of the archive key: its public half, and the secret in pieces for its officers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Generation {
    /// The archive it belongs to.
    #[n(0)]
    pub archive: ArchiveId,
    /// From 1.
    #[n(1)]
    pub number: u32,
    /// The X-Wing public key.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub public: Vec<u8>,
    /// Where the secret was made.
    #[n(3)]
    pub origin: Origin,
    /// Officers needed to open.
    #[n(4)]
    pub threshold: u8,
    /// All officers.
    #[n(5)]
    pub officers: Vec<Officer>,
    /// One split for every `threshold`-subset of the officers, in lexicographic order.
    #[n(6)]
    pub subsets: Vec<Subset>,
    /// When it was made.
    #[n(7)]
    pub created: Timestamp,
    /// Secrets of older generations, ascending.
    #[n(8)]
    pub older: Vec<Older>,
}

impl Generation {
    /// The file's octets.
    pub fn encode(&self) -> Vec<u8> {
        [GENERATION_MAGIC, &strict::encode(self)].concat()
    }
    /// Reads and checks a file.
    pub fn parse(octets: &[u8]) -> Result<Generation, Malformed> {
        let cbor = octets.strip_prefix(GENERATION_MAGIC).ok_or(Malformed("no archive key file"))?;
        let generation: Generation = strict::decode(cbor)?;
        generation.public_key()?;
        let splits = shares::subsets(generation.officers.len(), usize::from(generation.threshold))?;
        let is_whole = |s: &Subset| s.pieces.len() == s.members.len() && s.digests.len() == s.members.len();
        if !generation.subsets.iter().map(|s| &s.members).eq(splits.iter()) || !generation.subsets.iter().all(is_whole)
        {
            return Err(Malformed("not one split for every set of officers"));
        }
        generation.check_numbers()?;
        Ok(generation)
    }
    fn check_numbers(&self) -> Result<(), Malformed> {
        let fingerprints: BTreeSet<_> = self.officers.iter().map(|o| &o.fingerprint).collect();
        if fingerprints.len() != self.officers.len() {
            return Err(Malformed("one officer twice"));
        }
        if self.number == 0 || self.number > GENERATIONS_MAX {
            return Err(Malformed("number of a generation"));
        }
        let numbers: Vec<u32> = self.older.iter().map(|older| older.generation).collect();
        let in_order = numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(|n| (1..self.number).contains(n));
        if in_order { Ok(()) } else { Err(Malformed("older generations out of order")) }
    }
    /// The public half.
    pub fn public_key(&self) -> Result<hpke::PublicKey, Malformed> {
        hpke::PublicKey::from_octets(&self.public).map_err(|_| Malformed("archive public key"))
    }
}

/// The descriptor's octets.
pub fn encode_descriptor(epoch: &Epoch) -> Vec<u8> {
    let content = [DESCRIPTOR_MAGIC, &[LEAF_VERSION], &strict::encode(epoch)].concat();
    [&content[..], &sha256(&content)].concat()
}

/// Reads a descriptor.
pub fn parse_descriptor(octets: &[u8]) -> Result<Epoch, Malformed> {
    let (content, digest) = octets.split_last_chunk::<DIGEST_BYTES>().ok_or(Malformed("no archive descriptor"))?;
    let body = content.strip_prefix(DESCRIPTOR_MAGIC).ok_or(Malformed("no archive descriptor"))?;
    // Everything else in the archive is checked against this file, so that a flipped bit must show here first.
    if sha256(content) != *digest {
        return Err(Malformed("descriptor does not match its own hash"));
    }
    Epoch::from_body(body)
}

/// Reads the descriptor of the archive at `layout`.
pub fn load_descriptor(disk: &dyn Disk, layout: &Layout) -> Result<Epoch, Error> {
    let path = layout.descriptor();
    let octets = files::read(disk, &path, DESCRIPTOR_BYTES_MAX).map_err(|e| Error::io(layout.name(&path), e))?;
    parse_descriptor(&octets).map_err(|what| Error::damaged(layout.name(&path), what))
}

/// The log key's seed under the host key, for `keys/log`.
pub fn seal_log_key(host_key: &Secret<32>, archive: &ArchiveId, seed: &Secret<32>) -> Result<Vec<u8>, Error> {
    Ok(sealed::seal(host_key, "log key", archive.octets(), seed.expose())?)
}

/// The signer of the archive that `epoch` describes. Fails when the host key is another one.
pub fn load_signer(disk: &dyn Disk, layout: &Layout, host_key: &Secret<32>, epoch: &Epoch) -> Result<Signer, Error> {
    let path = layout.log_key();
    let damaged = |what| Error::damaged(layout.name(&path), Malformed(what));
    let octets = files::read(disk, &path, LOG_KEY_BYTES_MAX).map_err(|e| Error::io(layout.name(&path), e))?;
    let seed = sealed::open(host_key, "log key", epoch.archive.octets(), &octets)
        .map_err(|_| damaged("not sealed under this host key"))?;
    let seed = Secret::from_slice(&seed).ok_or_else(|| damaged("log key of another length"))?;
    let signer = Signer::new(&epoch.archive, &seed)?;
    if signer.verifier().public() == epoch.log_public { Ok(signer) } else { Err(damaged("not this log's key")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_read_back() {
        let epoch = Epoch {
            archive: ArchiveId::from_octets([1; 16]),
            created: Timestamp::from_s(9),
            uid_base: 7,
            log_public: [2; 32],
        };
        let octets = encode_descriptor(&epoch);
        assert_eq!(parse_descriptor(&octets), Ok(epoch));
        for cut in 0..octets.len() {
            assert!(parse_descriptor(&octets[..cut]).is_err());
        }
        for place in 0..octets.len() {
            let mut bent = octets.clone();
            bent[place] ^= 4;
            assert!(parse_descriptor(&bent).is_err(), "octet {place}");
        }
    }

    #[test]
    fn generations_have_every_subset() {
        let (_, public) = hpke::generate().expect("a pair");
        let officer = |n: u8| Officer { fingerprint: format!("A{n}"), certificate: vec![n] };
        let subset = |members: &[u8]| Subset {
            members: members.to_vec(),
            pieces: members.iter().map(|&m| Piece(vec![m])).collect(),
            digests: members.iter().map(|&m| PieceDigest([m; 32])).collect(),
        };
        let older = |generation| Older { generation, sealed: vec![1; 3] };
        let whole = Generation {
            archive: ArchiveId::from_octets([1; 16]),
            number: 4,
            public: public.octets(),
            origin: Origin::Gateway,
            threshold: 2,
            officers: (0..3).map(officer).collect(),
            subsets: [[0, 1], [0, 2], [1, 2]].iter().map(|s| subset(s)).collect(),
            created: Timestamp::from_s(9),
            older: vec![older(1), older(3)],
        };
        assert_eq!(Generation::parse(&whole.encode()), Ok(whole.clone()));
        type Bend = fn(&mut Generation);
        let bends: [(&str, Bend); 10] = [
            ("a piece is missing", |g| drop(g.subsets[0].pieces.pop())),
            ("a digest is missing", |g| g.subsets[0].digests.clear()),
            ("a subset is missing", |g| drop(g.subsets.remove(0))),
            ("subsets out of order", |g| g.subsets.swap(0, 1)),
            ("one officer twice", |g| g.officers[1] = g.officers[0].clone()),
            ("older out of order", |g| g.older.swap(0, 1)),
            ("older of its own", |g| g.older[1].generation = 4),
            ("older from 1", |g| g.older[0].generation = 0),
            ("from 1", |g| (g.number, g.older) = (0, Vec::new())),
            ("at most so many", |g| g.number = GENERATIONS_MAX + 1),
        ];
        for (what, bend) in bends {
            let mut bent = whole.clone();
            bend(&mut bent);
            assert!(Generation::parse(&bent.encode()).is_err(), "{what}");
        }
    }
}
