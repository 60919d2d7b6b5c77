//! Statements about labels.

use super::cursor::Parser;
use crate::lexer::{Kind, Symbol};
use crate::statement::Security;
use crate::{Result, SqlError};

/// The highest label (MaxCompute documentation, "Label-based access control").
const HIGHEST: u8 = 9;

impl Parser<'_> {
    fn level(&mut self) -> Result<u8> {
        let token = self.peek();
        let level = self.source(token).parse::<u8>().ok().filter(|level| *level <= HIGHEST);
        match level {
            Some(level) if token.kind == Kind::Number => {
                self.take();
                Ok(level)
            }
            _ => self.unexpected(Some("a label from 0 to 9")),
        }
    }

    /// `(a, b)`, or nothing.
    fn labelled_columns(&mut self) -> Result<Vec<String>> {
        if !self.is_symbol(Symbol::LParen) {
            return Ok(Vec::new());
        }
        Ok(self.column_names()?.into_iter().map(|column| column.name).collect())
    }

    /// `SET LABEL level TO USER|ROLE holder` or `TO TABLE t[(columns)]`
    pub(super) fn set_label(&mut self) -> Result<Security> {
        self.expect("set")?;
        self.expect("label")?;
        let level = self.level()?;
        self.expect("to")?;
        // A user may have this name; then nothing follows it.
        if self.is("table") && self.peek_at(1).kind != Kind::End {
            self.take();
            let table = self.object_name()?;
            return Ok(Security::LabelTable { level, table, columns: self.labelled_columns()? });
        }
        Ok(Security::LabelHolder { level, holder: self.holder()? })
    }

    /// What follows GRANT or REVOKE.
    pub(super) fn grant_label(&mut self, revoke: bool) -> Result<Security> {
        self.expect("label")?;
        let level = if revoke { None } else { Some(self.level()?) };
        self.expect("on")?;
        self.expect("table")?;
        let (table, columns) = (self.object_name()?, self.labelled_columns()?);
        self.expect(if revoke { "from" } else { "to" })?;
        let holder = self.holder()?;
        let mut days = None;
        if !revoke && self.eat(&["with", "exp"]) {
            let (at, text) = (self.position(), self.source(self.peek()));
            let wrong = || SqlError::parse(at, format!("'{text}' is no number of days"));
            days = Some(text.parse::<u32>().map_err(|_| wrong())?);
            self.take();
        }
        Ok(Security::GrantLabel { level, table, columns, holder, days })
    }

    /// `SHOW LABEL [level] GRANTS [ON TABLE t] [FOR USER|ROLE holder]`
    pub(super) fn show_label_grants(&mut self) -> Result<Security> {
        self.expect("show")?;
        self.expect("label")?;
        let level = if self.is("grants") { None } else { Some(self.level()?) };
        self.expect("grants")?;
        let table = if self.eat(&["on", "table"]) { Some(self.object_name()?) } else { None };
        let holder = if self.eat(&["for"]) { Some(self.holder()?) } else { None };
        Ok(Security::ShowLabelGrants { level, table, holder })
    }
}
