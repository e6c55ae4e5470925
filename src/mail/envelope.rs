//! The envelope: what SMTP says about a message besides its octets. Never derived from the header.

use super::Address;
use crate::clock::Timestamp;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Which way a listener carries mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From our users to anywhere.
    #[n(0)]
    Outbound,
    /// From anywhere to our users.
    #[n(1)]
    Inbound,
    /// Copies for the archive alone.
    #[n(2)]
    Journal,
    /// Through no listener: imported from a file, for the archive alone. No SMTP transaction was seen, and the envelope of such mail is
    /// what header and From_ line say ([`super::derived`]).
    #[n(3)]
    #[serde(skip_deserializing)]
    Import,
}

impl Direction {
    /// The word the configuration, policies and JSON use.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Outbound => "outbound",
            Direction::Inbound => "inbound",
            Direction::Journal => "journal",
            Direction::Import => "import",
        }
    }
}

/// BODY= of MAIL FROM (RFC 6152).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum BodyType {
    /// Declared 7BIT, or nothing declared.
    #[n(0)]
    #[default]
    SevenBit,
    /// Declared 8BITMIME.
    #[n(1)]
    EightBitMime,
}

/// One RCPT.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Recipient {
    /// The forward-path's mailbox, as given.
    #[n(0)]
    pub address: Address,
    /// NOTIFY= as given (RFC 3461 section 4.1).
    #[n(1)]
    pub notify: Option<String>,
    /// ORCPT= as given, still xtext (RFC 3461 section 4.2).
    #[n(2)]
    pub orcpt: Option<String>,
}

impl Recipient {
    /// A recipient without DSN parameters.
    pub fn new(address: Address) -> Recipient {
        Recipient { address, notify: None, orcpt: None }
    }
}

/// REQUIRETLS of MAIL FROM (RFC 8689).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RequireTls {
    /// Every hop from here on speaks TLS with a verified certificate and promises the same, or the message fails.
    #[n(0)]
    EveryHop,
}

/// MAIL and all RCPTs of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// The reverse-path's mailbox; `None` is the null sender `<>`.
    #[n(0)]
    pub sender: Option<Address>,
    /// In the order given; a recipient named twice stands twice.
    #[n(1)]
    pub recipients: Vec<Recipient>,
    /// BODY=.
    #[n(2)]
    pub body: BodyType,
    /// RET= as given (RFC 3461 section 4.3).
    #[n(3)]
    pub ret: Option<String>,
    /// ENVID= as given, still xtext (RFC 3461 section 4.4).
    #[n(4)]
    pub envid: Option<String>,
    /// SMTPUTF8 was asked for (RFC 6531).
    #[n(5)]
    pub smtputf8: bool,
    /// REQUIRETLS was asked for. Left out of the record when it was not, so that older records and these are alike.
    #[n(6)]
    pub require_tls: Option<RequireTls>,
}

impl Envelope {
    /// The reverse-path's mailbox as text; empty for the null sender.
    pub fn sender_text(&self) -> String {
        self.sender.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// What TLS the client spoke.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tls {
    /// `TLSv1.3`.
    #[n(0)]
    pub version: String,
    /// `TLS13_AES_256_GCM_SHA384`.
    #[n(1)]
    pub cipher: String,
    /// What its certificate is known as, if the listener knows it. Left out of the record when it does not, so that older
    /// records and these are alike.
    #[n(2)]
    pub certificate: Option<String>,
}

/// Who handed the message over.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Client {
    /// The peer's address; the unspecified one of an import.
    #[n(0)]
    #[cbor(with = "ip")]
    pub ip: IpAddr,
    /// The argument of EHLO or HELO, as given. Of an import: where the message was found.
    #[n(1)]
    pub ehlo: String,
    /// `ESMTP` after EHLO, `SMTP` after HELO, with `S` and `A` as RFC 3848 says. Of an import `import`, or `import, LF made CRLF`.
    #[n(2)]
    pub protocol: String,
    /// TLS, if spoken.
    #[n(3)]
    pub tls: Option<Tls>,
    /// The account that authenticated, if any.
    #[n(4)]
    pub account: Option<String>,
    /// The listener's direction.
    #[n(5)]
    pub direction: Direction,
    /// When the message was complete.
    #[n(6)]
    pub at: Timestamp,
}

mod ip {
    //! An address as text.
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};
    use std::net::IpAddr;

    pub fn encode<C, W: Write>(ip: &IpAddr, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.str(&ip.to_string())?.ok()
    }
    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<IpAddr, DecodeError> {
        d.str()?.parse().map_err(|_| DecodeError::message("not an IP address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_cbor() {
        let address = |a: &str| Address::parse(a).expect("address");
        let envelope = Envelope {
            sender: None,
            recipients: vec![Recipient::new(address("\"a b\"@example.org"))],
            body: BodyType::EightBitMime,
            ret: Some("HDRS".into()),
            envid: None,
            smtputf8: false,
            require_tls: None,
        };
        let client = Client {
            ip: IpAddr::from([127, 0, 0, 1]),
            ehlo: "client.example".into(),
            protocol: "ESMTPS".into(),
            tls: Some(Tls { version: "TLSv1.3".into(), cipher: "x".into(), certificate: None }),
            account: None,
            direction: Direction::Outbound,
            at: Timestamp::from_ms(5),
        };
        let octets = minicbor::to_vec((&envelope, &client)).expect("encode");
        let back: (Envelope, Client) = minicbor::decode(&octets).expect("decode");
        assert_eq!(back, (envelope, client));
    }

    #[test]
    fn no_listener_imports() {
        assert_eq!(serde_json::from_str::<Direction>("\"journal\"").ok(), Some(Direction::Journal));
        assert!(serde_json::from_str::<Direction>("\"import\"").is_err());
        assert_eq!(minicbor::to_vec(Direction::Import).expect("encode"), [0x82, 0x03, 0x80]);
    }

    #[test]
    fn records_from_before_certificates_are_as_they_were() {
        let mut tls = Tls { version: "TLSv1.3".into(), cipher: "x".into(), certificate: None };
        // An array of two texts.
        let before = [&[0x82, 0x67][..], b"TLSv1.3", &[0x61], b"x"].concat();
        assert_eq!(minicbor::to_vec(&tls).expect("encode"), before);
        assert_eq!(minicbor::decode::<Tls>(&before).expect("decode"), tls);
        tls.certificate = Some("mx.example.org".into());
        assert_eq!(minicbor::decode::<Tls>(&minicbor::to_vec(&tls).expect("encode")).expect("decode"), tls);
    }

    #[test]
    fn records_from_before_requiretls_are_as_they_were() {
        let mut envelope = Envelope {
            sender: None,
            recipients: Vec::new(),
            body: BodyType::SevenBit,
            ret: None,
            envid: None,
            smtputf8: true,
            require_tls: None,
        };
        // An array of six: no sender, no recipients, variant 0 with no fields, null, null, true.
        let before = [0x86, 0xf6, 0x80, 0x82, 0x00, 0x80, 0xf6, 0xf6, 0xf5];
        assert_eq!(minicbor::to_vec(&envelope).expect("encode"), before);
        assert_eq!(minicbor::decode::<Envelope>(&before).expect("decode"), envelope);
        envelope.require_tls = Some(RequireTls::EveryHop);
        let octets = minicbor::to_vec(&envelope).expect("encode");
        assert_eq!(minicbor::decode::<Envelope>(&octets).expect("decode"), envelope);
    }
}
