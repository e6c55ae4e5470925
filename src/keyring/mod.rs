//! The keyring: certificates and keys by address, with the reason for every choice. Private keys are sealed on disk.
//! Never signs and never encrypts.
//!
//! ```text
//! files --read--> Found --gather--> Item --merge, store--> DIR/keyring/ID.item --load--> Keyring (immutable snapshot)
//! Keyring + address + format + time --> Choice: the key taken, and each key considered with its reason
//! ```

mod error;
mod gather;
mod holding;
mod import;
mod item;
pub mod material;
mod merge;
mod openpgp_key;
mod openpgp_read;
mod pem;
mod private_key;
mod read;
mod reason;
mod ring;
mod show;
mod smime_key;
mod store;
#[cfg(test)]
mod tests;
mod x509;

pub use error::{Error, FILE_BYTES_MAX, FILE_ITEMS_MAX, Fault, PASSWORD_BYTES_MAX};
pub use holding::Holds;
pub use import::{Imported, Input, Options, Owner, import};
pub use item::{Naming, Trust};
pub use material::{
    OpenPgpCertificate, OpenPgpSigner, POLICY, RecipientKey, SigningKey, SmimeCertificate, SmimeSigner,
};
pub use merge::Change;
pub use openpgp_key::SubkeySigner;
pub use read::{Found, read};
pub use reason::{Choice, Considered, Format, Reason, Use, Verdict};
pub use ring::{Keyring, remove};
pub use show::Entry;
pub use smime_key::{PublicKind, SmimeKeyPair};
pub use store::ITEMS_MAX;
