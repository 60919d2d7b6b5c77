//! VALUES: keeps the engine's planner from judging the types of cells, which follow MaxCompute's rules.
//!
//! The planner wants every cell of a column to have one type and one metadata, so that `(DATETIME '…'), (NULL)` would be
//! refused. Each cell is planned inside a call that has the cell's type and no metadata, and `coerce` takes the calls off
//! again, with the casts to a common type that the planner put around them.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use feitian_functions::FunctionError;
use sqlparser::ast::{
    Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    SetExpr, UnaryOperator,
};

/// No name that a user can write is like it.
pub(super) const CELL: &str = "values cell";

/// Puts the cells of every VALUES in `body` into calls of [`CELL`]. Queries inside have their own turn.
pub(super) fn hide_cells(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => {
            let cells = values.rows.iter_mut().flat_map(|row| row.content.iter_mut());
            for cell in cells.filter(|cell| !is_plain(cell)) {
                let inner = std::mem::replace(cell, Ast::Identifier(Ident::new("")));
                *cell = Ast::Function(call(inner));
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            hide_cells(left);
            hide_cells(right);
        }
        _ => {}
    }
}

/// Numbers, strings and NULLs have no metadata to hide, and there may be very many of them.
fn is_plain(cell: &Ast) -> bool {
    match cell {
        Ast::Value(_) => true,
        Ast::UnaryOp { op: UnaryOperator::Minus, expr } => matches!(**expr, Ast::Value(_)),
        _ => false,
    }
}

fn call(cell: Ast) -> Function {
    let args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(cell))];
    Function {
        name: ObjectName::from(vec![Ident::new(CELL)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// The cell as it was written: without the call of [`CELL`], and without the type that the planner gave it. One that the
/// user gave is inside a call.
pub(super) fn shown(cell: Expr) -> Expr {
    match cell {
        Expr::Literal(value, metadata) if value.is_null() => Expr::Literal(ScalarValue::Null, metadata),
        Expr::Cast(cast) => shown(*cast.expr),
        Expr::ScalarFunction(mut call) if call.func.name() == CELL && call.args.len() == 1 => call.args.remove(0),
        other => other,
    }
}

/// The field of a column of VALUES: `ty`, and what its cells say of it if all but the NULLs say the same.
pub(super) fn field<'a>(name: &str, ty: &DataType, cells: impl Iterator<Item = &'a Expr>) -> Result<Field> {
    let none = DFSchema::empty();
    let mut known: Option<HashMap<String, String>> = None;
    for cell in cells.filter(|c| !matches!(c, Expr::Literal(value, _) if value.is_null())) {
        let (_, of_cell) = cell.to_field(&none)?;
        let same = of_cell.data_type() == ty && known.as_ref().is_none_or(|k| k == of_cell.metadata());
        if !same {
            return Ok(Field::new(name, ty.clone(), true));
        }
        known = Some(of_cell.metadata().clone());
    }
    Ok(Field::new(name, ty.clone(), true).with_metadata(known.unwrap_or_default()))
}

/// The call for the planner; it is gone before anything runs.
pub(super) fn cell_function() -> ScalarUDF {
    ScalarUDF::from(Cell { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cell {
    signature: Signature,
}

impl ScalarUDFImpl for Cell {
    fn name(&self) -> &str {
        CELL
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(FunctionError::internal("a cell of VALUES outside VALUES").into())
    }
}
