//! Who may do what: the one function that every operation passes before its handler runs.

use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::{Access, Claim, DEFAULT_SCHEMA, Meta, ObjectName, SYSTEM_PROJECT, Table, Target, split_local_name};

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
    /// `odps:Write` on the project, or this action on it.
    Makes(&'static str),
    /// `odps:Write` on the project, or this action on the object that the path names.
    Changes(&'static str, Object),
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
        matches!(self, Self::Table | Self::Function | Self::Resource | Self::Volume)
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
            Self::Makes(action) => write!(f, "odps:Write or {action} on the project"),
            Self::Changes(action, object) => {
                write!(f, "odps:Write on the project or {action} on the {}", object.words().1)
            }
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

/// What is asked of somebody who may not do everything: each action with its object. One of them is enough.
type Wanted = Vec<(&'static str, Target)>;

/// What a user may do who neither owns the project nor was admitted to it: what was granted to the user or to one of its
/// roles, everything with the tables that it owns, and everything with the jobs that it submitted; and nothing that a
/// policy denies.
async fn check_grant(meta: &Meta, caller: &Caller, right: Right, project: &str, path: &Params) -> Result<()> {
    let whole = || Target::project(project);
    let (wanted, claim): (Wanted, Claim) = match right {
        Right::AnyUser(_) | Right::Signer => return Ok(()),
        Right::Project(action) => (vec![(action, whole())], Claim::Nothing),
        Right::Makes(action) => (vec![("odps:Write", whole()), (action, whole())], Claim::Nothing),
        Right::Changes(action, object) => {
            (vec![("odps:Write", whole()), (action, named(project, object, path))], Claim::Nothing)
        }
        Right::Sql | Right::Submit => (vec![("odps:CreateInstance", whole())], Claim::Nothing),
        Right::Job => (own_job(meta, caller, &["odps:Read", "odps:Write"], project, path).await?, Claim::Anybody),
        Right::Object(action, Object::Instance) => {
            (own_job(meta, caller, &[action], project, path).await?, Claim::Anybody)
        }
        Right::Object(action, Object::Table) => {
            let local = path.get("table").unwrap_or_default();
            let Some(table) = meta.table_named(project, local).await? else {
                let message = format!("Table not found - table {project}.{local} cannot be resolved");
                return Err(Error::new(Kind::NotFound, "NoSuchTable", message));
            };
            let claim = if table.owner == caller.name { Claim::Maker } else { Claim::Nothing };
            check(meta, caller, project, &[(action, Target::table(&table))], claim).await?;
            return match action {
                "odps:Select" => check_labels(meta, caller, &table).await,
                _ => Ok(()),
            };
        }
        Right::Object(action, object) => (vec![(action, named(project, object, path))], Claim::Nothing),
        Right::Public | Right::Signed | Right::Account | Right::Member | Right::Owner | Right::Admin => {
            return Err(denied(format!(
                "account '{}' has in project '{project}' what was granted and what no policy denies; this is for its owner \
                 and for accounts that were admitted",
                caller.name
            )));
        }
    };
    check(meta, caller, project, &wanted, claim).await
}

async fn check(
    meta: &Meta,
    caller: &Caller,
    project: &str,
    wanted: &[(&'static str, Target)],
    claim: Claim,
) -> Result<()> {
    let bare = wanted.iter().map(|(action, target)| (action.strip_prefix("odps:").unwrap_or(action), target));
    let asked: Vec<(&str, &Target)> = bare.collect();
    if meta.may(project, &caller.account_id, &asked, claim).await? {
        return Ok(());
    }
    Err(match wanted.first() {
        Some((action, target)) => ungranted(caller, action, target.name()),
        None => denied(format!("account '{}' may not do this in project '{project}'", caller.name)),
    })
}

/// Refuses what a policy takes from an account that may otherwise do it.
pub(crate) async fn check_denied(
    meta: &Meta,
    caller: &Caller,
    project: &str,
    wanted: &[(&'static str, Target)],
) -> Result<()> {
    match meta.access(project, &caller.account_id).await? {
        Access::Granted => check(meta, caller, project, wanted, Claim::Anybody).await,
        Access::Whole | Access::None => Ok(()),
    }
}

/// Whoever reads a table otherwise than by SQL may read all of its columns.
async fn check_labels(meta: &Meta, caller: &Caller, table: &Table) -> Result<()> {
    let hidden = meta.hidden(table, &table.schema.columns, &caller.account_id, clock::now_ms()).await?;
    match hidden.first() {
        Some(column) => Err(denied(format!(
            "the label of column '{column}' of table '{}' is above that of account '{}'; other columns are read with SQL",
            table.local_name(),
            caller.name
        ))),
        None => Ok(()),
    }
}

/// What is asked for a job, which must be the caller's own. One that is not there is for the handler to say.
async fn own_job(
    meta: &Meta,
    caller: &Caller,
    actions: &[&'static str],
    project: &str,
    path: &Params,
) -> Result<Wanted> {
    let id = path.get("instance").unwrap_or_default();
    let job = Target::of_project(project, "instances", id);
    match meta.instance_owner(project, id).await? {
        Some(owner) if owner != caller.name => Err(ungranted(caller, "odps:Read", job.name())),
        _ => Ok(actions.iter().map(|action| (*action, job.clone())).collect()),
    }
}

/// The object that the path names, if it is no table.
fn named(project: &str, object: Object, path: &Params) -> Target {
    let (word, segment) = object.words();
    let name = path.get(segment).unwrap_or_default();
    let schema_name = path.get(IN_SCHEMA).unwrap_or(DEFAULT_SCHEMA).to_string();
    let at = || ObjectName { project: project.to_string(), schema_name, name: name.to_string() };
    match object {
        Object::Function => Target::function(&at()),
        Object::Resource => Target::resource(&at()),
        Object::Volume => Target::volume(&at()),
        _ => Target::of_project(project, word, name),
    }
}

fn ungranted(caller: &Caller, action: &str, name: &str) -> Error {
    let account = &caller.name;
    denied(format!(
        "account '{account}' has no privilege {action} on acs:odps:*:{name}; the project's owner may grant it"
    ))
}

fn authorize_token(grant: &Grant, right: Right, project: &str, path: &Params) -> Result<()> {
    if grant.project != project {
        return Err(denied(format!("this bearer token was issued for project '{}' only", grant.project)));
    }
    let whole = format!("projects/{project}");
    let wanted = match right {
        Right::Project(action) | Right::AnyUser(action) => vec![(action, whole)],
        Right::Makes(action) => vec![("odps:Write", whole.clone()), (action, whole)],
        Right::Changes(action, object) => vec![("odps:Write", whole), (action, token_name(project, object, path))],
        Right::Object(action, object) => vec![(action, token_name(project, object, path))],
        Right::Sql if grant.policy.allows_sql(project) => return Ok(()),
        Right::Sql => {
            return Err(denied(format!(
                "the policy of this bearer token does not allow odps:CreateInstance, odps:CreateTable and every action on \
                 every table of project '{project}', which submitting a job needs"
            )));
        }
        _ => return Err(denied("a bearer token may not do this".to_string())),
    };
    let verdict = |(action, name): &(&str, String)| grant.policy.verdict("", action, std::slice::from_ref(name));
    if wanted.iter().filter_map(verdict).reduce(|all, one| all && one) == Some(true) {
        return Ok(());
    }
    let (action, name) = &wanted[0];
    Err(denied(format!("the policy of this bearer token does not allow {action} on acs:odps:*:{name}")))
}

/// The object that the path names, as policies of tokens name it.
fn token_name(project: &str, object: Object, path: &Params) -> String {
    let (word, segment) = object.words();
    let name = path.get(segment).unwrap_or("*");
    let within = match path.get(IN_SCHEMA) {
        Some(schema) if object.is_in_schema() => format!("schemas/{schema}/"),
        _ => String::new(),
    };
    let bare = if object == Object::Table { split_local_name(name).1 } else { name };
    format!("projects/{project}/{within}{word}/{bare}")
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
