//! The front end of MaxCompute SQL: text in, statements out. It knows no catalog, no engine and no data.
//!
//! [`parse_script`] is the way in: [`splitter`] cuts the text at `;`, [`lexer`] cuts statements into tokens with their
//! places, `parser` makes [`Statement`]s of them. Queries are sqlparser syntax trees; [`check_query`] refuses what of them
//! the engine does not act on. [`SqlError`] is the one error, with the code and the place that MaxCompute reports.

mod error;
pub mod lexer;
pub mod literal;
mod parser;
mod position;
mod refuse;
mod render;
pub mod splitter;
mod sql_function;
mod statement;
pub mod types;

pub use error::{Result, SqlError};
pub use parser::{
    Compute, IN_HAND, Next, PARAMETERS, Parsed, Program, Reader, Script, UNNEST_WITH_OFFSET, is_table_function,
    lift_table_function, parse_query, parse_script, parse_sql_function,
};
pub use position::Position;
pub use refuse::check_query;
pub use render::object_parts;
pub use splitter::{Piece, split};
pub use sql_function::{CreateSqlFunction, SqlFunction, SqlParameter};
pub use statement::{
    AlterOp, AlterTable, Assignment, AutoPartition, CloneTable, Clustering, ColumnRef, CreateExternal,
    CreateMaterialized, CreateTable, CreateView, Dml, DropTable, Existing, Files, Holder, Insert, Listed, Load,
    MergeAction, MergeClause, PartitionCondition, PartitionOp, PartitionTerm, Place, Repair, RestoreTable, RowChange,
    Security, SecurityObject, Shards, Statement, Truncate, Unload,
};
