//! Client commands (RFC 3501 section 6) from octets to values. Total and bounded; knows no session.

use super::cursor::Cursor;
use super::cursor::Malformed;
use super::cursor::Parsed;
use super::key;
use super::key::Key;
use super::section;
use super::section::Item;
use super::sequence::Numbers;
use super::sequence::SequenceSet;
use zeroize::Zeroizing;

/// Octets of a tag; we repeat it, so it has a bound.
const TAG_BYTES_MAX: usize = 255;
/// Pairs of an ID (RFC 2971 section 3.3).
const ID_PAIRS_MAX: usize = 30;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Capability,
    Id,
    Namespace,
    Noop,
    Check,
    Logout,
    StartTls,
    Login(Vec<u8>, Zeroizing<Vec<u8>>),
    /// The mechanism in upper case, and the initial response (RFC 4959) still encoded.
    Authenticate(String, Option<Vec<u8>>),
    List(Listing, Vec<u8>, Vec<u8>),
    /// SUBSCRIBE and UNSUBSCRIBE: everything is subscribed.
    Subscribe,
    Status(Vec<u8>, Vec<StatusItem>),
    Open(Opening, Vec<u8>),
    /// CLOSE and UNSELECT: there is nothing to expunge.
    Close,
    Expunge,
    Idle,
    Fetch(Numbers, SequenceSet, Vec<Item>),
    Store(Numbers, SequenceSet, Answer),
    Search(Numbers, Charset, Key),
    /// COPY and MOVE.
    Copy,
    /// CREATE, DELETE, RENAME and APPEND.
    Change,
}

/// Which command asks for mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    List,
    Lsub,
}

/// Which command opens a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Select,
    Examine,
}

/// `status-att`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
}

/// Whether STORE wants to see the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Flags,
    Silent,
}

/// What SEARCH says its text is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// US-ASCII or UTF-8, which holds it.
    Utf8,
    Unknown,
}

/// Tag and name of a command of which the rest may be missing, the name in upper case.
pub(super) fn head(octets: &[u8]) -> Parsed<(String, String)> {
    let mut cursor = Cursor::new(octets);
    let tag = tag(&mut cursor)?;
    let name = cursor.space().and_then(|()| cursor.keyword()).unwrap_or_default();
    Ok((tag, name))
}

/// A command without its tag, as it was sent.
pub(super) fn untagged(octets: &[u8]) -> &[u8] {
    let at = octets.iter().position(|b| *b == b' ').map_or(octets.len(), |at| at + 1);
    &octets[at..]
}

fn tag(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let tag = cursor.tag()?;
    if tag.len() > TAG_BYTES_MAX {
        return Err(Malformed("the tag is too long"));
    }
    Ok(String::from_utf8_lossy(tag).into_owned())
}

/// `command = tag SP (command-any / command-auth / command-nonauth / command-select)`, without its CRLF.
pub(super) fn parse(octets: &[u8]) -> Parsed<Command> {
    let mut cursor = Cursor::new(octets);
    tag(&mut cursor)?;
    cursor.space()?;
    let name = cursor.keyword()?;
    let command = match name.as_str() {
        "UID" => {
            cursor.space()?;
            uid(&mut cursor)?
        }
        // Its literal may have been read past; whatever it says, the answer is no.
        "APPEND" => return Ok(Command::Change),
        name => named(name, &mut cursor)?,
    };
    cursor.end()?;
    Ok(command)
}

fn named(name: &str, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    Ok(match name {
        "CAPABILITY" => Command::Capability,
        "NAMESPACE" => Command::Namespace,
        "NOOP" => Command::Noop,
        "CHECK" => Command::Check,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "IDLE" => Command::Idle,
        "EXPUNGE" => Command::Expunge,
        "CLOSE" | "UNSELECT" => Command::Close,
        _ => {
            cursor.space().map_err(|_| Malformed("unknown command, or its arguments are missing"))?;
            with_arguments(name, cursor)?
        }
    })
}

fn with_arguments(name: &str, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    match name {
        "ID" => id(cursor),
        "LOGIN" => {
            let (user, password) = two_strings(cursor)?;
            Ok(Command::Login(user, Zeroizing::new(password)))
        }
        "AUTHENTICATE" => authenticate(cursor),
        "LIST" => list(cursor).map(|(reference, pattern)| Command::List(Listing::List, reference, pattern)),
        "LSUB" => list(cursor).map(|(reference, pattern)| Command::List(Listing::Lsub, reference, pattern)),
        "SUBSCRIBE" | "UNSUBSCRIBE" => cursor.astring().map(|_| Command::Subscribe),
        "SELECT" => mailbox(cursor).map(|name| Command::Open(Opening::Select, name)),
        "EXAMINE" => mailbox(cursor).map(|name| Command::Open(Opening::Examine, name)),
        "STATUS" => status(cursor),
        "CREATE" | "DELETE" => cursor.astring().map(|_| Command::Change),
        "RENAME" => two_strings(cursor).map(|_| Command::Change),
        _ => numbered(name, Numbers::Sequence, cursor),
    }
}

/// The commands that have a UID variant.
fn numbered(name: &str, numbers: Numbers, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    match name {
        "FETCH" => fetch(numbers, cursor),
        "STORE" => store(numbers, cursor),
        "SEARCH" => search(numbers, cursor),
        "COPY" | "MOVE" => {
            SequenceSet::parse(cursor)?;
            cursor.space()?;
            cursor.astring().map(|_| Command::Copy)
        }
        _ => Err(Malformed("unknown command")),
    }
}

fn uid(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let name = cursor.keyword()?;
    cursor.space()?;
    if name == "EXPUNGE" {
        return SequenceSet::parse(cursor).map(|_| Command::Expunge);
    }
    numbered(&name, Numbers::Uid, cursor)
}

fn mailbox(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    cursor.astring().map(|name| name.into_owned())
}

fn two_strings(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u8>, Vec<u8>)> {
    let first = cursor.astring()?.into_owned();
    cursor.space()?;
    Ok((first, cursor.astring()?.into_owned()))
}

/// `"ID" SP id-params-list` (RFC 2971); what the client calls itself is not kept.
fn id(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    if cursor.peek() != Some(b'(') {
        return match cursor.nstring()? {
            None => Ok(Command::Id),
            Some(_) => Err(Malformed("ID takes a list or NIL")),
        };
    }
    if cursor.remainder().starts_with(b"()") {
        cursor.eat(b'(');
        cursor.eat(b')');
        return Ok(Command::Id);
    }
    let pairs = cursor.list(|cursor| {
        cursor.string()?;
        cursor.space()?;
        cursor.nstring().map(|_| ())
    })?;
    if pairs.len() > ID_PAIRS_MAX { Err(Malformed("ID has too many fields")) } else { Ok(Command::Id) }
}

/// `"AUTHENTICATE" SP auth-type [SP (base64 / "=")]`
fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mechanism = String::from_utf8_lossy(cursor.atom()?).to_ascii_uppercase();
    let initial = if cursor.eat(b' ') { Some(cursor.atom()?.to_vec()) } else { None };
    Ok(Command::Authenticate(mechanism, initial))
}

fn list(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u8>, Vec<u8>)> {
    let reference = mailbox(cursor)?;
    cursor.space()?;
    Ok((reference, cursor.list_mailbox()?.into_owned()))
}

/// `"STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
fn status(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let name = mailbox(cursor)?;
    cursor.space()?;
    let items = cursor.list(|cursor| match cursor.keyword()?.as_str() {
        "MESSAGES" => Ok(StatusItem::Messages),
        "RECENT" => Ok(StatusItem::Recent),
        "UIDNEXT" => Ok(StatusItem::UidNext),
        "UIDVALIDITY" => Ok(StatusItem::UidValidity),
        "UNSEEN" => Ok(StatusItem::Unseen),
        _ => Err(Malformed("unknown STATUS item")),
    })?;
    Ok(Command::Status(name, items))
}

fn fetch(numbers: Numbers, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let set = SequenceSet::parse(cursor)?;
    cursor.space()?;
    let items = section::items(cursor)?;
    let items = if numbers == Numbers::Uid { section::with_uid(items) } else { items };
    Ok(Command::Fetch(numbers, set, items))
}

/// `"STORE" SP sequence-set SP ["+" / "-"] "FLAGS" [".SILENT"] SP (flag-list / (flag *(SP flag)))`
fn store(numbers: Numbers, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let set = SequenceSet::parse(cursor)?;
    cursor.space()?;
    if !cursor.eat(b'+') {
        cursor.eat(b'-');
    }
    let answer = match cursor.keyword()?.as_str() {
        "FLAGS" => Answer::Flags,
        "FLAGS.SILENT" => Answer::Silent,
        _ => return Err(Malformed("STORE takes FLAGS")),
    };
    cursor.space()?;
    flags(cursor)?;
    Ok(Command::Store(numbers, set, answer))
}

fn flags(cursor: &mut Cursor<'_>) -> Parsed<()> {
    if cursor.remainder().starts_with(b"()") {
        cursor.eat(b'(');
        cursor.eat(b')');
        return Ok(());
    }
    if cursor.peek() == Some(b'(') {
        return cursor.list(|cursor| cursor.flag().map(|_| ())).map(|_| ());
    }
    cursor.flag()?;
    while cursor.eat(b' ') {
        cursor.flag()?;
    }
    Ok(())
}

/// `"SEARCH" [SP "CHARSET" SP astring] 1*(SP search-key)`
fn search(numbers: Numbers, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut charset = Charset::Utf8;
    let mut ahead = *cursor;
    if ahead.keyword().is_ok_and(|word| word == "CHARSET") {
        ahead.space()?;
        let name = ahead.astring()?;
        let known = [&b"US-ASCII"[..], b"UTF-8"].iter().any(|known| name.eq_ignore_ascii_case(known));
        charset = if known { Charset::Utf8 } else { Charset::Unknown };
        ahead.space()?;
        *cursor = ahead;
    }
    if charset == Charset::Unknown {
        // Its keys may hold octets of any kind; the answer does not depend on them.
        *cursor = Cursor::new(b"");
        return Ok(Command::Search(numbers, charset, Key::Nothing));
    }
    Ok(Command::Search(numbers, charset, key::keys(cursor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let check = |text: &str, expected: Command| assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        check("a noop", Command::Noop);
        check("a.1 NOOP ", Command::Noop);
        check("a LOGIN x \"y z\"", Command::Login(b"x".to_vec(), Zeroizing::new(b"y z".to_vec())));
        check("a LOGIN {1}\r\nx {2+}\r\n\r\n", Command::Login(b"x".to_vec(), Zeroizing::new(b"\r\n".to_vec())));
        check("a AUTHENTICATE plain", Command::Authenticate("PLAIN".to_owned(), None));
        check("a AUTHENTICATE PLAIN =", Command::Authenticate("PLAIN".to_owned(), Some(b"=".to_vec())));
        check("a LIST \"\" %/*", Command::List(Listing::List, Vec::new(), b"%/*".to_vec()));
        check(
            "a STATUS x (MESSAGES unseen)",
            Command::Status(b"x".to_vec(), vec![StatusItem::Messages, StatusItem::Unseen]),
        );
        check("a ID NIL", Command::Id);
        check("a ID (\"name\" \"x\" \"version\" NIL)", Command::Id);
        check("a ID ()", Command::Id);
        check("a UID EXPUNGE 1:*", Command::Expunge);
        check("a APPEND x {3", Command::Change);
        check("a MOVE 1 x", Command::Copy);
        check("a SEARCH CHARSET ISO-8859-1 TEXT x", Command::Search(Numbers::Sequence, Charset::Unknown, Key::Nothing));
        check("a UID SEARCH CHARSET \"utf-8\" ALL", Command::Search(Numbers::Uid, Charset::Utf8, Key::All));
    }

    #[test]
    fn store_takes_flags_in_both_forms() {
        for text in ["1 FLAGS ()", "1:* +FLAGS.SILENT (\\Seen x)", "2 -flags \\Deleted", "1 FLAGS a b"] {
            let command = parse(format!("a UID STORE {text}").as_bytes());
            assert!(matches!(command, Ok(Command::Store(Numbers::Uid, ..))), "{text}: {command:?}");
        }
        for text in ["1 FLAGS", "1 FLAG (x)", "1 +-FLAGS x", "FLAGS x", "1 FLAGS (", "1 FLAGS x  y"] {
            assert!(parse(format!("a STORE {text}").as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for bad in [
            "",
            "a",
            "a ",
            "NOOP",
            "+ NOOP",
            "a NOOP x",
            "a X",
            "a UID",
            "a UID NOOP 1",
            "a SELECT",
            "a LOGIN x",
            "a  NOOP",
            "a STATUS x ()",
            "a LIST x",
            "a FETCH 1",
            "a ID",
            "a ID (x y)",
            "a CLOSE x",
            "a SEARCH",
            "a SEARCH CHARSET UTF-8",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let tagged = |bytes: usize| parse(format!("{} NOOP", "a".repeat(bytes)).as_bytes());
        assert_eq!(tagged(TAG_BYTES_MAX), Ok(Command::Noop));
        assert!(tagged(TAG_BYTES_MAX + 1).is_err());
    }

    #[test]
    fn a_head_is_enough_to_answer() {
        assert_eq!(head(b"a append x {5}\r\n"), Ok(("a".to_owned(), "APPEND".to_owned())));
        assert_eq!(head(b"a"), Ok(("a".to_owned(), String::new())));
        assert!(head(b"(").is_err());
    }
}
