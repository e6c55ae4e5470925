//! Unlocking and locking with the time in hand.

use super::*;
use crate::access::{AccountName, Role};
use crate::archive::{
    Certificate, CreateOptions, NewOfficer, OfficerKey, Origin, Purpose, Wanted, generate, next_generation, passphrase,
};
use crate::catalog::Unavailable;
use crate::clock::SystemClock;
use crate::crypto::{Secret, SecretBytes};
use crate::durable::RealDisk;
use crate::journal;

const HOUR: Duration = Duration::from_secs(3600);

struct Stage {
    reading: Reading,
    journal: Journal,
    officers: [NewOfficer; 2],
    passphrase: SecretBytes,
    _dir: tempfile::TempDir,
}

/// An archive that two officers open together.
fn stage() -> Stage {
    let dir = tempfile::tempdir().expect("a directory");
    let now = SystemClock.now();
    let passphrase = passphrase().expect("a passphrase");
    let officers = ["one", "two"].map(|name| generate(name, &passphrase, now).expect("a key"));
    let certificates = officers.each_ref().map(|o| Certificate::parse(&o.certificate, now).expect("a certificate"));
    let host_key = Secret::new([7; 32]);
    let options = CreateOptions { officers: &certificates, threshold: 2, uid_base: 0, now };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let archive = Archive::create(disk.clone(), &dir.path().join("archive"), &host_key, &options).expect("an archive");
    let settings = journal::Settings {
        dir: dir.path().join("journal"),
        mirror: None,
        file_bytes: 1 << 20,
        spares: 0,
        low_space_bytes: 0,
        kept_bytes: 1 << 40,
        danger_volatile_filesystem: true,
    };
    std::fs::create_dir(&settings.dir).expect("a directory");
    let keys = journal::Keys { host: host_key, archive: archive.public_key() };
    let (size, through) = (archive.log_size(), archive.sealed_through());
    let journal = Journal::open(disk.clone(), clock.clone(), settings, keys, size, through).expect("a journal").0;
    let state = State { current: Err("nobody has unlocked it".to_owned()), until: None, waiting: None };
    let catalog = dir.path().join("catalog");
    let reading = Reading {
        archive,
        journal: journal.clone(),
        disk,
        clock,
        catalog,
        changing: Mutex::new(()),
        state: Mutex::new(state),
    };
    Stage { reading, journal, officers, passphrase, _dir: dir }
}

impl Stage {
    fn shares(&self, officers: &[usize]) -> Vec<Share> {
        let key = |n: &usize| OfficerKey::parse(self.officers[*n].key.expose(), &self.passphrase).expect("a key");
        let mut keys: Vec<_> = officers.iter().map(key).collect();
        self.reading.archive.generation().shares_by(&mut keys, Purpose::Open).expect("shares")
    }
    fn unlocked(&self) {
        assert_eq!(self.reading.unlock(&self.shares(&[0, 1]), HOUR), Ok(Reached::Unlocked));
        self.reading.index().expect("indexed");
    }
    fn view(&self) -> Result<(Box<dyn View>, watch::Receiver<bool>), Locked> {
        let name = AccountName::parse("officer").expect("a name");
        let account = Account { name, role: Role::Officer, addresses: Vec::new() };
        self.reading.view(&account)
    }
    fn is_unlocked(&self) -> bool {
        self.reading.shown()["view"] == "unlocked"
    }
}

fn after(wait: Duration) -> Instant {
    Instant::now() + wait
}

#[test]
fn shares_wait_ten_minutes_and_no_longer() {
    let stage = stage();
    let reading = &stage.reading;
    assert_eq!(reading.unlock(&stage.shares(&[0]), HOUR), Ok(Reached::Waiting));
    assert_eq!(reading.shown()["shares"], "1 of 2");
    reading.expire(after(SHARES_WAIT - Duration::from_secs(5)));
    assert_eq!(reading.shown()["shares"], "1 of 2");
    reading.expire(after(SHARES_WAIT));
    assert!(reading.shown()["shares"].is_null());
    assert_eq!(reading.unlock(&stage.shares(&[1]), HOUR), Ok(Reached::Waiting), "the first is forgotten");
    assert_eq!(reading.shown()["shares_of"], json!([2]));
    assert!(stage.view().is_err() && !stage.is_unlocked());
    reading.lock("asked");
    assert!(reading.shown()["shares"].is_null(), "a lock forgets them, too");
    stage.unlocked();
    assert!(reading.shown()["shares"].is_null(), "and so does an unlock");
}

#[test]
fn a_wrong_share_leaves_what_waits() {
    let stage = stage();
    stage.reading.unlock(&stage.shares(&[0]), HOUR).expect("waits");
    let wrong = Share { piece: Secret::new([1; 32]), ..stage.shares(&[1]).remove(0) };
    let refused = stage.reading.unlock(&[wrong], HOUR).expect_err("refused");
    assert!(refused.contains("the share of officer 2") && refused.contains("wrong"), "{refused}");
    assert_eq!(stage.reading.unlock(&stage.shares(&[1]), HOUR), Ok(Reached::Unlocked));
}

#[test]
fn an_unlocked_view_is_locked_when_its_time_is_over() {
    let stage = stage();
    stage.unlocked();
    let (view, locked) = stage.view().expect("a view");
    view.mailboxes().expect("readable");
    stage.reading.expire(after(HOUR - Duration::from_secs(5)));
    assert!(stage.is_unlocked());
    // Unlocked again it stays open for those who read.
    assert_eq!(stage.reading.unlock(&stage.shares(&[0, 1]), 2 * HOUR), Ok(Reached::Unlocked));
    stage.reading.expire(after(HOUR));
    assert!(stage.is_unlocked() && !*locked.borrow() && view.mailboxes().is_ok());
    let secret = {
        let open = stage.reading.state().current.clone().expect("unlocked");
        Arc::downgrade(&open.sealed.opened().expect("open"))
    };
    assert!(secret.upgrade().is_some());
    stage.reading.expire(after(2 * HOUR));
    assert!(!stage.is_unlocked() && stage.view().is_err());
    // The session is there still and has a connection to the catalog; it shows nothing, and the secret is gone.
    assert!(*locked.borrow() && matches!(view.mailboxes(), Err(Unavailable::Locked)));
    assert!(matches!(view.message("INBOX", 1), Err(Unavailable::Locked)));
    assert!(secret.upgrade().is_none(), "wiped");
    stage.unlocked();
    assert!(stage.view().is_ok());
}

#[test]
fn a_new_generation_locks_what_the_former_opened() {
    let stage = stage();
    stage.unlocked();
    let archive = &stage.reading.archive;
    let former = archive.generation();
    let mut gathering = Gathering::new(former.clone());
    gathering.add(&stage.shares(&[0, 1])).expect("shares");
    let now = SystemClock.now();
    let certificates = stage.officers.each_ref().map(|o| Certificate::parse(&o.certificate, now).expect("one"));
    let wanted = Wanted { officers: &certificates, threshold: 1, origin: Origin::Gateway, now };
    let made = next_generation(&former, &gathering.secrets_now().expect("secrets"), &wanted).expect("made");
    let of_old = stage.shares(&[0]);
    archive.install(&stage.journal, &made.encode(), now).expect("installed");
    let config = Config::parse("hostname = \"gw.example.org\"\nlistener = []\nroute = []\n").expect("a configuration");
    stage.reading.follow(&config);
    let shown = stage.reading.shown();
    assert!(!stage.is_unlocked() && shown["locked_because"].to_string().contains("generation 2"), "{shown}");
    let refused = stage.reading.unlock(&of_old, HOUR).expect_err("refused");
    assert!(refused.contains("generation 1 and the archive key is at generation 2"), "{refused}");
    assert_eq!(stage.reading.unlock(&stage.shares(&[1]), HOUR), Ok(Reached::Unlocked), "one is enough now");
}
