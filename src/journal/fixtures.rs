//! Records for this room's tests. Never part of the product.

use super::record::{Accept, Content, Rendition};
use crate::clock::Timestamp;
use crate::crypto::sha256;
use crate::mail::Address;
use crate::mail::BodyType;
use crate::mail::Client;
use crate::mail::Direction;
use crate::mail::Envelope;
use crate::mail::MailId;
use crate::mail::Recipient;
use std::net::IpAddr;

/// A mailbox that cannot fail to parse.
pub fn address(n: u64) -> Address {
    Address::parse(&format!("user{n}@example.org")).expect("an address")
}

/// The `n`-th message id.
pub fn id(n: u64) -> MailId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    MailId::new(Timestamp::from_s(1_700_000_000), random)
}

/// An envelope to `recipients` mailboxes.
pub fn envelope(recipients: u64) -> Envelope {
    Envelope {
        sender: Some(address(0)),
        recipients: (1..=recipients).map(|n| Recipient::new(address(n))).collect(),
        body: BodyType::SevenBit,
        ret: None,
        envid: None,
        smtputf8: false,
        require_tls: None,
    }
}

/// A local client.
pub fn client() -> Client {
    Client {
        ip: IpAddr::from([127, 0, 0, 1]),
        ehlo: "client.example".into(),
        protocol: "ESMTP".into(),
        tls: None,
        account: None,
        direction: Direction::Outbound,
        at: Timestamp::from_s(1_700_000_000),
    }
}

/// A record of message `n` with one rendition, the original.
pub fn accept(n: u64, recipients: u64) -> Accept {
    let rendition = Rendition {
        recipients: (0..u32::try_from(recipients).expect("few")).collect(),
        prefix: b"Received: x\r\n".to_vec(),
        content: Content::Original,
        sha256: sha256(b"Received: x\r\nbody"),
        bytes: 17,
    };
    Accept {
        id: id(n),
        accepted_at: Timestamp::from_s(1_700_000_000),
        envelope: envelope(recipients),
        client: client(),
        body_bytes: 4,
        body_sha256: sha256(b"body"),
        ruling: vec![0x80],
        class: "default".into(),
        renditions: vec![rendition],
        reported: None,
        keep_until: None,
        protected_until: None,
        dated_at: None,
    }
}
