//! The frame in which scalar functions are written: parameters, result type, and a loop over typed columns.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanArray, BooleanBuilder, PrimitiveArray, PrimitiveBuilder,
    StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use feitian_types::arrow::{TYPE_KEY, column_type};

use crate::coercion::{Param, coerce_arguments};
use crate::error::FunctionError;
use crate::options::Context;

/// How the result type follows from the argument types after coercion.
#[derive(Clone, Copy)]
pub(crate) enum Returns {
    Type(DataType0),
    /// The type of the argument with this index.
    Argument(usize),
    With(fn(&[DataType]) -> Result<DataType>),
}

/// Result types without parameters, so that tables of functions can be constants.
#[derive(Clone, Copy)]
pub(crate) enum DataType0 {
    Bool,
    Int,
    Big,
    Double,
    Text,
    Binary,
    Date,
    Datetime,
    Timestamp,
    TimestampNtz,
    Texts,
    Json,
}

impl DataType0 {
    fn arrow(self) -> DataType {
        use feitian_types::DataType as T;
        let ty = match self {
            Self::Bool => T::Boolean,
            Self::Int => T::Int,
            Self::Big => T::BigInt,
            Self::Double => T::Double,
            Self::Text => T::String,
            Self::Binary => T::Binary,
            Self::Date => T::Date,
            Self::Datetime => T::Datetime,
            Self::Timestamp => T::Timestamp,
            Self::TimestampNtz => T::TimestampNtz,
            Self::Texts => T::Array(Box::new(T::String)),
            Self::Json => T::Json,
        };
        feitian_types::arrow::engine_type(&ty)
    }
}

/// From a function's name and the types of its arguments to the types that the arguments get.
pub(crate) type Coerce = fn(&str, &[DataType]) -> Result<Vec<DataType>, FunctionError>;

/// A scalar function.
#[derive(Clone)]
pub(crate) struct Function {
    pub name: &'static str,
    pub required: &'static [Param],
    pub optional: &'static [Param],
    /// Any number of further arguments of this kind.
    pub rest: Option<Param>,
    pub returns: Returns,
    pub volatility: Volatility,
    /// The types that arguments get, when they depend on each other; the lists of parameters are then not used.
    pub coerce: Option<Coerce>,
    pub eval: fn(&Call<'_>) -> Result<ArrayRef>,
}

impl Function {
    /// A function of exactly `required` arguments that always gives the same result for the same arguments.
    pub(crate) const fn new(
        name: &'static str,
        required: &'static [Param],
        returns: Returns,
        eval: fn(&Call<'_>) -> Result<ArrayRef>,
    ) -> Self {
        let volatility = Volatility::Immutable;
        Self { name, required, optional: &[], rest: None, returns, volatility, coerce: None, eval }
    }

    pub(crate) const fn optional(mut self, optional: &'static [Param]) -> Self {
        self.optional = optional;
        self
    }

    pub(crate) const fn rest(mut self, rest: Param) -> Self {
        self.rest = Some(rest);
        self
    }

    pub(crate) const fn volatility(mut self, volatility: Volatility) -> Self {
        self.volatility = volatility;
        self
    }

    /// `coerce` says which types the arguments get.
    pub(crate) const fn coerce(
        mut self,
        coerce: fn(&str, &[DataType]) -> Result<Vec<DataType>, FunctionError>,
    ) -> Self {
        self.coerce = Some(coerce);
        self
    }

    /// The types that arguments get.
    fn coerced(&self, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
        if let Some(coerce) = self.coerce {
            return coerce(self.name, types);
        }
        coerce_arguments(self.name, self.required, self.optional, self.rest, types)
    }

    pub(crate) fn into_udf(self) -> ScalarUDF {
        ScalarUDF::from(Udf { signature: Signature::user_defined(self.volatility), function: self })
    }
}

/// A [`Function`] as DataFusion wants it.
pub(crate) struct Udf {
    function: Function,
    signature: Signature,
}

impl fmt::Debug for Udf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Errors wait for `return_type`: the planner turns those of this function into words of its own.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.function.coerced(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.coerced(types)?;
        match self.function.returns {
            Returns::Type(ty) => Ok(ty.arrow()),
            Returns::Argument(i) => match types.get(i) {
                Some(ty) => Ok(ty.clone()),
                None => Err(FunctionError::arity(self.function.name, &(i + 1).to_string(), types.len()).into()),
            },
            Returns::With(f) => f(types),
        }
    }

    /// JSON shares its Arrow type with STRING; the metadata tell them apart.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        Ok(Arc::new(match self.function.returns {
            Returns::Type(DataType0::Json) => {
                field.with_metadata(HashMap::from([(TYPE_KEY.to_string(), feitian_types::DataType::Json.to_string())]))
            }
            _ => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let fixed = self.function.volatility != Volatility::Volatile;
        let constant = fixed && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let call = Call {
            name: self.function.name,
            rows: if constant { 1 } else { args.number_rows },
            return_type: args.return_field.data_type(),
            context: Context::of(&args.config_options)?,
            args: &args.args,
            fields: &args.arg_fields,
        };
        let array = (self.function.eval)(&call)?;
        if array.data_type() != call.return_type {
            let text = format!("{} gave {} for {}", call.name, array.data_type(), call.return_type);
            return Err(FunctionError::internal(text).into());
        }
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// One call of a function on one batch.
pub(crate) struct Call<'a> {
    pub name: &'static str,
    pub rows: usize,
    pub return_type: &'a DataType,
    pub context: Context,
    pub args: &'a [ColumnarValue],
    pub fields: &'a [FieldRef],
}

/// The text column `index` of a call.
pub(crate) enum Texts {
    One(Option<String>),
    Many(StringArray),
}

impl Texts {
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::One(value) => value.as_deref(),
            Self::Many(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

/// A column of numbers of a call.
pub(crate) enum Numbers<T: ArrowPrimitiveType> {
    One(Option<T::Native>),
    Many(PrimitiveArray<T>),
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        match self {
            Self::One(value) => *value,
            Self::Many(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

/// A column of truth values of a call.
pub(crate) enum Truths {
    One(Option<bool>),
    Many(BooleanArray),
}

impl Truths {
    pub(crate) fn get(&self, row: usize) -> Option<bool> {
        match self {
            Self::One(value) => *value,
            Self::Many(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

impl Call<'_> {
    pub(crate) fn count(&self) -> usize {
        self.args.len()
    }

    /// True if argument `index` is declared as JSON, not as STRING.
    pub(crate) fn is_json(&self, index: usize) -> bool {
        self.fields.get(index).and_then(|f| column_type(f)) == Some(feitian_types::DataType::Json)
    }

    fn arg(&self, index: usize) -> Result<&ColumnarValue> {
        self.args
            .get(index)
            .ok_or_else(|| FunctionError::arity(self.name, &(index + 1).to_string(), self.args.len()).into())
    }

    /// Argument `index` with one value for each row.
    pub(crate) fn array(&self, index: usize) -> Result<ArrayRef> {
        self.arg(index)?.to_array(self.rows)
    }

    /// A literal text argument; `None` for NULL.
    pub(crate) fn literal_text(&self, index: usize) -> Result<Option<String>> {
        match self.texts(index)? {
            Texts::One(value) => Ok(value),
            Texts::Many(_) => Err(FunctionError::constant(self.name, index + 1).into()),
        }
    }

    fn wrong_type(&self, index: usize, ty: &DataType) -> DataFusionError {
        FunctionError::internal(format!("argument {} of {} arrived as {ty}", index + 1, self.name)).into()
    }

    /// Argument `index` as text.
    pub(crate) fn texts(&self, index: usize) -> Result<Texts> {
        match self.arg(index)? {
            ColumnarValue::Scalar(ScalarValue::Null) => Ok(Texts::One(None)),
            ColumnarValue::Scalar(value) => match value.try_as_str() {
                Some(text) => Ok(Texts::One(text.map(str::to_string))),
                None => Err(self.wrong_type(index, &value.data_type())),
            },
            ColumnarValue::Array(array) => {
                let array = match array.data_type() {
                    DataType::Utf8 => array.clone(),
                    DataType::Utf8View | DataType::LargeUtf8 => arrow::compute::cast(array, &DataType::Utf8)?,
                    other => return Err(self.wrong_type(index, other)),
                };
                let texts = array.as_any().downcast_ref::<StringArray>().cloned();
                texts.map(Texts::Many).ok_or_else(|| self.wrong_type(index, array.data_type()))
            }
        }
    }

    /// Argument `index` as numbers of the Arrow type `T`.
    pub(crate) fn numbers<T: ArrowPrimitiveType>(&self, index: usize) -> Result<Numbers<T>> {
        let value = self.arg(index)?;
        if matches!(value, ColumnarValue::Scalar(ScalarValue::Null)) {
            return Ok(Numbers::One(None));
        }
        let array = match value {
            ColumnarValue::Scalar(value) => value.to_array_of_size(1)?,
            ColumnarValue::Array(array) => array.clone(),
        };
        let Some(numbers) = array.as_any().downcast_ref::<PrimitiveArray<T>>() else {
            return Err(self.wrong_type(index, array.data_type()));
        };
        Ok(match value {
            ColumnarValue::Scalar(_) => Numbers::One(numbers.is_valid(0).then(|| numbers.value(0))),
            ColumnarValue::Array(_) => Numbers::Many(numbers.clone()),
        })
    }

    pub(crate) fn bigs(&self, index: usize) -> Result<Numbers<Int64Type>> {
        self.numbers::<Int64Type>(index)
    }

    /// Optional argument `index` as whole numbers; `default` in every row when it is not given.
    pub(crate) fn bigs_or(&self, index: usize, default: i64) -> Result<Numbers<Int64Type>> {
        if self.count() > index { self.bigs(index) } else { Ok(Numbers::One(Some(default))) }
    }

    /// Optional argument `index` as text; `default` in every row when it is not given.
    pub(crate) fn texts_or(&self, index: usize, default: &str) -> Result<Texts> {
        if self.count() > index { self.texts(index) } else { Ok(Texts::One(Some(default.to_string()))) }
    }

    /// A column of bytes.
    pub(crate) fn make_binary(&self, mut f: impl FnMut(usize) -> Result<Option<Vec<u8>>>) -> Result<ArrayRef> {
        let mut out = BinaryBuilder::new();
        for row in 0..self.rows {
            out.append_option(f(row)?);
        }
        Ok(Arc::new(out.finish()))
    }

    pub(crate) fn doubles(&self, index: usize) -> Result<Numbers<Float64Type>> {
        self.numbers::<Float64Type>(index)
    }

    pub(crate) fn truths(&self, index: usize) -> Result<Truths> {
        match self.arg(index)? {
            ColumnarValue::Scalar(ScalarValue::Null) => Ok(Truths::One(None)),
            ColumnarValue::Scalar(ScalarValue::Boolean(b)) => Ok(Truths::One(*b)),
            ColumnarValue::Scalar(other) => Err(self.wrong_type(index, &other.data_type())),
            ColumnarValue::Array(array) => match array.as_any().downcast_ref::<BooleanArray>() {
                Some(b) => Ok(Truths::Many(b.clone())),
                None => Err(self.wrong_type(index, array.data_type())),
            },
        }
    }

    /// A column of text, one value for each row.
    pub(crate) fn make_text<'v>(&self, f: impl FnMut(usize) -> Result<Option<Cow<'v, str>>>) -> Result<ArrayRef> {
        let mut f = f;
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 8);
        for row in 0..self.rows {
            out.append_option(f(row)?);
        }
        Ok(Arc::new(out.finish()))
    }

    /// A column of numbers.
    pub(crate) fn make<T: ArrowPrimitiveType>(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let mut out = PrimitiveBuilder::<T>::with_capacity(self.rows).with_data_type(match T::DATA_TYPE {
            DataType::Timestamp(..) | DataType::Decimal128(..) => self.return_type.clone(),
            other => other,
        });
        for row in 0..self.rows {
            out.append_option(f(row)?);
        }
        Ok(Arc::new(out.finish()))
    }

    pub(crate) fn make_big(&self, f: impl FnMut(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
        self.make::<Int64Type>(f)
    }

    pub(crate) fn make_double(&self, f: impl FnMut(usize) -> Result<Option<f64>>) -> Result<ArrayRef> {
        self.make::<Float64Type>(f)
    }

    pub(crate) fn make_bool(&self, mut f: impl FnMut(usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
        let mut out = BooleanBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            out.append_option(f(row)?);
        }
        Ok(Arc::new(out.finish()))
    }
}

/// An owned text as the value of a row.
pub(crate) fn owned(text: impl Into<String>) -> Result<Option<Cow<'static, str>>> {
    Ok(Some(Cow::Owned(text.into())))
}
