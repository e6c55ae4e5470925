//! Replies: everything the server says, in one table. Public text names no rule, path or mechanism.

use crate::smtp::limits;
use std::borrow::Cow;

/// A reply of the server: code (RFC 5321 section 4.2), enhanced status code (RFC 3463), text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// Empty where RFC 2034 asks for none: greeting, EHLO, 354.
    status: &'static str,
    text: Cow<'static, str>,
}

impl Reply {
    /// One line of the table. `status` begins with the first digit of `code`.
    pub const fn new(code: u16, status: &'static str, text: &'static str) -> Reply {
        Reply { code, status, text: Cow::Borrowed(text) }
    }

    /// The same reply in other words. A line break in them begins another line of the reply; what is too long is broken, what
    /// is not printable ASCII becomes `?`.
    pub fn with_text(&self, text: impl Into<String>) -> Reply {
        Reply { code: self.code, status: self.status, text: Cow::Owned(text.into()) }
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }
    /// The enhanced status code; empty where there is none.
    pub fn status(&self) -> &'static str {
        self.status
    }
    /// The text as given.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// Whether it takes what was asked (2xx).
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// Appends the reply as it goes over the wire: each line within 512 octets, with the status in each (RFC 2034 section 4).
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let lines = self.lines();
        for (index, line) in lines.iter().enumerate() {
            let separator = if index + 1 < lines.len() { '-' } else { ' ' };
            out.extend_from_slice(format!("{}{separator}{}", self.code, self.status).as_bytes());
            if !self.status.is_empty() && !line.is_empty() {
                out.push(b' ');
            }
            out.extend(line.bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for line in self.text.lines() {
            let line: String = line.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
            wrap(&line, &mut lines);
        }
        lines.truncate(limits::REPLY_LINES_MAX);
        if lines.is_empty() {
            lines.push(String::new());
        }
        lines
    }
}

/// Breaks ASCII text at the last space that fits, else at the bound.
fn wrap(mut line: &str, lines: &mut Vec<String>) {
    while line.len() > limits::REPLY_TEXT_BYTES_MAX {
        let (head, tail) = line.split_at(limits::REPLY_TEXT_BYTES_MAX);
        let kept = head.rfind(' ').filter(|&at| at > 0).unwrap_or(head.len());
        lines.push(line[..kept].to_owned());
        line = if kept < head.len() { &line[kept + 1..] } else { tail };
    }
    lines.push(line.to_owned());
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $code:literal $status:literal $text:literal;)*) => {
        $($(#[$doc])* pub static $name: Reply = Reply::new($code, $status, $text);)*
        #[cfg(test)]
        static ALL: &[(&str, &Reply)] = &[$((stringify!($name), &$name)),*];
    };
}

table! {
    /// NOOP, RSET and other things that went well.
    OK = 250 "2.0.0" "Ok";
    /// MAIL taken.
    SENDER_OK = 250 "2.1.0" "Sender ok";
    /// RCPT taken.
    RECIPIENT_OK = 250 "2.1.5" "Recipient ok";
    /// The message is ours now; the driver adds its id.
    ACCEPTED = 250 "2.0.0" "Accepted";
    /// DATA may come.
    START_INPUT = 354 "" "End data with <CR><LF>.<CR><LF>";
    /// BDAT: a chunk that is not the last (RFC 3030 section 2); the session says how long it was.
    CHUNK_OK = 250 "2.0.0" "Octets received";
    /// QUIT.
    BYE = 221 "2.0.0" "Bye";
    /// HELP.
    HELP = 214 "2.0.0" "This is Sealpost; commands are those of RFC 5321";
    /// VRFY: neither confirms nor denies (RFC 5321 section 3.5.3).
    CANNOT_VERIFY = 252 "2.5.0" "Cannot verify; send a message and see";
    /// STARTTLS: begin the handshake.
    START_TLS = 220 "2.0.0" "Ready to start TLS";

    /// AUTH: the login is taken (RFC 4954 section 6).
    AUTH_OK = 235 "2.7.0" "Authentication succeeded";
    /// AUTH PLAIN without an initial response: an empty challenge.
    AUTH_GO_ON = 334 "" "";
    /// AUTH LOGIN: `Username:` in base64.
    AUTH_NAME = 334 "" "VXNlcm5hbWU6";
    /// AUTH LOGIN: `Password:` in base64.
    AUTH_PASSWORD = 334 "" "UGFzc3dvcmQ6";

    /// No such command.
    UNKNOWN_COMMAND = 500 "5.5.1" "Command not recognized";
    /// A command we know of and do not have.
    NOT_IMPLEMENTED = 502 "5.5.1" "Command not implemented";
    /// A line that is no command line: empty, control characters, not UTF-8.
    BAD_LINE = 500 "5.5.2" "Not a command line";
    /// Longer than [`limits::COMMAND_LINE_BYTES_MAX`].
    LINE_TOO_LONG = 500 "5.5.2" "Line too long";
    /// A command line that ends in LF alone; whatever stands behind it is not executed, the session ends.
    BARE_LF_IN_COMMAND = 500 "5.5.2" "Lines end in CRLF; bare LF received, closing connection";
    /// Arguments missing, superfluous or malformed.
    BAD_ARGUMENTS = 501 "5.5.4" "Syntax error in arguments";
    /// EHLO, HELO or LHLO without a usable name.
    BAD_CLIENT_NAME = 501 "5.5.4" "Name your host: domain or address literal expected";
    /// A value that its parameter does not allow.
    BAD_PARAMETER = 501 "5.5.4" "Bad parameter value";
    /// A parameter we did not offer (RFC 5321 section 4.1.1.11).
    UNKNOWN_PARAMETER = 555 "5.5.4" "Parameter not recognized or not offered";
    /// MAIL's path is no address.
    BAD_SENDER = 501 "5.1.7" "Bad sender address syntax";
    /// RCPT's path is no address.
    BAD_RECIPIENT = 501 "5.1.3" "Bad recipient address syntax";
    /// An address that needs SMTPUTF8, which was not asked for (RFC 6531 section 3.5).
    NEEDS_SMTPUTF8 = 553 "5.6.7" "Address needs SMTPUTF8";

    /// Anything before EHLO.
    HELLO_FIRST = 503 "5.5.1" "Introduce yourself first";
    /// A second MAIL.
    NESTED_MAIL = 503 "5.5.1" "Sender already given";
    /// RCPT or DATA without MAIL.
    MAIL_FIRST = 503 "5.5.1" "MAIL first";
    /// DATA without RCPT.
    RCPT_FIRST = 503 "5.5.1" "RCPT first";
    /// DATA when every RCPT was refused.
    NO_VALID_RECIPIENTS = 554 "5.5.1" "No valid recipients";
    /// RCPT or DATA when BDAT has begun (RFC 3030 section 2).
    CHUNKS_UNDER_WAY = 503 "5.5.1" "BDAT has begun; go on with BDAT or RSET";
    /// BDAT behind one that failed (RFC 3030 section 2).
    CHUNK_LOST = 503 "5.5.1" "An earlier chunk failed, RSET first";
    /// STARTTLS inside TLS.
    ALREADY_TLS = 503 "5.5.1" "TLS already active";

    /// XCLIENT or XFORWARD from a peer that is not trusted with it.
    NOT_TRUSTED = 550 "5.7.1" "Not authorized";
    /// XCLIENT or XFORWARD with an attribute that was not offered.
    UNKNOWN_ATTRIBUTE = 501 "5.5.4" "Unknown attribute name";
    /// A second AUTH (RFC 4954 section 4).
    ALREADY_AUTHENTICATED = 503 "5.5.1" "Already authenticated";
    /// AUTH between MAIL and the end of its transaction (RFC 4954 section 4).
    AUTH_IN_TRANSACTION = 503 "5.5.1" "Not during a mail transaction";
    /// AUTH in the clear.
    AUTH_NEEDS_TLS = 538 "5.7.11" "Encryption required, STARTTLS first";
    /// A mechanism that was not offered.
    AUTH_UNKNOWN_MECHANISM = 504 "5.5.4" "Mechanism not offered";
    /// A response that is no base64, or not what the mechanism wants.
    AUTH_MALFORMED = 501 "5.5.2" "Malformed authentication response";
    /// A response over [`limits::AUTH_LINE_BYTES_MAX`].
    AUTH_LINE_TOO_LONG = 500 "5.5.6" "Authentication response too long";
    /// The client said `*`.
    AUTH_CANCELLED = 501 "5.7.0" "Authentication cancelled";
    /// Name or password is wrong.
    AUTH_FAILED = 535 "5.7.8" "Authentication failed";
    /// The login cannot be checked now.
    AUTH_UNAVAILABLE = 454 "4.7.0" "Cannot authenticate now, try again later";
    /// More than [`limits::LOGINS_REFUSED_MAX`].
    TOO_MANY_LOGINS = 421 "4.7.0" "Too many failed logins, closing connection";

    /// More than the session's bound; what was taken stands (RFC 5321 section 4.5.3.1.10).
    TOO_MANY_RECIPIENTS = 452 "4.5.3" "Too many recipients";
    /// Declared or real size over the session's bound (RFC 1870).
    TOO_LARGE = 552 "5.3.4" "Message too large";
    /// The same where nothing is refused for good, so that an administrator can raise the bound.
    TOO_LARGE_FOR_NOW = 452 "4.3.4" "Message too large for now";
    /// A chunk of which not even the octets can be read and dropped; see [`limits::CHUNK_DROPPED_BYTES_MAX`].
    CHUNK_TOO_LARGE = 552 "5.3.4" "Message too large, closing connection";
    /// CR without LF in content.
    BARE_CR = 550 "5.6.11" "Message contains a bare CR; lines end in CRLF";
    /// LF without CR in content.
    BARE_LF = 550 "5.6.11" "Message contains a bare LF; lines end in CRLF";
    /// A text line over [`limits::TEXT_LINE_BYTES_MAX`].
    TEXT_LINE_TOO_LONG = 554 "5.6.0" "Message contains a line that is too long";
    /// A header over [`limits::HEADER_BYTES_MAX`].
    HEADER_TOO_LONG = 554 "5.6.0" "Message header too long";

    /// A browser or the like talks to us.
    FOREIGN_PROTOCOL = 554 "5.5.1" "This is not an HTTP server, closing connection";
    /// More than [`limits::ERRORS_MAX`].
    TOO_MANY_ERRORS = 421 "4.7.0" "Too many errors, closing connection";
    /// The client said nothing for too long.
    IDLE = 421 "4.4.2" "Timeout, closing connection";
    /// We are going down.
    SHUTTING_DOWN = 421 "4.3.2" "Service shutting down, closing connection";

    /// Something of ours is out of order.
    LOCAL_ERROR = 451 "4.3.0" "Local error, try again later";
    /// Mail cannot be kept at the moment.
    STORAGE_UNAVAILABLE = 451 "4.3.0" "Storage unavailable, try again later";
    /// No room.
    STORAGE_FULL = 452 "4.3.1" "Insufficient storage, try again later";
    /// Not one of our users, not one of our domains.
    RELAY_DENIED = 550 "5.7.1" "Relay access denied";
    /// A policy refuses the message; the driver may add the policy's own text.
    REFUSED_BY_POLICY = 550 "5.7.1" "Refused by policy";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        for (name, reply) in ALL {
            let class = reply.code / 100;
            assert!((200..=599).contains(&reply.code), "{name}");
            assert!(reply.status.is_empty() || reply.status.starts_with(&format!("{class}.")), "{name}");
            assert!(reply.text.len() <= limits::REPLY_TEXT_BYTES_MAX && reply.text.is_ascii(), "{name}");
            assert_eq!(reply.is_positive(), class == 2, "{name}");
        }
    }

    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        REFUSED_BY_POLICY.with_text(text).write(&mut out);
        assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
    }

    #[test]
    fn text_cannot_leave_its_reply() {
        check("no", "550 5.7.1 no\r\n");
        check("", "550 5.7.1\r\n");
        check("a\nb", "550-5.7.1 a\r\n550 5.7.1 b\r\n");
        check("a\r250 ok\0\u{fc}", "550 5.7.1 a?250 ok??\r\n");
        let long = "x".repeat(limits::REPLY_TEXT_BYTES_MAX);
        check(&long, &format!("550 5.7.1 {long}\r\n"));
        check(&format!("{long}y"), &format!("550-5.7.1 {long}\r\n550 5.7.1 y\r\n"));
        let words = format!("{} tail", &long[1..]);
        check(&words, &format!("550-5.7.1 {}\r\n550 5.7.1 tail\r\n", &long[1..]));
    }

    #[test]
    fn lines_hold_their_bounds() {
        let mut out = Vec::new();
        REFUSED_BY_POLICY.with_text("w".repeat(100_000)).write(&mut out);
        let text = String::from_utf8(out).expect("ASCII");
        assert_eq!(text.lines().count(), limits::REPLY_LINES_MAX);
        assert!(text.split_inclusive("\r\n").all(|line| line.len() <= 512));
        assert!(text.lines().last().is_some_and(|line| line.starts_with("550 ")));
    }
}
