//! `sealpost user`: accounts that may read the archive. A running server sees every change at its next login.

use super::args::{Role as RoleWord, User};
use super::{Failure, Out};
use crate::access::{Account, AccountName, Accounts, Error, Password, Role};
use crate::clock::SystemClock;
use crate::durable::RealDisk;
use crate::gateway::files;
use crate::gateway::post::Places;
use crate::mail::Address;
use serde_json::json;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

/// Octets read for a password line.
const LINE_BYTES_MAX: u64 = 4096;

/// Runs one of the commands.
pub fn run(command: User, config: &Path, out: &Out) -> Result<(), Failure> {
    let places = Places::of(&files::configuration(config)?);
    let accounts = Accounts::open(Arc::new(RealDisk), Arc::new(SystemClock), &places.accounts).map_err(failure)?;
    match command {
        User::Add { name, role, addresses, password_stdin: _ } => {
            let addresses = addresses
                .iter()
                .map(|text| Address::parse(text).map_err(|e| Failure::bad(format!("`{text}`: {e}"))))
                .collect::<Result<_, _>>()?;
            let account = Account { name: parse_name(&name)?, role: role_of(role), addresses };
            accounts.add(account, &password()?).map_err(failure)
        }
        User::Passwd { name, password_stdin: _ } => {
            accounts.change_password(&parse_name(&name)?, &password()?).map_err(failure)
        }
        User::Remove { name } => accounts.remove(&parse_name(&name)?).map_err(failure),
        User::List => {
            let row = |account: &Account| {
                let addresses: Vec<String> = account.addresses.iter().map(ToString::to_string).collect();
                json!({"name": account.name.as_str(), "role": account.role.word(), "addresses": addresses})
            };
            let rows: Vec<_> = accounts.list().map_err(failure)?.iter().map(row).collect();
            out.table(&["name", "role", "addresses"], &rows);
            Ok(())
        }
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Busy => Failure::temporary(error),
        other => Failure::bad(other),
    }
}

fn parse_name(text: &str) -> Result<AccountName, Failure> {
    AccountName::parse(text).ok_or_else(|| {
        Failure::bad(format!("`{text}` cannot be a login name"))
            .with_help("up to 64 visible characters, no `/`, `:` or blanks")
    })
}

fn role_of(word: RoleWord) -> Role {
    match word {
        RoleWord::User => Role::User,
        RoleWord::Officer => Role::Officer,
        RoleWord::Auditor => Role::Auditor,
        RoleWord::Admin => Role::Admin,
    }
}

/// The first line of standard input, without its line end.
fn password() -> Result<Password, Failure> {
    let mut line = Vec::new();
    let mut input = std::io::stdin().lock().take(LINE_BYTES_MAX);
    input.read_until(b'\n', &mut line).map_err(|e| Failure::bad(format!("standard input: {e}")))?;
    while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        line.pop();
    }
    let password = Password::parse(&line);
    zeroize::Zeroize::zeroize(&mut line);
    password.ok_or_else(|| Failure::bad("this cannot be a password: empty, too long, or with control characters"))
}
