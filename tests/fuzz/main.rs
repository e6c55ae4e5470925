//! Fuzz targets: every parser of outside octets as a plain `fn(&[u8])`, driven by a seeded mutating loop.
//!
//! In the ordinary tests each target runs for a fixed number of rounds. For a long run:
//! `SEALPOST_FUZZ_SECONDS=3600 SEALPOST_FUZZ_SEED=7 cargo test --release --test fuzz NAME -- --nocapture`.
//! A crash prints the seed and the input in hexadecimal; the input then becomes a named test.

mod access;
mod acts;
mod archive;
mod catalog;
mod driver;
mod evidence;
mod imap;
mod journal;
mod keyring;
mod mail;
mod policy;
mod pop3;
mod protect;
mod smtp;
mod transfer;
#[path = "../view/mod.rs"]
mod view;
