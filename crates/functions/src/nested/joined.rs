//! CONCAT of texts and of arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, new_empty_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;

use crate::coercion::{Param, common_of, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, Function, Returns};

pub(super) const DOCS: &[Entry] =
    &[("concat", "concat(value, …)", "Texts or arrays one after another; NULL if one of them is.")];

pub(super) fn function() -> Function {
    Function::new("concat", &[Param::Any], Returns::With(concat_type), concat_all).rest(Param::Any)
}

/// CONCAT joins arrays when its first argument is one, else texts.
fn concat_type(types: &[DataType]) -> Result<DataType> {
    if !types.iter().any(|t| matches!(t, DataType::List(_))) {
        for (i, t) in types.iter().enumerate() {
            if matches!(t, DataType::Boolean | DataType::Binary | DataType::Map(..) | DataType::Struct(_)) {
                return Err(FunctionError::argument_type("concat", i + 1, &type_name(t), "STRING").into());
            }
        }
        return Ok(DataType::Utf8);
    }
    let common = common_of(types).filter(|t| matches!(t, DataType::List(_)));
    common.ok_or_else(|| {
        let names = types.iter().map(type_name).collect::<Vec<_>>().join(", ");
        FunctionError::argument_type("concat", 1, &names, "arrays of one type").into()
    })
}

fn concat_all(call: &Call<'_>) -> Result<ArrayRef> {
    let columns = (0..call.count()).map(|i| call.array(i)).collect::<Result<Vec<_>>>()?;
    if let DataType::List(field) = call.return_type {
        return concat_lists(call, &columns, field);
    }
    let texts = columns.iter().map(|c| crate::cast::texts(c, &call.context)).collect::<Result<Vec<_>>>()?;
    call.make_text(|row| {
        if texts.iter().any(|t| t.is_null(row)) {
            return Ok(None);
        }
        crate::kernel::owned(texts.iter().map(|t| t.value(row)).collect::<String>())
    })
}

fn concat_lists(call: &Call<'_>, columns: &[ArrayRef], field: &Arc<Field>) -> Result<ArrayRef> {
    let to = feitian_types::arrow::nearest_type(call.return_type)
        .ok_or_else(|| FunctionError::internal("concat of an unknown type"))?;
    let lists = columns.iter().map(|c| crate::cast::cast_array(c, &to, &call.context)).collect::<Result<Vec<_>>>()?;
    let (mut parts, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let whole = lists.iter().all(|l| l.is_valid(row));
        valid.push(whole);
        let mut length = 0;
        for list in lists.iter().filter(|_| whole) {
            let part = list.as_list::<i32>().value(row);
            length += part.len();
            parts.push(part);
        }
        lengths.push(length);
    }
    let values = match parts.is_empty() {
        true => new_empty_array(field.data_type()),
        false => concat(&parts.iter().map(|p| p.as_ref()).collect::<Vec<_>>())?,
    };
    let nulls: NullBuffer = valid.into();
    Ok(Arc::new(ListArray::try_new(field.clone(), OffsetBuffer::from_lengths(lengths), values, Some(nulls))?))
}
