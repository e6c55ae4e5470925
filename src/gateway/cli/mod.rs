//! The command line: reads arguments, calls what does the work, prints. Holds no logic of its own.

pub mod args;
