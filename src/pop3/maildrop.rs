//! The maildrop of a POP3 session: which messages have which number, as they stood at login. Hides, never deletes.

use super::sending::Progress;
use crate::catalog::Unavailable;
use crate::catalog::View;
use crate::mail::MailId;

/// Messages in a maildrop.
pub const MESSAGES_MAX: usize = 50_000;
/// Where mail lives; other mailboxes only show it again.
const MAILBOX_PREFIX: &str = "Archive/";
/// Facts read in one go.
const STEP_MESSAGES: usize = 1024;

/// Whether the client still sees a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    Shown,
    Hidden,
}

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub id: MailId,
    pub size: u64,
    /// Index into the names of mailboxes.
    mailbox: usize,
    uid: u32,
    pub visibility: Visibility,
}

/// All messages; number n is at n - 1.
#[derive(Debug, Default)]
pub(super) struct Maildrop {
    mailboxes: Vec<String>,
    entries: Vec<Entry>,
    /// UID and mailbox of messages whose facts are still to be read, newest first: they are taken from the end.
    unread: Vec<(u32, usize)>,
}

impl Maildrop {
    /// Finds the newest messages. UIDs rise with acceptance over all mailboxes (ARCHIVE.md section 5).
    pub(super) fn find(view: &dyn View) -> Result<Maildrop, Unavailable> {
        let names = view.mailboxes()?.into_iter().map(|mailbox| mailbox.name);
        let mailboxes: Vec<String> = names.filter(|name| name.starts_with(MAILBOX_PREFIX)).collect();
        let mut found = Vec::new();
        for (index, name) in mailboxes.iter().enumerate() {
            found.extend(view.uids(name, 1)?.into_iter().map(|uid| (uid, index)));
            keep_newest(&mut found, MESSAGES_MAX);
        }
        Ok(Maildrop { mailboxes, entries: Vec::with_capacity(found.len()), unread: found })
    }

    /// Reads facts of some more messages. What is gone by now has no number.
    pub(super) fn load(&mut self, view: &dyn View) -> Result<Progress, Unavailable> {
        for _ in 0..STEP_MESSAGES {
            let Some((uid, mailbox)) = self.unread.pop() else { return Ok(Progress::Done) };
            if let Some(message) = view.message(&self.mailboxes[mailbox], uid)? {
                let (id, size) = (message.id, message.size);
                self.entries.push(Entry { id, size, mailbox, uid, visibility: Visibility::Shown });
            }
        }
        Ok(if self.unread.is_empty() { Progress::Done } else { Progress::Again })
    }

    /// Message `number`, unless hidden.
    pub(super) fn shown(&self, number: usize) -> Option<&Entry> {
        let entry = self.entries.get(number.checked_sub(1)?)?;
        (entry.visibility == Visibility::Shown).then_some(entry)
    }

    /// The first shown message at or behind `number`.
    pub(super) fn next_shown(&self, number: usize) -> Option<(usize, &Entry)> {
        (number..=self.entries.len()).find_map(|number| Some((number, self.shown(number)?)))
    }

    /// How many are shown, and their octets.
    pub(super) fn totals(&self) -> (usize, u64) {
        let shown = self.entries.iter().filter(|entry| entry.visibility == Visibility::Shown);
        shown.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.size))
    }

    /// Hides message `number`; false when there is none.
    pub(super) fn hide(&mut self, number: usize) -> bool {
        let is_shown = self.shown(number).is_some();
        if is_shown {
            self.entries[number - 1].visibility = Visibility::Hidden;
        }
        is_shown
    }

    /// Shows everything again.
    pub(super) fn show_all(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.visibility = Visibility::Shown);
    }

    /// The mailbox and UID of an entry.
    pub(super) fn place(&self, entry: &Entry) -> (&str, u32) {
        (&self.mailboxes[entry.mailbox], entry.uid)
    }

    /// The octets of an entry; `None` when they are gone.
    pub(super) fn octets(&self, view: &dyn View, entry: &Entry) -> Result<Option<Vec<u8>>, Unavailable> {
        view.octets(&self.mailboxes[entry.mailbox], entry.uid)
    }
}

/// The `most` largest UIDs, descending.
fn keep_newest(found: &mut Vec<(u32, usize)>, most: usize) {
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(most);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let mut found = vec![(3, 0), (9, 1), (1, 0), (7, 2)];
        keep_newest(&mut found, 3);
        assert_eq!(found, [(9, 1), (7, 2), (3, 0)]);
        keep_newest(&mut found, 4);
        assert_eq!(found.len(), 3);
    }
}
