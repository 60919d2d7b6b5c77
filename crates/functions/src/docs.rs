//! The page of functions, printed from what stands beside each registration.

use std::collections::BTreeMap;

/// Name, how it is called, and what it means.
pub(crate) type Entry = (&'static str, &'static str, &'static str);

/// Families in the order of the page.
fn families() -> Vec<(&'static str, Vec<Entry>)> {
    vec![
        ("Mathematics", crate::math::DOCS.to_vec()),
        ("Text", [crate::string::DOCS, crate::words::DOCS, crate::format::DOCS, crate::charset::DOCS].concat()),
        ("Regular expressions", crate::regexp::DOCS.to_vec()),
        ("Dates and times", crate::date::docs()),
        ("Conditions and choices", crate::cond::DOCS.to_vec()),
        ("Aggregates", crate::aggregate::docs()),
        ("Windows", crate::window::DOCS.to_vec()),
        ("Arrays, maps and structs", crate::nested::docs()),
        ("JSON", crate::json::DOCS.to_vec()),
        ("Checksums and encodings", [crate::digest::DOCS, crate::hash::DOCS].concat()),
        ("Addresses", [crate::url::DOCS, crate::net::DOCS].concat()),
        ("People and ids", crate::identity::DOCS.to_vec()),
    ]
}

/// Table functions: for LATERAL VIEW, or alone in a SELECT list.
const TABLES: &[Entry] = &[
    ("explode", "explode(array | map)", "A row for each item of an array, or for each key and value of a map."),
    ("inline", "inline(array)", "A row for each struct of an array, a column for each field."),
    (
        "json_explode",
        "json_explode(json)",
        "A row for each member of a JSON object, or with NULL as key for each item of a JSON array.",
    ),
    (
        "json_tuple",
        "json_tuple(text, 'key', …)",
        "One row: the values of keys of a JSON object, each as GET_JSON_OBJECT gives it.",
    ),
    (
        "keyvalue_tuple",
        "keyvalue_tuple(text, separator, sign, 'key', …)",
        "One row: the values of keys, each as KEYVALUE gives it.",
    ),
    (
        "parse_url_tuple",
        "parse_url_tuple(url, 'part', …)",
        "One row: parts of a URL, each as PARSE_URL gives it; `QUERY:key` is one of its parameters.",
    ),
    ("posexplode", "posexplode(array)", "A row for each item of an array, with its position from 0."),
    ("stack", "stack(n, value, …)", "The values as n rows, the last one filled up with NULL."),
    (
        "trans_array",
        "trans_array(n, separator, key, …, list, …)",
        "A row for each place in lists that are texts, beside n keys.",
    ),
    ("trans_cols", "trans_cols(n, key, …, value, …)", "A row for each value, with its number from 1, beside n keys."),
];

/// Functions of the planner, which have no kernel.
const PLANNED: &[Entry] = &[
    ("cast", "cast(value as type)", "The value as another type."),
    ("get_user_id", "get_user_id()", "The id of the account whose job the statement is, as text."),
    (
        "materialized_view_is_valid",
        "materialized_view_is_valid('view')",
        "Whether a materialized view has the rows that its query would give now.",
    ),
    ("max_pt", "max_pt('table')", "The largest value of the first partition column among partitions with rows."),
    ("partition_exists", "partition_exists('table', 'value', …)", "Whether the table has such a partition."),
    ("table_exists", "table_exists('table')", "Whether there is such a table."),
];

/// How each function is called, for example `abs(number)`, sorted. The name ends where the bracket begins.
pub fn calls() -> Vec<&'static str> {
    let planned = TABLES.iter().chain(PLANNED).copied();
    let entries = families().into_iter().flat_map(|(_, entries)| entries).chain(planned);
    let mut calls: Vec<&str> = entries.map(|(_, call, _)| call).collect();
    calls.sort_unstable();
    calls
}

/// `docs/sql.md`.
pub fn sql_markdown() -> String {
    let mut out = String::from(
        "# Functions of SQL\n\n\
         This page is printed by `cargo run -p feitian-functions --example sql_md > docs/sql.md`.\n\n\
         Square brackets hold what may be left out; `a | b` is one or the other.\n\
         NULL in gives NULL out unless the line says otherwise.\n\
         Positions in text count from 1, indexes of arrays from 0.\n\
         A name that is not here is not a function.\n",
    );
    for (title, entries) in families() {
        let sorted: BTreeMap<&str, &Entry> = entries.iter().map(|e| (e.0, e)).collect();
        table(title, sorted.into_values(), &mut out);
    }
    table("Table functions", TABLES.iter(), &mut out);
    table("Known to the planner", PLANNED.iter(), &mut out);
    out
}

fn table<'a>(title: &str, entries: impl Iterator<Item = &'a Entry>, out: &mut String) {
    out.push_str(&format!("\n## {title}\n\n| call | meaning |\n|---|---|\n"));
    for (_, call, meaning) in entries {
        out.push_str(&format!("| `{}` | {} |\n", call.replace('|', "\\|"), meaning.replace('|', "\\|")));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names that only the planner uses: they stand for syntax, not for something that users call.
    const INTERNAL: [&str; 3] = ["btrim", "extract", "rlike"];

    #[test]
    fn the_page_is_fresh() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
        let page = std::fs::read_to_string(path).expect("docs/sql.md");
        assert!(page == sql_markdown(), "refresh it: cargo run -p feitian-functions --example sql_md > docs/sql.md");
    }

    #[test]
    fn every_function_is_on_the_page_and_nothing_else() {
        let registry = crate::registry();
        let names = registry.scalar.keys().chain(registry.aggregate.keys()).chain(registry.window.keys());
        let names = names.chain(registry.higher.keys());
        let there: BTreeSet<&str> = names.map(String::as_str).filter(|n| !INTERNAL.contains(n)).collect();
        let mut shown: BTreeSet<&str> = BTreeSet::new();
        for (family, entries) in families() {
            for (name, call, _) in entries {
                assert!(shown.insert(name), "{name} is listed twice, the second time under {family}");
                assert!(call.starts_with(name), "{call} is no call of {name}");
            }
        }
        assert_eq!(there.difference(&shown).collect::<Vec<_>>(), [] as [&&str; 0], "not on the page");
        assert_eq!(shown.difference(&there).collect::<Vec<_>>(), [] as [&&str; 0], "no functions");
    }
}
