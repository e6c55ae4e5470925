//! The texts we answer with, in one table; codes of RFC 2449 and 3206. Public text names no file, rule or mechanism.

use crate::catalog::Unavailable;

pub(super) const ERR_STATE: &str = "-ERR Not now";
pub(super) const ERR_PRIVACY: &str = "-ERR Start TLS first";
pub(super) const ERR_CREDENTIALS: &str = "-ERR [AUTH] User name or password is wrong";
pub(super) const ERR_UNAVAILABLE: &str = "-ERR [SYS/TEMP] The archive is not available now";
pub(super) const ERR_NUMBER: &str = "-ERR No such message";
pub(super) const ERR_TOO_LONG: &str = "-ERR The line is too long";

/// One line.
pub(super) fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What a client is told when the view cannot answer; the cause goes to the log.
pub(super) fn unavailable(cause: &Unavailable) -> &'static str {
    tracing::warn!(%cause, "the archive view did not answer a POP3 session");
    ERR_UNAVAILABLE
}
