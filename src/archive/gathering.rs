//! Officers' shares as they come in, until those of one subset are together. Each is checked when it comes, so that a wrong one is
//! named with its officer.

use super::Error;
use super::ceremony::ArchiveSecrets;
use super::keys::Generation;
use super::keys::Subset;
use super::shares;
use super::shares::Share;
use crate::crypto::Secret;
use crate::crypto::hpke::PrivateKey;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Shares of one generation. They are wiped when this is dropped.
#[derive(Debug)]
pub struct Gathering {
    generation: Arc<Generation>,
    /// By subset and officer.
    held: BTreeMap<(usize, u8), Secret<32>>,
}

/// How far officers have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Shares of the subset that has most.
    pub have: usize,
    /// Shares it takes.
    pub needed: usize,
    /// Officers of whom there are shares, counted from 0.
    pub officers: Vec<u8>,
}

impl Gathering {
    /// None yet.
    pub fn new(generation: Arc<Generation>) -> Gathering {
        Gathering { generation, held: BTreeMap::new() }
    }

    /// Takes shares: all of them, or, when one is wrong or none is new, none.
    pub fn add(&mut self, shares: &[Share]) -> Result<(), Error> {
        let checked = shares.iter().map(|share| check(&self.generation, share)).collect::<Result<Vec<_>, _>>()?;
        if checked.iter().all(|place| self.held.contains_key(place)) {
            return Err(Error::Officer(match shares.first() {
                None => "no share was given".into(),
                Some(share) => format!(
                    "the share of {} is here already; another officer's is needed",
                    named(&self.generation, share.officer)
                ),
            }));
        }
        self.held.extend(checked.into_iter().zip(shares.iter().map(|share| share.piece.clone())));
        Ok(())
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let of = |at: usize| self.held.keys().filter(|(subset, _)| *subset == at).count();
        let have = (0..self.generation.subsets.len()).map(of).max().unwrap_or(0);
        let officers: BTreeSet<u8> = self.held.keys().map(|(_, officer)| *officer).collect();
        let needed = usize::from(self.generation.threshold);
        Progress { have, needed, officers: officers.into_iter().collect() }
    }

    /// The secrets, once a subset is complete.
    pub fn secrets(&self) -> Result<Option<ArchiveSecrets>, Error> {
        let private = self.complete().next().map(|(_, private)| private);
        private.map(|private| ArchiveSecrets::of(&self.generation, private)).transpose()
    }

    /// The same, where nobody else is to come.
    pub fn secrets_now(&self) -> Result<ArchiveSecrets, Error> {
        let Progress { have, needed, .. } = self.progress();
        self.secrets()?.ok_or_else(|| Error::Officer(format!("{needed} officers are needed, {have} are here")))
    }

    /// The officers, counted from 0, whose shares make the archive key with those of others that are here.
    pub fn proved(&self) -> Result<BTreeSet<u8>, Error> {
        let mut proved = BTreeSet::new();
        for (subset, private) in self.complete() {
            ArchiveSecrets::of(&self.generation, private)?;
            proved.extend(&subset.members);
        }
        Ok(proved)
    }

    fn complete(&self) -> impl Iterator<Item = (&Subset, PrivateKey)> {
        self.generation.subsets.iter().enumerate().filter_map(|(at, subset)| {
            let pieces = subset.members.iter().map(|officer| self.held.get(&(at, *officer)).cloned());
            let pieces = pieces.collect::<Option<Vec<_>>>()?;
            Some((subset, PrivateKey::new(shares::combine(&pieces))))
        })
    }
}

/// The place of a share, if it is what was encrypted to its officer.
fn check(generation: &Generation, share: &Share) -> Result<(usize, u8), Error> {
    let refuse = |text: String| Err(Error::Officer(text));
    if share.archive != generation.archive {
        return refuse(format!("this share is of another archive, {}", share.archive));
    }
    if share.generation != generation.number {
        return refuse(format!(
            "this share is of generation {} and the archive key is at generation {}: decrypt a piece of that one",
            share.generation, generation.number
        ));
    }
    let subset = generation.subsets.iter().position(|subset| subset.members == share.members);
    let place = subset.and_then(|at| {
        let member = share.members.iter().position(|member| *member == share.officer)?;
        Some((at, generation.subsets[at].digests.get(member)?))
    });
    let Some((at, digest)) = place else {
        let (set, officer) = (shares::numbers(&share.members), u32::from(share.officer) + 1);
        return refuse(format!("generation {} has no share of officer {officer} among {set}", generation.number));
    };
    if share.label().digest(&share.piece) != digest.0 {
        return refuse(format!(
            "the share of {} is wrong: it is not what was encrypted to this officer",
            named(generation, share.officer)
        ));
    }
    Ok((at, share.officer))
}

/// An officer for people.
fn named(generation: &Generation, officer: u8) -> String {
    let fingerprint = generation.officers.get(usize::from(officer)).map_or("?", |o| o.fingerprint.as_str());
    format!("officer {} ({fingerprint})", u32::from(officer) + 1)
}

/// An officer's piece of a generation that is to be decrypted.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted<'a> {
    /// The officers of its subset, counted from 0.
    pub members: &'a [u8],
    /// Whose it is.
    pub officer: u8,
    /// The OpenPGP message.
    pub message: &'a [u8],
}

/// For what pieces are decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To open: no more than it takes.
    Open,
    /// To prove that each officer who is here can.
    Prove,
}

impl Generation {
    /// The pieces that officers who are here must decrypt. Where they are not enough, all they have: who comes later decides which
    /// are used.
    pub fn pieces_for(&self, present: &[u8], purpose: Purpose) -> Vec<Encrypted<'_>> {
        let is_here = |officer: &u8| present.contains(officer);
        let mut whole = self.subsets.iter().filter(|subset| subset.members.iter().all(is_here)).peekable();
        if whole.peek().is_none() {
            return self.subsets.iter().flat_map(pieces).filter(|piece| is_here(&piece.officer)).collect();
        }
        let most = if purpose == Purpose::Open { 1 } else { usize::MAX };
        whole.take(most).flat_map(pieces).collect()
    }
    /// The officer with this fingerprint, or this number as people count.
    pub fn officer(&self, name: &str) -> Option<u8> {
        let name = name.replace(' ', "").to_uppercase();
        let is_it =
            |(at, officer): (usize, &super::keys::Officer)| officer.fingerprint == name || (at + 1).to_string() == name;
        let at = self.officers.iter().enumerate().position(is_it)?;
        u8::try_from(at).ok()
    }
}

fn pieces(subset: &Subset) -> impl Iterator<Item = Encrypted<'_>> {
    let members = subset.members.as_slice();
    members.iter().zip(&subset.pieces).map(move |(&officer, piece)| Encrypted { members, officer, message: &piece.0 })
}
