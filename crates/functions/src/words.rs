//! Texts with a form of their own: key-value lists, the sound of words.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use datafusion::common::Result;

use crate::coercion::Param;
use crate::docs::Entry;
use crate::kernel::{Call, DataType0, Function, Returns, owned};

const TEXT: Returns = Returns::Type(DataType0::Text);

pub(crate) const DOCS: &[Entry] = &[
    (
        "keyvalue",
        "keyvalue(text[, between, sign], key)",
        "The value of a key in `k:v;k:v`; the separators may be given.",
    ),
    ("soundex", "soundex(text)", "The sound of an English word as a letter and three digits."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::Text;
    vec![
        Function::new("keyvalue", &[Text, Text], TEXT, keyvalue).optional(&[Text, Text]),
        Function::new("soundex", &[Text], TEXT, |c| {
            let s = c.texts(0)?;
            c.make_text(|i| s.get(i).map_or(Ok(None), |s| owned(soundex(s))))
        }),
    ]
}

/// MaxCompute documentation of KEYVALUE: parts at `;`, keys before `:`, the first match counts.
fn keyvalue(call: &Call<'_>) -> Result<ArrayRef> {
    if call.count() == 3 {
        return Err(crate::error::FunctionError::arity(call.name, "2 or 4", 3).into());
    }
    let own = call.count() == 4;
    let text = call.texts(0)?;
    let between = if own { call.texts(1)? } else { call.texts_or(4, ";")? };
    let sign = if own { call.texts(2)? } else { call.texts_or(4, ":")? };
    let key = call.texts(if own { 3 } else { 1 })?;
    call.make_text(|i| {
        let (Some(text), Some(key)) = (text.get(i), key.get(i)) else { return Ok(None) };
        let (Some(between), Some(sign)) = (between.get(i), sign.get(i)) else { return Ok(None) };
        if between.is_empty() || sign.is_empty() {
            return Ok(None);
        }
        let mut pairs = text.split(between).filter_map(|pair| pair.split_once(sign));
        Ok(pairs.find(|(k, _)| *k == key).map(|(_, v)| Cow::Borrowed(v)))
    })
}

/// American Soundex: H and W do not part letters of one digit, vowels do.
fn soundex(text: &str) -> String {
    let digit = |c: char| match c {
        'B' | 'F' | 'P' | 'V' => Some('1'),
        'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => Some('2'),
        'D' | 'T' => Some('3'),
        'L' => Some('4'),
        'M' | 'N' => Some('5'),
        'R' => Some('6'),
        _ => None,
    };
    let mut letters = text.chars().map(|c| c.to_ascii_uppercase());
    let Some(first) = letters.next() else { return String::new() };
    // What does not begin with a letter has no sound, as in Spark.
    if !first.is_ascii_uppercase() {
        return text.to_string();
    }
    let (mut out, mut last) = (String::from(first), digit(first));
    for c in letters {
        if matches!(c, 'H' | 'W') {
            continue;
        }
        let now = digit(c);
        if let Some(d) = now.filter(|_| now != last) {
            out.push(d);
        }
        last = now;
        if out.len() == 4 {
            break;
        }
    }
    format!("{out:0<4}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // The National Archives, "Soundex System": examples of the rules.
    #[test]
    fn words_sound() {
        for (word, sound) in [
            ("Washington", "W252"),
            ("Lee", "L000"),
            ("Gutierrez", "G362"),
            ("Pfister", "P236"),
            ("Jackson", "J250"),
            ("Tymczak", "T522"),
            ("Ashcraft", "A261"),
            ("hello", "H400"),
        ] {
            assert_eq!(soundex(word), sound, "{word}");
        }
    }
}
