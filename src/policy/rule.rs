//! Rules as loaded: conditions and actions of one `[[rule]]`. Knows no TOML.

use super::glob::{Folded, Glob};
use super::pattern::{AddressPattern, Party};
use super::{Format, Need};
use crate::mail::Direction;

/// One `[[rule]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, unique in a policy.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// The line of its `[[rule]]`, from 1.
    pub line: usize,
    pub(super) when: When,
    pub(super) then: Then,
}

/// What to do when encryption is required and a recipient has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// Refuse the message.
    Refuse,
    /// Send it unencrypted. A choice that weakens what another action asked for.
    DangerSendPlain,
}

/// A condition: unset, or any of its entries.
#[derive(Clone, Debug, Default)]
pub(super) enum Test<T> {
    #[default]
    Anything,
    AnyOf(Vec<T>),
}

/// All conditions of a rule; they hold together.
#[derive(Clone, Debug, Default)]
pub(super) struct When {
    pub direction: Test<Direction>,
    pub sender: Test<AddressPattern>,
    pub recipient: Test<AddressPattern>,
    pub subject: Test<Glob>,
}

/// The actions a rule sets.
#[derive(Clone, Debug, Default)]
pub(super) struct Then {
    pub sign: Option<Need>,
    pub encrypt: Option<Need>,
    pub format: Option<Vec<Format>>,
    pub no_key: Option<NoKey>,
    pub refuse: Option<String>,
    /// The name of a class that the policy has.
    pub class: Option<String>,
}

/// What conditions see of a message, the same for all its recipients.
pub(super) struct Message {
    pub direction: Direction,
    pub sender: Party,
    pub subjects: Vec<Folded>,
}

impl<T> Test<T> {
    fn holds(&self, matches: impl Fn(&T) -> bool) -> bool {
        match self {
            Test::Anything => true,
            Test::AnyOf(entries) => entries.iter().any(matches),
        }
    }
}

impl When {
    /// The conditions that do not depend on the recipient.
    pub(super) fn holds_for_message(&self, message: &Message) -> bool {
        self.direction.holds(|d| *d == message.direction)
            && self.sender.holds(|p| p.matches(&message.sender))
            && self.subject.holds(|g| message.subjects.iter().any(|subject| g.matches(subject)))
    }
    /// The condition that does.
    pub(super) fn holds_for_recipient(&self, recipient: &Party) -> bool {
        self.recipient.holds(|p| p.matches(recipient))
    }
    /// Whether the null sender is meant by name and not just not excluded.
    pub(super) fn names_null_sender(&self) -> bool {
        matches!(&self.sender, Test::AnyOf(entries) if entries.iter().any(|p| matches!(p, AddressPattern::Null)))
    }
}

impl Rule {
    /// `rule "name" (file:line)`, as explanations tell it.
    pub fn place(&self) -> String {
        format!("rule \"{}\" ({}:{})", self.name, self.file, self.line)
    }
}

impl NoKey {
    /// The word policies use.
    pub fn word(self) -> &'static str {
        match self {
            NoKey::Refuse => "refuse",
            NoKey::DangerSendPlain => "danger_send_plain",
        }
    }
}
