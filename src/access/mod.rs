//! Access: accounts, roles and passwords. Never shows a message and never keeps a password.
//!
//! [`Accounts`] is the one file of accounts. `sealpost user` writes it, a running server looks at it again for every login, so a
//! change takes effect at once. [`audit`] keeps who read what. [`scram`] is a login that sends no password, in messages that any protocol may carry.

mod account;
mod accounts;
pub mod audit;
mod file;
mod password;
pub mod scram;
mod verified;
mod verifier;

pub use account::{ADDRESSES_MAX, Account, AccountName, NAME_BYTES_MAX, Reads, Role};
pub use accounts::{Accounts, Error, Mechanisms, Refused};
pub use file::{ACCOUNTS_MAX, FILE_NAME};
pub use password::{PASSWORD_BYTES_MAX, Password};
