//! Documents about volumes that clients send: a volume to make, a directory to make, a file to move.

use feitian_base::{Error, Kind, Result};

use super::Node;
use super::node::invalid;
use super::request::known;

/// A volume to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRequest {
    pub name: String,
    /// `NEW` or `OLD`.
    pub kind: String,
    pub comment: String,
}

/// Parses the body that creates a volume. Volumes elsewhere and properties are refused, and so is what only answers have.
pub fn parse_volume(body: &[u8]) -> Result<VolumeRequest> {
    let root = Node::parse(body)?;
    let text = |name: &str| root.child_text(name).filter(|t| !t.is_empty());
    let missing = |name: &str| invalid(format!("<{}> has no <{name}>", root.name));
    let kind = text("Type").ok_or_else(|| missing("Type"))?.to_uppercase();
    if !matches!(kind.as_str(), "NEW" | "OLD") {
        let message = format!("volumes of type {kind} are not supported; use NEW (directories) or OLD (partitions)");
        return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message));
    }
    if text("Properties").is_some_and(|t| t != "{}") {
        let message = "properties of volumes are not supported; leave <Properties> out";
        return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message));
    }
    known(&root, &["Name", "Type", "Comment", "Properties"])?;
    Ok(VolumeRequest {
        name: text("Name").ok_or_else(|| missing("Name"))?.to_string(),
        kind,
        comment: root.child("Comment").map_or("", Node::literal).to_string(),
    })
}

/// The text of a path, in which blanks count.
fn path(root: &Node) -> Option<String> {
    root.child("Path").map(Node::literal).filter(|t| !t.is_empty()).map(str::to_string)
}

/// Parses the body that makes a directory, and returns its path.
pub fn parse_volume_directory(body: &[u8]) -> Result<String> {
    let root = Node::parse(body)?;
    known(&root, &["Type", "Path"])?;
    match root.child_text("Type") {
        Some("directory") => path(&root).ok_or_else(|| invalid(format!("<{}> has no <Path>", root.name))),
        other => {
            let kind = other.unwrap_or_default();
            Err(invalid(format!("an item of type '{kind}' cannot be made, only directory")))
        }
    }
}

/// What shall change of a file or directory: at least one of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeChange {
    pub path: Option<String>,
    /// 1 to 32767.
    pub replication: Option<i64>,
}

/// Parses the body that moves a file or directory, or says how many copies of a file a client wants.
pub fn parse_volume_change(body: &[u8]) -> Result<VolumeChange> {
    let root = Node::parse(body)?;
    known(&root, &["Path", "Replication"])?;
    let number = |text: &str| {
        let count = text.parse::<i64>().ok().filter(|n| (1..=32_767).contains(n));
        count.ok_or_else(|| invalid(format!("Replication '{text}' is no number from 1 to 32767")))
    };
    let replication = root.child_text("Replication").filter(|t| !t.is_empty()).map(number).transpose()?;
    let change = VolumeChange { path: path(&root), replication };
    if change.path.is_none() && change.replication.is_none() {
        return Err(invalid(format!("<{}> has neither <Path> nor <Replication>", root.name)));
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Bodies as odps/models/volumes.py and volume_fs.py of PyODPS write them.
    #[test]
    fn volumes_directories_and_moves_are_read() {
        let got = parse_volume(b"<Meta><Name>v</Name><Comment>c</Comment><Type>old</Type></Meta>").unwrap();
        assert_eq!((got.name.as_str(), got.kind.as_str(), got.comment.as_str()), ("v", "OLD", "c"));
        let got = parse_volume_directory(b"<Item><Type>directory</Type><Path>/v/ d&amp;</Path></Item>").unwrap();
        assert_eq!(got, "/v/ d&");
        let got = parse_volume_change(b"<Item><Path>/v/x</Path><Replication>10</Replication></Item>").unwrap();
        assert_eq!(got, VolumeChange { path: Some("/v/x".into()), replication: Some(10) });
        let got = parse_volume_change(b"<Item><Replication>5</Replication></Item>").unwrap();
        assert_eq!(got, VolumeChange { path: None, replication: Some(5) });
    }

    #[test]
    fn what_volumes_do_not_do_is_refused_by_name() {
        for (body, named) in [
            ("<Meta><Name>v</Name><Type>EXTERNAL</Type></Meta>", "EXTERNAL"),
            ("<Meta><Name>v</Name><Type>NEW</Type><Properties>{\"a\":\"1\"}</Properties></Meta>", "Properties"),
        ] {
            let e = parse_volume(body.as_bytes()).unwrap_err();
            assert_eq!(e.kind(), Kind::Unsupported);
            assert!(e.message().contains(named), "{e}");
        }
        for body in [
            "<Meta><Name>v</Name></Meta>",
            "<Meta><Type>OLD</Type></Meta>",
            "<Meta><Name>v</Name><Type>OLD</Type><Length>1</Length></Meta>",
        ] {
            assert_eq!(parse_volume(body.as_bytes()).unwrap_err().code(), "InvalidParameter", "{body}");
        }
        assert!(parse_volume_directory(b"<Item><Type>file</Type><Path>/v/x</Path></Item>").is_err());
        for body in ["<Item/>", "<Item><Replication>0</Replication></Item>", "<Item><Link>x</Link></Item>"] {
            assert_eq!(parse_volume_change(body.as_bytes()).unwrap_err().code(), "InvalidParameter", "{body}");
        }
    }
}
