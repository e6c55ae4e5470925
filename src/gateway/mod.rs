//! The gateway: the path of a message, delivery, listeners, configuration and the command line. All branches are here, all
//! work in the floors below.
//!
//! ```text
//! serve      opens everything, signals            post       what all parts share; room bounds its memory
//! door       listeners: connections, SMTP sessions and logins, IMAP and POP3 readers; wire and tls below
//! flow       the path of a message: permission, gather, plan, render, received, replies
//! delivery   queue, next hops, notifications      sealing, reading, drills   archive, its readers and officers
//! anchoring  checkpoints leave the machine        scrubbing  the archive is read once a day
//! import     mail of files into the archive       export, restore    and out again; marks know what is done
//! control    commands to a running server         queue, cli, init, check, demo; rows is what they show
//! ```

pub mod acts;
pub mod anchoring;
pub mod check;
pub mod cli;
pub mod config;
pub mod control;
pub mod delivery;
pub mod demo;
mod door;
pub mod drills;
mod ending;
pub mod error;
mod evidence;
mod export;
mod fence;
mod files;
pub mod flow;
mod host_key;
pub mod import;
pub mod init;
mod ledger;
mod marks;
pub mod observe;
mod offline;
pub mod post;
mod queue;
mod read_audit;
mod reading;
pub mod restore;
mod room;
mod rows;
mod scrubbing;
mod sealing;
mod secret_file;
pub mod serve;
pub mod tls;
mod wire;
