//! Officers' keys and shares become shares here, in the command's own process: a running gateway is never given a private key.

use super::officer_args::Openers;
use super::{Failure, gpg};
use crate::archive::{ArchiveSecrets, Encrypted, Gathering, Generation, OfficerKey, Purpose, Share};
use crate::gateway::config::View;
use crate::gateway::secret_file;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The officers who are here, and what they decrypt.
pub fn shares(
    by: &Openers,
    view: Option<&View>,
    generation: &Generation,
    purpose: Purpose,
) -> Result<Vec<Share>, Failure> {
    let by = &configured(by, view)?;
    let mut shares = given(&by.shares)?;
    let mut keys = by.keys.iter().enumerate().map(|(at, path)| key(path, by, at)).collect::<Result<Vec<_>, _>>()?;
    let mut present = Vec::new();
    for key in &keys {
        let fingerprint = key.fingerprint();
        let number = generation.officer(&fingerprint).ok_or_else(|| {
            Failure::bad(format!("{fingerprint} is no officer of generation {}", generation.number))
                .with_help("`sealpost archive officer list` shows who is")
        })?;
        present.push(number);
    }
    let with_gpg = if by.gpg { known_to_gpg(generation)? } else { Vec::new() };
    present.extend(with_gpg.iter().filter(|officer| !present.contains(officer)).copied().collect::<Vec<_>>());
    for piece in generation.pieces_for(&present, purpose) {
        shares.push(decrypted(&piece, generation, &mut keys)?);
    }
    Ok(shares)
}

/// The archive key's secrets, opened by those who are here.
pub fn secrets(by: &Openers, view: Option<&View>, generation: &Arc<Generation>) -> Result<ArchiveSecrets, Failure> {
    let mut gathering = Gathering::new(generation.clone());
    gathering.add(&shares(by, view, generation, Purpose::Open)?).map_err(Failure::bad)?;
    gathering
        .secrets_now()
        .map_err(|e| Failure::bad(e).with_help("repeat --key, --share and --passphrase-file for each officer it takes"))
}

/// What is given, or else the officer whom the configuration names.
fn configured(by: &Openers, view: Option<&View>) -> Result<Openers, Failure> {
    if by.is_given() {
        return Ok(by.clone());
    }
    let key = view.and_then(|view| view.officer_key.clone());
    let key = key.ok_or_else(|| {
        Failure::bad("no officer is here").with_help(
            "--key FILE names an officer's private key, --share FILE what was decrypted elsewhere, --gpg asks gpg",
        )
    })?;
    let passphrase = view.and_then(|view| view.passphrase_file.clone());
    let passphrase_files =
        if by.passphrase_files.is_empty() { passphrase.into_iter().collect() } else { by.passphrase_files.clone() };
    Ok(Openers { keys: vec![key], passphrase_files, ..Openers::default() })
}

fn given(files: &[PathBuf]) -> Result<Vec<Share>, Failure> {
    let mut shares = Vec::new();
    for file in files {
        let text = secret_file::read(file).map_err(Failure::bad)?;
        let read = Share::parse_all(text.expose()).map_err(|what| {
            Failure::bad(format!("{}: {what}", file.display()))
                .with_help("a share is the whole text that `gpg --decrypt` prints for a piece")
        })?;
        shares.extend(read);
    }
    Ok(shares)
}

fn key(path: &Path, by: &Openers, at: usize) -> Result<OfficerKey, Failure> {
    let named = |e: crate::archive::Error| Failure::bad(format!("{}: {e}", path.display()));
    let octets = secret_file::read(path).map_err(Failure::bad)?;
    let passphrase =
        secret_file::passphrase(by.passphrase_files.get(at).map(PathBuf::as_path)).map_err(Failure::bad)?;
    let key = OfficerKey::parse(octets.expose(), &passphrase).map_err(named)?;
    if !key.is_protected() || at < by.passphrase_files.len() {
        return Ok(key);
    }
    let what = format!("passphrase of {}", path.display());
    let asked = secret_file::ask(&what).map_err(|e| Failure::bad(format!("terminal: {e}")))?;
    let asked = asked.ok_or_else(|| {
        Failure::bad(format!("{} is protected by a passphrase and there is no terminal to ask for it", path.display()))
            .with_help("--passphrase-file F names a file whose first line it is; one for each key, in their order")
    })?;
    OfficerKey::parse(octets.expose(), &asked).map_err(named)
}

fn known_to_gpg(generation: &Generation) -> Result<Vec<u8>, Failure> {
    let mut known = Vec::new();
    for (number, officer) in (0u8..).zip(&generation.officers) {
        if gpg::has_key(&officer.fingerprint).map_err(|e| Failure::bad(format!("gpg: {e}")))? {
            known.push(number);
        }
    }
    if known.is_empty() {
        return Err(Failure::bad("gpg has the key of no officer")
            .with_help("`gpg --list-secret-keys` shows which it has; GNUPGHOME says where it looks"));
    }
    Ok(known)
}

fn decrypted(piece: &Encrypted<'_>, generation: &Generation, keys: &mut [OfficerKey]) -> Result<Share, Failure> {
    let number = u32::from(piece.officer) + 1;
    let named = |e: &dyn std::fmt::Display| Failure::bad(format!("the piece of officer {number}: {e}"));
    let fingerprint = generation.officers.get(usize::from(piece.officer)).map(|officer| officer.fingerprint.as_str());
    let text = match keys.iter_mut().find(|key| Some(key.fingerprint().as_str()) == fingerprint) {
        Some(key) => key.decrypt(piece.message).map_err(|e| named(&e))?,
        None => Some(gpg::decrypt(piece.message).map_err(|e| named(&e))?),
    };
    let text = text.ok_or_else(|| named(&"it is encrypted to another key"))?;
    let shares = Share::parse_all(text.expose()).map_err(|what| named(&what))?;
    shares.into_iter().next().ok_or_else(|| named(&"it is empty"))
}
