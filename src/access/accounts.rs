//! All accounts: kept in one file, looked at again for every login. Never lets anybody in when the file cannot be read.

use super::account::{ADDRESSES_MAX, Account, AccountName};
use super::file::{self, ACCOUNTS_MAX, Entry, FILE_BYTES_MAX, FILE_NAME, Table};
use super::password::{self, Hashed, Password};
use super::scram::{self, Exchange, First};
use super::verified::Verified;
use super::verifier::Verifier;
use crate::clock::Clock;
use crate::crypto::{Digest, random, sha256};
use crate::durable::{self, DirLock, Disk};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What can go wrong with the file of accounts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one of this name.
    #[error("there is an account {0} already")]
    Exists(AccountName),
    /// There is none of this name.
    #[error("there is no account {0}")]
    Missing(AccountName),
    /// At a bound.
    #[error("too many: at most {ACCOUNTS_MAX} accounts with {ADDRESSES_MAX} addresses each")]
    TooMany,
    /// Somebody else changes accounts right now.
    #[error("another command is changing accounts; try again")]
    Busy,
    /// The file says something that is not understood.
    #[error("{path}: {fault}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        fault: String,
    },
    /// The disk failed.
    #[error("{path}: {source}", path = path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No random bytes.
    #[error("no password can be hashed: the kernel's random source failed")]
    NoRandomness,
    /// Which octets a client makes of its other characters cannot be foretold.
    #[error("with SCRAM a password has printable ASCII characters only")]
    NotForScram,
}

/// How an account may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanisms {
    /// By sending its password.
    Password,
    /// Also by SCRAM-SHA-256, which sends none. What is kept for it is easier to guess passwords from than argon2id.
    PasswordAndScram,
}

/// Why a login is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Name or password is wrong; which one is not told.
    #[error("wrong name or password")]
    Credentials,
    /// It cannot be decided; the text is for the log.
    #[error("accounts cannot be read: {0}")]
    Unavailable(#[from] Error),
    /// The client does not speak the mechanism.
    #[error("malformed, or asks for channel binding")]
    Malformed,
}

impl From<scram::Fault> for Refused {
    fn from(fault: scram::Fault) -> Refused {
        match fault {
            scram::Fault::Credentials => Refused::Credentials,
            scram::Fault::Malformed | scram::Fault::ChannelBinding => Refused::Malformed,
        }
    }
}

/// The file of accounts in one directory, which is for it alone.
pub struct Accounts {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    state: Mutex<State>,
}

/// The file as last read.
struct State {
    digest: Digest,
    table: Arc<Table>,
    verified: Verified,
}

impl Accounts {
    /// Reads `dir/accounts.toml`; no file means no accounts.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, dir: &Path) -> Result<Accounts, Error> {
        let key = random::hedged("verified logins", &[]).map_err(|_| Error::NoRandomness)?;
        let state = State { digest: sha256(b""), table: Arc::default(), verified: Verified::new(key) };
        let accounts = Accounts { disk, clock, dir: dir.to_owned(), state: Mutex::new(state) };
        accounts.table()?;
        Ok(accounts)
    }

    /// The account of that name if the password is its own. Takes the time of one argon2id whether the name exists or not, and
    /// 19 MiB: the caller bounds how many run at once.
    pub fn authenticate(&self, name: &str, password: &[u8]) -> Result<Account, Refused> {
        let table = self.table()?;
        // What can be no password is one for no account.
        let password = Password::parse(password).ok_or(Refused::Credentials)?;
        let Some(entry) = AccountName::parse(name).and_then(|name| table.entries.get(&name.canonical())) else {
            password::verify_nobody(&password);
            return Err(Refused::Credentials);
        };
        if self.verifies(&entry.hash, &password) { Ok(entry.account.clone()) } else { Err(Refused::Credentials) }
    }

    /// Whether any account may log in by SCRAM.
    pub fn offer_scram(&self) -> Result<bool, Error> {
        Ok(self.table()?.entries.values().any(|entry| entry.scram.is_some()))
    }

    /// Answers a client's first message of SCRAM-SHA-256. A name that has no verifier gets the same answers as one that has,
    /// up to the proof.
    pub fn scram(&self, first: &[u8]) -> Result<scram::Reached, Refused> {
        let table = self.table()?;
        let nobody = table.nobody.as_ref().ok_or(Refused::Credentials)?;
        let first = First::parse(first)?;
        let name = first.user.to_ascii_lowercase();
        let known = table.entries.get(&name).and_then(|entry| Some((entry.scram.clone()?, entry.account.clone())));
        let (verifier, account) = match known {
            Some((verifier, account)) => (verifier, Some(account)),
            None => (Verifier::of_nobody(nobody, &name), None),
        };
        Exchange::start(&first, verifier, account).ok_or(Refused::Unavailable(Error::NoRandomness))
    }

    fn verifies(&self, hash: &Hashed, password: &Password) -> bool {
        let now = self.clock.now();
        if self.state().verified.knows(hash, password, now) {
            return true;
        }
        // Not under the lock: logins verify side by side.
        let verifies = hash.verifies(password);
        if verifies {
            self.state().verified.remember(hash, password, now);
        }
        verifies
    }

    /// All accounts in name order.
    pub fn list(&self) -> Result<Vec<Account>, Error> {
        Ok(self.table()?.entries.values().map(|entry| entry.account.clone()).collect())
    }

    /// The account of that name.
    pub fn find(&self, name: &AccountName) -> Result<Option<Account>, Error> {
        Ok(self.table()?.entries.get(&name.canonical()).map(|entry| entry.account.clone()))
    }

    /// Adds an account.
    pub fn add(&self, account: Account, password: &Password, mechanisms: Mechanisms) -> Result<(), Error> {
        let hash = password.hash().ok_or(Error::NoRandomness)?;
        let scram = match mechanisms {
            Mechanisms::Password => None,
            Mechanisms::PasswordAndScram => Some(verifier(password)?),
        };
        self.change(|table| {
            if table.entries.contains_key(&account.name.canonical()) {
                return Err(Error::Exists(account.name));
            }
            if table.entries.len() >= ACCOUNTS_MAX || account.addresses.len() > ADDRESSES_MAX {
                return Err(Error::TooMany);
            }
            if scram.is_some() && table.nobody.is_none() {
                table.nobody = Some(random::hedged("logins of nobody", &[]).map_err(|_| Error::NoRandomness)?);
            }
            table.entries.insert(account.name.canonical(), Entry { account, hash, scram });
            Ok(())
        })
    }

    /// Gives an account another password; logins with the old one end with it. It may log in as before.
    pub fn change_password(&self, name: &AccountName, password: &Password) -> Result<(), Error> {
        let hash = password.hash().ok_or(Error::NoRandomness)?;
        self.change(|table| match table.entries.get_mut(&name.canonical()) {
            None => Err(Error::Missing(name.clone())),
            Some(entry) => {
                entry.scram = entry.scram.as_ref().map(|_| verifier(password)).transpose()?;
                entry.hash = hash;
                Ok(())
            }
        })
    }

    /// Removes an account.
    pub fn remove(&self, name: &AccountName) -> Result<(), Error> {
        self.change(|table| {
            table.entries.remove(&name.canonical()).map(drop).ok_or_else(|| Error::Missing(name.clone()))
        })
    }

    /// Reads the file, changes the table, replaces the file; one process at a time.
    fn change(&self, change: impl FnOnce(&mut Table) -> Result<(), Error>) -> Result<(), Error> {
        self.disk.create_dir(&self.dir).map_err(|source| self.failed(source))?;
        let _lock = DirLock::acquire(&self.dir).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => Error::Busy,
            _ => self.failed(source),
        })?;
        let mut table = Table::clone(&*self.table()?);
        change(&mut table)?;
        let octets = file::write(&table).map_err(|fault| self.malformed(fault))?;
        durable::replace(&*self.disk, &self.path(), &octets).map_err(|source| self.failed(source))
    }

    /// The table as the file says now; read again only when the octets differ.
    fn table(&self) -> Result<Arc<Table>, Error> {
        let octets = self.octets()?;
        let digest = sha256(&octets);
        let mut state = self.state();
        if state.digest != digest {
            state.table = Arc::new(file::read(&octets).map_err(|fault| self.malformed(fault))?);
            state.digest = digest;
        }
        Ok(Arc::clone(&state.table))
    }

    fn octets(&self) -> Result<Vec<u8>, Error> {
        let path = self.path();
        let read = || {
            if self.disk.open_read(&path)?.len()? > FILE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any file of accounts"));
            }
            self.disk.read(&path)
        };
        match read() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|source| self.failed(source)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step under the lock leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn path(&self) -> PathBuf {
        self.dir.join(FILE_NAME)
    }
    fn failed(&self, source: io::Error) -> Error {
        Error::Disk { path: self.path(), source }
    }
    fn malformed(&self, fault: String) -> Error {
        Error::Malformed { path: self.path(), fault }
    }
}

fn verifier(password: &Password) -> Result<Verifier, Error> {
    // What SASLprep (RFC 4013) makes of ASCII is itself.
    if !password.expose().is_ascii() {
        return Err(Error::NotForScram);
    }
    Verifier::make(password).ok_or(Error::NoRandomness)
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Accounts({})", self.path().display())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;
    use crate::clock::SystemClock;
    use crate::durable::RealDisk;
    use crate::mail::Address;

    fn open(dir: &Path) -> Accounts {
        Accounts::open(Arc::new(RealDisk), Arc::new(SystemClock), dir).expect("accounts")
    }
    fn account(name: &str) -> Account {
        let address = Address::parse("a@example.org").expect("an address");
        Account { name: AccountName::parse(name).expect(name), role: Role::User, addresses: vec![address] }
    }
    fn password(text: &str) -> Password {
        Password::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn changes_by_one_process_are_seen_by_another_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let (server, command) = (open(dir.path()), open(dir.path()));
        let name = AccountName::parse("alice").expect("a name");
        let login = |text: &str| server.authenticate("Alice", text.as_bytes()).is_ok();
        assert!(!login("one"));
        command.add(account("alice"), &password("one"), Mechanisms::Password).expect("added");
        assert!(login("one") && login("one") && !login("two"));
        command.change_password(&name, &password("two")).expect("changed");
        assert!(login("two") && !login("one"));
        command.remove(&name).expect("removed");
        assert!(!login("two"));
        assert!(server.list().expect("a list").is_empty());
    }

    #[test]
    fn scram_tells_nobody_who_has_an_account() {
        let dir = tempfile::tempdir().expect("a directory");
        let accounts = open(dir.path());
        let answer = |accounts: &Accounts, name: &str| {
            let reached = accounts.scram(format!("n,,n={name},r=nonce").as_bytes());
            let Ok(scram::Reached::Challenge(_, answer)) = reached else { panic!("{reached:?}") };
            let answer = String::from_utf8(answer).expect("ASCII");
            answer.split_once(",s=").map(|(_, salt)| salt.to_owned()).expect("a salt")
        };
        assert!(matches!(accounts.scram(b"n,,n=alice,r=nonce"), Err(Refused::Credentials)), "not offered");
        accounts.add(account("bob"), &password("one"), Mechanisms::Password).expect("added");
        assert_eq!(accounts.offer_scram().ok(), Some(false));
        accounts.add(account("alice"), &password("one"), Mechanisms::PasswordAndScram).expect("added");
        assert_eq!(accounts.offer_scram().ok(), Some(true));
        for name in ["alice", "bob", "eve", "e v=2C"] {
            let salt = answer(&accounts, name);
            assert_eq!(salt, answer(&open(dir.path()), &name.to_uppercase().replace("=2c", "=2C")), "{name}");
            assert_eq!(salt.len(), answer(&accounts, "alice").len(), "{name}");
        }
        let former = answer(&accounts, "alice");
        let name = AccountName::parse("alice").expect("a name");
        accounts.change_password(&name, &password("two")).expect("changed");
        assert_ne!(answer(&accounts, "alice"), former);
        let refused = accounts.change_password(&name, &password("gr\u{fc}n"));
        assert!(matches!(refused, Err(Error::NotForScram)), "{refused:?}");
    }

    #[test]
    fn names_are_unique_and_must_exist() {
        let dir = tempfile::tempdir().expect("a directory");
        let accounts = open(dir.path());
        accounts.add(account("alice"), &password("one"), Mechanisms::Password).expect("added");
        assert!(matches!(accounts.add(account("ALICE"), &password("x"), Mechanisms::Password), Err(Error::Exists(_))));
        let nobody = AccountName::parse("bob").expect("a name");
        assert!(matches!(accounts.change_password(&nobody, &password("x")), Err(Error::Missing(_))));
        assert!(matches!(accounts.remove(&nobody), Err(Error::Missing(_))));
        assert_eq!(accounts.find(&nobody).expect("read"), None);
        assert_eq!(accounts.list().expect("a list"), [account("alice")]);
    }

    #[test]
    fn wrong_credentials_and_no_answer_are_two_things() {
        let dir = tempfile::tempdir().expect("a directory");
        let accounts = open(dir.path());
        accounts.add(account("alice"), &password("one"), Mechanisms::Password).expect("added");
        for (name, password) in [("alice", &b"two"[..]), ("bob", b"one"), ("", b"one"), ("a\0", b"one"), ("alice", b"")]
        {
            assert!(matches!(accounts.authenticate(name, password), Err(Refused::Credentials)), "{name:?}");
        }
        std::fs::write(dir.path().join(FILE_NAME), "[[account]]\nname = 1\n").expect("written");
        let refused = accounts.authenticate("alice", b"one").expect_err("refused");
        assert!(matches!(&refused, Refused::Unavailable(Error::Malformed { .. })), "{refused}");
    }

    #[test]
    fn one_changes_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let accounts = open(dir.path());
        let lock = DirLock::acquire(dir.path()).expect("a lock");
        assert!(matches!(accounts.add(account("alice"), &password("one"), Mechanisms::Password), Err(Error::Busy)));
        drop(lock);
        accounts.add(account("alice"), &password("one"), Mechanisms::Password).expect("added");
    }

    #[test]
    fn the_file_holds_no_password_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        open(dir.path()).add(account("alice"), &password("hunter2"), Mechanisms::Password).expect("added");
        let path = dir.path().join(FILE_NAME);
        assert!(!std::fs::read_to_string(&path).expect("read").contains("hunter2"));
        assert_eq!(std::fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
    }
}
