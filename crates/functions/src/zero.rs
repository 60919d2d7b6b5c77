//! One zero for two: -0.0 and 0.0 are equal, which the engine's comparisons, hashes and orders do not know.
//!
//! No name of these functions is in the registry: only plans have them.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::FunctionError;

/// The zero that stands for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zero {
    /// 0.0
    Plus,
    /// -0.0
    Minus,
}

/// DOUBLE and FLOAT with one of the two zeros; other types as they are.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct OneZero {
    zero: Zero,
    signature: Signature,
}

impl OneZero {
    /// The function that puts `zero` in the place of either.
    pub fn udf(zero: Zero) -> ScalarUDF {
        ScalarUDF::from(Self { zero, signature: Signature::any(1, Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for OneZero {
    fn name(&self) -> &str {
        match self.zero {
            Zero::Plus => "plus_zero",
            Zero::Minus => "minus_zero",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| FunctionError::arity(self.name(), "1", types.len()).into())
    }

    /// What is never NULL stays so, and a key that a column shows is declared as the column is.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields.first() {
            Some(field) => Ok(Arc::new(field.as_ref().clone().with_name(self.name()))),
            None => Err(FunctionError::arity(self.name(), "1", 0).into()),
        }
    }

    /// NULL stays NULL.
    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zero = match self.zero {
            Zero::Plus => 0.0,
            Zero::Minus => -0.0,
        };
        let Some(value) = args.args.into_iter().next() else {
            return Err(FunctionError::arity(self.name(), "1", 0).into());
        };
        Ok(match value {
            ColumnarValue::Array(array) => ColumnarValue::Array(match array.data_type() {
                DataType::Float64 => of_array::<Float64Type>(&array, zero),
                DataType::Float32 => of_array::<Float32Type>(&array, zero as f32),
                _ => array,
            }),
            ColumnarValue::Scalar(ScalarValue::Float64(Some(0.0))) => {
                ColumnarValue::Scalar(ScalarValue::Float64(Some(zero)))
            }
            ColumnarValue::Scalar(ScalarValue::Float32(Some(0.0))) => {
                ColumnarValue::Scalar(ScalarValue::Float32(Some(zero as f32)))
            }
            other => other,
        })
    }
}

fn of_array<T: ArrowPrimitiveType>(array: &ArrayRef, zero: T::Native) -> ArrayRef {
    let either = T::Native::default();
    Arc::new(array.as_primitive::<T>().unary::<_, T>(|v| if v == either { zero } else { v }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Array, Float32Array, Float64Array, Int64Array};
    use arrow::datatypes::Field;
    use datafusion::config::ConfigOptions;

    use super::*;

    fn invoke(zero: Zero, value: ColumnarValue) -> ColumnarValue {
        let field = Arc::new(Field::new("x", value.data_type(), true));
        let args = ScalarFunctionArgs {
            args: vec![value],
            arg_fields: vec![field.clone()],
            number_rows: 4,
            return_field: field,
            config_options: Arc::new(ConfigOptions::default()),
        };
        OneZero::udf(zero).invoke_with_args(args).unwrap()
    }

    // IEEE 754: the sign is all that differs; NULL, NaN and the smallest numbers are no zeros.
    #[test]
    fn both_zeros_become_one_and_nothing_else_changes() {
        let tiny = -f64::from_bits(1);
        let values = Float64Array::from(vec![Some(0.0), Some(-0.0), None, Some(f64::NAN), Some(tiny)]);
        for (zero, want) in [(Zero::Plus, 0.0_f64), (Zero::Minus, -0.0_f64)] {
            let ColumnarValue::Array(out) = invoke(zero, ColumnarValue::Array(Arc::new(values.clone()))) else {
                panic!("an array gives an array");
            };
            let out = out.as_primitive::<Float64Type>();
            let bits = |i: usize| out.value(i).to_bits();
            assert_eq!((bits(0), bits(1)), (want.to_bits(), want.to_bits()));
            assert!(out.is_null(2) && out.value(3).is_nan());
            assert_eq!(bits(4), tiny.to_bits());
            let ColumnarValue::Scalar(ScalarValue::Float32(Some(one))) =
                invoke(zero, ColumnarValue::Scalar(ScalarValue::Float32(Some(-0.0))))
            else {
                panic!("a value gives a value");
            };
            assert_eq!(one.to_bits(), (want as f32).to_bits());
        }
    }

    #[test]
    fn other_types_stay_as_they_are() {
        let floats = invoke(Zero::Plus, ColumnarValue::Array(Arc::new(Float32Array::from(vec![-0.0_f32]))));
        assert_eq!(floats.data_type(), DataType::Float32);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
        let ColumnarValue::Array(out) = invoke(Zero::Minus, ColumnarValue::Array(numbers.clone())) else {
            panic!("an array gives an array");
        };
        assert_eq!(&out, &numbers);
    }
}
