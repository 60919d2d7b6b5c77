//! Aggregates over DOUBLE: DataFusion's own, which read text as a number here.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use crate::coercion::{is_text, type_name};
use crate::error::FunctionError;

/// An aggregate whose arguments and result are DOUBLE.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Doubles {
    inner: Arc<AggregateUDF>,
    arity: usize,
    signature: Signature,
}

/// `inner`, which takes `arity` numbers.
pub(super) fn doubles(inner: Arc<AggregateUDF>, arity: usize) -> Arc<AggregateUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(AggregateUDF::from(Doubles { inner, arity, signature }))
}

impl AggregateUDFImpl for Doubles {
    fn name(&self) -> &str {
        self.inner.name()
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
        if types.len() != self.arity {
            return Err(FunctionError::arity(self.name(), &self.arity.to_string(), types.len()).into());
        }
        match types.iter().position(|t| *t != DataType::Float64) {
            Some(i) => Err(FunctionError::argument_type(self.name(), i + 1, &type_name(&types[i]), "a number").into()),
            None => Ok(DataType::Float64),
        }
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
        self.inner.create_groups_accumulator(args)
    }
}
