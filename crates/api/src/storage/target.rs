//! Where a request of versions 2 and 3 acts: its path is always the same, and `Target` in the query names the object.
//!
//! Version 3 is version 2 with blobs, which there are not, and with modes of writing; both are one here.

use feitian_base::{Error, Kind, Result};

use crate::query::Query;

/// The path as the table of operations has it: what `Target` names is behind the version, as segments. `None` for
/// requests of other protocols.
pub fn segments(path: &[String], query: &Query) -> Result<Option<Vec<String>>> {
    let [api, storage, version, rest @ ..] = path else { return Ok(None) };
    if api != "api" || storage != "storage" || !matches!(version.as_str(), "v2" | "v3") {
        return Ok(None);
    }
    if !rest.is_empty() {
        let text = "the path ends behind the version; Target in the query names the object";
        return Err(Error::new(Kind::NotFound, "NoSuchObject", text));
    }
    let target = query.need("Target")?;
    let parts: Vec<&str> = target.split('.').collect();
    let is_known = match parts.as_slice() {
        ["projects", _, "schemas", _, "tables", _] | ["projects", _, "tables" | "instances", _] => true,
        other => *other == ["generic", "blob"],
    };
    if !is_known || parts.iter().any(|part| part.is_empty()) {
        let text = format!(
            "Target '{target}' is neither projects.PROJECT[.schemas.SCHEMA].tables.TABLE nor \
             projects.PROJECT.instances.INSTANCE"
        );
        return Err(Error::invalid(text));
    }
    Ok(Some(["api", "storage", "v2"].into_iter().chain(parts).map(str::to_string).collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(path: &str, query: &str) -> Result<Option<String>> {
        let path: Vec<String> = path.split('/').map(str::to_string).collect();
        segments(&path, &Query::parse(query)).map(|found| found.map(|s| s.join("/")))
    }

    // What `_build_target` of odps/apis/storage_api_v2/client.py writes, and `to_target` of
    // odps/maxstorage/models/identifier.py.
    #[test]
    fn targets_of_the_clients_become_paths() {
        for (path, query, want) in [
            ("api/storage/v2", "Target=projects.p.schemas.s.tables.t", "projects/p/schemas/s/tables/t"),
            ("api/storage/v3", "Action=x&Target=projects.p.tables.t", "projects/p/tables/t"),
            ("api/storage/v2", "Target=projects.p.instances.i", "projects/p/instances/i"),
            ("api/storage/v3", "Target=generic.blob", "generic/blob"),
        ] {
            assert_eq!(of(path, query).unwrap(), Some(format!("api/storage/v2/{want}")));
        }
        for path in ["api/storage/v1", "api/storage/v4", "projects/p", ""] {
            assert_eq!(of(path, "Target=projects.p.tables.t").unwrap(), None);
        }
    }

    #[test]
    fn other_targets_are_refused() {
        for query in ["", "Target", "Target=projects.p", "Target=projects..tables.t", "Target=projects.p.tables.a.b"] {
            assert_eq!(of("api/storage/v2", query).unwrap_err().kind(), Kind::Invalid, "{query}");
        }
        let deep = of("api/storage/v2/projects/p/tables/t", "Target=projects.q.tables.t");
        assert_eq!(deep.unwrap_err().code(), "NoSuchObject");
    }
}
