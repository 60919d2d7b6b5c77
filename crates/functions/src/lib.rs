//! MaxCompute's built-in functions on Arrow columns.
//!
//! The registry starts empty and holds only functions whose meaning was compared with MaxCompute's documentation:
//! DataFusion has functions of the same names with reversed arguments or other patterns. Read in this order: [`registry`],
//! `coercion` (which types meet as what), `cast`, `kernel` (the frame of a scalar function), then the families.

mod aggregate;
mod arith;
mod cast;
pub mod coercion;
mod cond;
mod date;
mod digest;
mod error;
mod kernel;
mod math;
mod nested;
mod options;
mod pattern;
mod regexp;
mod string;
pub mod time;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

pub use aggregate::{aggregate_argument, plan_aggregate, plan_window};
pub use arith::{Arithmetic, Negate, Op};
pub use cast::{Cast, cast_array, castable, double_text, is_plain_widening};
pub use error::FunctionError;
pub use options::{Context, FunctionOptions, parse_zone};
pub use window::shape_window;

/// All functions by name, lower case.
pub struct Registry {
    pub scalar: HashMap<String, Arc<ScalarUDF>>,
    pub aggregate: HashMap<String, Arc<AggregateUDF>>,
    pub window: HashMap<String, Arc<WindowUDF>>,
}

impl Registry {
    /// True if a function of any kind has this name.
    pub fn contains(&self, name: &str) -> bool {
        self.scalar.contains_key(name) || self.aggregate.contains_key(name) || self.window.contains_key(name)
    }
}

/// The functions of this build. The same for every session, because plans name functions.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(build);
    &REGISTRY
}

fn build() -> Registry {
    let mut scalar: HashMap<String, Arc<ScalarUDF>> = HashMap::new();
    let families = [
        math::functions(),
        string::functions(),
        regexp::functions(),
        digest::functions(),
        date::functions(),
        cond::functions(),
        nested::functions(),
    ];
    for function in families.into_iter().flatten() {
        scalar.insert(function.name.to_string(), Arc::new(function.into_udf()));
    }
    let special = cond::conditionals().into_iter().chain(nested::udfs()).chain([Negate::udf()]);
    for udf in special {
        scalar.insert(udf.name().to_string(), Arc::new(udf));
    }
    let named = |(name, f): (&str, _)| (name.to_string(), f);
    Registry {
        scalar,
        aggregate: aggregate::functions().into_iter().map(named).collect(),
        window: window::functions().into_iter().map(|(name, f)| (name.to_string(), f)).collect(),
    }
}
