//! One record of the read audit: values, bounds, and their one CBOR form. Looks at no message.

use super::terms::Terms;
use crate::clock::Timestamp;
use minicbor::{Decode, Encode};

/// UID ranges of one record; what is beyond goes into the last one.
pub const RANGES_MAX: usize = 1024;

/// Octets of texts; what is longer is cut at a character.
const ACCOUNT_BYTES_MAX: usize = 128;
const CLIENT_BYTES_MAX: usize = 64;
const COMMAND_BYTES_MAX: usize = 64;
const MAILBOX_BYTES_MAX: usize = 255;
const WORD_BYTES_MAX: usize = 32;
const REASON_BYTES_MAX: usize = 256;
const ITEMS_BYTES_MAX: usize = 1024;
/// Stands at the end of items that were cut.
const CUT: &str = " ...";

/// Who did what, when.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// When the command was read.
    #[n(0)]
    pub at: Timestamp,
    /// Random; joins the records of a connection or a command.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub session: [u8; 8],
    /// Login name as given, or `uid:<n>`.
    #[n(2)]
    pub account: String,
    /// IP address, or `local`.
    #[n(3)]
    pub client: String,
    /// What.
    #[n(4)]
    pub event: Event,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Event {
    /// Somebody was let in.
    #[n(1)]
    Login {
        /// `user`, `officer`.
        #[n(0)]
        role: String,
        /// `imap`, `pop3`.
        #[n(1)]
        protocol: String,
        /// `TLSv1.3`, or nothing.
        #[n(2)]
        tls: String,
    },
    /// Somebody was not let in.
    #[n(2)]
    Refused {
        /// `imap`, `pop3`.
        #[n(0)]
        protocol: String,
        /// `TLSv1.3`, or nothing.
        #[n(1)]
        tls: String,
        /// For the auditor; the client is not told.
        #[n(2)]
        reason: String,
    },
    /// Mail is shown.
    #[n(3)]
    Read {
        /// `FETCH`, `RETR`, `archive export`.
        #[n(0)]
        command: String,
        /// Its mailbox.
        #[n(1)]
        mailbox: String,
        /// Which of its messages.
        #[n(2)]
        uids: Uids,
        /// How many of its messages.
        #[n(3)]
        messages: u64,
        /// Whether `uids` names these messages and no others.
        #[n(4)]
        exact: bool,
        /// What of them.
        #[n(5)]
        items: String,
    },
    /// Mail is looked for.
    #[n(4)]
    Search {
        /// `SEARCH`, `archive list`.
        #[n(0)]
        command: String,
        /// Where; nothing for everywhere.
        #[n(1)]
        mailbox: String,
        /// For what, for officers.
        #[n(2)]
        terms: Terms,
        /// Whether those are all the terms.
        #[n(3)]
        whole: bool,
    },
    /// The session or command ended.
    #[n(5)]
    End {
        /// Records of reads and searches in it.
        #[n(0)]
        commands: u64,
        /// Messages named in them.
        #[n(1)]
        messages: u64,
        /// Octets sent to the client, or written.
        #[n(2)]
        bytes: u64,
    },
}

/// Ranges of UIDs, both ends inclusive, ascending and apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Uids(#[n(0)] Vec<(u32, u32)>);

impl Uids {
    /// At most `RANGES_MAX` ranges. With more the last one covers all that is left: too many messages, never too few.
    pub fn new(ranges: &[(u32, u32)]) -> (Uids, bool) {
        if ranges.len() <= RANGES_MAX {
            return (Uids(ranges.to_vec()), true);
        }
        let mut kept = ranges[..RANGES_MAX].to_vec();
        if let (Some(last), Some((_, end))) = (kept.last_mut(), ranges.last()) {
            last.1 = *end;
        }
        (Uids(kept), false)
    }
    /// The ranges.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }
}

impl std::fmt::Display for Uids {
    /// As an IMAP sequence set.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}:{last}")?,
            }
        }
        Ok(())
    }
}

impl Event {
    /// The word for its kind.
    pub fn word(&self) -> &'static str {
        match self {
            Event::Login { .. } => "login",
            Event::Refused { .. } => "refused",
            Event::Read { .. } => "read",
            Event::Search { .. } => "search",
            Event::End { .. } => "end",
        }
    }
}

impl Record {
    /// Its octets, texts cut to their bounds.
    pub fn encode(&self) -> Vec<u8> {
        let mut bounded = self.clone();
        bounded.cut();
        encode(&bounded)
    }

    /// Reads what `encode` made, and nothing else.
    pub fn decode(octets: &[u8]) -> Option<Record> {
        let record: Record = minicbor::decode(octets).ok()?;
        (encode(&record) == octets).then_some(record)
    }

    fn cut(&mut self) {
        cut(&mut self.account, ACCOUNT_BYTES_MAX);
        cut(&mut self.client, CLIENT_BYTES_MAX);
        match &mut self.event {
            Event::Login { role, protocol, tls } => {
                [role, protocol, tls].into_iter().for_each(|word| cut(word, WORD_BYTES_MAX));
            }
            Event::Refused { protocol, tls, reason } => {
                [protocol, tls].into_iter().for_each(|word| cut(word, WORD_BYTES_MAX));
                cut(reason, REASON_BYTES_MAX);
            }
            Event::Read { command, mailbox, items, .. } => {
                cut(command, COMMAND_BYTES_MAX);
                cut(mailbox, MAILBOX_BYTES_MAX);
                if items.len() > ITEMS_BYTES_MAX {
                    cut(items, ITEMS_BYTES_MAX - CUT.len());
                    items.push_str(CUT);
                }
            }
            Event::Search { command, mailbox, .. } => {
                cut(command, COMMAND_BYTES_MAX);
                cut(mailbox, MAILBOX_BYTES_MAX);
            }
            Event::End { .. } => {}
        }
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

fn encode(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    let encoded = minicbor::encode(record, &mut out);
    debug_assert!(encoded.is_ok(), "writing to a Vec cannot fail");
    out
}

#[cfg(test)]
mod tests {
    use super::super::file::RECORD_BYTES_MAX;
    use super::*;
    use crate::crypto::hpke;

    fn record(event: Event) -> Record {
        Record { at: Timestamp::from_s(1), session: [7; 8], account: "a".into(), client: "::1".into(), event }
    }

    #[test]
    fn the_largest_of_each_kind_fits_and_comes_back() {
        let long = "\u{e4}".repeat(70_000);
        let (_, public) = hpke::generate().expect("a pair");
        let ranges: Vec<(u32, u32)> =
            (0..90_000).map(|n| (u32::MAX - 400_000 + 3 * n, u32::MAX - 399_999 + 3 * n)).collect();
        let (uids, exact) = Uids::new(&ranges);
        assert!(!exact);
        let (terms, whole) = Terms::seal(&public, &[7; 8], Timestamp::from_s(1), &vec![b'x'; 70_000]).expect("sealed");
        assert!(!whole);
        let text = || long.clone();
        for event in [
            Event::Login { role: text(), protocol: text(), tls: text() },
            Event::Refused { protocol: text(), tls: text(), reason: text() },
            Event::Read { command: text(), mailbox: text(), uids, messages: 1, exact, items: text() },
            Event::Search { command: text(), mailbox: text(), terms, whole },
            Event::End { commands: u64::MAX, messages: u64::MAX, bytes: u64::MAX },
        ] {
            let octets = Record { account: text(), client: text(), ..record(event) }.encode();
            assert!(octets.len() <= RECORD_BYTES_MAX, "{} octets", octets.len());
            let back = Record::decode(&octets).expect("read back");
            assert!(back.account.len() <= ACCOUNT_BYTES_MAX && back.encode() == octets);
            if let Event::Read { items, .. } = back.event {
                assert!(items.ends_with(CUT) && items.len() <= ITEMS_BYTES_MAX, "a cut is marked");
            }
        }
    }

    #[test]
    fn a_long_set_names_too_many_rather_than_too_few() {
        let ranges: Vec<(u32, u32)> = (1..=RANGES_MAX as u32 + 3).map(|n| (10 * n, 10 * n)).collect();
        let (all, exact) = Uids::new(&ranges[..RANGES_MAX]);
        assert!(exact && all.ranges() == &ranges[..RANGES_MAX]);
        let (some, exact) = Uids::new(&ranges);
        assert!(!exact && some.ranges().len() == RANGES_MAX);
        for (uid, _) in &ranges {
            assert!(some.ranges().iter().any(|(first, last)| (first..=last).contains(&uid)), "{uid}");
        }
        assert_eq!(Uids::new(&[(1, 1), (3, 9)]).0.to_string(), "1,3:9");
    }

    #[test]
    fn only_one_form_is_read() {
        let octets = record(Event::End { commands: 1, messages: 2, bytes: 3 }).encode();
        assert!(Record::decode(&octets).is_some());
        assert!(Record::decode(&[&octets[..], &[0]].concat()).is_none(), "an octet behind");
        assert!(Record::decode(&octets[..octets.len() - 1]).is_none(), "cut");
        let at = octets.iter().rposition(|&b| b == 3).expect("the last count");
        let long = [&octets[..at], &[0x18, 3], &octets[at + 1..]].concat();
        assert!(Record::decode(&long).is_none(), "an integer in two octets");
    }
}
