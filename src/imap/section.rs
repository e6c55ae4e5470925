//! FETCH items (RFC 3501 section 6.4.5), read into what the answer needs. Looks at no message.

use super::cursor::Cursor;
use super::cursor::Malformed;
use super::cursor::Parsed;
use super::reply;

/// Numbers in a section part; the scanner nests no deeper (`mail::structure`).
const PART_DEPTH_MAX: usize = 100;

/// One item to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Always `\Seen`.
    Flags,
    /// UID.
    Uid,
    /// When we accepted it.
    InternalDate,
    /// RFC822.SIZE.
    Size,
    /// ENVELOPE.
    Envelope,
    /// BODY, without extension data.
    Body,
    /// BODYSTRUCTURE.
    BodyStructure,
    /// BODY[...] and its RFC822 elders.
    Section(Box<Section>),
}

impl Item {
    /// What the answer calls it.
    pub(super) fn name(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Item::Flags => "FLAGS".into(),
            Item::Uid => "UID".into(),
            Item::InternalDate => "INTERNALDATE".into(),
            Item::Size => "RFC822.SIZE".into(),
            Item::Envelope => "ENVELOPE".into(),
            Item::Body => "BODY".into(),
            Item::BodyStructure => "BODYSTRUCTURE".into(),
            Item::Section(section) => String::from_utf8_lossy(&section.name),
        }
    }
}

/// Octets of a message. `\Seen` never changes, so `.PEEK` is read and forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// What the answer calls it: `BODY[1.2]<0>`.
    pub name: Vec<u8>,
    /// Section part numbers, none of them 0.
    pub part: Vec<u32>,
    /// Which octets of the part.
    pub text: Wanted,
    /// `<first.count>`
    pub partial: Option<(u64, u64)>,
}

/// `section-msgtext / "MIME"`, or the whole content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing named: the message, or the content of the part.
    Whole,
    /// HEADER with the empty line.
    Header,
    /// HEADER.FIELDS or HEADER.FIELDS.NOT.
    Fields(Selection, Vec<Vec<u8>>),
    /// TEXT
    Text,
    /// MIME
    Mime,
}

/// How a list of field names is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// These.
    Only,
    /// All but these.
    Not,
}

/// `"ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")"`, UID first, nothing twice.
pub(super) fn items(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    let read = if cursor.peek() == Some(b'(') { cursor.list(item_or_macro)? } else { vec![item_or_macro(cursor)?] };
    let mut items = Vec::new();
    for item in read.into_iter().flatten() {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    put_uid_first(&mut items);
    Ok(items)
}

/// Clients match answers to requests by it while they still read (PEERS: Outlook, fetchmail).
fn put_uid_first(items: &mut [Item]) {
    if let Some(at) = items.iter().position(|item| *item == Item::Uid) {
        items[..=at].rotate_right(1);
    }
}

/// Adds UID in front, as every answer to a UID command has it.
pub(super) fn with_uid(mut items: Vec<Item>) -> Vec<Item> {
    if items.first() != Some(&Item::Uid) {
        items.insert(0, Item::Uid);
    }
    items
}

fn item_or_macro(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    let fast = || vec![Item::Flags, Item::InternalDate, Item::Size];
    let item = match cursor.keyword()?.as_str() {
        "FAST" => return Ok(fast()),
        "ALL" => return Ok([fast(), vec![Item::Envelope]].concat()),
        "FULL" => return Ok([fast(), vec![Item::Envelope, Item::Body]].concat()),
        "FLAGS" => Item::Flags,
        "UID" => Item::Uid,
        "INTERNALDATE" => Item::InternalDate,
        "RFC822.SIZE" => Item::Size,
        "ENVELOPE" => Item::Envelope,
        "BODYSTRUCTURE" => Item::BodyStructure,
        "BODY" if cursor.peek() != Some(b'[') => Item::Body,
        "BODY" | "BODY.PEEK" => section(cursor)?,
        "RFC822" => elder("RFC822", Wanted::Whole),
        "RFC822.HEADER" => elder("RFC822.HEADER", Wanted::Header),
        "RFC822.TEXT" => elder("RFC822.TEXT", Wanted::Text),
        _ => return Err(Malformed("unknown FETCH item")),
    };
    Ok(vec![item])
}

fn elder(name: &str, text: Wanted) -> Item {
    Item::Section(Box::new(Section { name: name.as_bytes().to_vec(), part: Vec::new(), text, partial: None }))
}

/// `"[" [section-spec] "]" ["<" number "." nz-number ">"]`
fn section(cursor: &mut Cursor<'_>) -> Parsed<Item> {
    cursor.expect(b'[', "a section is missing")?;
    let part = part(cursor)?;
    let text = text(cursor, &part)?;
    cursor.expect(b']', "a section has no end")?;
    let partial = if cursor.eat(b'<') { Some(partial(cursor)?) } else { None };
    let name = name(&part, &text, partial);
    Ok(Item::Section(Box::new(Section { name, part, text, partial })))
}

/// `section-part = nz-number *("." nz-number)`, and the dot before what follows it.
fn part(cursor: &mut Cursor<'_>) -> Parsed<Vec<u32>> {
    let mut part = Vec::new();
    while cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
        part.push(cursor.nz_number()?);
        if part.len() > PART_DEPTH_MAX {
            return Err(Malformed("a section part is too deep"));
        }
        let goes_on = cursor.eat(b'.');
        match (goes_on, cursor.peek() == Some(b']')) {
            (true, false) => {}
            (false, true) => break,
            _ => return Err(Malformed("a section part is malformed")),
        }
    }
    Ok(part)
}

fn text(cursor: &mut Cursor<'_>, part: &[u32]) -> Parsed<Wanted> {
    if cursor.peek() == Some(b']') {
        return Ok(Wanted::Whole);
    }
    match cursor.keyword()?.as_str() {
        "HEADER" => Ok(Wanted::Header),
        "HEADER.FIELDS" => Ok(Wanted::Fields(Selection::Only, fields(cursor)?)),
        "HEADER.FIELDS.NOT" => Ok(Wanted::Fields(Selection::Not, fields(cursor)?)),
        "TEXT" => Ok(Wanted::Text),
        "MIME" if !part.is_empty() => Ok(Wanted::Mime),
        _ => Err(Malformed("unknown section")),
    }
}

/// `header-list = "(" header-fld-name *(SP header-fld-name) ")"`
fn fields(cursor: &mut Cursor<'_>) -> Parsed<Vec<Vec<u8>>> {
    cursor.space()?;
    cursor.list(|cursor| cursor.astring().map(|name| name.into_owned()))
}

fn partial(cursor: &mut Cursor<'_>) -> Parsed<(u64, u64)> {
    let first = cursor.number64()?;
    cursor.expect(b'.', "a partial range is malformed")?;
    let count = cursor.number64()?;
    cursor.expect(b'>', "a partial range has no end")?;
    if count == 0 { Err(Malformed("a partial range is empty")) } else { Ok((first, count)) }
}

fn name(part: &[u32], text: &Wanted, partial: Option<(u64, u64)>) -> Vec<u8> {
    let mut name = b"BODY[".to_vec();
    let mut words: Vec<String> = part.iter().map(u32::to_string).collect();
    words.extend(keyword(text).map(str::to_owned));
    name.extend_from_slice(words.join(".").as_bytes());
    if let Wanted::Fields(_, fields) = text {
        for (at, field) in fields.iter().enumerate() {
            name.extend_from_slice(if at == 0 { b" (" } else { b" " });
            reply::astring(&mut name, field);
        }
        name.push(b')');
    }
    name.push(b']');
    if let Some((first, _)) = partial {
        name.extend_from_slice(format!("<{first}>").as_bytes());
    }
    name
}

fn keyword(text: &Wanted) -> Option<&'static str> {
    match text {
        Wanted::Whole => None,
        Wanted::Header => Some("HEADER"),
        Wanted::Fields(Selection::Only, _) => Some("HEADER.FIELDS"),
        Wanted::Fields(Selection::Not, _) => Some("HEADER.FIELDS.NOT"),
        Wanted::Text => Some("TEXT"),
        Wanted::Mime => Some("MIME"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Vec<Item>> {
        let mut cursor = Cursor::new(text.as_bytes());
        let items = items(&mut cursor).ok()?;
        cursor.remainder().is_empty().then_some(items)
    }

    fn names(text: &str) -> Vec<String> {
        let items = parse(text).unwrap_or_else(|| panic!("items: {text}"));
        items
            .iter()
            .map(|item| match item {
                Item::Section(section) => String::from_utf8(section.name.clone()).expect("ASCII"),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn sections_are_named_as_the_answer_names_them() {
        let check = |text: &str, expected: &[&str]| assert_eq!(names(text), expected, "{text}");
        check("body[]", &["BODY[]"]);
        check("BODY.PEEK[]<0.100>", &["BODY[]<0>"]);
        check("BODY[1.2.header]", &["BODY[1.2.HEADER]"]);
        check("BODY[1.MIME]", &["BODY[1.MIME]"]);
        check("BODY[HEADER.FIELDS (Date \"x y\" FROM)]", &["BODY[HEADER.FIELDS (Date \"x y\" FROM)]"]);
        check("BODY[3.header.fields.not (a)]<5.1>", &["BODY[3.HEADER.FIELDS.NOT (a)]<5>"]);
        check("BODY", &["Body"]);
        check("(FLAGS BODY[TEXT] UID FLAGS)", &["Uid", "Flags", "BODY[TEXT]"]);
        check("(RFC822 RFC822.HEADER RFC822.TEXT)", &["RFC822", "RFC822.HEADER", "RFC822.TEXT"]);
        check("FULL", &["Flags", "InternalDate", "Size", "Envelope", "Body"]);
        check("ALL", &["Flags", "InternalDate", "Size", "Envelope"]);
    }

    #[test]
    fn what_is_no_item_is_refused() {
        let deep = |n: usize| format!("BODY[{}]", vec!["1"; n].join("."));
        assert!(parse(&deep(PART_DEPTH_MAX)).is_some());
        assert!(parse(&deep(PART_DEPTH_MAX + 1)).is_none());
        for bad in [
            "",
            "()",
            "(FLAGS",
            "FLAG",
            "BODY.PEEK",
            "BODY[",
            "BODY[0]",
            "BODY[1.]",
            "BODY[.1]",
            "BODY[MIME]",
            "BODY[1 ]",
            "BODY[HEADER.FIELDS]",
            "BODY[HEADER.FIELDS ()]",
            "BODY[]<0>",
            "BODY[]<0.0>",
            "BODY[]<1.2",
            "BODY[1TEXT]",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
