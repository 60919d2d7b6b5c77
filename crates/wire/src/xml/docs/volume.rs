//! Volumes, their partitions, and what is in them.

use super::super::Element;
use super::{Page, http_date};

/// A volume, or a partition of one.
#[derive(Debug, Clone, Default)]
pub struct Volume {
    pub name: String,
    pub owner: String,
    pub comment: String,
    /// `NEW` or `OLD`; it decides the class in clients.
    pub kind: String,
    /// Bytes and number of its files; lists leave them out, and clients ask for them.
    pub size: Option<(u64, u64)>,
    pub created_ms: i64,
    pub modified_ms: i64,
}

fn volume_element(name: &'static str, v: &Volume) -> Element {
    Element::new(name)
        .leaf("Name", &v.name)
        .leaf("Owner", &v.owner)
        .leaf("Comment", &v.comment)
        .leaf("Type", &v.kind)
        .maybe("Length", v.size.map(|(bytes, _)| bytes))
        .maybe("FileNumber", v.size.map(|(_, files)| files))
        .leaf("CreationTime", http_date(v.created_ms))
        .leaf("LastModifiedTime", http_date(v.modified_ms))
}

/// The document of a volume or partition.
pub fn volume(v: &Volume) -> String {
    volume_element("Meta", v).document()
}

/// The list of volumes.
pub fn volumes<'a>(items: impl IntoIterator<Item = &'a Volume>, page: &Page) -> String {
    page.list("Volumes").children(items.into_iter().map(|v| volume_element("Volume", v))).document()
}

/// The list of a volume's partitions.
pub fn volume_partitions<'a>(items: impl IntoIterator<Item = &'a Volume>, page: &Page) -> String {
    let partitions = items.into_iter().map(|v| volume_element("Partition", v));
    page.list("Volume").child(Element::new("Partitions").children(partitions)).document()
}

/// The list of a partition's files, which have names and nothing else.
pub fn volume_files<'a>(names: impl IntoIterator<Item = &'a str>, page: &Page) -> String {
    page.list("Items").children(names.into_iter().map(|name| Element::new("Item").leaf("Name", name))).document()
}

/// A file or directory of a file system volume.
#[derive(Debug, Clone, Default)]
pub struct VolumeItem {
    /// With the volume in front: `/volume/dir/file`.
    pub path: String,
    pub is_dir: bool,
    pub size: u64,
    pub replication: u64,
    pub owner: String,
    pub created_ms: i64,
    pub modified_ms: i64,
}

fn item_element(item: &VolumeItem) -> Element {
    Element::new("Item")
        .leaf("Path", &item.path)
        .leaf("Isdir", item.is_dir)
        .leaf("BlockReplications", item.replication)
        .leaf("Length", item.size)
        .leaf("Owner", &item.owner)
        .leaf("CreationTime", http_date(item.created_ms))
        .leaf("ModificationTime", http_date(item.modified_ms))
}

/// The document of a file or directory.
pub fn volume_item(item: &VolumeItem) -> String {
    item_element(item).document()
}

/// The list of what is in a directory.
pub fn volume_items<'a>(items: impl IntoIterator<Item = &'a VolumeItem>, page: &Page) -> String {
    page.list("Items").children(items.into_iter().map(item_element)).document()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::Node;
    use super::*;

    // Field names: odps/models/volumes.py, volume_parted.py and volume_fs.py of PyODPS.
    #[test]
    fn volumes_and_what_is_in_them_have_the_fields_clients_read() {
        let v = Volume { name: "v".into(), kind: "OLD".into(), size: Some((7, 2)), ..Volume::default() };
        let node = Node::parse(volume(&v).as_bytes()).unwrap();
        let fields = ["Name", "Type", "Length", "FileNumber"].map(|name| node.child_text(name).unwrap().to_string());
        assert_eq!((node.name.as_str(), fields), ("Meta", ["v", "OLD", "7", "2"].map(str::to_string)));
        let listed = Volume { size: None, ..v };
        let page = Page { marker: Some("v".into()), max_items: None };
        let node = Node::parse(volumes([&listed], &page).as_bytes()).unwrap();
        assert_eq!((node.name.as_str(), node.child_text("Marker")), ("Volumes", Some("v")));
        assert!(node.child("Volume").unwrap().child("Length").is_none());
        let node = Node::parse(volume_partitions([&listed], &Page::default()).as_bytes()).unwrap();
        let partition = node.child("Partitions").unwrap().child("Partition").unwrap();
        assert_eq!((node.name.as_str(), partition.child_text("Name")), ("Volume", Some("v")));
        let node = Node::parse(volume_files(["a<b"], &Page::default()).as_bytes()).unwrap();
        assert_eq!(node.child("Item").unwrap().child_text("Name"), Some("a<b"));
        let item = VolumeItem { path: "/v/d".into(), is_dir: true, replication: 3, ..VolumeItem::default() };
        let node = Node::parse(volume_items([&item], &Page::default()).as_bytes()).unwrap();
        let item = node.child("Item").unwrap();
        let text = |name| item.child_text(name);
        assert_eq!((text("Path"), text("Isdir"), text("BlockReplications")), (Some("/v/d"), Some("true"), Some("3")));
    }
}
