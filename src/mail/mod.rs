//! Mail: messages and addresses as octets, and where their parts lie. Reads, never rewrites; every reader is total and
//! bounded.

pub mod address;
pub mod envelope;
pub mod header;
pub mod id;
pub mod structure;
pub mod summary;

pub use address::Address;
pub use envelope::{BodyType, Client, Direction, Envelope, Recipient, Tls};
pub use id::MailId;
