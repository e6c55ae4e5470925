//! Orders of erasure: a text that names messages, signed by officers. Reads, checks and makes them; never carries one out.

use super::leaves::REASON_BYTES_MAX;
use super::leaves::is_line;
use crate::archive::Error;
use crate::archive::cursor::Malformed;
use crate::archive::layout::ArchiveId;
use crate::archive::strict;
use crate::clock::Timestamp;
use crate::crypto::hash;
use crate::mail::MailId;
use minicbor::{Decode, Encode};

/// Messages of an order at most.
pub const MESSAGES_MAX: usize = 100_000;
/// Octets of an order's text at most.
pub const TEXT_BYTES_MAX: usize = 8 << 20;
/// Octets of a signature at most.
pub const SIGNATURE_BYTES_MAX: usize = 64 << 10;
/// Signatures of an order at most.
pub const SIGNATURES_MAX: usize = 16;
/// Octets of an order's file at most.
pub const FILE_BYTES_MAX: u64 = (TEXT_BYTES_MAX + SIGNATURES_MAX * (SIGNATURE_BYTES_MAX + 8) + 64) as u64;
const FILE_MAGIC: &[u8] = b"sealpost order 1\n";
const TITLE: &str = "sealpost erase order 1";

/// A message as an order names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its ACCEPT leaf: what erasure goes by.
    pub accept_index: u64,
    /// Its id: what people go by.
    pub id: MailId,
}

/// What an order says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The archive.
    pub archive: ArchiveId,
    /// When it was written, to the second.
    pub dated: Timestamp,
    /// Why.
    pub reason: String,
    /// What is to be erased, by ascending ACCEPT index, each once.
    pub messages: Vec<Named>,
}

impl Order {
    /// The text to be signed.
    pub fn text(&self) -> String {
        let Order { archive, dated, reason, messages } = self;
        let mut text = format!("{TITLE}\narchive {archive}\ndated {}\nreason {reason}\n", seconds(*dated));
        for Named { id, accept_index } in messages {
            text.push_str(&format!("message {id} {accept_index}\n"));
        }
        text
    }

    /// Reads a text. Lines may end in CR LF, and the last one without an end: that is what programs that sign text make of it.
    pub fn parse(text: &str) -> Result<Order, Malformed> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Malformed("an order that is too long"));
        }
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)).map(str::to_owned);
        field(TITLE).filter(String::is_empty).ok_or(Malformed("no erase order of version 1"))?;
        let archive = field("archive ").and_then(|hex| archive_id(&hex)).ok_or(Malformed("an order for no archive"))?;
        let dated =
            field("dated ").and_then(|text| parse_seconds(&text)).ok_or(Malformed("an order without a date"))?;
        let reason = field("reason ").filter(|reason| is_line(reason, REASON_BYTES_MAX));
        let reason = reason.ok_or(Malformed("an order without a reason"))?;
        let mut messages: Vec<Named> = Vec::new();
        let mut ended = false;
        for line in lines {
            if line.is_empty() && !ended {
                ended = true;
                continue;
            }
            let named = Some(line).filter(|_| !ended).and_then(named).ok_or(Malformed("no line of an order"))?;
            if messages.last().is_some_and(|before| before.accept_index >= named.accept_index) {
                return Err(Malformed("messages of an order out of order"));
            }
            messages.push(named);
        }
        match messages.len() {
            0 => Err(Malformed("an order that names no message")),
            1..=MESSAGES_MAX => Ok(Order { archive, dated, reason, messages }),
            _ => Err(Malformed("an order of too many messages")),
        }
    }
}

fn named(line: &str) -> Option<Named> {
    let (id, index) = line.strip_prefix("message ")?.split_once(' ')?;
    let accept_index = index.parse::<u64>().ok().filter(|number| number.to_string() == index)?;
    MailId::parse(id).filter(|parsed| parsed.to_string() == id).map(|id| Named { accept_index, id })
}

fn archive_id(hex: &str) -> Option<ArchiveId> {
    let id = hash::unhex(hex).and_then(|octets| octets.try_into().ok()).map(ArchiveId::from_octets)?;
    (id.to_string() == hex).then_some(id)
}

fn seconds(at: Timestamp) -> String {
    let text = Timestamp::from_s(at.s()).rfc3339();
    format!("{}Z", text.split(['.', 'Z']).next().unwrap_or_default())
}

fn parse_seconds(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = time.split(':').map(|part| part.parse::<i64>().ok().filter(|_| part.len() == 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let at = Timestamp::parse_date(date)?.plus_s(hour * 3600 + minute * 60 + second);
    // What does not come back as it was, such as 25:61:61, is no time.
    (parts.next().is_none() && seconds(at) == text).then_some(at)
}

/// An order as it is kept: the text that was signed, and the signatures.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedOrder {
    /// The text.
    #[n(0)]
    pub text: String,
    /// OpenPGP signatures over it, binary.
    #[n(1)]
    pub signatures: Vec<SignatureOctets>,
}

/// One OpenPGP signature, binary.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct SignatureOctets(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub Vec<u8>,
);

impl SignedOrder {
    /// The octets of its file.
    pub fn encode(&self) -> Vec<u8> {
        [FILE_MAGIC, &strict::encode(self)].concat()
    }
    /// Reads a file.
    pub fn parse(octets: &[u8]) -> Result<SignedOrder, Malformed> {
        let cbor = octets.strip_prefix(FILE_MAGIC).ok_or(Malformed("no order file"))?;
        let signed: SignedOrder = strict::decode(cbor)?;
        let bounded = signed.signatures.iter().all(|signature| signature.0.len() <= SIGNATURE_BYTES_MAX);
        if !bounded || signed.signatures.len() > SIGNATURES_MAX {
            return Err(Malformed("too many or too long signatures"));
        }
        Ok(signed)
    }
    /// What it says.
    pub fn order(&self) -> Result<Order, Error> {
        Order::parse(&self.text).map_err(|what| Error::Order(what.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn order(messages: usize) -> Order {
        let named = |n: usize| Named { accept_index: 10 + 3 * n as u64, id: MailId::from_octets([n as u8; 16]) };
        Order {
            archive: ArchiveId::from_octets([0xab; 16]),
            dated: Timestamp::from_s(1_733_011_170),
            reason: "request of a person, case 7".into(),
            messages: (0..messages).map(named).collect(),
        }
    }

    #[test]
    fn an_order_reads_back_however_its_lines_end() {
        let text = order(2).text();
        let expected = "sealpost erase order 1\narchive abababababababababababababababab\ndated 2024-11-30T23:59:30Z\n\
                        reason request of a person, case 7\nmessage 00000000000000000000000000000000 10\n\
                        message 01010101010101010101010101010101 13\n";
        assert_eq!(text, expected);
        for form in [text.clone(), text.trim_end().to_owned(), text.replace('\n', "\r\n")] {
            assert_eq!(Order::parse(&form), Ok(order(2)));
        }
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let text = order(2).text();
        for (from, to) in [
            ("order 1", "order 2"),
            ("archive ab", "archive AB"),
            ("23:59:30Z", "24:59:30Z"),
            ("23:59:30Z", "23:59:30"),
            ("23:59:30Z", "23:59:30.5Z"),
            ("2024-11-30", "2024-11-31"),
            ("reason request of a person, case 7", "reason "),
            (" 13\n", " 10\n"),
            (" 13\n", " 013\n"),
            (" 13\n", "\n"),
            (" 13\n", " 13\n\nmessage 02020202020202020202020202020202 20\n"),
            (" 13\n", " 13 \n"),
            ("message 01", "message zz"),
        ] {
            assert!(text.contains(from));
            assert!(Order::parse(&text.replace(from, to)).is_err(), "{from} as {to}");
        }
        assert!(Order::parse(&order(0).text()).is_err());
        assert!(Order::parse("").is_err());
    }

    #[test]
    fn orders_have_a_bound() {
        let named = |n: usize| Named { accept_index: n as u64, id: MailId::from_octets([1; 16]) };
        let with = |n: usize| Order { messages: (0..n).map(named).collect(), ..order(0) }.text();
        assert!(Order::parse(&with(MESSAGES_MAX)).is_ok());
        assert!(Order::parse(&with(MESSAGES_MAX + 1)).is_err());
    }

    #[test]
    fn order_files_read_back_in_one_form() {
        let signed = SignedOrder { text: order(1).text(), signatures: vec![SignatureOctets(vec![1, 2])] };
        let octets = signed.encode();
        assert_eq!(SignedOrder::parse(&octets), Ok(signed.clone()));
        for cut in 0..octets.len() {
            assert!(SignedOrder::parse(&octets[..cut]).is_err());
        }
        let many = SignedOrder { signatures: vec![SignatureOctets(vec![1]); SIGNATURES_MAX + 1], ..signed };
        assert!(SignedOrder::parse(&many.encode()).is_err());
    }
}
