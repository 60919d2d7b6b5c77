//! Loading a CSV file into a new table or into one that is there.
//!
//! A form has an id. From it and from all that was sent with it follows the id of the upload session in which its rows are
//! written: a form that a browser sends again adds nothing, whichever process gets it and whatever became of the answer, and
//! one that comes back with another file is another upload.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use feitian_api::admin::types::SubmitSql;
use feitian_api::download::StreamPermit;
use feitian_api::refusal::{see_other, status};
use feitian_api::warehouse::{SessionInfo, SessionRequest};
use feitian_api::{Answer, Call, admin, project_zone};
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::{DEFAULT_SCHEMA, split_local_name};
use feitian_types::{Column, PartitionSpec, TableSchema};
use sha2::{Digest, Sha256};

use super::csv_file::{CsvFile, Rows};
use super::home::is_of_the_form;
use super::multipart::{Part, parts};
use super::shell::{Section, Shell};
use super::sql::quoted;
use super::words;
use crate::hints::{feitian, segment};
use crate::show::{self, fill};

/// How long the statement that makes the table may take.
const CREATE_MS: u64 = 30_000;
/// How long a form may be sent after it was shown. The warehouse knows the id of a session at least as long.
const FORM_MS: i64 = 24 * 3600 * 1000;
/// How far the clocks of two processes may lie apart.
const CLOCKS_MS: i64 = 5 * 60 * 1000;

#[derive(Template)]
#[template(path = "app/upload.html")]
struct UploadPage<'a> {
    shell: &'a Shell,
    about: String,
    /// Names this form: sent twice, it is one upload.
    form: String,
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
    /// The call that asks for the upload.
    call: String,
}

/// What the form holds.
struct Upload {
    form: String,
    file: Bytes,
    table: String,
    partition: String,
    header: bool,
    delimiter: u8,
}

/// Bytes of a field that is no file.
const LONGEST_FIELD: usize = 4096;

/// `GET /console/projects/{project}/upload`: the form, and with `?loaded=` what an upload has done to `?table=`.
pub(super) async fn show(call: Call) -> Answer {
    let table = call.query.get("table").unwrap_or_default();
    match call.query.get("loaded") {
        Some(session_id) => {
            let loaded = outcome(&call, &table.to_lowercase(), session_id).await?;
            page(&call, StatusCode::OK, ("", ""), None, Some(loaded))
        }
        None => page(&call, StatusCode::OK, (table, ""), None, None),
    }
}

/// `POST /console/projects/{project}/upload`: leads to the page that says what was written.
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
    let filled = (upload.table.as_str(), upload.partition.as_str());
    match write(&call, &upload).await {
        Ok(loaded) => {
            let shell = Shell::of_project(&call, Section::Load, "")?;
            let shown = format!("?table={}&loaded={}", segment(&upload.table), segment(&loaded));
            Ok(see_other(&(shell.within("/upload") + &shown)))
        }
        Err(e) if is_of_the_form(&e) => page(&call, status(&e), filled, Some(&e), None),
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
        Ok(Self { form: field("form"), file, table, partition: field("partition"), header, delimiter })
    }

    fn csv(&self) -> CsvFile {
        CsvFile::new(self.file.clone(), self.delimiter, self.header)
    }

    /// The rows for a table of these columns; fails at once if the file cannot be one of theirs.
    async fn rows(&self, call: &Call, columns: &[Column]) -> Result<Rows> {
        let schema = TableSchema { columns: columns.to_vec(), partition_columns: Vec::new() };
        self.csv().rows(&schema, project_zone(call).await?)
    }

    /// The upload session of this form for `owner`, by all that decides what is written where.
    fn session_id(&self, owner: &str, project: &str) -> Result<String> {
        let made = check_form(&self.form)?;
        let mut hash = Sha256::new();
        for text in [&self.form, owner, project, &self.table, &self.partition] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update([self.delimiter, u8::from(self.header)]);
        hash.update(&self.file);
        let mut bytes = [0; 10];
        bytes.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Ok(id::ulid_for(made, bytes))
    }
}

/// Makes the table if it is not there, and writes the rows in one upload: all of them or none, and once for each form and
/// content. Returns the id of that upload.
async fn write(call: &Call, upload: &Upload) -> Result<String> {
    check_name(&upload.table)?;
    let (warehouse, project, owner) = (&call.state.warehouse, call.project(), call.caller()?);
    let session_id = upload.session_id(&owner.name, project)?;
    let partition = match upload.partition.as_str() {
        "" => None,
        text => Some(PartitionSpec::parse(text).ok_or_else(|| {
            let message = format!("'{text}' is no partition; write one like ds=20240101");
            Error::new(Kind::Invalid, "InvalidPartitionSpec", message)
        })?),
    };
    make_table(call, upload, &session_id).await?;
    let request = SessionRequest {
        project: project.to_string(),
        table: upload.table.clone(),
        partition,
        overwrite: false,
        create_partition: true,
        schema_version: None,
    };
    let mut session = warehouse.open_upload(owner, &session_id, request).await?;
    if session.session.status == "normal" {
        match warehouse.write_block(&session, 0, Box::new(upload.rows(call, &session.columns).await?)).await {
            // The form came twice at once, and the other one is further.
            Err(e) if e.code() == "StatusConflict" => {}
            written => written?,
        }
        // The session as it is now, with its block.
        session = warehouse.session("upload", project, &upload.table, &session_id).await?;
    }
    warehouse.commit_upload(&session).await?;
    tracing::info!(table = upload.table, rows = rows_of(&session), "a file was loaded");
    Ok(session_id)
}

fn rows_of(session: &SessionInfo) -> i64 {
    session.blocks.iter().map(|block| block.num_rows).sum()
}

/// When a form was shown (milliseconds since 1970). Refuses an id that no form of ours has, or one of so long ago that nobody
/// knows any more what became of it.
fn check_form(form: &str) -> Result<i64> {
    let made = id::ulid_ms(form).map(|made| (made, clock::now_ms() - made));
    match made {
        Some((made, age)) if (-CLOCKS_MS..FORM_MS).contains(&age) => Ok(made),
        Some(_) => Err(Error::invalid("the form is older than a day, and nothing was loaded; send the one below")),
        None => Err(Error::invalid("the form has no id of ours, and nothing was loaded; send the one below")),
    }
}

/// Makes a table for the file if there is none of its name.
///
/// A form that is sent again has done all this: after the table was dropped it does not bring an empty one back.
async fn make_table(call: &Call, upload: &Upload, session_id: &str) -> Result<()> {
    let (warehouse, project) = (&call.state.warehouse, call.project());
    match warehouse.session("upload", project, &upload.table, session_id).await {
        Err(e) if e.kind() == Kind::NotFound => {}
        found => return found.map(drop),
    }
    match admin::table_named(call, &upload.table).await {
        Err(e) if e.kind() == Kind::NotFound && upload.partition.is_empty() => {}
        // A file that does not fit leaves nothing, no empty partition either.
        Ok(found) => return upload.rows(call, &found.table.schema.columns).await.map(drop),
        Err(e) => return Err(e),
    }
    let file = upload.csv();
    let guessing = tokio::task::spawn_blocking(move || file.guess());
    let columns = guessing.await.map_err(|e| Error::internal("a CSV file was not read").with_source(e))??;
    create(call, &upload.table, &columns).await
}

/// What an upload has written, for whoever sent it.
async fn outcome(call: &Call, table: &str, session_id: &str) -> Result<Loaded> {
    let (warehouse, project) = (&call.state.warehouse, call.project());
    let session = warehouse.session("upload", project, table, session_id).await?;
    if session.session.owner != call.caller()?.name || session.session.status != "closed" {
        let message = format!("there is no upload '{session_id}' of yours that has ended");
        return Err(Error::new(Kind::NotFound, "NoSuchUpload", message));
    }
    let now = admin::table_named(call, table).await?.table;
    // Made after the form was shown: by the form.
    let is_new = id::ulid_ms(session_id).is_some_and(|shown| shown <= now.created_ms);
    let columns = if is_new { session.columns.as_slice() } else { &[] };
    let created = columns.iter().map(|c| (c.name.clone(), c.ty.to_string())).collect();
    let shell = Shell::of_project(call, Section::Load, "")?;
    let (n, name) = (show::count(u64::try_from(rows_of(&session)).unwrap_or(0)), show::short(table, 200));
    Ok(Loaded {
        sentence: fill(shell.w.loaded, &[("n", &n), ("table", &name)]),
        open: fill(shell.w.open_table, &[("table", &name)]),
        address: shell.table(table),
        query: format!("{}?table={}", shell.within("/sql"), segment(table)),
        created,
        call: upload_call(project, table, session_id),
    })
}

/// What asks the tunnel for an upload.
fn upload_call(project: &str, table: &str, session_id: &str) -> String {
    let (schema, name) = split_local_name(table);
    let within = if schema == DEFAULT_SCHEMA { String::new() } else { format!("/schemas/{}", segment(schema)) };
    format!("GET /projects/{}{within}/tables/{}?uploadid={}", segment(project), segment(name), segment(session_id))
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
    // The same form may be on its way twice.
    let sql = format!("CREATE TABLE IF NOT EXISTS {} ({});", quoted(table), columns.join(", "));
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
    shell.hints.extend(loaded.as_ref().map(|loaded| loaded.call.clone()));
    let most = call.state.settings.limits.document_bytes as u64;
    let page = UploadPage {
        about: fill(shell.w.load_about, &[("size", &show::bytes(most))]),
        // Always a new one: what was answered is done, and what was refused is sent as another form.
        form: id::ulid(),
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
            part("form", None, "f"),
        ])
        .unwrap();
        assert_eq!(upload.form, "f");
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
    fn an_upload_is_the_form_and_all_that_was_sent_with_it() {
        let form = id::ulid();
        let of = |owner: &str, table: &str, partition: &str, file: &str, header: &str, delimiter: &str| {
            let fields = vec![
                part("form", None, &form),
                part("file", Some("a.csv"), file),
                part("table", None, table),
                part("partition", None, partition),
                part("header", None, header),
                part("delimiter", None, delimiter),
            ];
            Upload::of(fields).unwrap().session_id(owner, "p").unwrap()
        };
        let first = of("o", "t", "", "a,b\n", "yes", ",");
        assert_eq!(of("o", "t", "", "a,b\n", "yes", ","), first);
        assert_eq!(id::ulid_ms(&first), id::ulid_ms(&form));
        for other in [
            of("x", "t", "", "a,b\n", "yes", ","),
            of("o", "x", "", "a,b\n", "yes", ","),
            of("o", "t", "d=1", "a,b\n", "yes", ","),
            of("o", "t", "", "a,c\n", "yes", ","),
            of("o", "t", "", "a,b\n", "", ","),
            of("o", "t", "", "a,b\n", "yes", ";"),
        ] {
            assert_ne!(other, first);
        }
    }

    #[test]
    fn a_form_of_another_day_or_of_nobody_is_refused() {
        assert!(check_form(&id::ulid()).is_ok());
        // The ULID specification's example is of 2016.
        for (form, words) in [("01arz3ndektsv4rrffq69g5fav", "older than a day"), ("", "no id"), ("../x", "no id")] {
            assert!(check_form(form).unwrap_err().message().contains(words), "{form}");
        }
    }

    // PyODPS (odps/tunnel/tabletunnel.py) looks at an upload with a GET and `uploadid`.
    #[test]
    fn an_upload_is_asked_for_where_the_tunnel_has_it() {
        assert_eq!(upload_call("p", "t", "u1"), "GET /projects/p/tables/t?uploadid=u1");
        assert_eq!(upload_call("p", "s.t", "u1"), "GET /projects/p/schemas/s/tables/t?uploadid=u1");
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
