//! The keyring: certificates and keys by address, with the reason for every choice. Private keys are sealed on disk.
//! Never signs and never encrypts.

pub mod material;
mod openpgp_key;
mod smime_key;

pub use material::{
    OpenPgpCertificate, OpenPgpSigner, POLICY, RecipientKey, SigningKey, SmimeCertificate, SmimeSigner,
};
pub use openpgp_key::SubkeySigner;
pub use smime_key::{PublicKind, SmimeKeyPair};
