//! The `feitian` program: hands its arguments to the library and its exit code to the system.

use std::process::ExitCode;

// What one thread makes another one gives back here, all the time: requests are read, worked on and answered by whoever is
// free. With the system's allocator the table store does a tenth fewer puts, and the slowest of 256 clients wait much longer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    feitian::main(std::env::args_os())
}
