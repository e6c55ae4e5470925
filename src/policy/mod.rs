//! Policy: facts in, ruling out. Pure: no I/O, no clock, no keys.
//!
//! [`load`] reads policy files into a [`Policy`] or says every fault with its place; [`Policy::judge`] gives each recipient its
//! own ruling and the reasons for it. A message is judged by one `Policy` value, so a reload never mixes two versions.

mod class;
mod facts;
mod fault;
mod glob;
mod judge;
mod load;
mod pattern;
mod read;
mod rule;
pub mod ruling;
mod words;

pub use class::{Class, Keep, SPAN_DAYS_MAX, SPAN_MONTHS_MAX, Span};
pub use facts::{Already, Facts, KeyFact, Permission, RecipientFacts, SigningFacts};
pub use fault::{Colour, Document, Fault};
pub use glob::{Folded, GLOB_CHARS_MAX, Glob};
pub use judge::Decision;
pub use load::{CLASSES_MAX, POLICY_BYTES_MAX, Policy, RULES_MAX, Source, load};
pub use rule::{NoKey, Rule};
pub use ruling::{Disposition, Format, Need, RecipientRuling, Ruling, Treatment, Why};
