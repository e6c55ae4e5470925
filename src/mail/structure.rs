//! The MIME structure of a message as octet ranges.
