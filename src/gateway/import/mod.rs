//! Import: mail that lies in files goes into the archive through the same journal as mail that is received, and is never delivered. What
//! is read is never written to.
//!
//! ```text
//! walk      files, directories and what is packed in them -> Found
//! found     one message and where it was; its key, by which it is imported once
//! intake    Found -> journal, and a mark for each
//! wire      Found from the command to a running server
//! ```
//! The command reads the files, because it runs as whoever may read them: the server has neither to see them nor to be told to open a
//! path. The server, or the command when none runs, alone writes to the journal.
//!
//! **Once each, also after a kill.** A message is marked when it is durable in the journal, and a seal pass waits while some are durable and
//! not marked. So what a killed process has not marked is still in the journal, whose records of imports say where each was found:
//! at its next opening, before anything is sealed, they are marked.

pub mod found;
pub mod intake;
pub mod walk;
pub mod wire;

pub use found::Found;
pub use intake::{Imports, Intake};
