//! Filters of reads and conditions of writes.
//!
//! On the wire a filter is a message whose content is another message as bytes, and a composite holds filters again:
//! they nest as deep as their sender likes. They are read one layer at a time, and depth and number have a bound.

use feitian_base::Result;
use prost::Message;

use super::errors::parameter_invalid;
use super::plain;
use super::shape::What::{Bytes, Enum, Exact as Inner, Number, Text};
use super::shape::{self, Shape, may, must};
use super::value::Value;

/// What must hold of a row, or which of its columns are wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Compares a column, which may be one of the key. Values of different types never compare as true.
    Compare {
        op: Compare,
        column: String,
        /// Without a meaning where `op` asks whether there is the column.
        value: Value,
        /// What the comparison is if the row has no such column.
        pass_if_missing: bool,
        /// Otherwise one version for which the comparison is true is enough.
        latest_only: bool,
        transfer: Option<Transfer>,
    },
    Not(Box<Filter>),
    /// Two or more.
    And(Vec<Filter>),
    /// Two or more.
    Or(Vec<Filter>),
    /// Leaves out `offset` columns, in the order of their names, and gives the next `limit`. Only reads have it.
    Page {
        offset: u32,
        limit: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    Equal,
    NotEqual,
    GreaterThan,
    GreaterEqual,
    LessThan,
    LessEqual,
    /// The row has the column; newer clients ask so.
    Exist,
    NotExist,
}

/// What is compared instead of a column's text: the first group of a regular expression, as another type. No match is
/// false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub regex: String,
    pub cast: Cast,
}

/// The type that a [`Transfer`] makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cast {
    Int,
    Double,
    Str,
    Bin,
}

/// How large a filter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterLimits {
    /// Filters within filters; a comparison alone is 1 deep.
    pub depth: usize,
    /// Comparisons and pages in all.
    pub conditions: usize,
}

impl Default for FilterLimits {
    /// 10 deep, 32 conditions.
    fn default() -> Self {
        Self { depth: 10, conditions: 32 }
    }
}

/// Reads a filter within the default limits.
pub fn decode_filter(bytes: &[u8]) -> Result<Filter> {
    decode_filter_within(bytes, FilterLimits::default())
}

/// Reads a filter within `limits`.
pub fn decode_filter_within(bytes: &[u8], limits: FilterLimits) -> Result<Filter> {
    let envelope: Envelope = layer(&ENVELOPE, bytes)?;
    let mut conditions = 0;
    read(&envelope, 1, limits, &mut conditions)
}

/// The bytes of a filter, as clients send them.
pub fn encode_filter(filter: &Filter) -> Vec<u8> {
    write(filter).encode_to_vec()
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", required, tag = "2")]
    filter: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Single {
    #[prost(int32, required, tag = "1")]
    comparator: i32,
    #[prost(string, required, tag = "2")]
    column_name: String,
    #[prost(bytes = "vec", required, tag = "3")]
    column_value: Vec<u8>,
    #[prost(bool, required, tag = "4")]
    filter_if_missing: bool,
    #[prost(bool, required, tag = "5")]
    latest_version_only: bool,
    #[prost(message, optional, tag = "6")]
    value_trans_rule: Option<Rule>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Rule {
    #[prost(string, required, tag = "1")]
    regex: String,
    #[prost(int32, optional, tag = "2")]
    cast_type: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Composite {
    #[prost(int32, required, tag = "1")]
    combinator: i32,
    #[prost(message, repeated, tag = "2")]
    sub_filters: Vec<Envelope>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pagination {
    #[prost(int32, required, tag = "1")]
    offset: i32,
    #[prost(int32, required, tag = "2")]
    limit: i32,
}

mod kind {
    pub(super) const SINGLE: i32 = 1;
    pub(super) const COMPOSITE: i32 = 2;
    pub(super) const PAGINATION: i32 = 3;
}

mod combinator {
    pub(super) const NOT: i32 = 1;
    pub(super) const AND: i32 = 2;
    pub(super) const OR: i32 = 3;
}

static ENVELOPE: Shape = Shape { name: "Filter", fields: &[must(1, Enum(&[1, 2, 3])), must(2, Bytes)] };
static SINGLE: Shape = Shape {
    name: "SingleColumnValueFilter",
    fields: &[
        must(1, Enum(&[1, 2, 3, 4, 5, 6, 7, 8])),
        must(2, Text),
        must(3, Bytes),
        must(4, Number),
        must(5, Number),
        may(6, Inner(&RULE)),
    ],
};
// VT_NULL, 6, has a number and is no type that a text could become.
static RULE: Shape = Shape { name: "ValueTransferRule", fields: &[must(1, Text), may(2, Enum(&[0, 1, 3, 7]))] };
static COMPOSITE: Shape =
    Shape { name: "CompositeColumnValueFilter", fields: &[must(1, Enum(&[1, 2, 3])), may(2, Inner(&ENVELOPE))] };
static PAGINATION: Shape = Shape { name: "ColumnPaginationFilter", fields: &[must(1, Number), must(2, Number)] };

fn failed(why: impl std::fmt::Display) -> feitian_base::Error {
    // The first three words are the service's.
    parameter_invalid(format!("Deserialize filter failed. {why}"))
}

/// Reads one message, what it nests in bytes excepted. A field that is not known would change what matches, so it is an
/// error.
fn layer<M: Message + Default>(shape: &Shape, bytes: &[u8]) -> Result<M> {
    shape::check_exact(shape, bytes).map_err(|e| failed(e.message()))?;
    M::decode(bytes).map_err(failed)
}

fn read(envelope: &Envelope, depth: usize, limits: FilterLimits, conditions: &mut usize) -> Result<Filter> {
    if depth > limits.depth {
        return Err(parameter_invalid(format!("The depth of the filter exceeds the limit: {}.", limits.depth)));
    }
    if envelope.kind == kind::COMPOSITE {
        return composite(&envelope.filter, depth, limits, conditions);
    }
    *conditions += 1;
    if *conditions > limits.conditions {
        return Err(too_many(limits));
    }
    if envelope.kind == kind::PAGINATION { page(&envelope.filter) } else { single(&envelope.filter) }
}

fn too_many(limits: FilterLimits) -> feitian_base::Error {
    parameter_invalid(format!("The number of filters exceeds the limit: {}.", limits.conditions))
}

fn composite(bytes: &[u8], depth: usize, limits: FilterLimits, conditions: &mut usize) -> Result<Filter> {
    let message: Composite = layer(&COMPOSITE, bytes)?;
    let parts = &message.sub_filters;
    if parts.len() > limits.conditions {
        return Err(too_many(limits));
    }
    if message.combinator == combinator::NOT {
        let [part] = &parts[..] else {
            let n = parts.len();
            return Err(parameter_invalid(format!("The NOT of a filter needs exactly one sub-filter, not {n}.")));
        };
        return Ok(Filter::Not(Box::new(read(part, depth + 1, limits, conditions)?)));
    }
    if parts.len() < 2 {
        let n = parts.len();
        return Err(parameter_invalid(format!("The AND or OR of a filter needs at least two sub-filters, not {n}.")));
    }
    let filters: Result<Vec<Filter>> = parts.iter().map(|part| read(part, depth + 1, limits, conditions)).collect();
    if message.combinator == combinator::AND { filters.map(Filter::And) } else { filters.map(Filter::Or) }
}

fn single(bytes: &[u8]) -> Result<Filter> {
    let message: Single = layer(&SINGLE, bytes)?;
    let op = match message.comparator {
        1 => Compare::Equal,
        2 => Compare::NotEqual,
        3 => Compare::GreaterThan,
        4 => Compare::GreaterEqual,
        5 => Compare::LessThan,
        6 => Compare::LessEqual,
        7 => Compare::Exist,
        _ => Compare::NotExist,
    };
    let value = plain::decode_value(&message.column_value).map_err(|e| failed(e.message()))?;
    let transfer = message.value_trans_rule.map(|rule| {
        let cast = match rule.cast_type {
            Some(0) => Cast::Int,
            Some(1) => Cast::Double,
            Some(7) => Cast::Bin,
            _ => Cast::Str,
        };
        Transfer { regex: rule.regex, cast }
    });
    Ok(Filter::Compare {
        op,
        column: message.column_name,
        value,
        pass_if_missing: !message.filter_if_missing,
        latest_only: message.latest_version_only,
        transfer,
    })
}

fn page(bytes: &[u8]) -> Result<Filter> {
    let message: Pagination = layer(&PAGINATION, bytes)?;
    let (Ok(offset), Ok(limit)) = (u32::try_from(message.offset), u32::try_from(message.limit)) else {
        let (offset, limit) = (message.offset, message.limit);
        let why = format!("The offset {offset} or limit {limit} of the column pagination filter is negative.");
        return Err(parameter_invalid(why));
    };
    Ok(Filter::Page { offset, limit })
}

fn write(filter: &Filter) -> Envelope {
    let several = |combinator, filters: &[Filter]| {
        let message = Composite { combinator, sub_filters: filters.iter().map(write).collect() };
        Envelope { kind: kind::COMPOSITE, filter: message.encode_to_vec() }
    };
    match filter {
        Filter::Not(inner) => several(combinator::NOT, std::slice::from_ref(&**inner)),
        Filter::And(filters) => several(combinator::AND, filters),
        Filter::Or(filters) => several(combinator::OR, filters),
        Filter::Page { offset, limit } => {
            let [offset, limit] = [offset, limit].map(|n| i32::try_from(*n).unwrap_or(i32::MAX));
            Envelope { kind: kind::PAGINATION, filter: Pagination { offset, limit }.encode_to_vec() }
        }
        Filter::Compare { op, column, value, pass_if_missing, latest_only, transfer } => {
            let rule = transfer.as_ref().map(|transfer| Rule {
                regex: transfer.regex.clone(),
                cast_type: Some(match transfer.cast {
                    Cast::Int => 0,
                    Cast::Double => 1,
                    Cast::Str => 3,
                    Cast::Bin => 7,
                }),
            });
            let message = Single {
                // The comparators are numbered from 1 in the order of the enum.
                comparator: *op as i32 + 1,
                column_name: column.clone(),
                column_value: plain::encode_value(value),
                filter_if_missing: !pass_if_missing,
                latest_version_only: *latest_only,
                value_trans_rule: rule,
            };
            Envelope { kind: kind::SINGLE, filter: message.encode_to_vec() }
        }
    }
}
