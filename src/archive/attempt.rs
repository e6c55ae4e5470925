//! The files of a segment until its SEAL leaf is asked for. They are gone when the attempt ends before, by a panic too, so that
//! passes that fail again and again do not fill the disk.

use super::files;
use super::layout::Layout;
use super::layout::SegmentId;
use crate::durable::Disk;

/// An attempt at a segment. Dropped, it never was.
#[must_use]
pub struct Attempt<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    segment: SegmentId,
}

impl<'a> Attempt<'a> {
    /// Before anything is written.
    pub fn begin(disk: &'a dyn Disk, layout: &'a Layout, segment: SegmentId) -> Attempt<'a> {
        Attempt { disk, layout, segment }
    }

    /// All is written, and the files stay: when the journal fails, the SEAL leaf may be in it all the same.
    pub fn written(self) {
        std::mem::forget(self);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let [first, second] = self.layout.keys(&self.segment);
        for path in [self.layout.data(&self.segment), first, second, self.layout.cover(&self.segment)] {
            // crash point attempt-1: an attempt that failed leaves nothing. What cannot be removed now is removed after the next start.
            let _ = self.disk.remove(&files::temporary(&path));
            let _ = self.disk.remove(&path);
        }
    }
}
