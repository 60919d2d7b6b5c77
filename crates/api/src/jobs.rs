//! Submitting a job, however it came in.

use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::{ALIASES_SETTING, Access, Instance, TOKEN_JOBS, TOKEN_SETTING, TOKEN_TABLES};
use feitian_wire::xml::{Element, Task, TaskKind};
use serde_json::{Map, Value};

use crate::call::Call;
use crate::identity::Identity;
use crate::rights::denied;
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
        TaskKind::SqlRt => String::new(),
    };
    let most = call.state.settings.limits.sql_bytes;
    if query.len() > most {
        return Err(Error::invalid(format!("the query has {} bytes, more than {most}", query.len())));
    }
    if !(0..=LOWEST_PRIORITY).contains(&envelope.priority) {
        let message = format!("priority {} is not between 0 and {LOWEST_PRIORITY}", envelope.priority);
        return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
    }
    if !task.aliases.is_empty() && !matches!(task.kind, TaskKind::Sql | TaskKind::SqlCost) {
        let message = format!("aliases are not for tasks of type {}; leave them out", task.kind.name());
        return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
    }
    let mut settings = with_scope(task.settings, &call.identity, call.project());
    settings.extend(aliases(task.aliases)?);
    let job = NewJob {
        guid: envelope.guid,
        priority: envelope.priority,
        source: envelope.source,
        task_name: task.name,
        task_type: task.kind.name().to_string(),
        query,
        settings,
    };
    let instance = call.state.warehouse.submit(caller, call.project(), job).await?;
    refuse_foreign(call, caller, &instance).await?;
    tracing::Span::current().record("instance", instance.id.as_str());
    tracing::info!(instance = instance.id, "job submitted");
    Ok(instance)
}

/// Refuses the job of somebody else, which a known guid finds, to users who may look at their own jobs only.
pub async fn refuse_foreign(call: &Call, caller: &Caller, instance: &Instance) -> Result<()> {
    let manages = caller.admin && matches!(call.identity, Identity::Account(_));
    if instance.owner == caller.name || manages {
        return Ok(());
    }
    match call.state.meta.access(call.project(), &caller.account_id).await? {
        Access::Whole => Ok(()),
        Access::Granted | Access::None => Err(denied(format!(
            "the guid '{}' is one of a job that another account submitted in project '{}'; send one of your own",
            instance.guid, instance.project
        ))),
    }
}

/// The job's settings, which say when it came with a bearer token and how far that goes, whatever the client wrote.
fn with_scope(mut settings: Vec<(String, String)>, who: &Identity, project: &str) -> Vec<(String, String)> {
    settings.retain(|(key, _)| key != TOKEN_SETTING && key != ALIASES_SETTING);
    if let Identity::Token { grant, .. } = who {
        let scope = if grant.policy.allows_jobs(project) { TOKEN_JOBS } else { TOKEN_TABLES };
        settings.push((TOKEN_SETTING.to_string(), scope.to_string()));
    }
    settings
}

/// The setting by which a job knows the aliases of its task.
fn aliases(aliases: Vec<(String, String)>) -> Result<Option<(String, String)>> {
    let is_wrong = |(name, other): &&(String, String)| other.is_empty() || name.contains('/') || other.contains('/');
    if let Some((name, other)) = aliases.iter().find(is_wrong) {
        let message = format!("alias '{name}' of '{other}': both must be names of resources, without a project");
        return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
    }
    let object: Map<String, Value> = aliases.into_iter().map(|(name, other)| (name, Value::String(other))).collect();
    Ok((!object.is_empty()).then(|| (ALIASES_SETTING.to_string(), Value::Object(object).to_string())))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use feitian_meta::Policy;
    use serde_json::json;

    use super::*;
    use crate::identity::Grant;

    fn caller() -> Caller {
        Caller { account_id: "1".into(), name: "ALIYUN$demo".into(), admin: false }
    }

    fn scope(action: &str, resource: &str) -> Option<String> {
        let every_table = json!({
            "Effect": "Allow", "Action": "*", "Resource": ["acs:odps:*:projects/p", "acs:odps:*:projects/p/tables/*"]
        });
        let more = json!({ "Effect": "Allow", "Action": action, "Resource": resource });
        let policy = Policy::parse(&json!({ "Version": "1", "Statement": [every_table, more] })).unwrap();
        assert!(policy.allows_sql("p"));
        let who = Identity::Token { caller: caller(), grant: Grant { project: "p".into(), policy } };
        let claimed = vec![(TOKEN_SETTING.to_string(), TOKEN_JOBS.to_string()), ("a".to_string(), "1".to_string())];
        let settings = with_scope(claimed, &who, "p");
        assert_eq!(settings[0], ("a".to_string(), "1".to_string()));
        settings.into_iter().find(|(key, _)| key == TOKEN_SETTING).map(|(_, scope)| scope)
    }

    // The actions are those that ListInstances and GetInstance ask for in the table of operations.
    #[test]
    fn a_job_says_how_far_its_token_goes_and_the_client_has_no_say_in_it() {
        let jobs = "acs:odps:*:projects/p/instances/*";
        assert_eq!(scope("odps:Read", jobs).as_deref(), Some("jobs"));
        assert_eq!(scope("odps:Write", jobs).as_deref(), Some("tables"));
        assert_eq!(scope("odps:Read", "acs:odps:*:projects/p/instances/i1").as_deref(), Some("tables"));
        let claimed = [TOKEN_SETTING, ALIASES_SETTING].map(|key| (key.to_string(), TOKEN_TABLES.to_string())).to_vec();
        assert!(with_scope(claimed, &Identity::Account(caller()), "p").is_empty());
    }

    #[test]
    fn aliases_are_a_setting_of_the_job() {
        let pair = |name: &str, other: &str| (name.to_string(), other.to_string());
        assert_eq!(aliases(Vec::new()).unwrap(), None);
        let (key, value) = aliases(vec![pair("a.py", "b\"")]).unwrap().unwrap();
        assert_eq!((key.as_str(), value.as_str()), (ALIASES_SETTING, r#"{"a.py":"b\""}"#));
        for wrong in [pair("a", ""), pair("a", "p/resources/b"), pair("p/resources/a", "b")] {
            assert_eq!(aliases(vec![wrong]).unwrap_err().code(), "InvalidParameter");
        }
    }
}
