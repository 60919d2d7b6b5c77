//! Aggregate functions of users: their buffers lie here as the bytes that a process made of them, and travel with the rows.
//!
//! So every process can go on with every buffer, and buffers go from stage to stage as values of type BINARY.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use feitian_functions::FunctionError;
use feitian_types::arrow::engine_type;
use feitian_udf::Call;

use super::distinct::{self, Distinct};
use super::{UserFunction, blocking, external};

/// Bytes of buffers that go to a process at once.
const MAX_BYTES: usize = i32::MAX as usize;

/// The function as the planner wants it.
pub(super) fn udaf(function: Arc<UserFunction>) -> AggregateUDF {
    AggregateUDF::from(UserAggregate { function, signature: Signature::user_defined(Volatility::Volatile) })
}

#[derive(Debug)]
struct UserAggregate {
    function: Arc<UserFunction>,
    signature: Signature,
}

impl PartialEq for UserAggregate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
    }
}

impl Eq for UserAggregate {}

impl Hash for UserAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.pool.name().hash(state);
    }
}

impl UserAggregate {
    fn buffers(&self, args: &AccumulatorArgs) -> Buffers {
        let function = self.function.clone();
        let types = args.expr_fields.iter().enumerate().map(|(i, field)| function.argument(i, field)).collect();
        let call = Call::new(types, function.result(), function.zone);
        Buffers { function, call, buffers: Vec::new() }
    }
}

impl AggregateUDFImpl for UserAggregate {
    fn name(&self) -> &str {
        self.function.pool.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Errors wait for `return_type`: the planner turns those of this function into words of its own.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.function.wanted(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.wanted(types)?;
        Ok(engine_type(&self.function.result()))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return Ok(distinct::state_fields(&args));
        }
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "buffer"), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let group = Group(self.buffers(&args));
        if args.is_distinct {
            let types = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
            return Ok(Box::new(Distinct::new(group, types)));
        }
        Ok(Box::new(group))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups(self.buffers(&args))))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The buffers of groups; `None` is one that no row has come to.
#[derive(Debug)]
struct Buffers {
    function: Arc<UserFunction>,
    call: Call,
    buffers: Vec<Option<Vec<u8>>>,
}

/// What comes to buffers.
enum News<'a> {
    Rows(&'a [ArrayRef]),
    Buffers(&'a ArrayRef),
}

impl Buffers {
    /// Adds `news`; `groups` says for each row of it to which buffer.
    fn add(&mut self, news: News<'_>, groups: &[usize], total: usize) -> Result<()> {
        if self.buffers.len() < total {
            self.buffers.resize(total, None);
        }
        if groups.is_empty() {
            return Ok(());
        }
        // Only buffers that change travel.
        let (mut touched, mut places, mut numbers) = (Vec::new(), HashMap::new(), Vec::with_capacity(groups.len()));
        for group in groups {
            let number = *places.entry(*group).or_insert_with(|| {
                touched.push(*group);
                touched.len() - 1
            });
            numbers.push(i32::try_from(number).map_err(|_| FunctionError::internal("too many groups"))?);
        }
        let before = binary(touched.iter().map(|group| self.buffers.get(*group).and_then(Option::as_deref)))?;
        let numbers: ArrayRef = Arc::new(Int32Array::from(numbers));
        let (pool, call) = (&self.function.pool, &self.call);
        let after = blocking(|| match news {
            News::Rows(columns) => pool.iterate(call, &before, &numbers, columns),
            News::Buffers(others) => pool.merge(call, &before, &numbers, others),
        });
        let after = after.map_err(external)?;
        let Some(after) = after.as_binary_opt::<i32>() else {
            return Err(FunctionError::internal("buffers that are no bytes").into());
        };
        for (group, buffer) in touched.iter().zip(after) {
            if let Some(slot) = self.buffers.get_mut(*group) {
                *slot = buffer.map(<[u8]>::to_vec);
            }
        }
        Ok(())
    }

    /// The results of `taken`, which are buffers of ours.
    fn results(&self, taken: &[Option<Vec<u8>>]) -> Result<ArrayRef> {
        if taken.is_empty() {
            return Ok(new_empty_array(&engine_type(&self.function.result())));
        }
        let buffers = binary(taken.iter().map(Option::as_deref))?;
        blocking(|| self.function.pool.terminate(&self.call, &buffers)).map_err(external)
    }

    fn size(&self) -> usize {
        let bytes: usize = self.buffers.iter().flatten().map(Vec::capacity).sum();
        bytes + self.buffers.capacity() * size_of::<Option<Vec<u8>>>()
    }
}

fn binary<'a>(buffers: impl Iterator<Item = Option<&'a [u8]>> + Clone) -> Result<ArrayRef> {
    if buffers.clone().flatten().map(<[u8]>::len).sum::<usize>() > MAX_BYTES {
        return Err(FunctionError::overflow("the buffers of a BaseUDAF have more than 2 GiB").into());
    }
    Ok(Arc::new(buffers.collect::<BinaryArray>()))
}

/// One group.
#[derive(Debug)]
pub(super) struct Group(Buffers);

impl Accumulator for Group {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |column| column.len());
        self.0.add(News::Rows(values), &vec![0; rows], 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        match states {
            [buffers] => self.0.add(News::Buffers(buffers), &vec![0; buffers.len()], 1),
            _ => Err(FunctionError::internal("one state").into()),
        }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(self.0.buffers.first().cloned().flatten())])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let buffer = self.0.buffers.first().cloned().flatten();
        ScalarValue::try_from_array(&self.0.results(&[buffer])?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// Many groups.
struct Groups(Buffers);

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        if opt_filter.is_some() {
            return Err(FunctionError::unsupported("FILTER with a BaseUDAF is not supported").into());
        }
        self.0.add(News::Rows(values), group_indices, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        match values {
            [buffers] => self.0.add(News::Buffers(buffers), group_indices, total_num_groups),
            _ => Err(FunctionError::internal("one state").into()),
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let taken = emit_to.take_needed(&mut self.0.buffers);
        Ok(vec![binary(taken.iter().map(Option::as_deref))?])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = emit_to.take_needed(&mut self.0.buffers);
        self.0.results(&taken)
    }

    /// Each row as a group of its own.
    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let (function, call) = (self.0.function.clone(), self.0.call.clone());
        let mut own = Self(Buffers { function, call, buffers: Vec::new() });
        own.update_batch(values, &(0..rows).collect::<Vec<_>>(), opt_filter, rows)?;
        own.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
