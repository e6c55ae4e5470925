//! Errors of the keyring: what is wrong with an imported file, with a stored item, with a request. For the administrator;
//! nothing here reaches a peer.

use super::item;
use std::io;
use std::path::PathBuf;

/// Octets of one file that is imported.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Certificates and keys in one file that is imported.
pub const FILE_ITEMS_MAX: usize = 1000;
/// Octets of a password.
pub const PASSWORD_BYTES_MAX: usize = 1000;

/// What is wrong with a file that is imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("larger than {FILE_BYTES_MAX} octets")]
    TooLarge,
    /// Holds more than [`FILE_ITEMS_MAX`] certificates and keys.
    #[error("more than {FILE_ITEMS_MAX} certificates and keys in one file")]
    TooManyItems,
    /// None of the formats that are detected.
    #[error("not a certificate or key: neither OpenPGP, PEM, DER nor PKCS#12")]
    Unrecognized,
    /// Of a known format, but not well-formed.
    #[error("malformed {0}")]
    Malformed(String),
    /// Of a known format that is not taken.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// A private key is encrypted, and no password was given.
    #[error("the private key is encrypted and no password was given")]
    PasswordNeeded,
    /// The password does not open the private key.
    #[error("wrong password")]
    WrongPassword,
    /// The password cannot be one: too long, or with a NUL octet.
    #[error("not a password: longer than {PASSWORD_BYTES_MAX} octets or with a NUL octet")]
    NotAPassword,
    /// Nothing says whose it is.
    #[error("{subject} names no e-mail address{}", listed(.refused))]
    NoAddress {
        /// The certificate's subject or user IDs.
        subject: String,
        /// What it names instead of addresses.
        refused: Vec<String>,
    },
    /// A private key came without its certificate, and the keyring has none for it.
    #[error("a private key without its certificate")]
    KeyWithoutCertificate,
    /// A private key, a person's certificate or an OpenPGP certificate was to become a trust anchor.
    #[error("only an authority's X.509 certificate can be a trust anchor")]
    NotAnAnchor,
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" (not addresses: {})", names.join(", ")) }
}

impl Fault {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Fault::PasswordNeeded => Some("give it with --password-file"),
            Fault::NoAddress { .. } => {
                Some("say whose it is with --address, or import an authority's certificate with --trust-anchor")
            }
            Fault::KeyWithoutCertificate => Some("import the certificate first, or both in one command"),
            Fault::NotAnAnchor => Some("import it without --trust-anchor"),
            _ => None,
        }
    }
}

/// What can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is imported is not accepted. Nothing of this import was stored.
    #[error("{file}: {fault}")]
    Input {
        /// The file's name as given.
        file: String,
        /// What is wrong.
        fault: Fault,
    },
    /// A stored item cannot be used. A keyring that lacks an item unnoticed would send in the clear what it should encrypt,
    /// so the whole keyring fails.
    #[error("{path}: {reason}", path = path.display())]
    Item {
        /// The item's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk failed.
    #[error("{path}: {source}", path = path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// No item has this id, or a beginning of an id that stands for none.
    #[error("no certificate or key has the id {0}")]
    NotFound(String),
    /// Several ids begin so.
    #[error("several ids begin with {0}")]
    Ambiguous(String),
    /// The item's public part has no text form; a bug.
    #[error("{0} cannot be written as text")]
    NoText(String),
    /// The keyring holds as many items as it may.
    #[error("the keyring is full: {} items", super::store::ITEMS_MAX)]
    Full,
}

impl Error {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Error::Input { fault, .. } => fault.help(),
            Error::Item { .. } => Some("restore the file from a backup, or remove it and import the certificate again"),
            Error::NotFound(_) | Error::Ambiguous(_) => Some("`sealpost key list` shows the ids"),
            Error::Disk { .. } | Error::NoText(_) | Error::Full => None,
        }
    }
    /// The error of an item's file.
    pub(super) fn item(path: PathBuf, error: item::Error) -> Error {
        Error::Item { path, reason: error.to_string() }
    }
}
