//! Partition lists and documents.

use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::{Partition, Table};
use feitian_types::PartitionSpec;
use feitian_wire::xml::docs;

use serde_json::{Map, Value};

use super::tables::{TIERS, json_property};
use crate::answers;
use crate::call::{Answer, Call};

const PAGE: usize = 1000;

fn document(table: &Table, tiers: &Tiers, partition: Partition) -> docs::Partition {
    let names = table.schema.partition_columns.iter().map(|c| c.name.clone());
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let tier = tiers.of(&partition);
    docs::Partition {
        values: names.zip(partition.values).collect(),
        created_ms: partition.created_ms,
        last_ddl_ms: partition.ddl_ms,
        modified_ms: partition.modified_ms,
        last_access_ms: None,
        size: count(partition.num_bytes),
        rows: count(partition.num_rows),
        files: count(partition.num_files),
        lifecycle: Some(table.lifecycle).filter(|days| *days >= 0),
        tier,
    }
}

/// The storage tiers that partitions of a table were given. Read once a page: there may be one for every partition.
struct Tiers(Option<Value>);

impl Tiers {
    fn of_table(table: &Table) -> Self {
        let properties: Option<Map<String, Value>> = serde_json::from_str(&table.properties).ok();
        Self(properties.and_then(|p| json_property(&p, "feitian.tiers")))
    }

    /// That of this partition, if clients know it; not that of an earlier one of its name.
    fn of(&self, partition: &Partition) -> Option<String> {
        let tiers = self.0.as_ref()?;
        let given = tiers.get(&partition.spec).filter(|t| t["created_ms"] == partition.created_ms)?;
        given["tier"].as_str().filter(|t| TIERS.contains(t)).map(str::to_string)
    }
}

async fn table(call: &Call) -> Result<Table> {
    Ok(call.state.warehouse.table(call.project(), call.table()).await?.table)
}

/// The partitions whose leading columns have the values that `partition` names.
pub async fn list(call: Call) -> Answer {
    let table = table(&call).await?;
    let size = call.page_size(PAGE)?;
    let page = |marker| docs::Page { marker, max_items: Some(size as u64) };
    if !table.schema.is_partitioned() {
        return answers::xml(docs::partitions(&[], &page(None)));
    }
    let prefix = call.partition()?.map(|spec| leading(&table, spec)).transpose()?;
    let (reverse, marker) = (call.query.has("reverse"), call.query.get("marker"));
    let warehouse = &call.state.warehouse;
    let found = warehouse.list_partitions(call.project(), call.table(), prefix.as_ref(), reverse, marker, size).await?;
    let tiers = Tiers::of_table(&table);
    let items: Vec<_> = found.items.into_iter().map(|p| document(&table, &tiers, p)).collect();
    answers::xml(docs::partitions(&items, &page(found.next)))
}

/// The same pairs in table order; they must be the leading partition columns.
fn leading(table: &Table, spec: PartitionSpec) -> Result<PartitionSpec> {
    let columns = &table.schema.partition_columns;
    let head = columns.get(..spec.0.len()).unwrap_or_default();
    let names = head.iter().map(|c| c.name.clone());
    let values = spec.values_for(head).ok_or_else(|| {
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let message = format!("'{spec}' does not name the leading partition columns of ({})", names.join(", "));
        Error::new(Kind::Invalid, "InvalidPartitionSpec", message)
    })?;
    Ok(PartitionSpec(names.zip(values).collect()))
}

async fn answer(call: Call, extended: bool) -> Answer {
    let table = table(&call).await?;
    let spec = call.partition()?.unwrap_or_default();
    let partition = call.state.warehouse.partition(call.project(), call.table(), &spec).await?;
    answers::xml(docs::partition(&document(&table, &Tiers::of_table(&table), partition), extended))
}

pub async fn get(call: Call) -> Answer {
    answer(call, false).await
}

pub async fn get_extended(call: Call) -> Answer {
    answer(call, true).await
}
