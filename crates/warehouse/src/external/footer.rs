//! A look at the footer of a Parquet file before its reader, which recurses into columns and believes what lists claim.
//!
//! A footer is a struct of Thrift's compact protocol. Its second field lists the columns, each group before its members.

/// Groups of columns may be nested so deep.
const MAX_DEPTH: usize = 100;
/// A file has at most so many columns and groups of them.
const MAX_COLUMNS: u64 = 100_000;
/// Values of the footer may be nested so deep; those of the format need about ten levels.
const MAX_LEVELS: usize = 32;

pub(super) const DAMAGED: &str = "its footer, or what stands before a page, is damaged";

// Types of fields.
pub(super) const I32: u8 = 5;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
pub(super) const STRUCT: u8 = 12;

// Fields of the footer, and of a column.
const VERSION: i16 = 1;
const SCHEMA: i16 = 2;
const NUM_CHILDREN: i16 = 5;

pub(super) type Read<T> = Result<T, &'static str>;

/// The error is what is wrong with the footer.
pub(super) fn check(footer: &[u8]) -> Read<()> {
    let (mut bytes, mut last) = (Thrift(footer), 0);
    while let Some((id, kind)) = bytes.field(&mut last)? {
        match (id, kind) {
            (SCHEMA, LIST) => bytes.columns()?,
            (SCHEMA, _) => return Err(DAMAGED),
            (VERSION, kind) if kind != I32 => return Err(DAMAGED),
            _ => bytes.skip(kind, 0)?,
        }
    }
    Ok(())
}

/// What is still to be read.
pub(super) struct Thrift<'a>(pub(super) &'a [u8]);

impl Thrift<'_> {
    fn columns(&mut self) -> Read<()> {
        let (kind, len) = self.list()?;
        if kind != STRUCT {
            return Err(DAMAGED);
        }
        if len > MAX_COLUMNS {
            return Err("it has too many columns");
        }
        // How many members of each group are still to come.
        let mut open: Vec<u64> = Vec::new();
        for _ in 0..len {
            let members = self.column()?;
            if members > len {
                return Err(DAMAGED);
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if members > 0 {
                open.push(members);
            }
            if open.len() > MAX_DEPTH {
                return Err("its columns are nested too deeply");
            }
            while open.last() == Some(&0) {
                open.pop();
            }
        }
        Ok(())
    }

    /// How many members the next column has.
    fn column(&mut self) -> Read<u64> {
        let (mut members, mut last) = (0, 0);
        while let Some((id, kind)) = self.field(&mut last)? {
            match (id, kind) {
                (NUM_CHILDREN, I32) => members = u64::try_from(self.number()?).map_err(|_| DAMAGED)?,
                (1..=3 | 6..=9, I32) | (4, BINARY) | (10, STRUCT) => self.skip(kind, 0)?,
                // The reader goes by the number alone.
                (1..=10, _) => return Err(DAMAGED),
                _ => self.skip(kind, 0)?,
            }
        }
        Ok(members)
    }

    /// Number and type of the next field of a struct; `None` at its end. `last` is the number of the field before.
    pub(super) fn field(&mut self, last: &mut i16) -> Read<Option<(i16, u8)>> {
        let head = self.byte()?;
        if head & 0x0f == 0 {
            return Ok(None);
        }
        *last = match head >> 4 {
            0 => i16::try_from(self.number()?).map_err(|_| DAMAGED)?,
            delta => last.checked_add(i16::from(delta)).ok_or(DAMAGED)?,
        };
        Ok(Some((*last, head & 0x0f)))
    }

    /// Type and number of the elements of a list.
    fn list(&mut self) -> Read<(u8, u64)> {
        let head = self.byte()?;
        let len = match head >> 4 {
            15 => self.varint()?,
            len => u64::from(len),
        };
        Ok((head & 0x0f, len))
    }

    /// Passes over a value. Each element of a list takes a byte at least, so that a list has no more than it claims.
    pub(super) fn skip(&mut self, kind: u8, level: usize) -> Read<()> {
        if level >= MAX_LEVELS {
            return Err(DAMAGED);
        }
        match kind {
            // The type is the value.
            1 | 2 => Ok(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            BINARY => {
                let len = self.varint()?;
                self.pass(len)
            }
            LIST | SET => {
                let (kind, len) = self.list()?;
                if len > 0 && matches!(kind, 1 | 2) {
                    return Err(DAMAGED);
                }
                for _ in 0..len {
                    self.skip(kind, level + 1)?;
                }
                Ok(())
            }
            STRUCT => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, level + 1)?;
                }
                Ok(())
            }
            // No footer has maps.
            _ => Err(DAMAGED),
        }
    }

    pub(super) fn pass(&mut self, len: u64) -> Read<()> {
        let len = usize::try_from(len).map_err(|_| DAMAGED)?;
        self.0 = self.0.get(len..).ok_or(DAMAGED)?;
        Ok(())
    }

    fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.0.split_first().ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number with a sign.
    pub(super) fn number(&mut self) -> Read<i32> {
        let value = self.varint()?;
        let value = u32::try_from(value).map_err(|_| DAMAGED)?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    fn varint(&mut self) -> Read<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DAMAGED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1, and a column in so many groups (Apache Thrift, "Thrift compact protocol"; parquet.thrift).
    fn nested(groups: u16) -> Vec<u8> {
        let columns = groups + 1;
        let mut bytes = vec![0x15, 0x02, 0x19, 0xfc, (columns & 0x7f) as u8 | 0x80, (columns >> 7) as u8];
        for _ in 0..groups {
            // Required, a name, one member.
            bytes.extend([0x35, 0x00, 0x18, 0x01, b'g', 0x15, 0x02, 0x00]);
        }
        // INT32, optional, a name.
        bytes.extend([0x15, 0x02, 0x25, 0x02, 0x18, 0x01, b'a', 0x00]);
        bytes.push(0x00);
        bytes
    }

    #[test]
    fn columns_are_nested_as_deep_as_recursion_may_go() {
        assert_eq!(check(&nested(1)), Ok(()));
        assert_eq!(check(&nested(100)), Ok(()));
        assert_eq!(check(&nested(101)), Err("its columns are nested too deeply"));
        assert_eq!(check(&nested(10_000)), Err("its columns are nested too deeply"));
    }

    #[test]
    fn what_a_list_claims_is_there() {
        let whole = nested(2);
        for len in 0..whole.len() {
            assert_eq!(check(&whole[..len]), Err(DAMAGED), "{len} bytes");
        }
        // Two thousand million columns, row groups, and members of a group.
        let most = [0xff, 0xff, 0xff, 0xff, 0x07];
        assert_eq!(check(&[[0x15, 0x02, 0x19, 0xfc].as_slice(), &most].concat()), Err("it has too many columns"));
        assert_eq!(check(&[[0x15, 0x02, 0x39, 0xfc].as_slice(), &most].concat()), Err(DAMAGED));
        let group = [0x15, 0x02, 0x19, 0x1c, 0x48, 0x00, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x00];
        assert_eq!(check(&group), Err(DAMAGED));
    }
}
