//! The `feitian` program: hands its arguments to the library and its exit code to the system.

use std::process::ExitCode;

fn main() -> ExitCode {
    feitian::main(std::env::args_os())
}
