//! Acts: what is done to sealed mail. Holds, erasure, expiry. None of it needs a key that opens mail.
//!
//! - `slots`, `leaves`, `hold`, `order`, `signature`: octets.
//! - `registry`: what all act leaves say together; `locate`: where messages lie; `follow`: both, for the catalog.
//! - `deed`: what every act has in common; `holding`, `erase`, `expire`: the acts, decided when their leaves are durable.
//! - `tomb`, `receipt`: what follows, also after a crash.

mod deed;
mod erase;
mod expire;
mod follow;
pub mod hold;
mod holding;
pub mod leaves;
pub(super) mod locate;
pub mod order;
mod receipt;
mod registry;
mod signature;
mod slots;
mod tomb;

pub use deed::{Run, Tools};
pub use erase::{EraseTerms, Erased};
pub use expire::{ExpireTerms, Expired, ExpiredSegment};
pub use follow::Followed;
pub use hold::{HoldFile, QUERY_INFO, is_name};
pub use holding::{HoldInfo, Holding, NewHold};
pub use leaves::Act;
pub use order::{MESSAGES_MAX, Named, Order, SignedOrder};
pub use receipt::{Decided, Followup, GoneMessages, word};
pub use registry::{Reason, Registry};
pub use signature::{sign, signers, take};
pub use slots::{Ranges, Slots};
pub use tomb::is_dead;
