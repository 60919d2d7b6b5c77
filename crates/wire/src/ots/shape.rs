//! A first look at a protobuf message: every field is of its type, and the required ones are there.
//!
//! The decoder behind it takes a missing field for an empty one, and a number that an enum does not have for its first
//! value. Here they are errors that name the field.
//!
//! A field that is not known is passed over, as the service does: clients send hints with every request, and newer ones
//! send more of them. There are two exceptions, where less would be done than was asked for: fields that clients are
//! known to have and that are refused by name, and messages that say which rows and versions are meant, of which
//! nothing may be passed over.

use feitian_base::Result;

use super::errors::parameter_invalid;

/// Fields in a message, those of inner messages included. A batch that asks for 1024 columns of each of 100 rows has
/// fewer.
const MAX_FIELDS: usize = 1 << 18;
/// Messages in a message. One takes up to 150 times the two bytes that it may have on the wire.
const MAX_MESSAGES: usize = 1 << 14;

/// What a message looks like. Shapes do not contain themselves, so depth has a bound.
pub struct Shape {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

pub struct Field {
    number: u32,
    required: bool,
    what: What,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub enum What {
    /// Any number of variable length.
    Number,
    /// A number that is one of these.
    Enum(&'static [i32]),
    Bytes,
    Text,
    Message(&'static Shape),
    /// A message of which every field must be known.
    Exact(&'static Shape),
    /// What is called so is not done here.
    Refused(&'static str),
}

/// A field that must be there.
pub(super) const fn must(number: u32, what: What) -> Field {
    Field { number, required: true, what }
}

/// A field that may be left out, or be there several times if the message repeats it.
pub(super) const fn may(number: u32, what: What) -> Field {
    Field { number, required: false, what }
}

/// A field that asks for what is not done here.
pub(super) const fn no(number: u32, called: &'static str) -> Field {
    Field { number, required: false, what: What::Refused(called) }
}

/// Refuses bytes that are not a message of this shape.
pub(super) fn check(shape: &Shape, bytes: &[u8]) -> Result<()> {
    let mut left = Left { fields: MAX_FIELDS, messages: MAX_MESSAGES };
    walk(shape, false, bytes, &mut left)
}

/// The same for a message of which every field must be known.
pub(super) fn check_exact(shape: &Shape, bytes: &[u8]) -> Result<()> {
    let mut left = Left { fields: MAX_FIELDS, messages: MAX_MESSAGES };
    walk(shape, true, bytes, &mut left)
}

struct Left {
    fields: usize,
    messages: usize,
}

fn walk(shape: &Shape, exact: bool, mut bytes: &[u8], left: &mut Left) -> Result<()> {
    let name = shape.name;
    let many = |what: &str| parameter_invalid(format!("The message has too many {what}, the last ones in {name}."));
    left.messages = left.messages.checked_sub(1).ok_or_else(|| many("parts"))?;
    // One bit for each field of the shape.
    let mut seen = 0_u64;
    while !bytes.is_empty() {
        left.fields = left.fields.checked_sub(1).ok_or_else(|| many("fields"))?;
        let key = varint(&mut bytes, name)?;
        let (number, wire) = (key >> 3, key & 7);
        let at = shape.fields.iter().position(|field| u64::from(field.number) == number);
        match at {
            Some(at) => {
                field(&shape.fields[at], wire, &mut bytes, name, left)?;
                seen |= 1_u64 << at;
            }
            None if exact => {
                return Err(parameter_invalid(format!("{name} has a field {number}, which is not supported.")));
            }
            None => skip(number, wire, &mut bytes, name)?,
        }
    }
    let missing = shape.fields.iter().enumerate().find(|(at, field)| field.required && seen & (1_u64 << *at) == 0);
    missing.map_or(Ok(()), |(_, field)| Err(parameter_invalid(format!("{name} lacks its field {}.", field.number))))
}

fn field(field: &Field, wire: u64, bytes: &mut &[u8], name: &str, left: &mut Left) -> Result<()> {
    let number = field.number;
    match (field.what, wire) {
        (What::Number, 0) => varint(bytes, name).map(|_| ()),
        (What::Enum(values), 0) => {
            let value = varint(bytes, name)? as i64;
            if values.iter().any(|&known| i64::from(known) == value) {
                return Ok(());
            }
            Err(parameter_invalid(format!("The field {number} of {name} is {value}, which is not supported.")))
        }
        (What::Bytes, 2) => piece(bytes, name).map(|_| ()),
        (What::Text, 2) => {
            let text = std::str::from_utf8(piece(bytes, name)?);
            text.map(|_| ()).map_err(|_| parameter_invalid(format!("The field {number} of {name} is not UTF-8.")))
        }
        (What::Message(shape), 2) => walk(shape, false, piece(bytes, name)?, left),
        (What::Exact(shape), 2) => walk(shape, true, piece(bytes, name)?, left),
        (What::Refused(called), _) => {
            Err(parameter_invalid(format!("{name} has a field '{called}', which is not supported.")))
        }
        _ => Err(parameter_invalid(format!("The field {number} of {name} has the wire type {wire} of another type."))),
    }
}

/// Passes over a field that is not known.
fn skip(number: u64, wire: u64, bytes: &mut &[u8], name: &str) -> Result<()> {
    let fixed = match wire {
        _ if number == 0 => return Err(parameter_invalid(format!("{name} has a field 0, which no message has."))),
        0 => return varint(bytes, name).map(|_| ()),
        2 => return piece(bytes, name).map(|_| ()),
        1 => 8,
        5 => 4,
        // Groups nest as deep as their sender likes, and no client has them.
        _ => {
            let why = format!("The field {number} of {name} has the wire type {wire}, which is not supported.");
            return Err(parameter_invalid(why));
        }
    };
    let (_, rest) = bytes.split_at_checked(fixed).ok_or_else(|| ends_early(name))?;
    *bytes = rest;
    Ok(())
}

fn ends_early(name: &str) -> feitian_base::Error {
    parameter_invalid(format!("{name} ends early."))
}

fn varint(bytes: &mut &[u8], name: &str) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| ends_early(name))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(parameter_invalid(format!("A number in {name} is longer than 64 bits.")))
}

/// A length and as many bytes.
fn piece<'a>(bytes: &mut &'a [u8], name: &str) -> Result<&'a [u8]> {
    let length = varint(bytes, name)?;
    let length = usize::try_from(length).map_err(|_| ends_early(name))?;
    let (piece, rest) = bytes.split_at_checked(length).ok_or_else(|| ends_early(name))?;
    *bytes = rest;
    Ok(piece)
}
