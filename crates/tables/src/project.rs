//! What a read shows of a row, in the service's order: columns, then versions, then the filter, then the page of columns.

use std::collections::BTreeSet;

use feitian_base::Result;
use feitian_wire::ots::{Cell, KeyColumn, Row};

use crate::cells::{Live, StoredRow};
use crate::errors::invalid;
use crate::filter::{Ready, Use};
use crate::model::{KeySchema, Options, Select, TimeRange};
use crate::units;

const MAX_COLUMNS: usize = 1024;
const MAX_TIME_MS: i64 = i64::MAX / 1000;

/// A row as a read shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// `None`: the row counts as absent.
    pub row: Option<Row>,
    /// Bytes of the row before the filter.
    pub looked_at: usize,
}

/// What of a table's rows is shown.
pub(crate) struct Projector<'a> {
    select: &'a Select,
    live: Live,
    with_versions: bool,
    names_key: bool,
    filter: Option<Ready>,
    /// Those of `select`; empty: all.
    columns: BTreeSet<&'a str>,
}

impl<'a> Projector<'a> {
    /// Refuses what no read may ask.
    pub(crate) fn new(select: &'a Select, live: Live, schema: &[KeySchema], options: &Options) -> Result<Self> {
        if select.max_versions.is_none() && select.time.is_none() {
            return Err(invalid("No version condition is specified while querying row."));
        }
        if select.max_versions.is_some_and(|most| most <= 0) {
            return Err(invalid("The maximum versions cannot be less than or equal to 0."));
        }
        let legal = |time: i64| (0..MAX_TIME_MS).contains(&time);
        let is_legal = match select.time {
            None => true,
            Some(TimeRange::Exactly(time)) => legal(time),
            // The end is not part of the range; clients send the greatest number for "no end".
            Some(TimeRange::Between { start_ms, end_ms }) => legal(start_ms) && end_ms >= 0,
        };
        if !is_legal {
            return Err(invalid("Timestamp must be in range [0, INT64_MAX/1000)."));
        }
        if matches!(select.time, Some(TimeRange::Between { start_ms, end_ms }) if end_ms <= start_ms) {
            return Err(invalid("The start time of a time range must be less than its end time."));
        }
        let count = select.columns.len();
        if count > MAX_COLUMNS {
            let words = "The number of columns from the request exceeds the limit, limit count: 1024, column count: ";
            return Err(invalid(format!("{words}{count}.")));
        }
        if select.token.as_ref().is_some_and(|token| !token.is_empty()) {
            return Err(invalid("The token is none that this server gave: rows are answered whole."));
        }
        let filter = select.filter.as_ref().map(|filter| Ready::new(filter, Use::Read)).transpose()?;
        let names_key = select.columns.iter().any(|name| schema.iter().any(|column| column.name == *name));
        let with_versions = units::counts_versions(options);
        let columns = select.columns.iter().map(String::as_str).collect();
        Ok(Self { select, live, with_versions, names_key, filter, columns })
    }

    /// Shows a row.
    pub(crate) fn show(&self, key: Vec<KeyColumn>, mut row: StoredRow) -> Shown {
        if !row.exists {
            return Shown { row: None, looked_at: 0 };
        }
        row.columns.retain(|name, _| self.wants_column(name));
        row.trim(&self.live);
        for versions in row.columns.values_mut() {
            versions.retain(|version, _| self.wants_version(*version));
            let most = self.select.max_versions.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
            while versions.len() > most {
                versions.pop_first();
            }
        }
        row.columns.retain(|_, versions| !versions.is_empty());
        let key_size = units::key_size(&key);
        if row.columns.is_empty() && !self.select.columns.is_empty() && !self.names_key {
            return Shown { row: None, looked_at: key_size };
        }
        let passes = self.filter.as_ref().is_none_or(|filter| filter.passes(&key, &row.columns));
        let looked_at = key_size + units::columns_size(&row.columns, self.with_versions);
        if !passes {
            return Shown { row: None, looked_at };
        }
        if let Some((offset, limit)) = self.filter.as_ref().and_then(|filter| filter.page) {
            row.columns = row.columns.into_iter().skip(offset).take(limit).collect();
        }
        Shown { row: Some(Row { key, cells: cells(row), deleted: false }), looked_at }
    }

    /// Bytes of a row that is answered.
    pub(crate) fn size(&self, row: &Row) -> usize {
        units::row_size(row, self.with_versions)
    }

    /// Whether showing a row may take long.
    pub(crate) fn is_slow(&self) -> bool {
        self.filter.as_ref().is_some_and(Ready::has_expressions)
    }

    pub(crate) fn wants_column(&self, name: &str) -> bool {
        let select = self.select;
        (self.columns.is_empty() || self.columns.contains(name))
            && select.start_column.as_deref().is_none_or(|start| name >= start)
            && select.end_column.as_deref().is_none_or(|end| name < end)
    }

    fn wants_version(&self, version: i64) -> bool {
        match self.select.time {
            None => true,
            Some(TimeRange::Exactly(time)) => version == time,
            Some(TimeRange::Between { start_ms, end_ms }) => (start_ms..end_ms).contains(&version),
        }
    }
}

/// Cells by name, the newest version first.
fn cells(row: StoredRow) -> Vec<Cell> {
    let mut cells = Vec::with_capacity(row.columns.len());
    for (name, versions) in row.columns {
        for (version, value) in versions.into_iter().rev() {
            cells.push(Cell { name: name.clone(), value: Some(value), op: None, version: Some(version) });
        }
    }
    cells
}
