//! Evidence bundles: a directory for each message that proves it to somebody without our software. Writes files and never
//! overwrites one; `docs/evidence.md` says what is in them.

use super::error::Error;
use super::rows;
use crate::archive::{Evidence, Opened, Stamped};
use crate::crypto::hash;
use crate::crypto::sha256;
use crate::journal::{Accept, RecipientResult};
use crate::mail::BodyType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Checks a bundle offline.
pub const VERIFY: &str = include_str!("evidence/verify.py");
const README: &str = include_str!("evidence/readme.txt");
/// Characters of a line of PEM (RFC 7468 section 2).
const PEM_LINE: usize = 64;

type Files = Vec<(String, Vec<u8>)>;

/// Writes the bundle of one message into a new directory below `output`, named by its id. Either all of it is there, or the
/// directory has no manifest and is no bundle.
pub fn write(output: &Path, evidence: &Evidence) -> Result<PathBuf, Error> {
    let id = evidence.accept.id.to_string();
    let files = files(evidence);
    let dir = output.join(&id);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(output);
    made.map_err(|e| Error::io(output, &e))?;
    DirBuilder::new().mode(0o700).create(&dir).map_err(|e| failed(&dir, &e))?;
    for (name, octets) in &files {
        put(&dir, name, octets).map_err(|e| failed(&dir.join(name), &e))?;
    }
    // Last: with it, and not before, this is a bundle.
    let stated: Map<String, Value> = files.iter().map(|(name, octets)| (name.clone(), described(octets))).collect();
    let manifest = pretty(&json!({"version": 1, "id": id, "files": stated}));
    put(&dir, "manifest.json", &manifest).map_err(|e| failed(&dir, &e))?;
    Ok(dir)
}

fn failed(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Error::of(path.display(), "is there already, and an export overwrites nothing")
            .with_help("name another --output, or move the former export away"),
        _ => Error::io(path, error),
    }
}

fn put(dir: &Path, name: &str, octets: &[u8]) -> io::Result<()> {
    let path = dir.join(name);
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(octets)
}

fn described(octets: &[u8]) -> Value {
    json!({"bytes": octets.len(), "sha256": hash::hex(&sha256(octets))})
}

/// One form, which `verify.py` makes too: keys in order, two blanks, a line feed at the end.
fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn files(evidence: &Evidence) -> Files {
    let accept = &evidence.accept;
    let (officers, threshold) = &evidence.officers;
    let mut files: Files = vec![
        ("README.txt".into(), README.into()),
        ("verify.py".into(), VERIFY.into()),
        ("message.eml".into(), evidence.octets.clone()),
        ("envelope.cbor".into(), evidence.accepted.record.clone()),
        ("envelope.json".into(), pretty(&envelope(accept))),
        ("accept.json".into(), pretty(&opening(&evidence.accepted))),
        ("accept.tlog-proof".into(), evidence.accepted.proof.clone().into_bytes()),
        ("checkpoint".into(), evidence.checkpoint.clone()),
        ("log.vkey".into(), evidence.vkey.clone().into_bytes()),
        ("officers.json".into(), pretty(&json!({"officers": officers, "threshold": threshold}))),
    ];
    for (number, result) in evidence.results.iter().enumerate() {
        files.extend(result_files(number, result, accept));
    }
    files.extend(evidence.stamped.iter().flat_map(stamp_files));
    files
}

fn result_files(number: usize, opened: &Opened, accept: &Accept) -> Files {
    let recipients: Vec<String> = accept.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    let result = minicbor::decode::<RecipientResult>(&opened.record).ok();
    let mut shown = opening(opened);
    shown["result"] = result.map(|result| rows::archive::outcome(&recipients, &result)).into();
    let name = |ending: &str| format!("results/{number:04}.{ending}");
    vec![
        (name("cbor"), opened.record.clone()),
        (name("json"), pretty(&shown)),
        (name("tlog-proof"), opened.proof.clone().into_bytes()),
    ]
}

fn stamp_files(stamped: &Stamped) -> Files {
    let anchor = &stamped.anchor;
    let certificates: String = stamped.certificates.iter().map(|der| pem(der)).collect();
    vec![
        ("timestamp/checkpoint".into(), stamped.note.clone()),
        ("timestamp/response.tsr".into(), stamped.response.clone()),
        ("timestamp/accept.tlog-proof".into(), stamped.proof.clone().into_bytes()),
        ("timestamp/certificates.pem".into(), certificates.into_bytes()),
        ("timestamp/anchor.json".into(), pretty(&json!({"index": anchor.index, "leaf": hash::hex(&anchor.leaf)}))),
        ("timestamp/anchor.tlog-proof".into(), anchor.proof.clone().into_bytes()),
    ]
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(PEM_LINE).map(String::from_utf8_lossy);
    let body: Vec<_> = lines.collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", body.join("\n"))
}

fn opening(opened: &Opened) -> Value {
    json!({"index": opened.index, "leaf": hash::hex(&opened.leaf), "blind": hash::hex(&opened.blind)})
}

/// The record of acceptance for people; `verify.py` makes the same of the record.
fn envelope(accept: &Accept) -> Value {
    let (envelope, client) = (&accept.envelope, &accept.client);
    let recipient =
        |r: &crate::mail::Recipient| json!({"address": r.address.to_string(), "notify": r.notify, "orcpt": r.orcpt});
    let tls = client
        .tls
        .as_ref()
        .map(|tls| json!({"version": tls.version, "cipher": tls.cipher, "certificate": tls.certificate}));
    json!({
        "id": accept.id.to_string(),
        "accepted_at": accept.accepted_at.rfc3339(),
        "sender": envelope.sender.as_ref().map(ToString::to_string),
        "recipients": envelope.recipients.iter().map(recipient).collect::<Vec<_>>(),
        "body": match envelope.body {
            BodyType::SevenBit => "7BIT",
            BodyType::EightBitMime => "8BITMIME",
        },
        "ret": envelope.ret,
        "envid": envelope.envid,
        "smtputf8": envelope.smtputf8,
        "require_tls": envelope.require_tls.is_some(),
        "client": {
            "ip": client.ip.to_string(),
            "ehlo": client.ehlo,
            "protocol": client.protocol,
            "tls": tls,
            "account": client.account,
            "direction": client.direction.word(),
            "at": client.at.rfc3339(),
        },
        "size": accept.body_bytes,
        "sha256": hash::hex(&accept.body_sha256),
        "class": accept.class,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_form_that_python_makes() {
        let value = json!({"b": ["x", 1], "a": {"\u{e9}": null}, "c": [], "d": {}});
        let expected = "{\n  \"a\": {\n    \"\u{e9}\": null\n  },\n  \"b\": [\n    \"x\",\n    1\n  ],\n  \"c\": [],\n  \"d\": {}\n}\n";
        assert_eq!(pretty(&value), expected.as_bytes());
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        put(dir.path(), "a/b", b"one").expect("written");
        let refused = put(dir.path(), "a/b", b"two").expect_err("there already");
        assert!(failed(dir.path(), &refused).to_string().contains("is there already"));
        assert_eq!(std::fs::read(dir.path().join("a/b")).expect("read"), b"one");
    }

    #[test]
    fn certificates_are_pem() {
        let text = pem(&[0x30; 60]);
        assert!(text.lines().all(|line| line.len() <= PEM_LINE) && text.ends_with("-----END CERTIFICATE-----\n"));
    }
}
