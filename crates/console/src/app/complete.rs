//! What the editor may propose, as JSON: words of SQL, functions, tables of the project, columns of a table.

use feitian_api::{Answer, Call, admin};
use serde_json::json;

use super::shell::hardened;

/// Tables of one answer.
const TABLES: usize = 500;

/// Words that begin statements and clauses (MaxCompute documentation, "Reserved words and keywords"); those that our
/// parser acts on.
pub(super) const KEYWORDS: &[&str] = &[
    "add",
    "all",
    "alter",
    "and",
    "anti",
    "array",
    "as",
    "asc",
    "between",
    "bigint",
    "boolean",
    "by",
    "case",
    "cast",
    "change",
    "cluster",
    "column",
    "columns",
    "comment",
    "create",
    "cross",
    "cube",
    "date",
    "datetime",
    "decimal",
    "default",
    "desc",
    "describe",
    "distinct",
    "distribute",
    "double",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "explode",
    "extended",
    "false",
    "float",
    "from",
    "full",
    "group",
    "grouping",
    "having",
    "if",
    "in",
    "inner",
    "insert",
    "int",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "json",
    "lateral",
    "left",
    "lifecycle",
    "like",
    "limit",
    "map",
    "minus",
    "not",
    "null",
    "nulls",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "overwrite",
    "partition",
    "partitioned",
    "partitions",
    "qualify",
    "regexp",
    "rename",
    "replace",
    "right",
    "rlike",
    "rollup",
    "row",
    "rows",
    "select",
    "semi",
    "set",
    "sets",
    "show",
    "smallint",
    "sort",
    "string",
    "struct",
    "table",
    "tables",
    "tblproperties",
    "then",
    "timestamp",
    "tinyint",
    "to",
    "true",
    "truncate",
    "union",
    "unset",
    "using",
    "values",
    "view",
    "views",
    "when",
    "where",
    "window",
    "with",
];

/// `GET …/complete`: with `table=` the columns of a table, else keywords, functions, and tables whose names begin with
/// `prefix`, in the schema `schema`.
pub(super) async fn show(call: Call) -> Answer {
    if let Some(table) = call.query.get("table") {
        let info = admin::table_named(&call, &table.to_lowercase()).await?;
        let column = |c: &feitian_types::Column| json!({ "name": c.name, "type": c.ty.to_string() });
        let columns: Vec<_> = info.table.schema.all_columns().map(column).collect();
        return Ok(hardened(feitian_api::json(&json!({ "table": info.table.local_name(), "columns": columns }))?));
    }
    let page = admin::names_of(&call, TABLES).await?;
    let answer = json!({
        "keywords": KEYWORDS,
        "functions": admin::functions_of(&call),
        "tables": page.items,
        // Further tables are found by the beginning of their names.
        "more_tables": page.next.is_some(),
    });
    Ok(hardened(feitian_api::json(&answer)?))
}

#[cfg(test)]
mod tests {
    use super::KEYWORDS;

    #[test]
    fn keywords_are_sorted_and_told_once() {
        assert!(KEYWORDS.windows(2).all(|two| two[0] < two[1]));
    }
}
