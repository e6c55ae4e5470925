//! Acts: what is done to sealed mail. Holds, erasure, expiry.

mod hold;
mod leaves;
mod order;
mod signature;
mod slots;
