//! HLL_COUNT_INIT, HLL_COUNT_MERGE, HLL_COUNT_MERGE_PARTIAL, HLL_COUNT_EXTRACT: different values, counted by sketches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::coercion::{Param, is_decimal, is_text, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns};
use crate::sketch::{DEFAULT_PRECISION, Kind, PRECISIONS, Sketch};

pub(super) const DOCS: &[Entry] = &[
    ("hll_count_extract", "hll_count_extract(sketch)", "About how many different values the sketch has seen."),
    (
        "hll_count_init",
        "hll_count_init(value[, precision])",
        "A sketch of the values, as BINARY; the precision is from 10 to 24, 15 unless given.",
    ),
    ("hll_count_merge", "hll_count_merge(sketch)", "About how many different values all the sketches have seen."),
    ("hll_count_merge_partial", "hll_count_merge_partial(sketch)", "One sketch of what all the sketches have seen."),
];

pub(super) fn extract() -> Function {
    Function::new("hll_count_extract", &[Param::Bytes], Returns::Type(DataType0::Big), |call: &Call<'_>| {
        let bytes = crate::cast::binary(&call.array(0)?)?;
        call.make_big(|i| if bytes.is_null(i) { Ok(None) } else { Ok(Some(Sketch::parse(bytes.value(i))?.count())) })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    /// Values become a sketch.
    Values,
    /// Sketches become the number of values.
    Number,
    /// Sketches become one.
    Sketches,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Hll {
    name: &'static str,
    of: Of,
    signature: Signature,
}

pub(super) fn functions() -> Vec<(&'static str, AggregateUDF)> {
    let udaf = |name, of| {
        let signature = Signature::user_defined(Volatility::Immutable);
        (name, AggregateUDF::from(Hll { name, of, signature }))
    };
    vec![
        udaf("hll_count_init", Of::Values),
        udaf("hll_count_merge", Of::Number),
        udaf("hll_count_merge_partial", Of::Sketches),
    ]
}

fn kind_of(ty: &DataType) -> Option<Kind> {
    match ty {
        t if t.is_integer() => Some(Kind::Big),
        t if is_decimal(t) => Some(Kind::Decimal),
        t if is_text(t) || t.is_null() => Some(Kind::Text),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(Kind::Bytes),
        _ => None,
    }
}

impl Hll {
    /// The types that arguments get.
    fn coerced(&self, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
        let wrong = |i: usize, expects| FunctionError::argument_type(self.name, i + 1, &type_name(&types[i]), expects);
        match (self.of, types) {
            (Of::Values, [value]) | (Of::Values, [value, _]) => {
                let kind = kind_of(value).ok_or_else(|| wrong(0, "BIGINT, DECIMAL, STRING or BINARY"))?;
                let mut out = vec![match kind {
                    Kind::Big => DataType::Int64,
                    Kind::Decimal if matches!(value, DataType::Decimal128(..)) => value.clone(),
                    Kind::Decimal => DataType::Decimal128(38, 18),
                    Kind::Text => DataType::Utf8,
                    Kind::Bytes => DataType::Binary,
                }];
                if let Some(precision) = types.get(1) {
                    if !precision.is_integer() {
                        return Err(wrong(1, "BIGINT"));
                    }
                    out.push(DataType::Int64);
                }
                Ok(out)
            }
            (Of::Values, _) => Err(FunctionError::arity(self.name, "1 to 2", types.len())),
            (_, [sketch]) if sketch.is_null() || kind_of(sketch) == Some(Kind::Bytes) => Ok(vec![DataType::Binary]),
            (_, [_]) => Err(wrong(0, "BINARY")),
            _ => Err(FunctionError::arity(self.name, "1", types.len())),
        }
    }
}

impl AggregateUDFImpl for Hll {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Errors wait for `return_type`: the planner turns those of this function into words of its own.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.coerced(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.coerced(types)?;
        Ok(if self.of == Of::Number { DataType::Int64 } else { DataType::Binary })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sketch"), DataType::Binary, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Seen { of: self.of, sketch: None }))
    }

    fn default_value(&self, _: &DataType) -> Result<ScalarValue> {
        Ok(if self.of == Of::Number { ScalarValue::Int64(Some(0)) } else { ScalarValue::Binary(None) })
    }
}

/// What one group has seen; `None` before the first value.
#[derive(Debug)]
struct Seen {
    of: Of,
    sketch: Option<Sketch>,
}

/// The precision that a call asks for: the same in every row.
fn precision(column: Option<&ArrayRef>) -> Result<u8> {
    let Some(column) = column else { return Ok(DEFAULT_PRECISION) };
    let numbers = column.as_primitive::<Int64Type>();
    let first = numbers.iter().next().flatten();
    if numbers.iter().any(|n| n != first) {
        return Err(FunctionError::constant("hll_count_init", 2).into());
    }
    let known = first.and_then(|n| u8::try_from(n).ok()).filter(|n| PRECISIONS.contains(n));
    known.ok_or_else(|| {
        let text = format!("hll_count_init: the precision is from {} to {}", PRECISIONS.start(), PRECISIONS.end());
        FunctionError::range(text).into()
    })
}

/// The bytes of a DECIMAL, which do not depend on how many zeros its scale adds.
fn decimal_bytes(mut digits: i128, mut scale: i8) -> [u8; 17] {
    while digits % 10 == 0 && scale > 0 {
        (digits, scale) = (digits / 10, scale - 1);
    }
    let mut out = [0; 17];
    out[..16].copy_from_slice(&digits.to_le_bytes());
    out[16] = scale as u8;
    out
}

impl Seen {
    fn values(&mut self, values: &ArrayRef, wanted: Option<&ArrayRef>) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let precision = precision(wanted)?;
        if self.sketch.as_ref().is_some_and(|sketch| sketch.precision() != precision) {
            return Err(FunctionError::constant("hll_count_init", 2).into());
        }
        let Some(kind) = kind_of(values.data_type()) else {
            return Err(FunctionError::internal(format!("a sketch of {}", values.data_type())).into());
        };
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            let sketch = self.sketch.get_or_insert_with(|| Sketch::new(precision, kind));
            match (kind, values.data_type()) {
                (Kind::Big, _) => sketch.add(&values.as_primitive::<Int64Type>().value(row).to_le_bytes()),
                (Kind::Decimal, DataType::Decimal128(_, scale)) => {
                    sketch.add(&decimal_bytes(values.as_primitive::<Decimal128Type>().value(row), *scale));
                }
                (Kind::Text, _) => sketch.add(values.as_string::<i32>().value(row).as_bytes()),
                _ => sketch.add(values.as_binary::<i32>().value(row)),
            }
        }
        Ok(())
    }

    fn sketches(&mut self, sketches: &ArrayRef) -> Result<()> {
        for bytes in crate::cast::binary(sketches)?.iter().flatten() {
            let next = Sketch::parse(bytes)?;
            match &mut self.sketch {
                Some(sketch) => sketch.merge(&next)?,
                none => *none = Some(next),
            }
        }
        Ok(())
    }
}

impl Accumulator for Seen {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        match (self.of, columns) {
            (Of::Values, [values, rest @ ..]) => self.values(values, rest.first()),
            (_, [sketches]) => self.sketches(sketches),
            _ => Err(FunctionError::internal("a sketch of other columns").into()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states.iter().try_for_each(|state| self.sketches(state))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(match self.of {
            Of::Number => ScalarValue::Int64(Some(self.sketch.as_ref().map_or(0, Sketch::count))),
            _ => ScalarValue::Binary(self.sketch.as_ref().map(Sketch::to_bytes)),
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(self.sketch.as_ref().map(Sketch::to_bytes))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sketch.as_ref().map_or(0, Sketch::size)
    }
}
