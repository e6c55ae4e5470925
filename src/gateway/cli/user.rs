//! `sealpost user`: accounts that may read the archive. A running server sees every change at its next login.

use super::args::{Role as RoleWord, User};
use super::{Failure, Out, talk};
use crate::access::{Account, Accounts, Mechanisms, Password, Reads, Role};
use crate::clock::SystemClock;
use crate::durable::RealDisk;
use crate::gateway::files;
use crate::gateway::post::Places;
use serde_json::json;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

/// Octets read for a password line.
const LINE_BYTES_MAX: u64 = 4096;

const COLUMNS: [&str; 3] = ["name", "role", "addresses"];

/// Runs one of the commands.
pub fn run(command: User, config: &Path, out: &Out) -> Result<(), Failure> {
    let places = Places::of(&files::configuration(config)?);
    let accounts = Accounts::open(Arc::new(RealDisk), Arc::new(SystemClock), &places.accounts)?;
    let row = |account: &Account| {
        let addresses: Vec<String> = account.addresses.iter().map(ToString::to_string).collect();
        json!({"name": account.name.as_str(), "role": account.role.word(), "addresses": addresses})
    };
    match command {
        User::Add { name, role, addresses, scram, password_stdin: _ } => {
            let account = Account { name, role: role_of(role), addresses };
            let added = row(&account);
            if account.role.reads() == Reads::Own && account.addresses.is_empty() {
                let text = format!("{} has no address and will see no mail", account.name);
                talk("warning", &text, Some("a user reads mail from and to --address A; an officer reads all"));
            }
            let mechanisms = if scram { Mechanisms::PasswordAndScram } else { Mechanisms::Password };
            accounts.add(account, &password()?, mechanisms)?;
            out.table(&COLUMNS, &[added])
        }
        User::Passwd { name, password_stdin: _ } => {
            accounts.change_password(&name, &password()?)?;
            out.record(&[], &json!({"changed": name.as_str()}))
        }
        User::Remove { name } => {
            accounts.remove(&name)?;
            out.record(&[], &json!({"removed": name.as_str()}))
        }
        User::List => {
            let rows: Vec<_> = accounts.list()?.iter().map(row).collect();
            out.table(&COLUMNS, &rows)
        }
    }
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
    password.ok_or_else(|| {
        Failure::bad("standard input: its first line cannot be a password: empty, too long, or with control characters")
            .with_help("echo 'a long passphrase' | sealpost user ... --password-stdin")
    })
}
