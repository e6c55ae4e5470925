//! Asks a time stamping authority over HTTP (RFC 3161 section 3.4), and keeps what it stamped.

use super::http::{self, Read};
use crate::archive::timestamp::{self, Authorities, Response};
use crate::archive::{Archive, Checkpoint};
use crate::crypto::random;
use crate::crypto::sha256;
use crate::gateway::config::{AuthorityUrl, Config, Scheme};
use crate::gateway::tls;
use crate::gateway::wire::Stream;
use crate::journal::Journal;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an authority may take in all.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Has a checkpoint stamped, and keeps the stamp with the log.
pub async fn stamp(
    config: &Config,
    (archive, journal): (&Archive, &Journal),
    checkpoint: &Checkpoint,
) -> Result<String, String> {
    let url = config.archive.tsa.as_ref().ok_or("[archive] tsa names no authority")?;
    let authorities = authorities(config)?;
    let (archive, journal, checkpoint) = (archive.clone(), journal.clone(), checkpoint.clone());
    let response = match archive.stamp_of(&checkpoint) {
        // A crash came before its leaf.
        Some(kept) => kept,
        None => ask_for(url, &checkpoint).await?,
    };
    let keep = move || archive.keep_stamp(&journal, &checkpoint, &response, authorities.as_ref());
    let kept = tokio::task::spawn_blocking(keep).await.map_err(|e| e.to_string())?;
    kept.map(|stated| format!("stamped at {}", stated.at.rfc3339())).map_err(|e| e.to_string())
}

/// Whose stamps are believed, if that is configured.
pub fn authorities(config: &Config) -> Result<Option<Authorities>, String> {
    let read = |path: &std::path::PathBuf| {
        let said = |e: &dyn std::fmt::Display| format!("tsa_ca {}: {e}", path.display());
        let pem = std::fs::read(path).map_err(|e| said(&e))?;
        Authorities::from_pem(&pem).map_err(|e| said(&e))
    };
    config.archive.tsa_ca.as_ref().map(read).transpose()
}

async fn ask_for(url: &AuthorityUrl, checkpoint: &Checkpoint) -> Result<Vec<u8>, String> {
    let nonce = random::bytes().map_err(|e| e.to_string())?;
    let request = timestamp::request(&sha256(&checkpoint.note), &nonce).map_err(|e| e.to_string())?;
    let asked = tokio::time::timeout(PATIENCE, ask(url, &request)).await;
    let octets = asked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
    let octets = octets.map_err(|e| format!("{}: {e}", url.as_str()))?;
    let response = Response::parse(&octets).map_err(|e| format!("{}: {e}", url.as_str()))?;
    // An old stamp that somebody plays back says too early a time.
    response.answers(&nonce).map_err(|e| format!("{}: {e}", url.as_str()))?;
    Ok(octets)
}

async fn ask(url: &AuthorityUrl, request: &[u8]) -> Result<Vec<u8>, String> {
    let peer = url.peer();
    let tcp = TcpStream::connect((peer.host.as_str(), peer.port)).await.map_err(|e| e.to_string())?;
    let mut stream = Stream::Plain(tcp);
    if url.scheme() == Scheme::Https {
        let settings = tls::client::of_the_system().map_err(|e| e.to_string())?;
        stream = stream.connect_tls(settings, &peer.host).await.map_err(|e| e.to_string())?;
    }
    let request = http::request(url, "application/timestamp-query", request);
    stream.write(&request).await.map_err(|e| e.to_string())?;
    let answer = read(&mut stream).await?;
    stream.close().await;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("HTTP status {status}")),
    }
}

async fn read(stream: &mut Stream) -> Result<http::Answer, String> {
    let (mut octets, mut piece) = (Vec::new(), [0; 8192]);
    while octets.len() <= http::ANSWER_BYTES_MAX {
        let count = stream.read(&mut piece, SILENCE).await.map_err(|e| e.to_string())?;
        octets.extend_from_slice(&piece[..count]);
        if let Read::Whole(answer) = http::parse(&octets, count == 0)? {
            return Ok(answer);
        }
    }
    Err("the answer is too long".to_owned())
}
