//! The census: what the archive holds of each class and bucket, counted from SEAL leaves alone. Needs no key.

use super::Error;
use super::group::Group;
use super::leaf::Seal;
use super::open::Archive;
use super::open::lock;
use std::collections::BTreeMap;

/// What is kept in one class, or in one bucket of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Segments.
    pub segments: u64,
    /// Messages when they were sealed.
    pub messages: u64,
    /// Octets of data and key objects, one copy of each.
    pub stored_bytes: u64,
}

/// Counts of all buckets, as far as the log was read.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// SEAL leaf of the newest segment counted.
    counted: Option<u64>,
    buckets: BTreeMap<Group, Kept>,
}

impl Census {
    /// All buckets with what they hold, by class, then by month, those that never expire first.
    pub fn buckets(&self) -> impl Iterator<Item = (&Group, &Kept)> {
        self.buckets.iter()
    }

    /// All classes with what they hold, by name.
    pub fn classes(&self) -> BTreeMap<&str, Kept> {
        let mut classes: BTreeMap<&str, Kept> = BTreeMap::new();
        for (group, kept) in &self.buckets {
            classes.entry(&group.class).or_default().add(kept);
        }
        classes
    }

    fn count(&mut self, seal: &Seal) {
        let group = Group { class: seal.class.clone(), expires: seal.expires, protected: seal.protected };
        let stored_bytes = seal.data_bytes + seal.keys_bytes;
        let one = Kept { segments: 1, messages: u64::from(seal.messages), stored_bytes };
        self.buckets.entry(group).or_default().add(&one);
    }
}

impl Kept {
    fn add(&mut self, other: &Kept) {
        self.segments += other.segments;
        self.messages += other.messages;
        self.stored_bytes += other.stored_bytes;
    }
}

impl Archive {
    /// What is held of each class and bucket. Reads the SEAL leaves that came since the last call.
    pub fn census(&self) -> Result<Census, Error> {
        let mut census = lock(&self.inner.census);
        for info in self.segments_after(census.counted)? {
            census.count(&info.seal);
            census.counted = Some(info.seal_index);
        }
        Ok(census.clone())
    }
}
