//! MIN and MAX: DataFusion's own, but for groups of DOUBLE and FLOAT.
//!
//! There DataFusion begins at the greatest finite number, which is less than infinity, and takes NaN and what comes after
//! it in the order of the rows. Here NaN is greater than every number, as in ORDER BY.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

/// `MIN` or `MAX`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    inner: Arc<AggregateUDF>,
    greatest: bool,
}

impl Extreme {
    pub(super) fn min() -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::from(Self { inner: min_udaf(), greatest: false }))
    }

    pub(super) fn max() -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::from(Self { inner: max_udaf(), greatest: true }))
    }
}

macro_rules! of_floats {
    ($type:ty, $native:ident, $greatest:expr, $data_type:expr) => {
        if $greatest {
            let keep = |kept: &mut $native, new: $native| {
                if new > *kept || new.is_nan() {
                    *kept = new;
                }
            };
            let groups = PrimitiveGroupsAccumulator::<$type, _>::new($data_type, keep);
            Box::new(groups.with_starting_value($native::NEG_INFINITY)) as Box<dyn GroupsAccumulator>
        } else {
            let keep = |kept: &mut $native, new: $native| {
                if new < *kept || kept.is_nan() {
                    *kept = new;
                }
            };
            let groups = PrimitiveGroupsAccumulator::<$type, _>::new($data_type, keep);
            Box::new(groups.with_starting_value($native::NAN)) as Box<dyn GroupsAccumulator>
        }
    };
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
            ty @ DataType::Float64 => Ok(of_floats!(Float64Type, f64, self.greatest, ty)),
            ty @ DataType::Float32 => Ok(of_floats!(Float32Type, f32, self.greatest, ty)),
            _ => self.inner.create_groups_accumulator(args),
        }
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.inner().order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }

    fn set_monotonicity(&self, ty: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(ty)
    }
}
