//! Work that spans many messages, done step by step: FETCH, STORE and SEARCH. What shows mail cannot begin before its record is
//! durable.

use super::fetch::Fetch;
use super::fetch::Missing;
use super::search::Search;
use super::selected::Selected;
use crate::catalog::Aim;
use crate::catalog::Reading;
use crate::catalog::Unavailable;
use crate::catalog::View;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    Again,
}

/// A command under way and the tag it will be answered with. Made of what is recorded, or of what shows no mail: there is no other
/// way.
pub(super) struct Work {
    tag: String,
    job: Job,
}

/// A command that shows mail or looks for it. Nothing of it has been looked at.
pub(super) struct Asked {
    tag: String,
    job: Job,
}

/// What a command begins with.
pub(super) enum Begun {
    /// It shows no mail: no message is chosen, or nothing of one is asked for.
    Work(Work),
    /// What is to be recorded first.
    Asked(Asked, Reading),
}

impl Asked {
    /// FETCH.
    pub(super) fn fetch(tag: String, result: &'static str, fetch: Fetch, selected: &Selected) -> Begun {
        let uids = fetch.uids(selected.uids());
        if !fetch.shows_mail() || uids.is_empty() {
            return Begun::Work(Work { tag, job: Job::Fetch(result, fetch) });
        }
        let aim = Aim::Messages { uids, count: fetch.count(), items: fetch.items() };
        let reading = Reading { command: "FETCH", mailbox: selected.name().to_owned(), aim };
        Begun::Asked(Asked { tag, job: Job::Fetch(result, fetch) }, reading)
    }

    /// SEARCH.
    pub(super) fn search(tag: String, search: Search, terms: Vec<u8>, selected: &Selected) -> Begun {
        let reading = Reading { command: "SEARCH", mailbox: selected.name().to_owned(), aim: Aim::Terms(terms) };
        Begun::Asked(Asked { tag, job: Job::Search(search) }, reading)
    }

    /// The record is durable.
    pub(super) fn recorded(self) -> Work {
        Work { tag: self.tag, job: self.job }
    }

    /// The tag, for a refusal.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }
}

impl Work {
    /// The tag it will be answered with.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// One step.
    pub(super) fn run(
        &mut self,
        selected: &mut Selected,
        view: &dyn View,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Unavailable> {
        self.job.run(selected, view, out)
    }

    /// How it ended, behind the tag.
    pub(super) fn result(&self) -> &'static str {
        self.job.result()
    }
}

/// What is being done.
enum Job {
    /// FETCH; STORE too, which is answered with the flags as they are.
    Fetch(&'static str, Fetch),
    Search(Search),
}

impl Job {
    /// One step.
    fn run(&mut self, selected: &mut Selected, view: &dyn View, out: &mut Vec<u8>) -> Result<Progress, Unavailable> {
        match self {
            Job::Fetch(_, fetch) => fetch.run(selected, view, out),
            Job::Search(search) => search.run(selected, view, out),
        }
    }

    /// How it ended, behind the tag.
    fn result(&self) -> &'static str {
        match self {
            Job::Fetch(_, fetch) if fetch.missing() == Missing::Some => {
                "NO [EXPUNGEISSUED] Some of the messages no longer exist"
            }
            Job::Fetch(result, _) => result,
            Job::Search(_) => "OK SEARCH completed",
        }
    }
}
