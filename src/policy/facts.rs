//! What a policy may know about a message. Gathered by the caller; never looked up here.

use super::Format;
use crate::mail::Address;
use crate::mail::Direction;

/// Everything a ruling depends on besides the policy.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The listener's direction.
    pub direction: Direction,
    /// Envelope sender; `None` is the null sender `<>`.
    pub sender: Option<Address>,
    /// Every Subject decoded to Unicode, an empty one when there is none. A condition holds when one of them meets it: which of
    /// several a reader is shown is for the reader's program to say.
    pub subjects: Vec<String>,
    /// In envelope order.
    pub recipients: Vec<RecipientFacts>,
    /// Whether and with what we could sign.
    pub signing: SigningFacts,
    /// What the sender's own program has done already.
    pub already: Already,
}

/// One envelope recipient and the keys to encrypt to.
#[derive(Clone, Debug)]
pub struct RecipientFacts {
    /// The recipient.
    pub address: Address,
    /// Its S/MIME certificate.
    pub smime: KeyFact,
    /// Its OpenPGP certificate.
    pub openpgp: KeyFact,
}

/// The author's right to our signature (P11) and the keys for it.
#[derive(Clone, Debug)]
pub struct SigningFacts {
    /// Whether this client may sign as the author.
    pub permitted: Permission,
    /// The author's S/MIME key.
    pub smime: KeyFact,
    /// The author's OpenPGP key.
    pub openpgp: KeyFact,
}

/// Whether a client may sign as the single From: address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// As this author.
    Yes(Address),
    /// Not.
    No {
        /// For the log and the explanation, never for the peer.
        reason: String,
    },
}

/// What the keyring answered for one address and format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFact {
    /// A key that may be used now.
    Usable {
        /// Its id.
        key: String,
    },
    /// None.
    Missing {
        /// Why each one considered was refused.
        reason: String,
    },
}

/// Protection the message carries when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Already {
    /// None.
    Nothing,
    /// A signature: ours is not put around it.
    Signed,
    /// Encrypted: nothing is put around it.
    Encrypted,
}

impl KeyFact {
    /// Whether there is a key.
    pub fn is_usable(&self) -> bool {
        matches!(self, KeyFact::Usable { .. })
    }
}

impl RecipientFacts {
    /// The key for one format.
    pub fn key(&self, format: Format) -> &KeyFact {
        match format {
            Format::Smime => &self.smime,
            Format::OpenPgp => &self.openpgp,
        }
    }
}

impl SigningFacts {
    /// The key for one format.
    pub fn key(&self, format: Format) -> &KeyFact {
        match format {
            Format::Smime => &self.smime,
            Format::OpenPgp => &self.openpgp,
        }
    }
}
