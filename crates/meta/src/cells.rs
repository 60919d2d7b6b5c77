//! Reads a row's columns in the order in which the query lists them.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::fault::{Fault, corrupt};

/// A cursor over one row.
pub(crate) struct Cells<'r> {
    row: &'r AnyRow,
    at: usize,
}

impl<'r> Cells<'r> {
    pub(crate) fn new(row: &'r AnyRow) -> Self {
        Self { row, at: 0 }
    }

    fn take<T>(&mut self) -> Result<T, Fault>
    where
        T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>,
    {
        let at = self.at;
        self.at += 1;
        Ok(self.row.try_get(at)?)
    }

    pub(crate) fn text(&mut self) -> Result<String, Fault> {
        self.take()
    }

    pub(crate) fn opt_text(&mut self) -> Result<Option<String>, Fault> {
        self.take()
    }

    pub(crate) fn int(&mut self) -> Result<i64, Fault> {
        self.take()
    }

    pub(crate) fn opt_int(&mut self) -> Result<Option<i64>, Fault> {
        self.take()
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, Fault> {
        self.take()
    }

    pub(crate) fn opt_bytes(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        self.take()
    }

    /// A truth value, stored as 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool, Fault> {
        match self.int()? {
            0 => Ok(false),
            1 => Ok(true),
            n => Err(corrupt(format!("column {} holds {n} where 0 or 1 belongs", self.at)).into()),
        }
    }
}

/// Every row of a result through `read`.
pub(crate) fn all<T>(rows: &[AnyRow], read: impl Fn(&AnyRow) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    rows.iter().map(read).collect()
}

/// The row, if there is one, through `read`.
pub(crate) fn one<T>(row: Option<AnyRow>, read: impl Fn(&AnyRow) -> Result<T, Fault>) -> Result<Option<T>, Fault> {
    row.as_ref().map(read).transpose()
}
