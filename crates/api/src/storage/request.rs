//! What clients of the storage API ask for. What is not acted on is refused by its name.

use feitian_base::{Error, Kind, Result};
use feitian_types::PartitionSpec;
use serde::Deserialize;

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
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SplitOptions {
    split_mode: Option<String>,
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
