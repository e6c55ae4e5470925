//! Transcripts: runs the conversations in `tests/smtp/*.txt` against the cores, all at once and octet by octet.
//!
//! ```text
//! first line   why the conversation is kept
//! ! words      settings, read by `server.rs` and `client.rs`
//! C: text      the client sends this line and CRLF; \r \n \0 \\ are escapes, \x is the octet FF; C- sends it without CRLF
//! S: text      the server replies exactly this line; S- sends it without CRLF
//! S! text      the connection is lost
//! E: text      the driver was told this
//! ```
//!
//! The server's driver refuses addresses whose local part is `refused`, cannot open a draft for the sender `full`, loses it during
//! the data of `breaks`, and in the end refuses recipients named `late`.

mod client;
mod server;

use std::path::PathBuf;

/// A conversation file: its settings words, then blocks of what one side sends and what must come of it.
struct Transcript {
    name: String,
    words: Vec<String>,
    /// Lines heard before anything is sent.
    opening: Vec<String>,
    blocks: Vec<Block>,
}

/// Octets that arrive together, and the lines that must be seen then.
struct Block {
    sent: Vec<u8>,
    /// Why the connection is lost behind them.
    lost: Option<String>,
    seen: Vec<String>,
}

fn is_marked(line: &str) -> bool {
    line.starts_with(['C', 'S', 'E']) && matches!(line.get(1..2), Some(":" | "-" | "!")) || line.starts_with("! ")
}

/// `sender` is the mark of the side that the test plays: `C` or `S`.
fn parse(name: &str, text: &str, sender: char) -> Transcript {
    let mut lines = text.lines();
    let why = lines.next().unwrap_or_default();
    assert!(!why.is_empty() && !is_marked(why), "{name}: the first line says why");
    let mut transcript = Transcript { name: name.to_owned(), words: vec![], opening: vec![], blocks: vec![] };
    for line in lines.filter(|line| !line.is_empty()) {
        if let Some(words) = line.strip_prefix("! ") {
            transcript.words = words.split(' ').map(str::to_owned).collect();
        } else if line.starts_with(sender) {
            send(&mut transcript.blocks, line);
        } else {
            assert!(line.starts_with(['C', 'S', 'E']), "{name}: {line}");
            let seen = transcript.blocks.last_mut().map_or(&mut transcript.opening, |block| &mut block.seen);
            seen.push(line.trim_end().to_owned());
        }
    }
    transcript
}

fn send(blocks: &mut Vec<Block>, line: &str) {
    if blocks.last().is_none_or(|block| !block.seen.is_empty()) {
        blocks.push(Block { sent: vec![], lost: None, seen: vec![] });
    }
    let block = blocks.last_mut().expect("just pushed");
    let text = line.get(3..).unwrap_or_default();
    match line.get(1..2) {
        Some("!") => block.lost = Some(text.to_owned()),
        Some(":") => block.sent.extend([&unescape(text)[..], b"\r\n"].concat()),
        _ => block.sent.extend(unescape(text)),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut chars = text.bytes();
    while let Some(octet) = chars.next() {
        octets.push(match octet {
            b'\\' => match chars.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b'0') => 0,
                Some(b'x') => 0xff,
                other => other.expect("an escaped octet"),
            },
            _ => octet,
        });
    }
    octets
}

fn escape(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).replace('\\', "\\\\").replace('\r', "\\r").replace('\n', "\\n").replace('\0', "\\0")
}

/// How a block's octets are handed over.
#[derive(Clone, Copy, Debug)]
enum Pace {
    AtOnce,
    OctetByOctet,
}

impl Pace {
    fn cut(self, octets: &[u8]) -> Vec<&[u8]> {
        match self {
            Pace::AtOnce => vec![octets],
            Pace::OctetByOctet => octets.chunks(1).collect(),
        }
    }
}

/// One side under test.
trait Side {
    fn hear(&mut self, octets: &[u8]);
    /// All of a block was heard, and perhaps the connection lost.
    fn settle(&mut self, lost: Option<&str>);
    /// Lines seen since the last call.
    fn seen(&mut self) -> Vec<String>;
}

fn run(transcript: &Transcript, pace: Pace, side: &mut dyn Side) {
    let name = &transcript.name;
    assert_eq!(side.seen(), transcript.opening, "{name}, {pace:?}: opening");
    for block in &transcript.blocks {
        pace.cut(&block.sent).into_iter().for_each(|octets| side.hear(octets));
        side.settle(block.lost.as_deref());
        assert_eq!(side.seen(), block.seen, "{name}, {pace:?}: after {:?}", escape(&block.sent));
    }
}

fn check(prefix: &str, sender: char, side: impl Fn(&[String]) -> Box<dyn Side>) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/smtp");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).expect("tests/smtp") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.starts_with(prefix) {
            continue;
        }
        count += 1;
        let transcript = parse(&name, &std::fs::read_to_string(&path).expect("UTF-8"), sender);
        for pace in [Pace::AtOnce, Pace::OctetByOctet] {
            run(&transcript, pace, side(&transcript.words).as_mut());
        }
    }
    assert!(count > 0, "no {prefix}*.txt");
}

/// Splits what a side said into marked lines, which must all be complete.
fn marked(mark: &str, said: &mut Vec<u8>) -> Vec<String> {
    let text = escape(said).replace("\\r\\n", "\n");
    said.clear();
    assert!(text.is_empty() || text.ends_with('\n'), "a line is incomplete: {text}");
    text.lines().map(|line| format!("{mark}: {line}").trim_end().to_owned()).collect()
}

#[test]
fn server_conversations() {
    check("server-", 'C', |words| Box::new(server::Server::new(words)));
}

#[test]
fn client_conversations() {
    check("client-", 'S', |words| Box::new(client::Client::new(words)));
}
