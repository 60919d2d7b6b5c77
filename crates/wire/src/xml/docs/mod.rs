//! The documents that a server answers with, from plain structs.
//!
//! Times are milliseconds since 1970-01-01 UTC in every struct; each document prints them in its own form. Lists take
//! the marker of the next page: empty or absent means that this page is the last.

mod instance;
mod project;
mod security;
mod table;
mod volume;

pub use instance::{
    InstanceStatus, InstanceSummary, Stage, TaskResult, TaskStatus, cached_instances, instance_status, instances,
    progress, result, task_status,
};
pub use project::{
    Function, Project, Resource, SchemaDoc, function, functions, project, projects, resources, schema, schemas,
};
pub use security::{
    AuthorizationState, Quota, Role, SECURITY_SWITCHES, SecurityConfiguration, User, authorization,
    authorization_query, parse_security, quota, quotas, role, roles, security_configuration, user, users,
};
pub use table::{Partition, TableDoc, TableSummary, partition, partitions, table, tables};
pub use volume::{Volume, VolumeItem, volume, volume_files, volume_item, volume_items, volume_partitions, volumes};

use chrono::{DateTime, Utc};

use super::Element;

/// A time as HTTP headers and most documents have it: `Mon, 01 Jan 2024 00:00:00 GMT`.
pub fn http_date(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The error document. Clients drop it whole unless all four fields are there.
pub fn error(code: &str, message: &str, request_id: &str, host_id: &str) -> String {
    Element::new("Error")
        .leaf("Code", code)
        .child(Element::new("Message").cdata(message))
        .leaf("RequestId", request_id)
        .leaf("HostId", host_id)
        .document()
}

/// The error document for tunnel and storage endpoints, in JSON.
pub fn error_json(code: &str, message: &str) -> String {
    serde_json::json!({ "Code": code, "Message": message }).to_string()
}

/// One page of a list. `max_items` is the page size asked for or used.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub marker: Option<String>,
    pub max_items: Option<u64>,
}

impl Page {
    fn list(&self, name: &'static str) -> Element {
        Element::new(name).leaf("Marker", self.marker.as_deref().unwrap_or_default()).maybe("MaxItems", self.max_items)
    }
}

/// A list with nothing in it, for collections that we do not have.
pub fn empty_list(name: &'static str) -> String {
    Page::default().list(name).document()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Node;
    use super::*;

    // 2024-01-01 00:00:00 UTC is 1704067200 seconds after the epoch: `date -u -d @1704067200`.
    #[test]
    fn times_have_the_form_of_rfc_822() {
        assert_eq!(http_date(1_704_067_200_000), "Mon, 01 Jan 2024 00:00:00 GMT");
        assert_eq!(http_date(i64::MAX), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    // The four names: odps/errors.py of PyODPS, parse_xml_error.
    #[test]
    fn an_error_has_its_four_fields() {
        let doc = error("NoSuchObject", "a ]]> & <b>", "R1", "feitian");
        let node = Node::parse(doc.as_bytes()).unwrap();
        let text = |name| node.child(name).unwrap().text.clone();
        assert_eq!(
            (text("Code"), text("RequestId"), text("HostId")),
            ("NoSuchObject".into(), "R1".into(), "feitian".into())
        );
        assert_eq!(text("Message"), "a ]]> & <b>");
        assert_eq!(error_json("C", "m\""), r#"{"Code":"C","Message":"m\""}"#);
    }

    #[test]
    fn the_last_page_has_an_empty_marker() {
        let page = Page { marker: Some("next".into()), max_items: Some(10) };
        let node = Node::parse(page.list("X").document().as_bytes()).unwrap();
        assert_eq!((node.child_text("Marker"), node.child_text("MaxItems")), (Some("next"), Some("10")));
        let node = Node::parse(empty_list("X").as_bytes()).unwrap();
        assert_eq!((node.child_text("Marker"), node.child("MaxItems")), (Some(""), None));
    }
}
