//! What commands show, as rows for people and JSON. Shows no content of mail.

pub mod archive;
pub mod audit;
pub mod officers;
pub mod queue;
pub mod reported;
