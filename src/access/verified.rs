//! Logins verified lately. Argon2 takes tens of milliseconds and 19 MiB by design; a mail client that opens ten connections
//! need not pay ten times. Keeps tags under a key of this process, never a password.

use super::password::{Hashed, Password};
use crate::clock::Timestamp;
use crate::crypto::{Secret, kdf};
use std::collections::HashMap;

/// How long a verification counts, from when it was made.
const LIFETIME_S: i64 = 300;
/// Verifications remembered.
const VERIFIED_MAX: usize = 4096;

/// Tags of verified logins and when they end.
#[derive(Debug)]
pub(super) struct Verified {
    /// One use: tags of verified logins of this process.
    key: Secret<32>,
    until: HashMap<[u8; 32], Timestamp>,
}

impl Verified {
    pub(super) fn new(key: Secret<32>) -> Verified {
        Verified { key, until: HashMap::new() }
    }

    pub(super) fn knows(&self, hash: &Hashed, password: &Password, now: Timestamp) -> bool {
        // A clock set back must not prolong anything.
        let fresh = |until: &Timestamp| now < *until && *until <= now.plus_s(LIFETIME_S);
        self.until.get(&self.tag(hash, password)).is_some_and(fresh)
    }

    pub(super) fn remember(&mut self, hash: &Hashed, password: &Password, now: Timestamp) {
        if self.until.len() >= VERIFIED_MAX {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() < VERIFIED_MAX {
            self.until.insert(self.tag(hash, password), now.plus_s(LIFETIME_S));
        }
    }

    /// Bound to the stored hash, salt included: a changed password ends what was remembered.
    fn tag(&self, hash: &Hashed, password: &Password) -> [u8; 32] {
        *kdf::derive::<32>(self.key.expose(), "verified login", &[hash.as_str().as_bytes(), password.expose()]).expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_ends_in_time_and_with_the_hash() {
        let mut verified = Verified::new(Secret::new([1; 32]));
        let (one, two) = (Password::parse(b"one").expect("one"), Password::parse(b"two").expect("two"));
        let (hash, other) = (one.hash().expect("hash"), one.hash().expect("hash"));
        let now = Timestamp::from_s(1000);
        verified.remember(&hash, &one, now);
        for (hash, password, at, known) in [
            (&hash, &one, 0, true),
            (&hash, &one, LIFETIME_S - 1, true),
            (&hash, &one, LIFETIME_S, false),
            (&hash, &one, -1, false),
            (&hash, &two, 0, false),
            (&other, &one, 0, false),
        ] {
            assert_eq!(verified.knows(hash, password, now.plus_s(at)), known, "{at}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut verified = Verified::new(Secret::new([1; 32]));
        let hash = Password::parse(b"x").expect("x").hash().expect("hash");
        let now = Timestamp::from_s(0);
        for i in 0..=VERIFIED_MAX {
            let password = Password::parse(i.to_string().as_bytes()).expect("a number");
            verified.remember(&hash, &password, now);
        }
        assert_eq!(verified.until.len(), VERIFIED_MAX);
        verified.remember(&hash, &Password::parse(b"x").expect("x"), now.plus_s(LIFETIME_S));
        assert_eq!(verified.until.len(), 1, "ended ones make room");
    }
}
