//! Prints `docs/compat.md`: `cargo run -p feitian-api --example compat > docs/compat.md`.

fn main() {
    print!("{}", feitian_api::compat_markdown());
}
