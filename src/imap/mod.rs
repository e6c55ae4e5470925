//! IMAP4rev1 (RFC 3501), read-only: a session core over bytes and a [`crate::catalog::View`]. Has no way to write; [`client`] appends to
//! mailboxes of others.
//!
//! The driver feeds [`Session::step`] what it read, writes what came out, and does what the [`Event`] says. A command passes
//! `frame` (octets to one command, literals in place), `command` with `section` and `key` over `cursor` (the
//! grammar), and `execute`; FETCH, STORE and SEARCH become `work`, done in steps so that neither output nor time piles up.
//!
//! What clients need of a read-only archive: every mailbox opens `[READ-ONLY]`; every message is `\Seen` and nothing else;
//! STORE, EXPUNGE and SUBSCRIBE are answered OK without effect; COPY, MOVE, CREATE, DELETE, RENAME and APPEND `NO [NOPERM]`,
//! APPEND before its message is sent. RFC822.SIZE is what `BODY[]` sends, octet for octet but one: IMAP cannot carry NUL, which
//! is shown as octet 0x80.

mod bodystructure;
pub mod client;
mod command;
mod cursor;
mod envelope;
mod execute;
mod fetch;
mod frame;
mod header_key;
mod key;
mod list;
mod locate;
#[cfg(test)]
mod oracle;
mod reply;
mod sasl;
mod search;
mod section;
mod selected;
mod sequence;
mod session;
mod text;
mod work;

pub use frame::COMMAND_BYTES_MAX;
pub use session::{Event, Login, OUTPUT_BYTES_FULL, Refusal, Session, Settings, Step, TlsState};
