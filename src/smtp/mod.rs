//! SMTP (RFC 5321): a server and a client core over bytes. Knows neither policy, keys nor archive, and does no I/O.
