//! Generated valid mail: scan() must find the entities it was made of, and mail-parser must agree.

use super::preorder;
use crate::clock::Timestamp;
use crate::mail::address::Address;
use crate::mail::date::date_s;
use crate::mail::header::Author;
use crate::mail::header::author;
use crate::mail::header::decode;
use crate::mail::header::named;
use crate::mail::structure::scan;
use mail_parser::Message;
use mail_parser::MessageParser;
use mail_parser::PartType;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Node {
    Text(Vec<String>),
    Multipart(Vec<Node>),
    Message(Box<Node>),
}

fn texts() -> impl Strategy<Value = Node> {
    proptest::collection::vec("[ -,.-~]{0,30}", 0..4).prop_map(Node::Text)
}

fn nodes() -> impl Strategy<Value = Node> {
    texts().prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Node::Multipart),
            inner.prop_map(|node| Node::Message(Box::new(node))),
        ]
    })
}

/// Without multiparts in messages: there mail-parser 0.11.9 loses its place ("Invalid part ID").
fn nodes_for_mail_parser() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![3 => texts(), 1 => texts().prop_map(|text| Node::Message(Box::new(text)))];
    leaf.prop_recursive(5, 24, 4, |inner| proptest::collection::vec(inner, 1..4).prop_map(Node::Multipart))
}

/// Header start, body start and body end of each entity, in the order in which they begin.
type Expected = Vec<(usize, usize, usize)>;

struct Writer {
    message: String,
    boundaries: usize,
    line_break: &'static str,
    expected: Expected,
}

impl Writer {
    fn line(&mut self, text: &str) {
        self.message.push_str(text);
        self.message.push_str(self.line_break);
    }

    fn entity(&mut self, node: &Node) {
        let index = self.expected.len();
        self.expected.push((self.message.len(), 0, 0));
        self.line("X-Some: field");
        match node {
            Node::Text(lines) => {
                self.line("Content-Type: text/plain");
                self.body(index);
                self.message.push_str(&lines.join(self.line_break));
            }
            Node::Multipart(parts) => {
                self.boundaries += 1;
                let boundary = format!("b{}", self.boundaries);
                self.line(&format!("Content-Type: multipart/mixed; boundary=\"{boundary}\""));
                self.body(index);
                for part in parts {
                    self.line(&format!("--{boundary}"));
                    self.entity(part);
                    self.line("");
                }
                self.message.push_str(&format!("--{boundary}--"));
            }
            Node::Message(inner) => {
                self.line("Content-Type: message/rfc822");
                self.body(index);
                self.entity(inner);
            }
        }
        self.expected[index].2 = self.message.len();
    }

    fn body(&mut self, index: usize) {
        self.line("");
        self.expected[index].1 = self.message.len();
    }
}

fn written(node: &Node, line_break: &'static str) -> (String, Expected) {
    let mut writer = Writer { message: String::new(), boundaries: 0, line_break, expected: Vec::new() };
    writer.entity(node);
    (writer.message, writer.expected)
}

fn found(message: &str) -> Expected {
    let at = |n: u64| usize::try_from(n).expect("an offset");
    let whole = scan(message.as_bytes());
    preorder(&whole).iter().map(|p| (at(p.header.start), at(p.body.start), at(p.body.end))).collect()
}

/// mail-parser's view: its own parts, and those of messages inside.
fn oracle(message: &Message) -> Expected {
    let mut all = Vec::new();
    for part in &message.parts {
        let at = |n: u32| usize::try_from(n).expect("an offset");
        all.push((at(part.offset_header), at(part.offset_body), at(part.offset_end)));
        if let PartType::Message(inner) = &part.body {
            all.extend(oracle(inner));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn entities_are_found_where_they_were_put(node in nodes()) {
        for line_break in ["\r\n", "\n"] {
            let (message, expected) = written(&node, line_break);
            prop_assert_eq!(found(&message), expected, "{}", message);
        }
    }

    #[test]
    fn mail_parser_agrees(node in nodes_for_mail_parser()) {
        let (message, _) = written(&node, "\r\n");
        let parsed = MessageParser::default().parse(message.as_bytes()).expect("a message");
        prop_assert_eq!(found(&message), oracle(&parsed), "{}", message);
    }

    #[test]
    fn subjects_decode_as_mail_parser_does(words in proptest::collection::vec("[a-z]{1,8}|=\\?utf-8\\?q\\?[a-z_]{1,5}=C3=A9[a-z]{0,5}\\?=|é[a-z]{0,3}", 1..6)) {
        let message = format!("Subject: {}\r\nFrom: a@x\r\n\r\n", words.join(" "));
        let parsed = MessageParser::default().parse(message.as_bytes()).expect("a message");
        let subject = named(message.as_bytes(), "Subject").next().expect("a field");
        // mail-parser drops white space behind the last encoded word before plain text only at the start of a value.
        let ours = decode(subject.value);
        prop_assert_eq!(ours.trim(), parsed.subject().unwrap_or_default().trim());
    }

    #[test]
    fn dates_are_read_as_mail_parser_does(s in 0..4_102_444_800_i64, zone in -1439..1440_i64) {
        let (sign, minutes) = (if zone < 0 { '-' } else { '+' }, zone.abs());
        let local = Timestamp::from_s(s + zone * 60).rfc5322();
        let value = local.replace("+0000", &format!("{sign}{:02}{:02}", minutes / 60, minutes % 60));
        prop_assert_eq!(date_s(value.as_bytes()), Some(s), "{}", value);
        let parsed = mail_parser::DateTime::parse_rfc822(&value).map(|date| date.to_timestamp());
        prop_assert_eq!(parsed, Some(s), "{}", value);
    }

    #[test]
    fn a_quoted_name_never_changes_the_author(name in "\\PC{0,30}", local in "[a-z]{1,8}", domain in "[a-z]{1,8}\\.example") {
        // Something that looks like the start of an encoded word is refused unless it ends in the name.
        prop_assume!(!name.contains("=?"));
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        let address = Address::parse(&format!("{local}@{domain}")).expect("an address");
        let header = format!("From: \"{quoted}\" <{address}>\r\n");
        prop_assert_eq!(author(header.as_bytes()), Author::Single(address.clone()));
        let parsed = MessageParser::default().parse(header.as_bytes()).expect("a message");
        let first = parsed.from().and_then(|from| from.first()).and_then(|a| a.address()).map(str::to_owned);
        prop_assert_eq!(first, Some(address.to_string()));
    }

    /// Whatever stands before the address: never another one than the text between the only brackets.
    #[test]
    fn an_unquoted_name_never_adds_an_author(name in "[ -~]{0,20}", address in "[a-z]{1,5}@[a-z]{1,5}") {
        let header = format!("From: {name} <{address}>\r\n");
        if let Author::Single(found) = author(header.as_bytes()) {
            prop_assert_eq!(found.to_string(), address);
        }
    }
}
