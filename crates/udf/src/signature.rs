//! What `@annotate` says of a class: the types of its arguments and of what it makes.

use feitian_types::DataType;

use crate::frame::supported;

/// What a class of a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `evaluate`: one value of a row.
    Scalar,
    /// `BaseUDTF`: any number of rows of a row.
    Table,
    /// `BaseUDAF`: one value of a group.
    Aggregate,
}

/// A class with the types that `@annotate` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub kind: Kind,
    pub arguments: Vec<DataType>,
    /// Any number of further arguments of any type, written `*`.
    pub rest: bool,
    /// One type, or of a table function one for each column.
    pub returns: Vec<DataType>,
}

impl Signature {
    /// Reads `bigint,string->double`; the words of an error say what is wrong with it.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        let Some((left, right)) = text.split_once("->") else {
            return Err("it has no '->' between the arguments and the result".to_string());
        };
        let mut arguments = parts(left);
        let rest = arguments.last() == Some(&"*");
        if rest {
            arguments.pop();
        }
        let arguments = arguments.into_iter().map(type_of).collect::<Result<Vec<_>, _>>()?;
        let returns = parts(right).into_iter().map(type_of).collect::<Result<Vec<_>, _>>()?;
        match returns.iter().find_map(sized) {
            Some(ty) => return Err(format!("user code that gives {} is not supported", name(ty))),
            None if returns.is_empty() => return Err("it names no result after '->'".to_string()),
            None if returns.len() > 1 && kind != Kind::Table => {
                return Err(format!("it names {} results, and only a BaseUDTF has several", returns.len()));
            }
            None => {}
        }
        Ok(Self { kind, arguments, rest, returns })
    }
}

/// The first type in `ty` whose values have a greatest length, which nobody would see to.
fn sized(ty: &DataType) -> Option<&DataType> {
    match ty {
        DataType::Varchar(_) | DataType::Char(_) => Some(ty),
        DataType::Array(items) => sized(items),
        DataType::Map(keys, items) => sized(keys).or_else(|| sized(items)),
        DataType::Struct(fields) => fields.iter().find_map(|(_, ty)| sized(ty)),
        _ => None,
    }
}

fn name(ty: &DataType) -> String {
    ty.to_string().to_uppercase()
}

fn type_of(text: &str) -> Result<DataType, String> {
    if text == "*" {
        return Err("'*' can only stand for the last arguments".to_string());
    }
    let ty = DataType::parse(text).map_err(|e| format!("'{text}' is no type: {e}"))?;
    supported(&ty)?;
    Ok(ty)
}

/// The parts between the commas that are in no brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (i, c) in text.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() || !found.is_empty() {
        found.push(last);
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(kind: Kind, text: &str) -> String {
        let s = Signature::parse(kind, text).unwrap();
        let list = |types: &[DataType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        format!("{}|{}|{}", list(&s.arguments), s.rest, list(&s.returns))
    }

    // MaxCompute documentation, "Develop Python 3 UDFs", the section on function signatures.
    #[test]
    fn signatures_are_read() {
        assert_eq!(shown(Kind::Scalar, "bigint,double->string"), "bigint double|false|string");
        assert_eq!(shown(Kind::Scalar, "*->string"), "|true|string");
        assert_eq!(shown(Kind::Scalar, "->double"), "|false|double");
        assert_eq!(
            shown(Kind::Scalar, "array<bigint>,struct<a:string,b:array<string>>,decimal(10,2)->map<bigint,string>"),
            "array<bigint> struct<a:string,b:array<string>> decimal(10,2)|false|map<bigint,string>"
        );
        assert_eq!(shown(Kind::Table, "STRING, BIGINT -> STRING, BIGINT"), "string bigint|false|string bigint");
    }

    #[test]
    fn what_is_no_signature_is_refused_with_the_reason() {
        for (text, words) in [
            ("bigint", "no '->'"),
            ("bigint->", "no result"),
            ("bigint,,bigint->bigint", "'' is no type"),
            ("*,bigint->bigint", "last arguments"),
            ("bigint->void", "'void' is no type"),
            ("bigint->bigint,string", "only a BaseUDTF"),
            ("timestamp->bigint", "TIMESTAMP"),
            ("bigint->varchar(3)", "VARCHAR(3)"),
            ("bigint->array<struct<a:char(3)>>", "CHAR(3)"),
        ] {
            let said = Signature::parse(Kind::Scalar, text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
