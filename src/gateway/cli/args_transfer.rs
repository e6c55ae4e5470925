//! The command line of imports, restores and the read audit.

use super::args::{address, age_s};
use crate::gateway::restore::target::Target;
use crate::mail::Address;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What an import does with files.
pub const IMPORT: &str = "\
What a file is, is seen from its content. Directories are read with all below them; in them single messages are taken from files \
ending in .eml and from Maildirs. The source is never written to. Run again, it goes on where it stopped and takes nothing twice.\n\n\
The date of a message is that of its topmost Received field, else of the mbox From_ line, else of its Date; its mailbox is that month's.";

/// Where a restore goes to.
pub const RESTORE: &str = "\
Targets:\n  maildir:PATH    mbox:PATH\n  \
smtp://[USER@]HOST[:PORT][?tls=verified|required|opportunistic|none]    to the original recipients, or to --rcpt\n  \
imap://USER@HOST[:PORT]/MAILBOX (STARTTLS)    imaps://USER@HOST[:PORT]/MAILBOX    appended under their own dates, and read\n\n\
Run again, it leaves out what is there. A message that was being handed over when a run ended is sent again and named: it may be \
there twice. An mbox must be a new file.";

/// `sealpost audit`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show the records: logins, what was read, searches without their terms; needs no key
    Show {
        /// Only what happened within this time: 90s, 30m, 4h, 2d
        #[arg(long, value_name = "AGE", value_parser = age_s)]
        since: Option<u64>,
        /// Only this account
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        /// Open search terms with the officer's key of the configuration, which is recorded
        #[arg(long, conflicts_with = "dir")]
        open: bool,
        /// Directory with the files [default: audit/ below data_dir]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Check the records, and compare them with the heads in the evidence log; exit 1 on any finding
    Verify {
        /// Directory with the files [default: audit/ below data_dir]; alone, without a configuration, only the chain is checked
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// `archive import`
#[derive(Debug, Args)]
pub struct ImportOptions {
    /// Files and directories
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Read and count, and take nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Messages a second, at most
    #[arg(long, value_name = "N", value_parser = per_second)]
    pub rate: Option<u32>,
}

/// `archive restore`
#[derive(Debug, Args)]
pub struct RestoreOptions {
    /// Only messages that match; everything when empty
    pub query: Vec<String>,
    /// Where to: maildir:PATH, mbox:PATH, smtp://..., imap://... or imaps://...
    #[arg(long, value_name = "TARGET", value_parser = Target::parse)]
    pub to: Target,
    /// SMTP: to this address, in place of the original recipients
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub rcpt: Vec<Address>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities to trust [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Messages a second, at most
    #[arg(long, value_name = "N", value_parser = per_second)]
    pub rate: Option<u32>,
}

/// `100` or `100/s`.
fn per_second(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| "messages a second: 100 or 100/s".to_owned())
}
