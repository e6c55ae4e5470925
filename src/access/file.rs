//! The file of accounts: TOML, replaced whole. Reads strictly: a file that says anything unknown opens for nobody.
//!
//! ```toml
//! nobody = "64 hex digits"           # what SCRAM says of names that are none is derived from it
//! [[account]]
//! name = "alice"
//! role = "user"
//! addresses = ["alice@example.org"]
//! password = "$argon2id$v=19$..."
//! scram = "SCRAM-SHA-256$..."        # accounts made with --scram
//! ```

use super::account::{ADDRESSES_MAX, Account, AccountName, Role};
use super::password::Hashed;
use super::verifier::Verifier;
use crate::crypto::Secret;
use crate::crypto::hash;
use crate::mail::Address;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file's name.
pub const FILE_NAME: &str = "accounts.toml";
/// Accounts in it.
pub const ACCOUNTS_MAX: usize = 10_000;
/// Octets of it.
pub(super) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

const HEAD: &str = "# Accounts. Written by `sealpost user`; a running server sees changes at the next login.\n\n";

/// All accounts by canonical name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub entries: BTreeMap<String, Entry>,
    /// One use: what SCRAM says of names that are none. There as soon as one account has a verifier.
    pub nobody: Option<Secret<32>>,
}

/// One account with its password's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub account: Account,
    pub hash: Hashed,
    pub scram: Option<Verifier>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    nobody: Option<String>,
    #[serde(default)]
    account: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    role: Role,
    #[serde(default)]
    addresses: Vec<String>,
    password: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scram: Option<String>,
}

/// Reads the file; the error is for the administrator and shows no hash.
pub(super) fn read(octets: &[u8]) -> Result<Table, String> {
    let text = std::str::from_utf8(octets).map_err(|_| "it is not UTF-8".to_owned())?;
    let file: File = toml::from_str(text).map_err(|e| place(text, &e))?;
    let nobody = file.nobody.as_deref().map(nobody).transpose()?;
    let mut entries = BTreeMap::new();
    for record in file.account {
        let name = record.name.clone();
        let entry = entry(record).map_err(|fault| format!("account {name:?}: {fault}"))?;
        if entries.insert(entry.account.name.canonical(), entry).is_some() {
            return Err(format!("account {name:?} stands in it twice"));
        }
    }
    if entries.len() > ACCOUNTS_MAX {
        return Err(format!("more than {ACCOUNTS_MAX} accounts"));
    }
    Ok(Table { entries, nobody })
}

fn nobody(text: &str) -> Result<Secret<32>, String> {
    hash::unhex(text).and_then(|key| Secret::from_slice(&key)).ok_or_else(|| "`nobody` is not 64 hex digits".to_owned())
}

/// The parser's own rendering quotes the line, which may be a hash.
fn place(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().map_or(1, |span| text.as_bytes()[..span.start.min(text.len())].split(|b| *b == b'\n').count());
    format!("line {line}: {}", error.message())
}

fn entry(record: Record) -> Result<Entry, String> {
    let name = AccountName::parse(&record.name).ok_or("not a login name")?;
    if record.addresses.len() > ADDRESSES_MAX {
        return Err(format!("more than {ADDRESSES_MAX} addresses"));
    }
    let parse = |text: &String| Address::parse(text).map_err(|e| format!("{text:?}: {e}"));
    let addresses = record.addresses.iter().map(parse).collect::<Result<_, _>>()?;
    let hash = Hashed::parse(&record.password).ok_or("its password is no argon2id hash within bounds")?;
    let verifier = |text: &String| Verifier::parse(text).ok_or("its scram is no SCRAM-SHA-256 verifier within bounds");
    let scram = record.scram.as_ref().map(verifier).transpose()?;
    Ok(Entry { account: Account { name, role: record.role, addresses }, hash, scram })
}

/// The file's octets.
pub(super) fn write(table: &Table) -> Result<Vec<u8>, String> {
    let record = |entry: &Entry| Record {
        name: entry.account.name.as_str().to_owned(),
        role: entry.account.role,
        addresses: entry.account.addresses.iter().map(Address::to_string).collect(),
        password: entry.hash.as_str().to_owned(),
        scram: entry.scram.as_ref().map(Verifier::text),
    };
    let nobody = table.nobody.as_ref().map(|key| hash::hex(key.expose()));
    let file = File { nobody, account: table.entries.values().map(record).collect() };
    let body = toml::to_string(&file).map_err(|e| e.to_string())?;
    Ok([HEAD, &body].concat().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    const SCRAM: &str = "scram = 'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
                         $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='";

    fn record(name: &str, more: &str) -> String {
        format!("[[account]]\nname = '{name}'\npassword = '{HASH}'\n{more}\n")
    }

    #[test]
    fn what_is_written_is_read() {
        let text = record("Alice", "role='officer'") + &record("bob", "role='user'\naddresses=['b@x','\"a b\"@x']");
        let table = read(text.as_bytes()).expect("accounts");
        assert_eq!(table.entries.keys().collect::<Vec<_>>(), ["alice", "bob"]);
        assert_eq!(read(&write(&table).expect("written")).as_ref(), Ok(&table));
        let with_scram = format!("nobody = '{}'\n{}", "ab".repeat(32), record("a", &format!("role='user'\n{SCRAM}")));
        let table = read(with_scram.as_bytes()).expect("accounts");
        assert!(table.nobody.is_some() && table.entries["a"].scram.is_some());
        assert_eq!(read(&write(&table).expect("written")).as_ref(), Ok(&table));
        assert_eq!(read(b""), Ok(Table::default()));
    }

    #[test]
    fn anything_unknown_opens_for_nobody() {
        for (text, expected) in [
            (record("a", "role='root'"), "line 4"),
            (record("a", "role='user'\nadmin=true"), "unknown field"),
            (record("a", ""), "role"),
            (record("a b", "role='user'"), "not a login name"),
            (record("a", "role='user'\naddresses=['x']"), "not a mailbox"),
            (record("a", "role='user'") + &record("A", "role='user'"), "twice"),
            ("[[account]]\nname='a'\nrole='user'\npassword='plain'".into(), "no argon2id hash"),
            (record("a", "role='user'\nscram='SCRAM-SHA-256$1:x$y:z'"), "no SCRAM-SHA-256 verifier"),
            ("nobody='x'".into(), "64 hex digits"),
            ("[[account]".into(), "line 1"),
        ] {
            let fault = read(text.as_bytes()).expect_err(&text);
            assert!(fault.contains(expected), "{expected} in {fault}");
            assert!(!fault.contains("$argon2id"), "{fault}");
        }
        assert!(read(b"\xff").is_err());
    }
}
