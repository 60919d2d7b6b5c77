//! SUM that never wraps: whole numbers and decimals are added in 128 bits, and a total that its type cannot hold is an
//! error whatever the order of the rows.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Int64Array, ListArray, PrimitiveArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::extremes::kept;
use super::sliding::Sliding;
use crate::coercion::{is_decimal, is_text, type_name};
use crate::error::FunctionError;

/// The state of a running total between stages.
const STATE: DataType = DataType::Decimal128(38, 0);

/// `SUM`: BIGINT of whole numbers, DECIMAL of decimals, DOUBLE of everything else.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Sum {
    signature: Signature,
}

impl Sum {
    pub(super) fn udaf() -> AggregateUDF {
        AggregateUDF::from(Self { signature: Signature::user_defined(Volatility::Immutable) })
    }
}

/// True if DataFusion's own SUM does the work: floating point has no exact total.
fn is_float(ty: &DataType) -> bool {
    *ty == DataType::Float64
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Errors wait for `return_type`: the planner turns those of this function into words of its own.
        Ok(match types {
            [t] if t.is_integer() => vec![DataType::Int64],
            [t] if is_decimal(t) && !matches!(t, DataType::Decimal128(..)) => vec![DataType::Decimal128(38, 18)],
            [t] if t.is_floating() || is_text(t) || *t == DataType::Null => vec![DataType::Float64],
            _ => types.to_vec(),
        })
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Int64] => Ok(DataType::Int64),
            [DataType::Decimal128(p, s)] => Ok(DataType::Decimal128((p + 10).min(38), *s)),
            [DataType::Float64] => Ok(DataType::Float64),
            [t] => Err(FunctionError::argument_type("sum", 1, &type_name(t), "a number").into()),
            _ => Err(FunctionError::arity("sum", "1", types.len()).into()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if is_float(args.return_field.data_type()) {
            return sum_udaf().inner().state_fields(args);
        }
        let ty = if args.is_distinct { DataType::List(Arc::new(Field::new_list_field(STATE, true))) } else { STATE };
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sum"), ty, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if is_float(args.return_field.data_type()) {
            return sum_udaf().inner().accumulator(args);
        }
        let ty = args.return_field.data_type().clone();
        Ok(match args.is_distinct {
            true => Box::new(Distinct { ty, seen: HashSet::new() }),
            false => Box::new(Total { ty, total: 0, count: 0 }),
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if is_float(args.return_field.data_type()) && !args.is_distinct {
            return Ok(Box::new(Sliding::sum()));
        }
        if is_float(args.return_field.data_type()) {
            return sum_udaf().inner().create_sliding_accumulator(args);
        }
        self.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if is_float(args.return_field.data_type()) {
            return sum_udaf().inner().create_groups_accumulator(args);
        }
        Ok(Box::new(Groups { ty: args.return_field.data_type().clone(), totals: Vec::new(), seen: Vec::new() }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
        datafusion::logical_expr::utils::AggregateOrderSensitivity::Insensitive
    }
}

fn overflow(ty: &DataType) -> datafusion::error::DataFusionError {
    FunctionError::overflow(format!("SUM func result is out of the range of {}", type_name(ty))).into()
}

/// Calls `f` with every valid value of a BIGINT or DECIMAL column.
fn each(values: &ArrayRef, mut f: impl FnMut(usize, i128) -> Result<()>) -> Result<()> {
    match values.data_type() {
        DataType::Int64 => {
            let v = values.as_primitive::<Int64Type>();
            (0..v.len()).filter(|i| v.is_valid(*i)).try_for_each(|i| f(i, v.value(i).into()))
        }
        DataType::Decimal128(..) => {
            let v = values.as_primitive::<Decimal128Type>();
            (0..v.len()).filter(|i| v.is_valid(*i)).try_for_each(|i| f(i, v.value(i)))
        }
        other => Err(FunctionError::internal(format!("sum of {other}")).into()),
    }
}

/// `total` as a value of `ty`.
fn result(total: i128, ty: &DataType) -> Result<ScalarValue> {
    match ty {
        DataType::Int64 => i64::try_from(total).map(|v| ScalarValue::Int64(Some(v))).map_err(|_| overflow(ty)),
        DataType::Decimal128(p, s) if total.unsigned_abs() < 10u128.pow(u32::from(*p)) => {
            Ok(ScalarValue::Decimal128(Some(total), *p, *s))
        }
        _ => Err(overflow(ty)),
    }
}

fn state(total: Option<i128>) -> ScalarValue {
    ScalarValue::Decimal128(total, 38, 0)
}

/// One running total, which rows may also leave (sliding windows).
#[derive(Debug)]
struct Total {
    ty: DataType,
    total: i128,
    /// Rows in the total; without any it is NULL.
    count: i64,
}

impl Total {
    fn add(&mut self, values: &ArrayRef, sign: i128) -> Result<()> {
        let ty = self.ty.clone();
        each(values, |_, v| {
            self.total = self.total.checked_add(v * sign).ok_or_else(|| overflow(&ty))?;
            self.count += sign as i64;
            Ok(())
        })
    }
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.first().map_or(Ok(()), |v| self.add(v, 1))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.first().map_or(Ok(()), |v| self.add(v, -1))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 { ScalarValue::try_from(&self.ty) } else { result(self.total, &self.ty) }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![state((self.count > 0).then_some(self.total))])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// SUM(DISTINCT x).
#[derive(Debug)]
struct Distinct {
    ty: DataType,
    seen: HashSet<i128>,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        each(values, |_, v| {
            self.seen.insert(v);
            Ok(())
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first() else { return Ok(()) };
        lists.as_list::<i32>().iter().flatten().try_for_each(|list| self.update_batch(&[list]))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let total = self.seen.iter().try_fold(0i128, |t, v| t.checked_add(*v)).ok_or_else(|| overflow(&self.ty))?;
        if self.seen.is_empty() { ScalarValue::try_from(&self.ty) } else { result(total, &self.ty) }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Decimal128Array = self.seen.iter().copied().map(Some).collect();
        let values = values.with_precision_and_scale(38, 0)?;
        let field = Arc::new(Field::new_list_field(STATE, true));
        let list = ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), Arc::new(values), None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.capacity() * (size_of::<i128>() + 1)
    }
}

/// One running total for each group.
struct Groups {
    ty: DataType,
    totals: Vec<i128>,
    seen: Vec<bool>,
}

/// Adds every row that counts to the total of its group. False if a total has left 128 bits.
fn add_rows<T>(
    values: &PrimitiveArray<T>,
    groups: &[usize],
    filter: Option<&BooleanArray>,
    totals: &mut [i128],
    seen: &mut [bool],
) -> bool
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128>,
{
    let mut overflowed = false;
    let mut add = |group: usize, value: T::Native| {
        let (total, over) = totals[group].overflowing_add(value.into());
        totals[group] = total;
        seen[group] = true;
        overflowed |= over;
    };
    let rows = groups.iter().zip(values.values().iter());
    match (values.nulls().filter(|n| n.null_count() > 0), filter) {
        (None, None) => rows.for_each(|(group, value)| add(*group, *value)),
        (nulls, filter) => rows.enumerate().for_each(|(row, (group, value))| {
            let counts =
                nulls.is_none_or(|n| n.is_valid(row)) && filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if counts {
                add(*group, *value);
            }
        }),
    }
    !overflowed
}

impl Groups {
    fn add(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        self.totals.resize(total_groups, 0);
        self.seen.resize(total_groups, false);
        let Some(values) = values.first() else { return Ok(()) };
        let (totals, seen) = (&mut self.totals, &mut self.seen);
        let fits = match values.data_type() {
            DataType::Int64 => add_rows(values.as_primitive::<Int64Type>(), groups, filter, totals, seen),
            DataType::Decimal128(..) => add_rows(values.as_primitive::<Decimal128Type>(), groups, filter, totals, seen),
            other => return Err(FunctionError::internal(format!("sum of {other}")).into()),
        };
        if fits { Ok(()) } else { Err(overflow(&self.ty)) }
    }

    fn take(&mut self, emit: EmitTo) -> impl Iterator<Item = Option<i128>> {
        let (totals, seen) = (emit.take_needed(&mut self.totals), emit.take_needed(&mut self.seen));
        totals.into_iter().zip(seen).map(|(t, s)| s.then_some(t))
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.add(values, group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.add(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let ty = self.ty.clone();
        let totals = self.take(emit_to);
        match &ty {
            DataType::Int64 => {
                let fit = |t: Option<i128>| t.map(|t| i64::try_from(t).map_err(|_| overflow(&ty))).transpose();
                Ok(Arc::new(totals.map(fit).collect::<Result<Int64Array>>()?))
            }
            DataType::Decimal128(p, s) => {
                let limit = 10u128.pow(u32::from(*p));
                let fit = |t: Option<i128>| match t {
                    Some(t) if t.unsigned_abs() >= limit => Err(overflow(&ty)),
                    t => Ok(t),
                };
                let out = totals.map(fit).collect::<Result<Decimal128Array>>()?;
                Ok(Arc::new(out.with_precision_and_scale(*p, *s)?))
            }
            other => Err(FunctionError::internal(format!("sum gives {other}")).into()),
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let totals = self.take(emit_to).collect::<Decimal128Array>();
        Ok(vec![Arc::new(totals.with_precision_and_scale(38, 0)?)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(values) = values.first() else { return Ok(vec![]) };
        let wide: Decimal128Array = match values.data_type() {
            DataType::Int64 => values.as_primitive::<Int64Type>().unary(i128::from),
            DataType::Decimal128(..) => values.as_primitive::<Decimal128Type>().clone(),
            other => return Err(FunctionError::internal(format!("sum of {other}")).into()),
        };
        let out = Decimal128Array::try_new(wide.values().clone(), kept(wide.nulls(), opt_filter))?;
        Ok(vec![Arc::new(out.with_precision_and_scale(38, 0)?)])
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<i128>() + self.seen.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Arithmetic: the total fits BIGINT although a partial sum does not.
    #[test]
    fn the_order_of_rows_does_not_matter() {
        let mut total = Total { ty: DataType::Int64, total: 0, count: 0 };
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(1), None, Some(-1)]));
        total.update_batch(&[values]).expect("values");
        assert_eq!(total.evaluate().expect("fits"), ScalarValue::Int64(Some(i64::MAX)));
        total.update_batch(&[Arc::new(Int64Array::from(vec![1]))]).expect("values");
        assert!(total.evaluate().is_err());
    }

    // Arithmetic. A filter that is NULL for a row does not hold for it.
    #[test]
    fn rows_without_value_or_without_the_condition_do_not_count() {
        let mut groups = Groups { ty: DataType::Int64, totals: vec![], seen: vec![] };
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None, Some(3), Some(5), Some(7)]));
        let filter = BooleanArray::from(vec![Some(true), Some(true), Some(false), None, Some(true)]);
        let states = groups.convert_to_state(std::slice::from_ref(&values), Some(&filter)).expect("values");
        let kept: Vec<_> = states[0].as_primitive::<Decimal128Type>().iter().collect();
        assert_eq!(kept, [Some(2), None, None, None, Some(7)]);
        let known = BooleanArray::from(vec![true, true, false, false, true]);
        let states = groups.convert_to_state(std::slice::from_ref(&values), Some(&known)).expect("values");
        assert_eq!(states[0].as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), kept);
        groups.update_batch(&[values], &[0, 1, 0, 1, 0], Some(&filter), 2).expect("values");
        let out = groups.evaluate(EmitTo::All).expect("fits");
        assert_eq!(out.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(9), None]));
    }

    #[test]
    fn a_total_of_a_group_beyond_its_type_is_an_error() {
        let ty = DataType::Decimal128(38, 0);
        let mut groups = Groups { ty: ty.clone(), totals: vec![], seen: vec![] };
        let large = Decimal128Array::from(vec![10i128.pow(38) - 1; 2]).with_precision_and_scale(38, 0).expect("a type");
        let large: ArrayRef = Arc::new(large);
        // 2 * 10^38 is beyond 128 bits, too.
        assert!(groups.update_batch(&[large], &[0, 0], None, 1).is_err());
        let mut groups = Groups { ty: DataType::Int64, totals: vec![], seen: vec![] };
        let large: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
        groups.update_batch(&[large], &[0, 0], None, 1).expect("128 bits hold it");
        assert!(groups.evaluate(EmitTo::All).is_err());
    }

    #[test]
    fn nothing_sums_to_null() {
        let mut groups = Groups { ty: DataType::Int64, totals: vec![], seen: vec![] };
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None, Some(3)]));
        groups.update_batch(&[values], &[0, 1, 0], None, 2).expect("values");
        let out = groups.evaluate(EmitTo::All).expect("fits");
        assert_eq!(out.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(5), None]));
    }
}
