//! Files of volumes that are being written or read: rows under the id of a tunnel session, which name their contents as
//! long as the session lives.

use feitian_base::Result;
use sqlx::query;

use crate::cells::{Cells, all};
use crate::db::Meta;
use crate::fault::{Fault, conflict, not_found};
use crate::rows::Session;
use crate::sessions::{hold_open, insert_session};
use crate::steps::{hold_session, wrong_status};
use crate::tx::Tx;
use crate::volume_entries::{VolumeEntry, entry_columns, make_dirs, no_such_path, put_entry, read_entry};
use crate::volumes::{hold_volume, touch_volume};

/// Refuses files of a session whose names are those of directories by now.
async fn check_places(tx: &mut Tx, session: &Session) -> Result<(), Fault> {
    let sql = "SELECT e.name FROM volume_entries s JOIN volume_entries e \
               ON e.volume_id = $2 AND e.parent = s.parent AND e.name = s.name \
               WHERE s.volume_id = $1 AND e.is_dir = 1 LIMIT 1";
    let found = query(sql).bind(&session.id).bind(&session.table_id).fetch_optional(tx.conn()).await?;
    match found {
        Some(row) => {
            let message = format!("'{}' is a directory and cannot become a file", Cells::new(&row).text()?);
            Err(conflict("ObjectAlreadyExists", message).into())
        }
        None => Ok(()),
    }
}

/// Gives the files of a session to its volume. The session keeps their names for whoever asks again.
async fn hand_over(tx: &mut Tx, session: &Session) -> Result<(), Fault> {
    let sql = concat!(
        "INSERT INTO volume_entries (",
        entry_columns!(),
        ") SELECT $2, parent, name, is_dir, num_bytes, replication, owner, object, created_ms, modified_ms ",
        "FROM volume_entries WHERE volume_id = $1 ON CONFLICT (volume_id, parent, name) DO UPDATE SET ",
        "num_bytes = excluded.num_bytes, replication = excluded.replication, owner = excluded.owner, ",
        "object = excluded.object, modified_ms = excluded.modified_ms"
    );
    query(sql).bind(&session.id).bind(&session.table_id).execute(tx.conn()).await?;
    query("UPDATE volume_entries SET object = '' WHERE volume_id = $1").bind(&session.id).execute(tx.conn()).await?;
    Ok(())
}

impl Meta {
    /// Opens a session of the volume `session.table_id`, with its file if it has one already. `NotFound` when the volume was
    /// dropped, `Conflict` when the session's id is taken.
    pub async fn open_volume_session(&self, session: &Session, file: Option<&VolumeEntry>) -> Result<()> {
        write_tx!(self, |tx| {
            hold_volume(&mut tx, &session.table_id).await?;
            insert_session(&mut tx, session).await?;
            match file {
                Some(file) => put_entry(&mut tx, file).await,
                None => Ok(()),
            }
        })
    }

    /// Opens a session that reads the file of this name, and returns the file as the session has it: its content stays as
    /// long as the session, whatever becomes of the file. `NotFound` without the file.
    pub async fn open_volume_download(&self, session: &Session, parent: &str, name: &str) -> Result<VolumeEntry> {
        write_tx!(self, |tx| {
            // Nobody takes the file away until the session names its content too.
            hold_volume(&mut tx, &session.table_id).await?;
            let sql = concat!(
                "SELECT ",
                entry_columns!(),
                " FROM volume_entries WHERE volume_id = $1 AND parent = $2 AND name = $3 AND is_dir = 0"
            );
            let found = query(sql).bind(&session.table_id).bind(parent).bind(name).fetch_optional(tx.conn()).await?;
            let Some(row) = found else { return Err(no_such_path(&format!("{parent}/{name}")).into()) };
            let file = VolumeEntry { volume_id: session.id.clone(), ..read_entry(&row)? };
            insert_session(&mut tx, session).await?;
            put_entry(&mut tx, &file).await?;
            Ok(file)
        })
    }

    /// Notes a file of the upload session `file.volume_id`, whose content is durable, in place of an earlier one of that
    /// name. `NotFound` without the session; `Conflict` `StatusConflict` unless it is `normal`.
    pub async fn put_volume_file(&self, file: &VolumeEntry) -> Result<()> {
        write_tx!(self, |tx| {
            hold_open(&mut tx, &file.volume_id).await?;
            put_entry(&mut tx, file).await
        })
    }

    /// The files of a session, by name.
    pub async fn volume_session_files(&self, session_id: &str) -> Result<Vec<VolumeEntry>> {
        let sql =
            concat!("SELECT ", entry_columns!(), " FROM volume_entries WHERE volume_id = $1 ORDER BY parent, name");
        let rows = query(sql).bind(session_id).fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_entry)?)
    }

    /// Puts the files of an upload session into `dir` of its volume, which is made where it is missing, in place of files of
    /// their names; nothing happens when that was done before. `NotFound` `NoSuchUpload` without the session, `NoSuchObject`
    /// when the volume was dropped, `Conflict` for a session that is over and for a name that a directory has.
    pub async fn commit_volume_session(&self, session: &Session, dir: &str, now_ms: i64) -> Result<()> {
        write_tx!(self, |tx| {
            // In this order everywhere: the volume, then the session.
            hold_volume(&mut tx, &session.table_id).await?;
            match hold_session(&mut tx, &session.id).await?.as_deref() {
                Some("normal") => {}
                Some("closed") => return Ok(()),
                Some(status) => return Err(wrong_status(&session.id, status).into()),
                None => {
                    let message = format!("There is no upload session '{}'; open a new one", session.id);
                    return Err(not_found("NoSuchUpload", message).into());
                }
            }
            make_dirs(&mut tx, &session.table_id, dir, &session.owner, now_ms).await?;
            check_places(&mut tx, session).await?;
            hand_over(&mut tx, session).await?;
            query("UPDATE sessions SET status = 'closed' WHERE id = $1").bind(&session.id).execute(tx.conn()).await?;
            touch_volume(&mut tx, &session.table_id, now_ms).await
        })
    }
}
