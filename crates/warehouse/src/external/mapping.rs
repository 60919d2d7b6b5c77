//! A table of the table store as a table of SQL: what STORED BY, SERDEPROPERTIES and LOCATION say of it.
//!
//! `'tablestore.columns.mapping'` names for each column of the table the one that it is there; those of the key, in the
//! order of the key, begin with a colon. What nobody acts on is refused by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use feitian_base::Result;
use feitian_sql::{Position, SqlError};
use feitian_types::{Column, DataType};

use super::ranges::KeyName;
use super::source::{Found, RowTable, SourceColumn, SourceKey};
use super::{Clauses, refused};
use crate::query::errors::front_end;
use crate::query::{Session, rights};

/// The class of such tables.
const HANDLER: &str = "com.aliyun.odps.tablestorestoragehandler";
/// A name of an instance has fewer bytes.
const MAX_INSTANCE: usize = 64;

/// Which table, and which of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) instance: String,
    pub(super) table: String,
    /// One for each column of the table in SQL.
    pub(super) columns: Vec<SourceColumn>,
    /// Whether INSERT puts whole rows, and does not only change the columns that are named here.
    pub(super) replaces: bool,
}

fn lacking<T>(at: Position, what: impl std::fmt::Display) -> Result<T> {
    Err(front_end(SqlError::unsupported(at, what)))
}

impl Mapping {
    /// Whether the clauses are about such a table.
    pub(super) fn is_meant(clauses: &Clauses) -> bool {
        clauses.handler.as_deref().is_some_and(|handler| handler.eq_ignore_ascii_case(HANDLER))
    }

    /// What the clauses say; `None` if they are about files.
    ///
    /// # Errors
    /// ODPS-0130071 for what makes no sense, ODPS-0121125 for what nobody acts on.
    pub(super) fn of(clauses: &Clauses, at: Position) -> Result<Option<Self>> {
        if !Self::is_meant(clauses) {
            return Ok(None);
        }
        if let Some(class) = &clauses.row_format {
            return lacking(at, format!("ROW FORMAT SERDE '{class}' of a table of the table store"));
        }
        let instance = instance(&clauses.location, at)?;
        let (mut table, mut columns, mut replaces) = (None, None, false);
        for (key, value) in &clauses.options {
            match key.to_lowercase().as_str() {
                // Rights come with the account of the job. A role is no secret.
                "odps.properties.rolearn" => {}
                "tablestore.table.name" => table = Some(value.trim().to_string()),
                "tablestore.columns.mapping" => columns = Some(mapped(value, at)?),
                "tablestore.table.put.row" => replaces = switch(key, value, at)?,
                "tablestore.read.mode" if value.eq_ignore_ascii_case("failfast") => {}
                "tablestore.read.mode" => {
                    let why = "a cell of another type than its column's is an error here, which is 'failfast'";
                    return lacking(at, format!("'{key}'='{value}': {why}"));
                }
                // The value is not shown: nobody knows what it is.
                _ => return lacking(at, format!("the property '{key}' for a table of the table store")),
            }
        }
        let missing = |key: &str| refused(at, format!("WITH SERDEPROPERTIES ('{key}'=…) is missing"));
        let table = table.filter(|name| !name.is_empty()).ok_or_else(|| missing("tablestore.table.name"))?;
        let columns = columns.ok_or_else(|| missing("tablestore.columns.mapping"))?;
        Ok(Some(Self { instance, table, columns, replaces }))
    }

    /// As messages and plans name it.
    pub(super) fn shown(&self) -> String {
        format!("tablestore://{}/{}", self.instance, self.table)
    }

    /// The table, if the account of the job may use its instance.
    pub(super) async fn open(&self, session: &Session, at: Position) -> Result<Arc<dyn RowTable>> {
        let Some(source) = session.warehouse.rows.as_ref() else {
            return lacking(at, "a table of the table store in a process without one");
        };
        let (instance, name) = (&self.instance, &self.table);
        match source.table(&session.instance.owner, instance, name).await? {
            Found::Table(table) => Ok(table),
            Found::NoInstance => {
                let why = "of the account of this job; 'feitian ots instance list' shows those";
                Err(refused(at, format!("LOCATION: there is no instance '{instance}' of the table store {why}")))
            }
            Found::NoTable => {
                let why = "make it with a client of the table store first";
                Err(refused(at, format!("instance '{instance}' of the table store has no table '{name}': {why}")))
            }
        }
    }

    /// The same where an external table is made of it: bearer tokens, of which nobody has asked whether they reach the
    /// table store, make none.
    pub(super) async fn admit(&self, session: &Session, at: Position) -> Result<Arc<dyn RowTable>> {
        if rights::token_scope(session).is_some() {
            let why = "; the job came with a bearer token, and those reach no table store";
            return Err(rights::denied("ots:DescribeTable", &format!("instance/{}", self.instance), why, at));
        }
        self.open(session, at).await
    }

    /// Refuses columns that cannot be those of the mapping.
    pub(super) fn check_columns(&self, columns: &[Column], at: Position) -> Result<()> {
        let (has, names) = (columns.len(), self.columns.len());
        if has != names {
            let detail = format!("'tablestore.columns.mapping' names {names} columns, and the table has {has}");
            return Err(refused(at, detail));
        }
        for (column, source) in columns.iter().zip(&self.columns) {
            let fits = match column.ty {
                DataType::BigInt | DataType::String | DataType::Binary => true,
                DataType::Double | DataType::Boolean => !source.is_key,
                _ => false,
            };
            if !fits {
                let place = if source.is_key { "a key" } else { "a table" };
                let ty = column.ty.to_string().to_uppercase();
                return lacking(at, format!("{ty} (column {}) in {place} of the table store", column.name));
            }
        }
        Ok(())
    }

    /// Refuses a mapping that does not name the whole key in its order, each column with its type.
    pub(super) fn check_key(&self, columns: &[Column], key: &[SourceKey], at: Position) -> Result<()> {
        let ours: Vec<(&Column, &SourceColumn)> = columns.iter().zip(&self.columns).filter(|(_, s)| s.is_key).collect();
        let named: Vec<&str> = ours.iter().map(|(_, source)| source.name.as_str()).collect();
        let theirs: Vec<&str> = key.iter().map(|k| k.name.as_str()).collect();
        if named != theirs {
            let list = |names: &[&str]| names.iter().map(|name| format!(":{name}")).collect::<Vec<_>>().join(", ");
            let (named, theirs) = (list(&named), list(&theirs));
            let detail = format!("'tablestore.columns.mapping' has the key ({named}), and {} has", self.shown());
            return Err(refused(at, format!("{detail} ({theirs})")));
        }
        let other = ours.iter().zip(key).find(|((column, _), k)| column.ty != k.ty);
        if let Some(((column, source), k)) = other {
            let (ours, theirs) = (column.ty.to_string().to_uppercase(), k.ty.to_string().to_uppercase());
            let detail = format!("column {} is {ours}, and the key column {} of", column.name, source.name);
            return Err(refused(at, format!("{detail} {} needs {theirs}", self.shown())));
        }
        Ok(())
    }

    /// The key's columns as SQL knows them, in the order of the key, once `check_key` is content.
    pub(super) fn key_names(&self, columns: &[Column]) -> Vec<KeyName> {
        let ours = columns.iter().zip(&self.columns).filter(|(_, source)| source.is_key);
        ours.map(|(column, _)| KeyName { name: column.name.clone(), ty: column.ty.clone() }).collect()
    }
}

/// The first label of `tablestore://instance.region.domain[:port]`. A region and what follows is of no effect.
fn instance(location: &str, at: Position) -> Result<String> {
    const FORM: &str = "LOCATION is 'tablestore://instance.region.tablestore.aliyuncs.com' or 'tablestore://instance'";
    if location.contains('@') {
        let why = "it has an access key in it; rights come with the job's account, and others see what a statement has";
        return Err(refused(at, format!("{FORM}: {why}")));
    }
    let host = location.trim().strip_prefix("tablestore://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':');
    let Some(host) = host.filter(|host| host.bytes().all(is_plain)) else {
        return Err(refused(at, FORM));
    };
    let name = host.split(['.', ':']).next().unwrap_or_default();
    if name.is_empty() || name.len() > MAX_INSTANCE {
        return Err(refused(at, FORM));
    }
    // Names of instances have no case.
    Ok(name.to_ascii_lowercase())
}

/// `:key, column, …`
fn mapped(text: &str, at: Position) -> Result<Vec<SourceColumn>> {
    let column = |part: &str| match part.trim().strip_prefix(':') {
        Some(name) => SourceColumn { name: name.trim().to_string(), is_key: true },
        None => SourceColumn { name: part.trim().to_string(), is_key: false },
    };
    let columns: Vec<SourceColumn> = text.split(',').map(column).collect();
    let mut seen = BTreeSet::new();
    let bad = columns.iter().map(|c| c.name.clone()).find(|name| name.is_empty() || !seen.insert(name.clone()));
    match bad {
        Some(name) if name.is_empty() => Err(refused(at, "'tablestore.columns.mapping' has an empty name in it")),
        Some(name) => Err(refused(at, format!("'tablestore.columns.mapping' names {name} twice"))),
        None => Ok(columns),
    }
}

fn switch(key: &str, value: &str, at: Position) -> Result<bool> {
    match value.to_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(refused(at, format!("'{key}' is true or false, not '{value}'"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn clauses(location: &str, options: &[(&str, &str)]) -> Clauses {
        Clauses {
            location: location.into(),
            row_format: None,
            stored_as: None,
            handler: Some("com.aliyun.odps.TableStoreStorageHandler".into()),
            options: options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        }
    }

    fn of(location: &str, options: &[(&str, &str)]) -> Result<Mapping> {
        Mapping::of(&clauses(location, options), Position::UNKNOWN).map(Option::unwrap)
    }

    const NAME: (&str, &str) = ("tablestore.table.name", "ots_tpch_orders");
    const COLUMNS: (&str, &str) = ("tablestore.columns.mapping", ":o_orderkey, :o_orderdate,o_custkey");
    const PLACE: &str = "tablestore://odps-ots-dev.cn-shanghai.ots-internal.aliyuncs.com";

    // MaxCompute documentation, "Create a Tablestore external table": its example.
    #[test]
    fn the_clauses_name_a_table_and_its_columns() {
        let role = ("odps.properties.rolearn", "acs:ram::1:role/aliyunodpsdefaultrole");
        let mapping = of(PLACE, &[COLUMNS, NAME, role]).unwrap();
        assert_eq!(mapping.shown(), "tablestore://odps-ots-dev/ots_tpch_orders");
        let columns: Vec<_> = mapping.columns.iter().map(|c| (c.name.as_str(), c.is_key)).collect();
        assert_eq!(columns, [("o_orderkey", true), ("o_orderdate", true), ("o_custkey", false)]);
        assert!(!mapping.replaces);
        assert!(of("tablestore://Shop/", &[COLUMNS, NAME, ("tablestore.table.put.row", "true")]).unwrap().replaces);
        assert_eq!(of("tablestore://Shop/", &[COLUMNS, NAME]).unwrap().instance, "shop");
        let files = Clauses { handler: Some("com.aliyun.odps.CsvStorageHandler".into()), ..clauses(PLACE, &[]) };
        assert_eq!(Mapping::of(&files, Position::UNKNOWN).unwrap(), None);
    }

    #[test]
    fn what_nobody_acts_on_is_refused_by_name() {
        for (key, value) in [
            ("tablestore.read.mode", "permissive"),
            ("tablestore.corrupt.column", "c"),
            ("tablestore.timestamp.ticks.unit", "millis"),
            ("odps.text.option.delimiter", ","),
        ] {
            let e = of(PLACE, &[COLUMNS, NAME, (key, value)]).unwrap_err();
            assert_eq!(e.code(), "ODPS-0121125", "{key}");
            assert!(e.message().contains(key), "{e}");
        }
        for options in [
            &[COLUMNS][..],
            &[NAME],
            &[NAME, ("tablestore.columns.mapping", ":a,,b")],
            &[NAME, ("tablestore.columns.mapping", ":a,a")],
            &[NAME, ("tablestore.columns.mapping", ":")],
            &[NAME, COLUMNS, ("tablestore.table.put.row", "perhaps")],
        ] {
            assert_eq!(of(PLACE, options).unwrap_err().code(), "ODPS-0130071", "{options:?}");
        }
        for place in ["", "oss://demo/x/", "tablestore://", "tablestore:///x", "tablestore://a/b", "tablestore://a?b"] {
            assert_eq!(of(place, &[COLUMNS, NAME]).unwrap_err().code(), "ODPS-0130071", "{place}");
        }
    }

    #[test]
    fn a_secret_is_refused_and_not_repeated() {
        let e = of("tablestore://id:SECRET@cap1.cn-hangzhou.ots-internal.aliyuncs.com", &[COLUMNS, NAME]).unwrap_err();
        assert!(!e.message().contains("SECRET"), "{e}");
    }

    #[test]
    fn the_key_is_named_whole_in_its_order_and_with_its_types() {
        let mapping = of(PLACE, &[COLUMNS, NAME]).unwrap();
        let column = |name: &str, ty: DataType| Column::new(name, ty);
        let columns = |ty: DataType| [column("k", DataType::BigInt), column("d", ty), column("c", DataType::Double)];
        let key = |name: &str, ty: DataType| SourceKey { name: name.into(), ty, is_generated: false };
        let at = Position::UNKNOWN;
        let right = [key("o_orderkey", DataType::BigInt), key("o_orderdate", DataType::String)];
        assert!(mapping.check_columns(&columns(DataType::String), at).is_ok());
        assert!(mapping.check_key(&columns(DataType::String), &right, at).is_ok());
        assert!(mapping.check_key(&columns(DataType::Binary), &right, at).is_err());
        assert!(mapping.check_columns(&columns(DataType::Double), at).is_err());
        assert!(mapping.check_columns(&columns(DataType::Timestamp), at).is_err());
        assert!(mapping.check_columns(&columns(DataType::String)[..2], at).is_err());
        let [first, second] = right;
        let strange = key("x", DataType::BigInt);
        for other in [vec![first.clone()], vec![second.clone(), first], vec![strange, second]] {
            assert!(mapping.check_key(&columns(DataType::String), &other, at).is_err(), "{other:?}");
        }
        assert!(mapping.check_key(&columns(DataType::String), &[], at).is_err());
    }
}
