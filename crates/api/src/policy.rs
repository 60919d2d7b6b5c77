//! Access policies carried by bearer tokens: what a token's holder may do on behalf of its account.
//!
//! The language is MaxCompute's: `{"Version":"1","Statement":[{"Effect":"Allow","Action":["odps:Read"],
//! "Resource":"acs:odps:*:projects/p/instances/i"}]}`. `*` stands for any text, in actions and resources alike. A `Deny`
//! statement beats every `Allow`; what no statement allows is refused.

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
    resources: Vec<String>,
}

/// What a token may at most ask of the project's tables before it may run SQL on them.
const TABLE_ACTIONS: [&str; 6] =
    ["odps:Describe", "odps:Select", "odps:Alter", "odps:Update", "odps:Drop", "odps:ShowHistory"];

impl Policy {
    /// Reads a policy document. Keys that are not understood are refused by name, since leaving one out could widen the
    /// policy.
    pub fn parse(value: &Value) -> Result<Self> {
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
            Some(Value::Array(items)) => items.iter().map(Statement::parse).collect::<Result<Vec<_>>>()?,
            Some(one @ Value::Object(_)) => vec![Statement::parse(one)?],
            _ => return Err(invalid("the policy has no Statement")),
        };
        Ok(Self { statements })
    }

    /// True when the policy allows `action` (for example `odps:Read`) on `resource` (for example `projects/p/tables/t`).
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        let mut allowed = false;
        for s in &self.statements {
            if s.covers(action, resource) {
                if !s.allow {
                    return false;
                }
                allowed = true;
            }
        }
        allowed
    }

    /// True when the policy allows everything that SQL could do in `project`.
    ///
    /// The tables of a statement are known only after planning, so they are not compared one by one: a policy that
    /// names single tables, or denies anything, does not submit SQL.
    pub fn allows_sql(&self, project: &str) -> bool {
        // The pattern `projects/p/tables/*` covers the text `projects/p/tables/*`; a pattern for one table does not.
        let every_table = format!("projects/{project}/tables/*");
        self.statements.iter().all(|s| s.allow)
            && self.allows("odps:CreateInstance", &format!("projects/{project}"))
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
    fn parse(value: &Value) -> Result<Self> {
        let object = value.as_object().ok_or_else(|| invalid("a policy statement is not a JSON object"))?;
        for key in object.keys() {
            if !matches!(key.as_str(), "Effect" | "Action" | "Resource") {
                return Err(invalid(format!(
                    "policy statement key '{key}' is not supported; use Effect, Action, Resource"
                )));
            }
        }
        let allow = match object.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(invalid("Effect of a policy statement must be \"Allow\" or \"Deny\"")),
        };
        let actions = texts(object.get("Action"), "Action")?;
        let resources = texts(object.get("Resource"), "Resource")?;
        let resources = resources.into_iter().map(|r| relative(&r).map(str::to_string)).collect::<Result<_>>()?;
        Ok(Self { allow, actions, resources })
    }

    fn covers(&self, action: &str, resource: &str) -> bool {
        let is_all = |pattern: &str| pattern.eq_ignore_ascii_case("odps:All");
        self.actions.iter().any(|a| is_all(a) || matches(a, action))
            && self.resources.iter().any(|r| matches(r, resource))
    }
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
