//! Prints `docs/sql.md`: `cargo run -p feitian-functions --example sql_md > docs/sql.md`.

fn main() {
    print!("{}", feitian_functions::sql_markdown());
}
