//! A join needs an equality between its sides, unless `odps.sql.allow.cartesian` or a MAPJOIN hint does without.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Join, JoinType, LogicalPlan};
use feitian_base::{Kind, Result};
use feitian_sql::Position;

use super::errors::{self, statement_error};

/// Refuses an optimized plan that pairs each row of one table with each of another.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    let mut found = false;
    let look = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node
            && is_cartesian(join)
        {
            found = true;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    look.map_err(errors::engine)?;
    if !found {
        return Ok(());
    }
    let detail = "a join needs an equality between columns of its two sides; a MAPJOIN hint does without, and so does SET \
                  odps.sql.allow.cartesian=true";
    let general = "Cartesian product is not allowed";
    Err(statement_error(Kind::Invalid, "ODPS-0130252", Position::UNKNOWN, general, detail))
}

fn is_cartesian(join: &Join) -> bool {
    let makes_pairs = matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full);
    // One row multiplies nothing. Scalar subqueries are joined so.
    let at_most_one = |side: &LogicalPlan| side.max_rows().is_some_and(|rows| rows <= 1);
    makes_pairs && join.on.is_empty() && !at_most_one(&join.left) && !at_most_one(&join.right)
}
