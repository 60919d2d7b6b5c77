//! Prints the compatibility page; `cargo xtask tidy` compares it with `docs/compat.md`.

fn main() {
    print!("{}", feitian_api::operations::compat_markdown());
}
