//! The command line: every flag is defined here once, and help comes from here. Does nothing itself.

use super::args_acts::{Erase, Hold, month};
use super::args_transfer::{Audit, IMPORT, ImportOptions, RESTORE, RestoreOptions};
use super::officer_args as officers;
use crate::access::AccountName;
use crate::gateway::config::{Domain, HostPort, Hostname};
use crate::mail::{Address, MailId};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EVERYWHERE: &str = "Options of every command";
const SIGNALS: &str = "\
SIGTERM ends when what is under way has ended, SIGINT at once. SIGHUP reads configuration, policies, keys and certificates \
again, and keeps all of the old when any of the new has a fault.\n\n\
SEALPOST_LOG=error|warn|info|debug sets what is logged on standard error, SEALPOST_LOG_FORMAT=json in which form.";
const QUERY: &str = "\
Query: from: to: (any recipient, Bcc too) subject: after: (day, inclusive) before: (exclusive) on: class: hold: direction: id: msgid: \
hash: larger: has:attachment. Days are YYYY-MM-DD in UTC, of INTERNALDATE. All must match; OR and parentheses as usual; quotes around blanks; -term for not, \
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
    /// Unlock the view of a running gateway with officers' keys, or with shares that they decrypted elsewhere
    #[command(after_help = officers::SHARES)]
    Unlock {
        /// The officers
        #[command(flatten)]
        by: officers::Openers,
        /// Lock it again after this long: 90s, 30m, 8h, 1d
        #[arg(long, value_name = "TIME", default_value = "8h", value_parser = officers::ttl_s)]
        ttl: u64,
    },
    /// Lock the view of a running gateway at once
    Lock,
    /// Who read what in the archive
    #[command(subcommand)]
    Audit(Audit),
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

/// Which mail of the queue.
#[derive(Args, Clone, Debug)]
pub struct Select {
    /// Only these messages
    #[arg(value_name = "ID", value_parser = mail_id)]
    pub ids: Vec<MailId>,
    /// Only what is in this state
    #[arg(long)]
    pub state: Option<QueueState>,
    /// Only from this envelope sender: an address, *@domain, or <>
    #[arg(long, value_name = "A")]
    pub from: Option<String>,
    /// Only to this recipient: an address or *@domain
    #[arg(long, value_name = "A")]
    pub to: Option<String>,
    /// Only what was accepted this long ago or longer: 90s, 30m, 4h, 2d
    #[arg(long, value_name = "AGE", value_parser = age_s)]
    pub older_than: Option<u64>,
}

/// The same for commands that change something: nothing is meant by saying nothing.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true)
    .args(["ids", "state", "from", "to", "older_than", "all"]))]
pub struct Choose {
    /// Which
    #[command(flatten)]
    pub select: Select,
    /// Everything
    #[arg(long, conflicts_with_all = ["ids", "state", "from", "to", "older_than"])]
    pub all: bool,
}

/// States of mail in the queue.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum QueueState {
    /// Not tried yet
    Queued,
    /// To be tried again
    Deferred,
    /// Waits for a decision
    Parked,
}

/// `sealpost queue`
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List mail with recipients that are not final
    List(Select),
    /// Show one message: client, renditions, results, and why it was treated as it was
    Show {
        /// Its id
        #[arg(value_parser = mail_id)]
        id: MailId,
    },
    /// Try mail now that waits for its next attempt
    Retry(Choose),
    /// Keep mail from being tried until it is released
    Park {
        /// Which
        #[command(flatten)]
        choose: Choose,
        /// Why, for the list and the audit trail
        #[arg(long, default_value = "parked by the administrator")]
        reason: String,
    },
    /// Let parked mail go on
    Release(Choose),
    /// Take mail out of the queue; the archive keeps it
    Drop {
        /// Which
        #[command(flatten)]
        choose: Choose,
        /// Why, for the audit trail, and with --notify for the sender
        #[arg(long, default_value = "dropped by the administrator")]
        reason: String,
        /// Return it: tell the sender that it was not delivered
        #[arg(long)]
        notify: bool,
    },
}

/// Formats of an export.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExportFormat {
    /// One <id>.eml for each message, octets exact
    Eml,
    /// A Maildir, octets exactly as received; all of it read
    Maildir,
    /// One mboxrd file, lines ending in LF
    Mbox,
    /// One zip file with an <id>.eml for each message, not compressed
    Zip,
}

/// Which octets of a message.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExportForm {
    /// Exactly as they were received
    Received,
    /// As people read them: of a journal report, the message in it
    Readable,
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
        /// Who opens
        #[command(flatten)]
        by: officers::Openers,
    },
    /// Show one message
    Show {
        /// Id, Message-ID, or MAILBOX/UID
        message: String,
        /// Why it was treated as it was, per recipient
        #[arg(long)]
        why: bool,
        /// Who opens
        #[command(flatten)]
        by: officers::Openers,
    },
    /// Write messages out; nothing is ever overwritten
    #[command(after_help = QUERY)]
    Export {
        /// Only messages that match; everything when empty
        query: Vec<String>,
        /// Format
        #[arg(long, value_enum, default_value = "eml")]
        format: ExportFormat,
        /// Which octets
        #[arg(long, value_enum, default_value = "received")]
        form: ExportForm,
        /// Instead, for each message a directory that proves it to somebody without this program: octets, envelope, results,
        /// proofs, time stamp, and verify.py, which checks them offline
        #[arg(long, conflicts_with_all = ["format", "form"])]
        evidence: bool,
        /// Directory (eml, maildir, evidence) or new file (mbox, zip); OUTPUT.manifest.jsonl says what is in it
        #[arg(long, value_name = "PATH")]
        output: PathBuf,
        /// Who opens
        #[command(flatten)]
        by: officers::Openers,
    },
    /// Put messages under a legal hold: nothing erases or expires them until it is released
    #[command(after_help = QUERY)]
    Hold(Hold),
    /// End a legal hold; others on the same messages go on
    Release {
        /// The hold
        name: String,
        /// Why, kept in the log and readable by whoever reads the archive's directory
        #[arg(long)]
        reason: String,
    },
    /// List legal holds
    Holds,
    /// Erase messages by an officer's signed order: prepare it, sign it, carry it out
    #[command(after_help = QUERY)]
    Erase(Erase),
    /// Expire what its class keeps no longer
    Expire {
        /// Only this class
        #[arg(long, value_name = "C")]
        class: Option<String>,
        /// Only buckets before this month: YYYY-MM
        #[arg(long, value_name = "MONTH", value_parser = month)]
        before: Option<u32>,
        /// Only say what would go
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        /// Refuse when more messages than this are due
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        limit: u64,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// List erasures and expiries and whether their receipts are written, or show one receipt
    Receipts {
        /// The act, as the list shows it
        act: Option<u64>,
    },
    /// Take mail of files into the archive: .eml, Maildir, mbox, zip, gzip of these. It is never delivered
    #[command(after_help = IMPORT)]
    Import(ImportOptions),
    /// Put messages back into a mail system, octets exactly as received
    #[command(after_help = RESTORE)]
    Restore(RestoreOptions),
    /// Check the archive; exit 1 on any finding
    Verify {
        /// 0: everything, without keys; 1: also open a random sample of messages; 2: open every message
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
        level: u8,
        /// Also compare with a checkpoint kept elsewhere
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// Who opens, at level 2
        #[command(flatten)]
        by: officers::Openers,
    },
    /// Print the newest checkpoint, and send it wherever [archive] checkpoint_to says
    Checkpoint,
    /// Who can open the archive
    #[command(subcommand)]
    Officer(officers::Officer),
    /// Let officers prove that they can still open the archive; nothing is opened
    #[command(after_help = officers::SHARES)]
    Drill(officers::Openers),
}

/// A value of the configuration given as an argument.
fn of_string<T: TryFrom<String, Error = String>>(text: &str) -> Result<T, String> {
    T::try_from(text.to_owned())
}

pub(super) fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|e| e.to_string())
}

fn account_name(text: &str) -> Result<AccountName, String> {
    AccountName::parse(text)
        .ok_or_else(|| "a login name has 1 to 128 visible ASCII characters and no blanks".to_owned())
}

fn mail_id(text: &str) -> Result<MailId, String> {
    MailId::parse(text).ok_or_else(|| "an id has 32 hex digits".to_owned())
}

/// An age with its unit, in seconds.
pub fn age_s(text: &str) -> Result<u64, String> {
    let (number, unit_s) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 1),
    };
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_s));
    number.ok_or_else(|| "an age is a number and s, m, h or d: 30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units() {
        for (text, expected) in [("90", Some(90)), ("90s", Some(90)), ("30m", Some(1800)), ("2d", Some(172_800))] {
            assert_eq!(age_s(text).ok(), expected, "{text}");
        }
        for text in ["", "d", "-1h", "1w", "99999999999999999999d", "184467440737095517d", "1\u{fc}"] {
            assert!(age_s(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_change_needs_to_be_told_to_what() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        for (line, is_taken) in [
            ("sealpost queue list", true),
            ("sealpost queue retry", false),
            ("sealpost queue drop --reason x", false),
            ("sealpost queue drop --all", true),
            ("sealpost queue drop --all --from a@x.example", false),
            ("sealpost archive erase from:a --reason r", false),
            ("sealpost archive erase from:a --reason r --prepare f", true),
            ("sealpost archive erase from:a --prepare f", false),
            ("sealpost archive erase from:a --order f", false),
            ("sealpost archive erase --order f --signature s --signature t --dry-run", true),
            ("sealpost archive hold case", false),
            ("sealpost archive hold case from:a --reason r --standing", true),
            ("sealpost archive expire --dry-run --yes", false),
            ("sealpost queue park --from a@x.example --to *@y.example --older-than 1h", true),
        ] {
            assert_eq!(Arguments::try_parse_from(line.split(' ')).is_ok(), is_taken, "{line}");
        }
    }
}
