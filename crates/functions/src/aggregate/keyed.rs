//! Aggregates that gather a map: HISTOGRAM, MAP_AGG, MULTIMAP_AGG, MAP_UNION, MAP_UNION_SUM.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StructArray, new_empty_array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::coercion::{map_type, type_name};
use crate::error::FunctionError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// How often each value occurs.
    Count,
    /// One value for each key.
    Last,
    /// All values of each key.
    Every,
    /// The entries of maps, one value for each key.
    Union,
    /// The entries of maps, values of one key added up.
    Sum,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Keyed {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

pub(super) fn functions() -> Vec<(&'static str, AggregateUDF)> {
    let udaf = |name, kind, args| {
        let signature = Signature::any(args, Volatility::Immutable);
        (name, AggregateUDF::from(Keyed { name, kind, signature }))
    };
    vec![
        udaf("histogram", Kind::Count, 1),
        udaf("map_agg", Kind::Last, 2),
        udaf("multimap_agg", Kind::Every, 2),
        udaf("map_union", Kind::Union, 1),
        udaf("map_union_sum", Kind::Sum, 1),
    ]
}

fn known(ty: &DataType) -> DataType {
    if ty.is_null() { DataType::Utf8 } else { ty.clone() }
}

impl Keyed {
    /// Types of keys and values of the result.
    fn types(&self, inputs: &[DataType]) -> Result<(DataType, DataType)> {
        match (self.kind, inputs) {
            (Kind::Count, [v]) => Ok((known(v), DataType::Int64)),
            (Kind::Last, [k, v]) => Ok((known(k), known(v))),
            (Kind::Every, [k, v]) => Ok((known(k), DataType::List(Arc::new(Field::new_list_field(known(v), true))))),
            (Kind::Union | Kind::Sum, [DataType::Map(entries, _)]) => match entries.data_type() {
                DataType::Struct(kv) if kv.len() == 2 => {
                    let value = kv[1].data_type();
                    if self.kind == Kind::Sum && !value.is_numeric() {
                        let has = type_name(&inputs[0]);
                        return Err(FunctionError::argument_type(self.name, 1, &has, "a map of numbers").into());
                    }
                    Ok((kv[0].data_type().clone(), value.clone()))
                }
                other => Err(FunctionError::internal(format!("a map of {other}")).into()),
            },
            (Kind::Union | Kind::Sum, [other]) => {
                Err(FunctionError::argument_type(self.name, 1, &type_name(other), "MAP<K,V>").into())
            }
            (kind, _) => {
                let needs = if matches!(kind, Kind::Last | Kind::Every) { "2" } else { "1" };
                Err(FunctionError::arity(self.name, needs, inputs.len()).into())
            }
        }
    }

    fn types_of(&self, fields: &[FieldRef]) -> Result<(DataType, DataType)> {
        self.types(&fields.iter().map(|f| f.data_type().clone()).collect::<Vec<_>>())
    }
}

impl AggregateUDFImpl for Keyed {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let (key, value) = self.types(types)?;
        Ok(map_type(key, value))
    }

    /// The keys so far and, beside each, its value.
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let (key, value) = self.types_of(args.input_fields)?;
        let list = |what: &str, ty: DataType| {
            let item = Arc::new(Field::new_list_field(ty, true));
            Arc::new(Field::new(format_state_name(args.name, what), DataType::List(item), true))
        };
        Ok(vec![list("keys", key), list("values", value)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (key, value) = self.types_of(args.expr_fields)?;
        Ok(Box::new(Entries { kind: self.kind, key, value, places: HashMap::new(), slots: Vec::new(), bytes: 0 }))
    }
}

/// What a key has gathered.
#[derive(Debug)]
enum Slot {
    One(ScalarValue),
    Many(Vec<ScalarValue>),
}

/// The entries of one group, in the order in which keys first occurred.
#[derive(Debug)]
struct Entries {
    kind: Kind,
    key: DataType,
    value: DataType,
    places: HashMap<ScalarValue, usize>,
    slots: Vec<(ScalarValue, Slot)>,
    bytes: usize,
}

impl Entries {
    /// Adds a value, or in a merge what another accumulator gathered. Keys that are NULL are left out.
    fn add(&mut self, key: ScalarValue, value: ScalarValue, merging: bool) -> Result<()> {
        if key.is_null() {
            return Ok(());
        }
        let values = match (self.kind, &value) {
            (Kind::Every, ScalarValue::List(list)) if merging => items(&list.value(0))?,
            _ => Vec::new(),
        };
        self.bytes += value.size();
        if let Some(at) = self.places.get(&key) {
            return match &mut self.slots[*at].1 {
                Slot::Many(all) if merging => {
                    all.extend(values);
                    Ok(())
                }
                Slot::Many(all) => {
                    all.push(value);
                    Ok(())
                }
                Slot::One(one) => join(self.kind, one, value),
            };
        }
        self.bytes += 2 * key.size() + size_of::<Slot>();
        let slot = match self.kind {
            Kind::Every if merging => Slot::Many(values),
            Kind::Every => Slot::Many(vec![value]),
            _ => Slot::One(value),
        };
        self.places.insert(key.clone(), self.slots.len());
        self.slots.push((key, slot));
        Ok(())
    }

    fn columns(&self) -> Result<(ArrayRef, ArrayRef)> {
        if self.slots.is_empty() {
            return Ok((new_empty_array(&self.key), new_empty_array(&self.value)));
        }
        let value = |slot: &Slot| match (slot, &self.value) {
            (Slot::One(one), _) => one.clone(),
            (Slot::Many(all), DataType::List(item)) => {
                ScalarValue::List(ScalarValue::new_list(all, item.data_type(), true))
            }
            (Slot::Many(_), _) => ScalarValue::Null,
        };
        let keys = ScalarValue::iter_to_array(self.slots.iter().map(|(key, _)| key.clone()))?;
        let values = ScalarValue::iter_to_array(self.slots.iter().map(|(_, slot)| value(slot)))?;
        Ok((keys, values))
    }
}

/// The new value of a key that has one already.
fn join(kind: Kind, one: &mut ScalarValue, next: ScalarValue) -> Result<()> {
    match kind {
        Kind::Count | Kind::Sum if one.is_null() => *one = next,
        Kind::Count | Kind::Sum if next.is_null() => {}
        Kind::Count | Kind::Sum => {
            let added = one.add_checked(&next);
            *one =
                added.map_err(|_| FunctionError::overflow("map_union_sum: the sum is out of the range of its type"))?;
        }
        _ => *one = next,
    }
    Ok(())
}

fn items(array: &ArrayRef) -> Result<Vec<ScalarValue>> {
    (0..array.len()).map(|i| ScalarValue::try_from_array(array, i)).collect()
}

impl Accumulator for Entries {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        match (self.kind, columns) {
            (Kind::Count, [values]) => {
                for row in 0..values.len() {
                    self.add(ScalarValue::try_from_array(values, row)?, ScalarValue::Int64(Some(1)), false)?;
                }
            }
            (Kind::Last | Kind::Every, [keys, values]) => {
                for row in 0..keys.len() {
                    let (key, value) =
                        (ScalarValue::try_from_array(keys, row)?, ScalarValue::try_from_array(values, row)?);
                    self.add(key, value, false)?;
                }
            }
            (Kind::Union | Kind::Sum, [maps]) => {
                let maps = maps.as_map();
                for row in (0..maps.len()).filter(|row| maps.is_valid(*row)) {
                    for at in maps.value_offsets()[row] as usize..maps.value_offsets()[row + 1] as usize {
                        let key = ScalarValue::try_from_array(maps.keys(), at)?;
                        self.add(key, ScalarValue::try_from_array(maps.values(), at)?, false)?;
                    }
                }
            }
            _ => return Err(FunctionError::internal("a map aggregate got other columns").into()),
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [keys, values] = states else {
            return Err(FunctionError::internal("a map aggregate has two states").into());
        };
        let (keys, values) = (keys.as_list::<i32>(), values.as_list::<i32>());
        for row in (0..keys.len()).filter(|row| keys.is_valid(*row)) {
            let (keys, values) = (keys.value(row), values.value(row));
            for at in 0..keys.len() {
                let (key, value) = (ScalarValue::try_from_array(&keys, at)?, ScalarValue::try_from_array(&values, at)?);
                self.add(key, value, true)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let ty = map_type(self.key.clone(), self.value.clone());
        let DataType::Map(field, _) = &ty else { return Err(FunctionError::internal("a map is no map").into()) };
        let DataType::Struct(kv) = field.data_type().clone() else {
            return Err(FunctionError::internal("a map without entries").into());
        };
        if self.slots.is_empty() {
            return ScalarValue::try_from_array(&new_null_array(&ty, 1), 0);
        }
        let (keys, values) = self.columns()?;
        let offsets = OffsetBuffer::from_lengths([keys.len()]);
        let entries = StructArray::try_new(kv, vec![keys, values], None)?;
        let map = MapArray::try_new(field.clone(), offsets, entries, None, false)?;
        ScalarValue::try_from_array(&map, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (keys, values) = self.columns()?;
        let list = |column: &ArrayRef, ty: &DataType| -> Result<ScalarValue> {
            Ok(ScalarValue::List(ScalarValue::new_list(&items(column)?, ty, true)))
        };
        Ok(vec![list(&keys, &self.key)?, list(&values, &self.value)?])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }
}
