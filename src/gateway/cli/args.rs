//! The command line: every flag is defined here once, and help comes from here. Does nothing itself.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// E-mail security and archiving gateway.
#[derive(Debug, Parser)]
#[command(name = "sealpost", version, max_term_width = 120, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit status: 0 ok; 1 the thing asked about is bad; 2 usage; 75 temporary failure, try again.")]
pub struct Arguments {
    /// Configuration file [default: ./sealpost.toml, then /etc/sealpost/sealpost.toml]
    #[arg(long, global = true, value_name = "FILE", env = "SEALPOST_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print JSON; lists are JSON Lines
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new gateway directory: configuration, policies, certificates, keys, an archive
    Init(Init),
    /// Run the gateway
    Serve,
    /// Read everything `serve` would read and report every fault
    Check,
    /// Show the whole path of a message in a temporary directory on loopback
    Demo {
        /// Leave it running and say how to connect
        #[arg(long)]
        keep: bool,
    },
    /// Policies
    #[command(subcommand)]
    Policy(Policy),
    /// Keys and certificates
    #[command(subcommand)]
    Key(Key),
    /// Accounts that may read the archive
    #[command(subcommand)]
    User(User),
    /// Mail that is not delivered yet
    #[command(subcommand)]
    Queue(Queue),
    /// The archive
    #[command(subcommand)]
    Archive(Archive),
}

/// `sealpost init`
#[derive(Args, Debug)]
pub struct Init {
    /// Directory to make; must not exist or be empty
    pub dir: PathBuf,
    /// Host name of the gateway, used in EHLO, Received and certificates
    #[arg(long, default_value = "localhost")]
    pub hostname: String,
    /// A domain whose mail this gateway handles (repeat for more)
    #[arg(long = "domain", value_name = "D")]
    pub domains: Vec<String>,
    /// Where accepted mail is relayed to
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2526")]
    pub next_hop: String,
    /// Name of the organization, in certificates and keys
    #[arg(long, default_value = "Sealpost")]
    pub organization: String,
    /// OpenPGP certificate of an officer who may open the archive; without one, a key is made in officer/
    #[arg(long = "officer-cert", value_name = "FILE")]
    pub officer_certs: Vec<PathBuf>,
}

/// `sealpost policy`
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Read policies and report every fault with file, line and caret
    Check {
        /// Policy files [default: those of the configuration]
        files: Vec<PathBuf>,
    },
}

/// `sealpost key`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Import keys and certificates: OpenPGP, PEM, DER, PKCS#12; what a file is, is detected
    Import {
        /// Files to import
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// File with the passphrase of the private keys
        #[arg(long, value_name = "F")]
        password_file: Option<PathBuf>,
        /// Trust the certificate as an authority that issues others
        #[arg(long)]
        trust_anchor: bool,
        /// Use for this address instead of those the certificate names
        #[arg(long, value_name = "A")]
        address: Option<String>,
    },
    /// List keys and certificates
    List,
    /// Show one in full
    Show {
        /// Its id, as `key list` shows it
        id: String,
    },
    /// Write the public part of one to standard output
    Export {
        /// Its id
        id: String,
    },
    /// Remove one
    Remove {
        /// Its id
        id: String,
    },
}

/// Roles of accounts.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Role {
    /// Reads mail from and to own addresses
    User,
    /// Reads all mail
    Officer,
    /// Reads the audit trail, no mail
    Auditor,
    /// Operates the gateway, reads no mail
    Admin,
}

/// `sealpost user`
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add an account
    Add {
        /// Login name
        name: String,
        /// What it may do
        #[arg(long)]
        role: Role,
        /// An address whose mail it may read (repeat for more)
        #[arg(long = "address", value_name = "A")]
        addresses: Vec<String>,
        /// Read the password from the first line of standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List accounts
    List,
    /// Change a password
    Passwd {
        /// Login name
        name: String,
        /// Read the password from the first line of standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Remove an account
    Remove {
        /// Login name
        name: String,
    },
}

/// `sealpost queue`
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List mail with recipients that are not final
    List,
    /// Try deferred mail now
    Retry {
        /// Everything that waits
        #[arg(long, required_unless_present = "ids")]
        all: bool,
        /// Only these
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
}

/// Formats of an export.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExportFormat {
    /// One <id>.eml for each message, octets exactly as received
    Eml,
    /// One mboxrd file, lines ending in LF
    Mbox,
}

/// `sealpost archive`
#[derive(Debug, Subcommand)]
pub enum Archive {
    /// Sizes, counts, what is not sealed yet, and what protects it
    Status,
    /// Seal everything accepted so far; returns when it is sealed and visible
    Seal,
    /// List sealed messages
    List {
        /// Only messages that match: from: to: subject: after: before: id: msgid: class: direction:
        query: Vec<String>,
    },
    /// Show one message
    Show {
        /// Id, Message-ID, or MAILBOX/UID
        message: String,
        /// Why it was treated as it was, per recipient
        #[arg(long)]
        why: bool,
    },
    /// Write messages out
    Export {
        /// Only messages that match; everything when empty
        query: Vec<String>,
        /// Format
        #[arg(long, value_enum, default_value = "eml")]
        format: ExportFormat,
        /// Directory (eml) or file (mbox)
        #[arg(long, value_name = "PATH")]
        output: PathBuf,
    },
    /// Check the archive; exit 1 on any finding
    Verify {
        /// 0: without keys; 2: open every message
        #[arg(long, default_value_t = 0, value_parser = PossibleValuesParser::new(["0", "2"]).map(|v| if v == "2" { 2u8 } else { 0u8 }))]
        level: u8,
        /// Also compare with a checkpoint kept elsewhere
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
}
