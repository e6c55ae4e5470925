//! The gateway: the path of a message, delivery, listeners, configuration and the command line. All branches are here, all
//! work in the floors below.
//!
//! ```text
//! serve      opens everything, signals            post       what all parts share
//! door       listeners: listen, rates, session and login (SMTP), reader (IMAP, POP3), wire (sockets, TLS)
//! flow       the path of a message: permission, gather, plan, render, received, replies; room bounds its memory
//! delivery   queue, next hops, bounces (dsn)      sealing, reading   archive and its readers
//! control    commands to a running server         cli, init, check, demo
//! ```

mod archive_rows;
pub mod check;
pub mod cli;
pub mod config;
mod config_check;
pub mod config_template;
pub mod control;
mod control_desk;
pub mod delivery;
pub mod demo;
mod door;
pub mod dsn;
mod ending;
pub mod error;
mod export;
mod files;
pub mod flow;
mod gather;
mod host_key;
pub mod init;
mod listen;
mod login;
mod logins;
pub mod observe;
mod offline;
mod permission;
mod plan;
pub mod post;
mod queue_rows;
mod rates;
mod reader;
mod reading;
pub mod received;
mod render;
mod replies;
mod room;
mod sealing;
pub mod serve;
mod session;
pub mod tls;
mod wire;
