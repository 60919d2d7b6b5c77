//! What a parsed SQL function says: an expression of its parameters.

use feitian_types::DataType;
use sqlparser::ast::{Expr, ObjectName};

use crate::Position;

/// `CREATE [OR REPLACE] [SQL] FUNCTION [IF NOT EXISTS] f (…) … AS …`, or `FUNCTION f (…) … AS …`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSqlFunction {
    pub or_replace: bool,
    pub if_not_exists: bool,
    /// It is forgotten with the text that it stands in.
    pub temporary: bool,
    pub name: ObjectName,
    pub function: SqlFunction,
    /// The statement as written.
    pub text: String,
}

/// A function that stands for an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlFunction {
    pub parameters: Vec<SqlParameter>,
    pub returns: Option<DataType>,
    /// A parameter is a column of the table [`crate::PARAMETERS`] in it.
    pub body: Expr,
}

/// A parameter of a [`SqlFunction`].
#[derive(Debug, Clone, PartialEq)]
pub struct SqlParameter {
    pub name: String,
    pub ty: DataType,
    /// What it is in calls that leave it out.
    pub default: Option<Expr>,
    pub position: Position,
}
