//! AVG, whose DECIMAL results are rounded half away from zero, as all DECIMAL results are.
//!
//! DataFusion's own AVG cuts digits off. It is asked for one digit more than the result has, and that digit rounds: what
//! comes after it does not matter.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::sliding::Sliding;
use crate::coercion::{is_decimal, is_text, type_name};
use crate::error::FunctionError;

/// The largest scale of a mean; that of a column may be larger.
const MAX_SCALE: i8 = 18;
/// Decimal places of a mean beyond those of the values.
const MORE: i8 = 4;

/// `AVG`: DECIMAL of decimals, DOUBLE of everything else.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Avg {
    signature: Signature,
}

impl Avg {
    pub(super) fn udaf() -> AggregateUDF {
        AggregateUDF::from(Self { signature: Signature::user_defined(Volatility::Immutable) })
    }
}

/// The type of the mean of a DECIMAL.
fn mean_type(precision: u8, scale: i8) -> DataType {
    let more = (scale + MORE).min(MAX_SCALE.max(scale));
    DataType::Decimal128((precision + MORE as u8).min(38), more)
}

/// What DataFusion's AVG is asked for; `None` where its own result is the result.
fn with_one_more(ty: &DataType) -> Option<DataType> {
    match ty {
        DataType::Decimal128(p, s) => Some(DataType::Decimal128((p + 1).min(38), s + 1)),
        _ => None,
    }
}

/// The arguments with the result type of DataFusion's own AVG.
fn inner_args(args: AccumulatorArgs<'_>) -> AccumulatorArgs<'_> {
    let ty = with_one_more(args.return_field.data_type());
    let field = |ty| -> FieldRef { Arc::new(args.return_field.as_ref().clone().with_data_type(ty)) };
    let return_field = ty.map_or_else(|| args.return_field.clone(), field);
    AccumulatorArgs { return_field, ..args }
}

/// Without its last digit, which rounds.
fn rounded(value: i128) -> i128 {
    let (quotient, digit) = (value / 10, value % 10);
    quotient + i128::from(digit >= 5) - i128::from(digit <= -5)
}

impl AggregateUDFImpl for Avg {
    fn name(&self) -> &str {
        "avg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Errors wait for `return_type`: the planner turns those of this function into words of its own.
        Ok(match types {
            [DataType::Decimal128(..)] => types.to_vec(),
            [t] if is_decimal(t) => vec![DataType::Decimal128(38, 18)],
            [t] if t.is_numeric() || is_text(t) || *t == DataType::Null => vec![DataType::Float64],
            _ => types.to_vec(),
        })
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Decimal128(p, s)] => Ok(mean_type(*p, *s)),
            [DataType::Float64] => Ok(DataType::Float64),
            [t] => Err(FunctionError::argument_type("avg", 1, &type_name(t), "a number").into()),
            _ => Err(FunctionError::arity("avg", "1", types.len()).into()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        avg_udaf().state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let ty = args.return_field.data_type().clone();
        let inner = avg_udaf().accumulator(inner_args(args))?;
        Ok(if with_one_more(&ty).is_some() { Box::new(One { inner, ty }) } else { inner })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let ty = args.return_field.data_type().clone();
        if ty == DataType::Float64 && !args.is_distinct {
            return Ok(Box::new(Sliding::mean()));
        }
        let inner = avg_udaf().create_sliding_accumulator(inner_args(args))?;
        Ok(if with_one_more(&ty).is_some() { Box::new(One { inner, ty }) } else { inner })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        avg_udaf().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let ty = args.return_field.data_type().clone();
        let inner = avg_udaf().create_groups_accumulator(inner_args(args))?;
        Ok(if with_one_more(&ty).is_some() { Box::new(Groups { inner, ty }) } else { inner })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// One mean of decimals.
#[derive(Debug)]
struct One {
    inner: Box<dyn Accumulator>,
    ty: DataType,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match (self.inner.evaluate()?, &self.ty) {
            (ScalarValue::Decimal128(value, ..), DataType::Decimal128(p, s)) => {
                Ok(ScalarValue::Decimal128(value.map(rounded), *p, *s))
            }
            (other, _) => Err(FunctionError::internal(format!("avg gives {}", other.data_type())).into()),
        }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}

/// One mean of decimals for each group.
struct Groups {
    inner: Box<dyn GroupsAccumulator>,
    ty: DataType,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.update_batch(values, group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let means = self.inner.evaluate(emit_to)?;
        let Some(means) = means.as_primitive_opt::<Decimal128Type>() else {
            return Err(FunctionError::internal(format!("avg gives {}", means.data_type())).into());
        };
        let out: Decimal128Array = means.unary(rounded);
        Ok(Arc::new(out.with_data_type(self.ty.clone())))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, opt_filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Arithmetic: half away from zero.
    #[test]
    fn the_last_digit_rounds() {
        let found: Vec<i128> = [1666, 1665, 1664, 0, -1664, -1665, 5, -5].into_iter().map(rounded).collect();
        assert_eq!(found, [167, 167, 166, 0, -166, -167, 1, -1]);
    }

    // MaxCompute documentation, "Data types": the scale of a DECIMAL is at most 18.
    #[test]
    fn a_mean_has_four_places_more_within_what_decimal_holds() {
        assert_eq!(mean_type(15, 2), DataType::Decimal128(19, 6));
        assert_eq!(mean_type(20, 16), DataType::Decimal128(24, 18));
        assert_eq!(mean_type(38, 18), DataType::Decimal128(38, 18));
        assert_eq!(mean_type(38, 20), DataType::Decimal128(38, 20));
    }
}
