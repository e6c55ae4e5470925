//! POP3 commands (RFC 1939, 2449, 2595) from a line to a value. Total; knows no session.

use zeroize::Zeroizing;

/// Octets of a line. RFC 2449 wants 255; passwords may be longer.
pub const COMMAND_BYTES_MAX: usize = 1024;

/// A command.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Command {
    Capa,
    Stls,
    User(String),
    Pass(Zeroizing<Vec<u8>>),
    Stat,
    /// One message, or all.
    List(Option<usize>),
    Uidl(Option<usize>),
    Retr(usize),
    /// A message and how many lines of its body.
    Top(usize, u64),
    Dele(usize),
    Rset,
    Noop,
    Quit,
}

/// Reads a line without its line break. The error is the answer.
pub(super) fn parse(line: &[u8]) -> Result<Command, &'static str> {
    let (name, argument) = match line.iter().position(|b| *b == b' ') {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    };
    match (name.to_ascii_uppercase().as_slice(), argument) {
        (b"USER", Some(name)) if !name.is_empty() => {
            let name = std::str::from_utf8(name).map_err(|_| "-ERR The name is not UTF-8")?;
            Ok(Command::User(name.to_owned()))
        }
        // RFC 1939: a password may hold spaces, so the rest of the line is one argument.
        (b"PASS", Some(password)) => Ok(Command::Pass(Zeroizing::new(password.to_vec()))),
        (name, argument) => numbered(name, &numbers(argument.unwrap_or_default())?),
    }
}

fn numbered(name: &[u8], numbers: &[u64]) -> Result<Command, &'static str> {
    // 0 is no message number, and one too large for us is none either.
    let message = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    match (name, numbers) {
        (b"CAPA", []) => Ok(Command::Capa),
        (b"STLS", []) => Ok(Command::Stls),
        (b"STAT", []) => Ok(Command::Stat),
        (b"RSET", []) => Ok(Command::Rset),
        (b"NOOP", []) => Ok(Command::Noop),
        (b"QUIT", []) => Ok(Command::Quit),
        (b"LIST", []) => Ok(Command::List(None)),
        (b"LIST", [n]) => Ok(Command::List(Some(message(*n)))),
        (b"UIDL", []) => Ok(Command::Uidl(None)),
        (b"UIDL", [n]) => Ok(Command::Uidl(Some(message(*n)))),
        (b"RETR", [n]) => Ok(Command::Retr(message(*n))),
        (b"DELE", [n]) => Ok(Command::Dele(message(*n))),
        (b"TOP", [n, lines]) => Ok(Command::Top(message(*n), *lines)),
        _ => Err("-ERR Unknown command or wrong arguments"),
    }
}

fn numbers(argument: &[u8]) -> Result<Vec<u64>, &'static str> {
    let words = argument.split(|b| *b == b' ').filter(|word| !word.is_empty());
    words.map(number).collect::<Option<_>>().ok_or("-ERR Unknown command or wrong arguments")
}

/// Digits; a number beyond 64 bits is as good as the largest.
fn number(word: &[u8]) -> Option<u64> {
    let digit = |b: &u8| char::from(*b).to_digit(10).map(u64::from);
    word.iter().try_fold(0u64, |n, b| Some(n.saturating_mul(10).saturating_add(digit(b)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let check = |line: &str, expected: Command| assert_eq!(parse(line.as_bytes()), Ok(expected), "{line}");
        check("capa", Command::Capa);
        check("USER a b", Command::User("a b".to_owned()));
        check("PASS  x ", Command::Pass(Zeroizing::new(b" x ".to_vec())));
        check("PASS ", Command::Pass(Zeroizing::new(Vec::new())));
        check("LIST", Command::List(None));
        check("LIST 1 ", Command::List(Some(1)));
        check("TOP 1 0", Command::Top(1, 0));
        check("TOP 2 99999999999999999999999", Command::Top(2, u64::MAX));
        check("QUIT ", Command::Quit);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for bad in [
            "", " ", "X", "USER", "USER ", "PASS", "RETR", "RETR x", "RETR -1", "RETR 1 2", "TOP 1", "STAT 1",
            "APOP a b",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"USER \xff").is_err());
    }
}
