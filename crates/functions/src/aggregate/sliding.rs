//! SUM and AVG of DOUBLE over frames that move: values come and go, and nothing is taken off a sum.
//!
//! Infinity less infinity is NaN, NaN less NaN too, and what was added to 1e20 is lost: a frame would remember what has left
//! it. So the values of a frame lie in two piles. Onto one they come; when the other one is empty, they are turned over onto
//! it, each with the sum of those below it, and leave it from the top. Each value is added twice.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Float64Type;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use crate::error::FunctionError;

#[derive(Debug, Default)]
pub(super) struct Sliding {
    /// Whether their mean is asked for, not their sum.
    mean: bool,
    /// The newest values, and their sum.
    come: Vec<f64>,
    sum: f64,
    /// For each of the others the sum of it and of all that came between it and the newest ones. The oldest is on top.
    go: Vec<f64>,
}

impl Sliding {
    pub(super) fn sum() -> Self {
        Self::default()
    }

    pub(super) fn mean() -> Self {
        Self { mean: true, ..Self::default() }
    }

    fn turn_over(&mut self) {
        let mut sum = 0.0;
        while let Some(newest) = self.come.pop() {
            sum += newest;
            self.go.push(sum);
        }
        self.sum = 0.0;
    }

    fn value(&self) -> Option<f64> {
        let count = self.come.len() + self.go.len();
        let sum = self.go.last().copied().unwrap_or(0.0) + self.sum;
        match count {
            0 => None,
            _ if self.mean => Some(sum / count as f64),
            _ => Some(sum),
        }
    }
}

/// The values of a column that are there.
fn each(values: &[ArrayRef], mut f: impl FnMut(f64)) -> Result<()> {
    let Some(values) = values.first().and_then(|v| v.as_primitive_opt::<Float64Type>()) else {
        return Err(FunctionError::internal("sums of frames want one column of DOUBLE").into());
    };
    values.iter().flatten().for_each(&mut f);
    Ok(())
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(values, |value| {
            self.come.push(value);
            self.sum += value;
        })
    }

    /// Those leave first that came first.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(values, |_| {
            if self.go.is_empty() {
                self.turn_over();
            }
            self.go.pop();
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.value()))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(FunctionError::internal("a frame is not taken apart").into())
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(FunctionError::internal("a frame is not put together").into())
    }

    fn size(&self) -> usize {
        size_of_val(self) + (self.come.capacity() + self.go.capacity()) * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;

    use super::*;

    fn column(values: &[Option<f64>]) -> [ArrayRef; 1] {
        [Arc::new(Float64Array::from(values.to_vec()))]
    }

    /// The values of frames of two rows.
    fn of_two(mut frame: Sliding, values: &[Option<f64>]) -> Vec<Option<f64>> {
        let mut found = Vec::new();
        for i in 0..values.len() {
            frame.update_batch(&column(&values[i..=i])).expect("values");
            if i >= 2 {
                frame.retract_batch(&column(&values[i - 2..=i - 2])).expect("values");
            }
            found.push(frame.value());
        }
        found
    }

    // Arithmetic.
    #[test]
    fn what_has_left_a_frame_is_forgotten() {
        let values = [Some(1e20), Some(1.0), Some(2.0), None, None, Some(f64::INFINITY), Some(3.0), Some(4.0)];
        let sums = of_two(Sliding::sum(), &values);
        let infinite = Some(f64::INFINITY);
        assert_eq!(sums, [Some(1e20), Some(1e20), Some(3.0), Some(2.0), None, infinite, infinite, Some(7.0)]);
        let means = of_two(Sliding::mean(), &values);
        assert_eq!(means[2..5], [Some(1.5), Some(2.0), None]);
        assert_eq!(means[7], Some(3.5));
    }

    // Arithmetic.
    #[test]
    fn values_leave_in_the_order_in_which_they_came() {
        let mut frame = Sliding::sum();
        frame.update_batch(&column(&[Some(1.0), Some(2.0), Some(4.0)])).expect("values");
        frame.retract_batch(&column(&[Some(1.0)])).expect("values");
        frame.update_batch(&column(&[Some(8.0), Some(16.0)])).expect("values");
        frame.retract_batch(&column(&[Some(2.0), Some(4.0), Some(8.0)])).expect("values");
        assert_eq!(frame.value(), Some(16.0));
        frame.retract_batch(&column(&[Some(16.0)])).expect("values");
        assert_eq!(frame.value(), None);
    }
}
