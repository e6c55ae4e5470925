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
use crate::crypto::Secret;
use crate::crypto::hash::DIGEST_BYTES;
use crate::crypto::hpke;
use crate::crypto::sealed;
use crate::crypto::sha256;
use crate::durable::Disk;
use crate::journal::LEAF_VERSION;
use minicbor::{Decode, Encode};

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
        let complete = generation.subsets.iter().map(|s| &s.members).eq(splits.iter())
            && generation.subsets.iter().all(|s| s.pieces.len() == s.members.len());
        if complete { Ok(generation) } else { Err(Malformed("not one split for every set of officers")) }
    }
    /// The public half.
    pub fn public_key(&self) -> Result<hpke::PublicKey, Malformed> {
        hpke::PublicKey::from_octets(&self.public).map_err(|_| Malformed("archive public key"))
    }
    /// Reads one generation's file.
    pub fn load(disk: &dyn Disk, layout: &Layout, number: u32) -> Result<Generation, Error> {
        let path = layout.generation(number);
        let octets = files::read(disk, &path, GENERATION_BYTES_MAX).map_err(|e| Error::io(layout.name(&path), e))?;
        Generation::parse(&octets).map_err(|what| Error::damaged(layout.name(&path), what))
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
    use crate::clock::Timestamp;

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
        let officer = Officer { fingerprint: "AB".into(), certificate: vec![1] };
        let subset = |members: &[u8]| Subset {
            members: members.to_vec(),
            pieces: members.iter().map(|&m| Piece(vec![m])).collect(),
        };
        let mut generation = Generation {
            archive: ArchiveId::from_octets([1; 16]),
            number: 1,
            public: public.octets(),
            origin: Origin::Gateway,
            threshold: 2,
            officers: vec![officer; 3],
            subsets: [[0, 1], [0, 2], [1, 2]].iter().map(|s| subset(s)).collect(),
        };
        assert_eq!(Generation::parse(&generation.encode()), Ok(generation.clone()));
        generation.subsets[0].pieces.pop();
        assert!(Generation::parse(&generation.encode()).is_err(), "a piece is missing");
        generation.subsets.remove(0);
        assert!(Generation::parse(&generation.encode()).is_err(), "a subset is missing");
    }
}
