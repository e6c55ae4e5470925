//! The client's side of IMAP (RFC 3501) as far as it takes to append messages to a mailbox of another server: replies in, commands out, over
//! bytes. Reads no mail.

use crate::clock::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of a reply, literals included: nothing that is asked for here is longer.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Octets of a literal that RFC 7888 lets a client send unasked where the server has LITERAL- only.
const SHORT_LITERAL_BYTES: usize = 4096;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
}

/// One reply, its text as the server wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+`: it waits for what comes next.
    Continue,
    /// `*`: it says something.
    Untagged(String),
    /// A command has ended.
    Tagged {
        /// Which.
        tag: String,
        /// How.
        status: Status,
        /// In the server's words.
        text: String,
    },
}

/// What is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server does not speak IMAP: {0}")]
pub struct Nonsense(pub &'static str);

/// Octets of the server on their way to replies.
#[derive(Debug, Default)]
pub struct Replies {
    buffer: Vec<u8>,
}

impl Replies {
    /// Takes what came.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }
    /// Whether nothing waits to be read.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next reply, if all of it is there.
    ///
    /// ```text
    /// reply = ( "+" / "*" / tag ) SP text CRLF          text may have literals: "{" number "}" CRLF *octet
    /// ```
    pub fn take(&mut self) -> Result<Option<Reply>, Nonsense> {
        let Some(end) = end_of_reply(&self.buffer)? else {
            let fits = self.buffer.len() <= REPLY_BYTES_MAX;
            return if fits { Ok(None) } else { Err(Nonsense("a reply of more than 64 KiB")) };
        };
        let line: Vec<u8> = self.buffer.drain(..end).collect();
        read(&String::from_utf8_lossy(&line)).map(Some)
    }
}

/// Where the first reply ends, behind its CRLF.
fn end_of_reply(octets: &[u8]) -> Result<Option<usize>, Nonsense> {
    let mut from = 0;
    loop {
        let rest = octets.get(from..).unwrap_or_default();
        let Some(line) = rest.iter().position(|&b| b == b'\n').map(|lf| &rest[..=lf]) else { return Ok(None) };
        from += line.len();
        match literal_bytes(line) {
            None if from > REPLY_BYTES_MAX => return Err(Nonsense("a reply of more than 64 KiB")),
            None => return Ok(Some(from)),
            Some(bytes) if bytes > REPLY_BYTES_MAX => return Err(Nonsense("a literal of more than 64 KiB")),
            Some(bytes) => from += bytes,
        }
    }
}

/// The length of the literal that a line announces at its end.
fn literal_bytes(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line).strip_suffix(b"}")?;
    let open = line.iter().rposition(|&b| b == b'{')?;
    let digits = &line[open + 1..];
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    // One that fits into no number is too long for anything.
    is_number.then(|| std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX))
}

fn read(line: &str) -> Result<Reply, Nonsense> {
    let line = line.trim_end_matches(['\r', '\n']);
    if line.starts_with('+') {
        return Ok(Reply::Continue);
    }
    let (tag, text) = line.split_once(' ').ok_or(Nonsense("a line without a tag"))?;
    if tag == "*" {
        return Ok(Reply::Untagged(text.to_owned()));
    }
    let (word, text) = text.split_once(' ').unwrap_or((text, ""));
    let status = match word.to_ascii_uppercase().as_str() {
        "OK" => Status::Ok,
        "NO" => Status::No,
        "BAD" => Status::Bad,
        _ => return Err(Nonsense("a tag without OK, NO or BAD")),
    };
    Ok(Reply::Tagged { tag: tag.to_owned(), status, text: text.to_owned() })
}

/// What a server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(Vec<String>);

impl Capabilities {
    /// Of an untagged reply; `None` when it is about something else.
    pub fn parse(text: &str) -> Option<Capabilities> {
        let mut words = text.split_ascii_whitespace().map(str::to_ascii_uppercase);
        (words.next()? == "CAPABILITY").then(|| Capabilities(words.collect()))
    }
    /// Whether it is offered; `name` in upper case.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|word| word == name)
    }
}

/// Whether a literal waits for the server's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    /// It may follow at once (RFC 7888).
    AtOnce,
    /// Not before `+`.
    Asked,
}

/// Why a message or name cannot be said in IMAP to this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsayable {
    /// It has an octet 0 in it.
    #[error("it has an octet 0 in it, which only servers with BINARY (RFC 3516) take")]
    Nul,
    /// A mailbox name that is not printable ASCII.
    #[error(
        "a mailbox name is printable ASCII: give other characters in the server's modified UTF-7 (RFC 3501 section 5.1.3)"
    )]
    MailboxName,
}

/// `APPEND` up to its message, which follows with a CRLF behind it: read (`\Seen`), under its own date.
pub fn append(
    tag: &str,
    mailbox: &str,
    at: Timestamp,
    message: &[u8],
    offered: &Capabilities,
) -> Result<(Vec<u8>, Literal), Unsayable> {
    let mailbox = quoted(mailbox)?;
    let has_nul = message.contains(&0);
    if has_nul && !offered.has("BINARY") {
        return Err(Unsayable::Nul);
    }
    let may_follow = offered.has("LITERAL+") || offered.has("LITERAL-") && message.len() <= SHORT_LITERAL_BYTES;
    let (tilde, plus) = (if has_nul { "~" } else { "" }, if may_follow { "+" } else { "" });
    let (date, bytes) = (at.imap_date_time(), message.len());
    let line = format!("{tag} APPEND {mailbox} (\\Seen) \"{date}\" {tilde}{{{bytes}{plus}}}\r\n");
    Ok((line.into_bytes(), if may_follow { Literal::AtOnce } else { Literal::Asked }))
}

/// `CREATE`.
pub fn create(tag: &str, mailbox: &str) -> Result<Vec<u8>, Unsayable> {
    Ok(format!("{tag} CREATE {}\r\n", quoted(mailbox)?).into_bytes())
}

/// The response of AUTHENTICATE PLAIN (RFC 4616).
pub fn plain(user: &str, password: &str) -> zeroize::Zeroizing<String> {
    let text = zeroize::Zeroizing::new(format!("\0{user}\0{password}"));
    zeroize::Zeroizing::new(STANDARD.encode(text.as_bytes()))
}

/// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`
fn quoted(text: &str) -> Result<String, Unsayable> {
    if text.is_empty() || !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Err(Unsayable::MailboxName);
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(octets: &[u8]) -> Vec<Reply> {
        let mut replies = Replies::default();
        let mut found = Vec::new();
        for octet in octets {
            replies.push(&[*octet]);
            found.extend(replies.take().expect("IMAP"));
        }
        found
    }

    #[test]
    fn replies_are_read_however_they_are_cut() {
        let tagged = |tag: &str, status, text: &str| Reply::Tagged { tag: tag.into(), status, text: text.into() };
        let untagged = |text: &str| Reply::Untagged(text.into());
        for (octets, expected) in [
            (&b"* OK ready\r\na1 ok done\r\n"[..], vec![untagged("OK ready"), tagged("a1", Status::Ok, "done")]),
            (b"+ go\r\n+\r\n", vec![Reply::Continue, Reply::Continue]),
            (b"a2 NO [TRYCREATE] no such mailbox\n", vec![tagged("a2", Status::No, "[TRYCREATE] no such mailbox")]),
            (b"a3 BAD\r\n", vec![tagged("a3", Status::Bad, "")]),
            (b"* LIST {5}\r\na\r\nb\n c\r\n* x\r\n", vec![untagged("LIST {5}\r\na\r\nb\n c"), untagged("x")]),
        ] {
            assert_eq!(replies(octets), expected, "{}", octets.escape_ascii());
        }
    }

    #[test]
    fn nonsense_and_bounds() {
        let next = |octets: &[u8]| {
            let mut replies = Replies::default();
            replies.push(octets);
            replies.take()
        };
        for octets in
            [&b"\r\n"[..], b"HTTP/1.1\r\n", b"a1 DONE\r\n", b"* x {65537}\r\n", b"* x {99999999999999999999}\r\n"]
        {
            assert!(next(octets).is_err(), "{}", octets.escape_ascii());
        }
        let line = |bytes: usize| [b"* ", &vec![b'x'; bytes - 4][..], b"\r\n"].concat();
        assert!(next(&line(REPLY_BYTES_MAX)).is_ok_and(|reply| reply.is_some()), "at the bound");
        assert!(next(&line(REPLY_BYTES_MAX + 1)).is_err(), "one past it");
        assert!(next(&vec![b'x'; REPLY_BYTES_MAX + 1]).is_err(), "without an end");
        assert_eq!(next(&vec![b'x'; REPLY_BYTES_MAX]), Ok(None));
    }

    #[test]
    fn appends_say_what_they_must() {
        let at = Timestamp::from_s(880_127_706);
        let offered =
            |words: &str| Capabilities::parse(&format!("CAPABILITY IMAP4rev1 {words}")).expect("capabilities");
        let say = |mailbox: &str, message: &[u8], words: &str| {
            append("a1", mailbox, at, message, &offered(words))
                .map(|(line, literal)| (String::from_utf8(line).expect("ASCII"), literal))
        };
        let line =
            |end: &str| format!("a1 APPEND \"Old \\\"mail\\\"\" (\\Seen) \"21-Nov-1997 15:55:06 +0000\" {end}\r\n");
        let name = "Old \"mail\"";
        assert_eq!(say(name, b"abc", ""), Ok((line("{3}"), Literal::Asked)));
        assert_eq!(say(name, b"abc", "literal+"), Ok((line("{3+}"), Literal::AtOnce)));
        assert_eq!(say(name, &[b'x'; 4096], "LITERAL-"), Ok((line("{4096+}"), Literal::AtOnce)));
        assert_eq!(say(name, &[b'x'; 4097], "LITERAL-"), Ok((line("{4097}"), Literal::Asked)));
        assert_eq!(say(name, b"a\0c", "LITERAL+"), Err(Unsayable::Nul));
        assert_eq!(say(name, b"a\0c", "BINARY"), Ok((line("~{3}"), Literal::Asked)));
        for name in ["", "\u{e4}", "a\r\nb"] {
            assert_eq!(say(name, b"", ""), Err(Unsayable::MailboxName), "{name:?}");
        }
        assert_eq!(create("a2", "a\\b"), Ok(b"a2 CREATE \"a\\\\b\"\r\n".to_vec()));
        assert_eq!(plain("user", "secret").as_str(), "AHVzZXIAc2VjcmV0");
        assert!(Capabilities::parse("LIST x").is_none() && Capabilities::parse("").is_none());
    }
}
