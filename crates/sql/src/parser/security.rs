//! Statements about users, roles and what they may do.

use super::cursor::Parser;
use crate::lexer::{Kind, Symbol};
use crate::splitter::is_security_switch;
use crate::statement::{Holder, Security, SecurityObject, Statement};
use crate::{Result, SqlError};

/// Kinds of objects that nothing can be granted on.
const OTHER_OBJECTS: [&str; 12] = [
    "connection",
    "external",
    "function",
    "instance",
    "job",
    "model",
    "package",
    "quota",
    "resource",
    "role",
    "schema",
    "volume",
];

impl Parser<'_> {
    /// A statement about users, roles and rights; `None`, and nothing read, if another one comes next.
    pub(super) fn security(&mut self) -> Result<Option<Statement>> {
        let at = self.position();
        let first = self.source(self.peek()).to_uppercase();
        let (what, read) = match (first.as_str(), self.source(self.peek_at(1)).to_ascii_lowercase().as_str()) {
            ("WHOAMI", _) => (first, self.bare(1, Security::WhoAmI)),
            ("ADD", "user") => (first, Some(Security::AddUser(self.named(2)?))),
            ("REMOVE", "user") => (first, Some(Security::RemoveUser(self.named(2)?))),
            ("LIST", "users") => (first, self.bare(2, Security::ListUsers)),
            ("LIST", "roles") => (first, self.bare(2, Security::ListRoles)),
            ("LIST", "accountproviders") => (first, self.bare(2, Security::ListAccountProviders)),
            ("CREATE", "role") => ("CREATE ROLE".to_string(), Some(Security::CreateRole(self.named(2)?))),
            ("DROP" | "DELETE", "role") => (format!("{first} ROLE"), Some(Security::DropRole(self.named(2)?))),
            // A table may have this name; then nothing follows it, or PARTITION.
            ("DESC" | "DESCRIBE", "role") if self.is_name_at(2) && self.peek_at(3).kind == Kind::End => {
                ("DESC ROLE".to_string(), Some(Security::DescribeRole(self.named(2)?)))
            }
            ("SHOW", "principals") => ("SHOW PRINCIPALS".to_string(), Some(Security::ShowPrincipals(self.named(2)?))),
            ("SHOW", "grants") => ("SHOW GRANTS".to_string(), self.show_grants()?),
            ("SHOW", "acl") => ("SHOW ACL".to_string(), self.show_acl()?),
            ("SHOW", "securityconfiguration") => {
                ("SHOW SECURITYCONFIGURATION".to_string(), self.bare(2, Security::ShowConfiguration))
            }
            ("GET", "policy") => ("GET POLICY".to_string(), self.get_policy()?),
            ("PUT", "policy") => {
                ("PUT POLICY, which takes a file of the client; send its content with PUT ?policy,".to_string(), None)
            }
            ("SET", "label") => ("SET LABEL".to_string(), Some(self.set_label()?)),
            ("SHOW", "label") => ("SHOW LABEL".to_string(), Some(self.show_label_grants()?)),
            ("CLEAR", "expired") if self.is_at(2, "grants") => (first, self.bare(3, Security::ClearExpiredGrants)),
            ("SET", switch) if is_security_switch(switch) => {
                ("SET with more than a switch".to_string(), self.switch()?)
            }
            ("GRANT", _) => (first, self.grant(false)?),
            ("REVOKE", _) => (first, self.grant(true)?),
            _ => return Ok(None),
        };
        // Whoever reads a right with a condition as one without it gives away more than was meant.
        Ok(Some(match read {
            Some(statement) if self.peek().kind == Kind::End => Statement::Security(Box::new(statement)),
            _ => self.skip(&what, at),
        }))
    }

    /// Takes so many words, which are the whole statement.
    fn bare(&mut self, words: usize, statement: Security) -> Option<Security> {
        for _ in 0..words {
            self.take();
        }
        Some(statement)
    }

    /// The name after so many words.
    fn named(&mut self, words: usize) -> Result<String> {
        for _ in 0..words {
            self.take();
        }
        self.principal("a name")
    }

    /// The name of an account, a role or a privilege as it was written: `ALIYUN$anna@example.com`, `RAM$corp:anna`.
    fn principal(&mut self, expected: &str) -> Result<String> {
        let first = self.peek();
        if first.kind == Kind::Quoted {
            self.take();
            return Ok(self.source(first).trim_matches('`').to_string());
        }
        if !matches!(first.kind, Kind::Word | Kind::Number) {
            return self.unexpected(Some(expected));
        }
        let mut end = self.take().range().end;
        loop {
            let next = self.peek();
            let is_part = matches!(
                next.kind,
                Kind::Word
                    | Kind::Number
                    | Kind::Symbol(Symbol::At | Symbol::Dot | Symbol::Colon | Symbol::Minus | Symbol::Plus)
            );
            if !is_part || next.range().start != end {
                return Ok(self.source_since(first).to_string());
            }
            end = self.take().range().end;
        }
    }

    /// `USER name`, `ROLE name`, or a user's name.
    pub(super) fn holder(&mut self) -> Result<Holder> {
        let named = self.peek_at(1).kind != Kind::End;
        if named && self.eat(&["role"]) {
            return Ok(Holder::Role(self.principal("a role")?));
        }
        let _is_said = named && self.eat(&["user"]);
        Ok(Holder::User(self.principal("a user")?))
    }

    /// `[TABLE] name` or `PROJECT [name]`; `None` for what nothing can be granted on.
    fn secured_object(&mut self) -> Result<Option<SecurityObject>> {
        let ends = |parser: &Self, n: usize| {
            parser.peek_at(n).kind == Kind::End || parser.is_at(n, "to") || parser.is_at(n, "from")
        };
        if self.eat(&["project"]) {
            let name = if ends(&*self, 0) { None } else { Some(self.name()?) };
            return Ok(Some(SecurityObject::Project(name)));
        }
        let has_name = !ends(&*self, 1) && matches!(self.peek_at(1).kind, Kind::Word | Kind::Quoted);
        if has_name && self.is_any(&OTHER_OBJECTS) {
            return Ok(None);
        }
        let _is_said = has_name && self.eat(&["table"]);
        Ok(Some(SecurityObject::Table(self.object_name()?)))
    }

    /// `GRANT privilege, … ON object TO holder`, `GRANT role TO user`, and REVOKE … FROM.
    fn grant(&mut self, revoke: bool) -> Result<Option<Security>> {
        self.take();
        if self.is_any(&["super"]) {
            return Ok(None);
        }
        if self.is("label") && !self.is_at(1, if revoke { "from" } else { "to" }) {
            return Ok(Some(self.grant_label(revoke)?));
        }
        let (at, to) = (self.position(), if revoke { "from" } else { "to" });
        let _is_said = !self.is_at(1, to) && !self.is_at(1, "on") && self.eat(&["role"]);
        let mut names = self.list(|p| p.principal("a privilege or a role"))?;
        if self.is_symbol(Symbol::LParen) {
            return Ok(None);
        }
        if self.eat(&[to]) {
            let _is_said = self.peek_at(1).kind != Kind::End && self.eat(&["user"]);
            let user = self.principal("a user")?;
            let (Some(role), true) = (names.pop(), names.is_empty()) else {
                return Err(SqlError::parse(at, "one role at a time"));
            };
            return Ok(Some(if revoke {
                Security::RevokeRole { role, user }
            } else {
                Security::GrantRole { role, user }
            }));
        }
        self.expect("on")?;
        let Some(on) = self.secured_object()? else { return Ok(None) };
        self.expect(to)?;
        let (privileges, holder) = (names, self.holder()?);
        Ok(Some(if revoke {
            Security::Revoke { privileges, on, holder }
        } else {
            Security::Grant { privileges, on, holder }
        }))
    }

    /// `GET POLICY [ON ROLE role]`
    fn get_policy(&mut self) -> Result<Option<Security>> {
        self.take();
        self.take();
        let role = if self.eat(&["on", "role"]) { Some(self.principal("a role")?) } else { None };
        Ok(Some(Security::GetPolicy { role }))
    }

    /// `SET switch=true|false`
    fn switch(&mut self) -> Result<Option<Security>> {
        self.take();
        let name = self.name()?;
        self.expect_symbol(Symbol::Eq, "'='")?;
        let on = self.eat(&["true"]);
        if !on {
            self.expect("false")?;
        }
        Ok(Some(Security::SetSwitch { name, on }))
    }

    /// `SHOW GRANTS [FOR holder] [ON object]`
    fn show_grants(&mut self) -> Result<Option<Security>> {
        self.take();
        self.take();
        let holder = if self.eat(&["for"]) { Some(self.holder()?) } else { None };
        let mut on = None;
        if self.eat(&["on"]) {
            on = self.secured_object()?;
            if on.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Security::ShowGrants { holder, on }))
    }

    /// `SHOW ACL FOR table [ON TYPE TABLE]`
    fn show_acl(&mut self) -> Result<Option<Security>> {
        self.take();
        self.take();
        self.expect("for")?;
        let table = SecurityObject::Table(self.object_name()?);
        if self.peek().kind != Kind::End && !self.eat(&["on", "type", "table"]) {
            return Ok(None);
        }
        Ok(Some(Security::ShowGrants { holder: None, on: Some(table) }))
    }
}
