//! Throughput: the real program from its listener to a next hop, in messages a second, CPU time and reply times; beside it the
//! harness alone and, where it is installed, a tuned Postfix. Measures only: asserts nothing about speed.
//!
//! ```text
//! cargo bench --bench throughput -- [--seconds N] [--sizes KB,KB,...] [--dir DIR] [--only PART,...] [--json]
//! ```
//!
//! Absolute figures depend on the machine and on what else runs there; compare the ratios of one run. What is measured is in
//! `course`, how in `load` (senders), `sink` (the next hop) and `process` (CPU time and memory); `gateway` and `postfix` are
//! the two under test.

mod arguments;
mod course;
#[allow(dead_code, reason = "shared with the storm")]
mod gateway;
mod keys;
mod load;
mod postfix;
#[allow(dead_code, reason = "shared with the start's benchmark")]
mod process;
mod report;
mod sink;

use arguments::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => {
            course::run(&arguments);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("throughput: {fault}");
            ExitCode::from(2)
        }
    }
}
