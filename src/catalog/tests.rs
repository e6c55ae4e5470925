//! The catalog over an archive in memory: following it, what each account sees, lists, and being made anew.

mod acts;
mod passes;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::crypto::sha256;
use crate::durable::RealDisk;
use crate::mail::structure::{self, Part, Span};
use crate::mail::summary::{EnvelopeFields, ListEntry, Summary};
use crate::mail::unread::{NOTICE, unread};
use crate::mail::{Address, BodyType, Direction, Envelope, MailId, Recipient};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

const DAY_S: i64 = 86_400;

/// A clock that stands where it is put.
struct Fixed(AtomicI64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_s(self.0.load(Ordering::Relaxed))
    }
}

/// What of a unit meets a bug when it is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Poison {
    Nothing,
    Summary,
    Everything,
}

#[derive(Clone)]
struct Unit {
    entry: Entry,
    facts: Option<Facts>,
    poison: Poison,
    octets: Vec<u8>,
}

/// Messages, and UIDs of events.
type Content = (Vec<Unit>, Vec<u32>);

/// An archive in memory. Its key is as weak as a test's may be.
#[derive(Default)]
struct Memory {
    segments: Mutex<Vec<(Segment, Content)>>,
    /// What was done, each act a leaf.
    acts: Mutex<Vec<Act>>,
    /// Whether the next directory meets a bug.
    has_trap: AtomicBool,
}

impl Memory {
    fn seal(&self, units: Vec<Unit>, events: &[u32]) -> Segment {
        self.seal_at(10, units, events)
    }
    /// A segment whose SEAL leaf stands so far behind the one before; those of a pass follow each other.
    fn seal_at(&self, step: u64, units: Vec<Unit>, events: &[u32]) -> Segment {
        let mut segments = self.segments.lock().expect("whole");
        let seal_index = segments.last().map_or(10, |(segment, _)| segment.seal_index + step);
        let segment = Segment { seal_index, id: [u8::try_from(seal_index).expect("few segments"); 16] };
        segments.push((segment, (units, events.to_vec())));
        segment
    }
    fn content<T>(&self, segment: &Segment, read: impl FnOnce(&Content) -> T) -> T {
        let segments = self.segments.lock().expect("whole");
        read(&segments.iter().find(|(s, _)| s == segment).expect("a segment").1)
    }
    fn unit(&self, segment: &Segment, slot: u32) -> Unit {
        self.content(segment, |(units, _)| units[slot as usize].clone())
    }
}

impl Sealed for Memory {
    fn archive_id(&self) -> [u8; 16] {
        [7; 16]
    }
    fn passes_after(&self, seal_index: Option<u64>) -> Result<Vec<Vec<Segment>>, Unreadable> {
        let all = self.segments.lock().expect("whole");
        let all: Vec<Segment> = all.iter().map(|(s, _)| *s).filter(|s| Some(s.seal_index) > seal_index).collect();
        Ok(all.chunk_by(|one, next| one.seal_index + 1 == next.seal_index).map(<[_]>::to_vec).collect())
    }
    fn segment_at(&self, seal_index: u64) -> Result<Option<Segment>, Unreadable> {
        Ok(self.passes_after(None)?.concat().into_iter().find(|s| s.seal_index == seal_index))
    }
    fn directory(&self, segment: &Segment) -> Result<Vec<Entry>, Unreadable> {
        assert!(!self.has_trap.swap(false, Ordering::Relaxed), "a bug of the pass");
        Ok(self.content(segment, |(units, _)| units.iter().map(|unit| unit.entry.clone()).collect()))
    }
    fn events(&self, segment: &Segment) -> Result<Vec<u32>, Unreadable> {
        Ok(self.content(segment, |(_, events)| events.clone()))
    }
    fn acts_after(&self, act: Option<u64>) -> Result<Acts, Unreadable> {
        Ok(self.behind(act))
    }
    fn facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable> {
        let unit = self.unit(segment, slot);
        self.there(unit.entry.uid)?;
        assert!(unit.poison == Poison::Nothing, "a bug that this message meets");
        unit.facts.ok_or(Unreadable::Damaged("bent".into()))
    }
    fn bare_facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable> {
        let unit = self.unit(segment, slot);
        assert!(unit.poison != Poison::Everything, "a bug that this message meets");
        let facts = unit.facts.ok_or(Unreadable::Damaged("bent".into()))?;
        Ok(Facts { summary: unread(&unit.octets), ..facts })
    }
    fn octets(&self, segment: &Segment, slot: u32) -> Result<Vec<u8>, Unreadable> {
        Ok(self.unit(segment, slot).octets)
    }
    fn seal_key(&self, key: &[u8]) -> Result<Vec<u8>, Unreadable> {
        Ok(key.to_vec())
    }
    fn open_key(&self, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        Ok(sealed.to_vec())
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).expect(text)
}

fn listed(text: &str) -> ListEntry {
    let address = address(text);
    ListEntry::Mailbox {
        name: Some("A Näme".into()),
        local: address.local_part().into(),
        domain: address.domain().into(),
    }
}

fn summary(from: &str, to: &str, subject: &str) -> Summary {
    let structure = Part {
        header: Span::default(),
        body: Span::default(),
        media_type: "text".into(),
        subtype: "plain".into(),
        parameters: vec![],
        transfer_encoding: "7bit".into(),
        content_id: None,
        description: None,
        disposition: None,
        md5: None,
        language: vec![],
        location: None,
        lines: 1,
        content: structure::Content::Leaf,
    };
    let envelope = EnvelopeFields {
        from: vec![listed(from)],
        to: vec![listed(to)],
        message_id: Some(format!("<{subject}@id>")),
        ..EnvelopeFields::default()
    };
    Summary { envelope, structure, subject: subject.into(), from: format!("A Näme <{from}>"), date_s: None }
}

/// A message `index` days old at most 100, from alice, to bob in the header, to `recipient` in the envelope.
fn unit(slot: u32, index: u32, recipient: &str, at: Timestamp) -> Unit {
    let (year, month) = at.year_month();
    let octets = format!("message {index}\r\n").into_bytes();
    let envelope = Envelope {
        sender: Some(address("alice@example.org")),
        recipients: vec![Recipient::new(address(recipient))],
        body: BodyType::SevenBit,
        ret: None,
        envid: None,
        smtputf8: false,
        require_tls: None,
    };
    let entry = Entry {
        slot,
        uid: index + 1,
        id: MailId::new(at, [u8::try_from(index).expect("few"); 10]),
        mailbox: format!("Archive/{year}/{year}-{month:02}"),
        accepted_at: at,
    };
    let facts = Facts {
        envelope,
        also: Also::default(),
        direction: if index.is_multiple_of(2) { Direction::Outbound } else { Direction::Inbound },
        internal_date: at,
        class: "default".into(),
        keep_until: index.is_multiple_of(3).then(|| at.plus_s(i64::from(index))),
        size: octets.len() as u64,
        sha256: sha256(&octets),
        readable: None,
        summary: summary("alice@example.org", "bob@partner.example", &format!("Subject {index}")),
    };
    Unit { entry, facts: Some(facts), poison: Poison::Nothing, octets }
}

struct World {
    dir: tempfile::TempDir,
    archive: Arc<Memory>,
    clock: Arc<Fixed>,
}

impl World {
    /// At 2026-11-15, with mail of September, and of today.
    fn new() -> World {
        let now = Timestamp::parse_date("2026-11-15").expect("a day");
        let archive = Arc::new(Memory::default());
        let old = now.plus_s(-60 * DAY_S);
        archive.seal(vec![unit(0, 0, "bob@partner.example", old), unit(1, 1, "eve@x.example", old)], &[]);
        archive.seal(vec![unit(0, 2, "Carol@partner.example", now), unit(1, 3, "eve@x.example", now)], &[1]);
        let dir = tempfile::tempdir().expect("a directory");
        World { dir, archive, clock: Arc::new(Fixed(AtomicI64::new(now.s()))) }
    }
    fn path(&self) -> PathBuf {
        self.dir.path().join("catalog")
    }
    fn try_open(&self) -> Result<Catalog, Error> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        Catalog::open(Arc::new(RealDisk), clock, &self.path(), self.archive.clone())
    }
    fn open(&self) -> Catalog {
        let mut catalog = self.try_open().expect("a catalog");
        catalog.index().expect("indexed");
        catalog
    }
    fn database(&self) -> PathBuf {
        let names = std::fs::read_dir(self.path()).expect("a directory").map(|e| e.expect("an entry").path());
        names.into_iter().find(|p| p.extension().is_some_and(|e| e == "db")).expect("a database")
    }
}

fn view(catalog: &Catalog, viewer: Viewer) -> Box<dyn View> {
    catalog.reader().view(&viewer).expect("a view")
}

fn user(addresses: &[&str]) -> Viewer {
    Viewer::Addresses(addresses.iter().map(|a| address(a)).collect())
}

/// Mailboxes in short: name, messages, UIDNEXT.
fn mailboxes(view: &dyn View) -> Vec<(String, u32, u32)> {
    view.mailboxes().expect("mailboxes").into_iter().map(|m| (m.name, m.messages, m.uid_next)).collect()
}

fn named(name: &str, messages: u32, uid_next: u32) -> (String, u32, u32) {
    (name.to_owned(), messages, uid_next)
}

#[test]
fn an_officer_sees_all_mail_in_its_months_and_lately() {
    let world = World::new();
    let catalog = world.open();
    let view = view(&catalog, Viewer::Everything);
    assert_eq!(
        mailboxes(&*view),
        [named("Archive/2026/2026-09", 2, 3), named("Archive/2026/2026-11", 2, 5), named("INBOX", 2, 5),]
    );
    assert_eq!(view.uids("Archive/2026/2026-09", 0).expect("uids"), [1, 2]);
    assert_eq!(view.uids("Archive/2026/2026-09", 2).expect("uids"), [2]);
    assert_eq!(view.uids("inbox", 0).expect("uids"), [3, 4]);
    assert_eq!(view.uids("Archive/1999/1999-01", 0).expect("uids"), [0; 0]);
    assert_eq!(view.mailbox("Archive/1999/1999-01").expect("read"), None);
    let inbox = view.mailbox("Inbox").expect("read").expect("always there");
    assert_eq!((inbox.name.as_str(), inbox.uid_validity), ("INBOX", uid_validity(&[7; 16], "INBOX")));
}

#[test]
fn a_message_is_what_was_sealed() {
    let world = World::new();
    let catalog = world.open();
    let view = view(&catalog, Viewer::Everything);
    let message = view.message("INBOX", 3).expect("read").expect("there");
    let octets = view.octets("INBOX", 3).expect("read").expect("there");
    assert_eq!((octets.as_slice(), message.size), (&b"message 2\r\n"[..], 11));
    assert_eq!(message.sha256, sha256(&octets));
    assert_eq!(message.summary, summary("alice@example.org", "bob@partner.example", "Subject 2"));
    for (mailbox, uid) in [("Archive/2026/2026-09", 3), ("INBOX", 9), ("nowhere", 3)] {
        assert!(view.message(mailbox, uid).expect("read").is_none(), "{mailbox} {uid}");
        assert!(view.octets(mailbox, uid).expect("read").is_none(), "{mailbox} {uid}");
    }
}

#[test]
fn a_user_sees_own_mail_only() {
    let world = World::new();
    let catalog = world.open();
    for (addresses, uids) in [
        (&["eve@x.example"][..], vec![2, 4]),
        (&["EVE@X.example"], vec![2, 4]),
        (&["carol@partner.example"], vec![3]),
        (&["carol@partner.example", "eve@x.example"], vec![2, 3, 4]),
        // In the header of all, in the envelope of one: still one row each.
        (&["bob@partner.example"], vec![1, 2, 3, 4]),
        (&["mallory@x.example"], vec![]),
        (&[], vec![]),
    ] {
        let view = view(&catalog, user(addresses));
        let names: Vec<String> = mailboxes(&*view).into_iter().map(|(name, _, _)| name).collect();
        let mut seen: Vec<u32> = Vec::new();
        for name in names.iter().filter(|name| *name != "INBOX") {
            let found = view.uids(name, 0).expect("uids");
            assert_eq!(view.mailbox(name).expect("read").map(|m| m.messages as usize), Some(found.len()));
            seen.extend(found);
        }
        assert_eq!(seen, uids, "{addresses:?}");
        let inbox: Vec<u32> = uids.iter().copied().filter(|uid| *uid > 2).collect();
        assert_eq!(view.uids("INBOX", 0).expect("uids"), inbox, "{addresses:?}");
        for uid in 1..=4 {
            let found = view.octets("INBOX", uid).expect("read").is_some();
            assert_eq!(found, uids.contains(&uid), "{addresses:?} {uid}");
            assert_eq!(view.message("INBOX", uid).expect("read").is_some(), found);
        }
    }
}

#[test]
fn new_mail_appears_in_open_views_and_leaves_the_inbox_in_time() {
    let world = World::new();
    let mut catalog = world.open();
    let view = view(&catalog, Viewer::Everything);
    world.archive.seal(vec![unit(0, 4, "eve@x.example", world.clock.now())], &[]);
    let indexed = catalog.index().expect("indexed");
    assert_eq!((indexed.segments, indexed.messages), (1, 1));
    assert_eq!(view.uids("INBOX", 0).expect("uids"), [3, 4, 5]);
    assert_eq!(catalog.index().expect("nothing new").segments, 0);
    for (days, uids) in [(INBOX_DAYS, vec![3, 4, 5]), (1, vec![])] {
        world.clock.0.fetch_add(days * DAY_S, Ordering::Relaxed);
        assert_eq!(view.uids("INBOX", 0).expect("uids"), uids);
    }
    assert_eq!(mailboxes(&*view)[2], named("INBOX", 0, 6), "UIDNEXT stays");
    assert!(view.message("INBOX", 5).expect("read").is_some(), "a session goes on reading");
}

#[test]
fn lost_damaged_or_strange_catalogs_are_made_anew_with_the_same_uids() {
    let world = World::new();
    let before = mailboxes(&*view(&world.open(), Viewer::Everything));
    type Harm<'h> = (&'h str, &'h dyn Fn(&Path));
    let harm: [Harm<'_>; 6] = [
        ("nothing", &|_| {}),
        ("all lost", &|dir| std::fs::remove_dir_all(dir).expect("removed")),
        ("key lost", &|dir| std::fs::remove_file(dir.join("key")).expect("removed")),
        ("key bent", &|dir| std::fs::write(dir.join("key"), [1; 33]).expect("written")),
        ("key of another version", &|dir| std::fs::write(dir.join("key"), [9; 33]).expect("written")),
        ("database bent", &|_| std::fs::write(world.database(), [3; 8192]).expect("written")),
    ];
    for (what, harm) in harm {
        harm(&world.path());
        let after = mailboxes(&*view(&world.open(), Viewer::Everything));
        assert_eq!(after, before, "{what}");
    }
    world.archive.segments.lock().expect("whole").remove(1);
    let mut catalog = world.try_open().expect("a catalog");
    assert_eq!(catalog.index().expect("made anew").segments, 1, "another archive's segments are not kept");
}

#[test]
fn damage_in_the_archive_is_told_and_stops_nothing_else() {
    let world = World::new();
    let bent = Unit { facts: None, ..unit(0, 4, "eve@x.example", world.clock.now()) };
    let again = unit(1, 3, "eve@x.example", world.clock.now());
    let segment = world.archive.seal(vec![bent, again, unit(2, 5, "eve@x.example", world.clock.now())], &[]);
    let mut catalog = world.try_open().expect("a catalog");
    let indexed = catalog.index().expect("indexed");
    let told: Vec<_> = indexed.damage.iter().map(|d| (d.segment, d.slot)).collect();
    assert_eq!((indexed.messages, told), (5, vec![(segment, Some(0)), (segment, Some(1))]));
    assert_eq!(view(&catalog, Viewer::Everything).uids("INBOX", 0).expect("uids"), [3, 4, 6]);
}

#[test]
fn the_file_is_private_encrypted_and_kept_by_one() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let catalog = world.open();
    assert!(matches!(world.try_open(), Err(Error::Busy)));
    for entry in std::fs::read_dir(world.path()).expect("a directory") {
        let path = entry.expect("an entry").path();
        let octets = std::fs::read(&path).expect("read");
        assert!(!octets.windows(5).any(|w| w.eq_ignore_ascii_case(b"alice")), "{}", path.display());
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    let clock: Arc<dyn Clock> = world.clock.clone();
    let reader = Reader::open(&RealDisk, clock, &world.path(), world.archive.clone()).expect("another process reads");
    assert_eq!(reader.listing().expect("lists").page(&Query::everything(), 0, 9).expect("rows").len(), 4);
    drop(catalog);
    world.open();
}

#[test]
fn queries_choose_rows() {
    let world = World::new();
    let catalog = world.open();
    let listing = catalog.reader().listing().expect("lists");
    let hash = crate::crypto::hash::hex(&sha256(b"message 2\r\n"));
    for (query, uids) in [
        ("", vec![1, 2, 3, 4]),
        ("from:alice@example.org", vec![1, 2, 3, 4]),
        ("from:lice@example.org", vec![]),
        ("from:@example.org", vec![1, 2, 3, 4]),
        ("from:näme", vec![1, 2, 3, 4]),
        ("to:carol", vec![3]),
        ("to:EVE@x.example", vec![2, 4]),
        ("to:bob -to:eve", vec![1, 3]),
        ("to:carol OR subject:\"subject 0\"", vec![1, 3]),
        ("-(to:carol OR to:eve)", vec![1]),
        ("subject:SUBJECT", vec![1, 2, 3, 4]),
        ("subject:%", vec![]),
        ("subject:\"' OR 1=1 --\"", vec![]),
        ("after:2026-11-15", vec![3, 4]),
        ("before:2026-11-15", vec![1, 2]),
        ("on:2026-11-15 direction:inbound", vec![4]),
        ("on:2026-11-14", vec![]),
        ("class:default larger:10", vec![1, 2, 3, 4]),
        ("larger:11", vec![]),
        ("class:other", vec![]),
        ("msgid:\"<Subject 1@id>\"", vec![2]),
        (&format!("hash:{hash}"), vec![3]),
    ] {
        let parsed = Query::parse(query).expect(query);
        let mut found = Vec::new();
        let done: Result<(), Error> = listing.each(&parsed, |row| {
            found.push(row.uid);
            Ok(())
        });
        done.expect(query);
        assert_eq!(found, uids, "{query}");
    }
}

#[test]
fn references_find_one_message_and_its_events() {
    let world = World::new();
    let catalog = world.open();
    let listing = catalog.reader().listing().expect("lists");
    let first = listing.page(&Query::everything(), 0, 1).expect("rows").remove(0);
    assert_eq!(first.recipients, ["bob@partner.example"]);
    assert_eq!((first.sender.as_str(), first.message_id.as_str()), ("alice@example.org", "Subject 0@id"));
    for text in [first.id.to_string().as_str(), "Archive/2026/2026-09/1", "INBOX/1", "<Subject 0@id>", "Subject 0@id"] {
        let found = listing.find(&Reference::parse(text)).expect(text);
        assert_eq!(found, std::slice::from_ref(&first), "{text}");
    }
    for text in ["Archive/2026/2026-11/1", "INBOX/9", "Subject 0", "0"] {
        assert!(listing.find(&Reference::parse(text)).expect(text).is_empty(), "{text}");
    }
    let second = world.archive.passes_after(Some(first.segment.seal_index)).expect("segments").concat();
    assert_eq!(listing.events(1).expect("events"), second);
    assert!(listing.events(2).expect("events").is_empty());
}

#[test]
fn uid_validity_is_31_bits_of_a_hash_and_never_zero() {
    assert_ne!(uid_validity(&[7; 16], "INBOX"), uid_validity(&[8; 16], "INBOX"));
    assert_ne!(uid_validity(&[7; 16], "INBOX"), uid_validity(&[7; 16], "Archive/2026/2026-11"));
    for n in 0..=255 {
        assert!((1..1 << 31).contains(&uid_validity(&[n; 16], "x")));
    }
}

#[test]
fn a_message_that_meets_a_bug_is_shown_without_its_header_and_stops_nothing_else() {
    let world = World::new();
    let now = world.clock.now();
    let poisoned = |slot, index, poison| Unit { poison, ..unit(slot, index, "eve@x.example", now) };
    let units =
        vec![poisoned(0, 4, Poison::Summary), poisoned(1, 5, Poison::Everything), poisoned(2, 6, Poison::Nothing)];
    let (shown, lost) = (units[0].entry.id, units[1].entry.id);
    let segment = world.archive.seal(units, &[]);
    let mut catalog = world.try_open().expect("a catalog");
    let indexed = catalog.index().expect("indexed");
    assert_eq!((indexed.messages, indexed.unread), (6, vec![shown]));
    let told: Vec<_> =
        indexed.damage.iter().map(|d| (d.segment, d.slot, d.detail.contains(&lost.to_string()))).collect();
    assert_eq!(told, [(segment, Some(1), true)]);
    assert_eq!(catalog.index().expect("nothing new").segments, 0, "it does not come back");
    let officer = view(&catalog, Viewer::Everything);
    assert_eq!(officer.uids("INBOX", 0).expect("uids"), [3, 4, 5, 7]);
    let message = officer.message("INBOX", 5).expect("read").expect("there");
    assert_eq!((message.id, message.internal_date, message.size), (shown, now, 11));
    assert_eq!(message.summary.envelope.subject.as_deref(), Some(NOTICE));
    assert_eq!(officer.octets("INBOX", 5).expect("read").expect("there"), b"message 4\r\n");
    // Whose mail it is, the envelope says; the header was not read.
    assert_eq!(view(&catalog, user(&["eve@x.example"])).uids("INBOX", 0).expect("uids"), [4, 5, 7]);
    assert_eq!(view(&catalog, user(&["bob@partner.example"])).uids("INBOX", 0).expect("uids"), [3, 4, 7]);
    let rows = catalog.reader().listing().expect("lists").page(&Query::parse("to:eve").expect("a query"), 0, 9);
    assert_eq!(rows.expect("rows").iter().map(|row| row.uid).collect::<Vec<_>>(), [2, 4, 5, 7]);
}

#[test]
fn a_pass_that_panics_is_repeated_whole() {
    let world = World::new();
    let mut catalog = world.try_open().expect("a catalog");
    world.archive.has_trap.store(true, Ordering::Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| catalog.index())).is_err());
    let indexed = catalog.index().expect("indexed");
    assert_eq!((indexed.segments, indexed.messages, indexed.damage.len()), (2, 4, 0));
    assert_eq!(view(&catalog, Viewer::Everything).uids("INBOX", 0).expect("uids"), [3, 4]);
}
