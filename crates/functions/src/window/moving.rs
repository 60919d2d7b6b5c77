//! COUNT over a frame whose start moves.
//!
//! DataFusion believes that its results never fall from one row to the next, and leaves out a sort by them. They do fall
//! where a partition ends, so this COUNT makes no such promise.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ReversedUDAF, Signature};

/// The function.
pub(super) fn count() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(MovingCount { inner: count_udaf() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MovingCount {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for MovingCount {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(types)
    }

    fn is_nullable(&self) -> bool {
        self.inner.inner().is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.inner().state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.inner().accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.inner().create_sliding_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn default_value(&self, ty: &DataType) -> Result<ScalarValue> {
        self.inner.inner().default_value(ty)
    }
}
