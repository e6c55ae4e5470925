//! `sealpost archive officer piece`: what an officer has to decrypt, as OpenPGP messages for whatever program has the key.

use super::{Failure, Out};
use crate::archive::{Encrypted, Generation, armored};
use crate::gateway::error::Error;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes the pieces of an officer: all, or the one for opening with certain others.
pub fn write(
    generation: &Generation,
    officer: &str,
    with: &[String],
    output: Option<&Path>,
    out: &Out,
) -> Result<(), Failure> {
    let officer = number(generation, officer)?;
    let mut pieces = generation.pieces_for(&[officer], crate::archive::Purpose::Prove);
    if !with.is_empty() {
        let others = with.iter().map(|name| number(generation, name)).collect::<Result<BTreeSet<u8>, _>>()?;
        let together: Vec<u8> = others.into_iter().chain([officer]).collect::<BTreeSet<_>>().into_iter().collect();
        pieces.retain(|piece| piece.members == together);
    }
    match (pieces.as_slice(), output) {
        ([], _) => Err(Failure::bad(format!(
            "it takes {} officers: name {} others",
            generation.threshold,
            generation.threshold - 1
        ))
        .with_help("--with 1,2: fingerprints or numbers, as `archive officer list` shows them")),
        ([piece], None) => out.raw(&text(piece)?),
        (several, None) => {
            Err(Failure::bad(format!("this officer has {} pieces, one for each company", several.len()))
                .with_help("--with names the others who open, or --output a directory for all of them"))
        }
        (pieces, Some(dir)) => pieces.iter().try_for_each(|piece| file(generation, piece, dir, out)),
    }
}

fn number(generation: &Generation, name: &str) -> Result<u8, Failure> {
    generation.officer(name).ok_or_else(|| {
        Failure::bad(format!("`{name}` is no officer of generation {}", generation.number))
            .with_help("`sealpost archive officer list` shows fingerprints and numbers")
    })
}

fn text(piece: &Encrypted<'_>) -> Result<String, Failure> {
    armored(piece.message).map_err(Failure::bad)
}

fn file(generation: &Generation, piece: &Encrypted<'_>, dir: &Path, out: &Out) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|e| Error::io(dir, &e))?;
    let people: Vec<String> = piece.members.iter().map(|member| (u32::from(*member) + 1).to_string()).collect();
    let number = u32::from(piece.officer) + 1;
    let path = dir.join(format!("generation-{}-officer-{number}-of-{}.asc", generation.number, people.join("-")));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(&path).and_then(|mut file| file.write_all(text(piece).map_err(other)?.as_bytes()));
    written.map_err(|e| Error::io(&path, &e))?;
    out.record(&["file"], &json!({"file": path.display().to_string(), "officer": number, "officers": people.join(",")}))
}

fn other(failure: Failure) -> std::io::Error {
    std::io::Error::other(failure.text)
}
