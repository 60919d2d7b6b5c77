//! Operations of the table store (Tablestore, OTS): the words at the end of a request's path, on a port of their own.

use futures::future::BoxFuture;

use super::{Status, run};
use crate::ots::{OtsAnswer, OtsCall, indexes, ranges, rows, search, streams, tables, transactions};

/// A handler: it gets a request whose caller owns the instance.
pub type OtsHandler = fn(OtsCall) -> BoxFuture<'static, OtsAnswer>;

/// Who may call any of them. The instance is named by a header, so there is one right for all.
pub const OTS_RIGHT: &str = "account of the instance";

/// One operation of the table store.
pub struct OtsOperation {
    /// As the path has it; it tells cases apart.
    pub name: &'static str,
    /// The name in metrics and logs.
    pub route: &'static str,
    pub status: Status,
    /// What is missing, or why it is refused.
    pub note: &'static str,
    /// None when refused.
    pub handler: Option<OtsHandler>,
    /// A client that goes away may stop it at any step: it reads, or what it writes goes on by itself.
    pub may_stop: bool,
}

impl OtsOperation {
    const fn done(mut self, handler: OtsHandler) -> Self {
        (self.status, self.note, self.handler) = (Status::Done, "", Some(handler));
        self
    }

    const fn partial(mut self, handler: OtsHandler, note: &'static str) -> Self {
        (self.status, self.note, self.handler) = (Status::Partial, note, Some(handler));
        self
    }

    const fn that_may_stop(mut self) -> Self {
        self.may_stop = true;
        self
    }

    const fn refused(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }
}

/// An operation that is refused until it gets a handler.
macro_rules! op {
    ($name:literal) => {
        OtsOperation {
            name: $name,
            route: concat!("ots/", $name),
            status: Status::Refused,
            note: "not implemented",
            handler: None,
            may_stop: false,
        }
    };
}

const NO_SEARCH: &str = "there are no search indexes";
const NO_SERIES: &str = "there are no timeseries tables";
const NO_TUNNEL: &str = "there is no tunnel service; streams can be read";
const NO_GLOBAL: &str = "there is one region";
const NO_DELIVERY: &str = "nothing is delivered elsewhere";

/// Operations of the table store under the headings of the compatibility page.
pub const OTS_GROUPS: &[(&str, &[OtsOperation])] = &[
    ("Table store: tables", TABLES),
    ("Table store: rows", ROWS),
    ("Table store: transactions and streams", STREAMS),
    ("Table store: search, SQL and timeseries", BEYOND),
    ("Table store: tunnel service and others", OTHERS),
];

const TABLES: &[OtsOperation] = &[
    op!("CreateTable").partial(
        run!(tables::create),
        "throughput is kept and shown, not enforced; partitions are hints; UpdateFullRow and encryption are refused",
    ),
    op!("ListTable").done(run!(tables::list)),
    op!("DescribeTable").done(run!(tables::describe)),
    op!("UpdateTable")
        .partial(run!(tables::update), "throughput is kept and shown, not enforced; UpdateFullRow is refused"),
    op!("DeleteTable").done(run!(tables::delete)),
    op!("AddDefinedColumn").done(run!(tables::add_columns)),
    op!("DeleteDefinedColumn").done(run!(tables::delete_columns)),
    op!("CreateIndex").done(run!(indexes::create)),
    op!("DropIndex").done(run!(indexes::drop)),
    op!("LoadTable").refused("obsolete: tables are always loaded"),
    op!("UnloadTable").refused("obsolete: tables are always loaded"),
];

const ROWS: &[OtsOperation] = &[
    op!("GetRow").partial(run!(rows::get), "rows come whole: there are no tokens within a row").that_may_stop(),
    op!("PutRow").done(run!(rows::put)).that_may_stop(),
    op!("UpdateRow").done(run!(rows::update)).that_may_stop(),
    op!("DeleteRow").done(run!(rows::delete)).that_may_stop(),
    op!("BatchGetRow")
        .partial(run!(rows::batch_get), "rows come whole: there are no tokens within a row")
        .that_may_stop(),
    op!("BatchWriteRow").done(run!(rows::batch_write)),
    op!("GetRange").partial(run!(ranges::get), "rows come whole: there are no tokens within a row").that_may_stop(),
    op!("ComputeSplitPointsBySize").partial(run!(ranges::split_points), "without split_point_limit"),
    op!("BulkImport").refused("use BatchWriteRow"),
    op!("BulkExport").refused("use GetRange"),
];

const STREAMS: &[OtsOperation] = &[
    op!("StartLocalTransaction").done(run!(transactions::start)),
    op!("CommitTransaction").done(run!(transactions::commit)),
    op!("AbortTransaction").done(run!(transactions::abort)),
    op!("ListStream").done(run!(streams::list)),
    op!("DescribeStream").done(run!(streams::describe)),
    op!("GetShardIterator").done(run!(streams::iterator)),
    op!("GetStreamRecord").partial(run!(streams::records), "without the columns as they were before"),
];

const BEYOND: &[OtsOperation] = &[
    op!("ListSearchIndex").partial(run!(search::list), "answers that there are none"),
    op!("CreateSearchIndex").refused(NO_SEARCH),
    op!("UpdateSearchIndex").refused(NO_SEARCH),
    op!("DescribeSearchIndex").refused(NO_SEARCH),
    op!("DeleteSearchIndex").refused(NO_SEARCH),
    op!("Search").refused(NO_SEARCH),
    op!("ComputeSplits").refused(NO_SEARCH),
    op!("ParallelScan").refused(NO_SEARCH),
    op!("SQLQuery").refused("use external tables in the warehouse's SQL"),
    op!("CreateTimeseriesTable").refused(NO_SERIES),
    op!("ListTimeseriesTable").refused(NO_SERIES),
    op!("DescribeTimeseriesTable").refused(NO_SERIES),
    op!("UpdateTimeseriesTable").refused(NO_SERIES),
    op!("DeleteTimeseriesTable").refused(NO_SERIES),
    op!("PutTimeseriesData").refused(NO_SERIES),
    op!("GetTimeseriesData").refused(NO_SERIES),
    op!("ScanTimeseriesData").refused(NO_SERIES),
    op!("SplitTimeseriesScanTask").refused(NO_SERIES),
    op!("QueryTimeseriesMeta").refused(NO_SERIES),
    op!("UpdateTimeseriesMeta").refused(NO_SERIES),
    op!("DeleteTimeseriesMeta").refused(NO_SERIES),
    op!("CreateTimeseriesAnalyticalStore").refused(NO_SERIES),
    op!("UpdateTimeseriesAnalyticalStore").refused(NO_SERIES),
    op!("DeleteTimeseriesAnalyticalStore").refused(NO_SERIES),
    op!("DescribeTimeseriesAnalyticalStore").refused(NO_SERIES),
    op!("CreateTimeseriesLastpointIndex").refused(NO_SERIES),
    op!("DeleteTimeseriesLastpointIndex").refused(NO_SERIES),
];

const OTHERS: &[OtsOperation] = &[
    op!("tunnel/create").refused(NO_TUNNEL),
    op!("tunnel/delete").refused(NO_TUNNEL),
    op!("tunnel/list").refused(NO_TUNNEL),
    op!("tunnel/describe").refused(NO_TUNNEL),
    op!("tunnel/connect").refused(NO_TUNNEL),
    op!("tunnel/heartbeat").refused(NO_TUNNEL),
    op!("tunnel/shutdown").refused(NO_TUNNEL),
    op!("tunnel/getcheckpoint").refused(NO_TUNNEL),
    op!("tunnel/readrecords").refused(NO_TUNNEL),
    op!("tunnel/checkpoint").refused(NO_TUNNEL),
    op!("CreateGlobalTable").refused(NO_GLOBAL),
    op!("BindGlobalTable").refused(NO_GLOBAL),
    op!("DescribeGlobalTable").refused(NO_GLOBAL),
    op!("UnbindGlobalTable").refused(NO_GLOBAL),
    op!("UpdateGlobalTable").refused(NO_GLOBAL),
    op!("CreateDeliveryTask").refused(NO_DELIVERY),
    op!("UpdateDeliveryTask").refused(NO_DELIVERY),
    op!("DeleteDeliveryTask").refused(NO_DELIVERY),
    op!("DescribeDeliveryTask").refused(NO_DELIVERY),
    op!("ListDeliveryTask").refused(NO_DELIVERY),
];

/// Every operation of the table store with its heading.
pub fn ots_operations() -> impl Iterator<Item = (&'static str, &'static OtsOperation)> {
    OTS_GROUPS.iter().flat_map(|(heading, operations)| operations.iter().map(move |o| (*heading, o)))
}

/// The operation of this name.
pub(crate) fn find(name: &str) -> Option<&'static OtsOperation> {
    ots_operations().map(|(_, o)| o).find(|o| o.name == name)
}

/// The part of the compatibility page that is the table store's.
pub(super) fn markdown() -> String {
    use std::fmt::Write;
    let count = |status| ots_operations().filter(|(_, o)| o.status == status).count();
    let (done, partial, refused) = (count(Status::Done), count(Status::Partial), count(Status::Refused));
    let mut page = format!(
        "\n## The table store\n\n\
         The operations of Tablestore (OTS), on a port of their own, as the clients for Python and Java name them.\n\
         {done} done, {partial} partial, {refused} refused; what is refused answers `OTSParameterInvalid` (HTTP 400) \
         and changes nothing.\n"
    );
    let mut last = "";
    for (heading, op) in ots_operations() {
        if heading != last {
            let _ = write!(
                page,
                "\n## {heading}\n\n| operation | request | status | right | note |\n|---|---|---|---|---|\n"
            );
            last = heading;
        }
        let (name, status, note) = (op.name, op.status.word(), op.note);
        let _ = writeln!(page, "| {name} | `POST /{name}` | {status} | {OTS_RIGHT} | {note} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_under_its_name_and_says_what_it_lacks() {
        let mut names = std::collections::BTreeSet::new();
        for (_, op) in ots_operations() {
            assert!(names.insert(op.name), "{} is listed twice", op.name);
            assert_eq!(find(op.name).map(|o| o.name), Some(op.name));
            assert_eq!(op.handler.is_none(), op.status == Status::Refused, "{}", op.name);
            assert!(op.status == Status::Done || !op.note.is_empty(), "{} lacks a note", op.name);
        }
        assert!(find("getrow").is_none(), "names tell cases apart");
    }

    // The operations that the Python client 6.1.0 knows (`api_list` in its `tablestore/protocol.py`).
    #[test]
    fn every_operation_of_the_client_is_listed() {
        let known = "CreateTable ListTable DeleteTable DescribeTable UpdateTable GetRow PutRow UpdateRow DeleteRow \
                     BatchGetRow BatchWriteRow GetRange ListSearchIndex CreateSearchIndex UpdateSearchIndex \
                     DeleteSearchIndex DescribeSearchIndex Search ComputeSplits ParallelScan CreateIndex DropIndex \
                     StartLocalTransaction CommitTransaction AbortTransaction SQLQuery PutTimeseriesData \
                     CreateTimeseriesTable ListTimeseriesTable DeleteTimeseriesTable DescribeTimeseriesTable \
                     UpdateTimeseriesTable QueryTimeseriesMeta GetTimeseriesData UpdateTimeseriesMeta \
                     DeleteTimeseriesMeta";
        for name in known.split(' ') {
            assert!(find(name).is_some(), "{name}");
        }
    }
}
