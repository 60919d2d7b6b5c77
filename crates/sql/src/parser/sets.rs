//! INTERSECT ALL and EXCEPT ALL, where a row counts as often as it occurs.
//!
//! The engine's own look for a row and forget how often they have found it. So these become
//! `SELECT * FROM ((left) SEMI JOIN (right))`, or ANTI JOIN. No text makes that form, so that the planner can tell it from
//! every other join.

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    Join, JoinConstraint, JoinOperator, SelectItem, SetExpr, SetOperator, SetQuantifier, TableFactor, TableWithJoins,
    WildcardAdditionalOptions,
};

use super::cursor::{JOIN_HEIGHT, Parser, QUERY_HEIGHT};
use super::from::plain_query;
use super::query::empty_select;
use crate::Result;

impl Parser<'_> {
    pub(super) fn set_operation(
        &mut self,
        left: SetExpr,
        op: SetOperator,
        set_quantifier: SetQuantifier,
        right: SetExpr,
    ) -> Result<SetExpr> {
        let constraint = JoinConstraint::None;
        let join_operator = match (op, set_quantifier) {
            (SetOperator::Intersect, SetQuantifier::All) => JoinOperator::Semi(constraint),
            (SetOperator::Except, SetQuantifier::All) => JoinOperator::Anti(constraint),
            _ => {
                let (left, right) = (Box::new(left), Box::new(right));
                return Ok(SetExpr::SetOperation { left, op, set_quantifier, right });
            }
        };
        self.grow(QUERY_HEIGHT + JOIN_HEIGHT)?;
        let table = |body| {
            let subquery = Box::new(plain_query(body));
            TableFactor::Derived { lateral: false, subquery, alias: None, sample: None }
        };
        let joins = vec![Join { relation: table(right), global: false, join_operator }];
        let table_with_joins = Box::new(TableWithJoins { relation: table(left), joins });
        let relation = TableFactor::NestedJoin { table_with_joins, alias: None };
        let mut select = empty_select(AttachedToken::empty());
        select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
        Ok(SetExpr::Select(Box::new(select)))
    }
}
