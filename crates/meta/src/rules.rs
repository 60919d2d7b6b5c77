//! Who may do what in a project: what grants and policies say together, and what the project's switches make of both.
//!
//! A policy that denies something beats whatever else allows it. It binds users and accounts that were admitted; the owner
//! of the project stays free, so that somebody can change it.

use feitian_base::{Error, Kind, Result};
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, corrupt};
use crate::policy::Policy;
use crate::projects::hold_project;
use crate::rows::{Access, DEFAULT_SCHEMA, ObjectName, Securable, Step, Switch, Switches, Table};
use crate::security::{hold_role, no_such_role};
use crate::steps::advance;

/// What something is done with, as policies name it and as grants know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `None` for what nothing can be granted on.
    securable: Option<Securable>,
    /// A policy that names it by one of them means it. The first is for people.
    names: Vec<String>,
}

impl Target {
    /// The project itself.
    pub fn project(project: &str) -> Self {
        Self { securable: Some(Securable::Project), names: vec![format!("projects/{project}")] }
    }

    /// A table or view.
    pub fn table(table: &Table) -> Self {
        let names = names(&table.project, &table.schema_name, &["tables"], &table.name);
        Self { securable: Some(Securable::Table(table.id.clone())), names }
    }

    /// A function that a user registered.
    pub fn function(at: &ObjectName) -> Self {
        let kinds = ["registration/functions", "functions"];
        Self { securable: None, names: names(&at.project, &at.schema_name, &kinds, &at.name) }
    }

    /// A resource.
    pub fn resource(at: &ObjectName) -> Self {
        Self { securable: None, names: names(&at.project, &at.schema_name, &["resources"], &at.name) }
    }

    /// A volume.
    pub fn volume(at: &ObjectName) -> Self {
        Self { securable: None, names: names(&at.project, &at.schema_name, &["volumes"], &at.name) }
    }

    /// What lies in the project itself: `kind` is `instances`, for example.
    pub fn of_project(project: &str, kind: &str, name: &str) -> Self {
        Self { securable: None, names: vec![format!("projects/{project}/{kind}/{name}")] }
    }

    /// How messages call it.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// The names of something in a schema. What is in `default` goes by two.
fn names(project: &str, schema: &str, kinds: &[&str], name: &str) -> Vec<String> {
    let in_default = kinds.iter().filter(|_| schema == DEFAULT_SCHEMA);
    let in_default = in_default.map(|kind| format!("projects/{project}/{kind}/{name}"));
    in_default.chain(kinds.iter().map(|kind| format!("projects/{project}/schemas/{schema}/{kind}/{name}"))).collect()
}

/// Why an account might do something without a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    Nothing,
    /// It made the object, or was given it.
    Maker,
    /// Everybody in the project may.
    Anybody,
}

/// How an account came into a project.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Owner,
    Admitted,
    User,
}

/// What is to be known of an account in a project before it is told what it may do there.
struct Rules {
    switches: Switches,
    /// `Account::name`, if there is a policy.
    account: String,
    /// The project's, and those of the account's roles.
    policies: Vec<Policy>,
}

impl Rules {
    /// Whether the policies let the account do this; `None` if they say nothing of it.
    fn verdict(&self, action: &str, target: &Target) -> Option<bool> {
        let action = format!("odps:{action}");
        let verdicts = self.policies.iter().filter_map(|p| p.verdict(&self.account, &action, &target.names));
        verdicts.reduce(|all, one| all && one)
    }
}

impl Meta {
    /// How far the account may go in the project.
    pub async fn access(&self, project: &str, account_id: &str) -> Result<Access> {
        Ok(match self.standing(project, account_id).await? {
            None => Access::None,
            Some(Standing::Owner) => Access::Whole,
            Some(Standing::User) => Access::Granted,
            Some(Standing::Admitted) => {
                let rules = self.rules(project, account_id, Standing::Admitted).await?;
                let is_bound = rules.policies.iter().any(|p| p.denies_to(&rules.account));
                if is_bound { Access::Granted } else { Access::Whole }
            }
        })
    }

    /// True if the account may do what is wanted: an action, such as `Select`, with something. Where several are wanted,
    /// each alone is enough, and each may be denied.
    pub async fn may(&self, project: &str, account_id: &str, wanted: &[(&str, &Target)], claim: Claim) -> Result<bool> {
        let Some(standing) = self.standing(project, account_id).await? else { return Ok(false) };
        let rules = self.rules(project, account_id, standing).await?;
        let mut allowed = match claim {
            _ if standing != Standing::User => true,
            Claim::Nothing => false,
            Claim::Maker => rules.switches.creator_access,
            Claim::Anybody => true,
        };
        for (action, target) in wanted {
            match rules.verdict(action, target) {
                Some(false) => return Ok(false),
                Some(true) => allowed = true,
                None => {}
            }
        }
        if allowed || !rules.switches.acl {
            return Ok(allowed);
        }
        for (action, target) in wanted {
            if let Some(object) = &target.securable
                && self.is_granted(project, account_id, object, action).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The names of the projects in which the account may do everything, in byte order.
    pub async fn open_projects(&self, account_id: &str) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT project FROM policies";
        let rows = query(sql).fetch_all(self.reader()).await.map_err(Fault::from)?;
        let with_policies = all(&rows, |r| Cells::new(r).text())?;
        let mut open = self.projects_of(account_id).await?;
        for project in with_policies {
            if open.contains(&project) && self.access(&project, account_id).await? != Access::Whole {
                open.retain(|p| *p != project);
            }
        }
        Ok(open)
    }

    pub(crate) async fn standing(&self, project: &str, account_id: &str) -> Result<Option<Standing>> {
        let sql = "SELECT 'owner' FROM projects WHERE name = $1 AND owner_id = $2 \
                   UNION ALL SELECT 'admitted' FROM admissions WHERE project = $1 AND account_id = $2 \
                   UNION ALL SELECT 'user' FROM project_users WHERE project = $1 AND account_id = $2";
        let rows = query(sql).bind(project).bind(account_id).fetch_all(self.reader()).await.map_err(Fault::from)?;
        let found = all(&rows, |r| Cells::new(r).text())?;
        let is = |standing: &str| found.iter().any(|s| s == standing);
        let known = [("owner", Standing::Owner), ("admitted", Standing::Admitted), ("user", Standing::User)];
        Ok(known.into_iter().find(|(name, _)| is(name)).map(|(_, standing)| standing))
    }

    async fn rules(&self, project: &str, account_id: &str, standing: Standing) -> Result<Rules> {
        let switches = self.switches(project).await?;
        let mut rules = Rules { switches, account: String::new(), policies: Vec::new() };
        if !switches.policy || standing == Standing::Owner {
            return Ok(rules);
        }
        let sql = "SELECT p.role, p.document, a.name FROM policies p JOIN accounts a ON a.id = $2 \
                   WHERE p.project = $1 AND (p.role = '' OR p.role IN \
                   (SELECT m.role FROM role_members m WHERE m.project = $1 AND m.account_id = $2))";
        let rows = query(sql).bind(project).bind(account_id).fetch_all(self.reader()).await.map_err(Fault::from)?;
        for row in rows {
            let mut c = Cells::new(&row);
            let (role, document) = (c.text()?, c.text()?);
            rules.account = c.text()?;
            // Whoever cannot read what is forbidden allows nothing.
            let policy = read(&document, project, Some(role.as_str()).filter(|r| !r.is_empty()));
            rules.policies.push(policy.map_err(|e| corrupt(format!("policy of '{project}' role '{role}': {e}")))?);
        }
        Ok(rules)
    }

    /// How the switches of the project stand.
    pub async fn switches(&self, project: &str) -> Result<Switches> {
        let sql = "SELECT acl, policy, creator_access, creator_grant, labels FROM security_switches WHERE project = $1";
        let row = query(sql).bind(project).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        let found = one(row, |r| {
            let mut c = Cells::new(r);
            Ok(Switches {
                acl: c.flag()?,
                policy: c.flag()?,
                creator_access: c.flag()?,
                creator_grant: c.flag()?,
                labels: c.flag()?,
            })
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Turns switches of the project and advances `step`; the others stay as they are. `NotFound` without the project.
    pub async fn turn_switches(&self, project: &str, changes: &[(Switch, bool)], step: &Step) -> Result<()> {
        write_tx!(self, |tx| {
            advance(&mut tx, step).await?;
            hold_project(&mut tx, project).await?;
            let new = Switches::default();
            let sql = "INSERT INTO security_switches (project, acl, policy, creator_access, creator_grant, labels) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
            let mut insert = query(sql).bind(project);
            for on in [new.acl, new.policy, new.creator_access, new.creator_grant, new.labels] {
                insert = insert.bind(i64::from(on));
            }
            insert.execute(tx.conn()).await?;
            for (switch, on) in changes {
                let sql = match switch {
                    Switch::Acl => "UPDATE security_switches SET acl = $2 WHERE project = $1",
                    Switch::Policy => "UPDATE security_switches SET policy = $2 WHERE project = $1",
                    Switch::CreatorAccess => "UPDATE security_switches SET creator_access = $2 WHERE project = $1",
                    Switch::CreatorGrant => "UPDATE security_switches SET creator_grant = $2 WHERE project = $1",
                    Switch::Labels => "UPDATE security_switches SET labels = $2 WHERE project = $1",
                };
                query(sql).bind(project).bind(i64::from(*on)).execute(tx.conn()).await?;
            }
            Ok(())
        })
    }

    /// The policy of the project, or of one of its roles, as it was given; `None` when there is none. `NotFound` without
    /// the role.
    pub async fn policy(&self, project: &str, role: Option<&str>) -> Result<Option<String>> {
        if let Some(role) = role {
            let sql = "SELECT name FROM roles WHERE project = $1 AND name = $2";
            let row = query(sql).bind(project).bind(role).fetch_optional(self.reader()).await.map_err(Fault::from)?;
            row.ok_or_else(|| no_such_role(project, role))?;
        }
        let sql = "SELECT document FROM policies WHERE project = $1 AND role = $2";
        let found = query(sql).bind(project).bind(role.unwrap_or_default()).fetch_optional(self.reader()).await;
        Ok(one(found.map_err(Fault::from)?, |r| Cells::new(r).text())?)
    }

    /// Keeps the policy of the project, or of one of its roles, in place of the one before; an empty one takes that away.
    /// `Invalid` for one that says what nobody would act on, `NotFound` without the project or the role.
    pub async fn put_policy(&self, project: &str, role: Option<&str>, document: &str) -> Result<()> {
        let mut accounts = Vec::new();
        let is_empty = document.trim().is_empty();
        if !is_empty {
            accounts.extend(read(document, project, role)?.principals().map(str::to_string));
        }
        write_tx!(self, |tx| {
            hold_project(&mut tx, project).await?;
            if let Some(role) = role {
                hold_role(&mut tx, project, role).await?;
            }
            for account in &accounts {
                let known = query("SELECT id FROM accounts WHERE name = $1").bind(account);
                if known.fetch_optional(tx.conn()).await?.is_none() {
                    let message = format!("Principal '{account}' of the policy is no account; there is also \"*\"");
                    return Err(Error::new(Kind::Invalid, "InvalidParameter", message).into());
                }
            }
            let change = match is_empty {
                true => query("DELETE FROM policies WHERE project = $1 AND role = $2"),
                false => query(
                    "INSERT INTO policies (project, role, document) VALUES ($1, $2, $3) \
                     ON CONFLICT (project, role) DO UPDATE SET document = excluded.document",
                ),
            };
            let change = change.bind(project).bind(role.unwrap_or_default());
            let change = if is_empty { change } else { change.bind(document) };
            change.execute(tx.conn()).await?;
            Ok(())
        })
    }
}

fn read(document: &str, project: &str, role: Option<&str>) -> Result<Policy> {
    match role {
        None => Policy::of_project(document, project),
        Some(_) => Policy::of_role(document, project),
    }
}
