//! The catalog: a derived, encrypted index of sealed mail. Deleting it loses nothing. Readers get [`View`], which cannot write.
//!
//! [`Catalog`] follows an unlocked archive segment by segment, in log order. A [`Reader`] opens a view per session and lists by
//! [`Query`]. UIDs and mailboxes come from the archive, so a catalog made again is the same.

mod acts;
mod fenced;
mod fold;
mod index;
mod key;
mod line;
mod list;
mod opened;
mod query;
mod reported;
mod schema;
mod sealed;
mod session;
#[cfg(test)]
mod tests;
pub mod view;

pub use index::{Catalog, Damage, Error, Indexed};
pub use list::{Listing, Reference, Row};
pub use opened::OpenedArchive;
pub use query::{QUERY_BYTES_MAX, Query, QueryFault};
pub use sealed::{Act, Acts, Also, Entry, Facts, Sealed, Segment, Unreadable};
pub use session::{INBOX_DAYS, MAILBOX_MESSAGES_MAX, Reader, Viewer, uid_validity};
pub use view::{Aim, Mailbox, Message, Reading, Recorded, Unavailable, View};
