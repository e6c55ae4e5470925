//! Conversations from files. The format stands in `tests/imap.rs`.

use std::fs;
use std::path::PathBuf;

/// A session and what stands around it.
pub trait Wire {
    fn start(out: &mut Vec<u8>) -> Self;
    fn say(&mut self, input: &[u8], out: &mut Vec<u8>) -> State;
    fn act(&mut self, action: &str, out: &mut Vec<u8>) -> State;
}

/// Whether the connection is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Closed,
}

pub struct Conversation {
    pub name: String,
    text: String,
}

impl Conversation {
    /// Every file of a directory below `tests`.
    pub fn all(directory: &str) -> Vec<Conversation> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(directory);
        let entries = fs::read_dir(&path).expect("conversations");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "no conversations in {}", path.display());
        let read = |path: PathBuf| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            Conversation { name, text: fs::read_to_string(path).expect("UTF-8") }
        };
        paths.into_iter().map(read).collect()
    }

    /// Holds it with whole lines and octet by octet; gives back all the server said.
    pub fn hold<W: Wire>(&self) -> Vec<u8> {
        self.hold_in_pieces::<W>(1);
        self.hold_in_pieces::<W>(usize::MAX)
    }

    fn hold_in_pieces<W: Wire>(&self, piece: usize) -> Vec<u8> {
        let (mut said, mut all) = (Vec::new(), Vec::new());
        let mut wire = W::start(&mut said);
        let mut state = State::Open;
        for (number, line) in self.text.lines().enumerate().skip(1) {
            let place = format!("{}:{}", self.name, number + 1);
            if let Some(expected) = line.strip_prefix("S: ").or((line == "S:").then_some("")) {
                let expected = octets(expected);
                let found = said.get(..expected.len()).unwrap_or(&said);
                assert_eq!(
                    found.escape_ascii().to_string(),
                    expected.escape_ascii().to_string(),
                    "{place}: {}",
                    said.escape_ascii()
                );
                all.extend(said.drain(..expected.len()));
                continue;
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            assert!(said.is_empty(), "{place}: unexpected {}", said.escape_ascii());
            if let Some(line) = line.strip_prefix("C: ").or((line == "C:").then_some("")) {
                assert_eq!(state, State::Open, "{place}: the connection is closed");
                for chunk in octets(line).chunks(piece.min(1 << 20)) {
                    state = wire.say(chunk, &mut said);
                }
            } else if line == "!close" {
                assert_eq!(state, State::Closed, "{place}: the connection is open");
            } else {
                let action = line.strip_prefix('!').unwrap_or_else(|| panic!("{place}: neither C, S, ! nor #"));
                state = wire.act(action, &mut said);
            }
        }
        assert!(said.is_empty(), "{}: unexpected at the end: {}", self.name, said.escape_ascii());
        all
    }
}

/// A line with its CRLF, escapes resolved.
fn octets(line: &str) -> Vec<u8> {
    let (line, end) = match line.strip_suffix('\\') {
        Some(line) => (line, &b""[..]),
        None => (line, &b"\r\n"[..]),
    };
    let mut octets = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        octets.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (octet, used) = match escape.as_bytes().first() {
            Some(b'n') => (b'\n', 1),
            Some(b'0') => (0, 1),
            Some(b'x') => (u8::from_str_radix(&escape[1..3], 16).expect("hex"), 3),
            _ => (b'\\', 0),
        };
        octets.push(octet);
        rest = &escape[used..];
    }
    octets.extend_from_slice(rest.as_bytes());
    octets.extend_from_slice(end);
    octets
}
