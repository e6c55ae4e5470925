//! Retention: how long a message is kept, as it was decided when the message was accepted. Plain values; never a policy.

use crate::clock::Timestamp;

/// The class that always exists.
pub const CLASS_DEFAULT: &str = "default";
/// Octets of the longest name of a class.
pub const CLASS_BYTES_MAX: usize = 32;

/// Whether this may be the name of a class: 1 to 32 of `a-z`, `0-9` and `-`. It stands in the clear in the log.
pub fn is_class_name(name: &str) -> bool {
    let fits = |o: u8| o.is_ascii_lowercase() || o.is_ascii_digit() || o == b'-';
    (1..=CLASS_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

/// How long a message is kept. Fixed at acceptance: an edited class changes new mail only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retention {
    /// The class.
    pub class: String,
    /// When it may expire; `None`: never.
    pub keep_until: Option<Timestamp>,
    /// Before this no order may erase it; `None`: at any time.
    pub protected_until: Option<Timestamp>,
}

impl Retention {
    /// For ever, and unprotected.
    pub fn forever() -> Retention {
        Retention { class: CLASS_DEFAULT.to_owned(), keep_until: None, protected_until: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_classes_are_plain_and_short() {
        for good in ["default", "a", "6-years", "2026", &"x".repeat(32)] {
            assert!(is_class_name(good), "{good}");
        }
        for bad in ["", "Tax", "a b", "a_b", "ä", "a\n", &"x".repeat(33)] {
            assert!(!is_class_name(bad), "{bad:?}");
        }
    }
}
