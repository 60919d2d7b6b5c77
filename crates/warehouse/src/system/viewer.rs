//! Who looks at the system's tables, and so which rows there are: the rights of the job's account as they stand now.

use std::collections::VecDeque;

use feitian_base::Result;
use feitian_meta::TOKEN_JOBS;

use crate::query::{Session, rights};

/// What the account of a job may see. Made when a query is planned: a job that waited for an hour sees what its account
/// may see now, not what it might have seen then.
#[derive(Debug)]
pub(super) struct Viewer {
    /// `None`: every project, those that are gone included.
    projects: Option<Vec<String>>,
    /// Whose instances of the table store are seen; nobody's without one, unless an administrator looks.
    pub(super) account_id: Option<String>,
    /// Settings that only administrators see.
    pub(super) is_admin: bool,
    /// False for a token that may read tables only.
    pub(super) sees_jobs: bool,
    /// The statement's now, in milliseconds since 1970-01-01 UTC.
    pub(super) now_ms: i64,
}

impl Viewer {
    /// The viewer of a query of this session. An account that is gone or disabled sees no rows; a bearer token is no
    /// administrator and sees its own project.
    pub(super) async fn of(session: &Session) -> Result<Self> {
        let meta = session.warehouse.meta();
        let account = meta.account_by_name(&session.instance.owner).await?.filter(|a| a.enabled);
        let token = rights::token_scope(session);
        let is_admin = token.is_none() && account.as_ref().is_some_and(|a| a.admin);
        let mut projects = match &account {
            Some(_) if is_admin => None,
            Some(account) => Some(meta.open_projects(&account.id).await?),
            None => Some(Vec::new()),
        };
        if let (Some(_), Some(projects)) = (&token, &mut projects) {
            projects.retain(|p| *p == session.instance.project);
        }
        // A token is for what is in a project.
        let account_id = account.filter(|_| token.is_none()).map(|account| account.id);
        let sees_jobs = token.is_none_or(|scope| scope == TOKEN_JOBS);
        Ok(Self { projects, account_id, is_admin, sees_jobs, now_ms: session.statement_ms() })
    }

    /// True if rows of this project may be seen.
    pub(super) fn sees(&self, project: &str) -> bool {
        self.projects.as_ref().is_none_or(|all| all.iter().any(|p| p == project))
    }

    /// What to read, one after the other: projects, or `None` for all at once. `only` is a project that was asked for.
    pub(super) fn scopes(&self, only: Option<&str>) -> VecDeque<Option<String>> {
        match (&self.projects, only) {
            (_, Some(project)) if self.sees(project) => VecDeque::from([Some(project.to_string())]),
            (_, Some(_)) => VecDeque::new(),
            (None, None) => VecDeque::from([None]),
            (Some(all), None) => all.iter().cloned().map(Some).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_project_is_not_read_even_when_it_is_asked_for() {
        let viewer = |projects: Option<&[&str]>| Viewer {
            projects: projects.map(|all| all.iter().map(|p| p.to_string()).collect()),
            account_id: None,
            is_admin: false,
            sees_jobs: true,
            now_ms: 0,
        };
        let own = viewer(Some(&["a", "b"]));
        assert_eq!(own.scopes(None), [Some("a".to_string()), Some("b".to_string())]);
        assert_eq!(own.scopes(Some("b")), [Some("b".to_string())]);
        assert!(own.scopes(Some("c")).is_empty() && !own.sees("c"));
        let all = viewer(None);
        assert_eq!(all.scopes(None), [None]);
        assert_eq!(all.scopes(Some("c")), [Some("c".to_string())]);
        assert!(viewer(Some(&[])).scopes(None).is_empty());
    }
}
