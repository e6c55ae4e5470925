//! Reasons: why a key was taken or refused, as data and as one line for people. Never decides.

use crate::clock::Timestamp;
use std::fmt;
use std::sync::Arc;

/// A format of protection that keys are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// S/MIME (RFC 8551).
    Smime,
    /// OpenPGP (RFC 9580).
    OpenPgp,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Smime => "S/MIME",
            Format::OpenPgp => "OpenPGP",
        })
    }
}

/// What a key is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// Signing, as the owner of an address.
    Sign,
    /// Encrypting to the owner of an address.
    Encrypt,
}

/// Why a key was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Valid only from then on.
    NotYetValid(Timestamp),
    /// Valid only until then.
    Expired(Timestamp),
    /// Revoked by its owner.
    Revoked,
    /// keyUsage (RFC 5280 section 4.2.1.3) does not permit the use.
    KeyUsage(Use),
    /// extKeyUsage (RFC 5280 section 4.2.1.12) names neither emailProtection nor anyExtendedKeyUsage.
    ExtendedKeyUsage,
    /// An extension marked critical is not understood here; its object identifier.
    CriticalExtension(String),
    /// An algorithm or size that is not used here.
    Unsupported(String),
    /// No subkey of an OpenPGP certificate is usable for it: none with that capability, or none of those alive.
    NoCapableSubkey(Use),
    /// sequoia's policy refuses the certificate, for example for signatures over SHA-1.
    Policy(String),
    /// The address was once named, but that user ID is revoked, expired or no longer valid.
    NotForAddress,
    /// The private key is not here.
    NoPrivateKey,
    /// It issues certificates and is nobody's.
    TrustAnchor,
    /// Usable, but the one taken is newer.
    LessRecent,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotYetValid(from) => write!(f, "not valid before {}", day(*from)),
            Reason::Expired(since) => write!(f, "expired {}", day(*since)),
            Reason::Revoked => f.write_str("revoked"),
            Reason::KeyUsage(Use::Encrypt) => f.write_str("keyUsage lacks keyEncipherment or keyAgreement"),
            Reason::KeyUsage(Use::Sign) => f.write_str("keyUsage lacks digitalSignature and nonRepudiation"),
            Reason::ExtendedKeyUsage => f.write_str("extKeyUsage does not include emailProtection"),
            Reason::CriticalExtension(oid) => write!(f, "critical extension {oid} is not understood"),
            Reason::Unsupported(what) => f.write_str(what),
            Reason::NoCapableSubkey(Use::Encrypt) => f.write_str("no usable encryption subkey"),
            Reason::NoCapableSubkey(Use::Sign) => f.write_str("no usable signing subkey with its private key"),
            Reason::Policy(what) => write!(f, "refused by the OpenPGP policy: {what}"),
            Reason::NotForAddress => f.write_str("not for this address: no valid user ID names it"),
            Reason::TrustAnchor => f.write_str("a trust anchor, for no address"),
            Reason::NoPrivateKey => f.write_str("its private key is not here"),
            Reason::LessRecent => f.write_str("usable, but a newer one was taken"),
        }
    }
}

/// The date in UTC.
pub fn day(instant: Timestamp) -> String {
    let (year, month, day) = instant.year_month_day();
    format!("{year:04}-{month:02}-{day:02}")
}

/// A key that was looked at, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// Its id, as the list of keys shows it.
    pub id: String,
    /// Taken, or why not.
    pub verdict: Verdict,
}

/// What became of a key that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one to use.
    Taken,
    /// It is not, for this reason.
    Refused(Reason),
}

impl fmt::Display for Considered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Taken => write!(f, "{}: taken", self.id),
            Verdict::Refused(reason) => write!(f, "{}: {reason}", self.id),
        }
    }
}

/// The answer to "which key for this address": at most one, and what was looked at, in order of preference.
#[derive(Debug)]
pub struct Choice<T> {
    /// The key to use.
    pub taken: Option<Arc<T>>,
    /// Every key that names the address, each with its verdict.
    pub considered: Vec<Considered>,
}

impl<T> Choice<T> {
    /// The id of the key to use, or one line on why there is none: that no key names the address, or each that does and why
    /// it was refused.
    pub fn fact(&self) -> Result<String, String> {
        let taken = self.considered.iter().find(|c| c.verdict == Verdict::Taken);
        match taken {
            Some(considered) => Ok(considered.id.clone()),
            None if self.considered.is_empty() => Err("no key names this address".to_owned()),
            None => {
                let reasons: Vec<String> = self.considered.iter().map(Considered::to_string).collect();
                Err(reasons.join("; "))
            }
        }
    }
}
