//! Functions that users register, and the resources that hold them.

use super::cursor::Parser;
use crate::lexer::Kind;
use crate::statement::Statement;
use crate::{Position, Result};

impl Parser<'_> {
    /// `CREATE FUNCTION f AS 'class' USING 'resource,…'`; functions whose code is in the text are lacking.
    pub(super) fn create_function(&mut self, at: Position) -> Result<Statement> {
        self.expect("function")?;
        if self.is_name() && !self.is("if") {
            let name = self.object_name()?;
            if self.is("as") && self.peek_at(1).kind == Kind::Text {
                self.take();
                let class = self.string()?;
                if self.eat(&["using"]) && self.peek().kind == Kind::Text {
                    return Ok(Statement::CreateFunction { name, class, resources: self.string()? });
                }
            }
        }
        Ok(self.skip("CREATE FUNCTION", at))
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
