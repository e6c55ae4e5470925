//! Level 0 of what was witnessed: each time stamp is the one its leaf names, on a checkpoint that was a head of this log.

use super::checkpoint::NOTE_BYTES_MAX;
use super::checkpoint::Verifier;
use super::files;
use super::layout::Layout;
use super::leaf::Anchor;
use super::log;
use super::tile::TreeHead;
use super::timestamp::Authorities;
use super::timestamp::Fault;
use super::timestamp::RESPONSE_BYTES_MAX;
use super::timestamp::Response;
use super::verify::FaultKind;
use super::verify::Report;
use crate::crypto::Digest;
use crate::crypto::sha256;
use crate::durable::Disk;

/// The log that they stand in.
pub struct Log<'a> {
    pub disk: &'a dyn Disk,
    pub layout: &'a Layout,
    pub verifier: &'a Verifier,
    pub head: &'a TreeHead,
    /// Whether earlier roots can be computed.
    pub is_whole: bool,
}

impl Log<'_> {
    /// Checks all of them.
    pub fn verify(&self, anchors: &[(u64, Anchor)], authorities: Option<&Authorities>, report: &mut Report) {
        for (index, anchor) in anchors {
            match anchor {
                // The read audit is compared with by whoever has its files.
                Anchor::AuditHead { .. } => {}
                Anchor::TimeStamp { tree, token } => self.time_stamp(*index, tree, token, authorities, report),
            }
        }
    }

    fn time_stamp(
        &self,
        index: u64,
        tree: &TreeHead,
        token: &Digest,
        authorities: Option<&Authorities>,
        report: &mut Report,
    ) {
        report.anchors += 1;
        self.tree(index, tree, report);
        let Some(note) = self.file(&self.layout.anchored(tree.size), NOTE_BYTES_MAX, report) else { return };
        let name = self.layout.name(&self.layout.anchored(tree.size));
        match self.verifier.open(&note) {
            Ok(head) if head == *tree => {}
            Ok(_) => report.add(0, &name, FaultKind::Inconsistent, format!("leaf {index} names another tree")),
            Err(what) => report.add(0, &name, FaultKind::Changed, what.to_string()),
        }
        let path = self.layout.stamp(tree.size);
        let Some(octets) = self.file(&path, RESPONSE_BYTES_MAX as u64, report) else { return };
        let stamp = self.layout.name(&path);
        if sha256(&octets) != *token {
            return report.add(0, stamp, FaultKind::Changed, format!("leaf {index} has another hash"));
        }
        match Response::parse(&octets).and_then(|response| response.verify(&sha256(&note), authorities)) {
            Ok(()) => {}
            // The stamp is the one that was got: then its checkpoint is another.
            Err(fault @ Fault::Other(_)) => report.add(0, name, FaultKind::Changed, fault.to_string()),
            Err(fault) => report.add(0, stamp, FaultKind::Inconsistent, fault.to_string()),
        }
    }

    fn tree(&self, index: u64, tree: &TreeHead, report: &mut Report) {
        let object = format!("leaf {index}");
        if tree.size > index || tree.size > self.head.size {
            return report.add(0, object, FaultKind::Inconsistent, "names a checkpoint that was not yet signed");
        }
        if !self.is_whole {
            return;
        }
        match log::head_at(self.disk, self.layout, self.head.size, tree.size) {
            Ok(was) if was == *tree => {}
            Ok(_) => report.add(0, object, FaultKind::Inconsistent, "names a checkpoint of another log"),
            Err(e) => report.error(0, &object, &e),
        }
    }

    fn file(&self, path: &std::path::Path, most: u64, report: &mut Report) -> Option<Vec<u8>> {
        files::read(self.disk, path, most).inspect_err(|e| report.unread(0, self.layout.name(path), e)).ok()
    }
}
