//! Operations on ranges of rows: reading them, and where to cut them for readers at the same time.

use feitian_tables::model::{Direction, GetRange};
use feitian_wire::ots::encode_rows;
use feitian_wire::ots::errors::parameter_invalid;
use feitian_wire::ots::messages::{
    ComputeSplitPointsBySizeRequest, ComputeSplitPointsBySizeResponse, Direction as Way, GetRangeRequest,
    GetRangeResponse, SplitLocation, encode,
};

use super::{OtsAnswer, OtsCall, read, told};

/// What a split size is counted in when the request does not say.
const SPLIT_UNIT_BYTES: i64 = 100 << 20;

pub async fn get(call: OtsCall) -> OtsAnswer {
    let request: GetRangeRequest = call.message()?;
    let direction = match request.direction() {
        Way::Forward => Direction::Forward,
        Way::Backward => Direction::Backward,
    };
    let range = GetRange {
        table: request.table_name,
        direction,
        begin: read::key(&request.inclusive_start_primary_key)?,
        end: read::key(&request.exclusive_end_primary_key)?,
        limit: request.limit,
        select: read::select(read::wanted!(request))?,
        transaction: request.transaction_id,
    };
    let page = call.tables.get_range(&call.instance, range).await?;
    Ok(encode(&GetRangeResponse {
        consumed: told::consumed(page.consumed),
        rows: encode_rows(&page.rows),
        next_start_primary_key: page.next.map(told::key),
        next_token: page.next_token,
    }))
}

pub async fn split_points(call: OtsCall) -> OtsAnswer {
    let request: ComputeSplitPointsBySizeRequest = call.message()?;
    let unit = request.split_size_unit_in_byte.unwrap_or(SPLIT_UNIT_BYTES);
    let bytes = request.split_size.checked_mul(unit).filter(|_| request.split_size > 0 && unit > 0);
    let Some(bytes) = bytes.and_then(|bytes| u64::try_from(bytes).ok()) else {
        return Err(parameter_invalid("The split size must be greater than 0."));
    };
    if request.split_point_limit.is_some() {
        return Err(parameter_invalid("split_point_limit is not supported: leave it out, or ask for larger splits."));
    }
    let splits = call.tables.split_points(&call.instance, &request.table_name, bytes).await?;
    let location = |(location, repeat)| SplitLocation { location, repeat };
    Ok(encode(&ComputeSplitPointsBySizeResponse {
        consumed: told::consumed(splits.consumed),
        schema: splits.schema.into_iter().map(told::key_schema).collect(),
        split_points: splits.points.into_iter().map(told::key).collect(),
        locations: splits.locations.into_iter().map(location).collect(),
    }))
}
