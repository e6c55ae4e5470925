//! The open mailbox of a session: its message sequence and the message last looked at. Cannot write.

use super::reply;
use super::reply::NUL_SHOWN_AS;
use crate::catalog::Mailbox;
use crate::catalog::Message;
use crate::catalog::Unavailable;
use crate::catalog::View;

/// A selected mailbox.
pub(super) struct Selected {
    name: String,
    /// Message n has the UID at n - 1.
    uids: Vec<u32>,
    /// The last message asked for: clients fetch one message in many pieces.
    opened: Option<Opened>,
    /// UIDs the client still counts and the archive no longer has.
    gone: Vec<u32>,
}

struct Opened {
    uid: u32,
    message: Message,
    octets: Option<Vec<u8>>,
}

/// Whether message numbers may change now (RFC 3501 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expunges {
    /// They may.
    Allowed,
    /// The client may have sent numbers already.
    Held,
}

impl Selected {
    /// Opens a mailbox; `None` when there is none of that name. UIDNEXT is above every UID given.
    pub(super) fn open(view: &dyn View, name: &str) -> Result<Option<(Mailbox, Selected)>, Unavailable> {
        let Some(mut mailbox) = view.mailbox(name)? else { return Ok(None) };
        let uids = view.uids(&mailbox.name, 1)?;
        mailbox.uid_next = mailbox.uid_next.max(uids.last().map_or(1, |uid| uid.saturating_add(1)));
        let selected = Selected { name: mailbox.name.clone(), uids, opened: None, gone: Vec::new() };
        Ok(Some((mailbox, selected)))
    }

    /// The mailbox's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// UIDs in message order.
    pub(super) fn uids(&self) -> &[u32] {
        &self.uids
    }

    /// The facts of the message at `index`; `None` when it is gone.
    pub(super) fn message(&mut self, view: &dyn View, index: usize) -> Result<Option<&Message>, Unavailable> {
        let Some(&uid) = self.uids.get(index) else { return Ok(None) };
        if self.opened.as_ref().is_none_or(|opened| opened.uid != uid) {
            self.opened = view.message(&self.name, uid)?.map(|message| Opened { uid, message, octets: None });
            self.note_gone(uid);
        }
        Ok(self.opened.as_ref().map(|opened| &opened.message))
    }

    /// The facts and octets of the message at `index`, NUL mapped; `None` when it is gone.
    pub(super) fn octets(&mut self, view: &dyn View, index: usize) -> Result<Option<(&Message, &[u8])>, Unavailable> {
        self.message(view, index)?;
        self.read(view)?;
        Ok(self.opened.as_ref().and_then(|opened| Some((&opened.message, opened.octets.as_deref()?))))
    }

    /// Reads the octets of the opened message, once.
    fn read(&mut self, view: &dyn View) -> Result<(), Unavailable> {
        let Some(mut opened) = self.opened.take() else { return Ok(()) };
        if opened.octets.is_none() {
            opened.octets = view.octets(&self.name, opened.uid)?.map(without_nul);
        }
        let uid = opened.uid;
        self.opened = opened.octets.is_some().then_some(opened);
        self.note_gone(uid);
        Ok(())
    }

    /// The octets last read.
    pub(super) fn opened_octets(&self) -> &[u8] {
        self.opened.as_ref().and_then(|opened| opened.octets.as_deref()).unwrap_or_default()
    }

    /// The client waits: nothing is kept open for it meanwhile.
    pub(super) fn rest(&mut self) {
        self.opened = None;
    }

    fn note_gone(&mut self, uid: u32) {
        if self.opened.is_none() && !self.gone.contains(&uid) {
            self.gone.push(uid);
        }
    }

    /// Tells the client what has come, and, when allowed, what has gone.
    pub(super) fn refresh(
        &mut self,
        view: &dyn View,
        expunges: Expunges,
        out: &mut Vec<u8>,
    ) -> Result<(), Unavailable> {
        let from = self.uids.last().map_or(1, |uid| uid.saturating_add(1));
        let mut new = view.uids(&self.name, from)?;
        new.retain(|uid| *uid >= from);
        if expunges == Expunges::Allowed && !self.gone.is_empty() {
            self.expunge(out);
        }
        if !new.is_empty() {
            self.uids.append(&mut new);
            reply::untagged(out, &format!("{} EXISTS", self.uids.len()));
        }
        Ok(())
    }

    /// From the end, so that the numbers still to come do not move.
    fn expunge(&mut self, out: &mut Vec<u8>) {
        let gone = std::mem::take(&mut self.gone);
        for index in (0..self.uids.len()).rev() {
            if gone.contains(&self.uids[index]) {
                reply::untagged(out, &format!("{} EXPUNGE", index + 1));
            }
        }
        self.uids.retain(|uid| !gone.contains(uid));
    }
}

fn without_nul(mut octets: Vec<u8>) -> Vec<u8> {
    for b in octets.iter_mut().filter(|b| **b == 0) {
        *b = NUL_SHOWN_AS;
    }
    octets
}
