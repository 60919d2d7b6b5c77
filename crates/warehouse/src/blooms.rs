//! Bloom filters on request: which columns of a table have one in each file, so that a look for a value leaves files out.
//!
//! The table property names the columns. Files that are written from then on have the filters, those that small files are
//! joined into among them; the reader of the engine asks every filter that it finds.

use feitian_base::Result;
use feitian_meta::Table;
use feitian_sql::Position;
use feitian_types::{Column, DataType};
use serde_json::{Map, Value};

use crate::query::errors::semantic;

/// The table property that names columns, apart by commas.
pub(crate) const BLOOMS: &str = "write.parquet.bloom-filter-columns";
/// Each takes a mebibyte in every open writer.
const MOST: usize = 4;

/// The columns of which new files of the table have a Bloom filter.
pub(crate) fn blooms_of(table: &Table) -> Vec<String> {
    if table.view_text.is_some() {
        return Vec::new();
    }
    let mut names = blooms_among(&serde_json::from_str(&table.properties).unwrap_or_default());
    // Nobody has checked what was told to an older feitian.
    names.truncate(MOST);
    names
}

/// The same of a table with these properties.
pub(crate) fn blooms_among(properties: &Map<String, Value>) -> Vec<String> {
    let told = properties.iter().find(|(key, _)| is_blooms(key));
    let names = told.and_then(|(_, names)| names.as_str()).unwrap_or_default().split(',');
    names.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect()
}

pub(crate) fn is_blooms(key: &str) -> bool {
    key.eq_ignore_ascii_case(BLOOMS)
}

/// Whether the engine asks Bloom filters about columns of this type, and equal values have equal bytes: a zero may have a
/// sign, and CHAR blanks at its end.
pub(crate) fn may_have_bloom(ty: &DataType) -> bool {
    matches!(ty, DataType::Int | DataType::BigInt | DataType::String | DataType::Varchar(_) | DataType::Binary)
}

/// Refuses a property that does not name columns which can have Bloom filters.
pub(crate) fn check_blooms(properties: &Map<String, Value>, columns: &[Column], at: Position) -> Result<()> {
    if properties.keys().filter(|key| is_blooms(key)).count() > 1 {
        return Err(semantic(at, format!("{BLOOMS} is told twice, in other letters")));
    }
    let names = blooms_among(properties);
    if names.len() > MOST {
        let detail = format!("{BLOOMS} names {} columns, at most {MOST} have Bloom filters", names.len());
        return Err(semantic(at, detail));
    }
    for name in &names {
        let Some(column) = columns.iter().find(|c| c.name == *name) else {
            return Err(semantic(at, format!("column {name} of {BLOOMS} cannot be resolved")));
        };
        if !may_have_bloom(&column.ty) {
            let ty = column.ty.to_string().to_uppercase();
            let detail =
                format!("column {name} of {BLOOMS} is {ty}, only INT, BIGINT, STRING, VARCHAR and BINARY have one");
            return Err(semantic(at, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(key: &str, names: &str) -> Map<String, Value> {
        Map::from_iter([(key.to_string(), Value::from(names))])
    }

    #[test]
    fn names_stand_between_commas_in_any_letters() {
        assert_eq!(blooms_among(&properties("Write.Parquet.Bloom-Filter-Columns", " A, b ,,")), ["a", "b"]);
        assert!(blooms_among(&properties("write.parquet", "a")).is_empty());
        assert!(blooms_among(&properties(BLOOMS, "")).is_empty());
    }

    #[test]
    fn what_cannot_have_a_filter_is_refused_by_name() {
        let columns = [("a", DataType::BigInt), ("b", DataType::Double), ("c", DataType::Char(3))];
        let columns = columns.map(|(name, ty)| Column::new(name, ty));
        let refusal = |names: &str| {
            let checked = check_blooms(&properties(BLOOMS, names), &columns, Position::UNKNOWN);
            checked.err().map(|e| e.message().to_string()).unwrap_or_default()
        };
        assert_eq!(refusal("a"), "");
        for (names, words) in
            [("a,z", "column z"), ("b", "column b"), ("c", "CHAR(3)"), ("a,a,a,a,a", "names 5 columns")]
        {
            assert!(refusal(names).contains(words), "{names}: {}", refusal(names));
        }
        let mut twice = properties(BLOOMS, "a");
        twice.extend(properties(&BLOOMS.to_uppercase(), "a"));
        assert!(check_blooms(&twice, &columns, Position::UNKNOWN).is_err());
    }
}
