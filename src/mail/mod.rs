//! Mail: messages and addresses as octets, and where their parts lie. Reads, never rewrites; every reader is total and
//! bounded.

pub mod address;
mod address_list;
mod author;
pub mod date;
pub mod derived;
mod encoded_word;
mod entity;
pub mod envelope;
pub mod header;
pub mod id;
pub mod journal_report;
mod lexer;
pub mod line_ends;
mod lines;
pub mod mbox;
mod parameter;
pub mod retention;
mod scan;
pub mod structure;
mod structure_cbor;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod unread;

pub use address::Address;
pub use envelope::{BodyType, Client, Direction, Envelope, Recipient, RequireTls, Tls};
pub use id::MailId;
pub use journal_report::{RecipientKind, Reported, ReportedEnvelope, ReportedRecipient, Slice};
pub use retention::Retention;
