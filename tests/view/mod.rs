//! A view in memory, for tests of the wire modules: three mailboxes, a handful of telling messages.

// Each test binary uses its own part of it.
#![allow(dead_code)]

use sealpost::catalog::{Mailbox, Message, Unavailable, View};
use sealpost::clock::Timestamp;
use sealpost::mail::MailId;
use sealpost::mail::summary::summarize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Octets by mailbox and UID.
pub type Stored = BTreeMap<(String, u32), Vec<u8>>;

/// What all sessions see; tests add and remove under them.
#[derive(Clone, Default)]
pub struct Archive {
    pub stored: Arc<Mutex<Stored>>,
    pub locked: Arc<Mutex<bool>>,
    pub mailboxes: Vec<&'static str>,
}

pub const OCTOBER: &str = "Archive/2026/2026-10";
pub const NOVEMBER: &str = "Archive/2026/2026-11";
pub const EMPTY: &str = "Holds/R&D";

pub const PLAIN: &[u8] = b"Received: from a.example by gw.example\r\n\tid 1; Sun, 1 Nov 2026 00:30:00 +0000\r\nFrom: \"Ada L.\" <ada@a.example>\r\nTo: bob@b.example, Carol <carol@b.example>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Kiel\r\nDate: Sat, 31 Oct 2026 23:30:00 -0100\r\nMessage-ID: <1@a.example>\r\n\r\n.Hello\r\n\r\nThe answer is forty-two.\r\n";

pub const MIXED: &[u8] = b"From: ada@a.example\r\nTo: bob@b.example\r\nCc: dora@d.example\r\nSubject: two parts\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\npreamble\r\n--=_x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw5xiZXJnYW5n\r\n--=_x\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment; filename=\"inner.eml\"\r\n\r\nFrom: eve@e.example\r\nSubject: inside\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\nplain words\r\n--y\r\nContent-Type: text/html\r\n\r\n<p>html words</p>\r\n--y--\r\n--=_x--\r\nepilogue\r\n";

pub const ODD: &[u8] = b"Subject: 8-bit \xfc and NUL\nX-Odd: a\n\n.dot\n.\nNUL:\0!";

impl Archive {
    /// The fixture: October holds one message, November three, a hold none.
    pub fn fixture() -> Archive {
        let archive = Archive { mailboxes: vec![OCTOBER, NOVEMBER, EMPTY], ..Archive::default() };
        archive.add(OCTOBER, 3, b"Subject: first\r\n\r\nbody\r\n");
        archive.add(NOVEMBER, 5, PLAIN);
        archive.add(NOVEMBER, 8, MIXED);
        archive.add(NOVEMBER, 9, ODD);
        archive
    }
    /// One mailbox with these messages, UIDs from 1.
    pub fn of(messages: impl IntoIterator<Item = Vec<u8>>) -> Archive {
        let archive = Archive { mailboxes: vec![NOVEMBER], ..Archive::default() };
        for (at, octets) in messages.into_iter().enumerate() {
            archive.add(NOVEMBER, u32::try_from(at).expect("few") + 1, &octets);
        }
        archive
    }
    pub fn add(&self, mailbox: &'static str, uid: u32, octets: &[u8]) {
        self.stored.lock().expect("no panic").insert((mailbox.to_owned(), uid), octets.to_vec());
    }
    pub fn remove(&self, uid: u32) {
        self.stored.lock().expect("no panic").retain(|(_, there), _| *there != uid);
    }
    pub fn lock(&self) {
        *self.locked.lock().expect("no panic") = true;
    }
    pub fn session(&self) -> Box<dyn View> {
        Box::new(self.clone())
    }
    fn find(&self, mailbox: &str, uid: u32) -> Result<Option<Vec<u8>>, Unavailable> {
        self.check()?;
        Ok(self.stored.lock().expect("no panic").get(&(mailbox.to_owned(), uid)).cloned())
    }
    fn check(&self) -> Result<(), Unavailable> {
        if *self.locked.lock().expect("no panic") { Err(Unavailable::Locked) } else { Ok(()) }
    }
}

impl View for Archive {
    fn mailboxes(&self) -> Result<Vec<Mailbox>, Unavailable> {
        self.check()?;
        let names = self.mailboxes.iter();
        Ok(names.filter_map(|name| self.mailbox(name).ok().flatten()).collect())
    }
    fn mailbox(&self, name: &str) -> Result<Option<Mailbox>, Unavailable> {
        let uids = self.uids(name, 1)?;
        let uid_next = uids.last().map_or(1, |uid| uid + 1);
        let messages = u32::try_from(uids.len()).expect("few");
        let mailbox = Mailbox { name: name.to_owned(), uid_validity: 77, uid_next, messages };
        Ok(self.mailboxes.contains(&name).then_some(mailbox))
    }
    fn uids(&self, mailbox: &str, from_uid: u32) -> Result<Vec<u32>, Unavailable> {
        self.check()?;
        let stored = self.stored.lock().expect("no panic");
        let there = (mailbox.to_owned(), from_uid)..=(mailbox.to_owned(), u32::MAX);
        Ok(stored.range(there).map(|((_, uid), _)| *uid).collect())
    }
    fn message(&self, mailbox: &str, uid: u32) -> Result<Option<Message>, Unavailable> {
        let Some(octets) = self.find(mailbox, uid)? else { return Ok(None) };
        let day = Timestamp::from_date(2026, 11, 1).expect("a day");
        Ok(Some(Message {
            uid,
            id: MailId::from_octets([u8::try_from(uid % 251).expect("small"); 16]),
            internal_date: day.plus_s(i64::from(uid) * 3600 * 12),
            size: octets.len() as u64,
            sha256: [0; 32],
            summary: summarize(&octets),
        }))
    }
    fn octets(&self, mailbox: &str, uid: u32) -> Result<Option<Vec<u8>>, Unavailable> {
        self.find(mailbox, uid)
    }
}
