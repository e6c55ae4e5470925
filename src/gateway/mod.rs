//! The gateway: the path of a message, delivery, listeners, configuration and the command line. All branches are here, all
//! work in the floors below.

pub mod cli;
pub mod control;
pub mod observe;
pub mod received;
pub mod tls;
