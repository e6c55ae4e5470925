//! The read audit: who read what, when (`docs/audit-format.md`). A record is durable before what it speaks of is shown; never
//! holds a word of a message, and search terms only sealed.
//!
//! [`AuditLog`] is the server's: one thread, one sync for all who wait. [`Writer`] is what it writes with, and a command when no
//! server runs. [`Trail`] reads.

mod file;
mod log;
mod record;
mod terms;
#[cfg(test)]
mod tests;
mod trail;
mod writer;

pub use file::{FILE_BYTES_MAX, Head, RECORD_BYTES_MAX};
pub use log::{AuditLog, Unrecorded};
pub use record::{Event, RANGES_MAX, Record, Uids};
pub use terms::{LABEL, TERMS_BYTES_MAX, Terms};
pub use trail::{Entry, Fault, FaultKind, Trail};
pub use writer::{Error, Writer};
