//! What each command does in a session (RFC 3501 section 6). Commands that would change something are refused, or answered OK
//! without effect where clients stumble over a refusal.

use super::command::Answer;
use super::command::Charset;
use super::command::Command;
use super::command::Listing;
use super::command::Opening;
use super::command::StatusItem;
use super::fetch::Fetch;
use super::key::Key;
use super::list;
use super::reply;
use super::sasl;
use super::search::Search;
use super::section;
use super::section::Item;
use super::selected::Expunges;
use super::selected::Selected;
use super::sequence::Chosen;
use super::sequence::Numbers;
use super::sequence::SequenceSet;
use super::session::Event;
use super::session::Phase;
use super::session::Session;
use super::session::TlsState;
use super::session::unavailable;
use super::work::Asked;
use super::work::Begun;
use crate::catalog::Mailbox;
use crate::catalog::Reading;
use crate::catalog::View;

/// The text of a tagged answer, `OK`, `NO` or `BAD` first.
type Answered = Result<&'static str, &'static str>;
/// How STORE ends.
const NOTHING_STORED: &str = "OK STORE completed, nothing was changed";
/// What is to be recorded first; nothing, when there is nothing to record and the work goes on.
type Recording = Result<Option<Reading>, &'static str>;

impl Session {
    /// Does a command; `octets` are what the client wrote behind its tag. An event when the driver has a part in it.
    pub(super) fn execute(&mut self, tag: String, command: Command, octets: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        let begun = match command {
            Command::StartTls => return self.start_tls(&tag, out),
            Command::Login(user, password) => return self.login(tag, &user, &password, out),
            Command::Authenticate(mechanism, initial) => {
                return self.start_authenticate(tag, &mechanism, initial.as_deref(), out);
            }
            Command::Logout => return Some(self.logout(&tag, out)),
            Command::Idle => {
                self.idle(tag, out);
                return None;
            }
            Command::Fetch(numbers, set, items) => self.fetch(&tag, "OK FETCH completed", numbers, &set, items),
            Command::Store(numbers, set, Answer::Flags) => self.store(&tag, numbers, &set),
            Command::Search(numbers, charset, key) => self.search(&tag, numbers, charset, key, octets),
            other => match self.at_once(other, out) {
                Ok(text) | Err(text) => Err(text),
            },
        };
        match begun {
            Ok(reading) => reading.map(Event::Record),
            Err(text) => {
                self.finish(&tag, text, Expunges::Allowed, out);
                None
            }
        }
    }

    /// The commands that are answered in full at once.
    fn at_once(&mut self, command: Command, out: &mut Vec<u8>) -> Answered {
        match command {
            Command::Capability => {
                reply::untagged(out, &self.capabilities());
                Ok("OK CAPABILITY completed")
            }
            Command::Id => {
                reply::untagged(out, "ID (\"name\" \"Sealpost\")");
                Ok("OK ID completed")
            }
            Command::Noop => Ok("OK NOOP completed"),
            Command::Namespace => {
                self.view()?;
                reply::untagged(out, "NAMESPACE ((\"\" \"/\")) NIL NIL");
                Ok("OK NAMESPACE completed")
            }
            Command::List(listing, reference, pattern) => self.list(listing, &reference, &pattern, out),
            Command::Subscribe => self.view().map(|_| "OK All mailboxes are subscribed"),
            Command::Status(name, items) => self.status(&name, &items, out),
            Command::Open(opening, name) => self.open(opening, &name, out),
            Command::Check => self.selected().map(|_| "OK CHECK completed"),
            Command::Close => {
                self.selected()?;
                self.selected = None;
                Ok("OK Mailbox closed")
            }
            Command::Expunge => self.selected().map(|_| "OK EXPUNGE completed, nothing was removed"),
            Command::Store(numbers, set, _) => self.choose(numbers, &set).map(|_| NOTHING_STORED),
            Command::Copy => self.selected().and(Err(reply::NO_PERMISSION)),
            _ => self.view().and(Err(reply::NO_PERMISSION)),
        }
    }

    fn view(&self) -> Result<&dyn View, &'static str> {
        self.view.as_deref().ok_or(reply::BAD_NOT_LOGGED_IN)
    }

    fn selected(&self) -> Result<&Selected, &'static str> {
        self.view()?;
        self.selected.as_ref().ok_or(reply::BAD_NOT_SELECTED)
    }

    /// `CAPABILITY ...` as it stands now.
    pub(super) fn capabilities(&self) -> String {
        let more = match (&self.view, self.settings.tls) {
            (Some(_), _) => "IDLE NAMESPACE CHILDREN UNSELECT",
            (None, TlsState::Active) => "SASL-IR AUTH=PLAIN",
            (None, TlsState::Offered) => "SASL-IR STARTTLS LOGINDISABLED",
            (None, TlsState::Absent) => "SASL-IR LOGINDISABLED",
        };
        format!("CAPABILITY IMAP4rev1 LITERAL+ ID {more}")
    }

    fn start_tls(&mut self, tag: &str, out: &mut Vec<u8>) -> Option<Event> {
        if self.view.is_some() || self.settings.tls != TlsState::Offered {
            reply::tagged(out, tag, "BAD STARTTLS is not offered now");
            return None;
        }
        reply::tagged(out, tag, "OK Begin TLS now");
        Some(Event::StartTls)
    }

    /// Whether somebody may log in here and now.
    fn may_log_in(&self) -> Result<(), &'static str> {
        match (&self.view, self.settings.tls) {
            (Some(_), _) => Err("BAD Already logged in"),
            (None, TlsState::Active) => Ok(()),
            (None, _) => Err(reply::NO_PRIVACY),
        }
    }

    fn login(&mut self, tag: String, user: &[u8], password: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        match self.may_log_in().and_then(|()| sasl::login(user, password)) {
            Ok(login) => Some(self.authenticate(tag, login)),
            Err(text) => {
                reply::tagged(out, &tag, text);
                None
            }
        }
    }

    fn start_authenticate(
        &mut self,
        tag: String,
        mechanism: &str,
        initial: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Option<Event> {
        let refusal = match self.may_log_in() {
            Err(text) => Some(text),
            Ok(()) if mechanism != "PLAIN" => Some("NO [CANNOT] Unsupported authentication mechanism"),
            Ok(()) => None,
        };
        match (refusal, initial) {
            (Some(text), _) => reply::tagged(out, &tag, text),
            (None, Some(response)) => return self.authenticate_plain(tag, response, out),
            (None, None) => {
                out.extend_from_slice(b"+ \r\n");
                self.phase = Phase::Sasl(tag);
            }
        }
        None
    }

    fn logout(&mut self, tag: &str, out: &mut Vec<u8>) -> Event {
        reply::untagged(out, "BYE Logging out");
        reply::tagged(out, tag, "OK LOGOUT completed");
        self.phase = Phase::Closed;
        Event::Close
    }

    fn idle(&mut self, tag: String, out: &mut Vec<u8>) {
        if let Err(text) = self.view() {
            return reply::tagged(out, &tag, text);
        }
        out.extend_from_slice(b"+ idling\r\n");
        self.phase = Phase::Idle(tag);
        if let Some(selected) = &mut self.selected {
            selected.rest();
        }
        self.tick(out);
    }

    fn list(&self, listing: Listing, reference: &[u8], pattern: &[u8], out: &mut Vec<u8>) -> Answered {
        let mailboxes = self.view()?.mailboxes().map_err(|e| unavailable(&e))?;
        list::list(out, listing, reference, pattern, &mailboxes);
        Ok(match listing {
            Listing::List => "OK LIST completed",
            Listing::Lsub => "OK LSUB completed",
        })
    }

    fn status(&self, name: &[u8], items: &[StatusItem], out: &mut Vec<u8>) -> Answered {
        let view = self.view()?;
        let name = reply::mailbox_name(name).ok_or(reply::NO_MAILBOX)?;
        let mailbox = view.mailbox(&name).map_err(|e| unavailable(&e))?.ok_or(reply::NO_MAILBOX)?;
        out.extend_from_slice(b"* STATUS ");
        reply::mailbox(out, &mailbox.name);
        let items: Vec<String> = items.iter().map(|item| status_item(*item, &mailbox)).collect();
        out.extend_from_slice(format!(" ({})\r\n", items.join(" ")).as_bytes());
        Ok("OK STATUS completed")
    }

    /// SELECT and EXAMINE, which are one here. A failure leaves no mailbox selected (RFC 3501 section 6.3.1).
    fn open(&mut self, opening: Opening, name: &[u8], out: &mut Vec<u8>) -> Answered {
        self.view()?;
        self.selected = None;
        let name = reply::mailbox_name(name).ok_or(reply::NO_MAILBOX)?;
        let opened = Selected::open(self.view()?, &name).map_err(|e| unavailable(&e))?;
        let (mailbox, selected) = opened.ok_or(reply::NO_MAILBOX)?;
        reply::untagged(out, reply::FLAGS);
        reply::untagged(out, &format!("{} EXISTS", selected.uids().len()));
        reply::untagged(out, "0 RECENT");
        reply::untagged(out, "OK [PERMANENTFLAGS ()] No flag can be changed");
        reply::untagged(out, &format!("OK [UIDVALIDITY {}] UIDs are stable for ever", mailbox.uid_validity));
        reply::untagged(out, &format!("OK [UIDNEXT {}] Next UID", mailbox.uid_next));
        self.selected = Some(selected);
        Ok(match opening {
            Opening::Select => "OK [READ-ONLY] SELECT completed",
            Opening::Examine => "OK [READ-ONLY] EXAMINE completed",
        })
    }

    fn choose(&self, numbers: Numbers, set: &SequenceSet) -> Result<Chosen, &'static str> {
        let uids = self.selected()?.uids();
        if numbers == Numbers::Sequence && !set.is_within(uids.len()) {
            return Err("BAD No such message number");
        }
        Ok(set.choose(numbers, uids))
    }

    fn fetch(
        &mut self,
        tag: &str,
        result: &'static str,
        numbers: Numbers,
        set: &SequenceSet,
        items: Vec<Item>,
    ) -> Recording {
        let fetch = Fetch::new(items, self.choose(numbers, set)?);
        let begun = Asked::fetch(tag.to_owned(), result, fetch, self.selected()?);
        Ok(self.begin(begun))
    }

    /// What is to be recorded before the work begins.
    fn begin(&mut self, begun: Begun) -> Option<Reading> {
        match begun {
            Begun::Work(work) => {
                self.work = Some(work);
                None
            }
            Begun::Asked(asked, reading) => {
                self.asked = Some(asked);
                Some(reading)
            }
        }
    }

    /// OK without effect: a NO would stop fetchmail at its first message. The answer shows the flags as they are.
    fn store(&mut self, tag: &str, numbers: Numbers, set: &SequenceSet) -> Recording {
        let items = match numbers {
            Numbers::Sequence => vec![Item::Flags],
            Numbers::Uid => section::with_uid(vec![Item::Flags]),
        };
        self.fetch(tag, NOTHING_STORED, numbers, set, items)
    }

    fn search(&mut self, tag: &str, numbers: Numbers, charset: Charset, key: Key, terms: &[u8]) -> Recording {
        let uids = self.selected()?.uids();
        if charset == Charset::Unknown {
            return Err("NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset");
        }
        let search = Search::new(numbers, key, uids);
        let begun = Asked::search(tag.to_owned(), search, terms.to_vec(), self.selected()?);
        Ok(self.begin(begun))
    }
}

fn status_item(item: StatusItem, mailbox: &Mailbox) -> String {
    match item {
        StatusItem::Messages => format!("MESSAGES {}", mailbox.messages),
        StatusItem::Recent => "RECENT 0".to_owned(),
        StatusItem::UidNext => format!("UIDNEXT {}", mailbox.uid_next),
        StatusItem::UidValidity => format!("UIDVALIDITY {}", mailbox.uid_validity),
        StatusItem::Unseen => "UNSEEN 0".to_owned(),
    }
}
