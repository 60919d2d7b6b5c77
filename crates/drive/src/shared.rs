//! Writers that change the same tables at the same time under kills, and what became of each of their statements.
//!
//! Each statement is submitted under an id of its own. One whose answer did not come is submitted again after the restart,
//! which gives the same instance. `DATA.statements.json` then holds every statement with its instance and its outcome: a
//! model outside (`tests/clients/model.py`) does them in the order of the log and compares the tables after every version.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use feitian_drive::client::Client;
use feitian_drive::server::Server;
use serde_json::{Value, json};

use crate::{Args, Random, Work, round};

const PLAIN: &str = "shared_plain";
const PARTS: &str = "shared_parts";
const KEYED: &str = "shared_keyed";
const TABLES: [(&str, &str, &str); 3] = [
    (PLAIN, "k BIGINT, v BIGINT, tag STRING", ""),
    (PARTS, "k BIGINT, v BIGINT, tag STRING", " PARTITIONED BY (p STRING)"),
    (KEYED, "k BIGINT NOT NULL PRIMARY KEY, v BIGINT, tag STRING", ""),
];
const PARTITIONS: [&str; 3] = ["a", "b", "c"];
/// Keys are below this: few, so that statements meet.
const KEYS: u64 = 24;

/// Where the server dies, in turn.
const POINTS: [&str; 10] = [
    "commit.before_record",
    "dml.before_rewrite",
    "commit.after_record",
    "keys.before_rewrite",
    "commit.before_log",
    "dml.before_commit",
    "commit.after_log",
    "job.claimed",
    "commit.after_settle",
    "job.before_finish",
];
/// A round without its fail point ends with a kill after this time.
const ROUND: Duration = Duration::from_secs(10);
/// Statements of each writer after the last kill.
const AT_THE_END: usize = 3;

/// What a statement answers that others have overtaken too often; it has changed nothing.
const OVERTAKEN: &str = "ODPS-0110061";

/// A statement, and what the model must know of it.
struct Statement {
    sql: String,
    guid: String,
    what: Value,
}

/// One of the writers.
struct Sharer {
    writer: u64,
    next: u64,
    random: Random,
    open: Option<Statement>,
    ended: Vec<Value>,
}

impl Work for Sharer {
    fn work(&mut self, client: &Client) -> Result<()> {
        self.open = Some(self.statement());
        self.settle(client)
    }
}

impl Sharer {
    fn new(writer: u64, seed: u64) -> Self {
        let random = Random((seed ^ (writer + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
        Self { writer, next: 0, random, open: None, ended: Vec::new() }
    }

    /// Submits the open statement, for the first time or again, and waits for its end.
    fn settle(&mut self, client: &Client) -> Result<()> {
        let Some(statement) = &self.open else { return Ok(()) };
        let instance = client.submit(&statement.sql, &statement.guid)?;
        let outcome = match client.wait(&instance) {
            Ok(()) => "done",
            Err(e) if e.to_string().contains(OVERTAKEN) => "overtaken",
            Err(e) => return Err(e.context(statement.sql.clone())),
        };
        let mut what = statement.what.clone();
        (what["instance"], what["outcome"]) = (instance.into(), outcome.into());
        self.ended.push(what);
        self.open = None;
        Ok(())
    }

    fn statement(&mut self) -> Statement {
        let seq = self.next;
        self.next += 1;
        let tag = format!("w{}-{seq}", self.writer);
        let (sql, mut what) = match self.random.below(12) {
            0..=1 => self.insert(&tag, false),
            2 => self.insert(&tag, true),
            3..=4 => self.update(&tag),
            5 => self.delete(),
            6..=8 => self.merge(&tag),
            9 => self.copy(&tag),
            10 => self.rewrite(&tag),
            _ => self.both(&tag),
        };
        (what["writer"], what["seq"], what["tag"]) = (self.writer.into(), seq.into(), tag.clone().into());
        what["sql"] = sql.clone().into();
        Statement { sql, guid: format!("shared-{tag}"), what }
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.below(of.len() as u64) as usize]
    }

    /// Rows of different keys.
    fn rows(&mut self, count: u64) -> Vec<(u64, u64)> {
        let first = self.random.below(KEYS);
        // 5 and the number of keys have no divisor in common.
        (0..count).map(|i| ((first + 5 * i) % KEYS, 1 + self.random.below(9))).collect()
    }

    /// A table, and one of its partitions if it has some.
    fn target(&mut self) -> (&'static str, Option<&'static str>) {
        let table = self.one(&[PLAIN, PARTS, KEYED]);
        (table, (table == PARTS).then(|| self.one(&PARTITIONS)))
    }

    /// Which rows a condition means: those whose key has this rest, in one partition or in all.
    fn some_rows(&mut self, p: Option<&'static str>) -> (String, Value) {
        let modulus = 2 + self.random.below(4);
        let rest = self.random.below(modulus);
        let p = p.filter(|_| self.random.below(2) == 0);
        let partition = p.map_or(String::new(), |p| format!(" AND p = '{p}'"));
        (format!("k % {modulus} = {rest}{partition}"), json!({"modulus": modulus, "rest": rest, "p": p}))
    }

    fn insert(&mut self, tag: &str, overwrite: bool) -> (String, Value) {
        let (table, p) = self.target();
        let rows = self.rows(if overwrite { 6 } else { 3 });
        let (verb, kind) = if overwrite { ("OVERWRITE", "overwrite") } else { ("INTO", "insert") };
        let sql = format!("INSERT {verb} TABLE {table}{} VALUES {}", partition(p), tagged(&rows, tag));
        (sql, json!({"kind": kind, "tables": [table], "p": p, "rows": rows}))
    }

    fn update(&mut self, tag: &str) -> (String, Value) {
        let (table, p) = self.target();
        let (condition, mut what) = self.some_rows(p);
        let add = 1 + self.random.below(5);
        (what["kind"], what["tables"], what["add"]) = ("update".into(), json!([table]), add.into());
        (format!("UPDATE {table} SET v = v + {add}L, tag = '{tag}' WHERE {condition}"), what)
    }

    fn delete(&mut self) -> (String, Value) {
        let (table, p) = self.target();
        let (condition, mut what) = self.some_rows(p);
        let above = self.random.below(20);
        (what["kind"], what["tables"], what["above"]) = ("delete".into(), json!([table]), above.into());
        (format!("DELETE FROM {table} WHERE {condition} AND v > {above}L"), what)
    }

    fn merge(&mut self, tag: &str) -> (String, Value) {
        let (table, p) = self.target();
        let rows = self.rows(4);
        let values = rows.iter().map(|(k, v)| format!("({k}L,{v}L)")).collect::<Vec<_>>().join(",");
        let (more, value) = p.map_or(("", String::new()), |p| (", p", format!(", '{p}'")));
        let sql = format!(
            "MERGE INTO {table} AS t USING (SELECT * FROM VALUES {values} x(k, v)) AS s ON t.k = s.k \
             WHEN MATCHED AND s.v % 3 = 0 THEN DELETE \
             WHEN MATCHED THEN UPDATE SET v = t.v + s.v, tag = '{tag}' \
             WHEN NOT MATCHED THEN INSERT (k, v, tag{more}) VALUES (s.k, s.v, '{tag}'{value})"
        );
        (sql, json!({"kind": "merge", "tables": [table], "p": p, "rows": rows}))
    }

    /// Rows of the table with a key, into one of the others.
    fn copy(&mut self, tag: &str) -> (String, Value) {
        if self.random.below(2) == 0 {
            let (p, (condition, mut what)) = (self.one(&PARTITIONS), self.some_rows(None));
            (what["kind"], what["tables"], what["p"]) = ("append".into(), json!([PARTS]), p.into());
            what["from"] = KEYED.into();
            let rows = format!("SELECT k, v, '{tag}' FROM {KEYED} WHERE {condition}");
            return (format!("INSERT INTO TABLE {PARTS} PARTITION (p='{p}') {rows}"), what);
        }
        let sql = format!(
            "MERGE INTO {PLAIN} AS t USING (SELECT k, MAX(v) AS v FROM {KEYED} GROUP BY k) AS s ON t.k = s.k \
             WHEN MATCHED THEN UPDATE SET v = s.v, tag = '{tag}' \
             WHEN NOT MATCHED THEN INSERT (k, v, tag) VALUES (s.k, s.v, '{tag}')"
        );
        (sql, json!({"kind": "copy", "tables": [PLAIN], "from": KEYED}))
    }

    /// A table out of itself.
    fn rewrite(&mut self, tag: &str) -> (String, Value) {
        let (condition, mut what) = self.some_rows(None);
        (what["kind"], what["tables"]) = ("rewrite".into(), json!([PLAIN]));
        let rows = format!("SELECT k, v + 1L, '{tag}' FROM {PLAIN} WHERE NOT ({condition})");
        (format!("INSERT OVERWRITE TABLE {PLAIN} {rows}"), what)
    }

    /// One statement for two tables.
    fn both(&mut self, tag: &str) -> (String, Value) {
        let (p, rows) = (self.one(&PARTITIONS), self.rows(3));
        let sql = format!(
            "FROM (SELECT * FROM VALUES {} x(k, v, tag)) s INSERT INTO TABLE {PLAIN} SELECT k, v, tag \
             INSERT OVERWRITE TABLE {PARTS} PARTITION (p='{p}') SELECT k, v, tag",
            tagged(&rows, tag)
        );
        (sql, json!({"kind": "both", "tables": [PLAIN, PARTS], "p": p, "rows": rows}))
    }
}

fn partition(p: Option<&str>) -> String {
    p.map_or(String::new(), |p| format!(" PARTITION (p='{p}')"))
}

fn tagged(rows: &[(u64, u64)], tag: &str) -> String {
    rows.iter().map(|(k, v)| format!("({k}L,{v}L,'{tag}')")).collect::<Vec<_>>().join(",")
}

/// Lets so many writers work while the server dies again and again.
pub fn run(args: &Args) -> Result<()> {
    println!("seed {}, {} kills, {} writers on the same tables", args.seed, args.kills, args.shared);
    let server = Server::new(&args.feitian, &args.data)?;
    let mut random = Random(args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut running = server.start("")?;
    let (access_id, secret) = server.credentials()?;
    let client = Client::new(&server.base(), &access_id, &secret, "demo")?;
    for (table, columns, partitions) in TABLES {
        let properties = "TBLPROPERTIES ('transactional'='true')";
        client.run(&format!("CREATE TABLE {table} ({columns}){partitions} {properties}"), "")?;
    }
    let mut sharers: Vec<Sharer> = (0..args.shared).map(|writer| Sharer::new(writer, args.seed)).collect();
    let ended = |sharers: &[Sharer]| sharers.iter().map(|s| s.ended.len()).sum::<usize>();
    let mut reached: BTreeMap<&str, u64> = BTreeMap::new();
    for kill in 0..args.kills {
        let (begun, before) = (Instant::now(), ended(&sharers));
        running.kill();
        let point = POINTS[kill as usize % POINTS.len()];
        // Few statements look for keys.
        let nth = if point.starts_with("keys.") { 1 + random.below(4) } else { 3 + random.below(20) };
        running = server.start(&format!("{point}:{nth}")).with_context(|| format!("kill {kill}"))?;
        let hit = round(&mut running, &client, &mut sharers, ROUND, false);
        let name = if hit { point } else { "no fail point" };
        *reached.entry(name).or_default() += 1;
        running.kill();
        running = server.start("").with_context(|| format!("restart after {name}"))?;
        for sharer in &mut sharers {
            sharer.settle(&client).with_context(|| format!("kill {kill} at {name}"))?;
        }
        let (statements, seconds) = (ended(&sharers) - before, begun.elapsed().as_secs_f64());
        println!("kill {kill:4} at {name:24} {statements:4} statements ended, {seconds:.1} s");
    }
    for sharer in &mut sharers {
        for _ in 0..AT_THE_END {
            sharer.work(&client)?;
        }
    }
    running.kill();
    let total = ended(&sharers);
    println!("{} kills, {total} statements", args.kills);
    let statements: Vec<&Value> = sharers.iter().flat_map(|s| &s.ended).collect();
    let path = args.data.with_extension("statements.json");
    std::fs::write(&path, serde_json::to_string(&statements)?).with_context(|| format!("write {}", path.display()))?;
    for (name, n) in &reached {
        println!("{n:5} kills at {name}");
    }
    let wanted = args.kills / (2 * POINTS.len() as u64);
    let short = POINTS.iter().find(|point| reached.get(**point).copied().unwrap_or_default() < wanted);
    ensure!(short.is_none(), "the fail point {short:?} was reached less than {wanted} times");
    ensure!(total as u64 >= 5 * args.kills, "fewer than 5 statements a kill");
    Ok(())
}
