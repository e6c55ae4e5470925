//! Segments of one seal pass become visible together.

use super::*;

/// An archive one of whose segments the disk does not give.
struct Failing {
    inner: Arc<Memory>,
    segment: Segment,
    fails: AtomicBool,
}

impl Sealed for Failing {
    fn archive_id(&self) -> [u8; 16] {
        self.inner.archive_id()
    }
    fn passes_after(&self, seal_index: Option<u64>) -> Result<Vec<Vec<Segment>>, Unreadable> {
        self.inner.passes_after(seal_index)
    }
    fn segment_at(&self, seal_index: u64) -> Result<Option<Segment>, Unreadable> {
        self.inner.segment_at(seal_index)
    }
    fn directory(&self, segment: &Segment) -> Result<Vec<Entry>, Unreadable> {
        if *segment == self.segment && self.fails.load(Ordering::Relaxed) {
            return Err(Unreadable::Failed("the disk failed".into()));
        }
        self.inner.directory(segment)
    }
    fn events(&self, segment: &Segment) -> Result<Vec<u32>, Unreadable> {
        self.inner.events(segment)
    }
    fn facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable> {
        self.inner.facts(segment, slot)
    }
    fn bare_facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable> {
        self.inner.bare_facts(segment, slot)
    }
    fn octets(&self, segment: &Segment, slot: u32) -> Result<Vec<u8>, Unreadable> {
        self.inner.octets(segment, slot)
    }
    fn acts_after(&self, act: Option<u64>) -> Result<Acts, Unreadable> {
        self.inner.acts_after(act)
    }
    fn seal_key(&self, key: &[u8]) -> Result<Vec<u8>, Unreadable> {
        self.inner.seal_key(key)
    }
    fn open_key(&self, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        self.inner.open_key(sealed)
    }
}

#[test]
fn no_uid_appears_before_a_lower_one_of_its_pass() {
    let world = World::new();
    let at = Timestamp::parse_date("2026-11-15").expect("a day");
    let mail = |slot, index| unit(slot, index, "eve@x.example", at);
    // The first segment has the pass's odd indices, the second the even ones.
    world.archive.seal(vec![mail(0, 5), mail(1, 7)], &[]);
    let segment = world.archive.seal_at(1, vec![mail(0, 4), mail(1, 6)], &[]);
    let failing = Failing { inner: Arc::clone(&world.archive), segment, fails: AtomicBool::new(true) };
    let failing = Arc::new(failing);
    let clock: Arc<dyn Clock> = world.clock.clone();
    let mut catalog = Catalog::open(Arc::new(RealDisk), clock, &world.path(), failing.clone()).expect("a catalog");
    assert!(matches!(catalog.index(), Err(Error::Archive(_))));
    let uids = |catalog: &Catalog| view(catalog, Viewer::Everything).uids("INBOX", 0).expect("uids");
    assert_eq!(uids(&catalog), [3, 4], "nothing of the pass");
    failing.fails.store(false, Ordering::Relaxed);
    let indexed = catalog.index().expect("indexed");
    assert_eq!((indexed.segments, indexed.messages), (2, 4));
    assert_eq!(uids(&catalog), [3, 4, 5, 6, 7, 8]);
    assert_eq!(catalog.index().expect("indexed").segments, 0, "once");
}

#[test]
fn lists_tell_how_long_mail_is_kept() {
    let world = World::new();
    let catalog = world.open();
    let rows = catalog.reader().listing().expect("lists").page(&Query::everything(), 0, 9).expect("rows");
    let kept: Vec<_> =
        rows.iter().map(|row| (row.uid, row.keep_until.map(|at| at.ms() - row.accepted_at.ms()))).collect();
    assert_eq!(kept, [(1, Some(0)), (2, None), (3, None), (4, Some(3000))]);
}
