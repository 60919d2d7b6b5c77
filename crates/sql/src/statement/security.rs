//! Statements about users, roles and rights.

use sqlparser::ast::ObjectName;

/// A statement about users, roles and rights. Names of accounts and roles are as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Security {
    WhoAmI,
    ListAccountProviders,
    AddUser(String),
    RemoveUser(String),
    ListUsers,
    CreateRole(String),
    /// `DROP ROLE` and `DELETE ROLE`.
    DropRole(String),
    ListRoles,
    /// `DESC ROLE`: what was granted to it, and who has it.
    DescribeRole(String),
    /// `SHOW PRINCIPALS role`: who has it.
    ShowPrincipals(String),
    GrantRole {
        role: String,
        user: String,
    },
    RevokeRole {
        role: String,
        user: String,
    },
    /// `GRANT privileges ON object TO holder`; privileges are as written.
    Grant {
        privileges: Vec<String>,
        on: SecurityObject,
        holder: Holder,
    },
    /// `REVOKE privileges ON object FROM holder`
    Revoke {
        privileges: Vec<String>,
        on: SecurityObject,
        holder: Holder,
    },
    /// `SHOW GRANTS [FOR holder] [ON object]` and `SHOW ACL FOR table`.
    ShowGrants {
        holder: Option<Holder>,
        on: Option<SecurityObject>,
    },
    /// `GET POLICY [ON ROLE role]`: that of the project without a role.
    GetPolicy {
        role: Option<String>,
    },
    /// `SHOW SECURITYCONFIGURATION`
    ShowConfiguration,
    /// `SET LabelSecurity=true` and its like; the name is in small letters.
    SetSwitch {
        name: String,
        on: bool,
    },
    /// `SET LABEL level TO USER|ROLE holder`
    LabelHolder {
        level: u8,
        holder: Holder,
    },
    /// `SET LABEL level TO TABLE t[(columns)]`
    LabelTable {
        level: u8,
        table: ObjectName,
        columns: Vec<String>,
    },
    /// `GRANT LABEL level ON TABLE t[(columns)] TO USER|ROLE holder [WITH EXP days]`; REVOKE has no level.
    GrantLabel {
        level: Option<u8>,
        table: ObjectName,
        columns: Vec<String>,
        holder: Holder,
        days: Option<u32>,
    },
    /// `SHOW LABEL [level] GRANTS [ON TABLE t] [FOR USER|ROLE holder]`
    ShowLabelGrants {
        level: Option<u8>,
        table: Option<ObjectName>,
        holder: Option<Holder>,
    },
    /// `CLEAR EXPIRED GRANTS`
    ClearExpiredGrants,
}

/// Who holds a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    User(String),
    Role(String),
}

/// What a right is on.
#[derive(Debug, Clone, PartialEq)]
pub enum SecurityObject {
    /// A project by name; the one of the statement without a name.
    Project(Option<String>),
    /// A table or view.
    Table(ObjectName),
}
