//! IMAP4rev1 (RFC 3501), read-only: a session core over bytes and a [`crate::catalog::View`]. Has no way to write.
