//! Who may do what: the one function that every operation passes before its handler runs.

use feitian_base::{Error, Kind, Result};
use feitian_meta::{Access, Meta, SYSTEM_PROJECT, Securable, split_local_name};

use crate::call::{IN_SCHEMA, Params};
use crate::identity::{Grant, Identity, missing_credentials};
use crate::warehouse::Caller;

/// What an operation asks of the one who calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Nothing: anyone may call it.
    Public,
    /// Any account or bearer token, in no particular project.
    Signed,
    /// Any account that signs with its own key; bearer tokens may not.
    Account,
    /// An account of the project, or a token whose policy allows this action on the project.
    Project(&'static str),
    /// An account of the project, or a token whose policy allows this action on the object that the path names.
    Object(&'static str, Object),
    /// An account of the project, or a token whose policy allows everything that SQL could do there.
    Sql,
    /// An account or user of the project, or a token whose policy allows this action on the project.
    AnyUser(&'static str),
    /// An account or user of the project that signs with its own key, or an administrator.
    Signer,
    /// An account of the project that signs with its own key, or an administrator.
    Member,
    /// [`Self::Member`], or a user to whom `CreateInstance` was granted.
    Submit,
    /// [`Self::Member`], or a user who submitted the job that the path names.
    Job,
    /// The project's owner, or an administrator.
    Owner,
    /// An administrator.
    Admin,
}

/// A kind of object that a path names inside a project, as policies spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    Table,
    Instance,
    Function,
    Resource,
    Volume,
    Schema,
    Role,
    Model,
}

impl Object {
    /// True for objects that a schema may hold.
    fn is_in_schema(self) -> bool {
        matches!(self, Self::Table | Self::Function | Self::Resource)
    }

    /// The word of resource names and the path segment that holds the object's name.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Table => ("tables", "table"),
            Self::Instance => ("instances", "instance"),
            Self::Function => ("registration/functions", "function"),
            Self::Resource => ("resources", "resource"),
            Self::Volume => ("volumes", "volume"),
            Self::Schema => ("schemas", "schema"),
            Self::Role => ("roles", "role"),
            Self::Model => ("offlinemodels", "model"),
        }
    }
}

impl Right {
    /// True for what takes a signature with a key: a bearer token may not do it, and an administrator may.
    fn needs_key(self) -> bool {
        use Right::{Account, Admin, Job, Member, Owner, Signer, Submit};
        matches!(self, Account | Signer | Submit | Job | Member | Owner | Admin)
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Public => f.write_str("none"),
            Self::Signed => f.write_str("any account or token"),
            Self::Account => f.write_str("any account"),
            Self::Project(action) => write!(f, "{action} on the project"),
            Self::Object(action, object) => write!(f, "{action} on the {}", object.words().1),
            Self::Sql => f.write_str("odps:CreateInstance; tokens: every table action"),
            Self::AnyUser(action) => write!(f, "any user of the project; tokens: {action} on the project"),
            Self::Signer => f.write_str("any user of the project, or administrator"),
            Self::Member => f.write_str("account of the project, or administrator"),
            Self::Submit => f.write_str("account of the project, user with odps:CreateInstance, or administrator"),
            Self::Job => f.write_str("account of the project, user on own jobs, or administrator"),
            Self::Owner => f.write_str("owner of the project, or administrator"),
            Self::Admin => f.write_str("administrator"),
        }
    }
}

/// Decides whether `who` has `right` on what `path` names. `Ok` means yes.
///
/// A project that does not exist is `NoSuchObject` for everyone who proved an identity; one that exists but is closed to
/// the caller is `NoPermission`.
pub(crate) async fn authorize(meta: &Meta, who: &Identity, right: Right, path: &Params) -> Result<()> {
    if right == Right::Public {
        return Ok(());
    }
    let caller = match (who, right) {
        (Identity::Nobody, _) => return Err(missing_credentials()),
        (Identity::Token { .. }, right) if right.needs_key() => {
            return Err(denied("a bearer token may not do this; sign the request with an access key".to_string()));
        }
        (Identity::Account(caller) | Identity::Token { caller, .. }, _) => caller,
    };
    match right {
        Right::Public | Right::Signed | Right::Account => return Ok(()),
        Right::Admin if caller.admin => return Ok(()),
        Right::Admin => return Err(denied(format!("account '{}' is no administrator", caller.name))),
        _ => {}
    }
    let name = path.get("project").ok_or_else(|| Error::internal("an operation on a project names none"))?;
    let Some(project) = meta.project(name).await? else {
        let hint = if name == SYSTEM_PROJECT { "; its tables are read with SQL" } else { "" };
        return Err(Error::new(Kind::NotFound, "NoSuchObject", format!("Project not found - '{name}'{hint}")));
    };
    let manages = right.needs_key() && caller.admin;
    if right == Right::Owner && !manages && project.owner_id != caller.account_id {
        let (account, owner) = (&caller.name, &project.owner_name);
        return Err(denied(format!("account '{account}' is not the owner of project '{name}'; '{owner}' is")));
    }
    if !manages {
        match meta.access(name, &caller.account_id).await? {
            Access::Whole => {}
            Access::Granted => check_grant(meta, caller, right, name, path).await?,
            Access::None => return Err(foreign_project(caller, name)),
        }
    }
    let Identity::Token { grant, .. } = who else { return Ok(()) };
    authorize_token(grant, right, name, path)?;
    // A policy from before the project had schemas says nothing about them.
    if right == Right::Sql
        && !grant.policy.allows_sql_in_schemas(name)
        && meta.list_schemas(name, "", None, 2).await?.len() > 1
    {
        return Err(denied(format!(
            "the policy of this bearer token does not allow every action on projects/{name}/schemas/*/tables/*, which \
             submitting a job needs in a project with schemas"
        )));
    }
    Ok(())
}

/// What a user may do who neither owns the project nor was admitted to it: what was granted to the user or to one of its
/// roles, everything with the tables that it owns, and everything with the jobs that it submitted.
async fn check_grant(meta: &Meta, caller: &Caller, right: Right, project: &str, path: &Params) -> Result<()> {
    let (object, action, resource) = match right {
        Right::AnyUser(_) | Right::Signer => return Ok(()),
        Right::Project(action) => (Securable::Project, action, format!("projects/{project}")),
        Right::Sql | Right::Submit => (Securable::Project, "odps:CreateInstance", format!("projects/{project}")),
        Right::Job | Right::Object(_, Object::Instance) => {
            let id = path.get("instance").unwrap_or_default();
            return match meta.instance_owner(project, id).await? {
                Some(owner) if owner != caller.name => {
                    Err(ungranted(caller, "odps:Read", &format!("projects/{project}/instances/{id}")))
                }
                // One that is not there is for the handler to say.
                _ => Ok(()),
            };
        }
        Right::Object(action, Object::Table) => {
            let local = path.get("table").unwrap_or_default();
            let Some(table) = meta.table_named(project, local).await? else {
                let message = format!("Table not found - table {project}.{local} cannot be resolved");
                return Err(Error::new(Kind::NotFound, "NoSuchTable", message));
            };
            if table.owner == caller.name {
                return Ok(());
            }
            (Securable::Table(table.id), action, format!("projects/{project}/tables/{local}"))
        }
        _ => {
            return Err(denied(format!(
                "account '{}' is a user of project '{project}' and has what was granted; this is for its owner and for \
                 accounts that were admitted",
                caller.name
            )));
        }
    };
    let bare = action.strip_prefix("odps:").unwrap_or(action);
    match meta.is_granted(project, &caller.account_id, &object, bare).await? {
        true => Ok(()),
        false => Err(ungranted(caller, action, &resource)),
    }
}

fn ungranted(caller: &Caller, action: &str, resource: &str) -> Error {
    denied(format!("account '{}' has no privilege {action} on acs:odps:*:{resource}; ask for a GRANT", caller.name))
}

fn authorize_token(grant: &Grant, right: Right, project: &str, path: &Params) -> Result<()> {
    if grant.project != project {
        return Err(denied(format!("this bearer token was issued for project '{}' only", grant.project)));
    }
    let (action, resource) = match right {
        Right::Project(action) | Right::AnyUser(action) => (action, format!("projects/{project}")),
        Right::Object(action, object) => {
            let (word, segment) = object.words();
            let name = path.get(segment).unwrap_or("*");
            let within = match path.get(IN_SCHEMA) {
                Some(schema) if object.is_in_schema() => format!("schemas/{schema}/"),
                _ => String::new(),
            };
            let bare = if object == Object::Table { split_local_name(name).1 } else { name };
            (action, format!("projects/{project}/{within}{word}/{bare}"))
        }
        Right::Sql if grant.policy.allows_sql(project) => return Ok(()),
        Right::Sql => {
            return Err(denied(format!(
                "the policy of this bearer token does not allow odps:CreateInstance and every action on every table of \
                 project '{project}', which submitting a job needs"
            )));
        }
        _ => return Err(denied("a bearer token may not do this".to_string())),
    };
    if grant.policy.allows(action, &resource) {
        Ok(())
    } else {
        Err(denied(format!("the policy of this bearer token does not allow {action} on acs:odps:*:{resource}")))
    }
}

fn foreign_project(caller: &Caller, project: &str) -> Error {
    denied(format!(
        "account '{}' may not act in project '{project}': it neither owns it nor was admitted; ask its owner to admit it",
        caller.name
    ))
}

/// `NoPermission` with the words for the user.
pub(crate) fn denied(message: String) -> Error {
    Error::new(Kind::Denied, "NoPermission", message)
}

/// Accounts manage what belongs to themselves, administrators what belongs to anyone (`owner` is an account id).
pub(crate) fn own_or_admin(caller: &Caller, owner: Option<&str>) -> Result<()> {
    if caller.admin || owner == Some(&caller.account_id) {
        Ok(())
    } else {
        Err(denied(format!("account '{}' may manage only what is its own", caller.name)))
    }
}
