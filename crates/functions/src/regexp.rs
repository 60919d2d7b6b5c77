//! Regular expressions: RLIKE, REGEXP_*, SPLIT.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use datafusion::common::Result;
use regex::{Captures, Regex, RegexBuilder};

use crate::coercion::Param;
use crate::docs::Entry as Doc;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Numbers, Returns, Texts, owned};

const TEXT: Returns = Returns::Type(DataType0::Text);
const BIG: Returns = Returns::Type(DataType0::Big);
const BOOL: Returns = Returns::Type(DataType0::Bool);
const TEXTS: Returns = Returns::Type(DataType0::Texts);

/// A compiled pattern may use this much memory; patterns come from users.
const SIZE_LIMIT: usize = 4 << 20;

/// Distinct patterns of one batch that are kept compiled.
const KEEP: usize = 256;

pub(crate) const DOCS: &[Doc] = &[
    ("regexp", "regexp(text, pattern)", "Whether the pattern matches somewhere; the same as `text RLIKE pattern`."),
    ("regexp_count", "regexp_count(text, pattern[, start])", "How many matches."),
    (
        "regexp_extract",
        "regexp_extract(text, pattern[, group])",
        "A group of the first match; 1 unless given, 0 is the match.",
    ),
    ("regexp_extract_all", "regexp_extract_all(text, pattern[, group])", "A group of every match, as an array."),
    (
        "regexp_instr",
        "regexp_instr(text, pattern[, start[, nth[, after]]])",
        "Where the nth match begins, or ends if `after` is 1.",
    ),
    ("regexp_like", "regexp_like(text, pattern)", "The same as REGEXP."),
    ("regexp_replace", "regexp_replace(text, pattern, new[, nth])", "The text with all matches, or the nth, replaced."),
    ("regexp_substr", "regexp_substr(text, pattern[, start[, nth]])", "The nth match; NULL if there is none."),
    ("split", "split(text, pattern[, trim_end])", "The parts between matches, as an array."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::{Big, Bool, TextOnly};
    let mut all = vec![
        Function::new("regexp_count", &[TextOnly, TextOnly], BIG, count).optional(&[Big]),
        Function::new("regexp_extract", &[TextOnly, TextOnly], TEXT, extract).optional(&[Big]),
        Function::new("regexp_extract_all", &[TextOnly, TextOnly], TEXTS, extract_all).optional(&[Big]),
        Function::new("regexp_instr", &[TextOnly, TextOnly], BIG, instr).optional(&[Big, Big, Big]),
        Function::new("regexp_replace", &[TextOnly, TextOnly, TextOnly], TEXT, replace).optional(&[Big]),
        Function::new("regexp_substr", &[TextOnly, TextOnly], TEXT, substr).optional(&[Big, Big]),
        Function::new("split", &[TextOnly, TextOnly], TEXTS, split).optional(&[Bool]),
    ];
    for name in ["rlike", "regexp", "regexp_like"] {
        all.push(Function::new(name, &[TextOnly, TextOnly], BOOL, matches));
    }
    all
}

/// The patterns of one call, each compiled once.
struct Patterns {
    texts: Texts,
    compiled: HashMap<String, Arc<Regex>>,
    name: &'static str,
}

impl Patterns {
    fn of(call: &Call<'_>, index: usize) -> Result<Self> {
        Ok(Self { texts: call.texts(index)?, compiled: HashMap::new(), name: call.name })
    }

    fn get(&mut self, row: usize) -> Result<Option<Arc<Regex>>> {
        let Some(text) = self.texts.get(row) else { return Ok(None) };
        if let Some(found) = self.compiled.get(text) {
            return Ok(Some(found.clone()));
        }
        if text.is_empty() {
            return Err(FunctionError::pattern(format!("{}: the pattern must not be empty", self.name)).into());
        }
        let built = RegexBuilder::new(text).size_limit(SIZE_LIMIT).build().map_err(|e| {
            FunctionError::pattern(format!("{}: {e} (look-around and back-references are not supported)", self.name))
        })?;
        if self.compiled.len() >= KEEP {
            self.compiled.clear();
        }
        let key = text.to_string();
        Ok(Some(match self.compiled.entry(key) {
            Entry::Occupied(found) => found.get().clone(),
            Entry::Vacant(free) => free.insert(Arc::new(built)).clone(),
        }))
    }
}

fn number(n: &Option<Numbers<arrow::datatypes::Int64Type>>, row: usize, default: i64) -> Option<i64> {
    match n {
        None => Some(default),
        Some(n) => n.get(row),
    }
}

fn optional(call: &Call<'_>, index: usize) -> Result<Option<Numbers<arrow::datatypes::Int64Type>>> {
    if call.count() > index { call.bigs(index).map(Some) } else { Ok(None) }
}

/// Byte offset of the 1-based character `start`; `None` beyond the text.
fn start_of(call: &Call<'_>, s: &str, start: i64) -> Result<Option<usize>> {
    if start < 1 {
        return Err(FunctionError::range(format!("{}: positions count from 1, not {start}", call.name)).into());
    }
    let index = usize::try_from(start - 1).unwrap_or(usize::MAX);
    Ok(s.char_indices().map(|(at, _)| at).chain([s.len()]).nth(index))
}

fn matches(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, mut patterns) = (call.texts(0)?, Patterns::of(call, 1)?);
    call.make_bool(|i| Ok(patterns.get(i)?.zip(s.get(i)).map(|(p, s)| p.is_match(s))))
}

fn count(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, mut patterns, start) = (call.texts(0)?, Patterns::of(call, 1)?, optional(call, 2)?);
    call.make_big(|i| {
        let (Some(p), Some(s), Some(start)) = (patterns.get(i)?, s.get(i), number(&start, i, 1)) else {
            return Ok(None);
        };
        Ok(Some(start_of(call, s, start)?.map_or(0, |from| p.find_iter(&s[from..]).count() as i64)))
    })
}

fn group_of(call: &Call<'_>, pattern: &Regex, group: i64) -> Result<usize> {
    let has = pattern.captures_len() - 1;
    match usize::try_from(group) {
        Ok(g) if g <= has => Ok(g),
        _ => {
            Err(FunctionError::pattern(format!("{}: the pattern has {has} groups, no group {group}", call.name)).into())
        }
    }
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, mut patterns, group) = (call.texts(0)?, Patterns::of(call, 1)?, optional(call, 2)?);
    call.make_text(|i| {
        let (Some(p), Some(s), Some(g)) = (patterns.get(i)?, s.get(i), number(&group, i, 1)) else { return Ok(None) };
        let g = group_of(call, &p, g)?;
        Ok(p.captures(s).map(|c| Cow::Owned(c.get(g).map_or("", |m| m.as_str()).to_string())))
    })
}

fn extract_all(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, mut patterns, group) = (call.texts(0)?, Patterns::of(call, 1)?, optional(call, 2)?);
    lists(call, |i, out| {
        let (Some(p), Some(s), Some(g)) = (patterns.get(i)?, s.get(i), number(&group, i, 1)) else { return Ok(false) };
        let g = group_of(call, &p, g)?;
        p.captures_iter(s).for_each(|c| out.append_value(c.get(g).map_or("", |m| m.as_str())));
        Ok(true)
    })
}

fn lists(call: &Call<'_>, mut f: impl FnMut(usize, &mut StringBuilder) -> Result<bool>) -> Result<ArrayRef> {
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let valid = f(row, out.values())?;
        out.append(valid);
    }
    Ok(Arc::new(out.finish()))
}

fn instr(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, mut patterns) = (call.texts(0)?, Patterns::of(call, 1)?);
    let (start, nth, after) = (optional(call, 2)?, optional(call, 3)?, optional(call, 4)?);
    call.make_big(|i| {
        let (Some(p), Some(s)) = (patterns.get(i)?, s.get(i)) else { return Ok(None) };
        let numbers = (number(&start, i, 1), number(&nth, i, 1), number(&after, i, 0));
        let (Some(start), Some(nth), Some(after)) = numbers else { return Ok(None) };
        if nth < 1 || !(0..=1).contains(&after) {
            return Err(FunctionError::range("regexp_instr: occurrence counts from 1, return_option is 0 or 1").into());
        }
        let Some(from) = start_of(call, s, start)? else { return Ok(Some(0)) };
        let found = p.find_iter(&s[from..]).nth((nth - 1) as usize);
        let at = found.map(|m| from + if after == 1 { m.end() } else { m.start() });
        Ok(Some(at.map_or(0, |at| s[..at].chars().count() as i64 + 1)))
    })
}

fn substr(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, mut patterns) = (call.texts(0)?, Patterns::of(call, 1)?);
    let (start, nth) = (optional(call, 2)?, optional(call, 3)?);
    call.make_text(|i| {
        let (Some(p), Some(s)) = (patterns.get(i)?, s.get(i)) else { return Ok(None) };
        let (Some(start), Some(nth)) = (number(&start, i, 1), number(&nth, i, 1)) else { return Ok(None) };
        let Some(from) = start_of(call, s, start)? else { return Ok(None) };
        let found = p.find_iter(&s[from..]).nth(usize::try_from(nth - 1).unwrap_or(usize::MAX));
        Ok(found.map(|m| Cow::Owned(m.as_str().to_string())))
    })
}

/// Appends `template` with `\1` to `\9` replaced by groups; `\0` is the whole match, groups that are not there are empty.
fn expand(template: &str, captures: &Captures<'_>, out: &mut String) {
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('\\', Some(d)) if d.is_ascii_digit() => {
                chars.next();
                out.push_str(captures.get(d as usize - '0' as usize).map_or("", |m| m.as_str()));
            }
            ('\\', Some('\\')) => {
                chars.next();
                out.push('\\');
            }
            _ => out.push(c),
        }
    }
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, mut patterns, new) = (call.texts(0)?, Patterns::of(call, 1)?, call.texts(2)?);
    let nth = optional(call, 3)?;
    call.make_text(|i| {
        let (Some(p), Some(s), Some(new)) = (patterns.get(i)?, s.get(i), new.get(i)) else { return Ok(None) };
        let Some(nth) = number(&nth, i, 0) else { return Ok(None) };
        if nth < 0 {
            return Err(FunctionError::range("regexp_replace: the occurrence must be 0 (all) or positive").into());
        }
        let (mut out, mut done) = (String::with_capacity(s.len()), 0);
        for (n, captures) in p.captures_iter(s).enumerate() {
            let Some(all) = captures.get(0) else { continue };
            out.push_str(&s[done..all.start()]);
            match nth {
                0 => expand(new, &captures, &mut out),
                k if k == n as i64 + 1 => expand(new, &captures, &mut out),
                _ => out.push_str(all.as_str()),
            }
            done = all.end();
        }
        out.push_str(&s[done..]);
        owned(out)
    })
}

/// Splits at every match; empty parts at the end go unless the third argument is FALSE.
fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, mut patterns) = (call.texts(0)?, Patterns::of(call, 1)?);
    let trim = if call.count() > 2 { Some(call.truths(2)?) } else { None };
    lists(call, |i, out| {
        let (Some(p), Some(s)) = (patterns.get(i)?, s.get(i)) else { return Ok(false) };
        let Some(trim) = trim.as_ref().map_or(Some(true), |t| t.get(i)) else { return Ok(false) };
        let mut parts: Vec<&str> = p.split(s).collect();
        while trim && parts.len() > 1 && parts.last().is_some_and(|p| p.is_empty()) {
            parts.pop();
        }
        parts.iter().for_each(|p| out.append_value(p));
        Ok(true)
    })
}
