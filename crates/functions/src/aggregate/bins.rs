//! NUMERIC_HISTOGRAM: numbers in a few bins, each between the numbers around it.
//!
//! Yael Ben-Haim and Elad Tom-Tov, "A Streaming Parallel Decision Tree Algorithm", Journal of Machine Learning Research 11
//! (2010): a number makes a bin of its own, and while there are too many bins, the two that are nearest become one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, MapArray, StructArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::coercion::{is_text, map_type, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;

const NAME: &str = "numeric_histogram";

pub(super) const DOCS: &[Entry] = &[(
    NAME,
    "numeric_histogram(bins, x[, weight])",
    "A map of the middles of so many bins to about how many numbers, or which weight, each holds.",
)];

/// More bins than anybody draws: each number that comes is compared with all of them.
const MAX_BINS: i64 = 10_000;

#[derive(Debug, PartialEq, Eq, Hash)]
struct NumericHistogram {
    signature: Signature,
}

pub(super) fn function() -> (&'static str, AggregateUDF) {
    let signature = Signature::user_defined(Volatility::Immutable);
    (NAME, AggregateUDF::from(NumericHistogram { signature }))
}

fn coerced(types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    if !(2..=3).contains(&types.len()) {
        return Err(FunctionError::arity(NAME, "2 to 3", types.len()));
    }
    let mut out = Vec::with_capacity(types.len());
    for (i, ty) in types.iter().enumerate() {
        let (fits, to, expects) = match i {
            0 => (ty.is_integer(), DataType::Int64, "BIGINT"),
            _ => (ty.is_numeric() || is_text(ty), DataType::Float64, "DOUBLE"),
        };
        if !fits && !ty.is_null() {
            return Err(FunctionError::argument_type(NAME, i + 1, &type_name(ty), expects));
        }
        out.push(to);
    }
    Ok(out)
}

fn result_type() -> DataType {
    map_type(DataType::Float64, DataType::Float64)
}

impl AggregateUDFImpl for NumericHistogram {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Errors wait for `return_type`: the planner turns those of this function into words of its own.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(coerced(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        coerced(types)?;
        Ok(result_type())
    }

    /// How many bins there may be, their middles, and their heights.
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |what: &str, ty| Arc::new(Field::new(format_state_name(args.name, what), ty, true));
        let list = || DataType::new_list(DataType::Float64, true);
        Ok(vec![field("most", DataType::Int64), field("middles", list()), field("heights", list())])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(FunctionError::unsupported(format!("DISTINCT in {NAME} is not supported yet")).into());
        }
        Ok(Box::new(Bins::default()))
    }
}

/// The bins so far, in ascending order of their middles.
#[derive(Debug, Default)]
struct Bins {
    most: Option<usize>,
    bins: Vec<(f64, f64)>,
}

impl Bins {
    fn set_most(&mut self, most: i64) -> Result<()> {
        if !(1..=MAX_BINS).contains(&most) {
            let text = format!("{NAME}: the number of bins must be from 1 to {MAX_BINS}, not {most}");
            return Err(FunctionError::range(text).into());
        }
        let most = most as usize;
        if self.most.is_some_and(|known| known != most) {
            return Err(FunctionError::constant(NAME, 1).into());
        }
        self.most = Some(most);
        Ok(())
    }

    fn add(&mut self, middle: f64, height: f64) {
        match self.bins.binary_search_by(|(other, _)| other.total_cmp(&middle)) {
            Ok(at) => self.bins[at].1 += height,
            Err(at) => self.bins.insert(at, (middle, height)),
        }
        while self.most.is_some_and(|most| self.bins.len() > most) {
            self.join_nearest();
        }
    }

    /// The first of the pairs that are equally near.
    fn join_nearest(&mut self) {
        let gap = |at: usize| self.bins[at + 1].0 - self.bins[at].0;
        let Some(at) = (0..self.bins.len().saturating_sub(1)).min_by(|a, b| gap(*a).total_cmp(&gap(*b))) else {
            return;
        };
        let (next, more) = self.bins.remove(at + 1);
        let (middle, height) = self.bins[at];
        let both = height + more;
        let joined = if both == 0.0 { middle } else { (middle * height + next * more) / both };
        self.bins[at] = (joined, both);
    }

    fn column(&self, part: impl Fn(&(f64, f64)) -> f64) -> Float64Array {
        self.bins.iter().map(|bin| Some(part(bin))).collect()
    }
}

impl Accumulator for Bins {
    /// Rows whose number, or weight, is NULL are left out; NULL bins give NULL.
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [most, numbers, rest @ ..] = columns else {
            return Err(FunctionError::internal("a histogram of other columns").into());
        };
        let (most, numbers) = (most.as_primitive::<Int64Type>(), numbers.as_primitive::<Float64Type>());
        let weights = rest.first().map(|weights| weights.as_primitive::<Float64Type>());
        for row in (0..numbers.len()).filter(|row| most.is_valid(*row)) {
            self.set_most(most.value(row))?;
            let weight = match weights {
                Some(weights) => weights.is_valid(row).then(|| weights.value(row)),
                None => Some(1.0),
            };
            if let Some(weight) = weight.filter(|_| numbers.is_valid(row)) {
                self.add(numbers.value(row), weight);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [most, middles, heights] = states else {
            return Err(FunctionError::internal("a histogram has three states").into());
        };
        let most = most.as_primitive::<Int64Type>();
        let (middles, heights) = (middles.as_list::<i32>(), heights.as_list::<i32>());
        for row in (0..most.len()).filter(|row| most.is_valid(*row)) {
            self.set_most(most.value(row))?;
            let (middles, heights) = (middles.value(row), heights.value(row));
            let (middles, heights) = (middles.as_primitive::<Float64Type>(), heights.as_primitive::<Float64Type>());
            for (middle, height) in middles.values().iter().zip(heights.values()) {
                self.add(*middle, *height);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let ty = result_type();
        let DataType::Map(field, _) = &ty else { return Err(FunctionError::internal("a map is no map").into()) };
        let DataType::Struct(kv) = field.data_type().clone() else {
            return Err(FunctionError::internal("a map without entries").into());
        };
        if self.bins.is_empty() {
            return ScalarValue::try_from_array(&new_null_array(&ty, 1), 0);
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(self.column(|bin| bin.0)), Arc::new(self.column(|bin| bin.1))];
        let entries = StructArray::try_new(kv, columns, None)?;
        let offsets = OffsetBuffer::from_lengths([self.bins.len()]);
        ScalarValue::try_from_array(&MapArray::try_new(field.clone(), offsets, entries, None, false)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |column: Float64Array| {
            let values: Vec<ScalarValue> = column.iter().map(ScalarValue::Float64).collect();
            ScalarValue::List(ScalarValue::new_list(&values, &DataType::Float64, true))
        };
        let most = ScalarValue::Int64(self.most.map(|most| most as i64));
        Ok(vec![most, list(self.column(|bin| bin.0)), list(self.column(|bin| bin.1))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bins.capacity() * size_of::<(f64, f64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the paper, section 2.1: 23, 19, 10, 16, 36, 2, 9, 32, 30, 45 in five bins, a step at a time.
    #[test]
    fn the_example_of_the_paper() {
        let mut bins = Bins { most: Some(5), bins: Vec::new() };
        [23.0, 19.0, 10.0, 16.0, 36.0, 2.0, 9.0].into_iter().for_each(|x| bins.add(x, 1.0));
        assert_eq!(bins.bins, [(2.0, 1.0), (9.5, 2.0), (17.5, 2.0), (23.0, 1.0), (36.0, 1.0)]);
        let mut more = Bins { most: Some(5), bins: Vec::new() };
        [32.0, 30.0, 45.0].into_iter().for_each(|x| more.add(x, 1.0));
        more.bins.iter().for_each(|(x, n)| bins.add(*x, *n));
        let near = |(x, n): &(f64, f64)| ((x * 100.0).round() / 100.0, *n);
        let found: Vec<(f64, f64)> = bins.bins.iter().map(near).collect();
        assert_eq!(found, [(2.0, 1.0), (9.5, 2.0), (19.33, 3.0), (32.67, 3.0), (45.0, 1.0)]);
    }
}
