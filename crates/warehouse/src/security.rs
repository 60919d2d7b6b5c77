//! Users, roles, grants and policies: the statements about them, whether they come as SQL or to the address of their own.
//!
//! The owner of a project and administrators change them; the owner of a table grants on it. Whoever may do everything in
//! the project sees all of them, a user sees what is the user's own. A bearer token says who it stands for, no more.

mod labels;
mod policies;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::{
    ALL_ACTIONS, Access, Account, DEFAULT_SCHEMA, Granted, Grantee, Meta, Project, Securable, Step, Table, local_name,
};
use feitian_sql::{Holder, Parsed, Position, Security, SecurityObject, Statement, object_parts, parse_script};
use serde_json::{Value, json};

use crate::Warehouse;
use crate::query::errors::statement_error;
use crate::query::{Session, rights};

/// What can be granted on a table, and what on a project: exactly what is asked for somewhere.
const ON_TABLES: [&str; 6] = ["Describe", "Select", "Update", "Alter", "Drop", ALL_ACTIONS];
const ON_PROJECTS: [&str; 6] = ["Read", "List", "Write", "CreateTable", "CreateInstance", ALL_ACTIONS];

/// Roles of the original that are there without being made. Here an admission gives what they give.
const RESERVED_ROLES: [&str; 2] = ["admin", "super_administrator"];

/// What a statement answers that has nothing to tell.
const DONE: &str = "OK";

/// A security statement that came to the address of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityRequest {
    /// `Account::name` of whoever asks.
    pub account: String,
    /// It came with a bearer token of that account.
    pub by_token: bool,
    pub project: String,
    /// The schema of names without one.
    pub schema: String,
    /// Two-part names mean schema and table.
    pub has_schemas: bool,
    pub text: String,
}

/// What a security statement answers.
#[derive(Debug, Clone, PartialEq)]
pub enum SecurityAnswer {
    Text(String),
    Json(Value),
}

impl SecurityAnswer {
    /// As JSON, a text as a string.
    pub fn into_json(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text),
            Self::Json(value) => value,
        }
    }

    fn done() -> Self {
        Self::Text(DONE.to_string())
    }

    /// One a line.
    fn lines<'a>(items: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Text(items.into_iter().map(|item| format!("{item}\n")).collect())
    }
}

impl Warehouse {
    /// Runs the one security statement of `request.text`.
    ///
    /// # Errors
    /// `MethodNotAllowed` for statements that feitian lacks, `NoPermission` for what the account may not do.
    pub async fn security(&self, request: SecurityRequest) -> Result<SecurityAnswer> {
        let script = parse_script(&request.text)?;
        let mut statements = script.statements;
        let refused = |what: &str| {
            let message = format!("security statement '{what}' is not supported");
            Error::new(Kind::Unsupported, "MethodNotAllowed", message)
        };
        // Nobody computes the condition that it would stand behind.
        let alone = |rest: &[Parsed]| rest.is_empty() && !script.computes;
        let statement = match (statements.pop().map(|s| s.statement), alone(&statements)) {
            (Some(Statement::Security(statement)), true) => *statement,
            _ => return Err(refused(request.text.trim())),
        };
        let place = Place { project: &request.project, schema: &request.schema, has_schemas: request.has_schemas };
        let desk = Desk::open(&self.meta, place, &request.account, request.by_token, Step::None).await?;
        desk.run(statement).await
    }
}

/// A security statement of a job, at `index` of its text.
pub(crate) async fn statement(session: &Session, statement: Security, index: i64) -> Result<String> {
    let has_schemas = session.settings.has_schemas();
    let place = Place { project: session.project(), schema: session.schema(), has_schemas };
    let by_token = rights::token_scope(session).is_some();
    let (meta, account) = (session.warehouse.meta(), &session.instance.owner);
    let answer = async {
        let desk = Desk::open(meta, place, account, by_token, session.step(index)).await?;
        desk.run(statement).await
    };
    match answer.await.map_err(in_sql)? {
        SecurityAnswer::Text(text) => Ok(text),
        SecurityAnswer::Json(value) => Ok(value.to_string()),
    }
}

/// An error of this file in the words of SQL.
fn in_sql(e: Error) -> Error {
    let (code, general) = match e.kind() {
        _ if e.code().starts_with("ODPS-") => return e,
        Kind::Denied => ("ODPS-0130013", "Authorization exception"),
        Kind::Unsupported => ("ODPS-0121125", "Unsupported function or operation"),
        Kind::Invalid | Kind::NotFound | Kind::Conflict => ("ODPS-0130071", "Semantic analysis exception"),
        _ => return e,
    };
    statement_error(e.kind(), code, Position::UNKNOWN, general, e.message())
}

/// Where names without project and schema are.
#[derive(Clone, Copy)]
struct Place<'a> {
    project: &'a str,
    schema: &'a str,
    has_schemas: bool,
}

/// Where one account asks.
struct Desk<'a> {
    meta: &'a Meta,
    place: Place<'a>,
    me: Account,
    by_token: bool,
    project: Project,
    access: Access,
    /// May change users, roles and grants.
    manages: bool,
    step: Step,
}

fn denied(message: String) -> Error {
    Error::new(Kind::Denied, "NoPermission", message)
}

fn invalid(message: String) -> Error {
    Error::new(Kind::Invalid, "InvalidParameter", message)
}

fn missing(message: String) -> Error {
    Error::new(Kind::NotFound, "NoSuchObject", message)
}

impl<'a> Desk<'a> {
    async fn open(meta: &'a Meta, place: Place<'a>, account: &str, by_token: bool, step: Step) -> Result<Self> {
        let me = meta.account_by_name(account).await?;
        let me = me.ok_or_else(|| denied(format!("there is no account '{account}' any more")))?;
        let project = meta.project(place.project).await?;
        let project = project.ok_or_else(|| missing(format!("Project not found - '{}'", place.project)))?;
        let manages = !by_token && (me.admin || project.owner_id == me.id);
        let access = if manages { Access::Whole } else { meta.access(place.project, &me.id).await? };
        if access == Access::None {
            let message = format!("account '{}' is not in project '{}'", me.name, place.project);
            return Err(denied(message));
        }
        Ok(Self { meta, place, me, by_token, project, access, manages, step })
    }

    async fn run(&self, statement: Security) -> Result<SecurityAnswer> {
        let (meta, project, step) = (self.meta, self.place.project, &self.step);
        match &statement {
            Security::WhoAmI => {
                return Ok(SecurityAnswer::Json(json!({ "DisplayName": self.me.name, "ID": self.me.id })));
            }
            Security::ListAccountProviders => return Ok(SecurityAnswer::Text("ALIYUN, RAM".to_string())),
            _ if self.by_token => {
                let message = "a bearer token may not read or change rights; sign the request with an access key";
                return Err(denied(message.to_string()));
            }
            _ => {}
        }
        match statement {
            Security::WhoAmI | Security::ListAccountProviders => {}
            Security::AddUser(name) => {
                let user = self.managed(&name).await?;
                meta.add_user(project, &user.id, step).await.map_err(|e| by_name(e, &user))?;
            }
            Security::RemoveUser(name) => {
                let user = self.managed(&name).await?;
                meta.remove_user(project, &user.id, step).await.map_err(|e| by_name(e, &user))?;
            }
            Security::ListUsers => return self.list_users().await,
            Security::CreateRole(role) => {
                self.must_manage()?;
                meta.create_role(project, &new_role(role)?, clock::now_ms(), step).await?;
            }
            Security::DropRole(role) => {
                self.must_manage()?;
                meta.drop_role(project, &role, step).await?;
            }
            Security::ListRoles => {
                self.must_see_all()?;
                let roles = meta.roles(project, None).await?;
                return Ok(SecurityAnswer::lines(roles.iter().map(String::as_str)));
            }
            Security::DescribeRole(role) => return self.describe_role(&role).await,
            Security::ShowPrincipals(role) => {
                self.must_see_all()?;
                let users = meta.role_users(project, &role).await?;
                return Ok(SecurityAnswer::lines(users.iter().map(|u| u.name.as_str())));
            }
            Security::GrantRole { role, user } => {
                let user = self.managed(&user).await?;
                meta.assign_role(project, &role, &user.id, step).await.map_err(|e| by_name(e, &user))?;
            }
            Security::RevokeRole { role, user } => {
                let user = self.managed(&user).await?;
                meta.unassign_role(project, &role, &user.id, step).await.map_err(|e| by_name(e, &user))?;
            }
            Security::Grant { privileges, on, holder } => {
                let (object, actions, grantee) = self.change(&privileges, &on, &holder).await?;
                meta.grant(project, &grantee, &object, &actions, step).await?;
            }
            Security::Revoke { privileges, on, holder } => {
                let (object, actions, grantee) = self.change(&privileges, &on, &holder).await?;
                meta.revoke(project, &grantee, &object, &actions, step).await?;
            }
            Security::ShowGrants { holder, on } => return self.show_grants(holder, on).await,
            statement => return self.about_policies(statement).await,
        }
        Ok(SecurityAnswer::done())
    }

    fn must_manage(&self) -> Result<()> {
        if self.manages {
            return Ok(());
        }
        let (me, project, owner) = (&self.me.name, self.place.project, &self.project.owner_name);
        Err(denied(format!(
            "account '{me}' may not change who may do what in project '{project}'; its owner '{owner}' may"
        )))
    }

    fn must_see_all(&self) -> Result<()> {
        if self.access == Access::Whole {
            return Ok(());
        }
        let (me, project) = (&self.me.name, self.place.project);
        Err(denied(format!("account '{me}' may see only its own rights in project '{project}': SHOW GRANTS")))
    }

    /// The account of this name, for somebody who manages the project.
    async fn managed(&self, name: &str) -> Result<Account> {
        self.must_manage()?;
        self.account(name).await
    }

    async fn account(&self, name: &str) -> Result<Account> {
        let found = self.meta.account_by_name(name).await?;
        found.ok_or_else(|| missing(format!("there is no account '{name}'; names are written as in ALIYUN$anna")))
    }

    /// Who is to hold a right. An account that may do everything anyway is refused: a REVOKE would take nothing from it.
    async fn grantee(&self, holder: &Holder) -> Result<Grantee> {
        let name = match holder {
            Holder::User(name) => name,
            Holder::Role(name) => return Ok(Grantee::Role(name.clone())),
        };
        let (user, project) = (self.account(name).await?, self.place.project);
        match self.meta.access(project, &user.id).await? {
            Access::Granted => Ok(Grantee::User(user.id)),
            Access::Whole => Err(invalid(format!(
                "account '{name}' may do everything in project '{project}'; only after 'feitian project expel' and ADD USER \
                 has it what is granted"
            ))),
            Access::None => Err(missing(format!("account '{name}' is no user of project '{project}'; ADD USER first"))),
        }
    }

    /// The object of a grant, with its row if it is a table.
    async fn object(&self, on: &SecurityObject) -> Result<(Securable, Option<Table>)> {
        let name = match on {
            SecurityObject::Project(name) => {
                self.must_be_here(name.as_deref().unwrap_or(self.place.project))?;
                return Ok((Securable::Project, None));
            }
            SecurityObject::Table(name) => name,
        };
        let (project, local) = match object_parts(name).as_slice() {
            [table] => (self.place.project.to_string(), local_name(self.place.schema, table)),
            [schema, table] if self.place.has_schemas && schema != self.place.project => {
                (self.place.project.to_string(), local_name(schema, table))
            }
            [project, table] => (project.clone(), local_name(DEFAULT_SCHEMA, table)),
            [project, schema, table] => (project.clone(), local_name(schema, table)),
            _ => return Err(invalid(format!("'{name}' is no name of a table"))),
        };
        self.must_be_here(&project)?;
        let table = self.meta.table_named(&project, &local).await?;
        let table = table.ok_or_else(|| {
            let text = format!("Table not found - table {project}.{local} cannot be resolved");
            Error::new(Kind::NotFound, "NoSuchTable", text)
        })?;
        Ok((Securable::Table(table.id.clone()), Some(table)))
    }

    fn must_be_here(&self, project: &str) -> Result<()> {
        if project == self.place.project {
            return Ok(());
        }
        let here = self.place.project;
        Err(invalid(format!("rights in project '{project}' are granted there, this statement runs in '{here}'")))
    }

    /// What a GRANT or REVOKE is about, for somebody who may change it.
    async fn change(
        &self,
        privileges: &[String],
        on: &SecurityObject,
        holder: &Holder,
    ) -> Result<(Securable, Vec<String>, Grantee)> {
        let (object, table) = self.object(on).await?;
        let is_own = table.as_ref().is_some_and(|t| t.owner == self.me.name);
        if !is_own || !self.meta.switches(self.place.project).await?.creator_grant {
            self.must_manage()?;
        }
        let known = if table.is_some() { &ON_TABLES } else { &ON_PROJECTS };
        let actions = privileges.iter().map(|p| action(p, known)).collect::<Result<Vec<_>>>()?;
        Ok((object, actions, self.grantee(holder).await?))
    }

    async fn list_users(&self) -> Result<SecurityAnswer> {
        self.must_see_all()?;
        let (meta, project) = (self.meta, self.place.project);
        let mut others: BTreeSet<String> = meta.admitted(project).await?.into_iter().map(|a| a.name).collect();
        others.extend(meta.project_users(project).await?.into_iter().map(|a| a.name));
        let owner = self.project.owner_name.as_str();
        others.remove(owner);
        Ok(SecurityAnswer::lines(std::iter::once(owner).chain(others.iter().map(String::as_str))))
    }

    /// Who has the role and what was granted to it, as the command line of the original shows it.
    async fn describe_role(&self, role: &str) -> Result<SecurityAnswer> {
        let (meta, project) = (self.meta, self.place.project);
        if !meta.roles(project, Some(&self.me.id)).await?.iter().any(|r| r == role) {
            self.must_see_all()?;
        }
        let users = meta.role_users(project, role).await?;
        let names: Vec<&str> = users.iter().map(|u| u.name.as_str()).collect();
        let mut text = format!("[users]\n{}\n\nAuthorization Type: ACL\n", names.join(", "));
        let granted = meta.grants(project, Some(&Grantee::Role(role.to_string()))).await?;
        for (first, actions) in by_object(&granted) {
            let _ = writeln!(text, "A\t{}: {}", self.resource(first), actions.join(" | "));
        }
        Ok(SecurityAnswer::Text(text))
    }

    /// The object of a grant as policies name it.
    fn resource(&self, granted: &Granted) -> String {
        let project = self.place.project;
        match (&granted.object, granted.schema_name.as_str()) {
            (Securable::Project, _) => format!("projects/{project}"),
            (Securable::Table(_), DEFAULT_SCHEMA) => format!("projects/{project}/tables/{}", granted.table),
            (Securable::Table(_), schema) => format!("projects/{project}/schemas/{schema}/tables/{}", granted.table),
        }
    }

    /// `{"ACL":{"":[{"Action":["Select"],"Principal":["user/ALIYUN$anna(5)"],…}],"role":[…]}}`: what a user has by a role
    /// stands under the role's name. dbt reads it (`dbt-maxcompute`, `standardize_grants_dict`).
    async fn show_grants(&self, holder: Option<Holder>, on: Option<SecurityObject>) -> Result<SecurityAnswer> {
        let (meta, project) = (self.meta, self.place.project);
        let object = match &on {
            Some(on) => Some(self.object(on).await?),
            None => None,
        };
        let owns = |table: &Option<Table>| table.as_ref().is_some_and(|t| t.owner == self.me.name);
        let mut names: HashMap<String, String> = HashMap::from([(self.me.id.clone(), self.me.name.clone())]);
        names.extend(meta.project_users(project).await?.into_iter().map(|a| (a.id, a.name)));
        // Under which key whose grants stand.
        let mut lists: Vec<(String, Option<Grantee>)> = Vec::new();
        match (&holder, &object) {
            (None, Some((_, table))) => {
                if !owns(table) {
                    self.must_see_all()?;
                }
                lists.push((String::new(), None));
            }
            (Some(Holder::Role(role)), _) => {
                if !meta.roles(project, Some(&self.me.id)).await?.contains(role) {
                    self.must_see_all()?;
                }
                meta.role_users(project, role).await?;
                lists.push((String::new(), Some(Grantee::Role(role.clone()))));
            }
            (holder, _) => {
                let user = match holder {
                    Some(Holder::User(name)) if *name != self.me.name => {
                        self.must_see_all()?;
                        self.account(name).await?
                    }
                    _ => self.me.clone(),
                };
                let roles = meta.roles(project, Some(&user.id)).await?;
                lists.push((String::new(), Some(Grantee::User(user.id))));
                lists.extend(roles.into_iter().map(|role| (role.clone(), Some(Grantee::Role(role)))));
            }
        }
        let mut acl = serde_json::Map::new();
        for (key, grantee) in lists {
            let mut granted = meta.grants(project, grantee.as_ref()).await?;
            granted.retain(|g| object.as_ref().is_none_or(|(object, _)| g.object == *object));
            let entries = by_object(&granted).into_iter().map(|(first, actions)| {
                let principal = match &first.grantee {
                    Grantee::User(id) => format!("user/{}({id})", names.get(id).unwrap_or(id)),
                    Grantee::Role(role) => format!("role/{role}"),
                };
                let resource = format!("acs:odps:*:{}", self.resource(first));
                json!({ "Action": actions, "Effect": "Allow", "Principal": [principal], "Resource": [resource] })
            });
            acl.insert(key, Value::Array(entries.collect()));
        }
        Ok(SecurityAnswer::Json(json!({ "ACL": acl })))
    }
}

/// An error about an account, which the metadata know by its id, with the name.
fn by_name(e: Error, account: &Account) -> Error {
    if !matches!(e.kind(), Kind::Invalid | Kind::NotFound | Kind::Conflict) {
        return e;
    }
    let message = e.message().replace(&format!("'{}'", account.id), &format!("'{}'", account.name));
    Error::new(e.kind(), e.code().to_string(), message)
}

/// The first of each run of grants with one object and one holder, and the actions of the run. They come in this order.
fn by_object(granted: &[Granted]) -> Vec<(&Granted, Vec<&str>)> {
    let runs = granted.chunk_by(|a, b| a.object == b.object && a.grantee == b.grantee);
    runs.map(|run| (&run[0], run.iter().map(|g| g.action.as_str()).collect())).collect()
}

/// The action that a privilege names, as written `Select`, `select` or `odps:Select`.
fn action(privilege: &str, known: &[&str]) -> Result<String> {
    let bare = privilege.split_once(':').filter(|(p, _)| p.eq_ignore_ascii_case("odps")).map_or(privilege, |(_, a)| a);
    let found = known.iter().find(|k| k.eq_ignore_ascii_case(bare));
    found.map(|k| (*k).to_string()).ok_or_else(|| {
        let message = format!("privilege '{privilege}' is not supported here; there are {}", known.join(", "));
        Error::new(Kind::Unsupported, "MethodNotAllowed", message)
    })
}

/// A name for a new role.
fn new_role(name: String) -> Result<String> {
    if RESERVED_ROLES.iter().any(|r| r.eq_ignore_ascii_case(&name)) {
        return Err(invalid(format!(
            "there is no role '{name}': whoever is admitted to the project may do everything in it"
        )));
    }
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.is_empty() || name.len() > 64 || !plain {
        return Err(invalid(format!("'{name}' is no name for a role: at most 64 letters, digits and underscores")));
    }
    Ok(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // MaxCompute documentation, "Permissions": names of privileges have no letter case.
    #[test]
    fn privileges_are_those_that_are_asked_for_and_others_are_refused_by_name() {
        assert_eq!(action("select", &ON_TABLES).unwrap(), "Select");
        assert_eq!(action("odps:CREATETABLE", &ON_PROJECTS).unwrap(), "CreateTable");
        for (privilege, known) in [("CreateTable", ON_TABLES), ("Select", ON_PROJECTS), ("CreateFunction", ON_PROJECTS)]
        {
            let e = action(privilege, &known).unwrap_err();
            assert!(e.kind() == Kind::Unsupported && e.message().contains(privilege), "{e}");
        }
    }

    #[test]
    fn roles_have_plain_names_and_not_those_of_the_original() {
        assert_eq!(new_role("Reader_1".into()).unwrap(), "Reader_1");
        for bad in ["", "admin", "Super_Administrator", "a b", "读者", &"r".repeat(65)] {
            assert_eq!(new_role(bad.into()).unwrap_err().kind(), Kind::Invalid, "{bad}");
        }
    }
}
