//! The program. Everything is in the library.

use std::process::ExitCode;

/// Sessions, journal and sealer allocate in one thread and free in another; the C library keeps an arena for each and gives little
/// back. How it is tuned stands in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    sealpost::gateway::cli::run()
}
