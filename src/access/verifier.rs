//! What is kept of a password for SCRAM: enough to check who knows it, not enough to log in as them. As text as RFC 5803 has it.
//!
//! ```text
//! "SCRAM-SHA-256$" iterations ":" base64(salt) "$" base64(StoredKey) ":" base64(ServerKey)
//! ```

use super::password::Password;
use super::scram::MECHANISM;
use crate::crypto::hash::DIGEST_BYTES;
use crate::crypto::{Secret, kdf, mac, random, sha256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::num::NonZeroU32;

/// Rounds of a new verifier: the client's to run at every login, and a thief's for every guess. RFC 7677 asks for 4096.
const ITERATIONS: u32 = 100_000;
/// Rounds a stored verifier may have.
const ITERATIONS_MIN: u32 = 4096;
const ITERATIONS_MAX: u32 = 10_000_000;
/// Octets of a new salt.
const SALT_BYTES: usize = 16;
/// Octets a stored salt may have.
const SALT_BYTES_MAX: usize = 64;

/// Salt, rounds and the two keys of RFC 5802 section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verifier {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    /// H(ClientKey): checks proofs. Whoever has it and hears a login can log in.
    stored_key: Secret<DIGEST_BYTES>,
    /// Shows the client that we know the account.
    server_key: Secret<DIGEST_BYTES>,
}

impl Verifier {
    /// With a fresh salt; `None` when there is no randomness.
    pub fn make(password: &Password) -> Option<Verifier> {
        Verifier::derive(password, &random::bytes::<SALT_BYTES>().ok()?, ITERATIONS)
    }

    /// `None` when there are no rounds.
    pub fn derive(password: &Password, salt: &[u8], iterations: u32) -> Option<Verifier> {
        let iterations = NonZeroU32::new(iterations)?;
        let salted = mac::pbkdf2_sha256(password.expose(), salt, iterations);
        let stored_key = sha256(&mac::hmac_sha256(salted.expose(), &[b"Client Key"]));
        let server_key = mac::hmac_sha256(salted.expose(), &[b"Server Key"]);
        let (stored_key, server_key) = (Secret::new(stored_key), Secret::new(server_key));
        Some(Verifier { salt: salt.to_vec(), iterations, stored_key, server_key })
    }

    /// For a name that has none: the same at every try, and like any other.
    pub fn of_nobody(key: &Secret<32>, name: &str) -> Verifier {
        let derived = |label: &str| kdf::derive::<DIGEST_BYTES>(key.expose(), label, &[name.as_bytes()]);
        let salt = kdf::derive::<SALT_BYTES>(key.expose(), "salt of nobody", &[name.as_bytes()]).expose().to_vec();
        let iterations = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
        Verifier { salt, iterations, stored_key: derived("proof of nobody"), server_key: derived("key of nobody") }
    }

    /// Reads a stored one.
    pub fn parse(text: &str) -> Option<Verifier> {
        let mut parts = text.split('$');
        let (name, costs, keys) = (parts.next()?, parts.next()?, parts.next()?);
        let ((iterations, salt), (stored, server)) = (costs.split_once(':')?, keys.split_once(':')?);
        let iterations: NonZeroU32 = iterations.parse().ok()?;
        let salt = STANDARD.decode(salt).ok()?;
        let key = |text: &str| STANDARD.decode(text).ok().and_then(|key| Secret::from_slice(&key));
        let is_bounded = (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations.get())
            && (1..=SALT_BYTES_MAX).contains(&salt.len())
            && name == MECHANISM
            && parts.next().is_none();
        let verifier = Verifier { salt, iterations, stored_key: key(stored)?, server_key: key(server)? };
        is_bounded.then_some(verifier)
    }

    /// As it is stored.
    pub fn text(&self) -> String {
        let [salt, stored, server] =
            [&self.salt[..], self.stored_key.expose(), self.server_key.expose()].map(|octets| STANDARD.encode(octets));
        format!("{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }

    pub fn salt(&self) -> &[u8] {
        &self.salt
    }
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }
    pub fn stored_key(&self) -> &[u8] {
        self.stored_key.expose()
    }
    pub fn server_key(&self) -> &[u8] {
        self.server_key.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_within_bounds() {
        let password = Password::parse(b"pencil").expect("a password");
        let verifier = Verifier::make(&password).expect("a verifier");
        assert_eq!(Verifier::parse(&verifier.text()).as_ref(), Some(&verifier));
        assert_ne!(Verifier::make(&password).expect("a verifier").salt, verifier.salt);
        let keys = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        for (text, fine) in [
            (format!("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${keys}"), true),
            (format!("SCRAM-SHA-256$4095:W22ZaJ0SNY7soEsUEjb6gQ==${keys}"), false),
            (format!("SCRAM-SHA-256$10000001:W22ZaJ0SNY7soEsUEjb6gQ==${keys}"), false),
            (format!("SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==${keys}"), false),
            (format!("SCRAM-SHA-256$4096:${keys}"), false),
            (format!("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${keys}$"), false),
            (format!("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$x{keys}"), false),
            (String::new(), false),
        ] {
            assert_eq!(Verifier::parse(&text).is_some(), fine, "{text}");
        }
    }

    #[test]
    fn nobody_has_the_same_salt_every_time() {
        let key = Secret::new([1; 32]);
        let one = Verifier::of_nobody(&key, "bob");
        assert_eq!(one, Verifier::of_nobody(&key, "bob"));
        assert_ne!(one.salt, Verifier::of_nobody(&key, "eve").salt);
        assert_ne!(one.salt, Verifier::of_nobody(&Secret::new([2; 32]), "bob").salt);
        assert_eq!((one.salt.len(), one.iterations.get()), (SALT_BYTES, ITERATIONS));
    }
}
