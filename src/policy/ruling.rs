//! What is decided about a message, per recipient. Stored with the message, so that every one can be explained (P9).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// A format of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// S/MIME (RFC 8551).
    #[n(0)]
    Smime,
    /// PGP/MIME (RFC 3156).
    #[n(1)]
    OpenPgp,
}

/// How much an action is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Not done.
    #[n(0)]
    Never,
    /// Done when the keys for it are here.
    #[n(1)]
    IfPossible,
    /// Done, or the message is not accepted.
    #[n(2)]
    Required,
}

/// What is done to the octets for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
pub enum Treatment {
    /// As received, plus our block.
    #[n(0)]
    Plain,
    /// Signed.
    #[n(1)]
    Sign(#[n(0)] Format),
    /// Encrypted.
    #[n(2)]
    Encrypt(#[n(0)] Format),
    /// Signed, then encrypted.
    #[n(3)]
    SignAndEncrypt(#[n(0)] Format),
}

impl Treatment {
    /// Whether the result is ciphertext.
    pub fn encrypts(self) -> bool {
        matches!(self, Treatment::Encrypt(_) | Treatment::SignAndEncrypt(_))
    }
    /// Whether the result carries a signature of ours.
    pub fn signs(self) -> bool {
        matches!(self, Treatment::Sign(_) | Treatment::SignAndEncrypt(_))
    }
    /// The format, unless plain.
    pub fn format(self) -> Option<Format> {
        match self {
            Treatment::Plain => None,
            Treatment::Sign(f) | Treatment::Encrypt(f) | Treatment::SignAndEncrypt(f) => Some(f),
        }
    }
}

/// What happens for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Disposition {
    /// The message is not accepted for this recipient. The text is public.
    #[n(0)]
    Refuse {
        /// What the sender reads behind `550 `: an enhanced status (RFC 3463) and one line of printable ASCII.
        #[n(0)]
        text: String,
    },
    /// It goes on under this treatment.
    #[n(1)]
    Deliver(#[n(0)] Treatment),
}

/// One line of a ruling's explanation: which rule set which action, or which fact decided.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Why {
    /// The action (`sign`, `encrypt`, `format`, `no_key`, `refuse`, `class`) or what was considered (`author`, `signing key`,
    /// `recipient key`).
    #[n(0)]
    pub action: String,
    /// The value it got.
    #[n(1)]
    pub value: String,
    /// What gave it: `rule "name" (file:line)`, `default`, or the key fact.
    #[n(2)]
    pub because: String,
}

/// The ruling for one recipient, in envelope order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RecipientRuling {
    /// What happens.
    #[n(0)]
    pub disposition: Disposition,
    /// Why, in the order it was decided.
    #[n(1)]
    pub why: Vec<Why>,
}

/// The ruling for a message: one entry per envelope recipient, in envelope order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ruling {
    /// Per recipient.
    #[n(0)]
    pub recipients: Vec<RecipientRuling>,
    /// SHA-256 over the policy files in load order.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub policy_digest: [u8; 32],
}
