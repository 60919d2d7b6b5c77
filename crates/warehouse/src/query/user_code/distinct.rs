//! DISTINCT of aggregate functions of users: a group keeps its rows, each once, and the function has them at the end.
//!
//! An aggregate of one argument that is alone in its query does not come here: the optimizer makes a grouping of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::StateFieldsArgs;
use datafusion::logical_expr::utils::format_state_name;
use feitian_functions::FunctionError;

use super::aggregate::Group;

/// Rows that go to the function at once.
const ROWS: usize = 8192;

/// What goes from stage to stage: a list of the values of each argument.
pub(super) fn state_fields(args: &StateFieldsArgs) -> Vec<FieldRef> {
    let one = |(i, field): (usize, &FieldRef)| -> FieldRef {
        let name = format_state_name(args.name, &format!("distinct {i}"));
        Arc::new(Field::new(name, DataType::List(item(field.data_type())), true))
    };
    args.input_fields.iter().enumerate().map(one).collect()
}

fn item(ty: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(ty.clone(), true))
}

/// One group.
#[derive(Debug)]
pub(super) struct Distinct {
    /// Of no rows until the end.
    group: Group,
    /// Of the arguments.
    types: Vec<DataType>,
    /// With their places, so that the function has them in the order in which they came.
    rows: HashMap<Vec<ScalarValue>, usize>,
    bytes: usize,
}

impl Distinct {
    pub(super) fn new(group: Group, types: Vec<DataType>) -> Self {
        Self { group, types, rows: HashMap::new(), bytes: 0 }
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let mut rows: Vec<(&Vec<ScalarValue>, usize)> = self.rows.iter().map(|(row, place)| (row, *place)).collect();
        rows.sort_unstable_by_key(|(_, place)| *place);
        let column = |(i, ty): (usize, &DataType)| -> Result<ArrayRef> {
            if rows.is_empty() {
                return Ok(new_empty_array(ty));
            }
            ScalarValue::iter_to_array(rows.iter().map(|(row, _)| row[i].clone()))
        };
        self.types.iter().enumerate().map(column).collect()
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for at in 0..values.first().map_or(0, |column| column.len()) {
            // Compacted: a slice would keep the whole batch.
            let one = |column: &ArrayRef| ScalarValue::try_from_array(column, at).map(ScalarValue::compacted);
            let row = values.iter().map(one).collect::<Result<Vec<ScalarValue>>>()?;
            let (place, bytes) = (self.rows.len(), row.iter().map(ScalarValue::size).sum::<usize>());
            if let Entry::Vacant(new) = self.rows.entry(row) {
                new.insert(place);
                self.bytes += bytes;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for at in 0..states.first().map_or(0, |lists| lists.len()) {
            let one = |lists: &ArrayRef| -> Result<ArrayRef> {
                match lists.as_list_opt::<i32>() {
                    Some(lists) => Ok(lists.value(at)),
                    None => Err(FunctionError::internal("values of DISTINCT that are no lists").into()),
                }
            };
            let values = states.iter().map(one).collect::<Result<Vec<ArrayRef>>>()?;
            self.update_batch(&values)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |(values, ty): (ArrayRef, &DataType)| -> Result<ScalarValue> {
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            Ok(ScalarValue::List(Arc::new(ListArray::try_new(item(ty), offsets, values, None)?)))
        };
        self.columns()?.into_iter().zip(&self.types).map(list).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (columns, rows) = (self.columns()?, self.rows.len());
        for from in (0..rows).step_by(ROWS) {
            let some: Vec<ArrayRef> = columns.iter().map(|c| c.slice(from, ROWS.min(rows - from))).collect();
            self.group.update_batch(&some)?;
        }
        self.group.evaluate()
    }

    fn size(&self) -> usize {
        let row = size_of::<(Vec<ScalarValue>, usize)>();
        size_of_val(self) + self.rows.capacity() * row + self.bytes + self.group.size()
    }
}
