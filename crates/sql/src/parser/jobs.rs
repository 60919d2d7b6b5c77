//! Statements about jobs, settings and statistics: SHOW P, STATUS, KILL, DESC INSTANCE, SHOW FLAGS, ANALYZE, SHOW STATISTIC.

use super::cursor::Parser;
use crate::Result;
use crate::lexer::{Kind, Symbol};
use crate::statement::Statement;

impl Parser<'_> {
    /// A statement about jobs, settings or statistics; `None`, and nothing read, if another one comes next.
    pub(super) fn about_jobs(&mut self) -> Result<Option<Statement>> {
        let first = self.source(self.peek()).to_ascii_lowercase();
        let second = self.source(self.peek_at(1)).to_ascii_lowercase();
        Ok(Some(match (first.as_str(), second.as_str()) {
            ("show", "p" | "proc" | "instances") => self.show_jobs()?,
            ("list", "jobs") => {
                self.eat(&["list", "jobs"]);
                Statement::ShowJobs { from: None, to: None, limit: None }
            }
            ("status", _) if self.peek_at(1).kind == Kind::Word => Statement::JobStatus { id: self.job_id(1)? },
            ("kill", _) => Statement::KillJob { id: self.job_id(1)? },
            // A table may have this name; then nothing follows it, or PARTITION.
            ("desc" | "describe", "instance") if self.is_name_at(2) && self.peek_at(3).kind == Kind::End => {
                Statement::DescribeJob { id: self.job_id(2)? }
            }
            ("show", "flags") => {
                self.eat(&["show", "flags"]);
                Statement::ShowFlags { project: false }
            }
            ("set" | "setproject", _) if self.peek_at(1).kind == Kind::End => {
                self.take();
                Statement::ShowFlags { project: first == "setproject" }
            }
            ("analyze", "table") | ("show", "statistic") => self.statistic(first == "show")?,
            _ => return Ok(None),
        }))
    }

    /// `ANALYZE TABLE …`, or `SHOW STATISTIC …`
    fn statistic(&mut self, show: bool) -> Result<Statement> {
        let (at, what) = (self.position(), if show { "SHOW STATISTIC" } else { "ANALYZE" });
        self.take();
        self.take();
        let table = self.object_name()?;
        let partition = self.optional_partition()?;
        let of_columns = match show {
            true => self.eat(&["columns"]),
            false => {
                let computes = self.eat(&["compute", "statistics"]);
                computes && (self.peek().kind == Kind::End || self.eat(&["for", "columns"]))
            }
        };
        let has_list = of_columns && self.is_symbol(Symbol::LParen);
        let columns = if has_list { self.column_names()? } else { Vec::new() };
        // Deleting, histograms, and numbers of a whole table.
        if !of_columns || self.peek().kind != Kind::End {
            return Ok(self.skip(what, at));
        }
        Ok(Statement::Statistic { show, table, partition, columns })
    }

    /// The id of a job after so many words.
    fn job_id(&mut self, words: usize) -> Result<String> {
        for _ in 0..words {
            self.take();
        }
        match self.peek().kind {
            Kind::Word | Kind::Number => {
                let token = self.take();
                Ok(self.source(token).to_string())
            }
            _ => self.unexpected(Some("the id of an instance")),
        }
    }

    /// `SHOW P [FROM yyyy-mm-dd TO yyyy-mm-dd] [n]`
    fn show_jobs(&mut self) -> Result<Statement> {
        self.take();
        self.take();
        let from = if self.eat(&["from"]) { Some(self.day()?) } else { None };
        let to = if self.eat(&["to"]) { Some(self.day()?) } else { None };
        let limit = if self.peek().kind == Kind::End { None } else { Some(self.count(1)?) };
        Ok(Statement::ShowJobs { from, to, limit })
    }

    /// `2024-01-31`, with quotes or without.
    fn day(&mut self) -> Result<String> {
        if self.peek().kind == Kind::Text {
            return self.string();
        }
        let first = self.peek();
        while matches!(self.peek().kind, Kind::Number | Kind::Symbol(Symbol::Minus)) {
            let token = self.take();
            let next = self.peek();
            if next.range().start != token.range().end {
                break;
            }
        }
        match self.source_since(first) {
            day if !day.is_empty() && self.peek() != first => Ok(day.to_string()),
            _ => self.unexpected(Some("a day like 2024-01-31")),
        }
    }
}
