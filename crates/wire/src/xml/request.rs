//! Documents that clients send: jobs, stop requests, security statements, functions.

use std::ops::Range;

use feitian_base::{Error, Kind, Result};

use super::Node;
use super::node::invalid;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Runs a query.
    Sql,
    /// Estimates the cost of a query without running it.
    SqlCost,
    /// Starts or joins an interactive session.
    SqlRt,
    /// Merges small files, compacts or archives a table.
    Merge,
}

impl TaskKind {
    /// The element name, which is also the `Type` of a task in status documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sql => "SQL",
            Self::SqlCost => "SQLCost",
            Self::SqlRt => "SQLRT",
            Self::Merge => "Merge",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sql, Self::SqlCost, Self::SqlRt, Self::Merge].into_iter().find(|kind| kind.name() == name)
    }
}

/// One task of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub kind: TaskKind,
    pub name: String,
    /// The statement text as sent; empty for kinds without one.
    pub query: String,
    /// What a merge task works on: `t` or `t partition(pt='1')`.
    pub table: Option<String>,
    /// The JSON object in property `settings`, in order; values that are no strings as JSON text.
    pub settings: Vec<(String, String)>,
    /// The JSON object in property `aliases`: names of resources, and those of others that stand for them.
    pub aliases: Vec<(String, String)>,
    /// `uuid` and `biz_id`, in order.
    pub properties: Vec<(String, String)>,
}

/// A job to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// 0 (first) to 9, the default.
    pub priority: i32,
    /// The client's own unique id; a job with the id of an earlier one is the same job.
    pub guid: Option<String>,
    pub name: Option<String>,
    pub comment: Option<String>,
    /// At least one, in document order.
    pub tasks: Vec<Task>,
    /// The `Job` element, byte for byte.
    pub job_xml: String,
}

/// Properties by which clients find their own tasks again; nothing depends on them.
const LABELS: [&str; 2] = ["uuid", "biz_id"];

const JOB_FIELDS: [&str; 10] = [
    "Name",
    "Comment",
    "Owner",
    "CreationTime",
    "LastModifiedTime",
    "Priority",
    "RunningCluster",
    "Guid",
    "Tasks",
    "DAG",
];

/// Parses the body of an instance creation.
///
/// Kinds of tasks that we do not run, elements and properties that we do not know, settings that are no JSON object: all
/// [`Kind::Invalid`] with code `InvalidParameter`, and named.
pub fn parse_instance(body: &[u8]) -> Result<JobRequest> {
    let root = Node::parse(body)?;
    let job = match root.name.as_str() {
        "Job" => &root,
        _ => root.child("Job").ok_or_else(|| {
            let found = root.children.first().map_or("nothing", |c| c.name.as_str());
            invalid(format!("an instance needs a <Job>; <{}> holds {found}", root.name))
        })?,
    };
    known(job, &JOB_FIELDS)?;
    let filled = |name: &str| job.child_text(name).filter(|t| !t.is_empty()).map(str::to_string);
    let priority = match filled("Priority") {
        Some(text) => text.parse().map_err(|_| invalid(format!("Priority '{text}' is no number")))?,
        None => 9,
    };
    if let Some(mode) = job.child("DAG").and_then(|dag| dag.child_text("RunMode"))
        && !mode.eq_ignore_ascii_case("Sequence")
    {
        return Err(invalid(format!("RunMode '{mode}' is not supported; use Sequence")));
    }
    let tasks = job.child("Tasks").map_or(&[][..], |tasks| &tasks.children);
    let tasks = tasks.iter().map(parse_task).collect::<Result<Vec<_>>>()?;
    if tasks.is_empty() {
        return Err(invalid("the job has no task"));
    }
    Ok(JobRequest {
        priority,
        guid: filled("Guid"),
        name: filled("Name"),
        comment: filled("Comment"),
        tasks,
        job_xml: slice(body, job.span.clone()),
    })
}

fn slice(body: &[u8], span: Range<usize>) -> String {
    String::from_utf8_lossy(body.get(span).unwrap_or_default()).into_owned()
}

pub(super) fn known(node: &Node, names: &[&str]) -> Result<()> {
    match node.children.iter().find(|c| !names.contains(&c.name.as_str())) {
        Some(odd) => Err(invalid(format!("<{}> in <{}> is unknown", odd.name, node.name))),
        None => Ok(()),
    }
}

fn parse_task(node: &Node) -> Result<Task> {
    let kind = TaskKind::from_name(&node.name).ok_or_else(|| {
        invalid(format!("tasks of type {} are not supported; use SQL, SQLCost, SQLRT or Merge", node.name))
    })?;
    known(node, &["Name", "Comment", "Config", "Query", "TableName"])?;
    let name = node.child_text("Name").filter(|n| !n.is_empty()).ok_or_else(|| invalid("a task has no <Name>"))?;
    let (mut settings, mut aliases, mut properties) = (vec![], vec![], vec![]);
    if let Some(config) = node.child("Config") {
        known(config, &["Property"])?;
        for property in &config.children {
            let key = property.child_text("Name").unwrap_or_default().to_string();
            let value = property.child("Value").map_or("", Node::literal);
            match key.as_str() {
                "" => return Err(invalid(format!("a property of task {name} has no <Name>"))),
                "settings" => settings.extend(parse_object("settings", name, value)?),
                // What a table is archived with is for the task to refuse: clients look at it before they wait for its end.
                "archiveSettings" if kind == TaskKind::Merge => settings.extend(parse_object(&key, name, value)?),
                "aliases" => aliases = parse_object("aliases", name, value)?,
                _ if LABELS.contains(&key.as_str()) => properties.push((key, value.to_string())),
                _ => return Err(invalid(format!("property '{key}' of task {name} is not supported; leave it out"))),
            }
        }
    }
    let query = node.child("Query").map_or("", Node::literal).to_string();
    let table = node.child_text("TableName").map(str::to_string);
    match kind {
        TaskKind::Sql | TaskKind::SqlCost if query.trim().is_empty() => {
            Err(invalid(format!("task {name} has no <Query>")))
        }
        TaskKind::Merge if table.as_deref().is_none_or(str::is_empty) => {
            Err(invalid(format!("task {name} has no <TableName>")))
        }
        _ => Ok(Task { kind, name: name.to_string(), query, table, settings, aliases, properties }),
    }
}

fn parse_object(what: &str, task: &str, json: &str) -> Result<Vec<(String, String)>> {
    if json.trim().is_empty() {
        return Ok(vec![]);
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json)
        .map_err(|e| invalid(format!("the {what} of task {task} are no JSON object: {e}")))?;
    let text = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(object.into_iter().map(|(key, value)| (key, text(value))).collect())
}

/// Parses the body that stops an instance: `<Instance><Status>Terminated</Status></Instance>`. Any other status is
/// refused.
pub fn parse_stop(body: &[u8]) -> Result<()> {
    let root = Node::parse(body)?;
    match root.child_text("Status") {
        Some("Terminated") => Ok(()),
        Some(status) => Err(invalid(format!("an instance cannot be set to '{status}', only to Terminated"))),
        None => Err(invalid(format!("<{}> has no <Status>", root.name))),
    }
}

/// Parses the body that sets a piece of information on an instance: its key and value.
pub fn parse_info(body: &[u8]) -> Result<(String, String)> {
    let root = Node::parse(body)?;
    let key = root.child_text("Key").filter(|k| !k.is_empty());
    let key = key.ok_or_else(|| invalid(format!("<{}> has no <Key>", root.name)))?;
    Ok((key.to_string(), root.child("Value").map_or("", Node::literal).to_string()))
}

/// A security statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    pub query: String,
    /// Whether the result shall be JSON.
    pub json: bool,
    /// In order.
    pub settings: Vec<(String, String)>,
}

/// Parses the body of a security query.
pub fn parse_authorization(body: &[u8]) -> Result<AuthorizationRequest> {
    let root = Node::parse(body)?;
    known(&root, &["Query", "ResponseInJsonFormat", "Settings"])?;
    let query = root.child("Query").map_or("", Node::literal).trim();
    if query.is_empty() {
        return Err(invalid(format!("<{}> has no <Query>", root.name)));
    }
    let json = root.child_text("ResponseInJsonFormat").is_some_and(|t| t.eq_ignore_ascii_case("true"));
    let settings = parse_object("settings", "authorization", root.child("Settings").map_or("", Node::literal))?;
    Ok(AuthorizationRequest { query: query.to_string(), json, settings })
}

/// A function to register or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRequest {
    pub name: String,
    pub owner: Option<String>,
    pub class_type: String,
    /// Bare names, `project/resources/name` or `project/schemas/schema/resources/name`.
    pub resources: Vec<String>,
}

/// Parses the body of a function registration. Functions given by their code rather than by a class are refused.
pub fn parse_function(body: &[u8]) -> Result<FunctionRequest> {
    let root = Node::parse(body)?;
    if let Some(field) = ["Code", "IsSqlFunction", "IsEmbeddedFunction"]
        .into_iter()
        .find(|name| root.child_text(name).is_some_and(|text| !text.is_empty() && !text.eq_ignore_ascii_case("false")))
    {
        let message = format!("functions with <{field}> are not supported; register a class of a resource");
        return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message));
    }
    known(
        &root,
        &[
            "Alias",
            "Owner",
            "CreationTime",
            "ClassType",
            "Resources",
            "Code",
            "IsSqlFunction",
            "IsEmbeddedFunction",
            "ProgramLanguage",
            "FileName",
        ],
    )?;
    let filled = |name: &str| root.child_text(name).filter(|t| !t.is_empty()).map(str::to_string);
    let missing = |name: &str| invalid(format!("<{}> has no <{name}>", root.name));
    let resources = root.child("Resources").map_or(&[][..], |r| &r.children);
    Ok(FunctionRequest {
        name: filled("Alias").ok_or_else(|| missing("Alias"))?,
        owner: filled("Owner"),
        class_type: filled("ClassType").ok_or_else(|| missing("ClassType"))?,
        resources: resources.iter().map(|r| r.text.trim().to_string()).filter(|r| !r.is_empty()).collect(),
    })
}

/// A schema to create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaRequest {
    pub name: String,
    pub description: String,
}

/// Reads a `<Schema>`. Its owner is the one who asks, so a client that names another one is refused.
pub fn parse_schema_name(body: &[u8]) -> Result<SchemaRequest> {
    let root = Node::parse(body)?;
    known(&root, &["Name", "Description", "Comment", "Type"])?;
    let text = |name: &str| root.child_text(name).map(str::trim).filter(|t| !t.is_empty()).map(str::to_string);
    Ok(SchemaRequest {
        name: text("Name").ok_or_else(|| invalid(format!("<{}> has no <Name>", root.name)))?,
        description: text("Description").or_else(|| text("Comment")).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Layout: odps/models/job.py and odps/models/tasks of PyODPS, pretty-printed as it sends them.
    const JOB: &str = r#"<Job>
    <Priority>1</Priority>
    <Guid>g-1</Guid>
    <Tasks>
      <SQL>
        <Name>AnonymousSQLTask</Name>
        <Config>
          <Property><Name>settings</Name><Value>{"odps.sql.type.system.odps2": "true", "n": 3}</Value></Property>
          <Property><Name>uuid</Name><Value>5e1f</Value></Property>
          <Property><Name>aliases</Name><Value>{"a.py": "b.py"}</Value></Property>
        </Config>
        <Query><![CDATA[select '<a>&amp;' from t where a < 1;]]></Query>
      </SQL>
    </Tasks>
    <DAG><RunMode>Sequence</RunMode></DAG>
  </Job>"#;

    fn instance(job: &str) -> Vec<u8> {
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Instance>\n  {job}\n</Instance>").into_bytes()
    }

    #[test]
    fn a_job_is_read_and_kept_as_it_was() {
        let job = parse_instance(&instance(JOB)).unwrap();
        assert_eq!((job.priority, job.guid.as_deref(), job.name.as_deref()), (1, Some("g-1"), None));
        assert_eq!(job.job_xml, JOB);
        let [task] = &job.tasks[..] else { panic!("one task") };
        assert_eq!((task.kind, task.name.as_str()), (TaskKind::Sql, "AnonymousSQLTask"));
        assert_eq!(task.query, "select '<a>&amp;' from t where a < 1;");
        let pair = |k: &str, v: &str| (k.to_string(), v.to_string());
        assert_eq!(task.settings, [pair("odps.sql.type.system.odps2", "true"), pair("n", "3")]);
        assert_eq!(task.properties, [pair("uuid", "5e1f")]);
        assert_eq!(task.aliases, [pair("a.py", "b.py")]);
    }

    #[test]
    fn a_merge_task_names_its_table() {
        let job = "<Job><Tasks><Merge><Name>m</Name><Config/><TableName>t partition(pt='1')</TableName></Merge></Tasks></Job>";
        let job = parse_instance(&instance(job)).unwrap();
        assert_eq!((job.tasks[0].kind, job.tasks[0].table.as_deref()), (TaskKind::Merge, Some("t partition(pt='1')")));
        assert_eq!(job.priority, 9);
        // As PyODPS sends it (odps/models/tasks/merge.py).
        let job = "<Job><Tasks><Merge><Name>m</Name><Config><Property><Name>archiveSettings</Name>\
                   <Value>{\"odps.merge.archive.flag\": true}</Value></Property></Config><TableName>t</TableName></Merge></Tasks></Job>";
        let job = parse_instance(&instance(job)).unwrap();
        assert_eq!(job.tasks[0].settings, [("odps.merge.archive.flag".to_string(), "true".to_string())]);
    }

    #[test]
    fn what_we_do_not_run_is_refused_by_name() {
        let sql = "<SQL><Name>n</Name><Query>q</Query></SQL>";
        for (job, named) in [
            ("<Job><Tasks><CUPID><Name>n</Name></CUPID></Tasks></Job>".to_string(), "CUPID"),
            ("<XflowInstance/>".to_string(), "XflowInstance"),
            (format!("<Job><Tasks>{sql}</Tasks><DAG><RunMode>Parallel</RunMode></DAG></Job>"), "Parallel"),
            (format!("<Job><Tasks>{sql}</Tasks><Deadline>1</Deadline></Job>"), "Deadline"),
            (format!("<Job><Tasks>{sql}</Tasks><Priority>high</Priority></Job>"), "high"),
            ("<Job><Tasks/></Job>".to_string(), "no task"),
            (
                "<Job><Tasks><SQL><Name>n</Name><Config><Property><Name>archiveSettings</Name><Value>{}</Value>\
                 </Property></Config><Query>q</Query></SQL></Tasks></Job>"
                    .to_string(),
                "archiveSettings",
            ),
            ("<Job><Tasks><SQL><Name>n</Name></SQL></Tasks></Job>".to_string(), "<Query>"),
            ("<Job><Tasks><Merge><Name>n</Name></Merge></Tasks></Job>".to_string(), "<TableName>"),
            (
                "<Job><Tasks><SQL><Name>n</Name><Config><Property><Name>settings</Name><Value>[1]</Value></Property>\
                 </Config><Query>q</Query></SQL></Tasks></Job>"
                    .to_string(),
                "JSON object",
            ),
        ] {
            let e = parse_instance(&instance(&job)).expect_err(&job);
            assert_eq!(e.code(), "InvalidParameter");
            assert!(e.message().contains(named), "{job}: {e}");
        }
    }

    #[test]
    fn small_requests_are_read() {
        parse_stop(b"<Instance><Status>Terminated</Status></Instance>").unwrap();
        assert!(parse_stop(b"<Instance><Status>Running</Status></Instance>").is_err());
        let got = parse_info(b"<Instance><Key>k</Key><Value>{\"a\":1}</Value></Instance>").unwrap();
        assert_eq!(got, ("k".into(), "{\"a\":1}".into()));
        let got = parse_authorization(
            b"<Authorization><Query>whoami</Query><ResponseInJsonFormat>true</ResponseInJsonFormat></Authorization>",
        )
        .unwrap();
        assert_eq!((got.query.as_str(), got.json), ("whoami", true));
        let got = parse_function(
            b"<Function><Alias>f</Alias><ClassType>m.C</ClassType><Resources><ResourceName>p/resources/m.py</ResourceName>\
              </Resources></Function>",
        )
        .unwrap();
        assert_eq!((got.name.as_str(), &got.resources[..]), ("f", &["p/resources/m.py".to_string()][..]));
        let sql = b"<Function><Alias>f</Alias><Code>select 1</Code></Function>";
        assert_eq!(parse_function(sql).unwrap_err().kind(), Kind::Unsupported);
    }
}
