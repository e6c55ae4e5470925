//! `sealpost key`: keys and certificates. A running server is told to read them again.

use super::args::Key;
use super::{Failure, Out, ask};
use crate::clock::{Clock, SystemClock};
use crate::crypto::{Secret, SecretBytes};
use crate::durable::RealDisk;
use crate::gateway::control::Request;
use crate::gateway::error::Error;
use crate::gateway::post::Places;
use crate::gateway::{files, host_key};
use crate::keyring::{self, Change, Entry, Holds, Imported, Input, Keyring, Options, Owner, Trust};
use crate::mail::Address;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The order in which `key show` tells people.
const SHOWN: [&str; 9] =
    ["id", "format", "holds", "subject", "issuer", "addresses", "trust", "not_before", "not_after"];

/// Runs one of the commands.
pub fn run(command: Key, config: &Path, out: &Out) -> Result<(), Failure> {
    let places = Places::of(&files::configuration(config)?);
    let host_key = host_key::read(&RealDisk, &places.host_key)?;
    let ring = || Keyring::load(&RealDisk, &places.root, &host_key);
    let now = SystemClock.now();
    match command {
        Key::Import { files, password_file, trust_anchor, address } => {
            let wishes = wishes(password_file.as_deref(), trust_anchor, address)?;
            import(&files, &wishes, &places, &host_key, out)?;
            tell_server(&places)
        }
        Key::List => {
            let rows: Vec<Value> = ring()?.list(now).iter().map(row).collect();
            out.table(&["id", "format", "holds", "addresses", "not_after", "trust", "encrypts", "signs"], &rows)
        }
        Key::Show { id } => out.record(&SHOWN, &row(&ring()?.show(&id, now)?)),
        Key::Export { id } => out.raw(&ring()?.export(&id)?),
        Key::Remove { id } => {
            let removed = keyring::remove(&RealDisk, &places.root, &host_key, &id)?;
            out.record(&[], &json!({"removed": removed}))?;
            tell_server(&places)
        }
    }
}

fn wishes(password_file: Option<&Path>, anchor: bool, address: Option<Address>) -> Result<Options, Failure> {
    let password = password_file.map(first_line).transpose()?;
    let owner = match address {
        None if anchor => Owner::Authority,
        None => Owner::Named,
        Some(address) => Owner::Given(vec![address]),
    };
    Ok(Options { password, owner })
}

fn first_line(path: &Path) -> Result<SecretBytes, Failure> {
    let octets = std::fs::read(path).map_err(|e| Error::io(path, &e))?;
    let line = octets.split(|&b| b == b'\n').next().unwrap_or_default();
    Ok(SecretBytes::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
}

fn import(
    files: &[PathBuf],
    wishes: &Options,
    places: &Places,
    host_key: &Secret<32>,
    out: &Out,
) -> Result<(), Failure> {
    let mut read = Vec::new();
    for path in files {
        let octets = std::fs::read(path).map_err(|e| Error::io(path, &e))?;
        read.push((path.display().to_string(), SecretBytes::new(octets)));
    }
    let inputs: Vec<Input<'_>> = read.iter().map(|(name, octets)| Input { name, octets: octets.expose() }).collect();
    let imported = keyring::import(&RealDisk, &places.root, host_key, &inputs, wishes)?;
    for item in &imported {
        for name in &item.refused_names {
            eprintln!("warning: {}: `{name}` is not an address and does not count", item.id);
        }
    }
    let rows: Vec<Value> = imported.iter().map(imported_row).collect();
    out.table(&["id", "format", "holds", "addresses", "trust", "change"], &rows)
}

fn words(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn imported_row(item: &Imported) -> Value {
    json!({
        "id": item.id, "format": item.format.to_string(), "holds": holds_word(item.holds),
        "addresses": words(&item.addresses), "trust": trust_word(item.trust), "change": change_word(item.change),
    })
}

fn row(entry: &Entry) -> Value {
    let usable = |answer: &Result<(), keyring::Reason>| match answer {
        Ok(()) => "yes".to_owned(),
        Err(reason) => reason.to_string(),
    };
    json!({
        "id": entry.id, "format": entry.format.to_string(), "holds": holds_word(entry.holds),
        "addresses": words(&entry.addresses), "trust": trust_word(entry.trust), "subject": entry.subject,
        "issuer": entry.issuer, "algorithm": entry.algorithm, "not_before": entry.not_before.rfc3339(),
        "not_after": entry.not_after.map(|t| t.rfc3339()), "fingerprint": entry.fingerprint,
        "encrypts": usable(&entry.encrypts), "signs": usable(&entry.signs),
    })
}

fn holds_word(holds: Holds) -> &'static str {
    match holds {
        Holds::Certificate => "certificate",
        Holds::PrivateKey => "private key",
    }
}

fn trust_word(trust: Trust) -> &'static str {
    match trust {
        Trust::Manual => "manual",
        Trust::Anchor => "anchor",
    }
}

fn change_word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Updated => "updated",
        Change::Unchanged => "unchanged",
    }
}

/// A server that runs takes the change at once.
fn tell_server(places: &Places) -> Result<(), Failure> {
    match ask(places, &Request::Reload) {
        Ok(_) => Ok(()),
        Err(refused) => Err(Failure::bad(format!("stored, but not taken by the running server: {}", refused.text))
            .with_help("`sealpost check` shows what is wrong; when it is content, send the server SIGHUP")),
    }
}
