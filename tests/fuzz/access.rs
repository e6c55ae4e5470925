//! Logins: whatever a client says in SCRAM, it is answered or refused, and nobody gets in without the password.

use crate::driver::run;
use sealpost::access::scram::Reached;
use sealpost::access::{Account, AccountName, Accounts, Mechanisms, Password, Role};
use sealpost::clock::SystemClock;
use sealpost::durable::RealDisk;
use std::sync::{Arc, OnceLock};

fn accounts() -> &'static Accounts {
    static ACCOUNTS: OnceLock<(tempfile::TempDir, Accounts)> = OnceLock::new();
    let (_, accounts) = ACCOUNTS.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let accounts = Accounts::open(Arc::new(RealDisk), Arc::new(SystemClock), dir.path()).expect("accounts");
        let name = AccountName::parse("alice").expect("a name");
        let account = Account { name, role: Role::User, addresses: Vec::new() };
        let password = Password::parse(b"correct horse").expect("a password");
        accounts.add(account, &password, Mechanisms::PasswordAndScram).expect("added");
        (dir, accounts)
    });
    accounts
}

/// The input is the client's messages, a line each. An answer holds the client's nonce, and one of ours behind it.
fn scram(input: &[u8]) {
    let mut messages = input.split(|&octet| octet == b'\n');
    let first = messages.next().unwrap_or_default();
    let Ok(Reached::Challenge(exchange, answer)) = accounts().scram(first) else { return };
    let answer = String::from_utf8(answer).expect("ASCII");
    let nonce = answer.strip_prefix("r=").and_then(|rest| rest.split(',').next()).expect("a nonce");
    let said = String::from_utf8_lossy(first);
    let own = said.split(",r=").nth(1).and_then(|rest| rest.split(',').next()).expect("the client's nonce");
    assert!(nonce.starts_with(own) && nonce.len() > own.len() + 20, "{answer}");
    let last = String::from_utf8_lossy(messages.next().unwrap_or_default()).replace("NONCE", nonce);
    assert!(exchange.respond(last.as_bytes()).is_err(), "{said:?} {last:?}");
}

#[test]
fn logins_by_scram() {
    let seeds: &[&[u8]] = &[
        b"n,,n=alice,r=abc\nc=biws,r=NONCE,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        b"y,a=bob,n=bob,r=x,e=1\nc=eSxhPWJvYiw=,r=NONCE,x=1,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"p=tls-exporter,,n=a=2Cb=3D,r=y\n",
    ];
    let tokens: &[&[u8]] = &[b",", b"=", b"=2C", b"n=", b"r=", b"c=", b"p=", b"m=", b"a=", b"NONCE", b"\n", b"\0"];
    run("scram", seeds, tokens, scram);
}
