//! Character sets: text to bytes and back. UTF-8, UTF-16, ISO-8859-1 and US-ASCII are known.

use arrow::array::{Array, ArrayRef};
use datafusion::common::Result;

use crate::coercion::Param;
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, owned};

pub(crate) const DOCS: &[Entry] = &[
    (
        "decode",
        "decode(binary, charset) | decode(value, a, x[, b, y …][, default])",
        "The text that bytes of a character set are; or the result beside the first equal value, where NULL equals NULL.",
    ),
    ("encode", "encode(text, charset)", "The bytes of a text in a character set, for example `utf-16`."),
    ("from_charset", "from_charset(binary, charset)", "The text that bytes of a character set are."),
    ("is_encoding", "is_encoding(text, from, to)", "Whether a text of one character set fits into another."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::{Bytes, Text, TextOnly};
    vec![
        Function::new("encode", &[TextOnly, Text], Returns::Type(DataType0::Binary), encode),
        Function::new("decode", &[Bytes, Text], Returns::Type(DataType0::Text), from_charset),
        Function::new("from_charset", &[Bytes, Text], Returns::Type(DataType0::Text), from_charset),
        Function::new("is_encoding", &[TextOnly, Text, Text], Returns::Type(DataType0::Bool), is_encoding),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    /// Big-endian; `marked` with a byte order mark in front.
    Utf16 {
        marked: bool,
    },
    Utf16Little,
    /// Every character below this number.
    Byte {
        limit: u32,
    },
}

impl Charset {
    fn parse(call: &Call<'_>, name: &str) -> Result<Self> {
        Ok(match name.trim().to_lowercase().as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "utf-16" | "utf16" => Self::Utf16 { marked: true },
            "utf-16be" => Self::Utf16 { marked: false },
            "utf-16le" => Self::Utf16Little,
            "iso-8859-1" | "latin1" => Self::Byte { limit: 256 },
            "us-ascii" | "ascii" => Self::Byte { limit: 128 },
            _ => {
                let text = format!("{}: character set '{name}'; utf-8, utf-16 and iso-8859-1 are known", call.name);
                return Err(FunctionError::unsupported(text).into());
            }
        })
    }

    /// The bytes of `text`; `None` if it has a character that this set has not.
    fn encode(self, text: &str) -> Option<Vec<u8>> {
        Some(match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16 { marked } => {
                let mark = marked.then_some(0xFEFF_u16);
                mark.into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
            }
            Self::Utf16Little => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Byte { limit } => {
                let byte = |c: char| u8::try_from(u32::from(c)).ok().filter(|_| u32::from(c) < limit);
                text.chars().map(byte).collect::<Option<Vec<u8>>>()?
            }
        })
    }

    /// The text of `bytes`; `None` if they are not of this set.
    fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
            Self::Utf16 { marked } => match bytes {
                [0xFF, 0xFE, rest @ ..] if marked => Self::Utf16Little.decode(rest),
                [0xFE, 0xFF, rest @ ..] if marked => wide(rest, u16::from_be_bytes),
                _ => wide(bytes, u16::from_be_bytes),
            },
            Self::Utf16Little => wide(bytes, u16::from_le_bytes),
            Self::Byte { limit } => bytes.iter().map(|b| (u32::from(*b) < limit).then_some(char::from(*b))).collect(),
        }
    }
}

fn wide(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    String::from_utf16(&units).ok()
}

fn encode(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, charset) = (call.texts(0)?, call.texts(1)?);
    call.make_binary(|i| {
        let (Some(text), Some(name)) = (text.get(i), charset.get(i)) else { return Ok(None) };
        match Charset::parse(call, name)?.encode(text) {
            None if call.context.strict => {
                Err(FunctionError::arguments(format!("encode: the text does not fit into {name}")).into())
            }
            bytes => Ok(bytes),
        }
    })
}

fn from_charset(call: &Call<'_>) -> Result<ArrayRef> {
    let (bytes, charset) = (crate::cast::binary(&call.array(0)?)?, call.texts(1)?);
    call.make_text(|i| {
        let (true, Some(name)) = (bytes.is_valid(i), charset.get(i)) else { return Ok(None) };
        match Charset::parse(call, name)?.decode(bytes.value(i)) {
            Some(text) => owned(text),
            None if call.context.strict => {
                Err(FunctionError::arguments(format!("{}: the bytes are not {name}", call.name)).into())
            }
            None => Ok(None),
        }
    })
}

fn is_encoding(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, from, to) = (call.texts(0)?, call.texts(1)?, call.texts(2)?);
    call.make_bool(|i| {
        let (Some(text), Some(from), Some(to)) = (text.get(i), from.get(i), to.get(i)) else { return Ok(None) };
        let (from, to) = (Charset::parse(call, from)?, Charset::parse(call, to)?);
        Ok(Some(from.decode(text.as_bytes()).is_some_and(|text| to.encode(&text).is_some())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The Unicode Standard: U+4E2D is 4E 2D in UTF-16, U+1F600 a pair of surrogates.
    #[test]
    fn texts_go_through_character_sets() {
        assert_eq!(Charset::Utf16 { marked: true }.encode("中"), Some(vec![0xFE, 0xFF, 0x4E, 0x2D]));
        assert_eq!(Charset::Utf16Little.encode("😀"), Some(vec![0x3D, 0xD8, 0x00, 0xDE]));
        assert_eq!(Charset::Utf16 { marked: true }.decode(&[0xFF, 0xFE, 0x2D, 0x4E]).as_deref(), Some("中"));
        assert_eq!(Charset::Byte { limit: 256 }.encode("é"), Some(vec![0xE9]));
        assert_eq!(Charset::Byte { limit: 128 }.encode("é"), None);
        assert_eq!(Charset::Utf16Little.decode(&[0x00, 0xD8]), None);
    }
}
