//! MAX_BY, MIN_BY, ARG_MAX and ARG_MIN: the value that stands beside the largest or smallest key.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::error::FunctionError;

/// `MAX_BY(value, key)`, and `ARG_MAX(key, value)` with its arguments the other way round.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ByKey {
    name: &'static str,
    largest: bool,
    /// Index of the key among the arguments.
    key: usize,
    signature: Signature,
}

pub(super) fn functions() -> Vec<(&'static str, AggregateUDF)> {
    let udaf = |name, largest, key| {
        let signature = Signature::any(2, Volatility::Immutable);
        (name, AggregateUDF::from(ByKey { name, largest, key, signature }))
    };
    vec![udaf("max_by", true, 1), udaf("min_by", false, 1), udaf("arg_max", true, 0), udaf("arg_min", false, 0)]
}

impl AggregateUDFImpl for ByKey {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let value = types.get(1 - self.key).cloned();
        value.ok_or_else(|| FunctionError::arity(self.name, "2", types.len()).into())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let state = |i: usize, what: &str| {
            let ty = args.input_fields.get(i).map_or(DataType::Null, |f| f.data_type().clone());
            Arc::new(Field::new(format_state_name(args.name, what), ty, true))
        };
        Ok(vec![state(1 - self.key, "value"), state(self.key, "key")])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let null = |i: usize| ScalarValue::try_from(args.expr_fields[i].data_type());
        Ok(Box::new(Best {
            largest: self.largest,
            key_first: self.key == 0,
            value: null(1 - self.key)?,
            key: null(self.key)?,
        }))
    }
}

#[derive(Debug)]
struct Best {
    largest: bool,
    key_first: bool,
    value: ScalarValue,
    key: ScalarValue,
}

impl Best {
    fn add(&mut self, values: &ArrayRef, keys: &ArrayRef) -> Result<()> {
        for row in (0..keys.len()).filter(|i| keys.is_valid(*i)) {
            let key = ScalarValue::try_from_array(keys, row)?;
            let wanted = if self.largest { Ordering::Greater } else { Ordering::Less };
            if self.key.is_null() || key.partial_cmp(&self.key) == Some(wanted) {
                self.value = ScalarValue::try_from_array(values, row)?;
                self.key = key;
            }
        }
        Ok(())
    }
}

impl Accumulator for Best {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        match columns {
            [key, value] if self.key_first => self.add(value, key),
            [value, key] => self.add(value, key),
            _ => Err(FunctionError::internal("max_by takes two columns").into()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        match states {
            [value, key] => self.add(value, key),
            _ => Err(FunctionError::internal("max_by has two states").into()),
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.key.clone()])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() + self.key.size()
    }
}
