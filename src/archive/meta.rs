//! Meta: what is kept with a message besides its octets. Records stand verbatim, because leaves commit to their octets.

use super::cursor::Malformed;
use super::strict;
use crate::journal::Accept;
use crate::journal::RecipientResult;
use crate::mail::MailId;
use crate::mail::summary::Summary;
use minicbor::{Decode, Encode};

const VERSION: u8 = 1;

/// A terminal result with the place of its leaf.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ResultRecord {
    /// Index of its RESULT leaf.
    #[n(0)]
    pub leaf_index: u64,
    /// Place among the message's terminal results, from 0.
    #[n(1)]
    pub ordinal: u64,
    /// CBOR of the `RecipientResult`, verbatim.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub record: Vec<u8>,
}

impl ResultRecord {
    /// The result.
    pub fn result(&self) -> Result<RecipientResult, Malformed> {
        strict::decode(&self.record)
    }
}

/// What is kept with a message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Meta {
    #[n(0)]
    version: u8,
    /// Index of its ACCEPT leaf.
    #[n(1)]
    pub accept_index: u64,
    /// CBOR of the `Accept`, verbatim.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub accept_record: Vec<u8>,
    /// Terminal results known when it was sealed.
    #[n(3)]
    pub results: Vec<ResultRecord>,
    /// Header and structure.
    #[n(4)]
    pub summary: Summary,
}

/// What a meta begins with. Read where its summary cannot be, so not as strictly: the rest is only stepped over.
#[derive(Decode)]
struct Beginning {
    #[n(0)]
    version: u8,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    accept_record: Vec<u8>,
}

impl Meta {
    /// Of a message.
    pub fn new(accept_index: u64, accept_record: Vec<u8>, results: Vec<ResultRecord>, summary: Summary) -> Meta {
        Meta { version: VERSION, accept_index, accept_record, results, summary }
    }
    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        strict::encode(self)
    }
    /// Reads one.
    pub fn parse(octets: &[u8]) -> Result<Meta, Malformed> {
        let meta: Meta = strict::decode(octets)?;
        if meta.version == VERSION { Ok(meta) } else { Err(Malformed("meta of an unknown version")) }
    }
    /// The record of acceptance in a meta; behind it nothing is looked at.
    pub fn parse_accept(octets: &[u8]) -> Result<Accept, Malformed> {
        let beginning: Beginning = minicbor::decode(octets).map_err(|_| Malformed("not the CBOR expected"))?;
        if beginning.version == VERSION {
            return strict::decode(&beginning.accept_record);
        }
        Err(Malformed("meta of an unknown version"))
    }
    /// The record of acceptance.
    pub fn accept(&self) -> Result<Accept, Malformed> {
        strict::decode(&self.accept_record)
    }
}

/// Results of a message that was sealed before them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Event {
    #[n(0)]
    version: u8,
    /// Index of the message's ACCEPT leaf.
    #[n(1)]
    pub accept_index: u64,
    /// The message.
    #[n(2)]
    pub id: MailId,
    /// The results.
    #[n(3)]
    pub results: Vec<ResultRecord>,
}

impl Event {
    /// Of a message.
    pub fn new(accept_index: u64, id: MailId, results: Vec<ResultRecord>) -> Event {
        Event { version: VERSION, accept_index, id, results }
    }
    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        strict::encode(self)
    }
    /// Reads one.
    pub fn parse(octets: &[u8]) -> Result<Event, Malformed> {
        let event: Event = strict::decode(octets)?;
        if event.version == VERSION { Ok(event) } else { Err(Malformed("event of an unknown version")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_back_in_version_one_only() {
        let record = ResultRecord { leaf_index: 9, ordinal: 0, record: vec![0x80] };
        let mut event = Event::new(3, MailId::from_octets([1; 16]), vec![record]);
        assert_eq!(Event::parse(&event.encode()), Ok(event.clone()));
        event.version = 2;
        assert!(Event::parse(&event.encode()).is_err());
    }
}
