//! Tests of the scanner: hand-made shapes, generated mail against what it was made of and against mail-parser, hostile input.

mod generated;
mod hostile;
mod journal_reports;
mod shapes;

use super::structure::Content;
use super::structure::Part;

/// The entities in the order in which they begin.
fn preorder(part: &Part) -> Vec<&Part> {
    let mut found = vec![part];
    match &part.content {
        Content::Leaf => {}
        Content::Multipart(parts) => found.extend(parts.iter().flat_map(preorder)),
        Content::Message(inner, _) => found.extend(preorder(inner)),
    }
    found
}
