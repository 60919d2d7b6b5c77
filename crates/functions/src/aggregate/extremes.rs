//! MIN and MAX, to whom DOUBLE and FLOAT have the order of ORDER BY: NaN is greater than every number.
//!
//! DataFusion's own know that for one group and in windows. For many groups they begin with the greatest finite number, which
//! is then the least of nothing but infinities, and take whatever comes beside NaN: their answer depends on the order of rows.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};

use crate::error::FunctionError;

/// DataFusion's function, but for groups of fractions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    inner: Arc<AggregateUDF>,
    /// What a value is beside the one of its group whose place it takes.
    wanted: Ordering,
}

pub(super) fn min() -> AggregateUDF {
    AggregateUDF::from(Extreme { inner: min_udaf(), wanted: Ordering::Less })
}

pub(super) fn max() -> AggregateUDF {
    AggregateUDF::from(Extreme { inner: max_udaf(), wanted: Ordering::Greater })
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match args.return_field.data_type() {
            DataType::Float32 => Ok(Box::new(Groups::<Float32Type>::new(self.wanted))),
            DataType::Float64 => Ok(Box::new(Groups::<Float64Type>::new(self.wanted))),
            _ => self.inner.create_groups_accumulator(args),
        }
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_udf()
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(statistics)
    }

    fn set_monotonicity(&self, ty: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(ty)
    }
}

/// The values of a column for which `filter` holds. One that is NULL for a row does not hold for it.
pub(super) fn kept(nulls: Option<&NullBuffer>, filter: Option<&BooleanArray>) -> Option<NullBuffer> {
    let holds = filter.map(|filter| match filter.nulls() {
        Some(known) => NullBuffer::new(filter.values() & known.inner()),
        None => NullBuffer::new(filter.values().clone()),
    });
    NullBuffer::union(nulls, holds.as_ref())
}

/// The value of each group, if it has one yet.
struct Groups<T: ArrowPrimitiveType> {
    found: Vec<Option<T::Native>>,
    wanted: Ordering,
}

impl<T: ArrowPrimitiveType> Groups<T> {
    fn new(wanted: Ordering) -> Self {
        Self { found: Vec::new(), wanted }
    }

    fn look(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        self.found.resize(total_groups, None);
        let values = column::<T>(values)?;
        for (row, (group, value)) in groups.iter().zip(values.values().iter()).enumerate() {
            let counts = values.is_valid(row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            let found = &mut self.found[*group];
            if counts && found.is_none_or(|found| ArrowNativeTypeOp::compare(*value, found) == self.wanted) {
                *found = Some(*value);
            }
        }
        Ok(())
    }
}

fn column<T: ArrowPrimitiveType>(values: &[ArrayRef]) -> Result<&PrimitiveArray<T>> {
    let found = values.first().and_then(|values| values.as_primitive_opt::<T>());
    found.ok_or_else(|| FunctionError::internal("min and max want one column of their type").into())
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Groups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.look(values, group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.look(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let found = emit_to.take_needed(&mut self.found);
        Ok(Arc::new(found.into_iter().collect::<PrimitiveArray<T>>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = column::<T>(values)?;
        let nulls = kept(values.nulls(), opt_filter);
        Ok(vec![Arc::new(PrimitiveArray::<T>::try_new(values.values().clone(), nulls)?)])
    }

    fn size(&self) -> usize {
        self.found.capacity() * size_of::<Option<T::Native>>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;

    const EACH: [f64; 4] = [f64::NEG_INFINITY, 1.0, f64::INFINITY, f64::NAN];

    /// What a group answers that sees these values, those of each list in a batch of its own.
    fn of(wanted: Ordering, batches: &[&[f64]]) -> f64 {
        let mut groups = Groups::<Float64Type>::new(wanted);
        for batch in batches {
            let values: ArrayRef = Arc::new(Float64Array::from(batch.to_vec()));
            groups.update_batch(&[values], &vec![0; batch.len()], None, 1).expect("values");
        }
        let found = groups.evaluate(EmitTo::All).expect("a group");
        found.as_primitive::<Float64Type>().value(0)
    }

    // Arithmetic: in EACH they stand in their order.
    #[test]
    fn the_order_of_rows_does_not_matter() {
        for (i, a) in EACH.into_iter().enumerate() {
            for (j, b) in EACH.into_iter().enumerate() {
                let (least, greatest) = (EACH[i.min(j)], EACH[i.max(j)]);
                for batches in [&[[a, b].as_slice()][..], &[[a].as_slice(), [b].as_slice()][..]] {
                    assert_eq!(of(Ordering::Less, batches).to_bits(), least.to_bits(), "{a} {b}");
                    assert_eq!(of(Ordering::Greater, batches).to_bits(), greatest.to_bits(), "{a} {b}");
                }
            }
        }
    }

    // Arithmetic.
    #[test]
    fn rows_without_value_or_without_the_condition_do_not_count() {
        let mut groups = Groups::<Float64Type>::new(Ordering::Greater);
        let values: ArrayRef = Arc::new(Float64Array::from(vec![Some(2.0), None, Some(3.0), Some(5.0)]));
        for (filter, wanted) in [
            (vec![Some(true), Some(true), Some(false), None], [Some(2.0), None, None, None]),
            (vec![Some(true), Some(true), Some(false), Some(true)], [Some(2.0), None, None, Some(5.0)]),
        ] {
            let filter = BooleanArray::from(filter);
            let states = groups.convert_to_state(std::slice::from_ref(&values), Some(&filter)).expect("values");
            let kept: Vec<_> = states[0].as_primitive::<Float64Type>().iter().collect();
            assert_eq!(kept, wanted);
            groups.update_batch(std::slice::from_ref(&values), &[0, 1, 0, 1], Some(&filter), 2).expect("values");
        }
        let first = groups.evaluate(EmitTo::First(1)).expect("groups");
        assert_eq!(first.as_primitive::<Float64Type>(), &Float64Array::from(vec![Some(2.0)]));
        let rest = groups.evaluate(EmitTo::All).expect("groups");
        assert_eq!(rest.as_primitive::<Float64Type>(), &Float64Array::from(vec![Some(5.0)]));
    }
}
