//! Write sessions of the storage API, version 2: rows come in streams, and a commit takes all or those it names.
//!
//! What there is to know of a stream lies in blocks of its session: one without rows for its beginning, one for each
//! request with rows, one without rows for its end. A request goes so:
//!
//! 1. Its rows go into files that nothing refers to.
//! 2. The stream is looked at. A client that counts its rows says which of them is the first one of the request: when
//!    the stream has a request of just these rows, this one has come twice, and its files stay unknown. So it is with
//!    one of which the client says that it sends it again, and which the stream has, and with the first attempt at it
//!    when that comes later.
//! 3. A block names the files, unless another block was added since step 2: then again from step 2 on.
//!
//! A request of a client that neither counts nor names its requests is written as often as it comes.
//!
//! Rows for a table with a key are those of an upsert session (`upsert`), which keeps the same notes of its streams.

use std::collections::{BTreeMap, BTreeSet};

use feitian_base::{Error, Kind, Result, failpoint, id};
use feitian_meta::rows::Block;
use serde::{Deserialize, Serialize};

use super::dynamic::{files_of_block, files_of_blocks, is_dynamic};
use crate::Warehouse;
use crate::keys::key_of;
use crate::reader::canonical_spec;
use crate::tunnel::{BatchSource, SessionInfo, SessionRequest, Which, open_for_writing};
use crate::upsert::UPSERT;
use crate::writer::NewFile;

/// The kind of these sessions.
pub(crate) const STREAMED: &str = "storage_stream";
/// Partitions that the rows of one session may name, as many as one INSERT may write.
const MAX_PARTITIONS: u64 = 10_000;
/// Blocks of one session: each request looks at all of them.
const MAX_BLOCKS: usize = 20_000;
/// Bytes of what these say, of which a wide table's files make much.
const MAX_SAID: usize = 64 << 20;
/// Bytes of the name of a stream.
const MAX_NAME: usize = 256;

/// A stream of a session. One that is begun again has the same id and another version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamName {
    pub id: String,
    pub version: i64,
}

/// A stream as its session knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteStream {
    pub name: StreamName,
    /// Rows and bytes of its requests; 0 for a table with a key.
    pub num_rows: i64,
    pub num_bytes: i64,
    pub is_closed: bool,
    /// By which a client that counts its rows shows that the stream is its own. The newest one counts.
    pub token: Option<String>,
}

/// Where the rows of a request stand in their stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPlace {
    pub row: i64,
    pub token: String,
}

/// What is said of the rows of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamPart {
    /// Only of clients that count their rows.
    pub place: Option<StreamPlace>,
    /// How many the client says there are, which counts for tables with a key only.
    pub num_rows: u64,
    /// What the client knows the request by, and whether it sends it again.
    pub request: Option<(String, bool)>,
}

/// What a block says of its stream.
#[derive(Serialize, Deserialize)]
struct Note {
    stream: String,
    version: i64,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    is_end: bool,
    /// The first row, where rows are counted.
    #[serde(default)]
    row: Option<i64>,
    /// What the client knows the request by.
    #[serde(default)]
    request: Option<String>,
    /// It was not the first attempt at the request.
    #[serde(default)]
    is_again: bool,
    files: Vec<NewFile>,
}

impl Note {
    fn of(name: &StreamName) -> Self {
        let (stream, version) = (name.id.clone(), name.version);
        let (token, row, request, files) = (None, None, None, Vec::new());
        Self { stream, version, token, is_end: false, row, request, is_again: false, files }
    }

    /// As the block of this number.
    fn block(&self, info: &SessionInfo, block_id: i64) -> Result<Block> {
        Ok(Block {
            session_id: info.session.id.clone(),
            block_id,
            path: String::new(),
            num_rows: self.files.iter().map(|f| f.num_rows).sum(),
            num_bytes: self.files.iter().map(|f| f.num_bytes).sum(),
            stats: serde_json::to_string(self).map_err(|e| Error::internal(e.to_string()))?,
        })
    }

    /// What the block says; `None` for rows of an upsert session.
    fn read(block: &Block) -> Result<Option<Self>> {
        if !block.path.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&block.stats).map(Some).map_err(|e| {
            let text = format!("block {} of session {}: {e}", block.block_id, block.session_id);
            Error::new(Kind::Corrupt, "InternalServerError", text)
        })
    }
}

impl Warehouse {
    /// Opens a session whose rows come in streams: an upsert session if the table has a key. Its partition need not
    /// exist.
    pub async fn create_streamed(&self, owner: &str, request: SessionRequest) -> Result<SessionInfo> {
        let table = self.catalog.open(&request.project, &request.table).await?;
        table.data()?;
        if !key_of(&table.row).is_empty() {
            if request.overwrite {
                let text = "overwrite is not supported for a table with a primary key; use INSERT OVERWRITE";
                return Err(Error::unsupported(text));
            }
            return self.create_upsert(owner, SessionRequest { create_partition: true, ..request }).await;
        }
        let spec = match &request.partition {
            None => String::new(),
            named => canonical_spec(&table.row.schema.partition_columns, named.as_ref())?.0,
        };
        let limit = MAX_PARTITIONS.to_string();
        self.new_session(id::ulid(), STREAMED, owner, &table, spec, request.overwrite, -1, 0, limit).await
    }

    /// Begins a stream, or finds the one that has begun. One whose client counts rows gets a new token each time.
    pub async fn open_write_stream(
        &self,
        info: &SessionInfo,
        name: &StreamName,
        counts_rows: bool,
    ) -> Result<WriteStream> {
        open_for_writing(info)?;
        if name.id.is_empty() || name.id.len() > MAX_NAME || name.version < 0 {
            let text = format!("a stream has an id of 1 to {MAX_NAME} bytes and a version that is not negative");
            return Err(Error::invalid(text));
        }
        let blocks = self.meta.blocks(&info.session.id).await?;
        check_room(&blocks)?;
        let streams = streams_of(&blocks)?;
        if info.session.kind == UPSERT {
            if counts_rows {
                let text = "ExactlyOnceMode is not supported for a table with a primary key: a row replaces itself";
                return Err(Error::unsupported(text));
            }
            if streams.keys().any(|s| s.id == name.id && s.version != name.version) {
                let text = format!(
                    "stream '{}' of a table with a primary key cannot be begun again; abort the session",
                    name.id
                );
                return Err(Error::unsupported(text));
            }
        }
        if let Some(known) = streams.get(name)
            && !counts_rows
        {
            return Ok(known.clone());
        }
        let note = Note { token: counts_rows.then(id::ulid), ..Note::of(name) };
        self.meta.add_block(&note.block(info, 0)?).await?;
        self.write_stream_named(info, name).await
    }

    /// The stream of this name.
    pub async fn write_stream_named(&self, info: &SessionInfo, name: &StreamName) -> Result<WriteStream> {
        known(&self.meta.blocks(&info.session.id).await?, name)
    }

    /// Every stream of the session, by name.
    pub async fn write_streams(&self, info: &SessionInfo) -> Result<Vec<WriteStream>> {
        Ok(streams_of(&self.meta.blocks(&info.session.id).await?)?.into_values().collect())
    }

    /// Takes the rows of one request; durable when this returns.
    pub async fn write_to_stream(
        &self,
        info: &SessionInfo,
        name: &StreamName,
        part: StreamPart,
        batches: BatchSource,
    ) -> Result<WriteStream> {
        let place = &part.place;
        open_for_writing(info)?;
        let blocks = self.meta.blocks(&info.session.id).await?;
        check_room(&blocks)?;
        let stream = taking(&blocks, name, place.as_ref())?;
        if info.session.kind == UPSERT {
            self.write_upsert(info, 0, part.num_rows, batches).await?;
            return Ok(stream);
        }
        // Step 1.
        let files = self.write_files(info, next_number(&blocks), batches).await?;
        let row = place.as_ref().map(|p| p.row);
        let (request, is_again) = part.request.clone().unzip();
        let note = Note { row, request, is_again: is_again.unwrap_or(false), files, ..Note::of(name) };
        loop {
            // Step 2.
            let blocks = self.meta.blocks(&info.session.id).await?;
            let mut stream = taking(&blocks, name, place.as_ref())?;
            let block = note.block(info, next_number(&blocks))?;
            if block.num_rows == 0 || !is_new(&blocks, &stream, &part, block.num_rows)? {
                return Ok(stream);
            }
            failpoint::hit("block.before_row");
            // Step 3.
            if self.meta.try_block(&block).await? {
                failpoint::hit("block.after_row");
                stream.num_rows += block.num_rows;
                stream.num_bytes += block.num_bytes;
                return Ok(stream);
            }
        }
    }

    /// The rows as files that nothing refers to.
    async fn write_files(&self, info: &SessionInfo, number: i64, batches: BatchSource) -> Result<Vec<NewFile>> {
        if !is_dynamic(info) {
            let file = self.write_rows(info, &info.session.id, number, batches).await?;
            return Ok(file.into_iter().collect());
        }
        let (session_id, path, stats) = (info.session.id.clone(), String::new(), String::new());
        let mut block = Block { session_id, block_id: number, path, num_rows: 0, num_bytes: 0, stats };
        self.write_dynamic(info, &mut block, batches).await?;
        files_of_block(&block)
    }

    /// Ends a stream: it takes no more rows. A second call answers as the first.
    pub async fn close_write_stream(&self, info: &SessionInfo, name: &StreamName) -> Result<WriteStream> {
        let stream = self.write_stream_named(info, name).await?;
        if stream.is_closed {
            return Ok(stream);
        }
        open_for_writing(info)?;
        let note = Note { is_end: true, ..Note::of(name) };
        self.meta.add_block(&note.block(info, 0)?).await?;
        Ok(WriteStream { is_closed: true, ..stream })
    }

    /// Makes the rows of these streams visible, once, or of the newest version of every stream when none is named; a
    /// repeated call answers the same.
    pub async fn commit_streams(&self, info: &SessionInfo, names: &[StreamName]) -> Result<SessionInfo> {
        let is_keyed = info.session.kind == UPSERT;
        if info.session.status != "closed" {
            // Before the session takes no more rows: a wrong request must not open it again under a right one.
            let named = self.blocks_of(info, Which::Streams(names)).await?;
            if is_keyed && !names.is_empty() {
                let all = self.write_streams(info).await?;
                let names: BTreeSet<&StreamName> = names.iter().collect();
                if let Some(left) = all.iter().find(|s| !names.contains(&s.name)) {
                    let text = format!(
                        "stream '{}' is not named: the streams of a table with a primary key are committed together",
                        left.name.id
                    );
                    return Err(Error::unsupported(text));
                }
            }
            if !is_keyed {
                files_of_blocks(info, &named)?;
            }
        }
        let which = if is_keyed { Which::All } else { Which::Streams(names) };
        self.commit_session(info, which).await
    }
}

fn streams_of(blocks: &[Block]) -> Result<BTreeMap<StreamName, WriteStream>> {
    let mut streams: BTreeMap<StreamName, WriteStream> = BTreeMap::new();
    for block in blocks {
        let Some(note) = Note::read(block)? else { continue };
        let name = StreamName { id: note.stream, version: note.version };
        let new = WriteStream { name: name.clone(), num_rows: 0, num_bytes: 0, is_closed: false, token: None };
        let stream = streams.entry(name).or_insert(new);
        stream.num_rows += block.num_rows;
        stream.num_bytes += block.num_bytes;
        stream.is_closed |= note.is_end;
        stream.token = note.token.or(stream.token.take());
    }
    Ok(streams)
}

fn unknown(name: &StreamName) -> Error {
    let text = format!("there is no stream '{}' of version {} in this session; create it first", name.id, name.version);
    Error::new(Kind::NotFound, "NoSuchObject", text)
}

fn known(blocks: &[Block], name: &StreamName) -> Result<WriteStream> {
    streams_of(blocks)?.remove(name).ok_or_else(|| unknown(name))
}

/// The stream, which must take rows of whoever asks.
fn taking(blocks: &[Block], name: &StreamName, place: Option<&StreamPlace>) -> Result<WriteStream> {
    let stream = known(blocks, name)?;
    let conflict = |text: &str| {
        Err(Error::new(Kind::Conflict, "StatusConflict", format!("stream '{}' {text}: it takes no more rows", name.id)))
    };
    if stream.is_closed {
        return conflict("is closed");
    }
    match (&stream.token, place) {
        (None, None) => Ok(stream),
        (Some(own), Some(place)) if *own == place.token => Ok(stream),
        (Some(_), None) => Err(Error::invalid("rows of a stream in ExactlyOnceMode come with RowOffset and a token")),
        (None, Some(_)) => Err(Error::invalid("RowOffset is for streams that were created with ExactlyOnceMode")),
        (Some(_), Some(_)) => conflict("is another client's since"),
    }
}

/// Whether these rows are new to the stream; those that are not are there already.
fn is_new(blocks: &[Block], stream: &WriteStream, part: &StreamPart, num_rows: i64) -> Result<bool> {
    let name = &stream.name;
    let is_of = |n: &Note| n.version == name.version && n.stream == name.id;
    let Some(place) = &part.place else {
        let Some((request, is_again)) = &part.request else { return Ok(true) };
        // The first attempt may be the slower one: it then finds what a later one has written.
        let is_same = |n: &Note| n.request.as_ref() == Some(request) && (*is_again || n.is_again) && is_of(n);
        return Ok(!has_one(blocks, num_rows, is_same)?);
    };
    if place.row == stream.num_rows {
        return Ok(true);
    }
    if has_one(blocks, num_rows, |n| n.row == Some(place.row) && is_of(n))? {
        return Ok(false);
    }
    let text = format!(
        "{num_rows} rows come from row {} of stream '{}' on, which has {} rows",
        place.row, name.id, stream.num_rows
    );
    Err(Error::invalid(text))
}

/// Whether a block of so many rows is the one that is looked for.
fn has_one(blocks: &[Block], num_rows: i64, is_it: impl Fn(&Note) -> bool) -> Result<bool> {
    for block in blocks.iter().filter(|b| b.num_rows == num_rows) {
        if Note::read(block)?.is_some_and(|note| is_it(&note)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn next_number(blocks: &[Block]) -> i64 {
    blocks.last().map_or(0, |b| b.block_id + 1)
}

fn check_room(blocks: &[Block]) -> Result<()> {
    if blocks.len() < MAX_BLOCKS && blocks.iter().map(|b| b.stats.len()).sum::<usize>() < MAX_SAID {
        return Ok(());
    }
    let text = format!("the session has {} blocks of rows and has no room for more; commit it", blocks.len());
    Err(Error::invalid(text))
}

/// The blocks of these streams, or of the newest version of each when none is named.
pub(crate) fn chosen(blocks: Vec<Block>, names: &[StreamName]) -> Result<Vec<Block>> {
    let streams = streams_of(&blocks)?;
    let mut versions: BTreeMap<String, i64> = BTreeMap::new();
    // Of one id the newest version comes last.
    for name in streams.keys().filter(|_| names.is_empty()) {
        versions.insert(name.id.clone(), name.version);
    }
    for name in names {
        if !streams.contains_key(name) {
            return Err(unknown(name));
        }
        if versions.insert(name.id.clone(), name.version).is_some_and(|other| other != name.version) {
            let text = format!("stream '{}' would be committed by two of its versions; name one", name.id);
            return Err(Error::invalid(text));
        }
    }
    let mut found = Vec::new();
    for block in blocks {
        if Note::read(&block)?.is_some_and(|note| versions.get(&note.stream) == Some(&note.version)) {
            found.push(block);
        }
    }
    Ok(found)
}
