//! Checksums and encodings: MD5, SHA, CRC32, BASE64, URLs, UUID.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder};
use arrow::datatypes::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha1::Digest;

use crate::coercion::Param;
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, owned};

const TEXT: Returns = Returns::Type(DataType0::Text);
const BINARY: Returns = Returns::Type(DataType0::Binary);

/// What application/x-www-form-urlencoded leaves alone.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');

pub(crate) const DOCS: &[Entry] = &[
    ("base64", "base64(binary)", "The bytes in Base64."),
    ("compress", "compress(text | binary)", "The bytes compressed with gzip."),
    ("crc32", "crc32(text | binary)", "The CRC-32 checksum, as BIGINT."),
    ("decompress", "decompress(binary)", "What COMPRESS was given."),
    ("mask_hash", "mask_hash(text)", "The SHA-256 digest in hexadecimal; NULL for what is no text."),
    ("md5", "md5(text | binary)", "The MD5 digest in hexadecimal."),
    ("sha", "sha(text | binary)", "The SHA-1 digest in hexadecimal."),
    ("sha1", "sha1(text | binary)", "The same as SHA."),
    ("sha2", "sha2(text | binary, bits)", "The SHA-2 digest of 224, 256, 384 or 512 bits in hexadecimal; 0 is 256."),
    ("unbase64", "unbase64(text)", "The bytes that a Base64 text says."),
];

/// DECOMPRESS refuses results longer than this, whatever the compressed bytes claim.
const MAX_INFLATED: u64 = 64 << 20;

pub(crate) fn functions() -> Vec<Function> {
    use Param::{Big, Bytes, Text};
    let mut all = vec![
        Function::new("md5", &[Bytes], TEXT, |c| digests(c, |b| hex(&md5::Md5::digest(b)))),
        Function::new("mask_hash", &[Param::Any], TEXT, |c| match c.array(0)?.data_type() {
            DataType::Utf8 | DataType::Binary => digests(c, |b| hex(&sha2::Sha256::digest(b))),
            _ => c.make_text(|_| Ok(None)),
        }),
        Function::new("compress", &[Bytes], BINARY, compress),
        Function::new("decompress", &[Bytes], BINARY, decompress),
        Function::new("sha2", &[Bytes, Big], TEXT, sha2),
        Function::new("crc32", &[Bytes], Returns::Type(DataType0::Big), |c| {
            let b = crate::cast::binary(&c.array(0)?)?;
            c.make_big(|i| Ok(b.is_valid(i).then(|| crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, b.value(i)) as i64)))
        }),
        Function::new("base64", &[Bytes], TEXT, |c| digests(c, |b| STANDARD.encode(b))),
        Function::new("unbase64", &[Text], BINARY, unbase64),
        Function::new("url_encode", &[Text], TEXT, url_encode).optional(&[Text]),
        Function::new("url_decode", &[Text], TEXT, url_decode).optional(&[Text]),
        Function::new("uuid", &[], TEXT, uuid).volatility(Volatility::Volatile),
    ];
    for name in ["sha", "sha1"] {
        all.push(Function::new(name, &[Bytes], TEXT, |c| digests(c, |b| hex(&sha1::Sha1::digest(b)))));
    }
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

fn digests(call: &Call<'_>, f: fn(&[u8]) -> String) -> Result<ArrayRef> {
    let b = crate::cast::binary(&call.array(0)?)?;
    call.make_text(|i| if b.is_valid(i) { owned(f(b.value(i))) } else { Ok(None) })
}

fn sha2(call: &Call<'_>) -> Result<ArrayRef> {
    let (b, bits) = (crate::cast::binary(&call.array(0)?)?, call.bigs(1)?);
    call.make_text(|i| {
        let (true, Some(bits)) = (b.is_valid(i), bits.get(i)) else { return Ok(None) };
        let v = b.value(i);
        owned(match bits {
            224 => hex(&sha2::Sha224::digest(v)),
            0 | 256 => hex(&sha2::Sha256::digest(v)),
            384 => hex(&sha2::Sha384::digest(v)),
            512 => hex(&sha2::Sha512::digest(v)),
            _ => return Err(FunctionError::range(format!("sha2: {bits} is none of 0, 224, 256, 384, 512")).into()),
        })
    })
}

fn unbase64(call: &Call<'_>) -> Result<ArrayRef> {
    let s = call.texts(0)?;
    let mut out = BinaryBuilder::new();
    for i in 0..call.rows {
        match s.get(i).map(|s| STANDARD.decode(s.trim())) {
            None => out.append_null(),
            Some(Ok(bytes)) => out.append_value(bytes),
            Some(Err(_)) if !call.context.strict => out.append_null(),
            Some(Err(e)) => return Err(FunctionError::arguments(format!("unbase64: {e}")).into()),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn compress(call: &Call<'_>) -> Result<ArrayRef> {
    let b = crate::cast::binary(&call.array(0)?)?;
    call.make_binary(|i| {
        if b.is_null(i) {
            return Ok(None);
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b.value(i))?;
        Ok(Some(encoder.finish()?))
    })
}

fn decompress(call: &Call<'_>) -> Result<ArrayRef> {
    let b = crate::cast::binary(&call.array(0)?)?;
    call.make_binary(|i| {
        if b.is_null(i) {
            return Ok(None);
        }
        let mut out = Vec::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(b.value(i)).take(MAX_INFLATED + 1);
        match decoder.read_to_end(&mut out) {
            Ok(_) if out.len() as u64 > MAX_INFLATED => {
                Err(FunctionError::range(format!("decompress: the result is longer than {MAX_INFLATED} bytes")).into())
            }
            Ok(_) => Ok(Some(out)),
            Err(_) if !call.context.strict => Ok(None),
            Err(e) => Err(FunctionError::arguments(format!("decompress: {e}")).into()),
        }
    })
}

fn only_utf8(call: &Call<'_>) -> Result<()> {
    match if call.count() > 1 { call.literal_text(1)? } else { None } {
        Some(charset) if !charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("utf8") => {
            Err(FunctionError::unsupported(format!("{}: character set '{charset}', use utf-8", call.name)).into())
        }
        _ => Ok(()),
    }
}

fn url_encode(call: &Call<'_>) -> Result<ArrayRef> {
    only_utf8(call)?;
    let s = call.texts(0)?;
    call.make_text(|i| s.get(i).map_or(Ok(None), |s| owned(utf8_percent_encode(s, FORM).to_string().replace(' ', "+"))))
}

fn url_decode(call: &Call<'_>) -> Result<ArrayRef> {
    only_utf8(call)?;
    let s = call.texts(0)?;
    call.make_text(|i| {
        let Some(s) = s.get(i) else { return Ok(None) };
        match percent_decode_str(&s.replace('+', " ")).decode_utf8() {
            Ok(text) => owned(text.into_owned()),
            Err(_) if !call.context.strict => Ok(None),
            Err(_) => Err(FunctionError::arguments(format!("url_decode: '{s}' does not decode to UTF-8")).into()),
        }
    })
}

fn uuid(call: &Call<'_>) -> Result<ArrayRef> {
    call.make_text(|_| Ok(Some(Cow::Owned(uuid::Uuid::new_v4().to_string()))))
}
