//! Tunnel sessions and the blocks of uploads.

use feitian_base::Result;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::{Fault, conflict, not_found};
use crate::rows::{Block, Session};
use crate::steps::{hold_session, wrong_status};
use crate::tx::Tx;

macro_rules! session_columns {
    () => {
        "id, kind, project, table_id, schema_version, log_version, partition_spec, overwrite, status, owner, \
         record_count, created_ms, expires_ms, options"
    };
}
pub(crate) use session_columns;

macro_rules! block_columns {
    () => {
        "session_id, block_id, path, num_rows, num_bytes, stats"
    };
}

/// Closed and expired sessions answer repeated requests for this long after their expiry.
const REMEMBERED_MS: i64 = 24 * 3600 * 1000;

/// The queries of [`Meta::open_sessions`].
pub(crate) const OPEN: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions WHERE status IN ('normal', 'closing') AND ($1 IS NULL OR kind = $1) ORDER BY id"
);
pub(crate) const OPEN_OF_TABLE: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions WHERE status IN ('normal', 'closing') AND table_id = $2 AND ($1 IS NULL OR kind = $1) ORDER BY id"
);

/// The first statement of [`Meta::expire_sessions`].
pub(crate) const EXPIRE: &str = concat!(
    "UPDATE sessions SET status = 'expired' WHERE expires_ms <= $1 AND (status = 'normal' ",
    "OR (status = 'closing' AND NOT EXISTS (SELECT r.id FROM commit_records r WHERE r.owner = sessions.id))) ",
    "RETURNING ",
    session_columns!()
);

fn read_session(row: &AnyRow) -> Result<Session, Fault> {
    read_session_cells(&mut Cells::new(row))
}

/// Reads [`session_columns!`].
pub(crate) fn read_session_cells(c: &mut Cells<'_>) -> Result<Session, Fault> {
    Ok(Session {
        id: c.text()?,
        kind: c.text()?,
        project: c.text()?,
        table_id: c.text()?,
        schema_version: c.int()?,
        log_version: c.int()?,
        partition: c.text()?,
        overwrite: c.flag()?,
        status: c.text()?,
        owner: c.text()?,
        record_count: c.int()?,
        created_ms: c.int()?,
        expires_ms: c.int()?,
        options: c.text()?,
    })
}

fn read_block(row: &AnyRow) -> Result<Block, Fault> {
    let mut c = Cells::new(row);
    Ok(Block {
        session_id: c.text()?,
        block_id: c.int()?,
        path: c.text()?,
        num_rows: c.int()?,
        num_bytes: c.int()?,
        stats: c.text()?,
    })
}

/// Holds a session that takes blocks.
pub(crate) async fn hold_open(tx: &mut Tx, session_id: &str) -> Result<(), Fault> {
    match hold_session(tx, session_id).await?.as_deref() {
        Some("normal") => Ok(()),
        Some(status) => Err(wrong_status(session_id, status).into()),
        None => {
            let message = format!("There is no session '{session_id}'; open a new one");
            Err(not_found("NoSuchObject", message).into())
        }
    }
}

/// Runs `sql`, whose values are the columns of `block` with this number.
async fn insert_block(tx: &mut Tx, sql: &'static str, block: &Block, block_id: i64) -> Result<(), Fault> {
    query(sql)
        .bind(&block.session_id)
        .bind(block_id)
        .bind(&block.path)
        .bind(block.num_rows)
        .bind(block.num_bytes)
        .bind(&block.stats)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Adds a session. `Conflict` when its id is taken.
pub(crate) async fn insert_session(tx: &mut Tx, session: &Session) -> Result<(), Fault> {
    let sql = concat!(
        "INSERT INTO sessions (",
        session_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING"
    );
    let done = query(sql)
        .bind(&session.id)
        .bind(&session.kind)
        .bind(&session.project)
        .bind(&session.table_id)
        .bind(session.schema_version)
        .bind(session.log_version)
        .bind(&session.partition)
        .bind(i64::from(session.overwrite))
        .bind(&session.status)
        .bind(&session.owner)
        .bind(session.record_count)
        .bind(session.created_ms)
        .bind(session.expires_ms)
        .bind(&session.options)
        .execute(tx.conn())
        .await?;
    if done.rows_affected() == 0 {
        return Err(conflict("ObjectAlreadyExists", format!("Session '{}' exists already", session.id)).into());
    }
    Ok(())
}

impl Meta {
    /// Adds a session. `Conflict` when its id is taken.
    pub async fn create_session(&self, session: &Session) -> Result<()> {
        write_tx!(self, |tx| { insert_session(&mut tx, session).await })
    }

    /// The session with this id, whatever its status.
    pub async fn session(&self, id: &str) -> Result<Option<Session>> {
        let sql = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = $1");
        let row = query(sql).bind(id).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_session)?)
    }

    /// Moves the session from one status to another; false, and no change, when it has another status or is not there.
    pub async fn set_session_status(&self, id: &str, from: &str, to: &str) -> Result<bool> {
        write_tx!(self, |tx| {
            let sql = "UPDATE sessions SET status = $3 WHERE id = $1 AND status = $2";
            let done = query(sql).bind(id).bind(from).bind(to).execute(tx.conn()).await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// The sessions of status `normal` or `closing`, of one kind or all, of one table or all, by id.
    pub async fn open_sessions(&self, kind: Option<&str>, table_id: Option<&str>) -> Result<Vec<Session>> {
        let rows = match table_id {
            Some(table_id) => query(OPEN_OF_TABLE).bind(kind).bind(table_id).fetch_all(self.reader()).await,
            None => query(OPEN).bind(kind).fetch_all(self.reader()).await,
        };
        Ok(all(&rows.map_err(Fault::from)?, read_session)?)
    }

    /// Notes a block whose file is durable; returns the block of the same id that it replaces, whose file the caller may
    /// delete. `NotFound` `NoSuchObject` without the session; `Conflict` `StatusConflict` unless it is `normal`: a
    /// block that a commit has read must not be replaced under it.
    pub async fn put_block(&self, block: &Block) -> Result<Option<Block>> {
        write_tx!(self, |tx| {
            hold_open(&mut tx, &block.session_id).await?;
            let sql = concat!("SELECT ", block_columns!(), " FROM blocks WHERE session_id = $1 AND block_id = $2");
            let old = query(sql).bind(&block.session_id).bind(block.block_id).fetch_optional(tx.conn()).await?;
            let old = one(old, read_block)?;
            let sql = concat!(
                "INSERT INTO blocks (",
                block_columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (session_id, block_id) DO UPDATE SET ",
                "path = excluded.path, num_rows = excluded.num_rows, num_bytes = excluded.num_bytes, ",
                "stats = excluded.stats"
            );
            insert_block(&mut tx, sql, block, block.block_id).await?;
            Ok(old)
        })
    }

    /// Notes a block behind all that the session has, whatever its number says; else as [`Meta::put_block`].
    pub async fn add_block(&self, block: &Block) -> Result<()> {
        write_tx!(self, |tx| {
            hold_open(&mut tx, &block.session_id).await?;
            let sql = "SELECT COALESCE(MAX(block_id) + 1, 0) FROM blocks WHERE session_id = $1";
            let row = query(sql).bind(&block.session_id).fetch_one(tx.conn()).await?;
            let next = Cells::new(&row).int()?;
            let sql = concat!("INSERT INTO blocks (", block_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6)");
            insert_block(&mut tx, sql, block, next).await
        })
    }

    /// Notes a block unless the session has one of its number: false, and no change, when it has; else as
    /// [`Meta::put_block`].
    pub async fn try_block(&self, block: &Block) -> Result<bool> {
        write_tx!(self, |tx| {
            hold_open(&mut tx, &block.session_id).await?;
            let sql = "SELECT COUNT(*) FROM blocks WHERE session_id = $1 AND block_id = $2";
            let row = query(sql).bind(&block.session_id).bind(block.block_id).fetch_one(tx.conn()).await?;
            if Cells::new(&row).int()? > 0 {
                return Ok(false);
            }
            let sql = concat!("INSERT INTO blocks (", block_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6)");
            insert_block(&mut tx, sql, block, block.block_id).await?;
            Ok(true)
        })
    }

    /// The blocks of a session, by block id.
    pub async fn blocks(&self, session_id: &str) -> Result<Vec<Block>> {
        let sql = concat!("SELECT ", block_columns!(), " FROM blocks WHERE session_id = $1 ORDER BY block_id");
        let rows = query(sql).bind(session_id).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_block)?)
    }

    /// Expires the open sessions whose time has passed at `now_ms`, deletes their blocks' and files' rows and returns
    /// them. One that is closing with a commit record stays: its commit will be finished. Closed, aborted and expired
    /// sessions are forgotten a day after their expiry.
    pub async fn expire_sessions(&self, now_ms: i64) -> Result<Vec<Session>> {
        write_tx!(self, |tx| {
            let rows = query(EXPIRE).bind(now_ms).fetch_all(tx.conn()).await?;
            let mut expired = all(&rows, read_session)?;
            expired.sort_by(|a, b| a.id.cmp(&b.id));
            let sql = "DELETE FROM sessions WHERE expires_ms <= $1 AND status IN ('closed', 'aborted', 'expired') \
                       RETURNING id";
            let rows = query(sql).bind(now_ms.saturating_sub(REMEMBERED_MS)).fetch_all(tx.conn()).await?;
            let forgotten = all(&rows, |r| Cells::new(r).text())?;
            for id in expired.iter().map(|s| &s.id).chain(&forgotten) {
                query("DELETE FROM blocks WHERE session_id = $1").bind(id).execute(tx.conn()).await?;
                // Clients may choose the ids of uploads, and must not find a way to empty a volume.
                let sql = "DELETE FROM volume_entries WHERE volume_id = $1 \
                           AND NOT EXISTS (SELECT v.id FROM volumes v WHERE v.id = $1)";
                query(sql).bind(id).execute(tx.conn()).await?;
            }
            Ok(expired)
        })
    }
}
