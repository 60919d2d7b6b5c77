//! Where files are: `oss://bucket/path/` is the directory `objects/bucket/path` of the data store, and nothing else.
//!
//! A bucket belongs to the project whose name it bears: `demo`, or `demo-` and more. Names of projects have no hyphen,
//! so that every bucket belongs to one project at most.

use feitian_base::{Error, Kind, Result};
use feitian_sql::{Position, SqlError};
use object_store::path::Path;

use super::refused;
use crate::query::errors::front_end;
use crate::query::{Session, rights};

/// The directory of all buckets below the data directory.
pub(super) const OBJECTS: &str = "objects";
/// A name of a bucket has at most so many bytes; a project's name and more fit.
const MAX_BUCKET: usize = 128;
/// A path has at most so many bytes.
const MAX_PATH: usize = 1024;

/// A directory in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    bucket: String,
    /// Without slashes at its ends; empty for the whole bucket.
    path: String,
    /// The directory in the data store.
    dir: Path,
}

impl Location {
    /// Reads `oss://[endpoint/]bucket/path/`. An endpoint, which has a dot or a port in it, is of no effect.
    ///
    /// # Errors
    /// ODPS-0130071 for what is no such place, and for one with a secret in it, which no message repeats.
    pub(super) fn parse(text: &str, at: Position) -> Result<Self> {
        const FORM: &str = "LOCATION is 'oss://bucket/path/'";
        if text.contains('@') {
            let why = "it has an access key in it; buckets here need none, and a key in a statement is seen by others";
            return Err(refused(at, format!("{FORM}: {why}")));
        }
        let Some(rest) = text.strip_prefix("oss://") else {
            return Err(front_end(SqlError::unsupported(at, "a LOCATION that does not begin with oss://")));
        };
        let (first, behind) = rest.split_once('/').unwrap_or((rest, ""));
        let is_endpoint = first.contains(['.', ':']) && !matches!(first, "." | "..");
        let (bucket, path) = if is_endpoint { behind.split_once('/').unwrap_or((behind, "")) } else { (first, behind) };
        let in_bucket = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if bucket.is_empty() || bucket.len() > MAX_BUCKET || !bucket.bytes().all(in_bucket) {
            let rule = "a bucket's name has small letters, digits, hyphens and underscores";
            return Err(refused(at, format!("{FORM}: {rule}")));
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.len() > MAX_PATH {
            return Err(refused(at, format!("{FORM}: the path has at most {MAX_PATH} bytes")));
        }
        if !path.is_empty() && !path.split('/').all(is_plain) {
            let rule = "no part of the path is empty, begins with a dot or an underscore, or has \\ * ? # % in it";
            return Err(refused(at, format!("{FORM}: {rule}")));
        }
        let slash = if path.is_empty() { "" } else { "/" };
        let dir = Path::parse(format!("{OBJECTS}/{bucket}{slash}{path}"));
        let dir = dir.map_err(|_| refused(at, format!("{FORM}: the path has a part that is no plain name")))?;
        Ok(Self { bucket: bucket.to_string(), path: path.to_string(), dir })
    }

    /// The directory of a partition: these names, one below the other.
    ///
    /// # Errors
    /// ODPS-0123031 for a value that cannot be part of a name.
    pub(super) fn below(&self, parts: &[String]) -> Result<Self> {
        let bad = |why: String| {
            let text = format!("ODPS-0123031:[0,0] Partition exception - {why}");
            Err(Error::new(Kind::Invalid, "ODPS-0123031", text))
        };
        if let Some(part) = parts.iter().find(|part| !is_plain(part)) {
            let rule = "it has \\ * ? # % or a control character in it, or begins with a dot or an underscore";
            return bad(format!("'{part}' is no name of a directory in a bucket: {rule}"));
        }
        let parts = Some(&self.path).filter(|path| !path.is_empty()).into_iter().chain(parts);
        let path = parts.map(String::as_str).collect::<Vec<_>>().join("/");
        if path.len() > MAX_PATH {
            return bad(format!("the path of a partition has at most {MAX_PATH} bytes: {path}"));
        }
        match Path::parse(format!("{OBJECTS}/{}/{path}", self.bucket)) {
            Ok(dir) => Ok(Self { bucket: self.bucket.clone(), path, dir }),
            Err(_) => bad(format!("'{path}' has a part that is no plain name")),
        }
    }

    /// As SHOW CREATE TABLE says it.
    pub(super) fn text(&self) -> String {
        let slash = if self.path.is_empty() { "" } else { "/" };
        format!("oss://{}/{}{slash}", self.bucket, self.path)
    }

    /// The directory in the data store.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The project to which the bucket belongs.
    pub(super) fn project(&self) -> &str {
        self.bucket.split('-').next().unwrap_or_default()
    }

    /// Refuses everybody but those who may do everything in the bucket's project, and jobs that came with a bearer
    /// token, of which nobody has asked whether they may touch buckets.
    pub(super) async fn check_rights(&self, session: &Session, at: Position) -> Result<()> {
        let project = self.project();
        let whole = rights::token_scope(session).is_none()
            && session.warehouse.meta().project(project).await?.is_some()
            && rights::is_whole(session, project).await?;
        if whole {
            return Ok(());
        }
        let why = ", because a bucket is for the owner of the project that it is named after, and for accounts that \
                   were admitted to it";
        Err(rights::denied("oss:GetObject", &format!("oss/{}", self.bucket), why, at))
    }

    /// Refuses a directory that is, or lies below, a symbolic link: it would lead out of the bucket.
    pub(super) async fn check_links(&self, data_dir: &std::path::Path) -> Result<()> {
        let mut path = data_dir.to_path_buf();
        for part in self.dir.parts() {
            let name: &str = part.as_ref();
            path.push(name);
            match tokio::fs::symlink_metadata(&path).await {
                Ok(meta) if meta.file_type().is_symlink() => {
                    return Err(super::broken(&self.dir, None, "it is behind a symbolic link"));
                }
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// Whether a part of a path is a plain name: hidden ones are not read, and the store keeps some to itself.
fn is_plain(part: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '\\' | '*' | '?' | '#' | '%');
    !part.is_empty() && !part.starts_with(['.', '_']) && !part.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location> {
        Location::parse(text, Position::UNKNOWN)
    }

    // MaxCompute documentation, "Create an OSS external table": oss://endpoint/bucket/directory/.
    #[test]
    fn a_location_is_a_directory_of_a_bucket() {
        let with_endpoint = "oss://oss-cn-hangzhou-internal.aliyuncs.com/demo-in/a/b/";
        for text in ["oss://demo-in/a/b/", "oss://demo-in/a/b", with_endpoint] {
            let at = parse(text).expect(text);
            assert_eq!((at.dir().as_ref(), at.project()), ("objects/demo-in/a/b", "demo"), "{text}");
            assert_eq!(at.text(), "oss://demo-in/a/b/");
        }
        let whole = parse("oss://my_project/").expect("a bucket");
        assert_eq!((whole.dir().as_ref(), whole.project()), ("objects/my_project", "my_project"));
        assert_eq!(whole.text(), "oss://my_project/");
    }

    #[test]
    fn nothing_leads_out_of_a_bucket() {
        for text in [
            "",
            "oss://",
            "oss:///etc",
            "/etc/passwd",
            "file:///etc",
            "oss://../x",
            "oss://./x",
            "oss://demo/../x",
            "oss://demo/a/../../x",
            "oss://demo/./x",
            "oss://demo//x",
            "oss://demo/x//",
            "oss://demo/%2e%2e/x",
            "oss://demo/a\\b",
            "oss://demo/.tmp-x",
            "oss://demo/_x",
            "oss://demo/a\0b",
            "oss://DEMO/x",
            "oss://a.b/",
            "oss://a.b/../x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_refused_and_not_repeated() {
        let e = parse("oss://id:SECRET@oss.example.com/demo/x").expect_err("a refusal");
        assert!(!e.message().contains("SECRET"), "{e}");
    }
}
