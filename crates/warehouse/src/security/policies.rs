//! GET POLICY, SHOW SECURITYCONFIGURATION, and the SET of a switch.

use std::fmt::Write;

use feitian_base::{Error, Kind, Result};
use feitian_meta::{Access, Claim, NO_POLICY, Switch, Target};
use feitian_sql::Security;

use super::{Desk, SecurityAnswer};

/// The switch that keeps data in a project. Nothing here does.
const PROTECTION: &str = "ProjectProtection";

impl Desk<'_> {
    /// Policies, switches and labels.
    pub(super) async fn about_policies(&self, statement: Security) -> Result<SecurityAnswer> {
        match statement {
            Security::GetPolicy { role } => self.policy(role.as_deref()).await,
            Security::ShowConfiguration => self.configuration().await,
            Security::SetSwitch { name, on } => {
                self.turn(&name, on).await?;
                Ok(SecurityAnswer::done())
            }
            statement => self.about_labels(statement).await,
        }
    }

    /// The policy of the project or of a role, as it was given.
    async fn policy(&self, role: Option<&str>) -> Result<SecurityAnswer> {
        self.must_see_all()?;
        let found = self.meta.policy(self.place.project, role).await?;
        Ok(SecurityAnswer::Text(found.unwrap_or_else(|| NO_POLICY.to_string())))
    }

    /// How the switches stand: `name=value` lines.
    async fn configuration(&self) -> Result<SecurityAnswer> {
        let (meta, project) = (self.meta, self.place.project);
        let whole = Target::project(project);
        let sees =
            self.access == Access::Whole || meta.may(project, &self.me.id, &[("Read", &whole)], Claim::Nothing).await?;
        if !sees {
            self.must_see_all()?;
        }
        let switches = meta.switches(project).await?;
        let mut text = String::new();
        for (switch, name) in Switch::ALL {
            let _ = writeln!(text, "{name}={}", switches.get(switch));
        }
        let _ = writeln!(text, "{PROTECTION}=false");
        Ok(SecurityAnswer::Text(text))
    }

    /// `SET switch=true|false`
    async fn turn(&self, name: &str, on: bool) -> Result<()> {
        self.must_manage()?;
        match Switch::ALL.into_iter().find(|(_, known)| known.eq_ignore_ascii_case(name)) {
            Some((switch, _)) => self.meta.turn_switches(self.place.project, &[(switch, on)], &self.step).await,
            // It is off, and may be turned off.
            None if name.eq_ignore_ascii_case(PROTECTION) && !on => Ok(()),
            None => {
                let message = format!("SET {name}={on} is not supported: feitian has nothing that it would switch");
                Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message))
            }
        }
    }
}
