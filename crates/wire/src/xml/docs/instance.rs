//! Instances: list, status, tasks, results, progress.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::Element;
use super::{Page, http_date};

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceStatus {
    Running,
    Suspended,
    Terminated,
}

impl InstanceStatus {
    /// The word of the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Suspended => "Suspended",
            Self::Terminated => "Terminated",
        }
    }
}

/// What a list shows of an instance.
#[derive(Debug, Clone)]
pub struct InstanceSummary {
    pub id: String,
    pub owner: String,
    pub start_ms: i64,
    pub end_ms: Option<i64>,
    pub status: InstanceStatus,
}

/// The list of instances, newest first.
pub fn instances<'a>(items: impl IntoIterator<Item = &'a InstanceSummary>, page: &Page) -> String {
    let element = |i: &InstanceSummary| {
        Element::new("Instance")
            .leaf("Name", &i.id)
            .leaf("Owner", &i.owner)
            .leaf("StartTime", http_date(i.start_ms))
            .leaf("EndTime", i.end_ms.map(http_date).unwrap_or_default())
            .leaf("Status", i.status.name())
    };
    page.list("Instances").children(items.into_iter().map(element)).document()
}

/// The list of queueing infos; `content` is a JSON array of objects.
pub fn cached_instances(content: &serde_json::Value, page: &Page) -> String {
    page.list("Instances").child(Element::new("Content").cdata(&content.to_string())).document()
}

/// The instance document: nothing but the status.
pub fn instance_status(status: InstanceStatus) -> String {
    Element::new("Instance").leaf("Status", status.name()).document()
}

/// Where a task stands.
#[derive(Debug, Clone)]
pub struct TaskStatus {
    /// `SQL`, `SQLCost`, ...
    pub kind: String,
    pub name: String,
    /// Not before the start of the instance.
    pub start_ms: i64,
    pub end_ms: Option<i64>,
    /// `Waiting`, `Running`, `Success`, `Failed`, `Suspended` or `Cancelled`.
    pub status: String,
}

/// The status of an instance and its tasks.
pub fn task_status<'a>(status: InstanceStatus, tasks: impl IntoIterator<Item = &'a TaskStatus>) -> String {
    let element = |t: &TaskStatus| {
        Element::new("Task")
            .attr("Type", &t.kind)
            .leaf("Name", &t.name)
            .leaf("StartTime", http_date(t.start_ms))
            .maybe("EndTime", t.end_ms.map(http_date))
            .leaf("Status", &t.status)
            .child(Element::new("Histories"))
    };
    let tasks = Element::new("Tasks").children(tasks.into_iter().map(element));
    Element::new("Instance").leaf("Status", status.name()).child(tasks).document()
}

/// What a task left behind.
#[derive(Debug, Clone)]
pub struct TaskResult {
    pub kind: String,
    pub name: String,
    /// As in [`TaskStatus`].
    pub status: String,
    /// `csv` for a SELECT, `text` otherwise.
    pub format: &'static str,
    /// Any bytes: they travel as Base64. For a failed task the error text.
    pub result: Vec<u8>,
    /// JSON that makes clients type the values of the result; without it all are strings.
    pub descriptor: Option<String>,
}

/// The results of all tasks of an instance.
pub fn result<'a>(tasks: impl IntoIterator<Item = &'a TaskResult>) -> String {
    let element = |t: &TaskResult| {
        let result = Element::new("Result").attr("Transform", "Base64").attr("Format", t.format);
        let result = if t.result.is_empty() { result } else { result.cdata(&STANDARD.encode(&t.result)) };
        let task = Element::new("Task").attr("Type", &t.kind).leaf("Name", &t.name).child(result);
        let task = match &t.descriptor {
            Some(json) => task.child(Element::new("ResultDescriptor").cdata(json)),
            None => task,
        };
        task.leaf("Status", &t.status)
    };
    Element::new("Instance").child(Element::new("Tasks").children(tasks.into_iter().map(element))).document()
}

/// Progress of one stage of a task.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// For example `M1_job_0`.
    pub id: String,
    pub backup_workers: u64,
    pub terminated_workers: u64,
    pub running_workers: u64,
    pub total_workers: u64,
    pub input_records: u64,
    pub output_records: u64,
    /// 0 to 100.
    pub finished_percentage: u64,
}

/// The progress of a task. Clients want at least one stage, also after the end.
pub fn progress<'a>(stages: impl IntoIterator<Item = &'a Stage>) -> String {
    let element = |s: &Stage| {
        Element::new("Stage")
            .attr("ID", &s.id)
            .leaf("BackupWorkers", s.backup_workers)
            .leaf("TerminatedWorkers", s.terminated_workers)
            .leaf("RunningWorkers", s.running_workers)
            .leaf("TotalWorkers", s.total_workers)
            .leaf("InputRecords", s.input_records)
            .leaf("OutputRecords", s.output_records)
            .leaf("FinishedPercentage", s.finished_percentage)
    };
    Element::new("Progress").children(stages.into_iter().map(element)).document()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::Node;
    use super::*;

    fn task(result: &[u8]) -> TaskResult {
        let (kind, name, status) = ("SQL".into(), "AnonymousSQLTask".into(), "Success".into());
        TaskResult { kind, name, status, format: "csv", result: result.to_vec(), descriptor: None }
    }

    // The Base64 text is that of the shell: printf '"id"\n1\n' | base64
    #[test]
    fn results_travel_as_base64() {
        let doc = result([&task(b"\"id\"\n1\n")]);
        let task_node = Node::parse(doc.as_bytes()).unwrap().children[0].children[0].clone();
        assert_eq!(task_node.attribute("Type"), Some("SQL"));
        let node = task_node.child("Result").unwrap();
        assert_eq!((node.text.as_str(), node.attribute("Transform")), ("ImlkIgoxCg==", Some("Base64")));
        assert!(task_node.child("ResultDescriptor").is_none());
        assert!(result([&task(b"")]).contains("<Result Transform=\"Base64\" Format=\"csv\"/>"));
    }

    // Names: odps/models/instance.py of PyODPS.
    #[test]
    fn status_and_progress_have_the_fields_clients_read() {
        let task =
            TaskStatus { kind: "SQL".into(), name: "t".into(), start_ms: 0, end_ms: None, status: "Running".into() };
        let node = Node::parse(task_status(InstanceStatus::Running, [&task]).as_bytes()).unwrap();
        assert_eq!(node.child_text("Status"), Some("Running"));
        let item = &node.child("Tasks").unwrap().children[0];
        assert_eq!((item.child_text("Name"), item.child("EndTime")), (Some("t"), None));
        let stage = Stage { id: "M1_job_0".into(), finished_percentage: 100, ..Stage::default() };
        let node = Node::parse(progress([&stage]).as_bytes()).unwrap();
        assert_eq!(node.children[0].attribute("ID"), Some("M1_job_0"));
        assert_eq!(node.children[0].children.len(), 7);
        let item = InstanceSummary {
            id: "i".into(),
            owner: "o".into(),
            start_ms: 0,
            end_ms: None,
            status: InstanceStatus::Terminated,
        };
        let node = Node::parse(instances([&item], &Page::default()).as_bytes()).unwrap();
        assert_eq!(node.child("Instance").unwrap().child_text("Status"), Some("Terminated"));
        let node = Node::parse(cached_instances(&serde_json::json!([{}]), &Page::default()).as_bytes()).unwrap();
        assert_eq!(node.child("Content").unwrap().text, "[{}]");
    }
}
