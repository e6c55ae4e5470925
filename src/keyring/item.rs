//! One item of the keyring as it lies on disk: a readable public record, and the private part sealed under the host key.
//! Never writes a private part in the clear.
//!
//! ```text
//! file   = CBOR [ version(1), public: bstr, sealed: bstr ]
//! public = CBOR Record
//! sealed = crypto::sealed(host key, "keyring", aad = public, private)
//! private = 0 / 1 octets        none / PKCS#8 or OpenPGP transferable secret key
//! ```
//! Items without a private part carry a sealed empty one, so that no record can be changed or slipped in without the host
//! key: who could, would read the mail encrypted to it.

use super::reason::Format;
use crate::crypto::{Secret, SecretBytes, hash, sealed};
use crate::mail::Address;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

const VERSION: u8 = 1;
const LABEL: &str = "keyring";
/// Octets of one item's file.
pub const ITEM_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Hexadecimal digits of a certificate's SHA-256 that make its id.
const ID_DIGITS: usize = 32;

/// Why the octets of a file are not an item of this keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not the format above.
    #[error("not an item of the keyring")]
    Malformed,
    /// Changed, or sealed under another host key.
    #[error("changed since it was written, or sealed under another host key")]
    NotAuthentic,
    /// The kernel gave no random octets.
    #[error("the kernel's random source failed")]
    NoRandomness,
}

impl From<crate::crypto::Error> for Error {
    fn from(error: crate::crypto::Error) -> Error {
        match error {
            crate::crypto::Error::NoRandomness => Error::NoRandomness,
            _ => Error::NotAuthentic,
        }
    }
}

/// What an item is trusted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Trust {
    /// Imported by hand: for the addresses of the item.
    #[n(0)]
    Manual,
    /// A trust anchor: to issue certificates, never for an address.
    #[n(1)]
    Anchor,
}

/// Where an item's addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Naming {
    /// The certificate names them itself.
    #[n(0)]
    Certificate,
    /// They were given at import, whatever the certificate says.
    #[n(1)]
    Import,
}

/// The public part.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Public {
    /// An X.509 certificate and its issuers as far as imported.
    #[n(0)]
    Smime {
        /// The certificate, DER.
        #[n(0)]
        der: ByteVec,
        /// Its issuers, DER, in order, without the root.
        #[n(1)]
        issuers: Vec<ByteVec>,
    },
    /// An OpenPGP certificate.
    #[n(1)]
    OpenPgp {
        /// The primary key's fingerprint.
        #[n(0)]
        fingerprint: ByteVec,
        /// Its packets, public parts only.
        #[n(1)]
        octets: ByteVec,
    },
}

/// The public record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// The certificate.
    #[n(0)]
    pub public: Public,
    /// The addresses it is used for.
    #[n(1)]
    pub addresses: Vec<Address>,
    /// Where they come from.
    #[n(2)]
    pub naming: Naming,
    /// What it is trusted for.
    #[n(3)]
    pub trust: Trust,
}

/// One item: what the world may see, and the private part if it is here.
#[derive(Clone, Debug)]
pub struct Item {
    /// The public record.
    pub record: Record,
    /// PKCS#8, or an OpenPGP transferable secret key.
    pub private: Option<SecretBytes>,
}

impl Item {
    /// The name of the item and, with `.item`, of its file: `ca-` and 32 digits of the certificate's SHA-256 for a trust
    /// anchor, 32 digits for another certificate, the fingerprint for OpenPGP.
    pub fn id(&self) -> String {
        match (&self.record.public, self.record.trust) {
            (Public::Smime { der, .. }, Trust::Manual) => certificate_id(der),
            (Public::Smime { der, .. }, Trust::Anchor) => format!("ca-{}", certificate_id(der)),
            (Public::OpenPgp { fingerprint, .. }, _) => hash::hex(fingerprint),
        }
    }
    /// The format it serves.
    pub fn format(&self) -> Format {
        match self.record.public {
            Public::Smime { .. } => Format::Smime,
            Public::OpenPgp { .. } => Format::OpenPgp,
        }
    }
    /// The octets of its file.
    pub fn encode(&self, host_key: &Secret<32>) -> Result<Vec<u8>, Error> {
        let public = minicbor::to_vec(&self.record).map_err(|_| Error::Malformed)?;
        let mut private = vec![u8::from(self.private.is_some())];
        private.extend_from_slice(self.private.as_ref().map_or(&[], SecretBytes::expose));
        let private = SecretBytes::new(private);
        let sealed = sealed::seal(host_key, LABEL, &public, private.expose())?;
        minicbor::to_vec((VERSION, ByteVec::from(public), ByteVec::from(sealed))).map_err(|_| Error::Malformed)
    }
    /// Reads what `encode` made under the same host key.
    pub fn decode(octets: &[u8], host_key: &Secret<32>) -> Result<Item, Error> {
        let (version, public, sealed): (u8, ByteVec, ByteVec) = whole(octets)?;
        if version != VERSION {
            return Err(Error::Malformed);
        }
        let private = SecretBytes::new(sealed::open(host_key, LABEL, &public, &sealed)?);
        let record = whole(&public)?;
        let private = match private.expose().split_first() {
            Some((0, [])) => None,
            Some((1, octets)) => Some(SecretBytes::new(octets.to_vec())),
            _ => return Err(Error::Malformed),
        };
        Ok(Item { record, private })
    }
}

fn whole<'b, T: Decode<'b, ()>>(octets: &'b [u8]) -> Result<T, Error> {
    let mut decoder = minicbor::Decoder::new(octets);
    let value = decoder.decode().map_err(|_| Error::Malformed)?;
    if decoder.position() == octets.len() { Ok(value) } else { Err(Error::Malformed) }
}

fn certificate_id(der: &[u8]) -> String {
    let mut id = hash::hex(&hash::sha256(der));
    id.truncate(ID_DIGITS);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(private: Option<&[u8]>) -> Item {
        let record = Record {
            public: Public::Smime { der: vec![1, 2].into(), issuers: vec![vec![3].into()] },
            addresses: vec![Address::parse("a@b.example").expect("an address")],
            naming: Naming::Import,
            trust: Trust::Manual,
        };
        Item { record, private: private.map(|p| SecretBytes::new(p.to_vec())) }
    }

    #[test]
    fn reads_back_only_unchanged_and_under_the_same_key() {
        let key = Secret::new([7; 32]);
        for private in [None, Some(&b""[..]), Some(&b"private"[..])] {
            let octets = item(private).encode(&key).expect("encodes");
            let back = Item::decode(&octets, &key).expect("decodes");
            assert_eq!(back.record, item(None).record);
            assert_eq!(back.private.as_ref().map(SecretBytes::expose), private);
            assert!(!octets.windows(7).any(|w| w == b"private"), "sealed");
            for at in 0..octets.len() {
                let mut bent = octets.clone();
                bent[at] ^= 1;
                assert!(Item::decode(&bent, &key).is_err(), "octet {at}");
                assert!(Item::decode(&octets[..at], &key).is_err(), "cut at {at}");
            }
            assert_eq!(Item::decode(&octets, &Secret::new([8; 32])).unwrap_err(), Error::NotAuthentic);
            assert_eq!(Item::decode(&[&octets[..], &[0]].concat(), &key).unwrap_err(), Error::Malformed);
        }
    }
}
