//! Queries: every text is a query or a fault that says where.

use crate::driver::run;
use sealpost::catalog::{Query, Reference};

fn query(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Err(fault) = Query::parse(&text) {
        assert!(!fault.message.is_empty() && fault.near.chars().count() <= 40);
    }
    let reference = Reference::parse(&text);
    assert_eq!(reference, Reference::parse(&text));
}

#[test]
fn queries() {
    let seeds: &[&[u8]] = &[
        b"from:alice@example.org to:@partner.example subject:\"a \\\"b\\\"\" after:2026-01-01 before:2026-12-31",
        b"-(id:0123456789abcdef0123456789abcdef OR msgid:<a@b>) class:default direction:outbound larger:10M on:2026-02-28",
        b"Archive/2026/2026-11/17",
    ];
    run("query", seeds, &[b"(", b")", b"-", b" OR ", b"\"", b"\\", b":", b"from:", b"99999999999999999999"], query);
}
