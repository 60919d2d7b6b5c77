//! Names of tables as the catalog knows them.

use sqlparser::ast::{ObjectName, ObjectNamePart};

/// The parts of a name in lower case: `[project, schema, table]`, `[project or schema, table]` or `[table]`.
pub fn object_parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(ObjectNamePart::as_ident).map(|i| i.value.to_lowercase()).collect()
}
