//! An opened archive that can be taken back from all who read it, and views that end with it. Adds no rights.

use crate::catalog::{
    Acts, Entry, Facts, Mailbox, Message, OpenedArchive, Sealed, Segment, Unavailable, Unreadable, View,
};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// What is said of an archive that was locked while somebody read.
const LOCKED: &str = "the archive was locked";

/// An opened archive for the catalog and its readers. The secret is wiped when it is taken back and the last call under way ends.
pub struct Revocable {
    id: [u8; 16],
    opened: RwLock<Option<Arc<OpenedArchive>>>,
}

impl Revocable {
    /// Open until it is taken back.
    pub fn new(opened: OpenedArchive) -> Revocable {
        Revocable { id: opened.archive_id(), opened: RwLock::new(Some(Arc::new(opened))) }
    }
    /// Takes it back, for ever.
    pub fn revoke(&self) {
        self.opened.write().unwrap_or_else(PoisonError::into_inner).take();
    }
    pub(super) fn opened(&self) -> Result<Arc<OpenedArchive>, Unreadable> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner).clone();
        opened.ok_or_else(|| Unreadable::Failed(LOCKED.to_owned()))
    }
}

impl Sealed for Revocable {
    fn archive_id(&self) -> [u8; 16] {
        self.id
    }
    fn passes_after(&self, seal_index: Option<u64>) -> Result<Vec<Vec<Segment>>, Unreadable> {
        self.opened()?.passes_after(seal_index)
    }
    fn segment_at(&self, seal_index: u64) -> Result<Option<Segment>, Unreadable> {
        self.opened()?.segment_at(seal_index)
    }
    fn directory(&self, segment: &Segment) -> Result<Vec<Entry>, Unreadable> {
        self.opened()?.directory(segment)
    }
    fn events(&self, segment: &Segment) -> Result<Vec<u32>, Unreadable> {
        self.opened()?.events(segment)
    }
    fn facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable> {
        self.opened()?.facts(segment, slot)
    }
    fn bare_facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable> {
        self.opened()?.bare_facts(segment, slot)
    }
    fn octets(&self, segment: &Segment, slot: u32) -> Result<Vec<u8>, Unreadable> {
        self.opened()?.octets(segment, slot)
    }
    fn acts_after(&self, act: Option<u64>) -> Result<Acts, Unreadable> {
        self.opened()?.acts_after(act)
    }
    fn seal_key(&self, key: &[u8]) -> Result<Vec<u8>, Unreadable> {
        self.opened()?.seal_key(key)
    }
    fn open_key(&self, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        self.opened()?.open_key(sealed)
    }
}

/// A session's view, which shows nothing more once the archive is locked: the catalog alone would go on to show headers.
pub struct Ending {
    /// What it shows until then.
    pub view: Box<dyn View>,
    /// Whether it is then.
    pub locked: watch::Receiver<bool>,
}

impl Ending {
    fn view(&self) -> Result<&dyn View, Unavailable> {
        if *self.locked.borrow() { Err(Unavailable::Locked) } else { Ok(&*self.view) }
    }
}

impl View for Ending {
    fn mailboxes(&self) -> Result<Vec<Mailbox>, Unavailable> {
        self.view()?.mailboxes()
    }
    fn mailbox(&self, name: &str) -> Result<Option<Mailbox>, Unavailable> {
        self.view()?.mailbox(name)
    }
    fn uids(&self, mailbox: &str, from_uid: u32) -> Result<Vec<u32>, Unavailable> {
        self.view()?.uids(mailbox, from_uid)
    }
    fn message(&self, mailbox: &str, uid: u32) -> Result<Option<Message>, Unavailable> {
        self.view()?.message(mailbox, uid)
    }
    fn octets(&self, mailbox: &str, uid: u32) -> Result<Option<Vec<u8>>, Unavailable> {
        self.view()?.octets(mailbox, uid)
    }
}
