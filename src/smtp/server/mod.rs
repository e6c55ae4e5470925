//! The server core: a [`Session`] turns octets into [`Event`]s and replies. It holds the order of commands and the framing of
//! content; who may send what to whom is the driver's business.
//!
//! ```text
//! session     phases, questions to the driver and their answers
//! dialogue    what each command does, and in which order they may come
//! lines       input -> command lines        command: a line -> a command
//! arguments   what follows MAIL and RCPT      path: what stands between "<" and ">"
//! login       AUTH, up to a name and a password
//! forwarding  XCLIENT and XFORWARD: for whom a trusted peer speaks, from whom it has a message
//! content     a message on its way in         chunking: by BDAT, in counted pieces
//! framing     where content ends, and what its line ends are
//! reply       everything we say
//! ```

mod arguments;
mod chunking;
mod command;
mod content;
mod dialogue;
mod forwarding;
pub mod framing;
mod lines;
mod login;
mod path;
pub mod reply;
mod session;

pub use arguments::Mail;
pub use forwarding::Origin;
pub use framing::{BareLf, Unfit};
pub use login::{Login, LoginRefusal, ScramMessage};
pub use reply::Reply;
pub use session::{Auth, Event, Session, Settings, StartTls, Step};
