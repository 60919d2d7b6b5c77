//! Loading a CSV file into a new table or behind the rows of one that is there.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use feitian_api::admin::types::SubmitSql;
use feitian_api::download::StreamPermit;
use feitian_api::refusal::status;
use feitian_api::warehouse::SessionRequest;
use feitian_api::{Answer, Call, admin, project_zone};
use feitian_base::{Error, Kind, Result};
use feitian_types::{Column, PartitionSpec, TableSchema};

use super::csv_file::CsvFile;
use super::hints::feitian;
use super::home::is_of_the_form;
use super::multipart::{Part, parts};
use super::shell::{Section, Shell};
use super::sql::quoted;
use super::words;
use crate::show::{self, fill};

/// How long the statement that makes the table may take.
const CREATE_MS: u64 = 30_000;

#[derive(Template)]
#[template(path = "app/upload.html")]
struct UploadPage<'a> {
    shell: &'a Shell,
    about: String,
    table: String,
    partition: String,
    failure: String,
    loaded: Option<Loaded>,
}

/// What was written.
struct Loaded {
    sentence: String,
    /// The text of the link to the table.
    open: String,
    address: String,
    query: String,
    /// Name and type of each column when the table is new.
    created: Vec<(String, String)>,
}

/// What the form holds.
struct Upload {
    file: Bytes,
    table: String,
    partition: String,
    header: bool,
    delimiter: u8,
}

/// Bytes of a field that is no file.
const LONGEST_FIELD: usize = 4096;

/// `GET /console/projects/{project}/upload`
pub(super) async fn show(call: Call) -> Answer {
    let table = call.query.get("table").unwrap_or_default();
    page(&call, StatusCode::OK, (table, ""), None, None)
}

/// `POST /console/projects/{project}/upload`
pub(super) async fn load(call: Call) -> Answer {
    // Its bytes lie in memory until they are written.
    let _permit = StreamPermit::acquire(&call.state).await?;
    let kind = call.header(CONTENT_TYPE.as_str()).unwrap_or_default().to_string();
    let body = match call.document().await {
        Ok(body) => body,
        Err(e) if is_of_the_form(&e) => return page(&call, status(&e), ("", ""), Some(&e), None),
        Err(e) => return Err(e),
    };
    let upload = Upload::of(parts(&kind, &body)?)?;
    let shown = (upload.table.clone(), upload.partition.clone());
    let shown = (shown.0.as_str(), shown.1.as_str());
    match write(&call, upload).await {
        Ok(loaded) => page(&call, StatusCode::OK, ("", ""), None, Some(loaded)),
        Err(e) if is_of_the_form(&e) => page(&call, status(&e), shown, Some(&e), None),
        Err(e) => Err(e),
    }
}

impl Upload {
    fn of(parts: Vec<Part>) -> Result<Self> {
        let mut file = None;
        let mut fields: Vec<(String, String)> = Vec::new();
        for Part { name, file_name, content } in parts {
            match file_name {
                Some(_) if name == "file" => file = Some(content),
                _ if content.len() > LONGEST_FIELD => {
                    return Err(Error::invalid(format!("the field '{}' is too long", show::short(&name, 40))));
                }
                _ => fields.push((name, String::from_utf8_lossy(&content).trim().to_string())),
            }
        }
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name == wanted);
            found.map(|(_, text)| text.clone()).unwrap_or_default()
        };
        let file =
            file.filter(|f| !f.is_empty()).ok_or_else(|| Error::invalid("no file was chosen, or it is empty"))?;
        let delimiter = match field("delimiter").as_str() {
            "," | "" => b',',
            ";" => b';',
            "tab" => b'\t',
            other => return Err(Error::invalid(format!("fields cannot be separated by '{other}'"))),
        };
        let (table, header) = (field("table").to_lowercase(), field("header") == "yes");
        Ok(Self { file, table, partition: field("partition"), header, delimiter })
    }
}

/// Makes the table if it is not there, and writes the rows in one upload: all of them or none.
async fn write(call: &Call, upload: Upload) -> Result<Loaded> {
    check_name(&upload.table)?;
    let (warehouse, project) = (&call.state.warehouse, call.project());
    let partition = match upload.partition.as_str() {
        "" => None,
        text => Some(PartitionSpec::parse(text).ok_or_else(|| {
            let message = format!("'{text}' is no partition; write one like ds=20240101");
            Error::new(Kind::Invalid, "InvalidPartitionSpec", message)
        })?),
    };
    let mut file = CsvFile::new(upload.file, upload.delimiter, upload.header);
    let (schema, created) = match warehouse.table(project, &upload.table).await {
        Ok(info) => (info.table.schema, Vec::new()),
        Err(e) if e.kind() == Kind::NotFound && partition.is_none() => {
            let guessing = tokio::task::spawn_blocking(move || {
                let columns = file.guess();
                (file, columns)
            });
            let (back, columns) =
                guessing.await.map_err(|e| Error::internal("a CSV file was not read").with_source(e))?;
            file = back;
            let columns = columns?;
            create(call, &upload.table, &columns).await?;
            let shown = columns.iter().map(|c| (c.name.clone(), c.ty.to_string())).collect();
            (TableSchema { columns, partition_columns: Vec::new() }, shown)
        }
        Err(e) => return Err(e),
    };
    let rows = file.rows(&schema, project_zone(call).await?)?;
    let request = SessionRequest {
        project: project.to_string(),
        table: upload.table.clone(),
        partition,
        overwrite: false,
        create_partition: true,
        schema_version: None,
    };
    let session = warehouse.create_upload(call.caller()?, request).await?;
    warehouse.write_block(&session, 0, Box::new(rows)).await?;
    // The session as it is now, with its block.
    let session = warehouse.session("upload", project, &upload.table, &session.session.id).await?;
    let count: i64 = session.blocks.iter().map(|block| block.num_rows).sum();
    warehouse.commit_upload(&session).await?;
    tracing::info!(table = upload.table, rows = count, "a file was loaded");
    let shell = Shell::of_project(call, Section::Load, "")?;
    let n = show::count(u64::try_from(count).unwrap_or(0));
    let sentence = fill(shell.w.loaded, &[("n", &n), ("table", &show::short(&upload.table, 200))]);
    let (address, query) = (shell.table(&upload.table), format!("{}?table=", shell.within("/sql")));
    let query = format!("{query}{}", super::hints::segment(&upload.table));
    let open = fill(shell.w.open_table, &[("table", &show::short(&upload.table, 200))]);
    Ok(Loaded { sentence, open, address, query, created })
}

/// A name that needs no explaining: `t`, or `s.t` in a schema.
fn check_name(name: &str) -> Result<()> {
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && part.len() <= 128
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let parts: Vec<&str> = name.split('.').collect();
    if parts.len() <= 2 && parts.iter().all(|part| word(part)) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{name}' is no name for a table: up to 128 letters, digits and _, beginning with a letter"
    )))
}

/// Runs CREATE TABLE as a job of the caller and waits for its end.
async fn create(call: &Call, table: &str, columns: &[Column]) -> Result<()> {
    let columns: Vec<String> = columns.iter().map(|c| format!("{} {}", quoted(&c.name), c.ty)).collect();
    let sql = format!("CREATE TABLE {} ({});", quoted(table), columns.join(", "));
    let job = admin::submit_sql(call, SubmitSql { sql, wait_ms: CREATE_MS, ..SubmitSql::default() }).await?;
    match (job.state.as_str(), job.error) {
        ("Success", _) => Ok(()),
        (_, Some(error)) => Err(Error::invalid(format!("the table could not be created: {error}"))),
        (state, None) => {
            let id = job.id;
            Err(Error::invalid(format!("the table is not there yet: job {id} is {state}; load the file again later")))
        }
    }
}

fn page(
    call: &Call,
    status: StatusCode,
    (table, partition): (&str, &str),
    failure: Option<&Error>,
    loaded: Option<Loaded>,
) -> Answer {
    let mut shell = Shell::of_project(call, Section::Load, words::of(call)?.load)?;
    let project = call.project();
    shell.hints = vec![
        feitian(["sql", "--project", project, "-e", "CREATE TABLE t (id BIGINT, name STRING)"]),
        format!("POST /projects/{project}/tables/t?uploads"),
        format!("PUT /projects/{project}/tables/t?uploadid=ID&blockid=0&arrow"),
        format!("POST /projects/{project}/tables/t?uploadid=ID"),
    ];
    let most = call.state.settings.limits.document_bytes as u64;
    let page = UploadPage {
        about: fill(shell.w.load_about, &[("size", &show::bytes(most))]),
        table: table.to_string(),
        partition: partition.to_string(),
        failure: failure.map_or(String::new(), |e| show::seen(e.message()).into_owned()),
        loaded,
        shell: &shell,
    };
    shell.answer_with(status, &page)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn part(name: &str, file_name: Option<&str>, content: &str) -> Part {
        let file_name = file_name.map(str::to_string);
        Part { name: name.into(), file_name, content: Bytes::from(content.to_string()) }
    }

    #[test]
    fn the_form_says_what_to_load_and_how() {
        let upload = Upload::of(vec![
            part("file", Some("a.csv"), "a;b\n"),
            part("table", None, " People "),
            part("header", None, "yes"),
            part("delimiter", None, ";"),
        ])
        .unwrap();
        assert_eq!((upload.table.as_str(), upload.header, upload.delimiter), ("people", true, b';'));
        assert_eq!((upload.file.as_ref(), upload.partition.as_str()), (&b"a;b\n"[..], ""));
        for wrong in [
            vec![part("table", None, "t")],
            vec![part("file", Some(""), "")],
            vec![part("file", None, "x")],
            vec![part("file", Some("a"), "x"), part("delimiter", None, "|")],
        ] {
            assert!(Upload::of(wrong).is_err());
        }
    }

    #[test]
    fn only_plain_names_become_tables() {
        for good in ["t", "_t1", "s.t"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "1t", "a b", "a.b.c", "a.", "t`", "T", "\u{8868}", &"x".repeat(129)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
