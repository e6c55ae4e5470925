//! Addresses.

use crate::driver::run;
use sealpost::mail::Address;

fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(address) = Address::parse(text) else { return };
    assert_eq!(address.to_string(), text, "an address is kept as written");
    let canonical = address.canonical();
    let again = Address::parse(&canonical).expect("the canonical form is an address");
    assert_eq!(again.canonical(), canonical, "canonical is a fixed point");
}

#[test]
fn addresses() {
    let seeds: &[&[u8]] = &[b"a.b@example.org", b"\"a \\\" b\"@example.org", b"x@[IPv6:::1]", "ü@ö.example".as_bytes()];
    run("address", seeds, &[b"@", b"\"", b"\\", b".", b"[", b"]"], address);
}
