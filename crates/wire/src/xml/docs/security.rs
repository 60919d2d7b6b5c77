//! Users, roles, security statements, the security configuration, and quotas.

use feitian_base::Result;

use super::super::node::invalid;
use super::super::{Element, Node};
use super::Page;

/// The answer to a security statement, at once. `result` must be JSON text, even where it is a plain string.
pub fn authorization(result: &str) -> String {
    Element::new("Authorization").leaf("Result", result).document()
}

/// Where an asynchronous security statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationState {
    Running,
    Terminated,
    Failed,
}

/// The state of an asynchronous security statement; `result` is JSON text, or the error text of a failed one.
pub fn authorization_query(state: AuthorizationState, result: &str) -> String {
    let state = match state {
        AuthorizationState::Running => "RUNNING",
        AuthorizationState::Terminated => "TERMINATED",
        AuthorizationState::Failed => "FAILED",
    };
    Element::new("AuthorizationQuery").leaf("Result", result).leaf("Status", state).document()
}

/// A user of a project.
#[derive(Debug, Clone, Default)]
pub struct User {
    pub id: String,
    /// For example `ALIYUN$demo`.
    pub display_name: String,
    pub comment: String,
}

fn user_element(u: &User) -> Element {
    Element::new("User").leaf("ID", &u.id).leaf("DisplayName", &u.display_name).leaf("Comment", &u.comment)
}

/// The user document.
pub fn user(u: &User) -> String {
    user_element(u).document()
}

/// The list of users.
pub fn users<'a>(items: impl IntoIterator<Item = &'a User>) -> String {
    Element::new("Users").children(items.into_iter().map(user_element)).document()
}

/// A role of a project.
#[derive(Debug, Clone, Default)]
pub struct Role {
    pub name: String,
    pub comment: String,
}

fn role_element(r: &Role) -> Element {
    Element::new("Role").leaf("Name", &r.name).leaf("Comment", &r.comment)
}

/// The role document.
pub fn role(r: &Role) -> String {
    role_element(r).document()
}

/// The list of roles.
pub fn roles<'a>(items: impl IntoIterator<Item = &'a Role>) -> String {
    Element::new("Roles").children(items.into_iter().map(role_element)).document()
}

/// The switches of a project's security: `(name, value)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityConfiguration {
    /// In the order of [`SECURITY_SWITCHES`].
    pub switches: [bool; SECURITY_SWITCHES.len()],
    pub project_protection: bool,
}

/// The names of the switches.
pub const SECURITY_SWITCHES: [&str; 15] = [
    "CheckPermissionUsingAcl",
    "CheckPermissionUsingPolicy",
    "LabelSecurity",
    "ObjectCreatorHasAccessPermission",
    "ObjectCreatorHasGrantPermission",
    "CheckPermissionUsingAclV2",
    "CheckPermissionUsingPolicyV2",
    "SupportACL",
    "SupportPolicy",
    "SupportPackage",
    "SupportACLV2",
    "SupportPackageV2",
    "CheckPermissionUsingPackage",
    "CreatePackage",
    "CreatePackageV2",
];

/// The security configuration document, as GET returns and PUT sends it.
pub fn security_configuration(c: &SecurityConfiguration) -> String {
    let switches = SECURITY_SWITCHES.iter().zip(c.switches).map(|(name, on)| Element::new(name).text(on));
    let protection = Element::new("ProjectProtection").attr("Protected", c.project_protection);
    Element::new("SecurityConfiguration")
        .children(switches)
        .child(protection.child(Element::new("Exceptions")))
        .document()
}

/// Applies the document of a PUT to `current`; what it leaves out keeps its value. Unknown switches and values other than
/// `true` and `false` are refused.
pub fn parse_security(body: &[u8], current: &SecurityConfiguration) -> Result<SecurityConfiguration> {
    let root = Node::parse(body)?;
    let mut next = current.clone();
    let boolean = |name: &str, text: &str| match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(invalid(format!("{name} cannot be '{other}', only true or false"))),
    };
    for child in &root.children {
        match SECURITY_SWITCHES.iter().position(|name| *name == child.name) {
            // An empty element is what clients send for a switch they do not know the state of.
            Some(_) if child.text.trim().is_empty() => {}
            Some(at) => next.switches[at] = boolean(&child.name, &child.text)?,
            None if child.name == "ProjectProtection" => {
                if child.child_text("Exceptions").is_some_and(|text| !text.trim().is_empty()) {
                    return Err(invalid("exceptions of ProjectProtection are not supported"));
                }
                if let Some(text) = child.attribute("Protected") {
                    next.project_protection = boolean("Protected", text)?;
                }
            }
            None => return Err(invalid(format!("security switch {} is unknown", child.name))),
        }
    }
    Ok(next)
}

/// A quota.
#[derive(Debug, Clone, Default)]
pub struct Quota {
    pub name: String,
    pub nickname: String,
    pub id: String,
    pub cluster: String,
    pub region: String,
    pub tenant_id: String,
    /// `ON` or `OFF`.
    pub status: String,
    /// `FUXI_OFFLINE`, `FUXI_ONLINE` or `FUXI_VW`.
    pub kind: String,
    /// Hundredths of a core.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
}

fn quota_element(q: &Quota) -> Element {
    Element::new("Quota")
        .leaf("Name", &q.name)
        .leaf("Nickname", &q.nickname)
        .leaf("ID", &q.id)
        .leaf("Cluster", &q.cluster)
        .leaf("Region", &q.region)
        .leaf("TenantId", &q.tenant_id)
        .leaf("Status", &q.status)
        .leaf("ResourceSystemType", &q.kind)
        .leaf("CPU", q.cpu)
        .leaf("Memory", q.memory)
}

/// The quota document.
pub fn quota(q: &Quota) -> String {
    quota_element(q).document()
}

/// The list of quotas.
pub fn quotas<'a>(items: impl IntoIterator<Item = &'a Quota>, page: &Page) -> String {
    page.list("Quotas").children(items.into_iter().map(quota_element)).document()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_security_document_changes_only_what_it_names() {
        let old = SecurityConfiguration { switches: [false; 15], project_protection: true };
        let body = b"<SecurityConfiguration><LabelSecurity>true</LabelSecurity><SupportACL/></SecurityConfiguration>";
        let new = parse_security(body, &old).unwrap();
        assert!(new.switches[2] && new.project_protection);
        assert_eq!(new.switches.iter().filter(|on| **on).count(), 1);
        assert_eq!(parse_security(security_configuration(&new).as_bytes(), &old).unwrap(), new);
        for bad in ["<X><Label>true</Label></X>", "<X><LabelSecurity>1</LabelSecurity></X>"] {
            assert!(parse_security(bad.as_bytes(), &old).is_err(), "{bad}");
        }
    }

    // Names: odps/models/security/users.py and odps/models/project.py of PyODPS.
    #[test]
    fn security_documents_have_the_fields_clients_read() {
        let u = User { id: "1".into(), display_name: "ALIYUN$demo".into(), comment: String::new() };
        let node = Node::parse(users([&u]).as_bytes()).unwrap();
        assert_eq!(node.child("User").unwrap().child_text("DisplayName"), Some("ALIYUN$demo"));
        let r = Role { name: "admin".into(), comment: String::new() };
        assert_eq!(
            Node::parse(roles([&r]).as_bytes()).unwrap().child("Role").unwrap().child_text("Name"),
            Some("admin")
        );
        let node = Node::parse(authorization("{\"ID\":\"1\"}").as_bytes()).unwrap();
        assert_eq!(node.child_text("Result"), Some("{\"ID\":\"1\"}"));
        let node = Node::parse(authorization_query(AuthorizationState::Failed, "no").as_bytes()).unwrap();
        assert_eq!(node.child_text("Status"), Some("FAILED"));
        let q = Quota { nickname: "os_default".into(), ..Quota::default() };
        let node = Node::parse(quotas([&q], &Page::default()).as_bytes()).unwrap();
        assert_eq!(node.child("Quota").unwrap().child_text("Nickname"), Some("os_default"));
    }
}
