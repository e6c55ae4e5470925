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
mod lexer;
pub mod line_ends;
mod lines;
pub mod mbox;
mod parameter;
mod scan;
pub mod structure;
mod structure_cbor;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod unread;

pub use address::Address;
pub use envelope::{BodyType, Client, Direction, Envelope, Recipient, RequireTls, Tls};
pub use id::MailId;
