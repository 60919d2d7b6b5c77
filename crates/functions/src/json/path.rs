//! JSON paths: `$`, `.key`, `['key']`, `[n]`, `[*]`.

use super::scan::{Json, Kind};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Index {
    At(usize),
    All,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    /// Brackets that follow each other.
    Indexes(Vec<Index>),
}

/// A path, and whether arrays are unwrapped when a key is asked of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    steps: Vec<Step>,
    strict: bool,
}

/// What a path of GET_JSON_OBJECT finds: one value, or what `[*]` gathered.
pub(crate) enum Found<'a> {
    One(Json<'a>),
    Many(Vec<Json<'a>>),
}

impl Path {
    /// Reads a path; `None` if it is none. The words `lax` and `strict` may stand before it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (strict, text) = match (text.strip_prefix("strict "), text.strip_prefix("lax ")) {
            (Some(rest), _) => (true, rest.trim_start()),
            (_, Some(rest)) => (false, rest.trim_start()),
            _ => (false, text),
        };
        let mut rest = text.strip_prefix('$')?;
        let mut steps: Vec<Step> = Vec::new();
        let mut joined = false;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                joined = false;
                // `$.a.[0]` is written in the original's own examples.
                if after.starts_with('[') {
                    rest = after;
                    continue;
                }
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 || &after[..end] == "*" {
                    return None;
                }
                steps.push(Step::Key(after[..end].to_string()));
                rest = &after[end..];
                continue;
            }
            let after = rest.strip_prefix('[')?;
            if let Some(quote) = after.chars().next().filter(|c| matches!(c, '\'' | '"')) {
                let (key, tail) = after[1..].split_once(quote)?;
                steps.push(Step::Key(key.to_string()));
                rest = tail.strip_prefix(']')?;
                joined = false;
                continue;
            }
            let (inner, tail) = after.split_once(']')?;
            let index = match inner.trim() {
                "*" => Index::All,
                n => Index::At(n.parse().ok()?),
            };
            match steps.last_mut() {
                Some(Step::Indexes(all)) if joined => all.push(index),
                _ => steps.push(Step::Indexes(vec![index])),
            }
            joined = true;
            rest = tail;
        }
        Some(Self { steps, strict })
    }

    /// True if the path has `[*]`.
    pub(crate) fn is_many(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Indexes(all) if all.contains(&Index::All)))
    }

    /// What GET_JSON_OBJECT finds, as Hive does: one match of `[*]` is that value, a key of a list is asked of each of
    /// its objects.
    pub(crate) fn find<'a>(&self, root: Json<'a>) -> Option<Found<'a>> {
        let mut at = Found::One(root);
        for step in &self.steps {
            at = match step {
                Step::Key(key) => key_of(at, key)?,
                Step::Indexes(indexes) => items_of(at, indexes)?,
            };
        }
        match at {
            Found::One(value) if value.is_null() => None,
            found => Some(found),
        }
    }

    /// The values that a path of the JSON type selects. Unless it is strict, an array is unwrapped for a key, and a value
    /// that is no array counts as an array of one.
    pub(crate) fn select<'a>(&self, root: Json<'a>) -> Vec<Json<'a>> {
        let mut at = vec![root];
        for step in &self.steps {
            match step {
                Step::Key(key) => {
                    let unwrap = |v: Json<'a>| match v.kind() {
                        Kind::Array if !self.strict => v.items(),
                        _ => vec![v],
                    };
                    at = at.into_iter().flat_map(unwrap).filter_map(|v| v.member(key)).collect();
                }
                Step::Indexes(indexes) => {
                    for index in indexes {
                        at = at.into_iter().flat_map(|v| self.indexed(v, index)).collect();
                    }
                }
            }
        }
        at
    }

    fn indexed<'a>(&self, value: Json<'a>, index: &Index) -> Vec<Json<'a>> {
        let items = match value.kind() {
            Kind::Array => value.items(),
            _ if self.strict => Vec::new(),
            _ => vec![value],
        };
        match index {
            Index::All => items,
            Index::At(n) => items.get(*n).copied().into_iter().collect(),
        }
    }
}

fn key_of<'a>(at: Found<'a>, key: &str) -> Option<Found<'a>> {
    let list = match at {
        Found::One(value) if value.kind() == Kind::Object => {
            return value.member(key).filter(|v| !v.is_null()).map(Found::One);
        }
        Found::One(value) => value.items(),
        Found::Many(list) => list,
    };
    let mut out = Vec::new();
    for value in list.into_iter().filter_map(|v| v.member(key)).filter(|v| !v.is_null()) {
        match value.kind() {
            Kind::Array => out.extend(value.items()),
            _ => out.push(value),
        }
    }
    (!out.is_empty()).then_some(Found::Many(out))
}

fn items_of<'a>(at: Found<'a>, indexes: &[Index]) -> Option<Found<'a>> {
    let mut list = vec![at];
    for index in indexes {
        let mut next = Vec::new();
        for found in list {
            let items = match found {
                Found::One(value) => value.items(),
                Found::Many(items) => items,
            };
            match index {
                Index::All => next.extend(items.into_iter().map(Found::One)),
                Index::At(n) => next.extend(items.get(*n).copied().map(Found::One)),
            }
        }
        list = next;
    }
    if list.len() == 1 {
        return list.pop();
    }
    let all = list.into_iter().flat_map(|found| match found {
        Found::One(value) => vec![value],
        Found::Many(items) => items,
    });
    let all: Vec<Json<'a>> = all.collect();
    (!all.is_empty()).then_some(Found::Many(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    // MaxCompute documentation of GET_JSON_OBJECT: `$` is the root, `.` a child, `[]` an index from 0, `*` all of them.
    #[test]
    fn paths_are_read() {
        for good in ["$", "$.a", "$.a.b[0]", "$.a[*].b", "$['a b'].c", "$.array[1].[1]", "lax $.a", "strict $[0]"] {
            assert!(Path::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a", "$.", "$..a", "$.*", "$a", "$[", "$[x]", "$[-1]", "$['a"] {
            assert_eq!(Path::parse(bad), None, "{bad}");
        }
    }

    // SQL/JSON, lax mode: a key of an array is a key of its items, and a scalar is an array of one.
    #[test]
    fn lax_paths_unwrap_arrays() {
        let json = Json::parse(r#"[{"a":1},{"a":[2]}]"#).expect("json");
        let texts = |path: &str| -> Vec<String> {
            Path::parse(path).expect("a path").select(json).iter().map(|v| v.raw().to_string()).collect()
        };
        assert_eq!(texts("$.a"), ["1", "[2]"]);
        assert_eq!(texts("strict $.a"), [] as [&str; 0]);
        assert_eq!(texts("$[1].a[0]"), ["2"]);
        assert_eq!(texts("$[0].a[0]"), ["1"]);
    }
}
