//! `sealpost demo`: the whole path of a message with the real program on free loopback ports, told as a short story. Ends with
//! an error at the first thing that is not so.

mod clients;
mod next_hop;
mod partners;
mod stage;
mod story;

use stage::Stage;

/// What is left when the story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// Nothing.
    Remove,
    /// Everything, running until the user ends it.
    Keep,
}

/// What was not so. One sentence for the reader.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unlike(String);

impl Unlike {
    /// Something failed.
    pub fn of(what: impl std::fmt::Display, cause: impl std::fmt::Display) -> Unlike {
        Unlike(format!("{what}: {cause}"))
    }
    /// Something is otherwise than it should be.
    pub fn because(text: impl Into<String>) -> Unlike {
        Unlike(text.into())
    }
}

/// Tells the story.
pub fn demo(afterwards: Afterwards) -> Result<(), Unlike> {
    let stage = Stage::build()?;
    story::tell(&stage)?;
    match afterwards {
        Afterwards::Remove => stage.strike(),
        Afterwards::Keep => stage.keep(),
    }
}
