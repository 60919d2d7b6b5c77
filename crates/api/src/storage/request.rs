//! What clients of the storage API ask for. What is not acted on is refused by its name.

use feitian_base::{Error, Kind, Result};
use feitian_types::PartitionSpec;
use serde::Deserialize;
use serde_json::Value;

use super::FORMAT;
use crate::warehouse::{ScanOptions, Split};

/// The smallest splits by size: 10 MiB. Clients test that one byte is refused.
const MIN_SPLIT_BYTES: u64 = 10 << 20;

/// The largest `DynamicPartitionLimit`, as many as one INSERT may write.
const MAX_PARTITION_LIMIT: u64 = 10_000;

/// The body that opens a read session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ReadRequest {
    required_data_columns: Option<Vec<String>>,
    required_partition_columns: Option<Vec<String>>,
    required_partitions: Option<Vec<String>>,
    required_bucket_ids: Option<Vec<i64>>,
    split_options: Option<SplitOptions>,
    arrow_options: Option<ArrowOptions>,
    filter_predicate: Option<String>,
    enable_estimate_stats: Option<bool>,
    /// Whether rows may be filtered behind where they are read; they are, exactly.
    #[serde(rename = "FilterPredicateFallback")]
    _filter_predicate_fallback: Option<bool>,
    split_max_file_num: Option<u64>,
    incremental_read: Option<bool>,
    incremental_read_options: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SplitOptions {
    split_mode: Option<String>,
    split_unit: Option<String>,
    split_number: Option<u64>,
    cross_partition: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ArrowOptions {
    timestamp_unit: Option<String>,
    datetime_unit: Option<String>,
}

impl ArrowOptions {
    /// The units are those in which the tunnel has them; others are refused.
    fn check(&self) -> Result<()> {
        for (key, given, only) in
            [("TimestampUnit", &self.timestamp_unit, "nano"), ("DatetimeUnit", &self.datetime_unit, "milli")]
        {
            if let Some(given) = given.as_ref().filter(|given| *given != only) {
                return Err(Error::unsupported(format!("{key} '{given}' is not supported; use '{only}'")));
            }
        }
        Ok(())
    }
}

impl ReadRequest {
    /// Whether sizes are asked for.
    pub fn wants_stats(&self) -> bool {
        self.enable_estimate_stats.unwrap_or(false)
    }

    /// What is to be read.
    pub fn options(self) -> Result<ScanOptions> {
        self.arrow_options.unwrap_or_default().check()?;
        if self.required_bucket_ids.is_some_and(|ids| !ids.is_empty()) {
            return Err(Error::unsupported("RequiredBucketIds is not supported: rows do not lie in buckets"));
        }
        if self.split_max_file_num.is_some_and(|files| files != 0) {
            return Err(Error::unsupported("SplitMaxFileNum is not supported: splits are of rows, not of files"));
        }
        if self.incremental_read.unwrap_or(false) || self.incremental_read_options.is_some() {
            return Err(Error::unsupported("IncrementalRead is not supported; read the whole table"));
        }
        let split = self.split_options.unwrap_or_default();
        Ok(ScanOptions {
            columns: lower(self.required_data_columns),
            partition_columns: lower(self.required_partition_columns),
            partitions: self.required_partitions.unwrap_or_default(),
            split: split.split()?,
            cross_partition: split.cross_partition.unwrap_or(true),
            filter: self.filter_predicate.map(|text| text.trim().to_string()).unwrap_or_default(),
        })
    }
}

fn lower(names: Option<Vec<String>>) -> Vec<String> {
    names.unwrap_or_default().iter().map(|n| n.trim().to_lowercase()).collect()
}

impl SplitOptions {
    fn split(&self) -> Result<Split> {
        if let Some(unit) = self.split_unit.as_deref().filter(|unit| *unit != "ByteSize") {
            return Err(Error::unsupported(format!("SplitUnit '{unit}' is not supported; use ByteSize")));
        }
        let mode = self.split_mode.as_deref().unwrap_or("Size");
        match (mode, self.split_number) {
            ("Size", None) => Ok(Split::Bytes(256 << 20)),
            ("Size", Some(bytes)) if bytes >= MIN_SPLIT_BYTES => Ok(Split::Bytes(bytes)),
            ("Size", Some(bytes)) => Err(Error::invalid(format!(
                "splits of {bytes} bytes are too small; SplitNumber begins at {MIN_SPLIT_BYTES}"
            ))),
            ("Parallelism", Some(count)) if count > 0 => Ok(Split::Count(count)),
            ("Parallelism", _) => Err(Error::invalid("SplitMode 'Parallelism' needs a SplitNumber of 1 or more")),
            ("RowOffset", _) => Ok(Split::Rows),
            (other, _) => {
                let text = format!("SplitMode '{other}' is not supported; use Size, Parallelism or RowOffset");
                Err(Error::unsupported(text))
            }
        }
    }
}

/// A format of rows, as versions 2 and 3 name it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DataFormat {
    #[serde(rename = "Type")]
    kind: Option<String>,
    version: Option<String>,
}

impl DataFormat {
    /// Refuses another one than the one that there is.
    pub fn check(&self) -> Result<()> {
        for (key, given, only) in [("Type", &self.kind, FORMAT.0), ("Version", &self.version, FORMAT.1)] {
            if let Some(given) = given.as_ref().filter(|given| !given.eq_ignore_ascii_case(only)) {
                let text = format!("DataFormat.{key} '{given}' is not supported; rows come as {only}");
                return Err(Error::unsupported(text));
            }
        }
        Ok(())
    }
}

/// Rows of a batch unless the client says otherwise; what PyODPS asks for.
const BATCH_ROWS: u64 = 4096;

/// How rows are to come, as versions 2 and 3 say it for each split.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RowsRequest {
    max_batch_rows: Option<u64>,
    skip_row_num: Option<u64>,
    max_batch_raw_size: Option<u64>,
    data_format: Option<DataFormat>,
    data_columns: Option<Vec<String>>,
    /// Whether named columns may come in another order than the session's.
    #[serde(rename = "DataColumnsUnordered")]
    _data_columns_unordered: Option<bool>,
    /// Of results only.
    pub task_name: Option<String>,
    pub query_id: Option<u64>,
    pub enable_limit: Option<bool>,
    pub columns: Option<Vec<String>>,
}

impl RowsRequest {
    /// The most rows that a batch may have.
    pub fn batch_rows(&self) -> Result<usize> {
        if let Some(format) = &self.data_format {
            format.check()?;
        }
        for (key, given) in [("SkipRowNum", self.skip_row_num), ("MaxBatchRawSize", self.max_batch_raw_size)] {
            if given.is_some_and(|n| n != 0) {
                return Err(Error::unsupported(format!("{key} is not supported; leave it 0")));
            }
        }
        if self.data_columns.as_ref().is_some_and(|names| !names.is_empty()) {
            return Err(Error::unsupported("DataColumns is not supported; name the columns with the session"));
        }
        match self.max_batch_rows.unwrap_or(BATCH_ROWS) {
            0 => Err(Error::invalid("MaxBatchRows must be 1 or more")),
            rows => Ok(usize::try_from(rows).unwrap_or(usize::MAX)),
        }
    }

    /// Refuses what only results have.
    pub fn of_table(self) -> Result<Self> {
        let names = [
            ("TaskName", self.task_name.is_some()),
            ("QueryId", self.query_id.is_some()),
            ("EnableLimit", self.enable_limit.is_some()),
            ("Columns", self.columns.is_some()),
        ];
        match names.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(Error::invalid(format!("{key} is for reads of results, not of tables"))),
            None => Ok(self),
        }
    }
}

/// The body that opens a write session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct WriteRequest {
    dynamic_partition_options: Option<DynamicPartitionOptions>,
    arrow_options: Option<ArrowOptions>,
    overwrite: Option<bool>,
    partition_spec: Option<String>,
    /// Whether the client could sort rows into buckets, if the table had some.
    _support_write_cluster: Option<bool>,
    /// Every block is checked, asked or not.
    _enhance_write_check: Option<bool>,
}

/// For sessions whose rows name their partitions.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DynamicPartitionOptions {
    invalid_strategy: Option<String>,
    /// How many wrong rows are borne by other strategies than the one that there is.
    _invalid_limit: Option<i64>,
    dynamic_partition_limit: Option<u64>,
}

/// What a write session writes into.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// `None` when none is named.
    pub partition: Option<PartitionSpec>,
    /// What was there goes.
    pub overwrite: bool,
    /// Partitions that rows may name.
    pub partition_limit: u64,
}

impl WriteRequest {
    /// What is to be written into.
    pub fn target(self) -> Result<Target> {
        self.arrow_options.unwrap_or_default().check()?;
        let dynamic = self.dynamic_partition_options.unwrap_or_default();
        let partition_limit = dynamic.dynamic_partition_limit.unwrap_or(512);
        if !(1..=MAX_PARTITION_LIMIT).contains(&partition_limit) {
            let text = format!("DynamicPartitionLimit {partition_limit} is not between 1 and {MAX_PARTITION_LIMIT}");
            return Err(Error::invalid(text));
        }
        if let Some(strategy) = dynamic.invalid_strategy.filter(|s| s != "Exception") {
            return Err(Error::unsupported(format!("InvalidStrategy '{strategy}' is not supported; use 'Exception'")));
        }
        let parse = |text: String| {
            let message = format!("partition '{text}' is no list of name=value pairs");
            PartitionSpec::parse(&text).ok_or_else(|| Error::new(Kind::Invalid, "InvalidPartitionSpec", message))
        };
        let partition = self.partition_spec.map(parse).transpose()?.filter(|p| !p.0.is_empty());
        Ok(Target { partition, overwrite: self.overwrite.unwrap_or(true), partition_limit })
    }
}

/// The body that commits a write session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CommitRequest {
    pub commit_messages: Vec<String>,
    pub wait_flying_writers_timeout_seconds: Option<i64>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ScanOptions> {
        serde_json::from_str::<ReadRequest>(text).map_err(|e| Error::invalid(e.to_string()))?.options()
    }

    fn write(text: &str) -> Result<Target> {
        serde_json::from_str::<WriteRequest>(text).map_err(|e| Error::invalid(e.to_string()))?.target()
    }

    // What TableBatchScanRequest() and TableBatchWriteRequest() of PyODPS 0.13.2 serialize to.
    #[test]
    fn the_requests_of_the_client_are_understood() {
        let options = read(
            r#"{"RequiredDataColumns": [], "RequiredPartitionColumns": [], "RequiredPartitions": [],
                "RequiredBucketIds": [], "SplitOptions": {"SplitMode": "Size", "SplitNumber": 268435456,
                "CrossPartition": true}, "ArrowOptions": {"TimestampUnit": "nano", "DatetimeUnit": "milli"},
                "FilterPredicate": "", "EnableEstimateStats": false}"#,
        );
        let all = ScanOptions {
            columns: vec![],
            partition_columns: vec![],
            partitions: vec![],
            split: Split::Bytes(268_435_456),
            cross_partition: true,
            filter: String::new(),
        };
        assert_eq!(options.unwrap(), all);
        assert_eq!(read("{}").unwrap(), all);
        let target = write(
            r#"{"DynamicPartitionOptions": {"InvalidStrategy": "Exception", "InvalidLimit": 1,
                "DynamicPartitionLimit": 512}, "ArrowOptions": {"TimestampUnit": "nano", "DatetimeUnit": "milli"},
                "Overwrite": false, "PartitionSpec": "pt=1", "SupportWriteCluster": false, "EnhanceWriteCheck": true}"#,
        );
        let partition = PartitionSpec::parse("pt=1");
        assert_eq!(target.unwrap(), Target { partition, overwrite: false, partition_limit: 512 });
        assert_eq!(write("{}").unwrap(), Target { partition: None, overwrite: true, partition_limit: 512 });
    }

    // What CreateTableReadSessionRequest and CreateTableReadStreamRequest of odps/maxstorage serialize to.
    #[test]
    fn the_requests_of_the_second_version_are_understood() {
        let options = read(
            r#"{"RequiredDataColumns": ["A"], "RequiredPartitionColumns": [], "RequiredPartitions": ["pt=1"],
                "RequiredBucketIds": [], "SplitOptions": {"SplitMode": "RowOffset", "SplitUnit": "ByteSize",
                "SplitNumber": 50, "CrossPartition": true}, "ArrowOptions": {"TimestampUnit": "nano",
                "DatetimeUnit": "milli"}, "FilterPredicate": "", "FilterPredicateFallback": false,
                "SplitMaxFileNum": 0, "IncrementalRead": false}"#,
        )
        .unwrap();
        assert_eq!((options.columns, options.split), (vec!["a".to_string()], Split::Rows));
        let rows = |text: &str| serde_json::from_str::<RowsRequest>(text).unwrap();
        let request = rows(
            r#"{"MaxBatchRows": 7, "SkipRowNum": 0, "MaxBatchRawSize": 0, "DataFormat": {"Type": "Arrow",
                "Version": "V5"}, "DataColumns": [], "DataColumnsUnordered": false}"#,
        );
        assert_eq!(request.of_table().unwrap().batch_rows().unwrap(), 7);
        for (text, word) in [
            (r#"{"MaxBatchRows": 0}"#, "MaxBatchRows"),
            (r#"{"SkipRowNum": 1}"#, "SkipRowNum"),
            (r#"{"MaxBatchRawSize": 1}"#, "MaxBatchRawSize"),
            (r#"{"DataColumns": ["a"]}"#, "DataColumns"),
            (r#"{"DataFormat": {"Version": "V6"}}"#, "DataFormat.Version"),
        ] {
            assert!(rows(text).batch_rows().unwrap_err().message().contains(word), "{text}");
        }
        let result = r#"{"TaskName": "AnonymousSQLTask", "QueryId": 0, "EnableLimit": false, "Columns": []}"#;
        assert_eq!(rows(result).batch_rows().unwrap(), 4096);
        assert!(rows(result).of_table().unwrap_err().message().contains("TaskName"));
    }

    #[test]
    fn splits_are_by_size_by_number_or_by_rows() {
        let split = |options: &str| read(&format!(r#"{{"SplitOptions": {options}}}"#)).map(|o| o.split);
        for (options, want) in [
            (r#"{"SplitMode": "Size", "SplitNumber": 10485760}"#, Split::Bytes(10 << 20)),
            (r#"{"SplitMode": "Parallelism", "SplitNumber": 32}"#, Split::Count(32)),
            (r#"{"SplitMode": "RowOffset", "SplitNumber": 0}"#, Split::Rows),
        ] {
            assert_eq!(split(options).unwrap(), want, "{options}");
        }
        for (options, code) in [
            (r#"{"SplitMode": "Size", "SplitNumber": 1}"#, "InvalidArgument"),
            (r#"{"SplitMode": "Parallelism", "SplitNumber": 0}"#, "InvalidArgument"),
            (r#"{"SplitMode": "Parallelism", "SplitNumber": -1}"#, "InvalidArgument"),
            (r#"{"SplitMode": "Bucket"}"#, "MethodNotAllowed"),
            (r#"{"SplitMode": "size"}"#, "MethodNotAllowed"),
        ] {
            assert_eq!(split(options).unwrap_err().code(), code, "{options}");
        }
    }

    #[test]
    fn what_is_not_acted_on_is_refused_by_its_name() {
        for (text, word) in [
            (r#"{"RequiredBucketIds": [0]}"#, "RequiredBucketIds"),
            (r#"{"ArrowOptions": {"TimestampUnit": "micro"}}"#, "TimestampUnit"),
            (r#"{"ArrowOptions": {"DatetimeUnit": "second"}}"#, "DatetimeUnit"),
            (r#"{"Limit": 1}"#, "Limit"),
            (r#"{"SplitMaxFileNum": 2}"#, "SplitMaxFileNum"),
            (r#"{"IncrementalRead": true}"#, "IncrementalRead"),
            (r#"{"IncrementalReadOptions": {"Mode": "x"}}"#, "IncrementalRead"),
            (r#"{"SplitOptions": {"SplitUnit": "Rows"}}"#, "SplitUnit"),
        ] {
            assert!(read(text).unwrap_err().message().contains(word), "{text}");
        }
        for (text, word) in [
            (r#"{"DynamicPartitionOptions": {"InvalidStrategy": "DirtyData"}}"#, "InvalidStrategy"),
            (r#"{"DynamicPartitionOptions": {"DynamicPartitionLimit": 0}}"#, "DynamicPartitionLimit"),
            (r#"{"DynamicPartitionOptions": {"DynamicPartitionLimit": 10001}}"#, "DynamicPartitionLimit"),
            (r#"{"PartitionSpec": "pt"}"#, "partition 'pt'"),
            (r#"{"Blocks": 1}"#, "Blocks"),
        ] {
            assert!(write(text).unwrap_err().message().contains(word), "{text}");
        }
    }
}
