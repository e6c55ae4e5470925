//! POP3 (RFC 1939), read-only: a session core over bytes and a [`crate::catalog::View`]. Has no way to write.
//!
//! The driver feeds [`Session::step`] what it read, writes what came out, and does what the [`Event`] says. The maildrop
//! holds the newest [`MESSAGES_MAX`] messages of all mailboxes under `Archive/`, oldest first, as they were at login. DELE
//! hides a message until the session ends and deletes nothing.

mod command;
mod maildrop;
mod reply;
mod sending;
mod session;
mod transaction;

pub use command::COMMAND_BYTES_MAX;
pub use maildrop::MESSAGES_MAX;
pub use session::{Event, Login, OUTPUT_BYTES_FULL, Refusal, Session, Settings, Step, TlsState};
