//! Strings: pieces, cases, padding, searching. Positions and lengths count characters from 1.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use crate::cast::double_text;
use crate::coercion::{Param, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, Texts, owned};

const TEXT: Returns = Returns::Type(DataType0::Text);
const BIG: Returns = Returns::Type(DataType0::Big);

/// Results longer than this are refused, as MaxCompute does.
const MAX_BYTES: usize = 8 << 20;

pub(crate) const DOCS: &[Entry] = &[
    ("ascii", "ascii(text)", "The code of the first character."),
    ("char_matchcount", "char_matchcount(a, b)", "How many characters of `a` occur in `b`."),
    ("chr", "chr(n)", "The character with code n, from 0 to 127."),
    ("concat_ws", "concat_ws(separator, value | array, …)", "Texts and items of arrays with a separator between them."),
    ("find_in_set", "find_in_set(text, list[, separator])", "The place of a text in a list with commas, or 0."),
    ("initcap", "initcap(text)", "Every word with a capital letter."),
    ("instr", "instr(text, part[, start[, nth]])", "Where a part stands, or 0; a negative start counts from the end."),
    ("length", "length(text | binary)", "How many characters, or bytes of a BINARY."),
    ("lengthb", "lengthb(text | binary)", "How many bytes."),
    ("locate", "locate(part, text[, start])", "Where a part stands, or 0."),
    ("lower", "lower(text)", "The text in lower case."),
    ("lpad", "lpad(text, length, fill)", "The text filled up on the left, or cut, to a length."),
    ("ltrim", "ltrim(text[, characters])", "The text without blanks, or such characters, on the left."),
    ("repeat", "repeat(text, n)", "The text n times."),
    ("replace", "replace(text, old, new)", "The text with every `old` replaced."),
    ("rpad", "rpad(text, length, fill)", "The text filled up on the right, or cut, to a length."),
    ("rtrim", "rtrim(text[, characters])", "The text without blanks, or such characters, on the right."),
    ("space", "space(n)", "n blanks."),
    ("split_part", "split_part(text, separator, start[, end])", "One part, or the parts from start to end."),
    ("substr", "substr(text, start[, length])", "Characters from a position; -1 is the last one."),
    ("substring", "substring(text, start[, length])", "The same as SUBSTR."),
    (
        "substring_index",
        "substring_index(text, separator, n)",
        "What is before the nth separator; from the right if negative.",
    ),
    ("tolower", "tolower(text)", "The same as LOWER."),
    ("toupper", "toupper(text)", "The same as UPPER."),
    ("translate", "translate(text, from, to)", "Each character of `from` replaced by the one at its place in `to`."),
    ("trim", "trim(text[, characters])", "The text without blanks, or such characters, on both sides."),
    ("upper", "upper(text)", "The text in upper case."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::{Any, Big, Bytes, Text};
    let mut all = vec![
        Function::new("ascii", &[Text], BIG, |c| {
            let s = c.texts(0)?;
            c.make_big(|i| Ok(s.get(i).map(|s| s.chars().next().map_or(0, |c| i64::from(u32::from(c))))))
        }),
        Function::new("chr", &[Big], TEXT, chr),
        Function::new("char_matchcount", &[Text, Text], BIG, |c| {
            let (a, b) = (c.texts(0)?, c.texts(1)?);
            c.make_big(|i| Ok(a.get(i).zip(b.get(i)).map(|(a, b)| a.chars().filter(|x| b.contains(*x)).count() as i64)))
        }),
        Function::new("concat_ws", &[Text, Any], TEXT, concat_ws).rest(Any),
        Function::new("find_in_set", &[Text, Text], BIG, find_in_set).optional(&[Text]),
        Function::new("initcap", &[Text], TEXT, initcap),
        Function::new("instr", &[Text, Text], BIG, |c| instr(c, 0, 1)).optional(&[Big, Big]),
        Function::new("locate", &[Text, Text], BIG, |c| instr(c, 1, 0)).optional(&[Big]),
        Function::new("length", &[Bytes], BIG, length),
        Function::new("lengthb", &[Bytes], BIG, lengthb),
        Function::new("lpad", &[Text, Big, Text], TEXT, |c| pad(c, true)),
        Function::new("rpad", &[Text, Big, Text], TEXT, |c| pad(c, false)),
        Function::new("ltrim", &[Text], TEXT, |c| trim(c, true, false)).optional(&[Text]),
        Function::new("rtrim", &[Text], TEXT, |c| trim(c, false, true)).optional(&[Text]),
        Function::new("trim", &[Text], TEXT, |c| trim(c, true, true)).optional(&[Text]),
        Function::new("repeat", &[Text, Big], TEXT, repeat),
        Function::new("replace", &[Text, Text, Text], TEXT, replace),
        Function::new("space", &[Big], TEXT, |c| {
            let n = c.bigs(0)?;
            c.make_text(|i| n.get(i).map_or(Ok(None), |n| owned(" ".repeat(bounded(c, n, 1)?))))
        }),
        Function::new("split_part", &[Text, Text, Big], TEXT, split_part).optional(&[Big]),
        Function::new("substring_index", &[Text, Text, Big], TEXT, substring_index),
        Function::new("translate", &[Text, Text, Text], TEXT, translate),
    ];
    for name in ["lower", "tolower"] {
        all.push(Function::new(name, &[Text], TEXT, |c| each(c, |s| s.to_lowercase())));
    }
    for name in ["upper", "toupper"] {
        all.push(Function::new(name, &[Text], TEXT, |c| each(c, |s| s.to_uppercase())));
    }
    for name in ["substr", "substring"] {
        all.push(Function::new(name, &[Text, Big], TEXT, substr).optional(&[Big]));
    }
    // What TRIM(BOTH x FROM s) is called inside DataFusion.
    all.push(Function::new("btrim", &[Text], TEXT, |c| trim(c, true, true)).optional(&[Text]));
    all
}

fn each(call: &Call<'_>, f: fn(&str) -> String) -> Result<ArrayRef> {
    let s = call.texts(0)?;
    call.make_text(|i| s.get(i).map_or(Ok(None), |s| owned(f(s))))
}

fn chr(call: &Call<'_>) -> Result<ArrayRef> {
    let n = call.bigs(0)?;
    call.make_text(|i| match n.get(i) {
        None => Ok(None),
        Some(n @ 0..=127) => owned(char::from(n as u8).to_string()),
        Some(n @ 128..=255) => Err(FunctionError::range(format!("chr({n}): bytes above 127 are no UTF-8 text")).into()),
        Some(n) => Err(FunctionError::range(format!("chr({n}): the argument must be from 0 to 255")).into()),
    })
}

/// Joins values, and the elements of arrays of text; any NULL makes the result NULL.
fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let separator = call.texts(0)?;
    let mut columns = Vec::new();
    for i in 1..call.count() {
        let column = call.array(i)?;
        let list = match column.data_type() {
            DataType::List(f) if crate::coercion::is_text(f.data_type()) => true,
            DataType::List(_) | DataType::Boolean | DataType::Map(..) | DataType::Struct(_) => {
                let has = type_name(column.data_type());
                return Err(FunctionError::argument_type("concat_ws", i + 1, &has, "STRING or ARRAY<STRING>").into());
            }
            _ => false,
        };
        let texts = if list { None } else { Some(crate::cast::texts(&column, &call.context)?) };
        columns.push((column, texts));
    }
    call.make_text(|row| {
        let Some(separator) = separator.get(row) else { return Ok(None) };
        let mut parts: Vec<String> = Vec::new();
        for (column, texts) in &columns {
            if column.is_null(row) {
                return Ok(None);
            }
            match texts {
                Some(t) => parts.push(t.value(row).to_string()),
                None => {
                    let items = arrow::compute::cast(&column.as_list::<i32>().value(row), &DataType::Utf8)?;
                    for item in items.as_string::<i32>() {
                        match item {
                            Some(item) => parts.push(item.to_string()),
                            None => return Ok(None),
                        }
                    }
                }
            }
        }
        owned(parts.join(separator))
    })
}

fn find_in_set(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, list) = (call.texts(0)?, call.texts(1)?);
    let delimiter = if call.count() > 2 { Some(call.texts(2)?) } else { None };
    call.make_big(|i| {
        let delimiter = match &delimiter {
            None => ",",
            Some(d) => match d.get(i) {
                Some(d) if !d.is_empty() => d,
                Some(_) => return Err(FunctionError::arguments("find_in_set: the delimiter must not be empty").into()),
                None => return Ok(None),
            },
        };
        let find = |(s, l): (&str, &str)| l.split(delimiter).position(|x| x == s).map_or(0, |p| p as i64 + 1);
        Ok(s.get(i).zip(list.get(i)).map(find))
    })
}

fn initcap(call: &Call<'_>) -> Result<ArrayRef> {
    each(call, |s| {
        let mut start = true;
        let mut out = String::with_capacity(s.len());
        for c in s.chars() {
            if start {
                out.extend(c.to_uppercase())
            } else {
                out.extend(c.to_lowercase())
            }
            start = c == ' ';
        }
        out
    })
}

/// Byte offset of the character with index `n`, or the end.
fn offset(s: &str, n: usize) -> usize {
    s.char_indices().nth(n).map_or(s.len(), |(at, _)| at)
}

/// The position of the `nth` occurrence at or after the character `start` (negative: backwards from the end).
fn position(s: &str, sub: &str, start: i64, nth: i64) -> i64 {
    let count = s.chars().count() as i64;
    let found = |at: usize| s[..at].chars().count() as i64 + 1;
    if start < 0 {
        let last = count + start;
        let mut nth = nth;
        for (index, (at, _)) in s.char_indices().enumerate().collect::<Vec<_>>().into_iter().rev() {
            if index as i64 <= last && s[at..].starts_with(sub) {
                nth -= 1;
                if nth == 0 {
                    return index as i64 + 1;
                }
            }
        }
        return 0;
    }
    let mut from = offset(s, (start - 1) as usize);
    if start - 1 > count {
        return 0;
    }
    for n in 1..=nth {
        match s[from..].find(sub) {
            None => return 0,
            Some(at) if n == nth => return found(from + at),
            Some(at) => {
                let hit = from + at;
                from = hit + s[hit..].chars().next().map_or(1, char::len_utf8);
                if from > s.len() {
                    return 0;
                }
            }
        }
    }
    0
}

fn instr(call: &Call<'_>, text: usize, sub: usize) -> Result<ArrayRef> {
    let (s, sub) = (call.texts(text)?, call.texts(sub)?);
    let start = if call.count() > 2 { Some(call.bigs(2)?) } else { None };
    let nth = if call.count() > 3 { Some(call.bigs(3)?) } else { None };
    call.make_big(|i| {
        let number = |n: &Option<crate::kernel::Numbers<arrow::datatypes::Int64Type>>| match n {
            None => Some(1),
            Some(n) => n.get(i),
        };
        let (Some(s), Some(sub), Some(start), Some(nth)) = (s.get(i), sub.get(i), number(&start), number(&nth)) else {
            return Ok(None);
        };
        if start == 0 || nth <= 0 {
            let text = format!("{}: position {start} and occurrence {nth} must count from 1", call.name);
            return if call.context.strict { Err(FunctionError::range(text).into()) } else { Ok(None) };
        }
        Ok(Some(position(s, sub, start, nth)))
    })
}

fn length(call: &Call<'_>) -> Result<ArrayRef> {
    let a = call.array(0)?;
    if *a.data_type() == DataType::Binary {
        return lengthb(call);
    }
    let s = call.texts(0)?;
    call.make_big(|i| Ok(s.get(i).map(|s| s.chars().count() as i64)))
}

fn lengthb(call: &Call<'_>) -> Result<ArrayRef> {
    let a = call.array(0)?;
    let b = crate::cast::binary(&a)?;
    call.make_big(|i| Ok(b.is_valid(i).then(|| b.value(i).len() as i64)))
}

/// `n` as a repetition count of something of `unit` bytes.
fn bounded(call: &Call<'_>, n: i64, unit: usize) -> Result<usize> {
    let n = usize::try_from(n.max(0)).unwrap_or(usize::MAX);
    if n.saturating_mul(unit.max(1)) > MAX_BYTES {
        return Err(FunctionError::range(format!("{}: the result is longer than {MAX_BYTES} bytes", call.name)).into());
    }
    Ok(n)
}

fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef> {
    let (s, n, fill) = (call.texts(0)?, call.bigs(1)?, call.texts(2)?);
    call.make_text(|i| {
        let (Some(s), Some(n), Some(fill)) = (s.get(i), n.get(i), fill.get(i)) else { return Ok(None) };
        if n < 0 {
            return Ok(None);
        }
        let n = bounded(call, n, 4)?;
        let has = s.chars().count();
        if has >= n || fill.is_empty() {
            return owned(&s[..offset(s, n)]);
        }
        let padding: String = fill.chars().cycle().take(n - has).collect();
        owned(if left { padding + s } else { s.to_string() + &padding })
    })
}

/// Without a second argument only blanks go; with one, every character that occurs in it.
fn trim(call: &Call<'_>, left: bool, right: bool) -> Result<ArrayRef> {
    let s = call.texts(0)?;
    let set = if call.count() > 1 { call.texts(1)? } else { Texts::One(Some(" ".to_string())) };
    call.make_text(|i| {
        let (Some(s), Some(set)) = (s.get(i), set.get(i)) else { return Ok(None) };
        let hit = |c: char| set.contains(c);
        let s = if left { s.trim_start_matches(hit) } else { s };
        let s = if right { s.trim_end_matches(hit) } else { s };
        Ok(Some(Cow::Borrowed(s)))
    })
}

fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, n) = (call.texts(0)?, call.bigs(1)?);
    call.make_text(|i| match (s.get(i), n.get(i)) {
        (Some(s), Some(n)) => owned(s.repeat(bounded(call, n, s.len())?)),
        _ => Ok(None),
    })
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, old, new) = (call.texts(0)?, call.texts(1)?, call.texts(2)?);
    call.make_text(|i| {
        let (Some(s), Some(old), Some(new)) = (s.get(i), old.get(i), new.get(i)) else { return Ok(None) };
        if old.is_empty() || !s.contains(old) {
            return Ok(Some(Cow::Borrowed(s)));
        }
        owned(s.replace(old, new))
    })
}

/// Part `start`, or the parts `start..=end` with their separators; outside the range an empty text.
fn split_part(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, separator, start) = (call.texts(0)?, call.texts(1)?, call.bigs(2)?);
    let end = if call.count() > 3 { Some(call.bigs(3)?) } else { None };
    call.make_text(|i| {
        let (Some(s), Some(sep), Some(start)) = (s.get(i), separator.get(i), start.get(i)) else { return Ok(None) };
        let Some(end) = end.as_ref().map_or(Some(start), |e| e.get(i)) else { return Ok(None) };
        if sep.is_empty() {
            return Ok(Some(Cow::Borrowed(s)));
        }
        let parts: Vec<&str> = s.split(sep).collect();
        let count = parts.len() as i64;
        let place = |n: i64| if n < 0 { count + n } else { n - 1 };
        let (from, to) = (place(start), place(end).min(count - 1));
        if start == 0 || from < 0 || from > to {
            return owned("");
        }
        owned(parts[from as usize..=to as usize].join(sep))
    })
}

fn substring_index(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, separator, n) = (call.texts(0)?, call.texts(1)?, call.bigs(2)?);
    call.make_text(|i| {
        let (Some(s), Some(sep), Some(n)) = (s.get(i), separator.get(i), n.get(i)) else { return Ok(None) };
        if sep.is_empty() || n == 0 {
            return owned("");
        }
        let parts: Vec<&str> = s.split(sep).collect();
        let keep = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX).min(parts.len());
        owned(if n > 0 { parts[..keep].join(sep) } else { parts[parts.len() - keep..].join(sep) })
    })
}

fn substr(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, start) = (call.texts(0)?, call.bigs(1)?);
    let len = if call.count() > 2 { Some(call.bigs(2)?) } else { None };
    call.make_text(|i| {
        let (Some(s), Some(start)) = (s.get(i), start.get(i)) else { return Ok(None) };
        let Some(len) = len.as_ref().map_or(Some(i64::MAX), |l| l.get(i)) else { return Ok(None) };
        // Position 0 is before the text.
        if start == 0 || len <= 0 {
            return owned("");
        }
        let from = if start > 0 {
            usize::try_from(start - 1).unwrap_or(usize::MAX)
        } else {
            let count = s.chars().count() as i64;
            if count + start < 0 {
                return owned("");
            }
            (count + start) as usize
        };
        let rest = &s[offset(s, from)..];
        let end = usize::try_from(len).map_or(rest.len(), |len| offset(rest, len));
        Ok(Some(Cow::Borrowed(&rest[..end])))
    })
}

/// Character by character; characters of `from` without a partner in `to` vanish.
fn translate(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, from, to) = (call.texts(0)?, call.texts(1)?, call.texts(2)?);
    call.make_text(|i| {
        let (Some(s), Some(from), Some(to)) = (s.get(i), from.get(i), to.get(i)) else { return Ok(None) };
        let swap = |c: char| match from.chars().position(|f| f == c) {
            None => Some(c),
            Some(at) => to.chars().nth(at),
        };
        owned(s.chars().filter_map(swap).collect::<String>())
    })
}

/// TO_CHAR of something that is no time.
pub(crate) fn to_char(call: &Call<'_>, array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Float64 => {
            let v = array.as_primitive::<arrow::datatypes::Float64Type>();
            call.make_text(|i| if v.is_null(i) { Ok(None) } else { owned(double_text(v.value(i))) })
        }
        _ => Ok(std::sync::Arc::new(crate::cast::texts(array, &call.context)?)),
    }
}
