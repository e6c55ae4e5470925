//! What one session or command is recorded as in the read audit. Makes records, writes none.

use crate::access::Account;
use crate::access::audit::{Event, Record, Terms, Uids};
use crate::catalog::{Aim, Reading};
use crate::clock::Clock;
use crate::crypto::hpke::PublicKey;
use crate::crypto::{self, random};
use crate::mail::Tls;
use std::sync::Arc;

/// Clients of commands that run on the machine.
pub const LOCAL: &str = "local";

/// The records of one connection or one command.
pub struct Ledger {
    clock: Arc<dyn Clock>,
    /// Seals search terms to the officers.
    public: PublicKey,
    session: [u8; 8],
    account: String,
    client: String,
    commands: u64,
    messages: u64,
    bytes: u64,
}

impl Ledger {
    /// Of a client at this address.
    pub fn new(clock: Arc<dyn Clock>, public: PublicKey, client: String) -> Result<Ledger, crypto::Error> {
        let (session, account) = (random::bytes()?, String::new());
        Ok(Ledger { clock, public, session, account, client, commands: 0, messages: 0, bytes: 0 })
    }

    /// Of a command that this process runs: the user is the system's.
    pub fn of_command(clock: Arc<dyn Clock>, public: PublicKey) -> Result<Ledger, crypto::Error> {
        Ok(Ledger { account: system_user(), ..Ledger::new(clock, public, LOCAL.to_owned())? })
    }

    fn record(&self, event: Event) -> Record {
        let (at, session) = (self.clock.now(), self.session);
        Record { at, session, account: self.account.clone(), client: self.client.clone(), event }
    }

    /// Somebody is let in.
    pub fn login(&mut self, account: &Account, protocol: &str, tls: Option<&Tls>) -> Record {
        self.account = account.name.to_string();
        let (role, protocol) = (account.role.word().to_owned(), protocol.to_owned());
        self.record(Event::Login { role, protocol, tls: version(tls) })
    }

    /// Somebody is not let in; the name is the one given.
    pub fn refused(&self, name: &str, protocol: &str, tls: Option<&Tls>, reason: &str) -> Record {
        let (protocol, reason) = (protocol.to_owned(), reason.to_owned());
        let record = self.record(Event::Refused { protocol, tls: version(tls), reason });
        Record { account: name.to_owned(), ..record }
    }

    /// Mail is about to be shown or looked for.
    pub fn reading(&mut self, reading: Reading) -> Result<Record, crypto::Error> {
        self.commands = self.commands.saturating_add(1);
        let (command, mailbox) = (reading.command.to_owned(), reading.mailbox);
        match reading.aim {
            Aim::Messages { uids, count, items } => {
                self.messages = self.messages.saturating_add(count);
                let (uids, exact) = Uids::new(&uids);
                Ok(self.record(Event::Read { command, mailbox, uids, messages: count, exact, items }))
            }
            Aim::Terms(text) => {
                let at = self.clock.now();
                let (terms, whole) = Terms::seal(&self.public, &self.session, at, &text)?;
                let record = self.record(Event::Search { command, mailbox, terms, whole });
                Ok(Record { at, ..record })
            }
        }
    }

    /// So many octets went to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// It ends.
    pub fn end(&self) -> Record {
        self.record(Event::End { commands: self.commands, messages: self.messages, bytes: self.bytes })
    }
}

fn version(tls: Option<&Tls>) -> String {
    tls.map(|tls| tls.version.clone()).unwrap_or_default()
}

/// `uid:0`, and who logged in before becoming that, where the kernel knows.
fn system_user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    // All ones: nobody logged in, a service or a container.
    let login = login.and_then(|text| text.trim().parse::<u32>().ok()).filter(|login| *login != u32::MAX);
    match login.filter(|login| *login != uid) {
        None => format!("uid:{uid}"),
        Some(login) => format!("uid:{uid} (login uid {login})"),
    }
}
