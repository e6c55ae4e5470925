//! The client core: a [`Client`] delivers transactions to one next hop, replies in, commands out. It chooses neither the next
//! hop nor when to try again; it never converts content, and it says "delivered" only on a 2xx behind the final dot.
//!
//! ```text
//! session        greeting, EHLO, STARTTLS, one transaction after another, QUIT
//! transaction    the commands of one transaction, its replies, what they mean for each recipient
//! outcome        what became of a recipient
//! answer         octets -> replies of the next hop      capabilities: what its EHLO offers
//! content        what must be known of content before it is offered      stuffing: content -> octets on the wire
//! ```

pub mod answer;
pub mod capabilities;
pub mod content;
pub mod outcome;
mod session;
pub mod stuffing;
mod transaction;

pub use answer::Answer;
pub use capabilities::{Capabilities, Extension};
pub use content::{Octets, Survey};
pub use outcome::{Origin, Outcome, Verdict};
pub use session::{Client, Event, Failure, Next, Report, Stage, Trust};
pub use stuffing::Unsendable;
