//! Errors of functions: a MaxCompute code, the general description that belongs to it, and the details.

use std::fmt;

use datafusion::error::DataFusionError;

/// An error with a code of MaxCompute's SQL engine, for example `ODPS-0121145`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    pub code: &'static str,
    pub general: &'static str,
    pub details: String,
}

impl FunctionError {
    fn new(code: &'static str, general: &'static str, details: impl Into<String>) -> Self {
        Self { code, general, details: details.into() }
    }

    /// Something that does not make sense whatever the data.
    pub fn semantic(details: impl Into<String>) -> Self {
        Self::new("ODPS-0130071", "Semantic analysis exception", details)
    }

    /// A result that its type cannot hold.
    pub fn overflow(details: impl Into<String>) -> Self {
        Self::new("ODPS-0121145", "Data overflow", details)
    }

    /// A value that cannot be converted.
    pub fn cast(value: &str, from: &str, to: &str) -> Self {
        let shown: String = value.chars().take(64).collect();
        let details = format!("In function cast, value '{shown}' cannot be casted from {from} to {to}.");
        Self::new("ODPS-0123091", "Illegal type cast", details)
    }

    /// Too few or too many arguments.
    pub fn arity(function: &str, needs: &str, has: usize) -> Self {
        Self::new(
            "ODPS-0130221",
            "Invalid number of arguments",
            format!("function {function} needs {needs} parameters, actually have {has}"),
        )
    }

    /// An argument of the wrong type; `position` counts from 1.
    pub fn argument_type(function: &str, position: usize, has: &str, expects: &str) -> Self {
        Self::new(
            "ODPS-0130121",
            "Invalid argument type",
            format!("invalid type {has} of argument {position} for function {function}, expect {expects}"),
        )
    }

    /// An argument that must be a literal.
    pub fn constant(function: &str, position: usize) -> Self {
        Self::new(
            "ODPS-0121105",
            "Constant argument value expected",
            format!("argument {position} of function {function} must be a constant"),
        )
    }

    /// An argument outside what the function accepts.
    pub fn range(details: impl Into<String>) -> Self {
        Self::new("ODPS-0121065", "Argument value out of range", details)
    }

    /// Arguments that do not fit together.
    pub fn arguments(details: impl Into<String>) -> Self {
        Self::new("ODPS-0121095", "Invalid arguments", details)
    }

    /// A regular expression that does not compile.
    pub fn pattern(details: impl Into<String>) -> Self {
        Self::new("ODPS-0121011", "Invalid regular expression pattern", details)
    }

    /// Something that the original offers and we do not.
    pub fn unsupported(details: impl Into<String>) -> Self {
        Self::new("ODPS-0121125", "Unsupported function or operation", details)
    }

    /// What the user's own code says.
    pub fn user(details: impl Into<String>) -> Self {
        Self::new("ODPS-0123131", "User defined function exception", details)
    }

    /// A window function that is written wrongly.
    pub fn window(details: impl Into<String>) -> Self {
        Self::new("ODPS-0130181", "Window function exception", details)
    }

    /// Branches of a set operation that do not fit.
    pub fn union(details: impl Into<String>) -> Self {
        Self::new("ODPS-0130241", "Illegal union operation", details)
    }

    /// A state that should not be possible.
    pub fn internal(details: impl Into<String>) -> Self {
        Self::new("ODPS-0010000", "System internal error", details)
    }
}

/// `General description - details`, without code and position.
impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.general, self.details)
    }
}

impl std::error::Error for FunctionError {}

impl From<FunctionError> for DataFusionError {
    fn from(e: FunctionError) -> Self {
        DataFusionError::External(Box::new(e))
    }
}
