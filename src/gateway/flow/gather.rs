//! Step 2, gather: what policy may know about a message, and the keys that a ruling may call for. Decides nothing.

use super::permission::{self, Submitter};
use super::plan::Visibility;
use crate::access::Account;
use crate::clock::Timestamp;
use crate::gateway::config::{Config, Listener};
use crate::keyring::{self, Choice, Keyring, RecipientKey, SigningKey};
use crate::mail::header;
use crate::mail::summary::ListEntry;
use crate::mail::{Address, Client, Direction, Envelope};
use crate::policy::{Facts, Format, KeyFact, Permission, RecipientFacts, SigningFacts};
use crate::protect;
use std::collections::HashSet;
use std::sync::Arc;

/// Everything steps 3 and 4 need.
#[derive(Debug)]
pub struct Gathered {
    /// For the policy.
    pub facts: Facts,
    /// Per envelope recipient: the keys to encrypt to.
    pub recipient_keys: Vec<Keys<RecipientKey>>,
    /// The author's keys.
    pub signing_keys: Keys<SigningKey>,
    /// Per envelope recipient.
    pub visibility: Vec<Visibility>,
}

impl Gathered {
    /// A fact found late: the message as it is cannot carry a signature.
    pub fn cannot_be_signed(&mut self, reason: &str) {
        let missing = || KeyFact::Missing { reason: reason.to_owned() };
        (self.facts.signing.smime, self.facts.signing.openpgp) = (missing(), missing());
    }
}

/// At most one key of each format.
#[derive(Debug)]
pub struct Keys<K> {
    smime: Option<Arc<K>>,
    openpgp: Option<Arc<K>>,
}

impl<K> Keys<K> {
    fn none() -> Keys<K> {
        Keys { smime: None, openpgp: None }
    }
    /// The key of this format.
    pub fn of(&self, format: Format) -> Option<&Arc<K>> {
        match format {
            Format::Smime => self.smime.as_ref(),
            Format::OpenPgp => self.openpgp.as_ref(),
        }
    }
}

/// Where a message came in.
#[derive(Clone, Copy, Debug)]
pub struct Entrance<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The listener; `None` for mail of the gateway's own.
    pub listener: Option<&'a Listener>,
    /// The account that logged in there.
    pub account: Option<&'a Account>,
}

/// Looks at header and keyring.
pub fn gather(
    entrance: Entrance<'_>,
    client: &Client,
    envelope: &Envelope,
    octets: &[u8],
    keyring: &Keyring,
    now: Timestamp,
) -> Gathered {
    let (span, _) = header::split(octets);
    let head = &octets[..usize::try_from(span.end).unwrap_or(octets.len())];
    let author = header::author(head);
    let permitted = match entrance.listener {
        Some(listener) => {
            let submitter = Submitter::of(client, entrance.account);
            permission::signing(entrance.config, listener, submitter, &author)
        }
        None => Permission::No { reason: "the gateway's own mail".to_owned() },
    };
    let (signing_keys, smime, openpgp) = signing(&permitted, keyring, now);
    let mut recipients = Vec::with_capacity(envelope.recipients.len());
    let mut recipient_keys = Vec::with_capacity(envelope.recipients.len());
    for recipient in &envelope.recipients {
        let (keys, facts) = recipient_facts(client.direction, &recipient.address, keyring, now);
        recipients.push(facts);
        recipient_keys.push(keys);
    }
    let mut subjects: Vec<String> = header::named(head, "Subject").map(|field| header::decode(field.value)).collect();
    if subjects.is_empty() {
        subjects.push(String::new());
    }
    let facts = Facts {
        direction: client.direction,
        sender: envelope.sender.clone(),
        subjects,
        recipients,
        signing: SigningFacts { permitted, smime, openpgp },
        already: protect::already(octets),
    };
    Gathered { facts, recipient_keys, signing_keys, visibility: visibility(head, envelope) }
}

fn signing(permitted: &Permission, keyring: &Keyring, now: Timestamp) -> (Keys<SigningKey>, KeyFact, KeyFact) {
    let Permission::Yes(author) = permitted else {
        let missing = || KeyFact::Missing { reason: "signing is not permitted".to_owned() };
        return (Keys::none(), missing(), missing());
    };
    let smime = keyring.signing_key(author, keyring::Format::Smime, now);
    let openpgp = keyring.signing_key(author, keyring::Format::OpenPgp, now);
    let facts = (key_fact(&smime), key_fact(&openpgp));
    (Keys { smime: smime.taken, openpgp: openpgp.taken }, facts.0, facts.1)
}

/// Keys are looked up for outbound mail alone: nothing else is encrypted to its recipient.
fn recipient_facts(
    direction: Direction,
    address: &Address,
    keyring: &Keyring,
    now: Timestamp,
) -> (Keys<RecipientKey>, RecipientFacts) {
    if direction != Direction::Outbound {
        let missing = || KeyFact::Missing { reason: format!("no keys are looked up for {} mail", direction.word()) };
        let facts = RecipientFacts { address: address.clone(), smime: missing(), openpgp: missing() };
        return (Keys::none(), facts);
    }
    let smime = keyring.recipient_key(address, keyring::Format::Smime, now);
    let openpgp = keyring.recipient_key(address, keyring::Format::OpenPgp, now);
    let facts = RecipientFacts { address: address.clone(), smime: key_fact(&smime), openpgp: key_fact(&openpgp) };
    (Keys { smime: smime.taken, openpgp: openpgp.taken }, facts)
}

fn key_fact<K>(choice: &Choice<K>) -> KeyFact {
    match choice.fact() {
        Ok(key) => KeyFact::Usable { key },
        Err(reason) => KeyFact::Missing { reason },
    }
}

fn visibility(head: &[u8], envelope: &Envelope) -> Vec<Visibility> {
    let mut named = HashSet::new();
    for field in ["To", "Cc"].into_iter().flat_map(|name| header::named(head, name)) {
        for entry in header::addresses(field.value) {
            if let ListEntry::Mailbox { local, domain, .. } = entry {
                named.insert(format!("{local}@{domain}").to_ascii_lowercase());
            }
        }
    }
    let of = |address: &Address| match named.contains(&address.canonical()) {
        true => Visibility::Named,
        false => Visibility::Hidden,
    };
    envelope.recipients.iter().map(|recipient| of(&recipient.address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{BodyType, Recipient};

    #[test]
    fn who_stands_in_to_or_cc_is_named() {
        let head = b"To: Bob <BOB@partner.example>\r\nCc: g: c@x.example, \"d e\"@x.example;\r\nBcc: e@x.example\r\n";
        let address = |a: &str| Recipient::new(Address::parse(a).expect("address"));
        let envelope = Envelope {
            sender: None,
            recipients: vec![address("bob@partner.example"), address("c@x.example"), address("e@x.example")],
            body: BodyType::SevenBit,
            ret: None,
            envid: None,
            smtputf8: false,
            require_tls: None,
        };
        assert_eq!(visibility(head, &envelope), [Visibility::Named, Visibility::Named, Visibility::Hidden]);
    }
}
