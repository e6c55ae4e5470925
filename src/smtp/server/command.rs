//! Commands: one line in, one command out. Knows the words, not whether their time has come.

use super::reply;
use super::reply::Reply;

/// A command with what follows its word; the order of commands is checked before MAIL's and RCPT's arguments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'l> {
    /// `EHLO SP ( domain / address-literal )`.
    Ehlo(&'l str),
    /// `HELO SP domain`.
    Helo(&'l str),
    /// `LHLO SP ( domain / address-literal )` (RFC 2033).
    Lhlo(&'l str),
    /// `MAIL FROM:...`, from behind the word's space.
    Mail(&'l str),
    /// `RCPT TO:...`, from behind the word's space.
    Rcpt(&'l str),
    /// `DATA`.
    Data,
    /// `BDAT chunk-size [LAST]` (RFC 3030), from behind the word's space.
    Bdat(&'l str),
    /// `AUTH mechanism [initial-response]` (RFC 4954), from behind the word's space.
    Auth(&'l str),
    /// `XCLIENT name=value...`, from behind the word's space.
    XClient(&'l str),
    /// `XFORWARD name=value...`, from behind the word's space.
    XForward(&'l str),
    /// `RSET`.
    Rset,
    /// `NOOP [ SP string ]`.
    Noop,
    /// `QUIT`.
    Quit,
    /// `VRFY SP string`.
    Vrfy,
    /// `HELP [ SP string ]`.
    Help,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// A command of another extension, or an obsolete one.
    NotImplemented,
    /// The first line of an HTTP request: a browser that was tricked into talking to us.
    Foreign,
}

/// Reads a line without its line end:
///
/// ```text
/// line = word [ SP argument ] *SP      word: ASCII letters in any case; argument: UTF-8 without controls (RFC 6531)
/// ```
pub fn parse(line: &[u8]) -> Result<Command<'_>, &'static Reply> {
    let text = std::str::from_utf8(line).map_err(|_| &reply::BAD_LINE)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(&reply::BAD_LINE);
    }
    let text = text.trim_end_matches(' ');
    let (word, argument) = text.split_once(' ').unwrap_or((text, ""));
    named(&word.to_ascii_uppercase(), argument.trim_start_matches(' '))
}

fn named<'l>(word: &str, argument: &'l str) -> Result<Command<'l>, &'static Reply> {
    match word {
        "" => Err(&reply::BAD_LINE),
        "EHLO" => Ok(Command::Ehlo(argument)),
        "HELO" => Ok(Command::Helo(argument)),
        "LHLO" => Ok(Command::Lhlo(argument)),
        "MAIL" => Ok(Command::Mail(argument)),
        "RCPT" => Ok(Command::Rcpt(argument)),
        "DATA" => alone(Command::Data, argument),
        "AUTH" => Ok(Command::Auth(argument)),
        "XCLIENT" => Ok(Command::XClient(argument)),
        "XFORWARD" => Ok(Command::XForward(argument)),
        "BDAT" => Ok(Command::Bdat(argument)),
        "RSET" => alone(Command::Rset, argument),
        "QUIT" => alone(Command::Quit, argument),
        "STARTTLS" => alone(Command::StartTls, argument),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" if argument.is_empty() => Err(&reply::BAD_ARGUMENTS),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" | "TURN" | "ETRN" | "ATRN" | "SEND" | "SOML" | "SAML" | "BURL" => Ok(Command::NotImplemented),
        "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" => Ok(Command::Foreign),
        _ => Err(&reply::UNKNOWN_COMMAND),
    }
}

fn alone<'l>(command: Command<'l>, argument: &str) -> Result<Command<'l>, &'static Reply> {
    if argument.is_empty() { Ok(command) } else { Err(&reply::BAD_ARGUMENTS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_commands_in_any_case() {
        for (line, command) in [
            ("EHLO client.example", Command::Ehlo("client.example")),
            ("ehlo  client.example  ", Command::Ehlo("client.example")),
            ("hElO", Command::Helo("")),
            ("LHLO x", Command::Lhlo("x")),
            ("MAIL FROM:<a@b> SIZE=1", Command::Mail("FROM:<a@b> SIZE=1")),
            ("Rcpt TO:<\"a  b\"@c>", Command::Rcpt("TO:<\"a  b\"@c>")),
            ("DATA", Command::Data),
            ("data ", Command::Data),
            ("RSET", Command::Rset),
            ("NOOP whatever", Command::Noop),
            ("QUIT", Command::Quit),
            ("VRFY ü", Command::Vrfy),
            ("EXPN list", Command::NotImplemented),
            ("BDAT 3 LAST", Command::Bdat("3 LAST")),
            ("auth PLAIN AGEAYg==", Command::Auth("PLAIN AGEAYg==")),
            ("xclient ADDR=x", Command::XClient("ADDR=x")),
            ("XFORWARD", Command::XForward("")),
            ("HELP MAIL", Command::Help),
            ("STARTTLS", Command::StartTls),
            ("GET / HTTP/1.1", Command::Foreign),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn refuses_what_is_no_command() {
        for (line, expected) in [
            (&b""[..], &reply::BAD_LINE),
            (b" ", &reply::BAD_LINE),
            (b" NOOP", &reply::BAD_LINE),
            (b"NOOP\0", &reply::BAD_LINE),
            (b"NOOP\r", &reply::BAD_LINE),
            (b"NOOP\tx", &reply::BAD_LINE),
            (b"NOOP \xff", &reply::BAD_LINE),
            (b"NO", &reply::UNKNOWN_COMMAND),
            (b"NOOPX", &reply::UNKNOWN_COMMAND),
            (b"MAILFROM:<a@b>", &reply::UNKNOWN_COMMAND),
            (b"DATA now", &reply::BAD_ARGUMENTS),
            (b"RSET x", &reply::BAD_ARGUMENTS),
            (b"QUIT x", &reply::BAD_ARGUMENTS),
            (b"STARTTLS x", &reply::BAD_ARGUMENTS),
            (b"VRFY", &reply::BAD_ARGUMENTS),
        ] {
            assert_eq!(parse(line), Err(expected), "{}", String::from_utf8_lossy(line));
        }
    }
}
