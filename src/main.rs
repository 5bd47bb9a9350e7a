//! The gateway's program: reads its arguments and does as they say.

mod cli;

use std::process::ExitCode;

/// Keeps memory of a core on that core.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(std::env::args_os().skip(1))
}

/// Gives memory that this thread has freed back to the system, which the allocator alone does only while it is used.
#[allow(unsafe_code)]
pub(crate) fn release_memory() {
    // SAFETY: it may be called at any time, and touches nothing that is in use.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
