//! Passwords: argon2id (RFC 9106) as PHC strings. Never kept, never shown, wiped on drop.

use crate::crypto::SecretBytes;
use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::cell::RefCell;
use subtle::ConstantTimeEq;

/// Octets of a password.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Memory a stored hash may ask for, in KiB: a damaged file must not take the machine's memory at a login.
const HASH_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Passes a stored hash may ask for.
const HASH_PASSES_MAX: u32 = 16;
/// What unknown names are checked against, so that they take as long as known ones. Its answer is never used.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password as typed: 1 to 1024 octets of UTF-8 without control characters.
#[derive(Clone, Debug)]
pub struct Password(SecretBytes);

/// A PHC string that was made here or has been looked at: argon2id, within bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hashed(String);

impl Password {
    /// Reads a password; `None` when it is empty, too long, not UTF-8, or has control characters.
    pub fn parse(octets: &[u8]) -> Option<Password> {
        let text = std::str::from_utf8(octets).ok()?;
        let fine = (1..=PASSWORD_BYTES_MAX).contains(&octets.len()) && !text.contains(char::is_control);
        fine.then(|| Password(SecretBytes::new(octets.to_vec())))
    }
    pub(super) fn expose(&self) -> &[u8] {
        self.0.expose()
    }
    /// Hashes with a fresh salt: 19 MiB, two passes, one lane (OWASP's first choice). `None` when there is no randomness.
    pub(super) fn hash(&self) -> Option<Hashed> {
        let hash: PasswordHash = Argon2::default().hash_password(self.expose()).ok()?;
        Some(Hashed(hash.to_string()))
    }
}

impl Hashed {
    /// Takes a stored PHC string if it is one we would make or may follow.
    pub(super) fn parse(text: &str) -> Option<Hashed> {
        let hash = PasswordHash::new(text).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let bounded =
            params.m_cost() <= HASH_MEMORY_KIB_MAX && params.t_cost() <= HASH_PASSES_MAX && params.p_cost() <= 4;
        let fine = hash.algorithm.as_str() == "argon2id" && hash.hash.is_some() && hash.salt.is_some() && bounded;
        fine.then(|| Hashed(text.to_owned()))
    }
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
    pub(super) fn verifies(&self, password: &Password) -> bool {
        verifies(&self.0, password)
    }
}

/// Spends the time of a verification.
pub(super) fn verify_nobody(password: &Password) {
    // The constant is no hash of anything known; whatever comes out, the login is refused.
    std::hint::black_box(verifies(NOBODY, password));
}

thread_local! {
    /// Kept from one verification to the next: 19 MiB given back and asked for again splinter the allocator's heaps.
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

fn verifies(phc: &str, password: &Password) -> bool {
    PasswordHash::new(phc).ok().and_then(|hash| recomputes(&hash, password)).unwrap_or(false)
}

/// Whether the password gives the same hash under the same parameters; `None` when they are not argon2id's.
fn recomputes(hash: &PasswordHash, password: &Password) -> Option<bool> {
    let (salt, expected, params) = (hash.salt.as_ref()?, hash.hash.as_ref()?, Params::try_from(hash).ok()?);
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let blocks = params.block_count();
    let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
    let mut computed = vec![0; expected.len()];
    MEMORY.with_borrow_mut(|memory| {
        if memory.len() < blocks {
            *memory = vec![Block::new(); blocks];
        }
        argon2.hash_password_into_with_memory(password.expose(), salt, &mut computed, &mut memory[..blocks]).ok()
    })?;
    Some(computed.ct_eq(expected.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn a_hash_verifies_its_own_password_only() {
        let hash = password("correct horse").hash().expect("hash");
        assert!(hash.verifies(&password("correct horse")));
        assert!(!hash.verifies(&password("correct horse ")));
        assert_ne!(hash, password("correct horse").hash().expect("hash"), "salted");
        assert_eq!(Hashed::parse(hash.as_str()), Some(hash));
    }

    #[test]
    fn lengths_and_characters_hold_at_their_bounds() {
        for (text, fine) in [
            ("x", true),
            ("grüße 🔑", true),
            (&"x".repeat(PASSWORD_BYTES_MAX), true),
            (&"x".repeat(PASSWORD_BYTES_MAX + 1), false),
            ("", false),
            ("a\0b", false),
            ("a\n", false),
        ] {
            assert_eq!(Password::parse(text.as_bytes()).is_some(), fine, "{text:?}");
        }
        assert!(Password::parse(b"\xff").is_none());
    }

    #[test]
    fn stored_hashes_are_bounded_argon2id() {
        let tail = "AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for (head, fine) in [
            ("$argon2id$v=19$m=19456,t=2,p=1$", true),
            ("$argon2id$v=19$m=262144,t=16,p=4$", true),
            ("$argon2id$v=19$m=262145,t=2,p=1$", false),
            ("$argon2id$v=19$m=19456,t=17,p=1$", false),
            ("$argon2id$v=19$m=19456,t=2,p=5$", false),
            ("$argon2i$v=19$m=19456,t=2,p=1$", false),
            ("x", false),
        ] {
            assert_eq!(Hashed::parse(&format!("{head}{tail}")).is_some(), fine, "{head}");
        }
        assert!(Hashed::parse("$argon2id$v=19$m=19456,t=2,p=1").is_none(), "no hash");
        assert!(Hashed::parse(NOBODY).is_some(), "takes the time of a real one");
    }
}
