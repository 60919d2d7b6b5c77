//! Messages and filters of the table store: known bytes, round trips, damage and greed.

use std::fmt::Debug;

use feitian_base::{Error, Kind};
use feitian_wire::ots::filter::{FilterLimits, decode_filter_within, encode_filter};
use feitian_wire::ots::messages::{
    BatchGetRowRequest, BatchWriteRowRequest, CapacityUnit, ConsumedCapacity, CreateTableRequest, DefinedColumnSchema,
    DefinedColumnType, DeleteTableRequest, DescribeStreamRequest, DescribeTableResponse, Direction, GetRangeRequest,
    GetRangeResponse, GetRowRequest, GetRowResponse, GetShardIteratorRequest, GetStreamRecordRequest, IndexMeta,
    IndexSyncPhase, IndexType, IndexUpdateMode, ListTableRequest, OperationType, PartitionRange, PrimaryKeyOption,
    PrimaryKeySchema, PrimaryKeyType, PutRowRequest, PutRowResponse, Request, ReservedThroughput, ReturnContent,
    ReturnType, RowInBatchWriteRowRequest, SqlQueryRequest, SseSpecification, StartLocalTransactionRequest,
    StreamSpecification, TableInBatchGetRowRequest, TableInBatchWriteRowRequest, TableMeta, TableOptions, TableStatus,
    TimeRange, UpdateTableRequest, decode, decode_answer, encode,
};
use feitian_wire::ots::{Cast, Compare, Filter, KeyColumn, KeyValue, Transfer, Value, decode_filter, decode_key};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::hex;
use crate::ots_plain::any_value;

/// What a client sees: the reason, with nothing else wrong.
fn refused<T: Debug>(result: feitian_base::Result<T>) -> String {
    let e: Error = result.unwrap_err();
    assert_eq!((e.kind(), e.code()), (Kind::Invalid, "OTSParameterInvalid"), "{e}");
    e.message().to_string()
}

// Bytes: the request is what the Python SDK 6.1.0 sends, the answers what protobuf's own library for Python writes.
const GET_ROW: &str = "0a0174121e7500000001030403000000706b3105070000000302000000687a0ae809eb2801";

#[test]
fn the_worked_examples_are_read_and_written_to_the_byte() {
    let request: GetRowRequest = decode(&hex(GET_ROW)).unwrap();
    assert_eq!((request.table_name.as_str(), request.max_versions), ("t", Some(1)));
    let key = KeyColumn { name: "pk1".to_string(), value: KeyValue::Str("hz".to_string()) };
    assert_eq!(decode_key(&request.primary_key).unwrap(), [key]);
    assert_eq!(encode(&request), hex(GET_ROW));

    let missing = GetRowResponse { consumed: ConsumedCapacity::of(1, 0), ..Default::default() };
    assert_eq!(encode(&missing), hex("0a060a04080110001200"));
    let written = PutRowResponse { consumed: ConsumedCapacity::of(0, 1), row: None };
    assert_eq!(encode(&written), hex("0a060a0408001001"));
    let capacity_unit = CapacityUnit { read: Some(1), write: None };
    let nothing = GetRangeResponse { consumed: ConsumedCapacity { capacity_unit }, ..Default::default() };
    assert_eq!(encode(&nothing), hex("0a040a0208011200"));
    assert_eq!(decode_answer::<GetRangeResponse>(&hex("0a040a0208011200")).unwrap(), nothing);
}

// From: `table_store.proto` of the Go SDK, where the status is required. By hand: the empty messages before it.
#[test]
fn the_status_of_a_table_is_always_there() {
    let table_status = TableStatus::Active.into();
    let described = DescribeTableResponse { table_status, ..Default::default() };
    assert_eq!(encode(&described), hex("0a020a00 12040a001000 1a00 2001"));
    // The Java SDK does not know it, so other servers may leave it out: their answers are read all the same.
    assert_eq!(decode_answer::<DescribeTableResponse>(&hex("0a020a00 12040a001000 1a00")).unwrap(), described);
}

#[test]
fn a_message_cut_short_is_an_error() {
    let bytes = hex(GET_ROW);
    // The last field is two bytes and may be left out.
    let without = bytes.len() - 2;
    for at in (0..bytes.len()).filter(|at| *at != without) {
        refused(decode::<GetRowRequest>(&bytes[..at]));
    }
    assert_eq!(decode::<GetRowRequest>(&bytes[..without]).unwrap().max_versions, None);
}

// From: `table_store.proto` of the Python SDK: numbers and types of fields.
#[test]
fn a_field_that_is_missing_or_wrong_is_named() {
    for (body, words) in [
        ("0a0174 1200", "lacks its field 3"),
        ("1200 1a020800", "lacks its field 1"),
        // A condition without its expectation, and with one that there is not.
        ("0a0174 1200 1a00", "Condition lacks its field 1"),
        ("0a0174 1200 1a020803", "field 1 of Condition is 3"),
        ("0a0174 1200 1a0b08ffffffffffffffffff01", "field 1 of Condition is -1"),
        // Nothing of a condition may be passed over, since the write would happen where it should not.
        ("0a0174 1200 1a0408002801", "Condition has a field 5"),
        ("0801 1200 1a020800", "field 1 of Request has the wire type 0"),
        ("0a01ff 1200 1a020800", "field 1 of Request is not UTF-8"),
        // Groups and fixed numbers are not used.
        ("0b0c", "wire type 3"),
        ("0d01020304", "wire type 5"),
        // A number of eleven bytes, and a length of 2^64 - 1.
        ("ffffffffffffffffffff01", "64 bits"),
        ("0affffffffffffffffff01", "ends early"),
    ] {
        let why = refused(decode::<PutRowRequest>(&hex(body)));
        assert!(why.contains(words), "{body}: {why}");
    }
    refused(decode::<GetRangeRequest>(&hex("0a0174 1002 3a00 4200")));
    assert_eq!(decode::<GetRangeRequest>(&hex("0a0174 1001 3a00 4200")).unwrap().direction(), Direction::Backward);
    decode::<ListTableRequest>(b"").unwrap();
}

// From: the protocol buffers documentation (a parser passes over a field that it does not know) and `table_store.proto`
// of the Go SDK, which sends the hints of GetRange, 9, 15 and 17, with every request.
#[test]
fn a_field_that_is_not_known_is_passed_over() {
    let plain: PutRowRequest = decode(&hex("0a0174 1200 1a020800")).unwrap();
    for more in ["7001", "71 0102030405060708", "7201ff", "75 01020304"] {
        let body = hex(&format!("0a0174 1200 {more} 1a020800"));
        assert_eq!(decode::<PutRowRequest>(&body).unwrap(), plain, "{more}");
    }
    decode::<ListTableRequest>(&hex("0a0174")).unwrap();
    let range = "0a0174 1000 3a00 4200";
    let hinted = hex(&format!("{range} 4801 7800 800101 880100"));
    assert_eq!(decode::<GetRangeRequest>(&hinted).unwrap(), decode::<GetRangeRequest>(&hex(range)).unwrap());

    for (more, words) in [
        ("71 01", "ends early"),
        ("7205 01", "ends early"),
        ("70", "ends early"),
        ("7374", "wire type 3"),
        ("0001", "field 0"),
    ] {
        let why = refused(decode::<PutRowRequest>(&hex(&format!("0a0174 1200 1a020800 {more}"))));
        assert!(why.contains(words), "{more}: {why}");
    }
}

// From: `table_store.proto` of the Go SDK and `ots_internal_api.proto` of the Java SDK: what these fields ask for.
#[test]
fn a_field_that_asks_for_what_is_not_done_is_named() {
    // Rows without their keys, a filter and a range of times with something more.
    let why = refused(decode::<GetRangeRequest>(&hex("0a0174 1000 3a00 4200 800100")));
    assert!(why.contains("field 16 of GetRangeRequest is 0"), "{why}");
    let why = refused(decode::<GetRowRequest>(&hex("0a0174 1200 22022001")));
    assert!(why.contains("TimeRange has a field 4"), "{why}");
    let why = refused(decode_filter(&hex("0801 1218 08011203616765 1a09000500000000000000 20012801 3801")));
    assert!(why.contains("SingleColumnValueFilter has a field 7"), "{why}");
    // Indexes within the table, and a table that belongs to a global one.
    for (meta, called) in [("0a05 0a0174 2200", "index_meta"), ("0a06 0a0174 320167", "global_table_id")] {
        let why = refused(decode::<CreateTableRequest>(&hex(&format!("{meta} 1202 0a00"))));
        assert!(why.contains(called), "{why}");
    }
    // Columns of a stream's rows as they were and as they are: a StreamColumn with the type ALL_COLUMNS, 3. The rows
    // that a transaction locks.
    for (field, called) in [("22020803", "'old_columns_to_get'"), ("2a020803", "'new_columns_to_get'")] {
        let why = refused(decode::<UpdateTableRequest>(&hex(&format!("0a0174 2208 08011018 {field}"))));
        assert!(why.contains("StreamSpecification") && why.contains(called), "{why}");
    }
    for (field, called) in [("32020803", "'old_columns_to_get'"), ("3a020803", "'new_columns_to_get'")] {
        let why = refused(decode::<GetStreamRecordRequest>(&hex(&format!("0a0169 {field}"))));
        assert!(why.contains(called), "{why}");
    }
    let why = refused(decode::<StartLocalTransactionRequest>(&hex("0a0174 1200 1a00")));
    assert!(why.contains("'rowKeys'"), "{why}");
    // Without them these are plain calls.
    decode::<UpdateTableRequest>(&hex("0a0174 2204 08011018")).unwrap();
    decode::<GetStreamRecordRequest>(&hex("0a0169")).unwrap();
    decode::<StartLocalTransactionRequest>(&hex("0a0174 1200")).unwrap();
}

#[test]
fn many_small_parts_are_refused_before_they_cost_much() {
    let tables = hex("0a030a0174").repeat(20_000);
    assert!(refused(decode::<BatchGetRowRequest>(&tables)).contains("too many parts"));
    let columns = [hex(GET_ROW), hex("1a00").repeat(1 << 18)].concat();
    assert!(refused(decode::<GetRowRequest>(&columns)).contains("too many fields"));
    // What the limits of the service allow: 1024 columns of each of 100 rows.
    let columns = vec!["c".to_string(); 1024];
    let table = TableInBatchGetRowRequest { columns_to_get: columns, ..Default::default() };
    let request = BatchGetRowRequest { tables: vec![table; 100] };
    assert_eq!(decode::<BatchGetRowRequest>(&encode(&request)).unwrap(), request);
}

/// What was written is what is read.
fn round_trip<M: Request + PartialEq + Debug>(message: M) {
    assert_eq!(decode::<M>(&encode(&message)).unwrap(), message);
}

fn name() -> String {
    "n".to_string()
}

#[test]
fn messages_with_every_field_round_trip() {
    let capacity_unit = CapacityUnit { read: Some(1), write: Some(2) };
    let stream = StreamSpecification { enable_stream: true, expiration_time: Some(24), columns_to_get: vec![name()] };
    let table_options = TableOptions {
        time_to_live: Some(-1),
        max_versions: Some(1),
        deviation_cell_version_in_sec: Some(86_400),
        allow_update: Some(true),
        update_full_row: Some(false),
    };
    let key = PrimaryKeySchema {
        name: name(),
        r#type: PrimaryKeyType::Binary.into(),
        option: Some(PrimaryKeyOption::AutoIncrement.into()),
    };
    let defined = DefinedColumnSchema { name: name(), r#type: DefinedColumnType::Blob.into() };
    let index = IndexMeta {
        name: name(),
        primary_key: vec![name()],
        defined_column: vec![name()],
        index_update_mode: IndexUpdateMode::Sync.into(),
        index_type: IndexType::Local.into(),
        index_sync_phase: Some(IndexSyncPhase::Incr.into()),
    };
    let sse = SseSpecification { enable: true, key_type: Some(2), key_id: Some(vec![1]), role_arn: Some(vec![2]) };
    round_trip(CreateTableRequest {
        table_meta: TableMeta { table_name: name(), primary_key: vec![key], defined_column: vec![defined] },
        reserved_throughput: ReservedThroughput { capacity_unit: capacity_unit.clone() },
        table_options: Some(table_options.clone()),
        partitions: vec![PartitionRange { begin: vec![0], end: vec![9] }],
        stream_spec: Some(stream.clone()),
        sse_spec: Some(sse),
        index_metas: vec![index.clone(), index],
        enable_local_txn: Some(true),
    });
    round_trip(UpdateTableRequest {
        table_name: name(),
        reserved_throughput: Some(ReservedThroughput { capacity_unit }),
        table_options: Some(table_options),
        stream_spec: Some(stream),
    });
    round_trip(GetShardIteratorRequest {
        stream_id: name(),
        shard_id: name(),
        timestamp: Some(1),
        token: Some(name()),
    });
    round_trip(SqlQueryRequest { query: name(), version: Some(2), sql_version: Some(1), search_token: Some(name()) });
}

#[test]
fn reads_and_writes_with_every_field_round_trip() {
    let time_range = Some(TimeRange { start_time: Some(1), end_time: Some(i64::MAX), specific_time: Some(-1) });
    round_trip(GetRowRequest {
        table_name: name(),
        primary_key: vec![1],
        columns_to_get: vec![name(), name()],
        time_range: time_range.clone(),
        max_versions: Some(i32::MAX),
        filter: Some(vec![2]),
        start_column: Some(name()),
        end_column: Some(name()),
        token: Some(vec![3]),
        transaction_id: Some(name()),
    });
    round_trip(GetRangeRequest {
        table_name: name(),
        direction: Direction::Backward.into(),
        columns_to_get: vec![name()],
        time_range: time_range.clone(),
        max_versions: Some(-1),
        limit: Some(7),
        inclusive_start_primary_key: vec![1],
        exclusive_end_primary_key: vec![2],
        filter: Some(vec![3]),
        start_column: Some(name()),
        end_column: Some(name()),
        token: Some(vec![4]),
        transaction_id: Some(name()),
    });
    let table = TableInBatchGetRowRequest {
        table_name: name(),
        primary_key: vec![vec![1], vec![]],
        token: vec![vec![2]],
        columns_to_get: vec![name()],
        time_range,
        max_versions: Some(1),
        filter: Some(vec![3]),
        start_column: Some(name()),
        end_column: Some(name()),
    };
    round_trip(BatchGetRowRequest { tables: vec![table.clone(), table] });
    let returned =
        ReturnContent { return_type: Some(ReturnType::AfterModify.into()), return_column_names: vec![name()] };
    let row = RowInBatchWriteRowRequest {
        r#type: OperationType::Delete.into(),
        row_change: vec![1],
        return_content: Some(returned.clone()),
        ..Default::default()
    };
    let table = TableInBatchWriteRowRequest { table_name: name(), rows: vec![row] };
    round_trip(BatchWriteRowRequest { tables: vec![table], transaction_id: Some(name()), is_atomic: Some(true) });
    let mut put = PutRowRequest { table_name: name(), return_content: Some(returned), ..Default::default() };
    put.condition.column_condition = Some(vec![1]);
    put.transaction_id = Some(name());
    round_trip(put);
}

#[test]
fn messages_with_the_least_fields_round_trip() {
    round_trip(CreateTableRequest::default());
    round_trip(UpdateTableRequest::default());
    round_trip(DeleteTableRequest::default());
    round_trip(PutRowRequest::default());
    round_trip(GetRowRequest::default());
    round_trip(GetRangeRequest::default());
    round_trip(BatchGetRowRequest::default());
    round_trip(BatchWriteRowRequest::default());
    round_trip(StartLocalTransactionRequest::default());
    round_trip(DescribeStreamRequest::default());
    round_trip(GetShardIteratorRequest::default());
    round_trip(SqlQueryRequest::default());
}

fn compare(column: &str, value: Value) -> Filter {
    Filter::Compare {
        op: Compare::Equal,
        column: column.to_string(),
        value,
        pass_if_missing: false,
        latest_only: true,
        transfer: None,
    }
}

// Bytes: what the Python SDK 6.1.0 sends for `age == 5`.
#[test]
fn the_worked_example_of_a_filter_is_read_and_written_to_the_byte() {
    let bytes = hex("08011216080112036167651a0900050000000000000020012801");
    let filter = compare("age", Value::Int(5));
    assert_eq!(decode_filter(&bytes).unwrap(), filter);
    assert_eq!(encode_filter(&filter), bytes);
    for at in 0..bytes.len() {
        assert!(refused(decode_filter(&bytes[..at])).starts_with("Deserialize filter failed."));
    }
}

// From: `table_store_filter.proto` of the Python SDK (numbers) and the Tablestore documentation (how many a composite
// takes).
#[test]
fn a_composite_has_as_many_parts_as_it_takes() {
    let leaf = "121a 08011216080112036167651a0900050000000000000020012801";
    for (combinator, parts, fine) in [(1, 1, true), (1, 0, false), (1, 2, false), (2, 1, false), (3, 3, true)] {
        let inner = hex(&format!("08 {combinator:02x} {}", leaf.repeat(parts)));
        let bytes = [hex("0802 12"), vec![inner.len() as u8], inner].concat();
        assert_eq!(decode_filter(&bytes).is_ok(), fine, "{combinator} of {parts}");
    }
    // A comparator, a combinator and a type of filter that there are not; a cast to NULL; a negative offset.
    for bytes in [
        "0801 1216 0809 1203616765 1a09000500000000000000 2001 2801",
        "0802 1202 0804",
        "0804 1200",
        "0801 121d 0801 1203616765 1a09000500000000000000 2001 2801 3205 0a0161 1006",
        "0803 120d 08ffffffffffffffffff01 1001",
    ] {
        refused(decode_filter(&hex(bytes)));
    }
    assert_eq!(decode_filter(&hex("0803 1204 0802 1003")).unwrap(), Filter::Page { offset: 2, limit: 3 });
}

#[test]
fn depth_and_number_of_a_filter_have_a_bound() {
    let leaf = || compare("c", Value::Bool(true));
    let nested = |n: usize| (0..n).fold(leaf(), |inner, _| Filter::Not(Box::new(inner)));
    assert_eq!(decode_filter(&encode_filter(&nested(9))).unwrap(), nested(9));
    assert!(refused(decode_filter(&encode_filter(&nested(10)))).contains("10"));
    refused(decode_filter(&encode_filter(&nested(500))));
    let wide = |n: usize| Filter::And(vec![leaf(); n]);
    assert_eq!(decode_filter(&encode_filter(&wide(32))).unwrap(), wide(32));
    assert!(refused(decode_filter(&encode_filter(&wide(33)))).contains("32"));
    refused(decode_filter(&encode_filter(&Filter::Or(vec![wide(16), wide(17)]))));
    let few = FilterLimits { depth: 1, conditions: 1 };
    decode_filter_within(&encode_filter(&leaf()), few).unwrap();
    refused(decode_filter_within(&encode_filter(&wide(2)), few));
}

fn any_compare() -> impl Strategy<Value = Filter> {
    let op = prop::sample::select(vec![
        Compare::Equal,
        Compare::NotEqual,
        Compare::GreaterThan,
        Compare::GreaterEqual,
        Compare::LessThan,
        Compare::LessEqual,
        Compare::Exist,
        Compare::NotExist,
    ]);
    let cast = prop::sample::select(vec![Cast::Int, Cast::Double, Cast::Str, Cast::Bin]);
    let transfer = option::of((any::<String>(), cast).prop_map(|(regex, cast)| Transfer { regex, cast }));
    (op, any::<String>(), any_value(), any::<bool>(), any::<bool>(), transfer).prop_map(
        |(op, column, value, pass_if_missing, latest_only, transfer)| Filter::Compare {
            op,
            column,
            value,
            pass_if_missing,
            latest_only,
            transfer,
        },
    )
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let page = (0..=i32::MAX as u32, 0..=i32::MAX as u32).prop_map(|(offset, limit)| Filter::Page { offset, limit });
    prop_oneof![4 => any_compare(), 1 => page].prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|f| Filter::Not(Box::new(f))),
            vec(inner.clone(), 2).prop_map(Filter::And),
            vec(inner, 2).prop_map(Filter::Or),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_filter_round_trips(filter in any_filter()) {
        prop_assert_eq!(decode_filter(&encode_filter(&filter)).unwrap(), filter);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..60)) {
        let _ = decode::<GetRangeRequest>(&bytes);
        let _ = decode::<BatchWriteRowRequest>(&bytes);
        let _ = decode_filter(&bytes);
    }
}
