//! What lists, searches and IMAP need of a message without opening it.

use minicbor::{Decode, Encode};

/// Header and structure facts of one message; stored in the archive unit's meta.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Summary {}
