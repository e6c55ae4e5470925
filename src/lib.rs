//! Sealpost: an e-mail security and archiving gateway.
//!
//! The modules stand on floors; a module imports only from floors below its own. `tests/tidy.rs` holds the table.
//!
//! ```text
//! floor 5  gateway                        flow, delivery, serve, config, command line
//! floor 4  smtp imap pop3                 wire protocols, sans-I/O
//! floor 3  catalog access                 derived index; accounts
//! floor 2  protect archive                signing and encryption; segments, keys, evidence log
//! floor 1  policy keyring journal         rulings; keys; the durable queue
//! floor 0  mail crypto durable clock      octets; primitives' framing; disk; time
//! ```
#![forbid(unsafe_code)]

pub mod access;
pub mod archive;
pub mod catalog;
pub mod clock;
pub mod crypto;
pub mod durable;
pub mod gateway;
pub mod imap;
pub mod journal;
pub mod keyring;
pub mod mail;
pub mod policy;
pub mod pop3;
pub mod protect;
pub mod smtp;
