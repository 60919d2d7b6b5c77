//! What a table, its indexes and its stream hold and have used, for the platform's own pages.

use feitian_base::Result;

use crate::heat;
use crate::inner::Inner;
use crate::keys;
use crate::model::{StreamUsage, TableUsage};
use crate::table::{Index, Table};

/// The table, then its indexes; nothing once it is deleted. `size` says what the keys of a generation take.
pub(crate) fn of(table: &Table, size: &dyn Fn(u64) -> Result<u64>) -> Result<Vec<TableUsage>> {
    let Ok(record) = table.record() else { return Ok(Vec::new()) };
    let second = heat::second();
    let of = |generation: u64, index: Option<&Index>| -> Result<TableUsage> {
        let (read_units, write_units) = table.meters.sum(generation);
        let (recent_read_units, recent_write_units) = table.meters.recent(generation, second);
        let stream = record.stream.as_ref().filter(|_| index.is_none());
        let stream = stream.map(|stream| -> Result<StreamUsage> {
            Ok(StreamUsage { generation: stream.generation, bytes: size(stream.generation)? })
        });
        Ok(TableUsage {
            instance: table.instance.clone(),
            table: table.name.clone(),
            index: index.map(|index| index.meta.name.clone()),
            generation,
            read_units,
            write_units,
            recent_read_units,
            recent_write_units,
            bytes: size(generation)?,
            state: if index.is_some_and(|index| index.is_building) { "building" } else { "ready" },
            created_ms: record.created_ms,
            options: record.options,
            stream: stream.transpose()?,
        })
    };
    let indexes = record.indexes.iter().map(|index| of(index.generation, Some(index)));
    std::iter::once(of(record.generation, None)).chain(indexes).collect()
}

/// Roughly what the keys of a generation take on the disk.
pub(crate) fn size(inner: &Inner, generation: u64) -> Result<u64> {
    let from = generation.to_be_bytes();
    inner.engine.size(&from, &keys::after(&from))
}
