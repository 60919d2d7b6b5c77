//! A small, blocking ODPS client: SQL jobs, uploads and downloads. It retries nothing, so that its caller knows exactly
//! what was answered.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arrow_array::RecordBatch;
use base64::Engine as _;
use feitian_types::Column;
use feitian_wire::sign::sign_request;
use feitian_wire::volume_frame::{VolumeReader, VolumeWriter};
use reqwest::blocking::{Body, Client as Http, Response};

/// Talks to one server with one key.
#[derive(Clone)]
pub struct Client {
    http: Http,
    /// `http://host:port`.
    base: String,
    access_id: String,
    secret: String,
    pub project: String,
}

/// Whether a request goes to the REST side or to the tunnel.
#[derive(Clone, Copy)]
enum Side {
    Rest,
    Tunnel,
}

impl Client {
    /// A client for `base` (`http://host:port`), which gives a request two minutes.
    pub fn new(base: &str, access_id: &str, secret: &str, project: &str) -> Result<Self> {
        Self::with_limit(base, access_id, secret, project, Duration::from_secs(120))
    }

    /// A client that gives a request `limit`, its body included.
    pub fn with_limit(base: &str, access_id: &str, secret: &str, project: &str, limit: Duration) -> Result<Self> {
        let http = Http::builder().timeout(limit).pool_max_idle_per_host(4).build()?;
        let text = str::to_string;
        Ok(Self { http, base: text(base), access_id: text(access_id), secret: text(secret), project: text(project) })
    }

    fn send(&self, side: Side, method: &str, target: &str, kind: &str, body: Option<Body>) -> Result<Response> {
        self.send_with(side, method, target, kind, body, &[])
    }

    /// The same with more headers, whose names are lower case.
    fn send_with(
        &self,
        side: Side,
        method: &str,
        target: &str,
        kind: &str,
        body: Option<Body>,
        more: &[(&str, &str)],
    ) -> Result<Response> {
        let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        // Every x-odps-* header is part of the signature.
        let headers = [("date", date.as_str()), ("content-type", kind), ("x-odps-tunnel-version", "6")];
        let signed = headers.into_iter().chain(more.iter().copied());
        let authorization = sign_request(&self.access_id, &self.secret, method, target, signed);
        let prefix = if matches!(side, Side::Rest) { "/api" } else { "" };
        let mut request = self.http.request(method.parse()?, format!("{}{prefix}{target}", self.base));
        request = request.header("Authorization", authorization).header("Date", &date);
        request = request.header("x-odps-tunnel-version", "6");
        if !kind.is_empty() {
            request = request.header("Content-Type", kind);
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        request = match body {
            Some(body) => request.body(body),
            None => request.header("Content-Length", "0"),
        };
        let response = request.send()?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        bail!("{method} {target}: {status}: {}", response.text().unwrap_or_default())
    }

    fn json(&self, side: Side, method: &str, target: &str) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.send(side, method, target, "", None)?.text()?)?)
    }

    /// Submits a statement under the client's own id `guid` and returns the instance id.
    pub fn submit(&self, sql: &str, guid: &str) -> Result<String> {
        let sql = sql.replace("]]>", "]]]]><![CDATA[>");
        let settings = r#"{"odps.sql.allow.fullscan":"true"}"#;
        let body = format!(
            "<?xml version=\"1.0\"?><Instance><Job><Priority>9</Priority><Guid>{guid}</Guid><Tasks><SQL>\
             <Name>AnonymousSQLTask</Name><Config><Property><Name>settings</Name><Value>{settings}</Value></Property>\
             </Config><Query><![CDATA[{sql};]]></Query></SQL></Tasks></Job></Instance>"
        );
        let target = format!("/projects/{0}/instances?curr_project={0}", self.project);
        let answer = self.send(Side::Rest, "POST", &target, "application/xml", Some(body.into()))?;
        let location = answer.headers().get("Location").context("no Location")?.to_str()?.to_string();
        Ok(location.rsplit('/').next().unwrap_or_default().to_string())
    }

    /// Waits until the instance has ended; an error carries the failure text.
    pub fn wait(&self, id: &str) -> Result<()> {
        let base = format!("/projects/{0}/instances/{id}", self.project);
        loop {
            let target = format!("{base}?instancestatus&curr_project={}", self.project);
            if self.send(Side::Rest, "GET", &target, "", None)?.text()?.contains("Terminated") {
                break;
            }
        }
        let target = format!("{base}?taskstatus&curr_project={}", self.project);
        let text = self.send(Side::Rest, "GET", &target, "", None)?.text()?;
        if text.contains(">Success<") {
            return Ok(());
        }
        bail!("instance {id}: {}", self.result_text(id)?)
    }

    /// The text of a job's result.
    pub fn result_text(&self, id: &str) -> Result<String> {
        let target = format!("/projects/{0}/instances/{id}?result&curr_project={0}", self.project);
        let xml = self.send(Side::Rest, "GET", &target, "", None)?.text()?;
        let inner = xml.split("<![CDATA[").nth(1).and_then(|t| t.split("]]>").next());
        let inner = inner.or_else(|| xml.split("Base64\"").nth(1)?.split_once('>')?.1.split("</Result>").next());
        let bytes = base64::engine::general_purpose::STANDARD.decode(inner.unwrap_or_default().trim())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Runs a statement to its end.
    pub fn run(&self, sql: &str, guid: &str) -> Result<String> {
        let id = self.submit(sql, guid)?;
        self.wait(&id)?;
        Ok(id)
    }

    /// Writes a file resource: a new one, or over the one that is there.
    pub fn put_resource(&self, name: &str, content: String, is_new: bool) -> Result<()> {
        let (method, at) = if is_new { ("POST", String::new()) } else { ("PUT", format!("/{name}")) };
        let target = format!("/projects/{0}/resources{at}?curr_project={0}", self.project);
        let about = [("x-odps-resource-type", "file"), ("x-odps-resource-name", name)];
        self.send_with(Side::Rest, method, &target, "text/plain", Some(content.into()), &about).map(|_| ())
    }

    /// The content of a file resource; `None` without one of that name.
    pub fn resource(&self, name: &str) -> Result<Option<String>> {
        let target = format!("/projects/{0}/resources/{name}?curr_project={0}", self.project);
        match self.send(Side::Rest, "GET", &target, "", None) {
            Ok(answer) => Ok(Some(answer.text()?)),
            Err(e) if e.to_string().contains("NoSuchObject") => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes a volume with directories.
    pub fn create_volume(&self, name: &str) -> Result<()> {
        let target = format!("/projects/{0}/volumes?curr_project={0}", self.project);
        let body = format!("<Meta><Name>{name}</Name><Type>NEW</Type></Meta>");
        self.send(Side::Rest, "POST", &target, "application/xml", Some(body.into())).map(|_| ())
    }

    fn volume(&self, name: &str) -> String {
        format!("/projects/{0}/volumes/{name}?curr_project={0}", self.project)
    }

    /// Writes the file `f` of a volume and returns the session, which is not committed.
    pub fn put_volume_file(&self, volume: &str, content: &str) -> Result<String> {
        let (mut writer, mut body) = (VolumeWriter::default(), Vec::new());
        writer.push(content.as_bytes(), &mut body);
        writer.finish(&mut body);
        let path = format!("/{volume}/f");
        let about = [("x-odps-volume-fs-path", path.as_str())];
        let kind = "application/octet-stream";
        let answer = self.send_with(Side::Tunnel, "POST", &self.volume(volume), kind, Some(body.into()), &about)?;
        let session = answer.headers().get("x-odps-volume-sessionid").context("no session")?;
        Ok(session.to_str()?.to_string())
    }

    /// Commits such a session.
    pub fn commit_volume_file(&self, volume: &str, session: &str) -> Result<()> {
        let path = format!("/{volume}/f");
        let about = [("x-odps-volume-fs-path", path.as_str()), ("x-odps-volume-sessionid", session)];
        self.send_with(Side::Tunnel, "PUT", &self.volume(volume), "", None, &about).map(|_| ())
    }

    /// The content of the file `f` of a volume; `None` without it.
    pub fn volume_file(&self, volume: &str) -> Result<Option<String>> {
        let path = format!("/{volume}/f");
        let about = [("x-odps-volume-fs-path", path.as_str())];
        let answer = match self.send_with(Side::Tunnel, "GET", &self.volume(volume), "", None, &about) {
            Ok(answer) => answer,
            Err(e) if e.to_string().contains("NoSuchObject") => return Ok(None),
            Err(e) => return Err(e),
        };
        let (mut reader, mut content) = (VolumeReader::new(answer), Vec::new());
        while let Some(piece) = reader.next_piece().map_err(|e| anyhow::anyhow!("{e}"))? {
            content.extend_from_slice(&piece);
        }
        Ok(Some(String::from_utf8(content)?))
    }

    /// Removes files that nothing refers to and that are older than this.
    pub fn collect(&self, older_than_seconds: u64) -> Result<()> {
        let body = format!("{{\"older_than_seconds\":{older_than_seconds}}}");
        self.send(Side::Tunnel, "POST", "/admin/v1/collect", "application/json", Some(body.into())).map(|_| ())
    }

    fn table(&self, table: &str) -> String {
        format!("/projects/{}/tables/{table}", self.project)
    }

    fn partition(&self, partition: &str) -> String {
        let partition = match partition {
            "" => String::new(),
            spec => format!("&partition={}", spec.replace('=', "%3D").replace(',', "%2C")),
        };
        format!("{partition}&curr_project={}", self.project)
    }

    /// Opens an upload session and returns its id.
    pub fn open_upload(&self, table: &str, partition: &str, overwrite: bool) -> Result<String> {
        let overwrite = if overwrite { "&overwrite=true" } else { "" };
        let create = if partition.is_empty() { "" } else { "&create_partition=true" };
        let target = format!("{}?uploads=1{overwrite}{create}{}", self.table(table), self.partition(partition));
        let answer = self.json(Side::Tunnel, "POST", &target)?;
        Ok(answer["UploadID"].as_str().context("no UploadID")?.to_string())
    }

    /// Sends one block; `body` is a record stream, or framed Arrow when `arrow`.
    pub fn put_block(&self, table: &str, upload: &str, block: u64, arrow: bool, body: Body) -> Result<()> {
        let arrow = if arrow { "&arrow" } else { "" };
        let curr = format!("&curr_project={}", self.project);
        let target = format!("{}?uploadid={upload}&blockid={block}{arrow}{curr}", self.table(table));
        self.send(Side::Tunnel, "PUT", &target, "application/octet-stream", Some(body)).map(|_| ())
    }

    /// Commits the session.
    pub fn commit(&self, table: &str, upload: &str) -> Result<()> {
        let target = format!("{}?uploadid={upload}&curr_project={}", self.table(table), self.project);
        self.json(Side::Tunnel, "POST", &target).map(|_| ())
    }

    fn upserts(&self, table: &str, query: &str) -> String {
        format!("{}/upserts?{query}&curr_project={}", self.table(table), self.project)
    }

    /// Opens an upsert session and returns its id.
    pub fn open_upsert(&self, table: &str) -> Result<String> {
        let answer = self.json(Side::Tunnel, "POST", &self.upserts(table, "slotnum=1"))?;
        Ok(answer["id"].as_str().context("no id")?.to_string())
    }

    /// Sends a record stream of so many rows of one bucket.
    pub fn put_upsert(&self, table: &str, upsert: &str, bucket: u64, rows: u64, body: Body) -> Result<()> {
        let query = format!("upsertid={upsert}&bucketid={bucket}&slotid=0&record_count={rows}");
        let target = self.upserts(table, &query);
        self.send(Side::Tunnel, "PUT", &target, "application/octet-stream", Some(body)).map(|_| ())
    }

    /// Commits the upsert session.
    pub fn commit_upsert(&self, table: &str, upsert: &str) -> Result<()> {
        self.json(Side::Tunnel, "POST", &self.upserts(table, &format!("upsertid={upsert}"))).map(|_| ())
    }

    /// Opens a stream session and returns its id.
    pub fn open_stream(&self, table: &str) -> Result<String> {
        let target = format!("{}/streams?curr_project={}", self.table(table), self.project);
        let answer = self.json(Side::Tunnel, "POST", &target)?;
        Ok(answer["session_name"].as_str().context("no session_name")?.to_string())
    }

    /// Appends the rows of a record stream; they are visible when this returns.
    pub fn put_stream(&self, table: &str, stream: &str, body: Body) -> Result<()> {
        let curr = format!("&curr_project={}", self.project);
        let target = format!("{}/streams?uploadid={stream}&slotid=0{curr}", self.table(table));
        self.send(Side::Tunnel, "PUT", &target, "application/octet-stream", Some(body)).map(|_| ())
    }

    /// Opens a download session: its id and number of rows.
    pub fn open_download(&self, table: &str, partition: &str) -> Result<(String, u64)> {
        let target = format!("{}?downloads=&asyncmode=true{}", self.table(table), self.partition(partition));
        let answer = self.json(Side::Tunnel, "POST", &target)?;
        let id = answer["DownloadID"].as_str().context("no DownloadID")?.to_string();
        Ok((id, answer["RecordCount"].as_u64().context("no RecordCount")?))
    }

    /// The body of all rows of a download session.
    pub fn read(
        &self,
        table: &str,
        partition: &str,
        download: &str,
        rows: u64,
        arrow: bool,
    ) -> Result<impl Read + use<>> {
        let arrow = if arrow { "&arrow" } else { "" };
        let range = format!("&rowrange=%280%2C{rows}%29{arrow}{}", self.partition(partition));
        let target = format!("{}?data&downloadid={download}{range}", self.table(table));
        self.send(Side::Tunnel, "GET", &target, "", None)
    }

    /// All rows of a table or partition, decoded from the record protocol.
    pub fn rows(&self, table: &str, partition: &str, columns: &[Column]) -> Result<Vec<RecordBatch>> {
        let (id, rows) = self.open_download(table, partition)?;
        let body = self.read(table, partition, &id, rows, false)?;
        let decoder = feitian_wire::record::Decoder::new(columns, body, feitian_wire::Limits::default());
        decoder.map(|b| b.map_err(|e| anyhow::anyhow!("{e}"))).collect()
    }
}

/// A record stream of these batches.
pub fn records(columns: &[Column], batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = feitian_wire::record::Encoder::new(columns);
    for batch in batches {
        encoder.encode_batch(batch, &mut out).map_err(|e| anyhow::anyhow!("{e}"))?;
    }
    encoder.finish(None, &mut out);
    Ok(out)
}

/// Columns by name and type text.
pub fn columns(spec: &[(&str, &str)]) -> Result<Arc<Vec<Column>>> {
    let column = |(name, ty): &(&str, &str)| Ok(Column::new(*name, feitian_types::DataType::parse(ty)?));
    Ok(Arc::new(spec.iter().map(column).collect::<Result<Vec<_>>>()?))
}
