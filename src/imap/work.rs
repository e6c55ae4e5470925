//! Work that spans many messages, done step by step: FETCH, STORE and SEARCH.

use super::fetch::Fetch;
use super::fetch::Missing;
use super::search::Search;
use super::selected::Selected;
use crate::catalog::Unavailable;
use crate::catalog::View;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    Again,
}

/// A command under way and the tag it will be answered with.
pub(super) struct Work {
    pub tag: String,
    pub job: Job,
}

/// What is being done.
pub(super) enum Job {
    /// FETCH; STORE too, which is answered with the flags as they are.
    Fetch(&'static str, Fetch),
    Search(Search),
}

impl Job {
    /// One step.
    pub(super) fn run(
        &mut self,
        selected: &mut Selected,
        view: &dyn View,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Unavailable> {
        match self {
            Job::Fetch(_, fetch) => fetch.run(selected, view, out),
            Job::Search(search) => search.run(selected, view, out),
        }
    }

    /// How it ended, behind the tag.
    pub(super) fn result(&self) -> &'static str {
        match self {
            Job::Fetch(_, fetch) if fetch.missing() == Missing::Some => {
                "NO [EXPUNGEISSUED] Some of the messages no longer exist"
            }
            Job::Fetch(result, _) => result,
            Job::Search(_) => "OK SEARCH completed",
        }
    }
}
