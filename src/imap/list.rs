//! LIST and LSUB (RFC 3501 sections 6.3.8, 6.3.9): which names match, and the parents between them. Opens no mailbox.

use super::command::Listing;
use super::reply;
use crate::catalog::Mailbox;
use std::collections::BTreeMap;

/// Octets of reference and pattern together. No name of ours is near it.
const PATTERN_BYTES_MAX: usize = 1024;

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Mailbox,
    /// Only the parent of mailboxes: `\Noselect`.
    Parent,
}

/// Writes the untagged answers.
pub(super) fn list(out: &mut Vec<u8>, listing: Listing, reference: &[u8], pattern: &[u8], mailboxes: &[Mailbox]) {
    let word = match listing {
        Listing::List => "LIST",
        Listing::Lsub => "LSUB",
    };
    if pattern.is_empty() {
        // RFC 3501 section 6.3.8: an empty name asks for the delimiter and the root of the reference.
        return reply::untagged(out, &format!("{word} (\\Noselect) \"/\" \"\""));
    }
    let Some(pattern) = canonical(reference, pattern) else { return };
    let tree = tree(mailboxes);
    for (name, node) in &tree {
        if matches(&pattern, name) {
            write(out, word, name, *node, has_children(&tree, name));
        }
    }
}

/// Reference and pattern as one pattern over our names. `None`: nothing of ours can match.
fn canonical(reference: &[u8], pattern: &[u8]) -> Option<Vec<u8>> {
    if reference.len() + pattern.len() > PATTERN_BYTES_MAX {
        return None;
    }
    let whole = [reference, pattern].concat();
    let whole = String::from_utf8(whole).ok()?.replace("&-", "&");
    let is_inbox = whole.eq_ignore_ascii_case("INBOX");
    Some(if is_inbox { b"INBOX".to_vec() } else { whole.into_bytes() })
}

fn tree(mailboxes: &[Mailbox]) -> BTreeMap<&str, Node> {
    let mut tree = BTreeMap::new();
    for name in mailboxes.iter().map(|mailbox| mailbox.name.as_str()) {
        for (at, _) in name.match_indices('/') {
            tree.entry(&name[..at]).or_insert(Node::Parent);
        }
        tree.insert(name, Node::Mailbox);
    }
    tree
}

/// A name's children follow it in octet order, though not always at once: `a`, `a-b`, `a/c`.
fn has_children(tree: &BTreeMap<&str, Node>, name: &str) -> bool {
    let prefix = format!("{name}/");
    tree.range(prefix.as_str()..).next().is_some_and(|(next, _)| next.starts_with(&prefix))
}

fn write(out: &mut Vec<u8>, word: &str, name: &str, node: Node, has_children: bool) {
    let children = if has_children { "\\HasChildren" } else { "\\HasNoChildren" };
    let attributes = match node {
        Node::Mailbox => children.to_owned(),
        Node::Parent => format!("\\Noselect {children}"),
    };
    out.extend_from_slice(format!("* {word} ({attributes}) \"/\" ").as_bytes());
    reply::mailbox(out, name);
    out.extend_from_slice(b"\r\n");
}

/// `*` matches anything, `%` anything without `/`. Quadratic at worst: `reached[i]` says whether the pattern so far can match
/// the first `i` octets of the name.
fn matches(pattern: &[u8], name: &str) -> bool {
    let name = name.as_bytes();
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for &p in pattern {
        match p {
            b'*' | b'%' => spread(&mut reached, name, p),
            _ => advance(&mut reached, name, p),
        }
    }
    reached[name.len()]
}

fn spread(reached: &mut [bool], name: &[u8], wildcard: u8) {
    for (at, &b) in name.iter().enumerate() {
        if reached[at] && (wildcard == b'*' || b != b'/') {
            reached[at + 1] = true;
        }
    }
}

fn advance(reached: &mut [bool], name: &[u8], octet: u8) {
    for at in (0..name.len()).rev() {
        reached[at + 1] = reached[at] && name[at] == octet;
    }
    reached[0] = false;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(reference: &str, pattern: &str) -> Vec<String> {
        let mailboxes: Vec<_> = ["Archive/2026/2026-10", "Archive/2026/2026-11", "Archive-old", "Erased", "INBOX"]
            .map(|name| Mailbox { name: name.to_owned(), uid_validity: 1, uid_next: 1, messages: 0 })
            .into();
        let mut out = Vec::new();
        list(&mut out, Listing::List, reference.as_bytes(), pattern.as_bytes(), &mailboxes);
        let text = String::from_utf8(out).expect("ASCII");
        text.lines().map(|line| line.strip_prefix("* LIST ").expect("an answer").to_owned()).collect()
    }

    #[test]
    fn wildcards_references_and_parents() {
        let check = |reference: &str, pattern: &str, expected: &[&str]| {
            assert_eq!(listed(reference, pattern), expected, "{reference:?} {pattern:?}");
        };
        let archive = "(\\Noselect \\HasChildren) \"/\" \"Archive\"";
        let year = "(\\Noselect \\HasChildren) \"/\" \"Archive/2026\"";
        let old = "(\\HasNoChildren) \"/\" \"Archive-old\"";
        let (erased, inbox) = ("(\\HasNoChildren) \"/\" \"Erased\"", "(\\HasNoChildren) \"/\" \"INBOX\"");
        let october = "(\\HasNoChildren) \"/\" \"Archive/2026/2026-10\"";
        let november = "(\\HasNoChildren) \"/\" \"Archive/2026/2026-11\"";
        check("", "*", &[archive, old, year, october, november, erased, inbox]);
        check("", "%", &[archive, old, erased, inbox]);
        check("", "%/%", &[year]);
        check("Archive/", "%", &[year]);
        check("Archive/", "*11", &[november]);
        check("", "Archive/2026", &[year]);
        check("", "inbox", &[inbox]);
        check("", "A*e", &[archive]);
        check("", "archive", &[]);
        check("", "%%%*/%-10", &[october]);
        check("", "Archive/", &[]);
        check("x", "", &["(\\Noselect) \"/\" \"\""]);
    }

    #[test]
    fn hostile_patterns_cost_little() {
        let stars = "*a".repeat(PATTERN_BYTES_MAX / 2);
        assert!(!matches(stars.as_bytes(), &"a".repeat(400)));
        assert_eq!(listed(&"*".repeat(PATTERN_BYTES_MAX), "*"), Vec::<String>::new());
    }
}
