//! Prints `docs/compat.md`: every operation of the protocols, and the pages.

fn main() {
    print!("{}", feitian_api::compat_markdown(feitian_console::GROUPS));
}
