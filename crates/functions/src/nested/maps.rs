//! Maps from other maps, from arrays, from entries and from text.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StructArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field};
use arrow::row::Row;
use datafusion::common::Result;

use super::pick::{Comparable, item_field, range};
use super::{entry_type, list_of, make_map};
use crate::coercion::{Param, common_of, is_text, map_type, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, Function, Returns};

pub(super) const DOCS: &[Entry] = &[
    ("map_concat", "map_concat([policy, ]map, …)", "The entries of all maps; the last of several equal keys wins."),
    ("map_entries", "map_entries(map)", "The entries as an array of structs `key`, `value`."),
    ("map_from_arrays", "map_from_arrays([policy, ]keys, values)", "A map of two arrays of equal length."),
    ("map_from_entries", "map_from_entries([policy, ]array)", "A map of an array of structs of two fields."),
    (
        "multimap_from_entries",
        "multimap_from_entries(array)",
        "As MAP_FROM_ENTRIES, with all values of a key in an array.",
    ),
    ("str_to_map", "str_to_map([policy, ]text[, between[, sign]])", "A map of `k=v,k=v`; the separators may be given."),
];

pub(super) fn functions() -> Vec<Function> {
    let text_map = Returns::With(|_| Ok(map_type(DataType::Utf8, DataType::Utf8)));
    let last = Returns::With(|t| Ok(t.last().cloned().unwrap_or(DataType::Null)));
    vec![
        Function::new("map_concat", &[], last, map_concat).coerce(maps),
        Function::new("map_entries", &[Param::Map], Returns::With(entries_type), map_entries),
        Function::new("map_from_arrays", &[], Returns::With(arrays_type), from_arrays).coerce(two_arrays),
        Function::new("map_from_entries", &[], Returns::With(from_entries_type), from_entries).coerce(entry_list),
        Function::new("multimap_from_entries", &[], Returns::With(multimap_type), multimap).coerce(entry_list),
        Function::new("str_to_map", &[Param::Text], text_map, str_to_map).optional(&[Param::Text; 3]),
    ]
}

/// What happens to keys that occur twice, as the optional first argument says. The default keeps the last value.
///
/// MaxCompute documentation of MAP_CONCAT: `exception` or `last_win`.
fn is_exception(call: &Call<'_>, given: bool) -> Result<bool> {
    match if given { call.literal_text(0)? } else { None } {
        None => Ok(false),
        Some(policy) => policy_of(&policy).ok_or_else(|| {
            FunctionError::arguments(format!("{}: '{policy}' is neither exception nor last_win", call.name)).into()
        }),
    }
}

fn policy_of(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "exception" => Some(true),
        "last_win" => Some(false),
        _ => None,
    }
}

fn split_policy(types: &[DataType]) -> (Vec<DataType>, &[DataType]) {
    match types {
        [policy, rest @ ..] if is_text(policy) => (vec![DataType::Utf8], rest),
        rest => (Vec::new(), rest),
    }
}

/// `[policy, ]map, …` with the common type of the maps.
fn maps(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    let (mut out, rest) = split_policy(types);
    if rest.is_empty() {
        return Err(FunctionError::arity(name, "at least 1", types.len()));
    }
    if let Some((i, other)) = rest.iter().enumerate().find(|(_, t)| !matches!(t, DataType::Map(..))) {
        return Err(FunctionError::argument_type(name, out.len() + i + 1, &type_name(other), "MAP<K,V>"));
    }
    let Some(common) = common_of(rest) else {
        let names = rest.iter().map(type_name).collect::<Vec<_>>().join(", ");
        return Err(FunctionError::argument_type(name, out.len() + 1, &names, "maps of one type"));
    };
    out.extend(rest.iter().map(|_| common.clone()));
    Ok(out)
}

/// `[policy, ]keys, values`.
fn two_arrays(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    let (mut out, rest) = split_policy(types);
    match rest {
        [DataType::List(_), DataType::List(_)] => {
            out.extend(rest.iter().cloned());
            Ok(out)
        }
        [keys, values] => {
            let wrong = if matches!(keys, DataType::List(_)) { values } else { keys };
            Err(FunctionError::argument_type(name, out.len() + 1, &type_name(wrong), "ARRAY<T>"))
        }
        _ => Err(FunctionError::arity(name, "2 to 3", types.len())),
    }
}

/// `[policy, ]array of structs of two fields`.
fn entry_list(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    let (mut out, rest) = split_policy(types);
    match rest {
        [list @ DataType::List(f)] if matches!(f.data_type(), DataType::Struct(kv) if kv.len() == 2) => {
            out.push(list.clone());
            Ok(out)
        }
        [other] => Err(FunctionError::argument_type(name, out.len() + 1, &type_name(other), "ARRAY<STRUCT<K,V>>")),
        _ => Err(FunctionError::arity(name, "1 to 2", types.len())),
    }
}

fn pair_types(types: &[DataType]) -> Result<(DataType, DataType)> {
    match item_field(types.last().unwrap_or(&DataType::Null))?.data_type() {
        DataType::Struct(kv) if kv.len() == 2 => Ok((kv[0].data_type().clone(), kv[1].data_type().clone())),
        other => Err(FunctionError::internal(format!("an entry of {other}")).into()),
    }
}

fn from_entries_type(types: &[DataType]) -> Result<DataType> {
    let (k, v) = pair_types(types)?;
    Ok(map_type(k, v))
}

fn multimap_type(types: &[DataType]) -> Result<DataType> {
    let (k, v) = pair_types(types)?;
    Ok(map_type(k, list_of(v)))
}

fn arrays_type(types: &[DataType]) -> Result<DataType> {
    match types {
        [.., keys, values] => {
            Ok(map_type(item_field(keys)?.data_type().clone(), item_field(values)?.data_type().clone()))
        }
        _ => Err(FunctionError::arity("map_from_arrays", "2", types.len()).into()),
    }
}

fn entries_type(types: &[DataType]) -> Result<DataType> {
    let part = |which| entry_type(types, which).and_then(|t| Ok(item_field(&t)?.data_type().clone()));
    let fields = vec![Field::new("key", part(0)?, true), Field::new("value", part(1)?, true)];
    Ok(list_of(DataType::Struct(fields.into())))
}

fn map_entries(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let map = array.as_map();
    let field = item_field(call.return_type)?.clone();
    let DataType::Struct(kv) = field.data_type().clone() else {
        return Err(FunctionError::internal("map_entries of no struct").into());
    };
    let entries = StructArray::try_new(kv, vec![map.keys().clone(), map.values().clone()], None)?;
    let offsets = map.offsets().clone();
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(entries), map.nulls().cloned())?))
}

/// The entries of the rows of a result, as places in a column of keys and one of values.
#[derive(Default)]
struct Pairs {
    keys: Vec<u64>,
    values: Vec<u64>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Pairs {
    /// Adds a row; a key stays where it first occurred and gets its last value.
    fn row(&mut self, call: &Call<'_>, all: &Comparable, exception: bool, pairs: &[(usize, usize)]) -> Result<()> {
        let mut seen: HashMap<Row<'_>, usize> = HashMap::with_capacity(pairs.len());
        let start = self.keys.len();
        for (key, value) in pairs {
            match seen.get(&all.get(*key)) {
                Some(_) if exception => {
                    return Err(FunctionError::arguments(format!("{}: a key occurs twice", call.name)).into());
                }
                Some(at) => self.values[*at] = *value as u64,
                None => {
                    seen.insert(all.get(*key), self.keys.len());
                    self.keys.push(*key as u64);
                    self.values.push(*value as u64);
                }
            }
        }
        self.lengths.push(self.keys.len() - start);
        self.valid.push(true);
        Ok(())
    }

    fn null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    fn finish(self, call: &Call<'_>, keys: &ArrayRef, values: &ArrayRef) -> Result<ArrayRef> {
        let keys = take(keys, &UInt64Array::from(self.keys), None)?;
        if keys.null_count() > 0 {
            return Err(FunctionError::arguments(format!("{}: a key is NULL", call.name)).into());
        }
        let values = take(values, &UInt64Array::from(self.values), None)?;
        make_map(call.return_type, vec![keys, values], self.lengths, Some(self.valid.into()))
    }
}

fn map_concat(call: &Call<'_>) -> Result<ArrayRef> {
    let arrays = (0..call.count()).map(|i| call.array(i)).collect::<Result<Vec<_>>>()?;
    let given = arrays.first().is_some_and(|a| is_text(a.data_type()));
    let exception = is_exception(call, given)?;
    let maps: Vec<_> = arrays.iter().skip(usize::from(given)).map(|a| a.as_map()).collect();
    let keys = concat(&maps.iter().map(|m| m.keys().as_ref()).collect::<Vec<_>>())?;
    let values = concat(&maps.iter().map(|m| m.values().as_ref()).collect::<Vec<_>>())?;
    let all = Comparable::of(&keys, true)?;
    let mut out = Pairs::default();
    for row in 0..call.rows {
        if maps.iter().any(|m| m.is_null(row)) {
            out.null();
            continue;
        }
        let (mut pairs, mut offset) = (Vec::new(), 0);
        for map in &maps {
            let at = |n: usize| map.value_offsets()[n] as usize + offset;
            pairs.extend((at(row)..at(row + 1)).map(|p| (p, p)));
            offset += map.keys().len();
        }
        out.row(call, &all, exception, &pairs)?;
    }
    out.finish(call, &keys, &values)
}

fn from_arrays(call: &Call<'_>) -> Result<ArrayRef> {
    let given = call.count() > 2;
    let exception = is_exception(call, given)?;
    let (keys, values) = (call.array(usize::from(given))?, call.array(usize::from(given) + 1)?);
    let (keys, values) = (keys.as_list::<i32>(), values.as_list::<i32>());
    let all = Comparable::of(keys.values(), true)?;
    let mut out = Pairs::default();
    for row in 0..call.rows {
        match range(keys, row).zip(range(values, row)) {
            None => out.null(),
            Some((k, v)) if k.len() == v.len() => out.row(call, &all, exception, &k.zip(v).collect::<Vec<_>>())?,
            Some((k, v)) => {
                let text = format!("map_from_arrays: {} keys and {} values", k.len(), v.len());
                return Err(FunctionError::arguments(text).into());
            }
        }
    }
    out.finish(call, keys.values(), values.values())
}

/// A list of entries, its keys and its values.
fn entry_columns(array: &ArrayRef) -> (&ListArray, &StructArray, ArrayRef, ArrayRef) {
    let list = array.as_list::<i32>();
    let entries = list.values().as_struct();
    (list, entries, entries.column(0).clone(), entries.column(1).clone())
}

/// An entry that is NULL makes the map NULL.
fn whole(range: Option<Range<usize>>, entries: &StructArray) -> Option<Range<usize>> {
    range.filter(|r| r.clone().all(|at| entries.is_valid(at)))
}

fn from_entries(call: &Call<'_>) -> Result<ArrayRef> {
    let given = call.count() > 1;
    let exception = is_exception(call, given)?;
    let array = call.array(usize::from(given))?;
    let (list, entries, keys, values) = entry_columns(&array);
    let all = Comparable::of(&keys, true)?;
    let mut out = Pairs::default();
    for row in 0..call.rows {
        match whole(range(list, row), entries) {
            None => out.null(),
            Some(r) => out.row(call, &all, exception, &r.map(|p| (p, p)).collect::<Vec<_>>())?,
        }
    }
    out.finish(call, &keys, &values)
}

fn multimap(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(call.count() - 1)?;
    let (list, entries, keys, values) = entry_columns(&array);
    let all = Comparable::of(&keys, true)?;
    let (mut key_places, mut value_places) = (Vec::new(), Vec::new());
    let (mut inner, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let found = whole(range(list, row), entries);
        valid.push(found.is_some());
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut seen: HashMap<Row<'_>, usize> = HashMap::new();
        for at in found.into_iter().flatten() {
            let group = *seen.entry(all.get(at)).or_insert(groups.len());
            match groups.get_mut(group) {
                Some((_, places)) => places.push(at),
                None => groups.push((at, vec![at])),
            }
        }
        lengths.push(groups.len());
        for (key, places) in groups {
            key_places.push(key as u64);
            inner.push(places.len());
            value_places.extend(places.into_iter().map(|p| p as u64));
        }
    }
    let keys = take(&keys, &UInt64Array::from(key_places), None)?;
    if keys.null_count() > 0 {
        return Err(FunctionError::arguments("multimap_from_entries: a key is NULL").into());
    }
    let values = take(&values, &UInt64Array::from(value_places), None)?;
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let lists = ListArray::try_new(field, OffsetBuffer::from_lengths(inner), values, None)?;
    make_map(call.return_type, vec![keys, Arc::new(lists)], lengths, Some(valid.into()))
}

/// Where the text is among the arguments: a policy may stand before it.
fn text_at(call: &Call<'_>) -> usize {
    match call.literal_text(0) {
        Ok(Some(first)) if call.count() == 4 || (call.count() > 1 && policy_of(&first).is_some()) => 1,
        _ => 0,
    }
}

/// Text `k1=v1,k2=v2` as a map. A part without a sign is a key whose value is NULL.
fn str_to_map(call: &Call<'_>) -> Result<ArrayRef> {
    let at = text_at(call);
    let exception = is_exception(call, at == 1)?;
    let (text, between, sign) = (call.texts(at)?, call.texts_or(at + 1, ",")?, call.texts_or(at + 2, "=")?);
    let (mut keys, mut values, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let mut found: Vec<(&str, Option<&str>)> = Vec::new();
        let read = text.get(row).zip(between.get(row)).zip(sign.get(row));
        if let Some(((text, between), sign)) = read {
            for pair in text.split(between) {
                let (k, v) = pair.split_once(sign).map_or((pair, None), |(k, v)| (k, Some(v)));
                match found.iter_mut().find(|(seen, _)| *seen == k) {
                    Some(_) if exception => {
                        return Err(FunctionError::arguments(format!("str_to_map: the key '{k}' occurs twice")).into());
                    }
                    Some(slot) => slot.1 = v,
                    None => found.push((k, v)),
                }
            }
        }
        valid.push(read.is_some());
        lengths.push(found.len());
        for (k, v) in found {
            keys.push(k.to_string());
            values.push(v.map(str::to_string));
        }
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(keys)), Arc::new(StringArray::from(values))];
    make_map(call.return_type, columns, lengths, Some(valid.into()))
}
