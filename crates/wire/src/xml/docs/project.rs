//! Projects, schemas, functions and resources.

use super::super::Element;
use super::{Page, http_date};

/// A project. Clients need at least one property and one extended property.
#[derive(Debug, Clone, Default)]
pub struct Project {
    pub name: String,
    pub comment: String,
    pub owner: String,
    /// `AVAILABLE`, `READONLY`, `DELETING` or `FROZEN`.
    pub state: String,
    pub region: String,
    pub tenant_id: String,
    pub default_quota: String,
    pub created_ms: i64,
    pub modified_ms: i64,
    pub properties: Vec<(String, String)>,
    /// Shown only by the extended document.
    pub extended_properties: Vec<(String, String)>,
}

fn properties(name: &'static str, pairs: &[(String, String)]) -> Element {
    let property = |(key, value): &(String, String)| Element::new("Property").leaf("Name", key).leaf("Value", value);
    Element::new(name).children(pairs.iter().map(property))
}

fn project_element(p: &Project) -> Element {
    Element::new("Project")
        .leaf("Name", &p.name)
        .leaf("Type", "managed")
        .leaf("Comment", &p.comment)
        .leaf("Owner", &p.owner)
        .leaf("CreationTime", http_date(p.created_ms))
        .leaf("LastModifiedTime", http_date(p.modified_ms))
        .leaf("State", &p.state)
        .leaf("Region", &p.region)
        .leaf("TenantId", &p.tenant_id)
        .leaf("DefaultQuotaNickname", &p.default_quota)
}

/// The project document; `extended` adds the extended properties.
pub fn project(p: &Project, extended: bool) -> String {
    let cluster = Element::new("Cluster").leaf("Name", "default").leaf("QuotaID", 1);
    let doc = project_element(p).child(properties("Properties", &p.properties));
    let doc = if extended { doc.child(properties("ExtendedProperties", &p.extended_properties)) } else { doc };
    doc.child(Element::new("Clusters").child(cluster)).document()
}

/// The list of projects.
pub fn projects<'a>(items: impl IntoIterator<Item = &'a Project>, page: &Page) -> String {
    page.list("Projects").children(items.into_iter().map(project_element)).document()
}

/// A schema within a project.
#[derive(Debug, Clone, Default)]
pub struct SchemaDoc {
    pub name: String,
    pub owner: String,
    pub description: String,
    pub created_ms: i64,
    pub modified_ms: i64,
}

fn schema_element(s: &SchemaDoc) -> Element {
    Element::new("Schema")
        .leaf("Name", &s.name)
        .leaf("Owner", &s.owner)
        .leaf("Description", &s.description)
        .leaf("CreateTime", http_date(s.created_ms))
        .leaf("ModifyTime", http_date(s.modified_ms))
        .leaf("Type", "MANAGED")
}

/// The schema document.
pub fn schema(s: &SchemaDoc) -> String {
    schema_element(s).document()
}

/// The list of schemas.
pub fn schemas<'a>(items: impl IntoIterator<Item = &'a SchemaDoc>, page: &Page) -> String {
    page.list("Schemas").children(items.into_iter().map(schema_element)).document()
}

/// A registered function.
#[derive(Debug, Clone, Default)]
pub struct Function {
    pub name: String,
    pub owner: String,
    pub created_ms: i64,
    pub class_type: String,
    /// Full names, `project/resources/name`.
    pub resources: Vec<String>,
    /// The statement that defines a SQL function.
    pub sql: Option<String>,
}

fn function_element(f: &Function) -> Element {
    let resources = f.resources.iter().map(|r| Element::new("ResourceName").text(r));
    let element = Element::new("Function")
        .leaf("Alias", &f.name)
        .leaf("Owner", &f.owner)
        .leaf("CreationTime", http_date(f.created_ms))
        .leaf("ClassType", &f.class_type)
        .child(Element::new("Resources").children(resources));
    match &f.sql {
        Some(sql) => element.leaf("IsSqlFunction", "true").leaf("SqlDefinitionText", sql),
        None => element,
    }
}

/// The function document.
pub fn function(f: &Function) -> String {
    function_element(f).document()
}

/// The list of functions.
pub fn functions<'a>(items: impl IntoIterator<Item = &'a Function>, page: &Page) -> String {
    page.list("Functions").children(items.into_iter().map(function_element)).document()
}

/// A resource: a file, an archive, or a reference to a table.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    pub name: String,
    pub owner: String,
    /// `file`, `py`, `jar`, `archive`, `table`, `volumefile` or `volumearchive`; it decides the class in clients.
    pub kind: String,
    pub created_ms: i64,
    pub modified_ms: i64,
    pub last_updator: String,
    pub size: u64,
    pub comment: String,
    /// The source of a table resource.
    pub table: Option<String>,
}

/// The list of resources.
pub fn resources<'a>(items: impl IntoIterator<Item = &'a Resource>, page: &Page) -> String {
    let element = |r: &Resource| {
        Element::new("Resource")
            .leaf("Name", &r.name)
            .leaf("Owner", &r.owner)
            .leaf("ResourceType", &r.kind)
            .leaf("CreationTime", http_date(r.created_ms))
            .leaf("LastModifiedTime", http_date(r.modified_ms))
            .leaf("LastUpdator", &r.last_updator)
            .leaf("ResourceSize", r.size)
            .leaf("Comment", &r.comment)
            .maybe("TableName", r.table.as_ref())
    };
    page.list("Resources").children(items.into_iter().map(element)).document()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::Node;
    use super::*;

    fn pair(k: &str, v: &str) -> (String, String) {
        (k.to_string(), v.to_string())
    }

    // Field names: odps/models/project.py of PyODPS.
    #[test]
    fn a_project_shows_extended_properties_on_request_only() {
        let p = Project {
            name: "p1".into(),
            state: "AVAILABLE".into(),
            properties: vec![pair("a", "1")],
            extended_properties: vec![pair("b", "2")],
            ..Project::default()
        };
        let node = Node::parse(project(&p, true).as_bytes()).unwrap();
        assert_eq!((node.child_text("Name"), node.child_text("State")), (Some("p1"), Some("AVAILABLE")));
        let value = |list: &str| node.child(list).unwrap().children[0].child_text("Value").map(str::to_string);
        assert_eq!((value("Properties"), value("ExtendedProperties")), (Some("1".into()), Some("2".into())));
        assert!(Node::parse(project(&p, false).as_bytes()).unwrap().child("ExtendedProperties").is_none());
        let list = Node::parse(projects([&p], &Page::default()).as_bytes()).unwrap();
        assert!(list.child("Project").unwrap().child("Properties").is_none());
    }

    // Field names: odps/models/function.py, resource.py and schema.py of PyODPS.
    #[test]
    fn functions_resources_and_schemas_have_the_fields_clients_read() {
        let f = Function { name: "f".into(), resources: vec!["p/resources/a.py".into()], ..Function::default() };
        let node = Node::parse(functions([&f], &Page::default()).as_bytes()).unwrap();
        let item = node.child("Function").unwrap();
        assert_eq!(item.child("Resources").unwrap().child_text("ResourceName"), Some("p/resources/a.py"));
        assert!(item.child("IsSqlFunction").is_none());
        // Function.java of the Java SDK: a SQL function has its text, an empty class and no resources.
        let f = Function { name: "f".into(), sql: Some("CREATE SQL FUNCTION f() AS 1".into()), ..Function::default() };
        let node = Node::parse(function(&f).as_bytes()).unwrap();
        assert_eq!(node.child_text("IsSqlFunction"), Some("true"));
        assert_eq!(node.child_text("SqlDefinitionText"), Some("CREATE SQL FUNCTION f() AS 1"));
        let r = Resource { name: "a.py".into(), kind: "py".into(), size: 3, ..Resource::default() };
        let node = Node::parse(resources([&r], &Page::default()).as_bytes()).unwrap();
        let item = node.child("Resource").unwrap();
        assert_eq!((item.child_text("ResourceType"), item.child_text("ResourceSize")), (Some("py"), Some("3")));
        let s = SchemaDoc { name: "s".into(), ..SchemaDoc::default() };
        let node = Node::parse(schemas([&s], &Page::default()).as_bytes()).unwrap();
        assert_eq!(node.child("Schema").unwrap().child_text("Type"), Some("MANAGED"));
    }
}
