//! PERCENTILE: the exact value below which a part of all values lies.
//!
//! DataFusion's own interpolates with six digits, which gives 1.899999 for the 0.3 of 1, 2, 3 and 10.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::coercion::{is_text, type_name};
use crate::error::FunctionError;

/// `PERCENTILE(x, p)` for one `p`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Percentile {
    /// With `p`, so that two percentiles of one column are two columns.
    name: String,
    /// The bits of `p`, from 0 to 1.
    p: u64,
    signature: Signature,
}

impl Percentile {
    /// The function for the literal `p`.
    pub(super) fn udaf(p: &ScalarValue) -> Result<AggregateUDF> {
        match p.cast_to(&DataType::Float64)? {
            ScalarValue::Float64(Some(p)) if (0.0..=1.0).contains(&p) => {
                let signature = Signature::user_defined(Volatility::Immutable);
                Ok(AggregateUDF::from(Self { name: format!("percentile_{p}"), p: p.to_bits(), signature }))
            }
            _ => Err(FunctionError::range(format!("percentile: {p} is not between 0 and 1")).into()),
        }
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Errors wait for `return_type`: the planner turns those of this function into words of its own.
        let is_number = |t: &DataType| t.is_numeric() || is_text(t) || *t == DataType::Null;
        Ok(types.iter().map(|t| if is_number(t) { DataType::Float64 } else { t.clone() }).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Float64] => Ok(DataType::Float64),
            [t] => Err(FunctionError::argument_type("percentile", 1, &type_name(t), "a number").into()),
            _ => Err(FunctionError::arity("percentile", "2", types.len() + 1).into()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = DataType::new_list(DataType::Float64, true);
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "values"), list, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Values { p: f64::from_bits(self.p), distinct: args.is_distinct, values: Vec::new() }))
    }
}

/// All values so far.
#[derive(Debug)]
struct Values {
    p: f64,
    distinct: bool,
    values: Vec<f64>,
}

impl Values {
    fn add(&mut self, array: &ArrayRef) -> Result<()> {
        let array = cast(array, &DataType::Float64)?;
        self.values.extend(array.as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        columns.iter().try_for_each(|column| self.add(column))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for lists in states.iter().filter_map(|s| s.as_list_opt::<i32>()) {
            (0..lists.len()).filter(|i| lists.is_valid(*i)).try_for_each(|i| self.add(&lists.value(i)))?;
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for column in columns {
            let column = cast(column, &DataType::Float64)?;
            for gone in column.as_primitive::<Float64Type>().iter().flatten() {
                if let Some(at) = self.values.iter().position(|v| v.total_cmp(&gone).is_eq()) {
                    self.values.swap_remove(at);
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        if self.distinct {
            sorted.dedup();
        }
        Ok(ScalarValue::Float64(interpolated(&sorted, self.p)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Float64Array::from(std::mem::take(&mut self.values));
        let field = Arc::new(Field::new_list_field(DataType::Float64, true));
        let list = ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), Arc::new(values), None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }
}

/// Between the two values around the place `p * (n - 1)`.
fn interpolated(sorted: &[f64], p: f64) -> Option<f64> {
    let place = p * (sorted.len().checked_sub(1)? as f64);
    let (low, part) = (sorted.get(place.floor() as usize)?, place.fract());
    let high = sorted.get(place.ceil() as usize)?;
    Some(if part == 0.0 { *low } else { low + (high - low) * part })
}

#[cfg(test)]
mod tests {
    use super::*;

    // DuckDB, `quantile_cont` over 1, 2, 3, 10.
    #[test]
    fn values_are_interpolated_between_their_neighbours() {
        let four = [1.0, 2.0, 3.0, 10.0];
        for (p, wanted) in [(0.0, 1.0), (0.25, 1.75), (0.3, 1.9), (0.5, 2.5), (0.75, 4.75), (1.0, 10.0)] {
            let found = interpolated(&four, p).expect("a value");
            assert!((found - wanted).abs() < 1e-12, "{p}: {found}");
        }
        assert_eq!(interpolated(&[], 0.5), None);
        assert_eq!(interpolated(&[7.0], 0.3), Some(7.0));
    }
}
