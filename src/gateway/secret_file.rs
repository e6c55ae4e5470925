//! Where officers' secrets come from: files, systemd credentials (`credential:NAME`), standard input, or a terminal without echo.
//! Never writes any.

use crate::crypto::SecretBytes;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

/// Octets of a key or of shares.
const SECRET_BYTES_MAX: u64 = 1 << 20;
/// What names a systemd credential instead of a file.
const CREDENTIAL: &str = "credential:";

/// Whether it names a credential, which lies in no directory of ours.
pub fn is_credential(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.starts_with(CREDENTIAL))
}

/// The file that is meant.
pub fn resolve(path: &Path) -> Result<PathBuf, String> {
    let Some(name) = path.to_str().and_then(|text| text.strip_prefix(CREDENTIAL)) else { return Ok(path.to_owned()) };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(format!("{}: a credential has a plain name", path.display()));
    }
    let dir = std::env::var_os("CREDENTIALS_DIRECTORY")
        .ok_or_else(|| format!("{}: the service has no credentials: LoadCredential= gives it some", path.display()))?;
    Ok(Path::new(&dir).join(name))
}

/// Reads a secret; `-` is standard input.
pub fn read(path: &Path) -> Result<SecretBytes, String> {
    if path == Path::new("-") {
        return bounded(io::stdin().lock()).map_err(|e| format!("standard input: {e}"));
    }
    let resolved = resolve(path)?;
    File::open(resolved).and_then(bounded).map_err(|e| format!("{}: {e}", path.display()))
}

fn bounded(from: impl Read) -> io::Result<SecretBytes> {
    let mut octets = Vec::new();
    let read = from.take(SECRET_BYTES_MAX + 1).read_to_end(&mut octets);
    let octets = SecretBytes::new(octets);
    read?;
    let is_short = octets.expose().len() as u64 <= SECRET_BYTES_MAX;
    if is_short { Ok(octets) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "longer than a key can be")) }
}

/// The first line of a file; empty without one.
pub fn passphrase(path: Option<&Path>) -> Result<SecretBytes, String> {
    let Some(path) = path else { return Ok(SecretBytes::new(Vec::new())) };
    Ok(first_line(read(path)?.expose()))
}

fn first_line(octets: &[u8]) -> SecretBytes {
    let line = octets.split(|&b| b == b'\n').next().unwrap_or_default();
    SecretBytes::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// Asks for a passphrase on the terminal, without showing it; `None` when there is none.
pub fn ask(what: &str) -> io::Result<Option<SecretBytes>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(None);
    }
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    // Before it is asked for, so that an answer is neither shown nor thrown away, however fast it comes.
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let mut terminal = io::stderr();
    let asked = write!(terminal, "{what}: ").and_then(|()| terminal.flush());
    let mut line = Vec::with_capacity(1024);
    let read = stdin.lock().take(SECRET_BYTES_MAX).read_until(b'\n', &mut line);
    let line = SecretBytes::new(line);
    // The terminal first, whatever came of reading.
    tcsetattr(&stdin, OptionalActions::Now, &before)?;
    writeln!(terminal)?;
    asked.and(read)?;
    Ok(Some(first_line(line.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_first_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("passphrase");
        for (content, expected) in [("a b\n", "a b"), ("a b", "a b"), ("a b\r\nmore\n", "a b"), ("", ""), ("\na", "")] {
            std::fs::write(&file, content).expect("write");
            assert_eq!(passphrase(Some(&file)).expect("read").expose(), expected.as_bytes(), "{content:?}");
        }
        assert!(passphrase(None).expect("none").expose().is_empty());
        std::fs::write(&file, vec![b'x'; SECRET_BYTES_MAX as usize + 1]).expect("write");
        assert!(read(&file).expect_err("too long").contains("longer"));
        assert!(read(&dir.path().join("none")).is_err());
    }

    #[test]
    fn credentials_have_plain_names() {
        for name in ["credential:", "credential:../x", "credential:a/b", "credential:.x"] {
            assert!(is_credential(Path::new(name)));
            assert!(resolve(Path::new(name)).expect_err("refused").contains("plain name"), "{name}");
        }
        assert!(!is_credential(Path::new("officer/key.pgp")));
        assert_eq!(resolve(Path::new("officer/key.pgp")), Ok(PathBuf::from("officer/key.pgp")));
    }
}
