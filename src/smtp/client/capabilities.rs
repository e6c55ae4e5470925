//! Capabilities: what the next hop's reply to EHLO offers. What is not understood is not used.

use super::answer::Answer;

/// An extension this client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// RFC 2920.
    Pipelining,
    /// RFC 1870.
    Size,
    /// RFC 3207.
    StartTls,
    /// RFC 6152.
    EightBitMime,
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 3461.
    Dsn,
    /// RFC 8689.
    RequireTls,
    /// RFC 3030: BDAT.
    Chunking,
}

/// A way to log in (RFC 4954) that this client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Name and password on questions; never standardised.
    Login,
}

/// What the next hop offered; empty after HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    offered: Vec<Extension>,
    size_max: Option<u64>,
    mechanisms: Vec<Mechanism>,
}

impl Capabilities {
    /// Reads the lines behind the first: `keyword *( SP parameter )`.
    pub fn parse(answer: &Answer) -> Capabilities {
        let mut capabilities = Capabilities::default();
        for line in answer.lines().skip(1) {
            let mut words = line.split(' ').filter(|word| !word.is_empty());
            if let Some(names) = mechanisms(line) {
                capabilities.mechanisms.extend(names.split(' ').filter_map(mechanism));
                continue;
            }
            let Some(extension) = words.next().and_then(named) else { continue };
            if !capabilities.has(extension) {
                capabilities.offered.push(extension);
            }
            if extension == Extension::Size {
                // 0 means no fixed maximum (RFC 1870 section 3).
                capabilities.size_max = words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
            }
        }
        capabilities
    }

    /// Whether an extension was offered.
    pub fn has(&self, extension: Extension) -> bool {
        self.offered.contains(&extension)
    }
    /// What is not to be used although it was offered.
    pub fn forget(&mut self, extension: Extension) {
        self.offered.retain(|offered| *offered != extension);
    }
    /// The best way to log in that was offered.
    pub fn mechanism(&self) -> Option<Mechanism> {
        [Mechanism::Plain, Mechanism::Login].into_iter().find(|known| self.mechanisms.contains(known))
    }
    /// Octets the next hop takes at most, when it said so.
    pub fn size_max(&self) -> Option<u64> {
        self.size_max
    }
}

/// `AUTH PLAIN LOGIN`, and as some servers before RFC 2554 wrote it, `AUTH=PLAIN LOGIN`.
fn mechanisms(line: &str) -> Option<&str> {
    let (keyword, names) = line.split_at_checked(5)?;
    matches!(keyword.to_ascii_uppercase().as_str(), "AUTH " | "AUTH=").then_some(names)
}

fn mechanism(name: &str) -> Option<Mechanism> {
    match name.to_ascii_uppercase().as_str() {
        "PLAIN" => Some(Mechanism::Plain),
        "LOGIN" => Some(Mechanism::Login),
        _ => None,
    }
}

fn named(keyword: &str) -> Option<Extension> {
    match keyword.to_ascii_uppercase().as_str() {
        "PIPELINING" => Some(Extension::Pipelining),
        "SIZE" => Some(Extension::Size),
        "STARTTLS" => Some(Extension::StartTls),
        "8BITMIME" => Some(Extension::EightBitMime),
        "SMTPUTF8" => Some(Extension::SmtpUtf8),
        "DSN" => Some(Extension::Dsn),
        "REQUIRETLS" => Some(Extension::RequireTls),
        "CHUNKING" => Some(Extension::Chunking),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answers;
    use super::*;

    fn parse(reply: &str) -> Capabilities {
        let (_, answer) = Answers::default().next(reply.as_bytes()).expect("a reply");
        Capabilities::parse(&answer.expect("complete"))
    }

    #[test]
    fn reads_keywords() {
        let all = parse("250-mx PIPELINING\r\n250-size 1000\r\n250-8bitmime\r\n250-X-FOO bar\r\n250 DSN \r\n");
        assert_eq!(all.offered, [Extension::Size, Extension::EightBitMime, Extension::Dsn]);
        assert_eq!(all.size_max(), Some(1000));
        for (line, max) in
            [("SIZE", None), ("SIZE 0", None), ("SIZE x", None), ("SIZE 18446744073709551615", Some(u64::MAX))]
        {
            assert_eq!(parse(&format!("250-mx\r\n250 {line}\r\n")).size_max(), max, "{line}");
        }
        assert_eq!(parse("250 mx\r\n"), Capabilities::default());
        for (line, mechanism) in [
            ("AUTH LOGIN PLAIN", Some(Mechanism::Plain)),
            ("auth=login", Some(Mechanism::Login)),
            ("AUTH", None),
            ("AUTH CRAM-MD5", None),
        ] {
            assert_eq!(parse(&format!("250-mx\r\n250 {line}\r\n")).mechanism(), mechanism, "{line}");
        }
    }
}
