//! What a table, its options, its indexes and its stream must be before the catalog takes them.

use std::collections::BTreeSet;

use feitian_base::Result;

use crate::errors::invalid;
use crate::model::{
    ColumnType, DefinedColumn, IndexKind, IndexMeta, KeySchema, KeyType, NewTable, Options, OptionsChange, StreamSpec,
};

const MAX_NAME_BYTES: usize = 255;
const MAX_DEFINED: usize = 32;
const MAX_INDEXES: usize = 5;
const MIN_TTL_S: i32 = 86_400;
const DEFAULT_DEVIATION_S: i64 = 86_400;
const MAX_STREAM_H: i32 = 168;

/// Refuses a table that cannot be; its options as they will be are the answer.
pub(crate) fn table(new: &NewTable) -> Result<Options> {
    table_name(&new.name)?;
    key(&new.name, &new.key)?;
    defined(&new.key, &new.defined)?;
    if new.throughput.read < 0 || new.throughput.write < 0 {
        return Err(invalid("The reserved throughput cannot be less than 0."));
    }
    let given = new.options.ok_or_else(|| invalid("Time-to-live is missing while creating table."))?;
    let options = Options {
        time_to_live_s: given.time_to_live_s.ok_or_else(|| invalid("Time-to-live is missing while creating table."))?,
        max_versions: given.max_versions.ok_or_else(|| invalid("MaxVersions is missing while creating table."))?,
        deviation_s: given.deviation_s.unwrap_or(DEFAULT_DEVIATION_S),
        allow_update: given.allow_update.unwrap_or(true),
        update_full_row: given.update_full_row.unwrap_or(false),
    };
    self::options(&options)?;
    Ok(options)
}

/// The options after a change.
pub(crate) fn changed(old: &Options, change: &OptionsChange) -> Result<Options> {
    if *change == OptionsChange::default() {
        return Err(invalid("No parameter is specified in table options."));
    }
    let options = Options {
        time_to_live_s: change.time_to_live_s.unwrap_or(old.time_to_live_s),
        max_versions: change.max_versions.unwrap_or(old.max_versions),
        deviation_s: change.deviation_s.unwrap_or(old.deviation_s),
        allow_update: change.allow_update.unwrap_or(old.allow_update),
        update_full_row: change.update_full_row.unwrap_or(old.update_full_row),
    };
    self::options(&options)?;
    Ok(options)
}

fn options(options: &Options) -> Result<()> {
    let ttl = options.time_to_live_s;
    if ttl < -1 || ttl == 0 {
        return Err(invalid("TimeToLive cannot be 0 or less than -1."));
    }
    if ttl != -1 && ttl < MIN_TTL_S {
        return Err(invalid(format!("TimeToLive cannot be less than {MIN_TTL_S} seconds.")));
    }
    if options.max_versions <= 0 {
        return Err(invalid("The maximum versions cannot be less than or equal to 0."));
    }
    if !(0..=i64::MAX / 1_000_000).contains(&options.deviation_s) {
        return Err(invalid("The maximum deviation must be in range [0, INT64_MAX/1000000]."));
    }
    if options.update_full_row {
        return Err(invalid("The table option UpdateFullRow is not supported."));
    }
    Ok(())
}

/// Letters, digits and underscores, not beginning with a digit.
pub(crate) fn table_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if begins && name.len() <= MAX_NAME_BYTES && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    Err(invalid(format!("Invalid table name: '{name}'.")))
}

fn column_name(name: &str) -> Result<()> {
    let is_legal = (1..=MAX_NAME_BYTES).contains(&name.len());
    if is_legal { Ok(()) } else { Err(invalid(format!("Invalid column name: '{name}'."))) }
}

fn key(table: &str, key: &[KeySchema]) -> Result<()> {
    if !(1..=4).contains(&key.len()) {
        return Err(invalid("The number of primary key columns must be in range: [1, 4]."));
    }
    let mut seen = BTreeSet::new();
    for column in key {
        column_name(&column.name)?;
        if !seen.insert(&column.name) {
            return Err(invalid(format!("Duplicated primary key name: '{}'.", column.name)));
        }
        if column.auto_increment && column.kind != KeyType::Integer {
            return Err(invalid("AUTO_INCREMENT primary key must be integer."));
        }
    }
    if key[0].auto_increment {
        return Err(invalid(format!("First primary key can't be auto increment, table: {table}.")));
    }
    if key.iter().filter(|column| column.auto_increment).count() > 1 {
        return Err(invalid("The number of AUTO_INCREMENT primary keys must be in range: [0, 1]."));
    }
    Ok(())
}

/// Refuses defined columns that cannot be together.
pub(crate) fn defined(key: &[KeySchema], columns: &[DefinedColumn]) -> Result<()> {
    if columns.len() > MAX_DEFINED {
        return Err(invalid("The number of defined columns must be in range: [0, 32]."));
    }
    let mut seen: BTreeSet<&str> = key.iter().map(|column| column.name.as_str()).collect();
    for column in columns {
        column_name(&column.name)?;
        if !seen.insert(&column.name) {
            return Err(invalid(format!("Duplicated column name: '{}'.", column.name)));
        }
    }
    Ok(())
}

/// Refuses an index that a table cannot have; its whole key is the answer.
pub(crate) fn index(
    key: &[KeySchema],
    defined: &[DefinedColumn],
    options: &Options,
    count: usize,
    index: &IndexMeta,
) -> Result<Vec<KeySchema>> {
    table_name(&index.name)?;
    if count >= MAX_INDEXES {
        return Err(invalid(format!("Number of index per table exceeds the quota:{MAX_INDEXES}.")));
    }
    for_indexes(options)?;
    if !(1..=4).contains(&index.key.len()) {
        return Err(invalid("The number of primary key columns must be in range: [1, 4] in index."));
    }
    let mut seen = BTreeSet::new();
    let mut whole = Vec::with_capacity(index.key.len() + key.len());
    for name in &index.key {
        if !seen.insert(name) {
            return Err(invalid(format!("Duplicated primary key name: '{name}'.")));
        }
        whole.push(index_column(key, defined, name)?);
    }
    if index.kind == IndexKind::Local && index.key[0] != key[0].name {
        let words = "The first primary key column of a local index must be that of its table";
        return Err(invalid(format!("{words}: '{}'.", key[0].name)));
    }
    whole.extend(key.iter().filter(|column| !index.key.contains(&column.name)).map(plain));
    for name in &index.columns {
        if !seen.insert(name) || !defined.iter().any(|column| column.name == *name) {
            return Err(invalid(format!("Column '{name}' of index '{}' is not a defined column.", index.name)));
        }
    }
    Ok(whole)
}

/// What the options of a table with indexes must be.
pub(crate) fn for_indexes(options: &Options) -> Result<()> {
    if options.max_versions != 1 {
        return Err(invalid("A table with an index must have MaxVersions 1."));
    }
    if options.time_to_live_s != -1 && options.allow_update {
        return Err(invalid("A table with an index must have TimeToLive -1, or not allow updates."));
    }
    Ok(())
}

/// The server fills nothing in when an entry is written.
fn plain(column: &KeySchema) -> KeySchema {
    KeySchema { auto_increment: false, ..column.clone() }
}

fn index_column(key: &[KeySchema], defined: &[DefinedColumn], name: &str) -> Result<KeySchema> {
    if let Some(column) = key.iter().find(|column| column.name == name) {
        return Ok(plain(column));
    }
    let column = defined.iter().find(|column| column.name == name);
    let kind = match column.map(|column| column.kind) {
        Some(ColumnType::Integer) => KeyType::Integer,
        Some(ColumnType::String) => KeyType::String,
        Some(ColumnType::Binary) => KeyType::Binary,
        Some(ColumnType::Double | ColumnType::Boolean) => {
            return Err(invalid(format!("The type of column '{name}' cannot be in the primary key of an index.")));
        }
        None => return Err(invalid(format!("Column '{name}' is neither a key column nor a defined column."))),
    };
    Ok(KeySchema { name: name.to_owned(), kind, auto_increment: false })
}

/// How long an enabled stream keeps changes.
pub(crate) fn stream(spec: &StreamSpec) -> Result<i32> {
    if !spec.columns_to_get.is_empty() {
        return Err(invalid("Streams with columns of the row before the change are not supported."));
    }
    match spec.expiration_h {
        Some(hours) if (1..=MAX_STREAM_H).contains(&hours) => Ok(hours),
        Some(_) => Err(invalid(format!("The stream expiration time must be in range: [1, {MAX_STREAM_H}]."))),
        None => Err(invalid("The stream expiration time is missing.")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn column(name: &str, kind: KeyType) -> KeySchema {
        KeySchema { name: name.into(), kind, auto_increment: false }
    }

    // From the reference, part 1.5: the words of each refusal.
    #[test]
    fn impossible_tables_are_refused_in_the_documented_words() {
        let good = NewTable {
            name: "t".into(),
            key: vec![column("PK0", KeyType::Integer)],
            defined: Vec::new(),
            throughput: crate::model::Throughput::default(),
            options: Some(OptionsChange { time_to_live_s: Some(-1), max_versions: Some(1), ..Default::default() }),
            stream: None,
            indexes: Vec::new(),
            transactions: None,
        };
        assert_eq!(table(&good).unwrap().deviation_s, 86_400);
        let refused = |change: &dyn Fn(&mut NewTable)| {
            let mut new = good.clone();
            change(&mut new);
            table(&new).unwrap_err().message().to_owned()
        };
        let twice = refused(&|new| new.key.push(column("PK0", KeyType::String)));
        assert_eq!(twice, "Duplicated primary key name: 'PK0'.");
        assert_eq!(refused(&|new| new.key.clear()), "The number of primary key columns must be in range: [1, 4].");
        assert_eq!(refused(&|new| new.name = "1t".into()), "Invalid table name: '1t'.");
        let none = refused(&|new| new.options = Some(OptionsChange { max_versions: Some(1), ..Default::default() }));
        assert_eq!(none, "Time-to-live is missing while creating table.");
        let zero = refused(&|new| {
            new.options = Some(OptionsChange { time_to_live_s: Some(0), max_versions: Some(1), ..Default::default() });
        });
        assert_eq!(zero, "TimeToLive cannot be 0 or less than -1.");
        let auto = refused(&|new| new.key[0].auto_increment = true);
        assert_eq!(auto, "First primary key can't be auto increment, table: t.");
    }

    // From the reference, part 2.3: the listed columns, then the rest of the table's key in its order.
    #[test]
    fn an_index_has_the_rest_of_the_tables_key() {
        let key = [column("a", KeyType::Integer), column("b", KeyType::String)];
        let defined = [DefinedColumn { name: "d".into(), kind: ColumnType::Binary }];
        let options =
            Options { time_to_live_s: -1, max_versions: 1, deviation_s: 1, allow_update: true, update_full_row: false };
        let meta = IndexMeta {
            name: "i".into(),
            key: vec!["d".into(), "b".into()],
            columns: Vec::new(),
            kind: IndexKind::Global,
        };
        let whole = index(&key, &defined, &options, 0, &meta).unwrap();
        assert_eq!(whole.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["d", "b", "a"]);
        assert!(index(&key, &defined, &options, 5, &meta).is_err());
        assert!(index(&key, &defined, &Options { max_versions: 2, ..options }, 0, &meta).is_err());
        let local = IndexMeta { kind: IndexKind::Local, ..meta };
        assert!(index(&key, &defined, &options, 0, &local).is_err());
    }
}
