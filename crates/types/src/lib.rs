//! MaxCompute's types and columns, and the Arrow type that stands for each inside feitian.
//!
//! [`DataType`] parses and prints the type grammar that clients use; [`Column`] and [`TableSchema`] describe tables;
//! [`arrow`] maps both to Arrow and back. Protocol documents and SQL know these types; none of them knows the others.

pub mod arrow;
mod data_type;
mod schema;

pub use data_type::{DataType, TypeError};
pub use schema::{Column, PartitionSpec, TableSchema};
