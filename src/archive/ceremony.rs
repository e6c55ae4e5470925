//! Making a generation: a new archive key whose secret is split among officers, with the secrets of older ones sealed to it.
//! Touches no file; the new secret is forgotten when this returns.

use super::Error;
use super::keys::GENERATION_BYTES_MAX;
use super::keys::GENERATIONS_MAX;
use super::keys::Generation;
use super::keys::Officer;
use super::keys::Older;
use super::keys::Origin;
use super::keys::Piece;
use super::keys::PieceDigest;
use super::keys::Subset;
use super::layout::ArchiveId;
use super::officers::Certificate;
use super::segment_reader::ArchiveKeys;
use super::shares;
use super::shares::Label;
use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::crypto::hpke;
use crate::crypto::hpke::PrivateKey;
use std::collections::BTreeSet;

const OLDER_LABEL: &str = "older archive key";

/// Who is to open a generation, and where it is made.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// All officers.
    pub officers: &'a [Certificate],
    /// How many of them it takes.
    pub threshold: u8,
    /// Where this runs.
    pub origin: Origin,
    /// When.
    pub now: Timestamp,
}

/// The secrets of an archive key and of those before it. Opens everything that was sealed to any of them.
#[derive(Clone)]
pub struct ArchiveSecrets {
    generation: u32,
    keys: ArchiveKeys,
}

impl ArchiveSecrets {
    /// Of a generation whose secret was put together. Refuses one that is not this generation's.
    pub(super) fn of(generation: &Generation, private: PrivateKey) -> Result<ArchiveSecrets, Error> {
        if private.public()?.octets() != generation.public {
            return Err(Error::Officer("the shares do not make the archive key".into()));
        }
        let mut keys = ArchiveKeys::new();
        for older in &generation.older {
            let aad = older_aad(&generation.archive, older.generation, generation.number);
            // One that does not open is missed by whoever needs it, and must not keep the others from opening.
            let secret = private.open(OLDER_LABEL, &aad, &older.sealed).ok().map(zeroize::Zeroizing::new);
            if let Some(secret) = secret.and_then(|octets| Secret::from_slice(&octets)) {
                keys.insert(older.generation, PrivateKey::new(secret));
            }
        }
        keys.insert(generation.number, private);
        Ok(ArchiveSecrets { generation: generation.number, keys })
    }
    /// The newest generation that they open.
    pub fn generation(&self) -> u32 {
        self.generation
    }
    /// Generations up to the newest whose secret is not here.
    pub fn absent(&self) -> Vec<u32> {
        (1..=self.generation).filter(|number| !self.keys.contains_key(number)).collect()
    }
    /// Leaves out secrets that `is_right` does not confirm.
    pub(super) fn retain(&mut self, mut is_right: impl FnMut(u32, &PrivateKey) -> bool) {
        self.keys.retain(|number, key| is_right(*number, key));
    }
    pub(super) fn into_keys(self) -> ArchiveKeys {
        self.keys
    }
}

impl std::fmt::Debug for ArchiveSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArchiveSecrets({:?})", self.keys.keys())
    }
}

/// What the seal of an older secret is bound to.
fn older_aad(archive: &ArchiveId, older: u32, newer: u32) -> Vec<u8> {
    [archive.octets().as_slice(), &older.to_be_bytes(), &newer.to_be_bytes()].concat()
}

/// The first generation of an archive.
pub(super) fn first(archive: ArchiveId, wanted: &Wanted<'_>) -> Result<Generation, Error> {
    make(archive, 1, wanted, |_| Ok(Vec::new()))
}

/// The generation after `former`, whose secrets go with it.
pub fn next_generation(
    former: &Generation,
    secrets: &ArchiveSecrets,
    wanted: &Wanted<'_>,
) -> Result<Generation, Error> {
    if secrets.generation != former.number {
        return Err(Error::Bug("the secrets of another generation than the one that is followed"));
    }
    let number = former.number + 1;
    if number > GENERATIONS_MAX {
        return Err(Error::Officer(format!("an archive has at most {GENERATIONS_MAX} generations of its key")));
    }
    let made = make(former.archive, number, wanted, |public| {
        let seal = |(older, key): (&u32, &PrivateKey)| {
            let aad = older_aad(&former.archive, *older, number);
            Ok(Older { generation: *older, sealed: public.seal(OLDER_LABEL, &aad, key.expose().expose())? })
        };
        secrets.keys.iter().map(seal).collect()
    })?;
    if made.encode().len() as u64 > GENERATION_BYTES_MAX {
        return Err(Error::Officer(
            "the officers' certificates are too long together: export them without pictures and foreign signatures"
                .into(),
        ));
    }
    Ok(made)
}

fn make(
    archive: ArchiveId,
    number: u32,
    wanted: &Wanted<'_>,
    older: impl FnOnce(&hpke::PublicKey) -> Result<Vec<Older>, Error>,
) -> Result<Generation, Error> {
    let Wanted { officers: certificates, threshold, origin, now } = *wanted;
    let bad_count = |_| Error::Officer("1 to 7 officers, and at least 1 of them to open".into());
    let sets = shares::subsets(certificates.len(), usize::from(threshold)).map_err(bad_count)?;
    let fingerprints: BTreeSet<_> = certificates.iter().map(Certificate::fingerprint).collect();
    if fingerprints.len() != certificates.len() {
        return Err(Error::Officer("one certificate was given twice".into()));
    }
    let (private, public) = hpke::generate()?;
    let mut subsets = Vec::with_capacity(sets.len());
    for members in sets {
        let split = shares::split(private.expose(), members.len())?;
        let (mut pieces, mut digests) = (Vec::new(), Vec::new());
        for (&officer, piece) in members.iter().zip(&split) {
            let label = Label { archive, generation: number, members: &members, officer };
            pieces.push(Piece(certificates[usize::from(officer)].seal(label.text(piece).expose(), now)?));
            digests.push(PieceDigest(label.digest(piece)));
        }
        subsets.push(Subset { members, pieces, digests });
    }
    let officer = |c: &Certificate| Ok(Officer { fingerprint: c.fingerprint(), certificate: c.octets()? });
    let officers = certificates.iter().map(officer).collect::<Result<_, Error>>()?;
    let older = older(&public)?;
    let public = public.octets();
    Ok(Generation { archive, number, public, origin, threshold, officers, subsets, created: now, older })
}
