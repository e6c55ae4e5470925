//! Accounts: who somebody is and what they may read. Holds no password.

use crate::mail::Address;
use serde::{Deserialize, Serialize};

/// Octets of a login name.
pub const NAME_BYTES_MAX: usize = 128;
/// Addresses of one account.
pub const ADDRESSES_MAX: usize = 1000;

/// A login name: visible ASCII. Two are equal without regard to case, because people type either.
#[derive(Clone, Debug)]
pub struct AccountName(String);

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads mail from and to own addresses.
    User,
    /// Reads all mail.
    Officer,
    /// Reads the audit trail, no mail.
    Auditor,
    /// Operates the gateway, reads no mail.
    Admin,
}

/// What mail a role opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Everybody's.
    All,
    /// That of the account's own addresses.
    Own,
    /// None.
    Nothing,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: AccountName,
    /// What it may do.
    pub role: Role,
    /// Its own addresses: whose mail a user reads, and as whom it may send and sign (P11).
    pub addresses: Vec<Address>,
}

impl AccountName {
    /// Reads 1 to 128 visible ASCII characters.
    pub fn parse(text: &str) -> Option<AccountName> {
        let fine = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fine.then(|| AccountName(text.to_owned()))
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The form to compare and index by.
    pub fn canonical(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl PartialEq for AccountName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for AccountName {}

impl std::fmt::Display for AccountName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Role {
    /// What mail it opens.
    pub fn reads(self) -> Reads {
        match self {
            Role::User => Reads::Own,
            Role::Officer => Reads::All,
            Role::Auditor | Role::Admin => Reads::Nothing,
        }
    }
    /// The word of the command line and of JSON.
    pub fn word(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Officer => "officer",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_visible_ascii() {
        for (text, fine) in [
            ("alice", true),
            ("Alice@example.org", true),
            (&"n".repeat(NAME_BYTES_MAX), true),
            (&"n".repeat(NAME_BYTES_MAX + 1), false),
            ("", false),
            ("a b", false),
            ("a\0", false),
            ("a\r\n", false),
            ("\u{1b}[2J", false),
            ("ä", false),
        ] {
            assert_eq!(AccountName::parse(text).is_some(), fine, "{text:?}");
        }
        assert_eq!(AccountName::parse("Alice"), AccountName::parse("aLICE"));
    }

    #[test]
    fn only_officers_read_everybody() {
        let reads = [Role::User, Role::Officer, Role::Auditor, Role::Admin].map(Role::reads);
        assert_eq!(reads, [Reads::Own, Reads::All, Reads::Nothing, Reads::Nothing]);
    }
}
