//! The gateway's program: reads its arguments and does as they say.

mod cli;

use std::process::ExitCode;

/// Keeps memory of a core on that core.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(std::env::args_os().skip(1))
}
