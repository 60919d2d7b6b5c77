//! Submitting a job, however it came in.

use feitian_base::{Error, Result};
use feitian_meta::rows::Instance;
use feitian_wire::xml::{Element, Task, TaskKind};
use serde_json::{Map, Value};

use crate::call::Call;
use crate::warehouse::{Caller, NewJob};

/// Clients tell smaller numbers to go first; MaxCompute knows 0 to 9.
const LOWEST_PRIORITY: i64 = 9;

/// What of a job does not stand in its task.
pub struct Envelope {
    pub guid: String,
    pub priority: i64,
    /// The `<Job>` element.
    pub source: String,
}

/// Hands a task to the warehouse. The job is durable when this returns; one with a known guid is the known one.
pub async fn submit(call: &Call, caller: &Caller, envelope: Envelope, task: Task) -> Result<Instance> {
    let query = match task.kind {
        TaskKind::Sql | TaskKind::SqlCost => task.query,
        TaskKind::Merge => task.table.unwrap_or_default(),
        TaskKind::SqlRt => {
            let message = "ODPS-1850001: interactive sessions are unsupported; submit a task of type SQL";
            return Err(Error::new(feitian_base::Kind::Invalid, "InvalidParameter", message));
        }
    };
    let most = call.state.settings.limits.sql_bytes;
    if query.len() > most {
        return Err(Error::invalid(format!("the query has {} bytes, more than {most}", query.len())));
    }
    if !(0..=LOWEST_PRIORITY).contains(&envelope.priority) {
        let message = format!("priority {} is not between 0 and {LOWEST_PRIORITY}", envelope.priority);
        return Err(Error::new(feitian_base::Kind::Invalid, "InvalidParameter", message));
    }
    let job = NewJob {
        guid: envelope.guid,
        priority: envelope.priority,
        source: envelope.source,
        task_name: task.name,
        task_type: task.kind.name().to_string(),
        query,
        settings: task.settings,
    };
    let instance = call.state.warehouse.submit(caller, call.project(), job).await?;
    tracing::Span::current().record("instance", instance.id.as_str());
    tracing::info!(instance = instance.id, "job submitted");
    Ok(instance)
}

/// The `<Job>` element of a query that came without one, as PyODPS (`odps/models/job.py`) would have written it.
pub fn job_element(priority: i64, guid: &str, task_name: &str, query: &str, settings: &[(String, String)]) -> String {
    let object: Map<String, Value> = settings.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect();
    let property = Element::new("Property").leaf("Name", "settings").leaf("Value", Value::Object(object));
    let task = Element::new("SQL")
        .leaf("Name", task_name)
        .child(Element::new("Config").child(property))
        .child(Element::new("Query").cdata(query));
    let job = Element::new("Job")
        .leaf("Priority", priority)
        .maybe("Guid", Some(guid).filter(|g| !g.is_empty()))
        .child(Element::new("Tasks").child(task))
        .child(Element::new("DAG").leaf("RunMode", "Sequence"));
    let document = job.document();
    document.find("<Job").map_or(String::new(), |at| document[at..].to_string())
}
