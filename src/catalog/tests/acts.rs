//! Acts in the catalog: holds can be asked for, and of what is gone nothing is left, not in the tables and not in a file.

use super::*;
use crate::catalog::{key, schema};
use std::path::Path;

impl Memory {
    fn act(&self, act: Act) {
        self.acts.lock().expect("whole").push(act);
    }
    /// Each act is a leaf, numbered from 0.
    pub(super) fn behind(&self, act: Option<u64>) -> Acts {
        let acts = self.acts.lock().expect("whole");
        let from = act.map_or(0, |index| usize::try_from(index).expect("few") + 1);
        let newest = u64::try_from(acts.len()).expect("few").checked_sub(1);
        Acts { acts: acts[from..].to_vec(), newest }
    }
    pub(super) fn there(&self, uid: u32) -> Result<(), Unreadable> {
        let is_gone = |act: &Act| matches!(act, Act::Gone(uids) if uids.contains(&uid));
        if self.acts.lock().expect("whole").iter().any(is_gone) { Err(Unreadable::Erased) } else { Ok(()) }
    }
}

fn gone(uids: &[u32]) -> Act {
    Act::Gone(uids.to_vec())
}

fn held(hold: u8, name: &str, uids: &[u32]) -> Act {
    Act::Held { hold: [hold; 16], name: name.into(), uids: uids.to_vec() }
}

fn uids(catalog: &Catalog, query: &str) -> Vec<u32> {
    let listing = catalog.reader().listing().expect("a listing");
    let rows = listing.page(&Query::parse(query).expect(query), 0, 100).expect("rows");
    rows.into_iter().map(|row| row.uid).collect()
}

/// Every value of every table, as text.
fn dump(world: &World) -> String {
    let key = key::read(&RealDisk, &world.path(), &*world.archive).expect("read").expect("a key");
    let connection = schema::open_reader(&world.database(), &key).expect("opened");
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let mut statement = connection.prepare(sql).expect("a statement");
    let names: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("tables").map(|n| n.expect("a name")).collect();
    let mut text = String::new();
    for name in names {
        let mut statement = connection.prepare(&format!("SELECT * FROM {name}")).expect("a table");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let cells = (0..columns).map(|at| match row.get_ref(at).expect("a cell") {
                rusqlite::types::ValueRef::Blob(octets) => String::from_utf8_lossy(octets).into_owned(),
                rusqlite::types::ValueRef::Text(octets) => String::from_utf8_lossy(octets).into_owned(),
                other => format!("{other:?}"),
            });
            text.push_str(&cells.collect::<Vec<_>>().join(" "));
            text.push('\n');
        }
    }
    text
}

fn wal_bytes(database: &Path) -> u64 {
    std::fs::metadata(format!("{}-wal", database.display())).map_or(0, |file| file.len())
}

#[test]
fn holds_are_asked_for_by_name_until_they_are_released() {
    let world = World::new();
    let mut catalog = world.open();
    assert_eq!(uids(&catalog, "hold:case"), [0; 0]);
    world.archive.act(held(1, "case", &[1, 3]));
    world.archive.act(held(2, "other", &[3]));
    catalog.index().expect("indexed");
    world.archive.act(held(1, "case", &[4, 3]));
    catalog.index().expect("indexed");
    assert_eq!(uids(&catalog, "hold:case"), [1, 3, 4]);
    assert_eq!(uids(&catalog, "hold:other"), [3]);
    assert_eq!(uids(&catalog, "-hold:case"), [2]);
    world.archive.act(Act::Released([1; 16]));
    catalog.index().expect("indexed");
    assert_eq!((uids(&catalog, "hold:case"), uids(&catalog, "hold:other")), (vec![], vec![3]));
    catalog.rebuild().expect("made anew");
    assert_eq!((uids(&catalog, "hold:case"), uids(&catalog, "hold:other")), (vec![], vec![3]));
}

#[test]
fn e4_of_what_is_gone_nothing_is_left() {
    let world = World::new();
    let mut catalog = world.open();
    let officer = view(&catalog, Viewer::Everything);
    let eve = view(&catalog, user(&["eve@x.example"]));
    let before = officer.mailbox("Archive/2026/2026-09").expect("read").expect("a mailbox");
    assert!(dump(&world).contains("eve@x.example") && dump(&world).contains("Subject 3"));
    world.archive.act(held(1, "case", &[2]));
    world.archive.act(gone(&[2, 4]));
    let indexed = catalog.index().expect("indexed");
    assert_eq!((indexed.forgotten, indexed.clean), (2, true));
    let left = dump(&world);
    assert!(!left.contains("eve@x.example") && !left.contains("Subject 1") && !left.contains("Subject 3"), "{left}");
    assert!(left.contains("Subject 0") && left.contains("Subject 2"));
    assert_eq!(wal_bytes(&world.database()), 0, "no page from before");
    assert_eq!(uids(&catalog, ""), [1, 3]);
    assert_eq!(uids(&catalog, "hold:case"), [0; 0]);
    // What sessions see that were open before.
    assert!(officer.message("Archive/2026/2026-09", 2).expect("read").is_none());
    assert!(officer.octets("INBOX", 4).expect("read").is_none());
    assert_eq!(eve.uids("INBOX", 1).expect("read"), [0; 0]);
    let after = officer.mailbox("Archive/2026/2026-09").expect("read").expect("a mailbox");
    assert_eq!((after.messages, after.uid_next, after.uid_validity), (1, before.uid_next, before.uid_validity));
    let again = catalog.index().expect("indexed");
    assert_eq!((again.forgotten, again.clean), (0, true));
    // Made anew it is the same.
    catalog.rebuild().expect("made anew");
    assert_eq!(dump(&world), left, "the same rows");
}

#[test]
fn a_reader_that_is_in_the_way_is_waited_for() {
    let world = World::new();
    let mut catalog = world.open();
    let key = key::read(&RealDisk, &world.path(), &*world.archive).expect("read").expect("a key");
    let reader = schema::open_reader(&world.database(), &key).expect("opened");
    reader.busy_timeout(std::time::Duration::ZERO).expect("set");
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages;").expect("a snapshot");
    catalog.set_patience(std::time::Duration::from_millis(50));
    world.archive.act(gone(&[2]));
    assert!(!catalog.index().expect("indexed").clean);
    reader.execute_batch("COMMIT").expect("done");
    assert!(catalog.index().expect("indexed").clean);
}

#[test]
fn a_catalog_is_removed_without_its_key() {
    let world = World::new();
    let catalog = world.open();
    assert!(matches!(Catalog::discard(&RealDisk, &world.path()), Err(Error::Busy)));
    drop(catalog);
    Catalog::discard(&RealDisk, &world.path()).expect("removed");
    assert!(
        std::fs::read_dir(world.path()).expect("there").all(|e| !e
            .expect("an entry")
            .path()
            .to_string_lossy()
            .contains(".db"))
    );
    assert_eq!(uids(&world.open(), ""), [1, 2, 3, 4]);
    Catalog::discard(&RealDisk, &world.dir.path().join("none")).expect("nothing to remove");
}
