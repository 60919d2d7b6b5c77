//! Tables and partitions.

use serde_json::json;

use super::super::Element;
use super::{Page, http_date};

/// What a list shows of a table.
#[derive(Debug, Clone, Default)]
pub struct TableSummary {
    pub name: String,
    pub owner: String,
    pub id: String,
    /// `MANAGED_TABLE`, `EXTERNAL_TABLE`, `VIRTUAL_VIEW` or `MATERIALIZED_VIEW`.
    pub kind: String,
    /// Further fields of an extended list: comment, schema JSON and so on. Plain lists must leave them out.
    pub extended: Option<TableDoc>,
}

/// The list of tables.
pub fn tables<'a>(items: impl IntoIterator<Item = &'a TableSummary>, page: &Page) -> String {
    let element = |t: &TableSummary| match &t.extended {
        Some(doc) => table_element(doc),
        None => Element::new("Table")
            .leaf("Name", &t.name)
            .leaf("TableId", &t.id)
            .leaf("Owner", &t.owner)
            .leaf("Type", &t.kind),
    };
    page.list("Tables").children(items.into_iter().map(element)).document()
}

/// A table.
#[derive(Debug, Clone, Default)]
pub struct TableDoc {
    pub name: String,
    pub id: String,
    /// The schema JSON (see [`schema_json`](crate::schema_json)), extended or not.
    pub schema_json: String,
    pub comment: String,
    pub owner: String,
    pub kind: String,
    pub created_ms: i64,
    pub last_access_ms: Option<i64>,
}

fn table_element(t: &TableDoc) -> Element {
    // No LastModifiedTime: it would replace the finer one of the schema JSON.
    Element::new("Table")
        .leaf("Name", &t.name)
        .leaf("TableId", &t.id)
        .child(Element::new("Schema").attr("format", "Json").cdata(&t.schema_json))
        .leaf("Comment", &t.comment)
        .leaf("Owner", &t.owner)
        .leaf("CreationTime", http_date(t.created_ms))
        .maybe("LastAccessTime", t.last_access_ms.map(http_date))
        .child(Element::new("TableLabel"))
        .leaf("Type", &t.kind)
}

/// The table document.
pub fn table(t: &TableDoc) -> String {
    table_element(t).document()
}

/// A partition.
#[derive(Debug, Clone, Default)]
pub struct Partition {
    /// Column and value, in the order of the table.
    pub values: Vec<(String, String)>,
    pub created_ms: i64,
    pub last_ddl_ms: i64,
    pub modified_ms: i64,
    pub last_access_ms: Option<i64>,
    /// Bytes.
    pub size: u64,
    pub rows: u64,
    pub files: u64,
    /// Days; `None` prints as -1.
    pub lifecycle: Option<i64>,
    /// `standard`, `lowfrequency` or `longterm`, if it was given one.
    pub tier: Option<String>,
}

/// The list of partitions; times are whole epoch seconds here.
pub fn partitions<'a>(items: impl IntoIterator<Item = &'a Partition>, page: &Page) -> String {
    let element = |p: &Partition| {
        let column = |(name, value): &(String, String)| Element::new("Column").attr("Name", name).attr("Value", value);
        Element::new("Partition")
            .children(p.values.iter().map(column))
            .leaf("CreationTime", p.created_ms.div_euclid(1000))
            .leaf("LastDDLTime", p.last_ddl_ms.div_euclid(1000))
            .leaf("LastModifiedTime", p.modified_ms.div_euclid(1000))
            .leaf("PartitionSize", p.size)
            .leaf("PartitionRecordCount", p.rows)
    };
    page.list("Partitions").children(items.into_iter().map(element)).document()
}

/// The partition document: JSON inside XML, with times as epoch seconds that keep their fraction.
///
/// The extended one has the extended keys alone: a client asks for the others when it needs them, and takes a partition
/// that has all of them for one that it has not loaded yet (`odps/models/tests/test_partitions.py` of PyODPS).
pub fn partition(p: &Partition, extended: bool) -> String {
    let seconds = crate::schema_json::seconds;
    let schema = match extended {
        false => json!({
            "createTime": seconds(p.created_ms),
            "lastDDLTime": seconds(p.last_ddl_ms),
            "lastModifiedTime": seconds(p.modified_ms),
            "lastAccessTime": p.last_access_ms.map_or(json!(0), seconds),
            "partitionSize": p.size,
            "partitionRecordNum": p.rows,
        }),
        true => json!({
            "IsArchived": false,
            "IsExstore": false,
            "LifeCycle": p.lifecycle.unwrap_or(-1),
            // Clients look for the newest partition whose physical size is not zero.
            "PhysicalSize": if p.rows == 0 { 0 } else { p.size.max(1) },
            "FileNum": p.files,
            "Reserved": p.tier.as_ref().map_or(json!({}), |tier| json!({ "StorageTier": tier })).to_string(),
        }),
    };
    Element::new("Partition").child(Element::new("Schema").cdata(&schema.to_string())).document()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::Node;
    use super::*;

    // What a plain list must leave out: odps/models/tests/test_tables.py of PyODPS.
    #[test]
    fn a_plain_list_shows_no_more_than_names_and_types() {
        let t = TableSummary {
            name: "t".into(),
            owner: "o".into(),
            id: "i".into(),
            kind: "MANAGED_TABLE".into(),
            extended: None,
        };
        let node = Node::parse(tables([&t], &Page::default()).as_bytes()).unwrap();
        let names: Vec<_> = node.child("Table").unwrap().children.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["Name", "TableId", "Owner", "Type"]);
    }

    #[test]
    fn a_table_carries_its_schema_as_cdata() {
        let t = TableDoc { name: "t".into(), schema_json: r#"{"comment":"]]>"}"#.into(), ..TableDoc::default() };
        let node = Node::parse(table(&t).as_bytes()).unwrap();
        assert_eq!(node.child("Schema").unwrap().literal(), t.schema_json);
        assert!(node.child("LastModifiedTime").is_none());
    }

    // Names and units: odps/models/partition.py of PyODPS.
    #[test]
    fn partitions_have_attributes_and_epoch_seconds() {
        let p = Partition {
            values: vec![("ds".into(), "2024'01".into())],
            created_ms: 1_704_067_200_999,
            modified_ms: 1_704_067_260_500,
            size: 2048,
            rows: 12,
            ..Partition::default()
        };
        let node = Node::parse(partitions([&p], &Page::default()).as_bytes()).unwrap();
        let item = node.child("Partition").unwrap();
        assert_eq!(item.child("Column").unwrap().attribute("Value"), Some("2024'01"));
        assert_eq!(item.child_text("CreationTime"), Some("1704067200"));
        let schema = |extended| {
            let node = Node::parse(partition(&p, extended).as_bytes()).unwrap();
            serde_json::from_str::<serde_json::Value>(node.child("Schema").unwrap().literal()).unwrap()
        };
        assert_eq!(schema(false)["lastModifiedTime"], json!(1704067260.5));
        assert_eq!(schema(true)["PhysicalSize"], json!(2048));
        assert!(schema(true)["Reserved"].is_string() && schema(true)["lastModifiedTime"].is_null());
        let empty = partition(&Partition { rows: 0, size: 9, ..p }, true);
        assert!(empty.contains(r#""PhysicalSize":0"#));
    }
}
