//! Policies: what a bearer token, an account of a project or whoever has a role may do.
//!
//! The language is MaxCompute's: `{"Version":"1","Statement":[{"Effect":"Allow","Action":["odps:Read"],
//! "Resource":"acs:odps:*:projects/p/instances/i"}]}`. `*` stands for any text, in actions and resources alike. A `Deny`
//! statement beats every `Allow`; what no statement allows is refused. The policy of a project says in `Principal` whom a
//! statement is about. Whatever could not be acted on is refused by its name when a policy is given: nobody should rest on a
//! word that nothing reads.

use feitian_base::{Error, Kind, Result};
use serde_json::Value;

/// A parsed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    allow: bool,
    actions: Vec<String>,
    /// Names of accounts; `None` and `*` mean everybody whom the policy is about.
    principals: Option<Vec<String>>,
    resources: Vec<String>,
}

/// What a token may at most ask of the project's tables before it may run SQL on them.
const TABLE_ACTIONS: [&str; 6] =
    ["odps:Describe", "odps:Select", "odps:Alter", "odps:Update", "odps:Drop", "odps:ShowHistory"];

/// The actions that are asked for somewhere, and those on things that feitian lacks, which nobody can do anyway.
const ACTIONS: [&str; 23] = [
    "odps:Read",
    "odps:List",
    "odps:Write",
    "odps:CreateTable",
    "odps:CreateInstance",
    "odps:CreateFunction",
    "odps:CreateResource",
    "odps:CreateSchema",
    "odps:Describe",
    "odps:Select",
    "odps:Update",
    "odps:Alter",
    "odps:Drop",
    "odps:Delete",
    "odps:Execute",
    "odps:All",
    "odps:CreateJob",
    "odps:CreateVolume",
    "odps:CreatePackage",
    "odps:CreateModel",
    "odps:CreateOfflineModel",
    "odps:CreateXFlow",
    "odps:CreateConnection",
];

/// What may stand behind `projects/p/` in the name of a resource; [`NAME`] is the place of a name.
const OBJECTS: [&str; 19] = [
    "tables/#",
    "registration/functions/#",
    "functions/#",
    "resources/#",
    "instances/#",
    "roles/#",
    "schemas/#",
    "schemas/#/tables/#",
    "schemas/#/registration/functions/#",
    "schemas/#/functions/#",
    "schemas/#/resources/#",
    "volumes/#",
    "schemas/#/volumes/#",
    "packages/#",
    "jobs/#",
    "models/#",
    "offlinemodels/#",
    "xflows/#",
    "connections/#",
];

/// What stands for the policy of a project or a role without one. It says nothing, and clients can read it.
pub const NO_POLICY: &str = r#"{"Statement":[],"Version":"1"}"#;

/// Stands for a name in [`OBJECTS`].
const NAME: u8 = b'#';

/// The most bytes of a policy that is kept: as many as MaxCompute takes.
const MAX_BYTES: usize = 32 << 10;
/// The most bytes of one name of resources in it.
const MAX_RESOURCE_BYTES: usize = 1024;

/// What a policy belongs to: what its statements may say depends on that.
#[derive(Clone, Copy)]
enum Of<'a> {
    Token,
    Project(&'a str),
    Role(&'a str),
}

impl Policy {
    /// Reads the policy of a token. Keys that are not understood are refused by name, since leaving one out could widen the
    /// policy.
    pub fn parse(value: &Value) -> Result<Self> {
        Self::read(value, Of::Token)
    }

    /// Reads the policy of a project. Each statement says in `Principal` whom it is about.
    pub fn of_project(text: &str, project: &str) -> Result<Self> {
        Self::read(&kept(text)?, Of::Project(project))
    }

    /// Reads the policy of a role of the project. It is about whoever has the role.
    pub fn of_role(text: &str, project: &str) -> Result<Self> {
        Self::read(&kept(text)?, Of::Role(project))
    }

    fn read(value: &Value, of: Of<'_>) -> Result<Self> {
        let object = value.as_object().ok_or_else(|| invalid("the policy is not a JSON object"))?;
        for key in object.keys() {
            if key != "Statement" && key != "Version" {
                return Err(invalid(format!("policy key '{key}' is not supported; use Version and Statement")));
            }
        }
        if let Some(version) = object.get("Version")
            && version.as_str() != Some("1")
        {
            return Err(invalid(format!("policy version {version} is not supported; use \"1\"")));
        }
        let statements = match object.get("Statement") {
            Some(Value::Array(items)) => items.iter().map(|s| Statement::parse(s, of)).collect::<Result<Vec<_>>>()?,
            Some(one @ Value::Object(_)) => vec![Statement::parse(one, of)?],
            _ => return Err(invalid("the policy has no Statement")),
        };
        Ok(Self { statements })
    }

    /// The accounts that it names.
    pub(crate) fn principals(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().flat_map(|s| s.principals.iter().flatten()).map(String::as_str).filter(|p| *p != "*")
    }

    /// True if some statement takes something from the account.
    pub(crate) fn denies_to(&self, account: &str) -> bool {
        self.statements.iter().any(|s| !s.allow && s.is_about(account))
    }

    /// Whether it lets the account do `action` (for example `odps:Read`) with what has these names; `None` if it says
    /// nothing of that.
    pub fn verdict(&self, account: &str, action: &str, names: &[String]) -> Option<bool> {
        let about = |s: &&Statement| s.is_about(account) && names.iter().any(|name| s.covers(action, name));
        self.statements.iter().filter(about).map(|s| s.allow).reduce(|all, one| all && one)
    }

    /// True when the policy allows `action` (for example `odps:Read`) on `resource` (for example `projects/p/tables/t`).
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        self.verdict("", action, &[resource.to_string()]) == Some(true)
    }

    /// True when the policy allows everything that SQL could do in `project`.
    ///
    /// The tables of a statement are known only after planning, so they are not compared one by one: a policy that
    /// names single tables, or denies anything, does not submit SQL.
    pub fn allows_sql(&self, project: &str) -> bool {
        // The pattern `projects/p/tables/*` covers the text `projects/p/tables/*`; a pattern for one table does not.
        let (whole, every_table) = (format!("projects/{project}"), format!("projects/{project}/tables/*"));
        self.statements.iter().all(|s| s.allow)
            && ["odps:CreateInstance", "odps:CreateTable"].iter().all(|a| self.allows(a, &whole))
            && TABLE_ACTIONS.iter().all(|a| self.allows(a, &every_table))
    }

    /// The same for the tables in the schemas of `project`.
    pub fn allows_sql_in_schemas(&self, project: &str) -> bool {
        let every_table = format!("projects/{project}/schemas/*/tables/*");
        TABLE_ACTIONS.iter().all(|a| self.allows(a, &every_table))
    }

    /// True when the policy allows to list the jobs of `project` and to look at each.
    pub fn allows_jobs(&self, project: &str) -> bool {
        self.allows("odps:List", &format!("projects/{project}"))
            && self.allows("odps:Read", &format!("projects/{project}/instances/*"))
            && self.statements.iter().all(|s| s.allow)
    }
}

impl Statement {
    fn parse(value: &Value, of: Of<'_>) -> Result<Self> {
        let object = value.as_object().ok_or_else(|| invalid("a policy statement is not a JSON object"))?;
        for key in object.keys() {
            match (key.as_str(), of) {
                ("Effect" | "Action" | "Resource", _) | ("Principal", Of::Project(_)) => {}
                ("Principal", _) => {
                    return Err(invalid("policy statement key 'Principal' is for the policies of projects alone"));
                }
                _ => {
                    return Err(invalid(format!(
                        "policy statement key '{key}' is not supported; use Effect, Action, Resource"
                    )));
                }
            }
        }
        let allow = match object.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(invalid("Effect of a policy statement must be \"Allow\" or \"Deny\"")),
        };
        let actions = texts(object.get("Action"), "Action")?;
        let resources = texts(object.get("Resource"), "Resource")?;
        let principals = match of {
            Of::Project(_) => Some(texts(object.get("Principal"), "Principal")?),
            Of::Token | Of::Role(_) => None,
        };
        if let Of::Project(project) | Of::Role(project) = of {
            actions.iter().try_for_each(|a| check_action(a))?;
            resources.iter().try_for_each(|r| check_resource(r, project, allow))?;
        }
        let resources = resources.into_iter().map(|r| relative(&r).map(str::to_string)).collect::<Result<_>>()?;
        Ok(Self { allow, actions, principals, resources })
    }

    fn is_about(&self, account: &str) -> bool {
        self.principals.as_ref().is_none_or(|all| all.iter().any(|p| p == "*" || p == account))
    }

    fn covers(&self, action: &str, resource: &str) -> bool {
        let is_all = |pattern: &str| pattern.eq_ignore_ascii_case("odps:All");
        self.actions.iter().any(|a| is_all(a) || matches(a, action))
            && self.resources.iter().any(|r| matches(r, resource))
    }
}

/// The JSON of a policy that is kept.
fn kept(text: &str) -> Result<Value> {
    if text.len() > MAX_BYTES {
        return Err(invalid(format!("the policy has {} bytes, more than {MAX_BYTES}", text.len())));
    }
    serde_json::from_str(text).map_err(|e| invalid(format!("the policy is not JSON: {e}")))
}

/// Refuses an action that is done here without anybody asking for it by this name.
fn check_action(pattern: &str) -> Result<()> {
    if ACTIONS.iter().any(|action| matches(pattern, action)) {
        return Ok(());
    }
    Err(invalid(format!("policy action '{pattern}' is not supported; there are {}", ACTIONS.join(", "))))
}

/// Refuses a name that nothing in the project can have.
fn check_resource(resource: &str, project: &str, allow: bool) -> Result<()> {
    let refused = |why: &str| Err(invalid(format!("policy resource '{resource}' is not supported: {why}")));
    if resource.len() > MAX_RESOURCE_BYTES {
        return refused(&format!("it has more than {MAX_RESOURCE_BYTES} bytes"));
    }
    if resource.contains(['?', '#']) {
        return refused("only * stands for other text");
    }
    let pattern = relative(resource)?;
    if resource != "*" && !resource.starts_with("acs:odps:*:") {
        return refused("there are no regions; write acs:odps:*:");
    }
    if allow && pattern.to_lowercase().contains("/instances") {
        return refused("the jobs of others stay theirs, whatever is allowed");
    }
    let whole = format!("projects/{}", project.to_lowercase());
    let covers_one = OBJECTS.iter().any(|object| can_cover(pattern, &format!("{whole}/{object}")));
    if covers_one || can_cover(pattern, &whole) {
        return Ok(());
    }
    refused(&format!("nothing in project '{project}' that rights are asked for has such a name"))
}

/// True if `pattern` covers some text of this form, in which [`NAME`] stands for any text without a slash.
fn can_cover(pattern: &str, form: &str) -> bool {
    let (p, f) = (pattern.to_lowercase().into_bytes(), form.as_bytes());
    let mut seen = vec![false; (p.len() + 1) * (f.len() + 1)];
    let mut places = vec![(0, 0)];
    while let Some((i, j)) = places.pop() {
        if i == p.len() && j == f.len() {
            return true;
        }
        if std::mem::replace(&mut seen[i * (f.len() + 1) + j], true) {
            continue;
        }
        match (p.get(i), f.get(j)) {
            (Some(b'*'), there) => {
                places.push((i + 1, j));
                places.extend(there.map(|_| (i, j + 1)));
            }
            (here, Some(&NAME)) => {
                places.push((i, j + 1));
                places.extend(here.filter(|c| **c != b'/').map(|_| (i + 1, j)));
            }
            (Some(here), Some(there)) if here == there => places.push((i + 1, j + 1)),
            _ => {}
        }
    }
    false
}

fn texts(value: Option<&Value>, key: &str) -> Result<Vec<String>> {
    let wrong = || invalid(format!("{key} of a policy statement must be a text or a list of texts"));
    match value {
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(items)) => {
            items.iter().map(|v| v.as_str().map(str::to_string).ok_or_else(wrong)).collect::<Result<Vec<_>>>()
        }
        _ => Err(wrong()),
    }
}

/// The part of a resource name after `acs:odps:<region>:`.
fn relative(resource: &str) -> Result<&str> {
    if resource == "*" {
        return Ok(resource);
    }
    let rest = resource.strip_prefix("acs:odps:").and_then(|r| r.split_once(':')).map(|(_region, rest)| rest);
    rest.ok_or_else(|| invalid(format!("policy resource '{resource}' does not begin acs:odps:*:")))
}

/// Matches `*` (any text) and otherwise letter by letter without case: object names have none.
fn matches(pattern: &str, text: &str) -> bool {
    let (p, t) = (pattern.to_lowercase().into_bytes(), text.to_lowercase().into_bytes());
    let (mut pi, mut ti) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while ti < t.len() {
        if p.get(pi) == Some(&b'*') {
            star = Some((pi, ti));
            pi += 1;
        } else if p.get(pi) == Some(&t[ti]) {
            (pi, ti) = (pi + 1, ti + 1);
        } else if let Some((star_pi, star_ti)) = star {
            star = Some((star_pi, star_ti + 1));
            (pi, ti) = (star_pi + 1, star_ti + 1);
        } else {
            return false;
        }
    }
    p[pi..].iter().all(|c| *c == b'*')
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        Policy::parse(&serde_json::from_str(text).unwrap()).unwrap()
    }

    // The policy of PyODPS odps/models/instance.py, _get_legacy_logview_address.
    #[test]
    fn the_logview_policy_opens_one_instance_for_reading() {
        let p = policy(
            r#"{"Statement":[{"Action":["odps:Read"],"Effect":"Allow","Resource":"acs:odps:*:projects/p/instances/i1"}],
                "Version":"1"}"#,
        );
        assert!(p.allows("odps:Read", "projects/p/instances/i1"));
        assert!(p.allows("odps:read", "projects/P/instances/i1"));
        for (action, resource) in [
            ("odps:Write", "projects/p/instances/i1"),
            ("odps:Read", "projects/p/instances/i2"),
            ("odps:Read", "projects/q/instances/i1"),
            ("odps:CreateInstance", "projects/p"),
        ] {
            assert!(!p.allows(action, resource), "{action} {resource}");
        }
        assert!(!p.allows_sql("p"));
    }

    // MaxCompute documentation, "Policy-based access control": a Deny takes precedence, actions may be odps:*.
    #[test]
    fn deny_beats_allow_and_stars_cover_any_text() {
        let p = policy(
            r#"{"Statement":[{"Action":"odps:*","Effect":"Allow","Resource":["acs:odps:*:projects/p","acs:odps:*:projects/p/*"]},
                {"Action":["odps:Drop"],"Effect":"Deny","Resource":"acs:odps:*:projects/p/tables/t*"}]}"#,
        );
        assert!(p.allows("odps:Drop", "projects/p/tables/x"));
        assert!(!p.allows("odps:Drop", "projects/p/tables/t1"));
        assert!(p.allows("odps:Select", "projects/p/tables/t1"));
        assert!(!p.allows_sql("p"), "a policy that denies something does not run SQL");
        let all = policy(r#"{"Statement":{"Action":"*","Effect":"Allow","Resource":"acs:odps:*:projects/p*"}}"#);
        assert!(all.allows_sql("p"));
        let one = policy(
            r#"{"Statement":[{"Action":"*","Effect":"Allow","Resource":["acs:odps:*:projects/p","acs:odps:*:projects/p/tables/t"]}]}"#,
        );
        assert!(!one.allows_sql("p"), "a policy for one table does not run SQL");
        let making = |action: &str| {
            policy(&format!(
                r#"{{"Statement":[{{"Action":["odps:CreateInstance"{action}],"Effect":"Allow","Resource":"acs:odps:*:projects/p"}},
                    {{"Action":"*","Effect":"Allow","Resource":"acs:odps:*:projects/p/tables/*"}}]}}"#
            ))
        };
        assert!(making(r#","odps:CreateTable""#).allows_sql("p"));
        assert!(!making("").allows_sql("p"), "SQL makes tables");
    }

    fn names(name: &str) -> Vec<String> {
        vec![name.to_string()]
    }

    // PyODPS odps/models/tests/test_security.py, TEST_PROJECT_POLICY_STRING and TEST_ROLE_POLICY_STRING.
    #[test]
    fn policies_of_projects_and_roles_are_those_that_clients_send() {
        let p = Policy::of_project(
            r#"{"Statement":[
                {"Action":["odps:*"],"Effect":"Allow","Principal":["*"],"Resource":["acs:odps:*:projects/p"]},
                {"Action":["odps:*"],"Effect":"Allow","Principal":["*"],"Resource":["acs:odps:*:projects/p/tables/*"]},
                {"Action":["odps:*"],"Effect":"Allow","Principal":["*"],"Resource":["acs:odps:*:projects/p/functions/*"]},
                {"Action":["odps:*"],"Effect":"Allow","Principal":["*"],"Resource":["acs:odps:*:projects/p/resources/*"]},
                {"Action":["odps:Read"],"Effect":"Allow","Principal":["*"],
                 "Resource":["acs:odps:*:projects/p/packages/base_common.datamask"]}],"Version":"1"}"#,
            "p",
        )
        .unwrap();
        assert_eq!(p.verdict("ALIYUN$anna", "odps:Select", &names("projects/p/tables/t")), Some(true));
        assert_eq!(p.verdict("ALIYUN$anna", "odps:Select", &names("projects/p/schemas/s/tables/t")), None);
        assert!(!p.denies_to("ALIYUN$anna"));
        let r = Policy::of_role(
            r#"{"Statement":[
                {"Action":["odps:Describe","odps:Select"],"Effect":"Allow","Resource":["acs:odps:*:projects/p/tables/*"]},
                {"Action":["odps:Write","odps:CreateTable","odps:CreateInstance","odps:CreateFunction",
                 "odps:CreateResource","odps:CreateJob","odps:CreateVolume"],"Effect":"Deny",
                 "Resource":["acs:odps:*:projects/p"]},
                {"Action":["odps:Alter","odps:Update","odps:Drop"],"Effect":"Deny",
                 "Resource":["acs:odps:*:projects/p/tables/*"]}],"Version":"1"}"#,
            "p",
        )
        .unwrap();
        assert!(r.denies_to("ALIYUN$anna"));
        assert_eq!(r.verdict("ALIYUN$anna", "odps:Drop", &names("projects/p/tables/t")), Some(false));
        assert_eq!(r.verdict("ALIYUN$anna", "odps:CreateFunction", &names("projects/p")), Some(false));
        assert_eq!(r.verdict("ALIYUN$anna", "odps:Select", &names("projects/p/tables/t")), Some(true));
        assert_eq!(r.verdict("ALIYUN$anna", "odps:Read", &names("projects/p")), None);
    }

    // MaxCompute documentation, "Policy-based access control": Principal names accounts, a Deny takes precedence.
    #[test]
    fn a_statement_is_about_those_whom_it_names() {
        let p = Policy::of_project(
            r#"{"Statement":[
                {"Action":"odps:Select","Effect":"Allow","Principal":"*","Resource":"acs:odps:*:projects/p/tables/*"},
                {"Action":"odps:*","Effect":"Deny","Principal":["ALIYUN$bert"],"Resource":"acs:odps:*:projects/p/*"}]}"#,
            "p",
        )
        .unwrap();
        let select = |who: &str| p.verdict(who, "odps:Select", &names("projects/p/tables/t"));
        assert_eq!((select("ALIYUN$anna"), select("ALIYUN$bert")), (Some(true), Some(false)));
        assert!(p.denies_to("ALIYUN$bert") && !p.denies_to("ALIYUN$anna"));
        assert_eq!(p.principals().collect::<Vec<_>>(), ["ALIYUN$bert"]);
        // A thing with two names is denied by either.
        let two = ["projects/p/tables/t".to_string(), "projects/p/schemas/default/tables/t".to_string()];
        let deny =
            r#"{"Statement":[{"Action":"odps:Select","Effect":"Deny","Resource":"acs:odps:*:projects/p/schemas/*"}]}"#;
        let deny = Policy::of_role(deny, "p").unwrap();
        assert_eq!(deny.verdict("", "odps:Select", &two), Some(false));
    }

    #[test]
    fn what_a_kept_policy_cannot_do_is_refused_by_its_name() {
        let statement = |action: &str, resource: &str, more: &str| {
            format!(r#"{{"Statement":[{{"Effect":"Deny","Action":"{action}","Resource":"{resource}"{more}}}]}}"#)
        };
        let good = "acs:odps:*:projects/p/tables/t";
        for (action, resource) in [
            ("odps:*", "*"),
            ("*", "acs:odps:*:projects/p*"),
            ("odps:Create*", "acs:odps:*:projects/*"),
            ("odps:select", "acs:odps:*:projects/P/schemas/s/tables/t_*"),
            ("odps:Read", "acs:odps:*:projects/p/registration/functions/f"),
            ("odps:Delete", "acs:odps:*:projects/p/res*"),
        ] {
            Policy::of_role(&statement(action, resource, ""), "p").unwrap();
        }
        for (action, resource, more, word) in [
            ("odps:Download", good, "", "'odps:Download'"),
            ("Select", good, "", "'Select'"),
            ("odps:Select", "acs:odps:*:projects/q/tables/t", "", "projects/q"),
            ("odps:Select", "acs:odps:*:projects/p/tables/t/columns/c", "", "columns/c"),
            ("odps:Select", "acs:odps:*:projects/p/table/t", "", "table/t"),
            ("odps:Select", "acs:odps:*:projects/p/tables/t?", "", "only *"),
            ("odps:Select", "acs:odps:cn-hangzhou:projects/p/tables/t", "", "regions"),
            ("odps:Select", "projects/p", "", "acs:odps"),
            ("odps:Select", good, r#","Condition":{"DateLessThan":{"acs:CurrentTime":"2030"}}"#, "Condition"),
            ("odps:Select", good, r#","Principal":"*""#, "Principal"),
            ("odps:Select", good, r#","NotAction":"odps:Drop""#, "NotAction"),
        ] {
            let e = Policy::of_role(&statement(action, resource, more), "p").unwrap_err();
            assert_eq!(e.code(), "InvalidParameter");
            assert!(e.message().contains(word), "{action} {resource} {more}: {e}");
        }
        let jobs = statement("odps:Read", "acs:odps:*:projects/p/instances/*", "");
        Policy::of_role(&jobs, "p").unwrap();
        let e = Policy::of_role(&jobs.replace("Deny", "Allow"), "p").unwrap_err();
        assert!(e.message().contains("stay theirs"), "{e}");
        let e = Policy::of_project(&statement("odps:Select", good, ""), "p").unwrap_err();
        assert!(e.message().contains("Principal"), "{e}");
        for text in ["", "[]", "{", &" ".repeat(40_000)] {
            assert_eq!(Policy::of_role(text, "p").unwrap_err().code(), "InvalidParameter");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (text, word) in [
            ("[]", "JSON object"),
            ("{}", "Statement"),
            (r#"{"Statement":[],"Version":"2"}"#, "version"),
            (r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}]}"#, "Condition"),
            (r#"{"Statement":[{"Effect":"Maybe","Action":"*","Resource":"*"}]}"#, "Effect"),
            (r#"{"Statement":[{"Effect":"Allow","Action":1,"Resource":"*"}]}"#, "Action"),
            (r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"projects/p"}]}"#, "acs:odps"),
        ] {
            let err = Policy::parse(&serde_json::from_str(text).unwrap()).unwrap_err();
            assert_eq!(err.code(), "InvalidParameter");
            assert!(err.message().contains(word), "{text}: {err}");
        }
    }
}
