//! Policy: facts in, ruling out. Pure: no I/O, no clock, no keys.

pub mod ruling;

pub use ruling::{Disposition, Format, Need, RecipientRuling, Ruling, Treatment};
