//! The frame of array functions whose result is made of items of their arguments.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, concat, take};
use arrow::datatypes::{DataType, FieldRef};
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::Result;

use crate::coercion::{common_of, common_type, type_name};
use crate::error::FunctionError;
use crate::kernel::Call;

/// The field of the items of a list type.
pub(super) fn item_field(ty: &DataType) -> Result<&FieldRef> {
    match ty {
        DataType::List(field) => Ok(field),
        other => Err(FunctionError::internal(format!("{other} is no list")).into()),
    }
}

/// Where the items of `row` lie; `None` for NULL.
pub(super) fn range(list: &ListArray, row: usize) -> Option<Range<usize>> {
    let at = |n: usize| list.value_offsets()[n] as usize;
    list.is_valid(row).then(|| at(row)..at(row + 1))
}

/// Items that can be compared: equal rows are equal values, NULL included, and order is that of the values.
pub(super) struct Comparable(Rows);

impl Comparable {
    /// NULLs sort first if `nulls_first`, else last.
    pub(super) fn of(items: &ArrayRef, nulls_first: bool) -> Result<Self> {
        let options = SortOptions { descending: false, nulls_first };
        let converter = RowConverter::new(vec![SortField::new_with_options(items.data_type().clone(), options)])?;
        Ok(Self(converter.convert_columns(std::slice::from_ref(items))?))
    }

    pub(super) fn get(&self, at: usize) -> Row<'_> {
        self.0.row(at)
    }
}

/// Which items each row of a result takes.
#[derive(Default)]
pub(super) struct Picks {
    places: Vec<u64>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Picks {
    pub(super) fn null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    pub(super) fn row(&mut self, places: impl IntoIterator<Item = usize>) {
        let before = self.places.len();
        self.places.extend(places.into_iter().map(|p| p as u64));
        self.lengths.push(self.places.len() - before);
        self.valid.push(true);
    }

    /// The lists of the picked `items`.
    pub(super) fn finish(self, call: &Call<'_>, items: &ArrayRef) -> Result<ArrayRef> {
        let field = item_field(call.return_type)?.clone();
        let items = take(items, &UInt64Array::from(self.places), None)?;
        let nulls: NullBuffer = self.valid.into();
        Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(self.lengths), items, Some(nulls))?))
    }
}

/// Lists made of the items that `f` picks from each list of argument 0.
pub(super) fn pick<I: IntoIterator<Item = usize>>(
    call: &Call<'_>,
    mut f: impl FnMut(usize, Range<usize>) -> Result<Option<I>>,
) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let list = array.as_list::<i32>();
    let mut picks = Picks::default();
    for row in 0..call.rows {
        match range(list, row).map(|r| f(row, r)).transpose()?.flatten() {
            None => picks.null(),
            Some(places) => picks.row(places),
        }
    }
    picks.finish(call, list.values())
}

/// The items of two lists in one column, and where the items of the second begin.
pub(super) fn both_items(left: &ListArray, right: &ListArray) -> Result<(ArrayRef, usize)> {
    let items = concat(&[left.values().as_ref(), right.values().as_ref()])?;
    Ok((items, left.values().len()))
}

/// `ARRAY<T>, ARRAY<T>`: both get the common type.
pub(super) fn two_lists(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    if types.len() != 2 {
        return Err(FunctionError::arity(name, "2", types.len()));
    }
    for (i, ty) in types.iter().enumerate() {
        if !matches!(ty, DataType::List(_)) {
            return Err(FunctionError::argument_type(name, i + 1, &type_name(ty), "ARRAY<T>"));
        }
    }
    match common_of(types) {
        Some(common) => Ok(vec![common.clone(), common]),
        None => Err(FunctionError::argument_type(name, 2, &type_name(&types[1]), &type_name(&types[0]))),
    }
}

/// `ARRAY<T>, T`: the item and the items get their common type.
pub(super) fn list_and_item(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    match types {
        [DataType::List(f), v] => match common_type(f.data_type(), v) {
            Some(common) => Ok(vec![super::list_of(common.clone()), common]),
            None => Err(FunctionError::argument_type(name, 2, &type_name(v), &type_name(f.data_type()))),
        },
        [other, _] => Err(FunctionError::argument_type(name, 1, &type_name(other), "ARRAY<T>")),
        _ => Err(FunctionError::arity(name, "2", types.len())),
    }
}
