//! The catalog: a derived, encrypted index of sealed mail. Deleting it loses nothing. Readers get [`View`], which cannot write.

pub mod view;

pub use view::{Mailbox, Message, Unavailable, View};
