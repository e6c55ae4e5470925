//! Checkpoints and the outside: keeping a time stamp of one, and comparing the log with those that were kept elsewhere. Sends
//! nothing anywhere.

use super::Error;
use super::checkpoint::NOTE_BYTES_MAX;
use super::checkpoint::Verifier;
use super::cursor::Malformed;
use super::files;
use super::leaf::Anchor;
use super::log;
use super::open::Archive;
use super::open::lock;
use super::seal::append;
use super::tile::TreeHead;
use super::timestamp::Authorities;
use super::timestamp::RESPONSE_BYTES_MAX;
use super::timestamp::Response;
use super::timestamp::Stated;
use crate::crypto::sha256;
use crate::journal::Journal;

/// A signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The tree.
    pub head: TreeHead,
    /// The note, as it stands in `log/checkpoint`.
    pub note: Vec<u8>,
}

/// How the log stands to a checkpoint from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The log is a continuation of it, or ends there.
    Continues(TreeHead),
    /// It covers more leaves than the log has: the archive is an older one.
    Behind(TreeHead),
    /// The log had another root at this size: it is a fork.
    Forked(TreeHead),
    /// It is no checkpoint that this log's key signed.
    Foreign(Malformed),
}

impl Archive {
    /// The newest signed checkpoint.
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let path = layout.checkpoint();
        let note = files::read(disk, &path, NOTE_BYTES_MAX).map_err(|e| Error::io(layout.name(&path), e))?;
        let head = self.verifier().open(&note).map_err(|what| Error::damaged(layout.name(&path), what))?;
        Ok(Checkpoint { head, note })
    }
    /// The key that checkpoints are checked with.
    pub fn verifier(&self) -> Verifier {
        Verifier::new(&self.inner.epoch.archive, self.inner.epoch.log_public)
    }

    /// The time stamp that a crash left for this checkpoint before its leaf, or that has a leaf already.
    pub fn stamp_of(&self, checkpoint: &Checkpoint) -> Option<Vec<u8>> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let note = files::read(disk, &layout.anchored(checkpoint.head.size), NOTE_BYTES_MAX).ok()?;
        let octets = files::read(disk, &layout.stamp(checkpoint.head.size), RESPONSE_BYTES_MAX as u64).ok()?;
        (note == checkpoint.note).then_some(octets)
    }

    /// Keeps a time stamp of a checkpoint that it was verified to be for: both files, then an ANCHOR leaf, then a checkpoint over
    /// that. A time stamp that was kept before is kept, and gets a leaf again, which harms nobody.
    pub fn keep_stamp(
        &self,
        journal: &Journal,
        checkpoint: &Checkpoint,
        response: &[u8],
        authorities: Option<&Authorities>,
    ) -> Result<Stated, Error> {
        let parsed = Response::parse(response)?;
        parsed.verify(&sha256(&checkpoint.note), authorities)?;
        let _pass = lock(&self.inner.pass);
        let (disk, layout, size) = (self.inner.disk.as_ref(), &self.inner.layout, checkpoint.head.size);
        if self.stamp_of(checkpoint).is_none_or(|kept| kept != response) {
            let new = [(layout.anchored(size), checkpoint.note.clone()), (layout.stamp(size), response.to_vec())];
            files::write_new(disk, &new).map_err(|e| Error::io("log/anchors", e))?;
        }
        // Durable from here, and nothing yet: the next time stamp of the same checkpoint takes its place.
        let anchor = Anchor::TimeStamp { tree: checkpoint.head, token: sha256(response) };
        append(journal, &[anchor.to_leaf().ok_or(Error::Bug("an ANCHOR leaf is too long"))?])?;
        self.extend_log(journal)?;
        Ok(parsed.stated().clone())
    }

    /// Compares the log with a checkpoint from elsewhere.
    pub fn compare(&self, note: &[u8]) -> Result<Compared, Error> {
        let outside = match self.verifier().open(note) {
            Ok(outside) => outside,
            Err(what) => return Ok(Compared::Foreign(what)),
        };
        let here = self.tree_head();
        if outside.size > here.size {
            return Ok(Compared::Behind(outside));
        }
        let was = log::head_at(self.inner.disk.as_ref(), &self.inner.layout, here.size, outside.size)?;
        Ok(if was == outside { Compared::Continues(outside) } else { Compared::Forked(outside) })
    }
}
