//! What proves one message to somebody without our software: its records, the opening of its leaves, and proofs that these are in
//! the signed log. Gives away nothing that opens another message, and no key of this one.

use super::Error;
use super::anchor::Checkpoint;
use super::checkpoint::NOTE_BYTES_MAX;
use super::cursor::Malformed;
use super::files;
use super::layout::Layout;
use super::leaf::Anchor;
use super::log;
use super::log::Leaves;
use super::meta::ResultRecord;
use super::open::SegmentInfo;
use super::tile::TreeHead;
use super::timestamp::RESPONSE_BYTES_MAX;
use super::timestamp::Response;
use super::unlocked::Unlocked;
use crate::crypto::sha256;
use crate::durable::Disk;
use crate::journal::Accept;
use crate::journal::Leaf;
use crate::journal::accept_blind;
use crate::journal::result_blind;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;
use tlog_tiles::{Hash, Tile, TileHashReader, TileReader};

/// A record that a leaf commits to, with what opens the commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The record's CBOR, verbatim.
    pub record: Vec<u8>,
    /// The blind. Derived one way from the message's key for this leaf alone: it opens no other leaf and decrypts nothing.
    pub blind: [u8; 32],
    /// The leaf's index.
    pub index: u64,
    /// The leaf.
    pub leaf: Vec<u8>,
    /// Inclusion in the checkpoint, C2SP tlog-proof with the checkpoint in it.
    pub proof: String,
}

/// A checkpoint that an authority stamped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// The checkpoint.
    pub note: Vec<u8>,
    /// TimeStampResp, DER.
    pub response: Vec<u8>,
    /// Certificates in it, DER.
    pub certificates: Vec<Vec<u8>>,
    /// Inclusion of the ACCEPT leaf in that checkpoint.
    pub proof: String,
    /// The ANCHOR leaf that names the stamp.
    pub anchor: Anchored,
}

/// An ANCHOR leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// Its index.
    pub index: u64,
    /// The leaf.
    pub leaf: Vec<u8>,
    /// Inclusion in the newest checkpoint.
    pub proof: String,
}

/// Everything about one message.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Octets as received.
    pub octets: Vec<u8>,
    /// The record of acceptance, decoded.
    pub accept: Accept,
    /// Its leaf.
    pub accepted: Opened,
    /// Terminal results that are known.
    pub results: Vec<Opened>,
    /// The checkpoint that all proofs above lead to.
    pub checkpoint: Vec<u8>,
    /// The key that signed it.
    pub vkey: String,
    /// The earliest stamped checkpoint that covers the acceptance.
    pub stamped: Option<Stamped>,
    /// Who can open the archive: fingerprints of certificates, and how many of them it takes.
    pub officers: (Vec<String>, u8),
}

impl Unlocked {
    /// The evidence of a message. `late` are results that were sealed after it.
    pub fn evidence(&self, segment: &SegmentInfo, slot: u32, late: &[ResultRecord]) -> Result<Evidence, Error> {
        let open = self.open(segment)?;
        let (meta, octets, mek) = (open.meta(slot)?, open.octets(slot)?, open.message_key(slot)?);
        let damaged = |what| Error::damaged(format!("unit {slot} of segment {}", segment.seal.segment), what);
        let accept = meta.accept().map_err(damaged)?;
        if sha256(&octets) != accept.body_sha256 {
            return Err(damaged(Malformed("the octets are not those that were accepted")));
        }
        let prover = Prover::new(self)?;
        let index = meta.accept_index;
        let leaf = Leaf::accept(&mek, &accept.id, &meta.accept_record);
        let blind = *accept_blind(&mek, &accept.id).expose();
        let accepted = prover.opened(index, leaf, blind, meta.accept_record.clone())?;
        let mut results = Vec::new();
        for result in meta.results.iter().chain(late) {
            let leaf = Leaf::result(&mek, index, result.ordinal, &result.record);
            let blind = *result_blind(&mek, index, result.ordinal).expose();
            results.push(prover.opened(result.leaf_index, leaf, blind, result.record.clone())?);
        }
        let generation = self.archive().generation();
        Ok(Evidence {
            octets,
            accept,
            accepted,
            results,
            stamped: prover.stamped(index)?,
            vkey: self.archive().verifier().vkey(),
            checkpoint: prover.checkpoint.note,
            officers: (generation.officers.iter().map(|o| o.fingerprint.clone()).collect(), generation.threshold),
        })
    }
}

/// Proves leaves of the log at one checkpoint.
struct Prover<'a> {
    unlocked: &'a Unlocked,
    tiles: Tiles<'a>,
    checkpoint: Checkpoint,
}

impl<'a> Prover<'a> {
    fn new(unlocked: &'a Unlocked) -> Result<Prover<'a>, Error> {
        let archive = &unlocked.archive().inner;
        let checkpoint = unlocked.archive().checkpoint()?;
        let tiles = Tiles { disk: archive.disk.as_ref(), layout: &archive.layout };
        Ok(Prover { unlocked, tiles, checkpoint })
    }

    /// A leaf that is in the log, as the records say; another one there is damage.
    fn opened(&self, index: u64, leaf: Leaf, blind: [u8; 32], record: Vec<u8>) -> Result<Opened, Error> {
        let leaf = leaf.octets();
        let archive = self.unlocked.archive();
        if archive.leaf(index)?.as_deref() != Some(&leaf) {
            return Err(Error::damaged(format!("leaf {index}"), Malformed("it commits to something else")));
        }
        let proof = self.tiles.proof(index, &leaf, &self.checkpoint)?;
        Ok(Opened { record, blind, index, leaf, proof })
    }

    /// The earliest stamped checkpoint that covers the leaf at `index`.
    fn stamped(&self, index: u64) -> Result<Option<Stamped>, Error> {
        let (disk, layout) = (self.tiles.disk, self.tiles.layout);
        let dir = layout.anchors();
        if !disk.exists(&dir) {
            return Ok(None);
        }
        let names = disk.list(&dir).map_err(|e| Error::io(layout.name(&dir), e))?;
        let mut sizes: Vec<u64> = names.iter().filter_map(|name| name.strip_suffix(".tsr")?.parse().ok()).collect();
        sizes.sort_unstable();
        let within = sizes.into_iter().filter(|size| *size > index && *size <= self.checkpoint.head.size);
        for size in within {
            // What a crash left, or somebody damaged, is of no use here; `verify` names it.
            let Some((checkpoint, response, parsed)) = self.usable(size) else { continue };
            let wanted = Anchor::TimeStamp { tree: checkpoint.head, token: sha256(&response) }.to_leaf();
            let wanted = wanted.ok_or(Error::Bug("an ANCHOR leaf is too long"))?.octets();
            let Some(anchor) = self.anchored(size, wanted)? else { continue };
            let leaf = self.unlocked.archive().leaf(index)?.ok_or(Error::NoSuchUnit)?;
            let proof = self.tiles.proof(index, &leaf, &checkpoint)?;
            let (note, certificates) = (checkpoint.note, parsed.certificates());
            return Ok(Some(Stamped { note, response, certificates, proof, anchor }));
        }
        Ok(None)
    }

    /// This very leaf, behind the checkpoint of `size` that it is about; seldom far.
    fn anchored(&self, size: u64, wanted: Vec<u8>) -> Result<Option<Anchored>, Error> {
        let end = self.checkpoint.head.size;
        let mut leaves = Leaves::new(self.tiles.disk, self.tiles.layout, end);
        for index in size..end {
            if leaves.get(index)? == Some(&wanted[..]) {
                let proof = self.tiles.proof(index, &wanted, &self.checkpoint)?;
                return Ok(Some(Anchored { index, leaf: wanted, proof }));
            }
        }
        Ok(None)
    }

    fn usable(&self, size: u64) -> Option<(Checkpoint, Vec<u8>, Response)> {
        let (disk, layout) = (self.tiles.disk, self.tiles.layout);
        let note = files::read(disk, &layout.anchored(size), NOTE_BYTES_MAX).ok()?;
        let response = files::read(disk, &layout.stamp(size), RESPONSE_BYTES_MAX as u64).ok()?;
        let head = self.unlocked.archive().verifier().open(&note).ok()?;
        let parsed = Response::parse(&response).ok()?;
        parsed.verify(&sha256(&note), None).ok()?;
        Some((Checkpoint { head, note }, response, parsed))
    }
}

/// The log's tiles as the crate that proves reads them.
struct Tiles<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
}

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            let hashes =
                log::read_tile(self.disk, self.layout, tile.level(), tile.level_index(), tile.width() as usize);
            hashes.map(|hashes| hashes.concat()).map_err(|e| tlog_tiles::Error::InvalidInput(e.to_string()))
        };
        tiles.iter().map(read).collect()
    }
    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

impl Tiles<'_> {
    /// C2SP tlog-proof: index, the hashes of RFC 6962 section 2.1.1, and the checkpoint.
    fn proof(&self, index: u64, leaf: &[u8], checkpoint: &Checkpoint) -> Result<String, Error> {
        let TreeHead { size, root } = checkpoint.head;
        let failed = |_| Error::damaged(format!("leaf {index}"), Malformed("it is not in the tree of the checkpoint"));
        let hashes =
            tlog_tiles::prove_record(size, index, &TileHashReader::new(size, Hash(root), self)).map_err(failed)?;
        tlog_tiles::check_record(&hashes, size, Hash(root), index, tlog_tiles::record_hash(leaf)).map_err(failed)?;
        let note = std::str::from_utf8(&checkpoint.note).map_err(|_| Error::Bug("a checkpoint that is not UTF-8"))?;
        let mut text = format!("c2sp.org/tlog-proof@v1\nindex {index}\n");
        for hash in hashes {
            let written = writeln!(text, "{}", STANDARD.encode(hash.0));
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        Ok(format!("{text}\n{note}"))
    }
}
