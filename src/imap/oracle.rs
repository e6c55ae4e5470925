//! Our grammar against imap-codec's: what it can read and write, ours reads with the same meaning. Tests only.

use super::command::Answer;
use super::command::Charset;
use super::command::Command;
use super::command::Listing;
use super::command::Opening;
use super::command::StatusItem;
use super::command::parse;
use super::header_key::EnvelopeField;
use super::key::Day;
use super::key::Key;
use super::key::When;
use super::section;
use super::section::Item;
use super::section::Section;
use super::section::Selection;
use super::section::Wanted;
use super::sequence::Bound;
use super::sequence::Numbers;
use super::sequence::SequenceSet;
use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::encode::Encoder;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::AString;
use imap_codec::imap_types::fetch::{
    Macro, MacroOrMessageDataItemNames, MessageDataItemName, Part, Section as TheirSection,
};
use imap_codec::imap_types::flag::StoreResponse;
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::search::SearchKey;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet as TheirSet};
use imap_codec::imap_types::status::StatusDataItemName;
use proptest::prelude::*;
use zeroize::Zeroizing;

fn octets(text: &AString<'_>) -> Vec<u8> {
    text.as_ref().to_vec()
}

fn string(text: &AString<'_>) -> String {
    String::from_utf8(octets(text)).expect("generated as UTF-8")
}

fn mailbox(name: &Mailbox<'_>) -> Vec<u8> {
    match name {
        Mailbox::Inbox => b"INBOX".to_vec(),
        Mailbox::Other(other) => other.as_ref().to_vec(),
    }
}

fn numbers(uid: bool) -> Numbers {
    if uid { Numbers::Uid } else { Numbers::Sequence }
}

fn set(theirs: &TheirSet) -> SequenceSet {
    let bound = |n: &SeqOrUid| match n {
        SeqOrUid::Value(n) => Bound::Number(n.get()),
        SeqOrUid::Asterisk => Bound::Last,
    };
    let range = |sequence: &Sequence| match sequence {
        Sequence::Single(n) => (bound(n), bound(n)),
        Sequence::Range(a, b) => (bound(a), bound(b)),
    };
    SequenceSet(theirs.0.as_ref().iter().map(range).collect())
}

fn part(theirs: Option<&Part>) -> Vec<u32> {
    theirs.map_or_else(Vec::new, |part| part.0.as_ref().iter().map(|n| n.get()).collect())
}

fn section(theirs: Option<&TheirSection<'_>>, partial: Option<(u64, u64)>) -> Section {
    let fields = |names: &[AString<'_>]| names.iter().map(octets).collect::<Vec<_>>();
    let (part, text) = match theirs {
        None => (Vec::new(), Wanted::Whole),
        Some(TheirSection::Part(p)) => (part(Some(p)), Wanted::Whole),
        Some(TheirSection::Header(p)) => (part(p.as_ref()), Wanted::Header),
        Some(TheirSection::HeaderFields(p, names)) => {
            (part(p.as_ref()), Wanted::Fields(Selection::Only, fields(names.as_ref())))
        }
        Some(TheirSection::HeaderFieldsNot(p, names)) => {
            (part(p.as_ref()), Wanted::Fields(Selection::Not, fields(names.as_ref())))
        }
        Some(TheirSection::Text(p)) => (part(p.as_ref()), Wanted::Text),
        Some(TheirSection::Mime(p)) => (part(Some(p)), Wanted::Mime),
    };
    Section { name: Vec::new(), part, text, partial }
}

fn elder(text: Wanted) -> Item {
    Item::Section(Box::new(Section { name: Vec::new(), part: Vec::new(), text, partial: None }))
}

fn item(theirs: &MessageDataItemName<'_>) -> Item {
    match theirs {
        MessageDataItemName::Body => Item::Body,
        MessageDataItemName::BodyStructure => Item::BodyStructure,
        MessageDataItemName::Envelope => Item::Envelope,
        MessageDataItemName::Flags => Item::Flags,
        MessageDataItemName::InternalDate => Item::InternalDate,
        MessageDataItemName::Rfc822Size => Item::Size,
        MessageDataItemName::Uid => Item::Uid,
        MessageDataItemName::Rfc822 => elder(Wanted::Whole),
        MessageDataItemName::Rfc822Header => elder(Wanted::Header),
        MessageDataItemName::Rfc822Text => elder(Wanted::Text),
        MessageDataItemName::BodyExt { section: theirs, partial, .. } => {
            let partial = partial.map(|(first, count)| (u64::from(first), u64::from(count.get())));
            Item::Section(Box::new(section(theirs.as_ref(), partial)))
        }
        other => panic!("not generated: {other:?}"),
    }
}

/// In their order, nothing twice; ours puts UID first.
fn items(theirs: &MacroOrMessageDataItemNames<'_>, uid: bool) -> Vec<Item> {
    let names = match theirs {
        MacroOrMessageDataItemNames::Macro(Macro::Fast) => Macro::Fast.expand(),
        MacroOrMessageDataItemNames::Macro(Macro::All) => Macro::All.expand(),
        MacroOrMessageDataItemNames::Macro(_) => Macro::Full.expand(),
        MacroOrMessageDataItemNames::MessageDataItemNames(names) => names.clone(),
    };
    let mut items: Vec<Item> = Vec::new();
    for item in names.iter().map(item) {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    let had_uid = items.contains(&Item::Uid);
    items.retain(|item| *item != Item::Uid);
    if had_uid || uid { section::with_uid(items) } else { items }
}

/// Names are checked in `section.rs`; without them, elders equal their younger forms, so repetitions fall together.
fn nameless(command: Command) -> Command {
    let Command::Fetch(numbers, set, items) = command else { return command };
    let mut bare: Vec<Item> = Vec::new();
    for mut item in items {
        if let Item::Section(section) = &mut item {
            section.name.clear();
        }
        if !bare.contains(&item) {
            bare.push(item);
        }
    }
    Command::Fetch(numbers, set, bare)
}

fn key(theirs: &SearchKey<'_>) -> Key {
    let envelope = |field, text: &AString<'_>| Key::Envelope(field, string(text));
    let day = |date: &dyn std::fmt::Debug| {
        let text = format!("{date:?}");
        let digits: Vec<i32> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|s| !s.is_empty())
            .map(|s| s.parse().expect("digits"))
            .collect();
        let small = |n: i32| u8::try_from(n).expect("a month or a day");
        Day { year: digits[0], month: small(digits[1]), day: small(digits[2]) }
    };
    match theirs {
        SearchKey::And(keys) => match keys.as_ref() {
            [one] => key(one),
            many => Key::And(many.iter().map(key).collect()),
        },
        SearchKey::SequenceSet(theirs) => Key::Set(Numbers::Sequence, set(theirs)),
        SearchKey::Uid(theirs) => Key::Set(Numbers::Uid, set(theirs)),
        SearchKey::All | SearchKey::Seen | SearchKey::Old | SearchKey::Unanswered => Key::All,
        SearchKey::Undeleted | SearchKey::Undraft | SearchKey::Unflagged | SearchKey::Unkeyword(_) => Key::All,
        SearchKey::New | SearchKey::Recent | SearchKey::Unseen | SearchKey::Answered => Key::Nothing,
        SearchKey::Deleted | SearchKey::Draft | SearchKey::Flagged | SearchKey::Keyword(_) => Key::Nothing,
        SearchKey::Bcc(text) => envelope(EnvelopeField::Bcc, text),
        SearchKey::Cc(text) => envelope(EnvelopeField::Cc, text),
        SearchKey::From(text) => envelope(EnvelopeField::From, text),
        SearchKey::Subject(text) => envelope(EnvelopeField::Subject, text),
        SearchKey::To(text) => envelope(EnvelopeField::To, text),
        SearchKey::Header(name, text) => Key::Header(string(name).to_ascii_lowercase(), string(text)),
        SearchKey::Body(text) => Key::Body(string(text)),
        SearchKey::Text(text) => Key::Text(string(text)),
        SearchKey::Before(date) => Key::Accepted(When::Before, day(date.as_ref())),
        SearchKey::On(date) => Key::Accepted(When::On, day(date.as_ref())),
        SearchKey::Since(date) => Key::Accepted(When::Since, day(date.as_ref())),
        SearchKey::SentBefore(date) => Key::Sent(When::Before, day(date.as_ref())),
        SearchKey::SentOn(date) => Key::Sent(When::On, day(date.as_ref())),
        SearchKey::SentSince(date) => Key::Sent(When::Since, day(date.as_ref())),
        SearchKey::Larger(n) => Key::Larger(u64::from(*n)),
        SearchKey::Smaller(n) => Key::Smaller(u64::from(*n)),
        SearchKey::Not(inner) => Key::Not(Box::new(key(inner))),
        SearchKey::Or(a, b) => Key::Or(Box::new(key(a)), Box::new(key(b))),
    }
}

fn status_item(theirs: &StatusDataItemName) -> StatusItem {
    match theirs {
        StatusDataItemName::Messages => StatusItem::Messages,
        StatusDataItemName::Recent => StatusItem::Recent,
        StatusDataItemName::UidNext => StatusItem::UidNext,
        StatusDataItemName::UidValidity => StatusItem::UidValidity,
        StatusDataItemName::Unseen => StatusItem::Unseen,
        other => panic!("not generated: {other:?}"),
    }
}

fn pattern(theirs: &ListMailbox<'_>) -> Vec<u8> {
    match theirs {
        ListMailbox::Token(token) => token.as_ref().to_vec(),
        ListMailbox::String(text) => text.as_ref().to_vec(),
    }
}

fn command(theirs: &CommandBody<'_>) -> Command {
    match theirs {
        CommandBody::Login { username, password } => {
            Command::Login(octets(username), Zeroizing::new(octets(password.declassify())))
        }
        CommandBody::List { reference, mailbox_wildcard } => {
            Command::List(Listing::List, mailbox(reference), pattern(mailbox_wildcard))
        }
        CommandBody::Lsub { reference, mailbox_wildcard } => {
            Command::List(Listing::Lsub, mailbox(reference), pattern(mailbox_wildcard))
        }
        CommandBody::Select { mailbox: name, .. } => Command::Open(Opening::Select, mailbox(name)),
        CommandBody::Examine { mailbox: name, .. } => Command::Open(Opening::Examine, mailbox(name)),
        CommandBody::Status { mailbox: name, item_names } => {
            Command::Status(mailbox(name), item_names.iter().map(status_item).collect())
        }
        CommandBody::Fetch { sequence_set, macro_or_item_names, uid } => {
            Command::Fetch(numbers(*uid), set(sequence_set), items(macro_or_item_names, *uid))
        }
        CommandBody::Store { sequence_set, response, uid, .. } => {
            let answer = match response {
                StoreResponse::Answer => Answer::Flags,
                StoreResponse::Silent => Answer::Silent,
            };
            Command::Store(numbers(*uid), set(sequence_set), answer)
        }
        CommandBody::Search { criteria, uid, .. } => {
            let all = SearchKey::And(criteria.clone());
            Command::Search(numbers(*uid), Charset::Utf8, key(&all))
        }
        CommandBody::Copy { .. } | CommandBody::Move { .. } => Command::Copy,
        CommandBody::Create { .. } | CommandBody::Delete { .. } | CommandBody::Rename { .. } => Command::Change,
        CommandBody::Subscribe { .. } | CommandBody::Unsubscribe { .. } => Command::Subscribe,
        CommandBody::ExpungeUid { .. } => Command::Expunge,
        other => panic!("not generated: {other:?}"),
    }
}

/// `INBOX` is one name in any case; everything else is compared as it was written.
fn inbox_folded(command: Command) -> Command {
    let fold = |name: Vec<u8>| if name.eq_ignore_ascii_case(b"INBOX") { b"INBOX".to_vec() } else { name };
    match command {
        Command::List(listing, reference, pattern) => Command::List(listing, fold(reference), pattern),
        Command::Open(opening, name) => Command::Open(opening, fold(name)),
        Command::Status(name, items) => Command::Status(fold(name), items),
        other => other,
    }
}

fn check(text: &str) {
    let line = format!("a1 {text}\r\n");
    let codec = CommandCodec::default();
    let Ok((b"", theirs)) = codec.decode(line.as_bytes()) else { panic!("the oracle cannot read {line:?}") };
    let ours = parse(line.strip_suffix("\r\n").expect("a line").as_bytes());
    assert!(ours.is_ok(), "{line:?}: {ours:?}");
    let written = codec.encode(&theirs).dump();
    // Writing puts sets in order, so it is the second reading that must agree.
    let (_, theirs) = codec.decode(&written).expect("what it wrote");
    let again = written.strip_suffix(b"\r\n").expect("a line");
    let ours = parse(again).map(|command| inbox_folded(nameless(command)));
    assert_eq!(ours, Ok(nameless(command(&theirs.body))), "{}", written.escape_ascii());
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

/// An astring in one of its three forms.
fn astring() -> impl Strategy<Value = String> {
    let quote = |text: String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    prop_oneof![
        "[a-zA-Z0-9./_&+=@<>\\]-]{1,12}".prop_filter("not NIL", |s| !s.eq_ignore_ascii_case("nil")),
        "[ -~]{0,12}".prop_map(quote),
        ("[ -~\r\n\u{fc}]{0,12}", prop::sample::select(vec!["", "+"]))
            .prop_map(|(text, plus)| format!("{{{}{plus}}}\r\n{text}", text.len())),
        Just("iNbOx".to_owned()),
    ]
}

fn sequence_set() -> impl Strategy<Value = String> {
    let number = prop_oneof![3 => (1u32..30).prop_map(|n| n.to_string()), 1 => Just("*".to_owned()),
        1 => Just((u32::MAX - 1).to_string())]; // the oracle takes u32::MAX for `*`
    let range =
        (number.clone(), prop::option::of(number)).prop_map(|(a, b)| b.map_or(a.clone(), |b| format!("{a}:{b}")));
    prop::collection::vec(range, 1..4).prop_map(|ranges| ranges.join(","))
}

fn fetch_item() -> impl Strategy<Value = String> {
    let part =
        prop::collection::vec(1u32..4, 0..4).prop_map(|p| p.iter().map(u32::to_string).collect::<Vec<_>>().join("."));
    let names = prop::collection::vec(astring(), 1..3).prop_map(|names| format!("({})", names.join(" ")));
    let text = prop_oneof![
        Just(String::new()),
        one_of(&["HEADER", "text", "MIME"]),
        (one_of(&["HEADER.FIELDS", "Header.Fields.Not"]), names).prop_map(|(word, names)| format!("{word} {names}")),
    ];
    let partial =
        prop::option::of((0u32..99, 1u32..99)).prop_map(|p| p.map_or(String::new(), |(a, b)| format!("<{a}.{b}>")));
    let section =
        (one_of(&["BODY", "BODY.PEEK", "body"]), part, text, partial).prop_map(|(word, part, text, partial)| {
            let text = if part.is_empty() && text == "MIME" { "HEADER".to_owned() } else { text };
            let dot = if part.is_empty() || text.is_empty() { "" } else { "." };
            format!("{word}[{part}{dot}{text}]{partial}")
        });
    let plain = one_of(&[
        "BODY",
        "BODYSTRUCTURE",
        "ENVELOPE",
        "FLAGS",
        "INTERNALDATE",
        "RFC822",
        "RFC822.HEADER",
        "RFC822.SIZE",
        "RFC822.TEXT",
        "uid",
    ]);
    prop_oneof![plain, section]
}

fn search_key() -> impl Strategy<Value = String> {
    let date = (1u8..29, one_of(&["Jan", "feb", "DEC"]), 1970u32..2100).prop_map(|(d, m, y)| format!("{d}-{m}-{y}"));
    let leaf = prop_oneof![
        one_of(&[
            "ALL",
            "ANSWERED",
            "DELETED",
            "DRAFT",
            "FLAGGED",
            "NEW",
            "old",
            "RECENT",
            "SEEN",
            "UNANSWERED",
            "UNDELETED"
        ]),
        one_of(&["UNDRAFT", "UNFLAGGED", "UNSEEN", "KEYWORD x", "UNKEYWORD y"]),
        (one_of(&["BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE"]), date)
            .prop_map(|(k, d)| format!("{k} {d}")),
        (one_of(&["BCC", "BODY", "cc", "FROM", "SUBJECT", "TEXT", "TO"]), astring())
            .prop_map(|(k, t)| format!("{k} {t}")),
        (astring(), astring()).prop_map(|(name, text)| format!("HEADER {name} {text}")),
        (one_of(&["LARGER", "SMALLER"]), any::<u32>()).prop_map(|(k, n)| format!("{k} {n}")),
        sequence_set(),
        sequence_set().prop_map(|set| format!("UID {set}")),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| format!("NOT {key}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("OR {a} {b}")),
            prop::collection::vec(inner, 1..4).prop_map(|keys| format!("({})", keys.join(" "))),
        ]
    })
}

fn uid(word: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![Just(word.to_owned()), Just(format!("UID {word}"))]
}

fn any_command() -> impl Strategy<Value = String> {
    let items = prop::collection::vec(fetch_item(), 1..4).prop_map(|items| format!("({})", items.join(" ")));
    let fetch = prop_oneof![one_of(&["ALL", "FAST", "full"]), fetch_item(), items];
    let flags = one_of(&["()", "(\\Seen)", "(\\Deleted x $y)", "\\Flagged", "a b"]);
    let store = (one_of(&["", "+", "-"]), one_of(&["FLAGS", "flags.silent"]), flags)
        .prop_map(|(a, b, c)| format!("{a}{b} {c}"));
    let status = prop::collection::vec(one_of(&["MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "unseen"]), 1..4);
    let pattern = prop_oneof![astring(), one_of(&["*", "%", "a/%", "*x*]"])];
    prop_oneof![
        (uid("FETCH"), sequence_set(), fetch).prop_map(|(word, set, items)| format!("{word} {set} {items}")),
        (uid("STORE"), sequence_set(), store).prop_map(|(word, set, flags)| format!("{word} {set} {flags}")),
        (uid("SEARCH"), one_of(&["", "CHARSET UTF-8 "]), prop::collection::vec(search_key(), 1..4))
            .prop_map(|(word, charset, keys)| format!("{word} {charset}{}", keys.join(" "))),
        (uid("COPY"), sequence_set(), astring()).prop_map(|(word, set, name)| format!("{word} {set} {name}")),
        sequence_set().prop_map(|set| format!("UID EXPUNGE {set}")),
        (one_of(&["SELECT", "EXAMINE", "CREATE", "DELETE", "SUBSCRIBE", "UNSUBSCRIBE"]), astring())
            .prop_map(|(word, name)| format!("{word} {name}")),
        (one_of(&["LOGIN", "RENAME"]), astring(), astring()).prop_map(|(word, a, b)| format!("{word} {a} {b}")),
        (one_of(&["LIST", "LSUB"]), astring(), pattern).prop_map(|(word, a, b)| format!("{word} {a} {b}")),
        (astring(), status).prop_map(|(name, items)| format!("STATUS {name} ({})", items.join(" "))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_the_oracle_writes_ours_reads(text in any_command()) {
        check(&text);
    }
}
