//! Which words may be names, and where.

/// True if `word` is one of `keywords`, in any letter case.
pub(super) fn among(word: &str, keywords: &[&str]) -> bool {
    keywords.iter().any(|k| k.eq_ignore_ascii_case(word))
}

/// Words that are never a name without back quotes: the grammar could not go on without them.
const RESERVED: &[&str] = &[
    "all", "and", "as", "between", "by", "case", "distinct", "div", "else", "end", "from", "group", "having", "in",
    "insert", "into", "is", "join", "like", "limit", "not", "on", "or", "order", "regexp", "rlike", "select", "then",
    "union", "using", "values", "when", "where", "with", "true", "false", "null",
];

/// Words that begin the next clause and so cannot be an alias without AS.
const NO_BARE_ALIAS: &[&str] = &[
    "anti",
    "cluster",
    "cross",
    "distribute",
    "except",
    "full",
    "inner",
    "intersect",
    "lateral",
    "left",
    "minus",
    "natural",
    "outer",
    "overwrite",
    "pivot",
    "qualify",
    "right",
    "semi",
    "sort",
    "tablesample",
    "unpivot",
    "zorder",
];

pub(super) fn is_reserved(word: &str) -> bool {
    among(word, RESERVED)
}

pub(super) fn is_alias(word: &str) -> bool {
    !is_reserved(word) && !among(word, NO_BARE_ALIAS)
}
