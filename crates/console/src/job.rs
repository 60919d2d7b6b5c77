//! One job as its page shows it: what is asked of the warehouse, and nothing of how it looks.

use chrono_tz::Tz;
use feitian_api::warehouse::{QueueLoad, RowRange};
use feitian_api::{Call, admin, instance_zone, text_rows};
use feitian_base::{Result, clock};
use feitian_meta::rows::{Instance, InstanceState};
use feitian_types::DataType;
use futures::StreamExt;

use crate::profile::Profile;

/// Rows of a result that a page shows.
const PREVIEW_ROWS: u64 = 20;
/// Columns of a result that a page shows.
const PREVIEW_COLUMNS: usize = 60;
/// Bytes of a text result that a page shows.
const PREVIEW_BYTES: usize = 64 << 10;

/// A job at one moment.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) instance: Instance,
    pub(crate) profile: Profile,
    /// Place in the queue and what holds it there; none when it does not wait.
    pub(crate) queue: Option<(usize, QueueLoad)>,
    /// On whose clock times are shown.
    pub(crate) zone: Tz,
    pub(crate) now_ms: i64,
}

/// What a job gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Nothing,
    Text { text: String, cut: bool },
    Rows { columns: Vec<Head>, rows: Vec<Vec<Option<String>>>, total: u64, total_columns: usize },
    Unreadable(String),
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) name: String,
    /// Its values are numbers, which stand below each other by their ends.
    pub(crate) is_number: bool,
}

/// Whether the values of a type are numbers.
pub(crate) fn is_number(ty: &DataType) -> bool {
    ty.is_integer() || matches!(ty, DataType::Float | DataType::Double | DataType::Decimal(..))
}

/// What is shown of a job beside its own state: it changes at its end at most.
#[derive(Debug)]
pub(crate) struct Around {
    pub(crate) output: Output,
    /// The run of the same SQL before this one.
    pub(crate) earlier: Option<Instance>,
}

impl Job {
    /// Asks how `instance` is doing. `zone` comes from [`zone`].
    pub(crate) async fn look(call: &Call, instance: Instance, zone: Tz) -> Result<Self> {
        let profile = match instance.state {
            InstanceState::Waiting => Profile::default(),
            _ => Profile::read(&admin::profile_of(call, &instance).await?),
        };
        let queue = admin::queue_of(call, &instance).await?;
        Ok(Self { instance, profile, queue, zone, now_ms: clock::now_ms() })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.instance.state.is_terminal()
    }

    /// The end of the job, or now.
    pub(crate) fn end_ms(&self) -> i64 {
        self.instance.ended_ms.unwrap_or(self.now_ms)
    }

    pub(crate) fn waited_ms(&self) -> i64 {
        self.instance.started_ms.unwrap_or_else(|| self.end_ms()) - self.instance.submitted_ms
    }

    /// How long it ran or has run; none before it has started.
    pub(crate) fn ran_ms(&self) -> Option<i64> {
        self.instance.started_ms.map(|started| self.end_ms() - started)
    }
}

/// The time zone of the job's page: the one under which its SQL ran.
pub(crate) async fn zone(call: &Call, instance: &Instance) -> Result<Tz> {
    instance_zone(call, instance).await
}

impl Around {
    pub(crate) async fn look(call: &Call, job: &Job) -> Result<Self> {
        let earlier = admin::earlier_of(call, &job.instance).await?;
        Ok(Self { output: output(call, job).await, earlier })
    }
}

async fn output(call: &Call, job: &Job) -> Output {
    let instance = &job.instance;
    if instance.state != InstanceState::Success {
        return Output::Nothing;
    }
    if !instance.is_select {
        return match &instance.result_inline {
            Some(bytes) if !bytes.is_empty() => {
                let text = String::from_utf8_lossy(bytes);
                let end = text.floor_char_boundary(PREVIEW_BYTES.min(text.len()));
                Output::Text { text: text[..end].to_string(), cut: end < text.len() }
            }
            _ => Output::Nothing,
        };
    }
    // A result may have been removed before its job; the rest of the page is still of use.
    rows(call, job).await.unwrap_or_else(|e| Output::Unreadable(format!("{}: {}", e.code(), e.message())))
}

async fn rows(call: &Call, job: &Job) -> Result<Output> {
    let set = admin::result_of(call, &job.instance).await?;
    let total_columns = set.columns.len();
    let shown: Option<Vec<String>> = match total_columns {
        0..=PREVIEW_COLUMNS => None,
        _ => Some(set.columns.iter().take(PREVIEW_COLUMNS).map(|c| c.name.clone()).collect()),
    };
    let range = RowRange { start: 0, count: PREVIEW_ROWS };
    let (columns, mut batches) = admin::result_rows(call, &job.instance, range, shown).await?;
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().await {
        text_rows(&columns, job.zone, &batch?, &mut rows)?;
    }
    let columns = columns.into_iter().map(|c| Head { is_number: is_number(&c.ty), name: c.name }).collect();
    Ok(Output::Rows { columns, rows, total: set.num_rows, total_columns })
}
