//! What the table store is put beside: clients of PostgreSQL and Redis over one connection each, as cheap as they can be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

use crate::load::{Random, Target, VALUE_BYTES};

/// Rows that are written before the server is waited for.
const PIPELINE_ROWS: u64 = 200;
/// The most bytes of an answer that is believed.
const ANSWER_BYTES: usize = 64 << 20;

fn connect(port: u16, what: &str) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("connect to {what}"))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// PostgreSQL's protocol, version 3, with prepared statements and binary values. The server must trust the user
/// `postgres`. The table is `rows (id bigint primary key, n bigint, v bytea)`.
pub struct Postgres {
    stream: BufReader<TcpStream>,
    out: Vec<u8>,
}

const STATEMENTS: [(&str, &str); 4] = [
    ("get", "SELECT n, v FROM rows WHERE id = $1"),
    ("put", "INSERT INTO rows VALUES ($1, 0, $2) ON CONFLICT (id) DO UPDATE SET n = 0, v = EXCLUDED.v"),
    ("change", "UPDATE rows SET v = $2 WHERE id = $1 AND n >= 0"),
    ("scan", "SELECT id, n, v FROM rows WHERE id >= $1 ORDER BY id LIMIT $2"),
];

/// What a request brought: rows, bytes of their values, and the tag of what was done (`UPDATE 1`).
#[derive(Debug, Default)]
struct Brought {
    rows: u64,
    bytes: usize,
    tag: String,
}

impl Postgres {
    pub fn connect(port: u16) -> Result<Self> {
        let mut postgres = Self { stream: connect(port, "PostgreSQL")?, out: Vec::new() };
        let words = b"user\0postgres\0database\0postgres\0\0";
        postgres.out.extend_from_slice(&i32::try_from(words.len() + 8)?.to_be_bytes());
        postgres.out.extend_from_slice(&196_608_i32.to_be_bytes());
        postgres.out.extend_from_slice(words);
        postgres.turn()?;
        Ok(postgres)
    }

    /// A connection that knows the statements over the table, which must be there.
    pub fn prepared(port: u16) -> Result<Self> {
        let mut postgres = Self::connect(port)?;
        for (name, sql) in STATEMENTS {
            let mut parse = Vec::new();
            parse.extend_from_slice(name.as_bytes());
            parse.push(0);
            parse.extend_from_slice(sql.as_bytes());
            // No types of parameters are named.
            parse.extend_from_slice(&[0, 0, 0]);
            postgres.push(b'P', &parse)?;
        }
        postgres.push(b'S', &[])?;
        postgres.turn()?;
        Ok(postgres)
    }

    /// Runs statements that bring nothing that is wanted.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        self.push(b'Q', format!("{sql}\0").as_bytes())?;
        self.turn().map(|_| ())
    }

    /// One message on its way out.
    fn push(&mut self, kind: u8, content: &[u8]) -> Result<()> {
        self.out.push(kind);
        self.out.extend_from_slice(&i32::try_from(content.len() + 4)?.to_be_bytes());
        self.out.extend_from_slice(content);
        Ok(())
    }

    /// Asks for a prepared statement to be carried out.
    fn bind(&mut self, name: &str, parameters: &[&[u8]]) -> Result<()> {
        let mut bind = vec![0];
        bind.extend_from_slice(name.as_bytes());
        // All parameters are binary.
        bind.extend_from_slice(&[0, 0, 1, 0, 1]);
        bind.extend_from_slice(&i16::try_from(parameters.len())?.to_be_bytes());
        for parameter in parameters {
            bind.extend_from_slice(&i32::try_from(parameter.len())?.to_be_bytes());
            bind.extend_from_slice(parameter);
        }
        // And so are all columns that come back.
        bind.extend_from_slice(&[0, 1, 0, 1]);
        self.push(b'B', &bind)?;
        // The nameless portal, without a limit.
        self.push(b'E', &[0, 0, 0, 0, 0])
    }

    fn execute(&mut self, name: &str, parameters: &[&[u8]]) -> Result<Brought> {
        self.bind(name, parameters)?;
        self.push(b'S', &[])?;
        self.turn()
    }

    /// Sends what is on its way and reads until the server is ready again.
    fn turn(&mut self) -> Result<Brought> {
        self.stream.get_mut().write_all(&self.out)?;
        self.out.clear();
        let (mut brought, mut failed, mut content) = (Brought::default(), None, Vec::new());
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head)?;
            let length = usize::try_from(i32::from_be_bytes([head[1], head[2], head[3], head[4]]))?;
            ensure!((4..ANSWER_BYTES).contains(&length), "a message of {length} bytes");
            content.resize(length - 4, 0);
            self.stream.read_exact(&mut content)?;
            match head[0] {
                b'D' => {
                    brought.rows += 1;
                    brought.bytes += content.len();
                }
                b'C' => brought.tag = String::from_utf8_lossy(&content).trim_end_matches('\0').to_string(),
                b'E' => failed = Some(String::from_utf8_lossy(&content).replace('\0', " ")),
                b'R' if content != [0; 4] => bail!("PostgreSQL does not trust the user postgres"),
                b'Z' => break,
                _ => {}
            }
        }
        match failed {
            Some(words) => bail!("PostgreSQL: {words}"),
            None => Ok(brought),
        }
    }
}

fn number(id: u64) -> Result<[u8; 8]> {
    Ok(i64::try_from(id)?.to_be_bytes())
}

impl Target for Postgres {
    fn get(&mut self, id: u64) -> Result<()> {
        let brought = self.execute("get", &[&number(id)?])?;
        ensure!(brought.rows == 1 && brought.bytes > VALUE_BYTES, "the row {id}: {brought:?}");
        Ok(())
    }

    fn put(&mut self, id: u64, value: &[u8]) -> Result<()> {
        let brought = self.execute("put", &[&number(id)?, value])?;
        ensure!(brought.tag == "INSERT 0 1", "the row {id}: {brought:?}");
        Ok(())
    }

    fn change(&mut self, id: u64, value: &[u8]) -> Result<()> {
        let brought = self.execute("change", &[&number(id)?, value])?;
        ensure!(brought.tag == "UPDATE 1", "the row {id}: {brought:?}");
        Ok(())
    }

    fn scan(&mut self, from: u64, rows: u32) -> Result<()> {
        let brought = self.execute("scan", &[&number(from)?, &number(rows.into())?])?;
        ensure!(brought.rows == u64::from(rows), "a scan of {rows} rows: {brought:?}");
        Ok(())
    }

    fn fill(&mut self, ids: Range<u64>, random: &mut Random) -> Result<()> {
        let mut value = vec![0; VALUE_BYTES];
        for first in ids.clone().step_by(PIPELINE_ROWS as usize) {
            for id in first..(first + PIPELINE_ROWS).min(ids.end) {
                random.fill(&mut value);
                self.bind("put", &[&number(id)?, &value])?;
            }
            // What stands before one sync is one transaction.
            self.push(b'S', &[])?;
            self.turn()?;
        }
        Ok(())
    }
}

/// Redis's protocol: rows are texts by their number.
pub struct Redis {
    stream: BufReader<TcpStream>,
    out: Vec<u8>,
}

impl Redis {
    pub fn connect(port: u16) -> Result<Self> {
        Ok(Self { stream: connect(port, "Redis")?, out: Vec::new() })
    }

    fn push(&mut self, words: &[&[u8]]) -> Result<()> {
        write!(self.out, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.out, "${}\r\n", word.len())?;
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// A line of an answer, without its end.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "Redis closed the connection");
        Ok(line.trim_end().to_string())
    }

    fn written(&mut self) -> Result<()> {
        let line = self.line()?;
        ensure!(line == "+OK", "Redis: {line}");
        Ok(())
    }
}

impl Target for Redis {
    fn get(&mut self, id: u64) -> Result<()> {
        self.push(&[b"GET", id.to_string().as_bytes()])?;
        self.send()?;
        let line = self.line()?;
        let length = line.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
        let length = length.with_context(|| format!("Redis: {line}"))?;
        ensure!(length == VALUE_BYTES, "the row {id} has {length} bytes");
        let mut value = vec![0; length + 2];
        Ok(self.stream.read_exact(&mut value)?)
    }

    fn put(&mut self, id: u64, value: &[u8]) -> Result<()> {
        self.push(&[b"SET", id.to_string().as_bytes(), value])?;
        self.send()?;
        self.written()
    }

    fn change(&mut self, _: u64, _: &[u8]) -> Result<()> {
        bail!("conditional updates are not asked of Redis")
    }

    fn scan(&mut self, _: u64, _: u32) -> Result<()> {
        bail!("Redis has no order of its keys")
    }

    fn fill(&mut self, ids: Range<u64>, random: &mut Random) -> Result<()> {
        let mut value = vec![0; VALUE_BYTES];
        for first in ids.clone().step_by(PIPELINE_ROWS as usize) {
            let rows = first..(first + PIPELINE_ROWS).min(ids.end);
            for id in rows.clone() {
                random.fill(&mut value);
                self.push(&[b"SET", id.to_string().as_bytes(), &value])?;
            }
            self.send()?;
            for _ in rows {
                self.written()?;
            }
        }
        Ok(())
    }
}
