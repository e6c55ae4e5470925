//! The command line: every flag is defined here once, and help comes from here. Does nothing itself.

use crate::access::AccountName;
use crate::gateway::config::{Domain, HostPort, Hostname};
use crate::mail::{Address, MailId};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EVERYWHERE: &str = "Options of every command";
const SIGNALS: &str = "\
SIGTERM ends when what is under way has ended, SIGINT at once. SIGHUP reads configuration, policies, keys and certificates \
again, and keeps all of the old when any of the new has a fault.\n\n\
SEALPOST_LOG=error|warn|info|debug sets what is logged on standard error, SEALPOST_LOG_FORMAT=json in which form.";
const QUERY: &str = "\
Query: from: to: (any recipient, Bcc too) subject: after: (day, inclusive) before: (exclusive) on: class: direction: id: msgid: \
hash: larger:. Days are YYYY-MM-DD in UTC. All must match; OR and parentheses as usual; quotes around blanks; -term for not, \
behind --.";

/// E-mail security and archiving gateway.
#[derive(Debug, Parser)]
#[command(name = "sealpost", version, max_term_width = 120, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit status: 0 ok; 1 the thing asked about is bad; 2 usage; 75 temporary failure, try again.")]
pub struct Arguments {
    /// Configuration file [default: ./sealpost.toml, then /etc/sealpost/sealpost.toml]
    #[arg(long, global = true, value_name = "FILE", env = "SEALPOST_CONFIG", hide_env_values = true, help_heading = EVERYWHERE)]
    pub config: Option<PathBuf>,
    /// Print JSON; lists are JSON Lines
    #[arg(long, global = true, help_heading = EVERYWHERE)]
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
    #[command(after_help = SIGNALS)]
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
    #[arg(long, value_name = "H", default_value = "localhost", value_parser = of_string::<Hostname>)]
    pub hostname: Hostname,
    /// A domain whose mail this gateway handles (repeat for more)
    #[arg(long = "domain", value_name = "D", value_parser = of_string::<Domain>)]
    pub domains: Vec<Domain>,
    /// Where accepted mail is relayed to
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2526", value_parser = HostPort::parse)]
    pub next_hop: HostPort,
    /// Name of the organization, in certificates and keys
    #[arg(long, value_name = "NAME", default_value = "Sealpost")]
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
        #[arg(long, conflicts_with = "address")]
        trust_anchor: bool,
        /// Use for this address instead of those the certificate names
        #[arg(long, value_name = "A", value_parser = address)]
        address: Option<Address>,
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
        #[arg(value_parser = account_name)]
        name: AccountName,
        /// What it may do
        #[arg(long)]
        role: Role,
        /// An address whose mail it may read (repeat for more)
        #[arg(long = "address", value_name = "A", value_parser = address)]
        addresses: Vec<Address>,
        /// Let it log in by SCRAM-SHA-256 too, which never sends the password
        #[arg(long)]
        scram: bool,
        /// Read the password from the first line of standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List accounts
    List,
    /// Change a password
    Passwd {
        /// Login name
        #[arg(value_parser = account_name)]
        name: AccountName,
        /// Read the password from the first line of standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Remove an account
    Remove {
        /// Login name
        #[arg(value_parser = account_name)]
        name: AccountName,
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
        #[arg(long, required_unless_present = "ids", conflicts_with = "ids")]
        all: bool,
        /// Only these
        #[arg(value_name = "ID", value_parser = mail_id)]
        ids: Vec<MailId>,
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
    #[command(after_help = QUERY)]
    List {
        /// Only messages that match; everything when empty
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
    /// Write messages out, as they were received; nothing is ever overwritten
    #[command(after_help = QUERY)]
    Export {
        /// Only messages that match; everything when empty
        query: Vec<String>,
        /// Format
        #[arg(long, value_enum, default_value = "eml")]
        format: ExportFormat,
        /// Directory (eml) or new file (mbox)
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

/// A value of the configuration given as an argument.
fn of_string<T: TryFrom<String, Error = String>>(text: &str) -> Result<T, String> {
    T::try_from(text.to_owned())
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|e| e.to_string())
}

fn account_name(text: &str) -> Result<AccountName, String> {
    AccountName::parse(text)
        .ok_or_else(|| "a login name has 1 to 128 visible ASCII characters and no blanks".to_owned())
}

fn mail_id(text: &str) -> Result<MailId, String> {
    MailId::parse(text).ok_or_else(|| "an id has 32 hex digits".to_owned())
}
