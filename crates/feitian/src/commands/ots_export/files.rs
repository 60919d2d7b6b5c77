//! The files of an export, which appear together when everything is on the disk.
//!
//! 1. The directory must not be there, or be empty. A hidden one is made beside it.
//! 2. Files are written in the hidden one; each is synced before the next begins.
//! 3. `_export.json`, which lists them, is written and synced, then the hidden directory itself.
//! 4. The hidden directory takes the name of the wanted one, and the directory of both is synced.
//!
//! Whoever is killed before 4 leaves a hidden directory that nobody takes for an export; an error removes it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use feitian_base::id;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Failure, Result};

/// The list of the files.
const LIST: &str = "_export.json";
/// The key under which each file says what it is of.
const ABOUT: &str = "feitian.ots";
/// A row group ends when its encoded pages take so much memory.
const GROUP_BYTES: usize = 32 << 20;
/// A file ends when so much is written.
const FILE_BYTES: usize = 256 << 20;

/// A file that is on the disk.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    name: String,
    records: u64,
    pub bytes: u64,
}

/// The file that is being written.
struct Part {
    name: String,
    writer: ArrowWriter<File>,
    records: u64,
}

/// The hidden directory. Dropped before it is finished, it goes.
pub(super) struct Stage {
    wanted: PathBuf,
    hidden: PathBuf,
    schema: SchemaRef,
    properties: WriterProperties,
    part: Option<Part>,
    files: Vec<Written>,
    is_over: bool,
}

impl Stage {
    /// Step 1. Each file carries `about`.
    pub(super) fn begin(to: &Path, schema: SchemaRef, about: &Value) -> Result<Self> {
        let wanted = place(to)?;
        let mut name = OsString::from(".");
        name.push(wanted.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", id::ulid()));
        let hidden = wanted.with_file_name(name);
        fs::create_dir(&hidden).map_err(|e| at("make", &hidden, e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("feitian ", env!("CARGO_PKG_VERSION")).to_string())
            .set_key_value_metadata(Some(vec![KeyValue::new(ABOUT.to_string(), about.to_string())]))
            .build();
        Ok(Self { wanted, hidden, schema, properties, part: None, files: Vec::new(), is_over: false })
    }

    /// Step 2.
    pub(super) fn write(&mut self, records: &RecordBatch) -> Result<()> {
        if records.num_rows() == 0 {
            return Ok(());
        }
        let mut part = match self.part.take() {
            Some(part) => part,
            None => self.new_part()?,
        };
        part.writer.write(records).map_err(|e| self.broken(&part.name, e))?;
        part.records += records.num_rows() as u64;
        if part.writer.in_progress_size() >= GROUP_BYTES {
            part.writer.flush().map_err(|e| self.broken(&part.name, e))?;
        }
        if part.writer.bytes_written() >= FILE_BYTES {
            self.end(part)
        } else {
            self.part = Some(part);
            Ok(())
        }
    }

    /// Steps 3 and 4; `about` makes the list. An export without records has a file without any: it tells the columns.
    pub(super) fn finish(mut self, about: impl FnOnce(&[Written]) -> Value) -> Result<(PathBuf, Vec<Written>)> {
        match self.part.take() {
            Some(part) => self.end(part)?,
            None if self.files.is_empty() => {
                let part = self.new_part()?;
                self.end(part)?;
            }
            None => {}
        }
        let (path, list) = (self.hidden.join(LIST), about(&self.files));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(format!("{list:#}\n").as_bytes())?;
            file.sync_all()
        };
        write().map_err(|e| at("write", &path, e))?;
        sync_directory(&self.hidden)?;
        fs::rename(&self.hidden, &self.wanted).map_err(|e| {
            let is_taken = matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists);
            let failure = at("make", &self.wanted, e);
            let hint = "somebody put something into it meanwhile; name another directory";
            if is_taken { failure.hint(hint) } else { failure }
        })?;
        self.is_over = true;
        // What was renamed is in the directory above.
        sync_directory(self.wanted.parent().unwrap_or(&self.wanted))?;
        Ok((self.wanted.clone(), std::mem::take(&mut self.files)))
    }

    fn new_part(&self) -> Result<Part> {
        let name = format!("part-{:05}.parquet", self.files.len());
        let path = self.hidden.join(&name);
        let file = File::create_new(&path).map_err(|e| at("make", &path, e))?;
        let writer = ArrowWriter::try_new(file, self.schema.clone(), Some(self.properties.clone()));
        let writer = writer.map_err(|e| self.broken(&name, e))?;
        Ok(Part { name, writer, records: 0 })
    }

    fn end(&mut self, part: Part) -> Result<()> {
        let Part { name, writer, records } = part;
        let file = writer.into_inner().map_err(|e| self.broken(&name, e))?;
        let path = self.hidden.join(&name);
        let synced = file.sync_all().and_then(|()| file.metadata());
        let bytes = synced.map_err(|e| at("write", &path, e))?.len();
        self.files.push(Written { name, records, bytes });
        Ok(())
    }

    fn broken(&self, name: &str, e: ParquetError) -> Failure {
        Failure::new(format!("write {}: {e}", self.hidden.join(name).display()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_over {
            // The next export does not mind it.
            let _ = fs::remove_dir_all(&self.hidden);
        }
    }
}

/// Where the wanted directory is, without links: it takes part in a rename.
fn place(to: &Path) -> Result<PathBuf> {
    match fs::read_dir(to) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(Failure::new(format!("the directory {} is not empty", to.display()))
                    .hint("name one that is empty, or not there yet"));
            }
            fs::canonicalize(to).map_err(|e| at("open", to, e))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let nameless = || Failure::new(format!("{} is no directory that can be made", to.display()));
            let name = to.file_name().ok_or_else(nameless)?;
            let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let above = fs::canonicalize(above).map_err(|e| at("open", above, e))?;
            Ok(above.join(name))
        }
        Err(e) => Err(at("open", to, e)),
    }
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|e| at("sync", path, e))
}

fn at(what: &str, path: &Path, e: std::io::Error) -> Failure {
    Failure::from(e).context(format!("{what} {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use serde_json::json;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    fn records() -> RecordBatch {
        RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![1, 2, 3]))]).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn files_appear_together_with_their_list() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("out");
        let mut stage = Stage::begin(&to, schema(), &json!({})).unwrap();
        stage.write(&records()).unwrap();
        assert!(!to.exists());
        let (wanted, files) = stage.finish(|files| json!({ "files": files })).unwrap();
        assert_eq!(wanted, fs::canonicalize(&to).unwrap());
        assert_eq!((files.len(), files[0].records), (1, 3));
        assert_eq!(names(dir.path()), ["out"]);
        assert_eq!(names(&to), ["_export.json", "part-00000.parquet"]);
        let list: Value = serde_json::from_str(&fs::read_to_string(to.join(LIST)).unwrap()).unwrap();
        let bytes = fs::metadata(to.join("part-00000.parquet")).unwrap().len();
        assert_eq!(list["files"], json!([{ "name": "part-00000.parquet", "records": 3, "bytes": bytes }]));
        let again = Stage::begin(&to, schema(), &json!({})).err().unwrap();
        assert!(again.message().contains("is not empty"), "{again:?}");
    }

    #[test]
    fn an_empty_directory_is_taken_and_no_records_are_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage::begin(dir.path(), schema(), &json!({})).unwrap();
        let (_, files) = stage.finish(|_| json!({})).unwrap();
        assert_eq!((files.len(), files[0].records), (1, 0));
        assert_eq!(names(dir.path()), ["_export.json", "part-00000.parquet"]);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("out");
        let mut stage = Stage::begin(&to, schema(), &json!({})).unwrap();
        stage.write(&records()).unwrap();
        assert_eq!(names(dir.path()).len(), 1);
        drop(stage);
        assert!(names(dir.path()).is_empty());
        // Somebody else was quicker.
        let stage = Stage::begin(&to, schema(), &json!({})).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(to.join("theirs"), "x").unwrap();
        assert!(stage.finish(|_| json!({})).is_err());
        assert_eq!((names(dir.path()), names(&to)), (vec!["out".to_string()], vec!["theirs".to_string()]));
        for no_place in ["out/theirs", "nowhere/out"] {
            assert!(Stage::begin(&dir.path().join(no_place), schema(), &json!({})).is_err(), "{no_place}");
        }
    }
}
