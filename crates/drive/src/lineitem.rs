//! The payload of the tunnel bench: TPC-H `lineitem`, in engine form.

use std::sync::Arc;

use anyhow::Result;
use arrow_array::{Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray};
use feitian_types::Column;
use feitian_types::arrow::engine_schema;
use tpchgen::generators::LineItemGenerator;

use crate::client::columns;

const BATCH_ROWS: usize = 8192;

/// The columns of `lineitem` in MaxCompute's types.
pub fn lineitem_columns() -> Result<Arc<Vec<Column>>> {
    columns(&[
        ("l_orderkey", "bigint"),
        ("l_partkey", "bigint"),
        ("l_suppkey", "bigint"),
        ("l_linenumber", "int"),
        ("l_quantity", "decimal(15,2)"),
        ("l_extendedprice", "decimal(15,2)"),
        ("l_discount", "decimal(15,2)"),
        ("l_tax", "decimal(15,2)"),
        ("l_returnflag", "string"),
        ("l_linestatus", "string"),
        ("l_shipdate", "date"),
        ("l_commitdate", "date"),
        ("l_receiptdate", "date"),
        ("l_shipinstruct", "string"),
        ("l_shipmode", "string"),
        ("l_comment", "string"),
    ])
}

/// The table's CREATE statement.
pub fn create_lineitem(table: &str) -> Result<String> {
    let columns = lineitem_columns()?;
    let list: Vec<String> = columns.iter().map(|c| format!("{} {}", c.name, c.ty)).collect();
    Ok(format!("CREATE TABLE {table} ({})", list.join(", ")))
}

/// All rows at this scale factor, in batches of 8192.
pub fn lineitem(scale: f64) -> Result<Vec<RecordBatch>> {
    let schema = engine_schema(lineitem_columns()?.iter());
    let mut rows = LineItemGenerator::new(scale, 1, 1).iter();
    let mut batches = Vec::new();
    loop {
        let part: Vec<_> = rows.by_ref().take(BATCH_ROWS).collect();
        if part.is_empty() {
            return Ok(batches);
        }
        macro_rules! longs {
            ($f:ident) => {
                Arc::new(Int64Array::from_iter_values(part.iter().map(|l| l.$f)))
            };
        }
        macro_rules! texts {
            ($f:ident) => {
                Arc::new(StringArray::from_iter_values(part.iter().map(|l| l.$f)))
            };
        }
        macro_rules! dates {
            ($f:ident) => {
                Arc::new(Date32Array::from_iter_values(part.iter().map(|l| l.$f.to_unix_epoch())))
            };
        }
        let decimal = |f: &dyn Fn(&tpchgen::generators::LineItem<'_>) -> i64| {
            let array = Decimal128Array::from_iter_values(part.iter().map(|l| i128::from(f(l))));
            array.with_precision_and_scale(15, 2).map(Arc::new)
        };
        batches.push(RecordBatch::try_new(
            schema.clone(),
            vec![
                longs!(l_orderkey),
                longs!(l_partkey),
                longs!(l_suppkey),
                Arc::new(Int32Array::from_iter_values(part.iter().map(|l| l.l_linenumber))),
                decimal(&|l| l.l_quantity * 100)?,
                decimal(&|l| l.l_extendedprice.into_inner())?,
                decimal(&|l| l.l_discount.into_inner())?,
                decimal(&|l| l.l_tax.into_inner())?,
                texts!(l_returnflag),
                texts!(l_linestatus),
                dates!(l_shipdate),
                dates!(l_commitdate),
                dates!(l_receiptdate),
                texts!(l_shipinstruct),
                texts!(l_shipmode),
                texts!(l_comment),
            ],
        )?);
    }
}
