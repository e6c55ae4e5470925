//! Reading OpenPGP certificates and keys, unlocking their private parts, and the addresses their user IDs name. Never
//! decides whether a certificate is usable.

use super::error::{FILE_ITEMS_MAX, Fault};
use super::read::Found;
use super::x509::Names;
use crate::crypto::SecretBytes;
use sequoia_openpgp as openpgp;
use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::{Cert, CertParser};
use sequoia_openpgp::crypto::Password;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::key::{KeyRole, SecretKeyMaterial, SecretParts};
use sequoia_openpgp::parse::Parse;

/// All certificates in binary packets or one armored block.
pub fn certificates(octets: &[u8], password: Option<&SecretBytes>) -> Result<Vec<Found>, Fault> {
    let malformed = |e: anyhow::Error| Fault::Malformed(format!("OpenPGP certificate: {e}"));
    let mut found = Vec::new();
    for cert in CertParser::from_bytes(octets).map_err(malformed)? {
        if found.len() == FILE_ITEMS_MAX {
            return Err(Fault::TooManyItems);
        }
        let cert = unlocked(cert.map_err(malformed)?, password)?;
        found.push(Found::OpenPgp(Box::new(cert)));
    }
    if found.is_empty() { Err(Fault::Unrecognized) } else { Ok(found) }
}

/// Decrypts each private part. Parts that are not here at all (GnuPG's stubs for a card or an offline primary key) stay as
/// they are; a part that is here must open, or the import would silently lack a key.
fn unlocked(cert: Cert, password: Option<&SecretBytes>) -> Result<Cert, Fault> {
    let mut packets: Vec<Packet> = Vec::new();
    let primary = cert.primary_key().key().fingerprint();
    for key in cert.keys().secret() {
        if is_elsewhere(key.key().secret()) || key.key().has_unencrypted_secret() {
            continue;
        }
        let open = decrypted(key.key().clone(), password)?;
        packets.push(if key.key().fingerprint() == primary {
            open.role_into_primary().into()
        } else {
            open.role_into_subordinate().into()
        });
    }
    let (cert, _) = cert.insert_packets(packets).map_err(|e| Fault::Malformed(e.to_string()))?;
    Ok(cert)
}

fn decrypted<R: KeyRole>(
    key: Key<SecretParts, R>,
    password: Option<&SecretBytes>,
) -> Result<Key<SecretParts, R>, Fault> {
    let password = password.ok_or(Fault::PasswordNeeded)?;
    key.decrypt_secret(&Password::from(password.expose())).map_err(|e| match e.downcast_ref() {
        Some(openpgp::Error::UnsupportedSymmetricAlgorithm(_) | openpgp::Error::UnsupportedAEADAlgorithm(_)) => {
            Fault::Unsupported(format!("encryption of the private key ({e})"))
        }
        _ => Fault::WrongPassword,
    })
}

/// Whether the private part is only a stub.
pub fn is_elsewhere(secret: &SecretKeyMaterial) -> bool {
    match secret {
        SecretKeyMaterial::Unencrypted(_) => false,
        SecretKeyMaterial::Encrypted(e) => !e.s2k().is_supported(),
    }
}

/// The addresses of all user IDs; whether a user ID is valid is asked when a key is chosen.
pub fn names(cert: &Cert) -> Names {
    let mut names = Names::default();
    for component in cert.userids() {
        match user_id_address(component.userid()) {
            Some(text) => names.take(&text),
            None => names.refused.push(String::from_utf8_lossy(component.userid().value()).escape_debug().to_string()),
        }
    }
    names
}

/// The address of a user ID: `Name <address>` with nothing behind it and no other angle bracket, or the address alone
/// (RFC 9580 section 5.11 leaves the form to convention).
pub fn user_id_address(user_id: &UserID) -> Option<String> {
    let text = std::str::from_utf8(user_id.value()).ok()?;
    let Some((before, address)) = text.split_once('<') else { return Some(text.to_owned()) };
    let address = address.strip_suffix('>')?;
    let stray = |part: &str| part.contains(['<', '>']);
    if stray(before) || stray(address) { None } else { Some(address.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_name_one_address_or_none() {
        let check = |text: &str, expected: &[&str]| {
            let mut names = Names::default();
            if let Some(address) = user_id_address(&UserID::from(text)) {
                names.take(&address);
            }
            let found: Vec<String> = names.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check("alice@x.example", &["alice@x.example"]);
        check("Alice <alice@x.example>", &["alice@x.example"]);
        check("Alice (work) <alice@x.example>", &["alice@x.example"]);
        check("<alice@x.example>", &["alice@x.example"]);
        check("Alice", &[]);
        check("Alice alice@x.example", &[]);
        check("Alice < alice@x.example>", &[]);
        check("Alice <alice@x.example> ", &[]);
        check("<eve@x.example> <alice@x.example>", &[]);
        check("Alice <alice@x.example", &[]);
        check("alice@x.example>", &[]);
        check("Alice <\"a b\"@x.example>", &[]);
        check("", &[]);
    }
}
