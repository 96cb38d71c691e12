//! Which type of PostgreSQL a column or a parameter has.

use super::dialect;
use arrow::datatypes::{DataType, Field, Schema};

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As text.
    Text,
    /// As the bytes of its type.
    Binary,
}

impl Format {
    /// Its number in the protocol.
    pub(super) fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }

    /// The format of the value at a place: of none all are text, of one all are that one.
    pub(super) fn at(formats: &[Self], place: usize) -> Option<Self> {
        match formats {
            [] => Some(Self::Text),
            [all] => Some(*all),
            each => each.get(place).copied(),
        }
    }
}

/// A type of PostgreSQL that Tarn's values have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PgType {
    Bool,
    Bytea,
    Int8,
    Int2,
    Int4,
    Text,
    Json,
    Float4,
    Float8,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Numeric,
    /// The number of something in the catalog.
    Oid,
}

/// What is known of a type: number, number of its arrays, name, length, kind.
pub(super) struct Known {
    pub(super) oid: u32,
    pub(super) array: u32,
    /// Its name in `pg_type`.
    pub(super) name: &'static str,
    /// Its name in SQL.
    pub(super) said: &'static str,
    /// Bytes of a value; -1 where they differ.
    pub(super) length: i16,
    /// The letter of its category.
    pub(super) category: &'static str,
}

impl PgType {
    /// All of them.
    pub(super) const ALL: [Self; 16] = [
        Self::Bool,
        Self::Bytea,
        Self::Int8,
        Self::Int2,
        Self::Int4,
        Self::Text,
        Self::Json,
        Self::Float4,
        Self::Float8,
        Self::Date,
        Self::Time,
        Self::Timestamp,
        Self::TimestampTz,
        Self::Interval,
        Self::Numeric,
        Self::Oid,
    ];

    /// What PostgreSQL's own catalog says of it.
    pub(super) fn known(self) -> Known {
        let (oid, array, name, said, length, category) = match self {
            Self::Bool => (16, 1000, "bool", "boolean", 1, "B"),
            Self::Bytea => (17, 1001, "bytea", "bytea", -1, "U"),
            Self::Int8 => (20, 1016, "int8", "bigint", 8, "N"),
            Self::Int2 => (21, 1005, "int2", "smallint", 2, "N"),
            Self::Int4 => (23, 1007, "int4", "integer", 4, "N"),
            Self::Text => (25, 1009, "text", "text", -1, "S"),
            Self::Json => (114, 199, "json", "json", -1, "U"),
            Self::Float4 => (700, 1021, "float4", "real", 4, "N"),
            Self::Float8 => (701, 1022, "float8", "double precision", 8, "N"),
            Self::Date => (1082, 1182, "date", "date", 4, "D"),
            Self::Time => (1083, 1183, "time", "time without time zone", 8, "D"),
            Self::Timestamp => (1114, 1115, "timestamp", "timestamp without time zone", 8, "D"),
            Self::TimestampTz => (1184, 1185, "timestamptz", "timestamp with time zone", 8, "D"),
            Self::Interval => (1186, 1187, "interval", "interval", 16, "T"),
            Self::Numeric => (1700, 1231, "numeric", "numeric", -1, "N"),
            Self::Oid => (26, 1028, "oid", "oid", 4, "N"),
        };
        Known { oid, array, name, said, length, category }
    }

    /// The type of single values of an Arrow type; none for lists.
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::Int2,
            DataType::Int32 | DataType::UInt16 => Self::Int4,
            DataType::Int64 | DataType::UInt32 => Self::Int8,
            DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Numeric,
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Bytea,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::TimestampTz,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Self::Text
            }
            DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => Self::Json,
            DataType::Dictionary(_, values) => return Self::of(values),
            _ => return None,
        })
    }
}

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnType {
    /// Of the values, or of the elements of an array.
    pub(super) element: PgType,
    pub(super) array: bool,
    /// The sides of the array where every value has the same, as tensors do.
    pub(super) sides: Option<Vec<usize>>,
    /// Precision and scale of a decimal.
    modifier: i32,
}

impl ColumnType {
    /// The type of a field's values. Lists are arrays; lists within lists are JSON, because arrays of PostgreSQL have no
    /// rows of different lengths.
    pub(super) fn of(field: &Field) -> Self {
        let data_type = field.data_type();
        let modifier = match data_type {
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale)
                if *scale >= 0 =>
            {
                ((i32::from(*precision) << 16) | i32::from(*scale)).saturating_add(4)
            }
            _ => -1,
        };
        if let Some(element) = PgType::of(data_type) {
            return Self { element, array: false, sides: None, modifier };
        }
        let (DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::FixedSizeList(inner, _)) = data_type
        else {
            return Self { element: PgType::Json, array: false, sides: None, modifier };
        };
        match PgType::of(inner.data_type()) {
            Some(element) if element != PgType::Json => {
                Self { element, array: true, sides: sides(field), modifier: -1 }
            }
            _ => Self { element: PgType::Json, array: false, sides: None, modifier },
        }
    }

    /// Its number.
    pub(super) fn oid(&self) -> u32 {
        let known = self.element.known();
        if self.array { known.array } else { known.oid }
    }

    /// Bytes of a value; -1 where they differ.
    pub(super) fn length(&self) -> i16 {
        if self.array { -1 } else { self.element.known().length }
    }

    /// Precision and scale as PostgreSQL packs them; -1 for none.
    pub(super) fn modifier(&self) -> i32 {
        self.modifier
    }

    /// Its name in SQL.
    pub(super) fn said(&self) -> String {
        let said = self.element.known().said;
        if self.array { format!("{said}[]") } else { said.to_owned() }
    }
}

/// The shape of a tensor, where the field states one that its lists have.
fn sides(field: &Field) -> Option<Vec<usize>> {
    let DataType::FixedSizeList(_, size) = field.data_type() else { return None };
    if field.metadata().get("ARROW:extension:name")? != "arrow.fixed_shape_tensor" {
        return None;
    }
    let text = field.metadata().get("ARROW:extension:metadata")?;
    let told: serde_json::Value = serde_json::from_str(text).ok()?;
    if told.get("permutation").is_some_and(|order| !order.is_null()) {
        return None;
    }
    let sides: Vec<usize> = told
        .get("shape")?
        .as_array()?
        .iter()
        .map(|side| side.as_u64().and_then(|side| usize::try_from(side).ok()))
        .collect::<Option<_>>()?;
    // Arrays of PostgreSQL have six dimensions at most.
    let cells = sides.iter().try_fold(1_usize, |cells, side| cells.checked_mul(*side))?;
    let fits = (2..=6).contains(&sides.len()) && usize::try_from(*size).ok() == Some(cells);
    fits.then_some(sides)
}

/// A column of an answer, as clients are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnType,
}

impl Column {
    /// The same in an answer about the catalog, in which lists of numbers are numbers of its things.
    fn of_catalog(mut self) -> Self {
        if self.kind.array && self.kind.element == PgType::Int8 {
            self.kind.element = PgType::Oid;
        }
        self
    }
}

/// The columns of a schema.
pub(super) fn columns(schema: &Schema) -> Vec<Column> {
    let column = |field: &Field| Column { name: field.name().clone(), kind: ColumnType::of(field) };
    schema.fields().iter().map(|field| column(field)).collect()
}

/// Columns as a statement has them: with the names that it gives them, where it does so to each.
pub(super) fn told(mut columns: Vec<Column>, known: &dialect::Known) -> Vec<Column> {
    if known.catalog {
        columns = columns.into_iter().map(Column::of_catalog).collect();
    }
    let names = &known.names;
    if columns.len() == names.len() {
        for (column, name) in columns.iter_mut().zip(names) {
            if let Some(name) = name {
                column.name.clone_from(name);
            }
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn every_type_has_one_number_and_lists_are_arrays() {
        let mut numbers: Vec<u32> =
            PgType::ALL.iter().flat_map(|kind| [kind.known().oid, kind.known().array]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), PgType::ALL.len() * 2);
        let item = |kind| Arc::new(Field::new("item", kind, true));
        let kind = |kind| ColumnType::of(&Field::new("x", kind, true));
        assert_eq!(kind(DataType::UInt64).oid(), 1700);
        assert_eq!(kind(DataType::List(item(DataType::Float64))).oid(), 1022);
        let nested = DataType::List(item(DataType::List(item(DataType::Int8))));
        assert_eq!(kind(nested).oid(), 114);
        assert_eq!(kind(DataType::Decimal128(10, 2)).modifier(), (10 << 16) + 2 + 4);
    }

    #[test]
    fn a_tensor_keeps_its_sides() {
        let list = DataType::FixedSizeList(Arc::new(Field::new("i", DataType::Int32, true)), 6);
        let tensor = |shape: &str| {
            let metadata = [
                ("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned()),
                ("ARROW:extension:metadata".to_owned(), format!("{{\"shape\": {shape}}}")),
            ];
            Field::new("x", list.clone(), true).with_metadata(metadata.into_iter().collect())
        };
        assert_eq!(ColumnType::of(&tensor("[2, 3]")).sides, Some(vec![2, 3]));
        assert_eq!(ColumnType::of(&tensor("[2, 4]")).sides, None, "not its size");
        assert_eq!(ColumnType::of(&Field::new("x", list.clone(), true)).sides, None);
    }
}
