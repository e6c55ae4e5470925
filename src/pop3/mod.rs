//! POP3 (RFC 1939), read-only: a session core over bytes and a [`crate::catalog::View`]. Has no way to write.
