//! GnuPG as the opener of pieces: it may have the key in its agent or on a token. A child process, bounded in time and output.

use crate::archive::PIECE_BYTES_MAX;
use crate::crypto::SecretBytes;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long an officer may take with a passphrase and a token.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often it is looked whether gpg has ended.
const TICK: Duration = Duration::from_millis(20);

/// Whether gpg has the private key of a certificate, be it on a token.
pub fn has_key(fingerprint: &str) -> io::Result<bool> {
    let mut command = Command::new("gpg");
    command.args(["--batch", "--with-colons", "--list-secret-keys", fingerprint]);
    let asked = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.map(|status| status.success()).map_err(absent)
}

/// Decrypts a piece. Not in batch mode: gpg may ask for a passphrase or a token.
pub fn decrypt(piece: &[u8]) -> io::Result<SecretBytes> {
    let mut command = Command::new("gpg");
    command.args(["--quiet", "--decrypt"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(absent)?;
    let answer = converse(&mut child, piece);
    if answer.is_err() {
        // Already ended is as good.
        let _ended = child.kill();
        let _reaped = child.wait();
    }
    answer
}

fn absent(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "gpg is not installed (Debian package: gnupg)"),
        _ => error,
    }
}

fn converse(child: &mut Child, piece: &[u8]) -> io::Result<SecretBytes> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else { return Err(io::ErrorKind::BrokenPipe.into()) };
    let reader = thread::spawn(move || {
        let mut text = Vec::with_capacity(PIECE_BYTES_MAX as usize);
        let read = stdout.take(PIECE_BYTES_MAX).read_to_end(&mut text);
        let text = SecretBytes::new(text);
        read.map(|_| text)
    });
    stdin.write_all(piece)?;
    drop(stdin);
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() >= end => return Err(io::Error::new(io::ErrorKind::TimedOut, "gpg took too long")),
            None => thread::sleep(TICK),
        }
    };
    if !status.success() {
        return Err(io::Error::other(format!("gpg --decrypt ended with {status}")));
    }
    reader.join().map_err(|_| io::Error::other("reading from gpg failed"))?
}
