//! Arguments of the commands that act on sealed mail. Part of `args`.

use clap::Args;
use std::path::PathBuf;

/// `sealpost archive hold`
#[derive(Args, Debug)]
pub struct Hold {
    /// Name of the hold: a case, not a person; one that is there already is widened
    pub name: String,
    /// Messages that match
    pub query: Vec<String>,
    /// A message by id, Message-ID or MAILBOX/UID (repeat for more)
    #[arg(long = "id", value_name = "ID")]
    pub ids: Vec<String>,
    /// File with one id in each line
    #[arg(long, value_name = "F")]
    pub ids_file: Option<PathBuf>,
    /// A message by the index of its ACCEPT leaf, which needs no key (repeat for more)
    #[arg(long = "accept", value_name = "N")]
    pub accepts: Vec<u64>,
    /// Why, readable by whoever reads the archive's directory
    #[arg(long)]
    pub reason: String,
    /// Hold what will match, too, as it is sealed
    #[arg(long, conflicts_with_all = ["ids", "ids_file", "accepts"])]
    pub standing: bool,
}

/// `sealpost archive erase`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["prepare", "sign_with", "order"]))]
pub struct Erase {
    /// Messages that match; an empty query is refused
    #[arg(conflicts_with = "order")]
    pub query: Vec<String>,
    /// A message by id, Message-ID or MAILBOX/UID (repeat for more)
    #[arg(long = "id", value_name = "ID", conflicts_with = "order")]
    pub ids: Vec<String>,
    /// Why, in the order, which is kept for ever
    #[arg(long, required_unless_present = "order")]
    pub reason: Option<String>,
    /// Write the order to FILE, to be signed by an officer: gpg --clearsign, or gpg --armor --detach-sign
    #[arg(long, value_name = "FILE")]
    pub prepare: Option<PathBuf>,
    /// Sign the order here with this officer's private key and carry it out
    #[arg(long, value_name = "KEYFILE")]
    pub sign_with: Option<PathBuf>,
    /// File with the passphrase of that key
    #[arg(long, value_name = "F", requires = "sign_with")]
    pub passphrase_file: Option<PathBuf>,
    /// Carry out a signed order
    #[arg(long, value_name = "FILE")]
    pub order: Option<PathBuf>,
    /// A detached signature of the order (repeat for more officers)
    #[arg(long = "signature", value_name = "FILE", requires = "order")]
    pub signatures: Vec<PathBuf>,
    /// Only say what would go, or what forbids it
    #[arg(long, conflicts_with = "prepare")]
    pub dry_run: bool,
    /// Refuse an order of more messages than this
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
}

/// A month, counted as the archive does: year * 12 + month - 1.
pub fn month(text: &str) -> Result<u32, String> {
    let parsed = text.split_once('-').and_then(|(year, month)| {
        let fits = year.len() == 4 && month.len() == 2;
        let (year, month) = (year.parse::<u32>().ok()?, month.parse::<u32>().ok()?);
        (fits && (1..=12).contains(&month)).then(|| year * 12 + month - 1)
    });
    parsed.ok_or_else(|| "a month is YYYY-MM: 2026-11".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_counted() {
        for (text, expected) in [("2026-11", Some(2026 * 12 + 10)), ("1970-01", Some(1970 * 12))] {
            assert_eq!(month(text).ok(), expected, "{text}");
        }
        for text in ["2026-13", "2026-00", "2026-1", "26-11", "2026", "2026-11-01", ""] {
            assert!(month(text).is_err(), "{text}");
        }
    }
}
