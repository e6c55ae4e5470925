//! Arguments of the commands for officers. Does nothing itself.

use super::args::age_s;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// How officers open.
pub const SHARES: &str = "\
An officer opens with a private key (--key), with gpg, which may have it on a token (--gpg), or with shares decrypted elsewhere: \
`sealpost archive officer piece` writes what `gpg --decrypt` then opens. Without any, the key that [view] officer_key names is \
used. FILE may be credential:NAME for a systemd credential. A passphrase that is in no file is asked for on a terminal.";

/// Times a view may stay unlocked.
const TTL_MAX_S: u64 = 30 * 24 * 3600;

/// Who opens, and with what.
#[derive(Args, Clone, Debug, Default)]
pub struct Openers {
    /// Shares as `gpg --decrypt` prints them; - reads standard input (repeat for more)
    #[arg(long = "share", value_name = "FILE")]
    pub shares: Vec<PathBuf>,
    /// An officer's OpenPGP private key (repeat for more)
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// File whose first line is the passphrase of the key; repeated, of the keys in their order
    #[arg(long = "passphrase-file", value_name = "F")]
    pub passphrase_files: Vec<PathBuf>,
    /// Let gpg decrypt the pieces of the officers whose keys it has
    #[arg(long)]
    pub gpg: bool,
}

impl Openers {
    /// Whether anybody is named.
    pub fn is_given(&self) -> bool {
        !self.shares.is_empty() || !self.keys.is_empty() || self.gpg
    }
}

/// Where a new generation is made and where it goes.
#[derive(Args, Clone, Debug)]
pub struct Making {
    /// Officers it takes to open [default: as many as now]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub threshold: Option<u8>,
    /// The newest generation's file, on a machine without the archive
    #[arg(long, value_name = "FILE", requires = "output")]
    pub from: Option<PathBuf>,
    /// Write the new generation to this file for `archive officer install`, instead of taking it into use
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `sealpost archive officer`
#[derive(Debug, Subcommand)]
pub enum Officer {
    /// List the officers: certificates, how strong they are, when they last proved that they can open
    List {
        /// A generation's file, on a machine without the archive
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Write the encrypted pieces that an officer decrypts to open: `gpg --decrypt`
    Piece {
        /// Fingerprint or number, as `list` shows them
        #[arg(long, value_name = "FPR")]
        officer: String,
        /// Only the piece for opening together with these officers
        #[arg(long, value_name = "FPR,...", value_delimiter = ',')]
        with: Vec<String>,
        /// Directory for the pieces [default: standard output, where it is only one]
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// The newest generation's file, on a machine without the archive
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Make a new generation of the archive key that these can open, too
    #[command(after_help = SHARES)]
    Add {
        /// OpenPGP certificates of the new officers
        #[arg(required = true, value_name = "FILE")]
        certificates: Vec<PathBuf>,
        /// How it is made
        #[command(flatten)]
        making: Making,
        /// Who opens the present one
        #[command(flatten)]
        by: Openers,
    },
    /// Make a new generation that these cannot open; says what stays open to them
    #[command(after_help = SHARES)]
    Remove {
        /// Fingerprint or number, as `list` shows them
        #[arg(required = true, value_name = "FPR")]
        officers: Vec<String>,
        /// How it is made
        #[command(flatten)]
        making: Making,
        /// Who opens the present one
        #[command(flatten)]
        by: Openers,
    },
    /// Make a new generation for the same officers
    #[command(after_help = SHARES)]
    Rekey {
        /// A newer copy of an officer's certificate (repeat for more)
        #[arg(long = "cert", value_name = "FILE")]
        certificates: Vec<PathBuf>,
        /// How it is made
        #[command(flatten)]
        making: Making,
        /// Who opens the present one
        #[command(flatten)]
        by: Openers,
    },
    /// Take a generation into use that was made on another machine
    Install {
        /// Its file
        file: PathBuf,
    },
}

/// A time with its unit, in seconds.
pub fn ttl_s(text: &str) -> Result<u64, String> {
    let ttl = age_s(text).map_err(|_| "a time is a number and s, m, h or d: 8h".to_owned())?;
    match ttl {
        1..=TTL_MAX_S => Ok(ttl),
        _ => Err("from one second to thirty days".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::cli::args::Arguments;
    use clap::Parser;

    #[test]
    fn times_are_bounded() {
        for (text, expected) in
            [("1", Some(1)), ("8h", Some(28_800)), ("30d", Some(2_592_000)), ("0", None), ("31d", None), ("1w", None)]
        {
            assert_eq!(ttl_s(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_generation_that_is_made_elsewhere_goes_to_a_file() {
        for (line, is_taken) in [
            ("sealpost archive officer add a.pgp --threshold 2 --key k --passphrase-file p", true),
            ("sealpost archive officer add --threshold 2", false),
            ("sealpost archive officer add a.pgp --threshold 8", false),
            ("sealpost archive officer rekey --from g", false),
            ("sealpost archive officer rekey --from g --output h --gpg", true),
            ("sealpost archive officer remove", false),
            ("sealpost unlock --share - --ttl 1h", true),
        ] {
            assert_eq!(Arguments::try_parse_from(line.split(' ')).is_ok(), is_taken, "{line}");
        }
    }
}
