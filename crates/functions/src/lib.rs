//! MaxCompute's built-in functions on Arrow columns.
//!
//! The registry starts empty and holds only functions whose meaning was compared with MaxCompute's documentation:
//! DataFusion has functions of the same names with reversed arguments or other patterns. Read in this order: [`registry`],
//! `coercion` (which types meet as what), `cast`, `kernel` (the frame of a scalar function), then the families.

mod aggregate;
mod arith;
mod cast;
mod charset;
pub mod coercion;
mod columns;
mod cond;
mod date;
mod digest;
mod docs;
mod error;
mod format;
mod hash;
mod identity;
mod json;
mod kernel;
mod math;
mod nested;
mod net;
mod options;
mod pattern;
mod regexp;
mod sketch;
mod string;
pub mod time;
mod url;
mod window;
mod words;
mod zero;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

pub use aggregate::{aggregate_argument, plan_aggregate, plan_window};
pub use arith::{Arithmetic, Negate, Op};
pub use cast::{Cast, cast_array, castable, double_text, is_plain_widening};
pub use columns::{ColumnPattern, is_column_pattern};
pub use docs::{calls, sql_markdown};
pub use error::FunctionError;
pub use json::json_parts;
pub use options::{Context, FunctionOptions, parse_zone};
pub use window::shape_window;
pub use zero::{OneZero, Zero};

/// All functions by name, lower case.
pub struct Registry {
    pub scalar: HashMap<String, Arc<ScalarUDF>>,
    pub aggregate: HashMap<String, Arc<AggregateUDF>>,
    pub window: HashMap<String, Arc<WindowUDF>>,
    /// Functions that take lambdas.
    pub higher: HashMap<String, Arc<HigherOrderUDF>>,
}

impl Registry {
    /// True if a function of any kind has this name.
    pub fn contains(&self, name: &str) -> bool {
        self.scalar.contains_key(name)
            || self.aggregate.contains_key(name)
            || self.window.contains_key(name)
            || self.higher.contains_key(name)
    }

    /// The names of all functions, in no order. Operators are among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let plain = self.scalar.keys().chain(self.aggregate.keys());
        plain.chain(self.window.keys()).chain(self.higher.keys()).map(String::as_str)
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
        json::functions(),
        words::functions(),
        format::functions(),
        charset::functions(),
        url::functions(),
        net::functions(),
        identity::functions(),
        hash::functions(),
        aggregate::scalars(),
    ];
    for function in families.into_iter().flatten() {
        scalar.insert(function.name.to_string(), Arc::new(function.into_udf()));
    }
    let special = cond::conditionals().into_iter().chain(nested::udfs()).chain(json::udfs()).chain([Negate::udf()]);
    for udf in special {
        scalar.insert(udf.name().to_string(), Arc::new(udf));
    }
    let named = |(name, f): (&str, _)| (name.to_string(), f);
    Registry {
        scalar,
        aggregate: aggregate::functions().into_iter().map(named).collect(),
        window: window::functions().into_iter().map(|(name, f)| (name.to_string(), f)).collect(),
        higher: nested::with_lambdas().into_iter().map(|f| (f.name().to_string(), Arc::new(f))).collect(),
    }
}
