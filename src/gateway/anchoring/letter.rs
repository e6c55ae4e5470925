//! A checkpoint as a message to somebody who keeps it: readable, and with the checkpoint as a file.

use crate::archive::{Archive, Checkpoint};
use crate::clock::Timestamp;
use crate::crypto::hash;
use crate::crypto::sha256;
use crate::gateway::delivery::notify::{self, Composed};
use crate::gateway::post::Post;
use crate::mail::{Address, BodyType, Envelope, MailId, Recipient, Retention};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

/// Characters of a line of base64 (RFC 2045 section 6.8).
const BASE64_LINE: usize = 76;

/// Puts it into the queue.
pub async fn send(post: &Arc<Post>, to: &Address, checkpoint: &Checkpoint) -> Result<String, String> {
    let id = post.new_id().map_err(|e| e.to_string())?;
    let config = post.config();
    let octets = compose(config.hostname.as_str(), to, id, post.now(), post.archive(), checkpoint);
    let envelope = Envelope {
        // Whom should a report about it go to? `archive status` and the queue show what becomes of it.
        sender: None,
        recipients: vec![Recipient::new(to.clone())],
        body: if octets.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
        ret: None,
        envid: None,
        smtputf8: to.is_internationalized(),
        require_tls: None,
    };
    // It is of no use to who has the archive, and kept like other mail of no class.
    let letter = Composed { envelope, retention: Retention::forever() };
    notify::accept(post, id, letter, &octets, "checkpoint_to").await.map_err(|e| e.to_string())?;
    Ok(format!("queued as {id}"))
}

fn compose(
    hostname: &str,
    to: &Address,
    id: MailId,
    now: Timestamp,
    archive: &Archive,
    checkpoint: &Checkpoint,
) -> Vec<u8> {
    let (size, origin, date) = (checkpoint.head.size, archive.id(), now.rfc5322());
    let vkey = archive.verifier().vkey();
    let (root, fingerprint) = (hash::hex(&checkpoint.head.root), hash::hex(&sha256(vkey.as_bytes())));
    let head = format!(
        "From: Sealpost <postmaster@{hostname}>\r\nTo: {to}\r\nDate: {date}\r\nMessage-ID: <{id}@{hostname}>\r\n\
         Subject: Checkpoint of archive {origin}: {size} entries\r\nAuto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"{id}\"\r\n\r\n"
    );
    let text = format!(
        "--{id}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         This is a checkpoint of the mail archive on {hostname}. Keep this message where the\r\n\
         people who run that machine cannot change it. Nothing else is asked of you.\r\n\r\n\
         entries             {size}\r\nroot                {root}\r\nkey (SHA-256)       {fingerprint}\r\n\r\n\
         Whoever holds it can show later that nothing accepted until now was taken out or\r\n\
         changed. Save the attached file and run, on the machine or on a copy of the archive:\r\n\r\n\
         \x20   sealpost archive verify --checkpoint checkpoint-{size}.txt\r\n\r\n\
         If that says that the log is no continuation of it, or has fewer entries, the archive\r\n\
         is not the one that this message was sent from. The key's SHA-256 must be the same\r\n\
         in all these messages.\r\n\r\n"
    );
    let file = format!(
        "--{id}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"checkpoint-{size}.txt\"\r\n\r\n"
    );
    let mut octets = [head, text, file].concat().into_bytes();
    for line in STANDARD.encode(&checkpoint.note).as_bytes().chunks(BASE64_LINE) {
        octets.extend_from_slice(line);
        octets.extend_from_slice(b"\r\n");
    }
    octets.extend_from_slice(format!("--{id}--\r\n").as_bytes());
    octets
}
