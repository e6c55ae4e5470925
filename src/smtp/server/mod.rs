//! The server core: a [`Session`] turns octets into [`Event`]s and replies. It holds the order of commands and the framing of
//! content; who may send what to whom is the driver's business.
//!
//! ```text
//! session     phases, questions to the driver and their answers
//! dialogue    what each command does, and in which order they may come
//! lines       input -> command lines        command: a line -> a command
//! arguments   what follows MAIL and RCPT      path: what stands between "<" and ">"
//! framing     where content ends
//! reply       everything we say
//! ```

mod arguments;
mod command;
mod dialogue;
pub mod framing;
mod lines;
mod path;
pub mod reply;
mod session;

pub use arguments::Mail;
pub use framing::BareLf;
pub use reply::Reply;
pub use session::{Event, Session, Settings, StartTls, Step};
