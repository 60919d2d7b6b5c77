//! Functions that users register, and the resources that hold them.

use super::cursor::Parser;
use super::sql_function::Head;
use crate::Result;
use crate::lexer::{Kind, Symbol, Token};
use crate::statement::Statement;

impl Parser<'_> {
    /// True if what follows CREATE [OR REPLACE] makes a function.
    pub(super) fn is_function(&self) -> bool {
        let words = usize::from(self.is("temporary") || self.is("sql"));
        self.is_at(words, "function")
    }

    /// `[TEMPORARY|SQL] FUNCTION f AS 'class' USING 'resource,…'`, or a SQL function; functions whose code in another
    /// language is in the text are lacking. `first` is CREATE.
    pub(super) fn create_function(&mut self, first: Token, or_replace: bool) -> Result<Statement> {
        let temporary = self.eat(&["temporary"]);
        let sql = self.eat(&["sql"]);
        self.expect("function")?;
        let if_not_exists = self.eat(&["if", "not", "exists"]);
        let name = self.object_name()?;
        if sql || self.is_symbol(Symbol::LParen) {
            return self.sql_function(Head { first, or_replace, if_not_exists, temporary, name });
        }
        let plain = !or_replace && !if_not_exists;
        if plain && self.is("as") && self.peek_at(1).kind == Kind::Text {
            self.take();
            let class = self.string()?;
            if self.eat(&["using"]) && self.peek().kind == Kind::Text {
                return Ok(Statement::CreateFunction { temporary, name, class, resources: self.string()? });
            }
        }
        Ok(self.skip("CREATE FUNCTION", first.position))
    }

    /// What follows `DROP FUNCTION`.
    pub(super) fn drop_function(&mut self) -> Result<Statement> {
        let if_exists = self.eat(&["if", "exists"]);
        Ok(Statement::DropFunction { if_exists, name: self.object_name()? })
    }

    /// What follows `DROP RESOURCE`.
    pub(super) fn drop_resource(&mut self) -> Result<Statement> {
        let if_exists = self.eat(&["if", "exists"]);
        Ok(Statement::DropResource { if_exists, name: self.resource_name()? })
    }

    /// The rest of the statement as it stands: names of resources hold dots and dashes.
    pub(super) fn resource_name(&mut self) -> Result<String> {
        let first = self.peek();
        if first.kind == Kind::End {
            return self.unexpected(Some("the name of a resource"));
        }
        while self.peek().kind != Kind::End {
            self.take();
        }
        Ok(self.source_since(first).trim().trim_matches('`').to_string())
    }
}
