//! The writers of the kill loop. Each does one thing over and over, knows what was acknowledged, and after a restart
//! settles the one operation whose answer it did not get, by asking again as a client would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray, new_null_array};
use feitian_drive::client::{Client, columns, records};
use feitian_types::Column;
use feitian_types::arrow::engine_schema;

/// Rows of one operation.
const ROWS: i64 = 5;

/// What a writer does with its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Uploads two blocks a session, unpartitioned.
    Upload,
    /// INSERT INTO … PARTITION … VALUES.
    Insert,
    /// INSERT OVERWRITE … PARTITION … VALUES: the partition holds the last one.
    Overwrite,
    /// An upload that replaces the table.
    Replace,
    /// MERGE INTO, UPDATE, DELETE in turn: the table holds the rows of the last one, none after DELETE.
    Change,
    /// Upsert sessions that write the rows of a table with a key twice, every third one to take them away.
    Upsert,
    /// CREATE TABLE, ALTER TABLE ADD PARTITION, DROP TABLE.
    Ddl,
    /// Create a table out of a query, read it, drop it.
    Ctas,
    /// A file resource that is written over and over; no table.
    Resource,
    /// A file of a volume that is written over and over; no table.
    Volume,
    /// Puts a few rows at a time, so that the table grows old: its files are joined, its log is cleaned.
    Stream,
}

/// The writers that begin anew with a table of their own from time to time.
pub const KINDS: [Kind; 10] = [
    Kind::Upload,
    Kind::Insert,
    Kind::Overwrite,
    Kind::Replace,
    Kind::Change,
    Kind::Upsert,
    Kind::Ddl,
    Kind::Ctas,
    Kind::Resource,
    Kind::Volume,
];

/// An operation whose answer did not come.
enum Open {
    /// A session whose blocks were all acknowledged: committing it again must succeed.
    Commit { session: String, seq: i64 },
    /// A job under this client id: submitting it again must give the same job.
    Job { sql: String, guid: String, seq: i64 },
    /// Rows that are sent twice would be there twice: they are looked for. They must be there all or not at all.
    Put { seq: i64 },
    /// A content that is there or is not: writing it again must succeed.
    Content { seq: i64 },
    /// A file of a volume that was acknowledged and not committed: committing it again must succeed.
    File { session: String, seq: i64 },
}

/// One writer and what it knows.
pub struct Writer {
    pub kind: Kind,
    id: i64,
    pub table: String,
    next: i64,
    /// Acknowledged sequence numbers that must be visible.
    pub visible: BTreeSet<i64>,
    /// Tables that exist by this writer's DDL.
    pub tables: BTreeSet<String>,
    open: Option<Open>,
    /// The stream session.
    stream: Option<String>,
    pub acknowledged: u64,
}

fn data_columns() -> Result<Arc<Vec<Column>>> {
    columns(&[("writer", "bigint"), ("seq", "bigint"), ("row_no", "bigint"), ("crc", "string")])
}

/// The checksum that a row carries: of its own numbers, so that a row torn between two is seen.
fn checksum(writer: i64, seq: i64, row: i64) -> String {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in [writer, seq, row].iter().flat_map(|v| v.to_le_bytes()) {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{h:016x}")
}

fn batch(writer: i64, seq: i64, rows: std::ops::Range<i64>) -> Result<RecordBatch> {
    let n = (rows.end - rows.start) as usize;
    let crc: StringArray = rows.clone().map(|r| Some(checksum(writer, seq, r))).collect();
    let rows: Int64Array = rows.collect();
    let (writers, seqs) = (Int64Array::from(vec![writer; n]), Int64Array::from(vec![seq; n]));
    let schema = engine_schema(data_columns()?.iter());
    Ok(RecordBatch::try_new(schema, vec![Arc::new(writers), Arc::new(seqs), Arc::new(rows), Arc::new(crc)])?)
}

/// A request of an upsert session: rows that replace those of their keys (`U`), or take them away (`D`).
fn upserts(writer: i64, seq: i64, rows: std::ops::Range<i64>, operation: u8) -> Result<Vec<u8>> {
    let hidden = [
        ("__version", "bigint"),
        ("__app_version", "bigint"),
        ("__operation", "tinyint"),
        ("__key_cols", "array<bigint>"),
        ("__value_cols", "array<bigint>"),
    ];
    let all: Vec<Column> = data_columns()?.iter().chain(columns(&hidden)?.iter()).cloned().collect();
    let (schema, data) = (engine_schema(all.iter()), batch(writer, seq, rows)?);
    let nulls = |i: usize| new_null_array(schema.field(i).data_type(), data.num_rows());
    let operations: ArrayRef = Arc::new(Int8Array::from(vec![operation as i8; data.num_rows()]));
    let mut arrays = data.columns().to_vec();
    arrays.extend([nulls(4), nulls(5), operations, nulls(7), nulls(8)]);
    records(&all, &[RecordBatch::try_new(schema.clone(), arrays)?])
}

fn values(writer: i64, seq: i64) -> String {
    let row = |r| format!("({writer}L,{seq}L,{r}L,'{}')", checksum(writer, seq, r));
    (0..ROWS).map(row).collect::<Vec<_>>().join(",")
}

impl Writer {
    /// A writer for generation `generation`; its table does not exist yet.
    pub fn new(kind: Kind, id: i64, generation: u64) -> Self {
        let table = format!("{kind:?}_{id}_{generation}").to_lowercase();
        let (visible, tables) = (BTreeSet::new(), BTreeSet::new());
        Self { kind, id, table, next: 0, visible, tables, open: None, stream: None, acknowledged: 0 }
    }

    /// Whether it fills one table of its own.
    fn has_rows(&self) -> bool {
        !matches!(self.kind, Kind::Ddl | Kind::Ctas | Kind::Resource | Kind::Volume)
    }

    /// The partition that this writer writes, in SQL.
    fn partition(&self) -> &'static str {
        if matches!(self.kind, Kind::Insert | Kind::Overwrite) { " PARTITION (p='w')" } else { "" }
    }

    /// The statement that makes the table, if this writer has one.
    pub fn create(&self) -> Option<String> {
        let parts = if self.partition().is_empty() { "" } else { " PARTITIONED BY (p STRING)" };
        let key = if self.kind == Kind::Upsert { " NOT NULL PRIMARY KEY" } else { "" };
        let columns = format!("writer BIGINT, seq BIGINT, row_no BIGINT{key}, crc STRING");
        let properties = match self.kind {
            Kind::Change | Kind::Upsert => " TBLPROPERTIES ('transactional'='true')",
            _ => "",
        };
        let own = self.has_rows();
        own.then(|| format!("CREATE TABLE IF NOT EXISTS {} ({columns}){parts}{properties}", self.table))
    }

    fn guid(&self, seq: i64) -> String {
        format!("{}-{seq}", self.table)
    }

    /// One operation; returns once it is acknowledged.
    pub fn step(&mut self, client: &Client) -> Result<()> {
        let seq = self.next;
        self.next += 1;
        match self.kind {
            Kind::Upload | Kind::Replace => self.upload(client, seq),
            Kind::Upsert => self.upsert(client, seq),
            Kind::Stream => self.put(client, seq),
            Kind::Insert | Kind::Overwrite => {
                let verb = if self.kind == Kind::Insert { "INTO" } else { "OVERWRITE" };
                let target = format!("{}{}", self.table, self.partition());
                self.job(client, format!("INSERT {verb} TABLE {target} VALUES {}", values(self.id, seq)), seq)
            }
            Kind::Resource => self.write_content(client, seq),
            Kind::Volume => self.write_file(client, seq),
            Kind::Change => self.job(client, self.change(seq), seq),
            Kind::Ddl => self.job(client, self.ddl(seq), seq),
            Kind::Ctas => self.job(client, self.ctas(seq), seq),
        }
    }

    /// Create, add a partition, drop: three numbers in a row are one table's life.
    fn ddl(&self, seq: i64) -> String {
        let table = format!("{}_{}", self.table, seq / 3);
        match seq % 3 {
            0 => format!("CREATE TABLE {table} (a BIGINT) PARTITIONED BY (p STRING)"),
            1 => format!("ALTER TABLE {table} ADD PARTITION (p='x')"),
            _ => format!("DROP TABLE {table}"),
        }
    }

    fn ctas(&self, seq: i64) -> String {
        let table = format!("{}_{}", self.table, seq / 3);
        let (v, columns) = (values(self.id, seq), "writer,seq,row_no,crc");
        match seq % 3 {
            0 => format!("CREATE TABLE {table} AS SELECT * FROM VALUES {v} t({columns})"),
            1 => format!("SELECT * FROM {table}"),
            _ => format!("DROP TABLE {table}"),
        }
    }

    /// The rows of the table become those of `seq`, or go.
    fn change(&self, seq: i64) -> String {
        let (table, v, columns) = (&self.table, values(self.id, seq), "writer,seq,row_no,crc");
        let source = format!("(SELECT * FROM VALUES {v} v({columns})) s");
        let (on, set) = (format!("{table}.row_no = s.row_no"), "SET seq = s.seq, crc = s.crc");
        match seq % 3 {
            0 => format!(
                "MERGE INTO {table} USING {source} ON {on} WHEN MATCHED THEN UPDATE {set} \
                 WHEN NOT MATCHED THEN INSERT ({columns}) VALUES (s.writer, s.seq, s.row_no, s.crc)"
            ),
            1 => format!("UPDATE {table} {set} FROM {source} WHERE {on}"),
            _ => format!("DELETE FROM {table} WHERE seq = {}L", seq - 1),
        }
    }

    fn upload(&mut self, client: &Client, seq: i64) -> Result<()> {
        let columns = data_columns()?;
        let session = client.open_upload(&self.table, "", self.kind == Kind::Replace)?;
        for (block, rows) in [(1, 0..2), (7, 2..ROWS)] {
            let body = records(&columns, &[batch(self.id, seq, rows)?])?;
            client.put_block(&self.table, &session, block, false, body.into())?;
        }
        self.open = Some(Open::Commit { session: session.clone(), seq });
        client.commit(&self.table, &session)?;
        self.done(seq);
        Ok(())
    }

    fn upsert(&mut self, client: &Client, seq: i64) -> Result<()> {
        let session = client.open_upsert(&self.table)?;
        let last = if seq % 3 == 2 { b'D' } else { b'U' };
        // The rows of the first request give way to those of the others.
        let requests = [(3, seq + 1, 1..ROWS - 1, b'U'), (7, seq, 0..2, last), (5, seq, 2..ROWS, last)];
        for (bucket, seq, rows, operation) in requests {
            let count = (rows.end - rows.start) as u64;
            let body = upserts(self.id, seq, rows, operation)?;
            client.put_upsert(&self.table, &session, bucket, count, body.into())?;
        }
        self.open = Some(Open::Commit { session: session.clone(), seq });
        self.commit(client, &session)?;
        self.done(seq);
        Ok(())
    }

    fn commit(&self, client: &Client, session: &str) -> Result<()> {
        match self.kind {
            Kind::Upsert => client.commit_upsert(&self.table, session),
            _ => client.commit(&self.table, session),
        }
    }

    fn put(&mut self, client: &Client, seq: i64) -> Result<()> {
        let session = match &self.stream {
            Some(session) => session.clone(),
            None => self.stream.insert(client.open_stream(&self.table)?).clone(),
        };
        let body = records(&data_columns()?, &[batch(self.id, seq, 0..ROWS)?])?;
        self.open = Some(Open::Put { seq });
        client.put_stream(&self.table, &session, body.into())?;
        self.done(seq);
        Ok(())
    }

    fn write_content(&mut self, client: &Client, seq: i64) -> Result<()> {
        self.open = Some(Open::Content { seq });
        client.put_resource(&self.table, values(self.id, seq), seq == 0)?;
        self.done(seq);
        Ok(())
    }

    fn write_file(&mut self, client: &Client, seq: i64) -> Result<()> {
        // Without an answer nothing of it may ever be seen.
        let session = client.put_volume_file(&self.table, &values(self.id, seq))?;
        self.open = Some(Open::File { session: session.clone(), seq });
        client.commit_volume_file(&self.table, &session)?;
        self.done(seq);
        Ok(())
    }

    fn job(&mut self, client: &Client, sql: String, seq: i64) -> Result<()> {
        let guid = self.guid(seq);
        self.open = Some(Open::Job { sql: sql.clone(), guid: guid.clone(), seq });
        client.run(&sql, &guid)?;
        self.done(seq);
        Ok(())
    }

    fn done(&mut self, seq: i64) {
        self.open = None;
        self.acknowledged += 1;
        match self.kind {
            Kind::Upload | Kind::Insert | Kind::Stream => {
                self.visible.insert(seq);
            }
            Kind::Change | Kind::Upsert if seq % 3 == 2 => self.visible.clear(),
            Kind::Overwrite | Kind::Replace | Kind::Change | Kind::Upsert | Kind::Resource | Kind::Volume => {
                self.visible = BTreeSet::from([seq]);
            }
            Kind::Ddl | Kind::Ctas => {
                let table = format!("{}_{}", self.table, seq / 3);
                if seq % 3 == 2 {
                    self.tables.remove(&table)
                } else {
                    self.tables.insert(table)
                };
            }
        }
    }

    /// After a restart: asks again for what had no answer. It must succeed, and have happened once.
    pub fn settle(&mut self, client: &Client) -> Result<()> {
        match self.open.take() {
            None => {}
            Some(Open::Commit { session, seq }) => {
                self.commit(client, &session).with_context(|| format!("second commit of {session}"))?;
                self.done(seq);
            }
            Some(Open::Job { sql, guid, seq }) => {
                client.run(&sql, &guid).with_context(|| format!("second submission of {guid}: {sql}"))?;
                self.done(seq);
            }
            Some(Open::Put { seq }) => {
                let found = self.numbers(client, &format!("SELECT COUNT(*) FROM {} WHERE seq = {seq}", self.table))?;
                ensure!(found == [0] || found == [ROWS], "{} of {ROWS} rows of a write: {found:?}", self.table);
                if found == [ROWS] {
                    self.done(seq);
                }
            }
            Some(Open::File { session, seq }) => {
                let again = client.commit_volume_file(&self.table, &session);
                again.with_context(|| format!("second commit of {session}"))?;
                self.done(seq);
            }
            Some(Open::Content { seq }) => {
                let found = client.resource(&self.table)?;
                if found.as_ref() != Some(&values(self.id, seq)) {
                    self.expect_content(found.as_ref())?;
                    client.put_resource(&self.table, values(self.id, seq), seq == 0).context("second writing")?;
                }
                self.done(seq);
            }
        }
        Ok(())
    }

    /// The content must be the one that was acknowledged last, none if there was none.
    fn expect_content(&self, found: Option<&String>) -> Result<()> {
        let wanted = self.visible.last().map(|seq| values(self.id, *seq));
        ensure!(found == wanted.as_ref(), "content of {}: {found:?}, not {wanted:?}", self.table);
        Ok(())
    }

    /// The row of numbers that a query gives.
    fn numbers(&self, client: &Client, sql: &str) -> Result<Vec<i64>> {
        let text = client.result_text(&client.run(sql, "")?)?;
        let row = text.lines().last().context("no row")?;
        row.split(',').map(|n| n.trim_matches('"').parse().with_context(|| format!("{sql}: {text}"))).collect()
    }

    /// Compares the table with what was acknowledged, as a query reads it: row by row, but for the one that grows old, of
    /// which counts and sums are compared.
    pub fn verify(&self, client: &Client) -> Result<()> {
        // A result has ten thousand rows at most.
        if !self.has_rows() || self.kind != Kind::Stream && self.visible.len() as i64 * ROWS > 9_000 {
            return self.verify_rows(client);
        }
        if self.kind != Kind::Stream {
            let text = client.result_text(&client.run(&format!("SELECT seq, row_no, crc FROM {}", self.table), "")?)?;
            return self.compare(&count_lines(self.id, &text)?);
        }
        let sums = "SELECT COUNT(*), COUNT(DISTINCT seq), COALESCE(SUM(seq), 0), COALESCE(SUM(row_no), 0)";
        let found = self.numbers(client, &format!("{sums} FROM {}", self.table))?;
        let (n, sum) = (self.visible.len() as i64, self.visible.iter().sum::<i64>());
        let wanted = [n * ROWS, n, sum * ROWS, n * ROWS * (ROWS - 1) / 2];
        ensure!(found == wanted, "{}: rows, writes and sums are {found:?}, not {wanted:?}", self.table);
        Ok(())
    }

    /// Compares the whole table with what was acknowledged, as a download reads it. The download holds the version that it
    /// reads for a day: every collection looks at it, and what it needs is not cleaned.
    pub fn verify_rows(&self, client: &Client) -> Result<()> {
        match self.kind {
            Kind::Ddl | Kind::Ctas => return self.verify_tables(client),
            Kind::Resource => return self.expect_content(client.resource(&self.table)?.as_ref()),
            Kind::Volume => return self.expect_content(client.volume_file(&self.table)?.as_ref()),
            _ => {}
        }
        let partition = if self.partition().is_empty() { "" } else { "p=w" };
        if self.visible.is_empty() && !partition.is_empty() {
            return Ok(());
        }
        self.compare(&count_rows(&client.rows(&self.table, partition, &data_columns()?)?)?)
    }

    /// `found` says how often each (seq, row) is there.
    fn compare(&self, found: &BTreeMap<(i64, i64), u64>) -> Result<()> {
        let all_rows = self.visible.iter().flat_map(|s| (0..ROWS).map(move |r| (*s, r)));
        let expected: BTreeMap<(i64, i64), u64> = all_rows.map(|k| (k, 1)).collect();
        if *found != expected {
            let missing: Vec<_> = expected.keys().filter(|k| !found.contains_key(k)).take(5).collect();
            let extra: Vec<_> = found.iter().filter(|(k, n)| expected.get(k) != Some(n)).take(5).collect();
            anyhow::bail!("{}: missing (seq, row) {missing:?}; extra or doubled {extra:?}", self.table);
        }
        Ok(())
    }

    fn verify_tables(&self, client: &Client) -> Result<()> {
        let id = client.run(&format!("SHOW TABLES LIKE '{}_*'", self.table), "")?;
        let text = client.result_text(&id)?;
        let found: BTreeSet<String> = text
            .lines()
            .filter_map(|l| l.trim().rsplit(':').next())
            .filter(|t| !t.is_empty())
            .map(str::to_string)
            .collect();
        ensure!(found == self.tables, "tables {found:?}, acknowledged {:?}", self.tables);
        Ok(())
    }

    /// Table name and visible rows, for the check from outside.
    pub fn expectation(&self) -> Option<(String, Vec<i64>)> {
        self.has_rows().then(|| (self.table.clone(), self.visible.iter().copied().collect()))
    }
}

/// The same of a result's lines `seq,row,crc`, below a line of names.
fn count_lines(writer: i64, text: &str) -> Result<BTreeMap<(i64, i64), u64>> {
    let mut found = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').map(|field| field.trim_matches('"')).collect();
        let [seq, row, crc] = fields[..] else { anyhow::bail!("a line of other fields: {line}") };
        let (seq, row) = (seq.parse()?, row.parse()?);
        ensure!(crc == checksum(writer, seq, row), "a torn row: {line}");
        *found.entry((seq, row)).or_insert(0) += 1;
    }
    Ok(found)
}

/// How often each (seq, row) is there; every row's checksum is verified.
fn count_rows(batches: &[RecordBatch]) -> Result<BTreeMap<(i64, i64), u64>> {
    let mut found = BTreeMap::new();
    for b in batches {
        let number = |i: usize| b.column(i).as_primitive::<Int64Type>();
        let (writers, seqs, rows, crcs) = (number(0), number(1), number(2), b.column(3).as_string::<i32>());
        for i in 0..b.num_rows() {
            let (writer, seq, row) = (writers.value(i), seqs.value(i), rows.value(i));
            ensure!(
                crcs.value(i) == checksum(writer, seq, row),
                "a torn row: {writer}, {seq}, {row}, {}",
                crcs.value(i)
            );
            *found.entry((seq, row)).or_insert(0) += 1;
        }
    }
    Ok(found)
}
