//! The header of a NetCDF classic file.

use crate::cursor::Cursor;
use crate::elements;
use crate::error::FormatError;
use crate::source::ByteSource;
use arrow::datatypes::DataType;
use std::collections::HashSet;

const DIMENSIONS: u32 = 0x0a;
const VARIABLES: u32 = 0x0b;
const ATTRIBUTES: u32 = 0x0c;
/// First window that is read; most headers fit.
const WINDOW: u64 = 64 * 1024;
/// Largest header that is read.
const MAX_HEADER: u64 = 256 * 1024 * 1024;
/// The specification's `NC_MAX_VAR_DIMS`.
const MAX_RANK: u64 = 1024;

/// A type of values: the specification's `nc_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Byte,
    Char,
    Short,
    Int,
    Float,
    Double,
    UByte,
    UShort,
    UInt,
    Int64,
    UInt64,
}

impl Type {
    /// Types 7 to 11 exist in CDF-5 only.
    fn from_code(code: u32, version: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Byte,
            2 => Self::Char,
            3 => Self::Short,
            4 => Self::Int,
            5 => Self::Float,
            6 => Self::Double,
            7..=11 if version != 5 => return None,
            7 => Self::UByte,
            8 => Self::UShort,
            9 => Self::UInt,
            10 => Self::Int64,
            11 => Self::UInt64,
            _ => return None,
        })
    }

    /// Bytes of a value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Byte | Self::Char | Self::UByte => 1,
            Self::Short | Self::UShort => 2,
            Self::Int | Self::Float | Self::UInt => 4,
            Self::Double | Self::Int64 | Self::UInt64 => 8,
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Byte => DataType::Int8,
            Self::Char => DataType::FixedSizeBinary(1),
            Self::Short => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::UByte => DataType::UInt8,
            Self::UShort => DataType::UInt16,
            Self::UInt => DataType::UInt32,
            Self::Int64 => DataType::Int64,
            Self::UInt64 => DataType::UInt64,
        }
    }
}

/// The value of an attribute, big-endian.
#[derive(Debug)]
pub(super) enum Value {
    Text(Vec<u8>),
    Numbers { kind: Type, bytes: Vec<u8>, count: usize },
}

#[derive(Debug)]
pub(super) struct RawAttribute {
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) struct RawVariable {
    pub(super) name: String,
    /// Places in [`Header::dimensions`].
    pub(super) dimensions: Vec<usize>,
    pub(super) attributes: Vec<RawAttribute>,
    pub(super) kind: Type,
    pub(super) begin: u64,
}

#[derive(Debug)]
pub(super) struct Header {
    /// Bytes of the header itself.
    pub(super) bytes: u64,
    /// Number of records.
    pub(super) records: u64,
    /// Bytes from one record to the next.
    pub(super) record_bytes: u64,
    /// Name and length; the record dimension has length 0.
    pub(super) dimensions: Vec<(String, u64)>,
    pub(super) attributes: Vec<RawAttribute>,
    pub(super) variables: Vec<RawVariable>,
}

/// Why the header cannot be parsed from the bytes at hand.
enum Stop {
    /// More bytes are needed.
    Short,
    /// It is wrong at this byte.
    Wrong(usize, String),
}

impl Header {
    /// Reads as much of the file as the header takes.
    pub(super) fn read(source: &dyn ByteSource) -> Result<Self, FormatError> {
        let mut window = WINDOW.min(source.len());
        loop {
            let bytes = source.read(0..window)?;
            match Parser::new(&bytes).and_then(Parser::header) {
                Ok((mut header, streaming)) => {
                    header.settle(source, streaming)?;
                    return Ok(header);
                }
                Err(Stop::Short) if window < source.len() && window < MAX_HEADER => {
                    window = window.saturating_mul(4).min(source.len()).min(MAX_HEADER);
                }
                Err(Stop::Short) => {
                    let problem = "the header ends in the middle";
                    return Err(FormatError::corrupt(
                        source.location(),
                        format!("byte {window}"),
                        problem,
                    ));
                }
                Err(Stop::Wrong(at, problem)) => {
                    return Err(FormatError::corrupt(
                        source.location(),
                        format!("header, byte {at}"),
                        problem,
                    ));
                }
            }
        }
    }

    /// The header whose bytes are known, of a file that was opened before; `None` if they are not all
    /// of it.
    pub(super) fn known(bytes: &[u8], source: &dyn ByteSource) -> Option<Self> {
        let (mut header, streaming) = Parser::new(bytes).and_then(Parser::header).ok()?;
        header.settle(source, streaming).ok()?;
        Some(header)
    }

    /// Whether a variable has the record dimension, which can only be its first.
    pub(super) fn is_record(&self, variable: &RawVariable) -> bool {
        variable
            .dimensions
            .first()
            .and_then(|id| self.dimensions.get(*id))
            .is_some_and(|(_, length)| *length == 0)
    }

    /// Bytes of one record of a variable, or of all of it without the record dimension.
    ///
    /// Computed from the dimensions: the header's own `vsize` cannot hold large variables.
    fn slab(&self, variable: &RawVariable) -> Option<u64> {
        let skip = usize::from(self.is_record(variable));
        let size = u64::try_from(variable.kind.size()).ok()?;
        variable.dimensions.iter().skip(skip).try_fold(size, |bytes, id| {
            self.dimensions.get(*id).and_then(|(_, length)| bytes.checked_mul(*length))
        })
    }

    /// Works out the record size and the number of records, and checks that every value is inside
    /// the file.
    fn settle(&mut self, source: &dyn ByteSource, streaming: bool) -> Result<(), FormatError> {
        let wrong = |name: &str, problem: &str| {
            FormatError::corrupt(source.location(), format!("/{name}"), problem)
        };
        let too_large = |name: &str| wrong(name, "its shape has too many cells");
        let records: Vec<_> = self.variables.iter().filter(|v| self.is_record(v)).collect();
        let mut record_bytes = 0_u64;
        for variable in &records {
            let slab = self.slab(variable).ok_or_else(|| too_large(&variable.name))?;
            // A single record variable of a narrow type is not padded to four bytes.
            let padded =
                if records.len() == 1 { Some(slab) } else { slab.checked_next_multiple_of(4) };
            record_bytes = padded
                .and_then(|bytes| record_bytes.checked_add(bytes))
                .ok_or_else(|| too_large(&variable.name))?;
        }
        self.record_bytes = record_bytes;
        if streaming {
            let begin = self.variables.iter().filter(|v| self.is_record(v)).map(|v| v.begin).min();
            let bytes = source.len().saturating_sub(begin.unwrap_or(u64::MAX));
            self.records = bytes.checked_div(record_bytes).unwrap_or(0);
        }
        for variable in &self.variables {
            let slab = self.slab(variable).ok_or_else(|| too_large(&variable.name))?;
            let last = match self.is_record(variable) {
                false => Some(0),
                true if self.records == 0 => continue,
                true => (self.records - 1).checked_mul(record_bytes),
            };
            let end = last
                .and_then(|last| variable.begin.checked_add(last)?.checked_add(slab))
                .ok_or_else(|| too_large(&variable.name))?;
            if end > source.len() && slab > 0 {
                let problem =
                    format!("its values end at byte {end}, the file has {} bytes", source.len());
                return Err(wrong(&variable.name, &problem));
            }
        }
        Ok(())
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    version: u8,
}

impl<'a> Parser<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Stop> {
        let mut cursor = Cursor::new(bytes);
        let magic = cursor.take(4).ok_or(Stop::Short)?;
        match magic {
            [b'C', b'D', b'F', version @ (1 | 2 | 5)] => Ok(Self { cursor, version: *version }),
            _ => Err(Stop::Wrong(0, "it does not begin with CDF and 1, 2 or 5".to_owned())),
        }
    }

    fn wrong(&self, problem: impl Into<String>) -> Stop {
        Stop::Wrong(self.cursor.position(), problem.into())
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        self.cursor.u32_be().ok_or(Stop::Short)
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        self.cursor.u64_be().ok_or(Stop::Short)
    }

    /// `NON_NEG`: 8 bytes in CDF-5, else 4.
    fn count(&mut self) -> Result<u64, Stop> {
        let count = if self.version == 5 { self.u64()? } else { u64::from(self.u32()?) };
        let limit = if self.version == 5 { i64::MAX.unsigned_abs() } else { 0x7fff_ffff };
        if count > limit {
            Err(self.wrong(format!("a negative count ({count})")))
        } else {
            Ok(count)
        }
    }

    /// `OFFSET`: 4 bytes in CDF-1, else 8.
    fn offset(&mut self) -> Result<u64, Stop> {
        if self.version == 1 { self.u32().map(u64::from) } else { self.u64() }
    }

    /// Bytes, and the padding to a multiple of four behind them.
    fn padded(&mut self, length: u64) -> Result<&'a [u8], Stop> {
        let padding = length.wrapping_neg() % 4;
        let length = usize::try_from(length).map_err(|_| Stop::Short)?;
        let bytes = self.cursor.take(length).ok_or(Stop::Short)?;
        self.cursor.take(usize::try_from(padding).unwrap_or(0)).ok_or(Stop::Short)?;
        Ok(bytes)
    }

    fn name(&mut self) -> Result<String, Stop> {
        let length = self.count()?;
        let name = elements::text(self.padded(length)?);
        if name.is_empty() { Err(self.wrong("an empty name")) } else { Ok(name) }
    }

    /// `ABSENT`, or a tag and the number of elements.
    fn list(&mut self, tag: u32, what: &str) -> Result<u64, Stop> {
        let found = self.u32()?;
        let count = self.count()?;
        if found == tag || (found == 0 && count == 0) {
            return Ok(count);
        }
        Err(self.wrong(format!("the list of {what} has tag {found:#x} in place of {tag:#x}")))
    }

    fn kind(&mut self) -> Result<Type, Stop> {
        let code = self.u32()?;
        Type::from_code(code, self.version).ok_or_else(|| {
            self.wrong(format!("type {code} does not exist in CDF-{}", self.version))
        })
    }

    fn attributes(&mut self) -> Result<Vec<RawAttribute>, Stop> {
        let count = self.list(ATTRIBUTES, "attributes")?;
        (0..count)
            .map(|_| {
                let name = self.name()?;
                let kind = self.kind()?;
                let count = self.count()?;
                let bytes = u64::try_from(kind.size())
                    .ok()
                    .and_then(|size| count.checked_mul(size))
                    .ok_or_else(|| self.wrong(format!("attribute {name} is too long")))?;
                let bytes = self.padded(bytes)?.to_vec();
                let value = match kind {
                    Type::Char => Value::Text(bytes),
                    kind => Value::Numbers { kind, count: bytes.len() / kind.size(), bytes },
                };
                Ok(RawAttribute { name, value })
            })
            .collect()
    }

    /// The header, and whether the number of records has to be worked out from the file's length.
    fn header(mut self) -> Result<(Header, bool), Stop> {
        let (records, streaming) = if self.version == 5 {
            let records = self.u64()?;
            (records, records == u64::MAX)
        } else {
            let records = self.u32()?;
            (u64::from(records), records == u32::MAX)
        };

        let count = self.list(DIMENSIONS, "dimensions")?;
        let mut dimensions = Vec::new();
        let mut has_records = false;
        for _ in 0..count {
            let dimension = (self.name()?, self.count()?);
            if dimension.1 == 0 && std::mem::replace(&mut has_records, true) {
                return Err(self.wrong("two record dimensions"));
            }
            dimensions.push(dimension);
        }
        let attributes = self.attributes()?;

        let count = self.list(VARIABLES, "variables")?;
        let mut variables: Vec<RawVariable> = Vec::new();
        let mut names = HashSet::new();
        for _ in 0..count {
            let name = self.name()?;
            let rank = self.count()?;
            if rank > MAX_RANK {
                return Err(self.wrong(format!("variable {name} has {rank} dimensions")));
            }
            let mut ids = Vec::new();
            for place in 0..rank {
                let id = usize::try_from(self.count()?).ok();
                match id.and_then(|id| Some((id, dimensions.get(id)?))) {
                    Some((_, (_, 0))) if place > 0 => {
                        let problem = "uses the record dimension in another place than the first";
                        return Err(self.wrong(format!("variable {name} {problem}")));
                    }
                    Some((id, _)) => ids.push(id),
                    None => {
                        return Err(self.wrong(format!("variable {name} has an unknown dimension")));
                    }
                }
            }
            let attributes = self.attributes()?;
            let kind = self.kind()?;
            // The variable's size, recomputed from its shape: large ones do not fit the field.
            if self.version == 5 {
                self.u64()?
            } else {
                u64::from(self.u32()?)
            };
            let begin = self.offset()?;
            if !names.insert(name.clone()) {
                return Err(self.wrong(format!("two variables are called {name}")));
            }
            variables.push(RawVariable { name, dimensions: ids, attributes, kind, begin });
        }
        let bytes = self.cursor.position() as u64;
        let header = Header { bytes, records, record_bytes: 0, dimensions, attributes, variables };
        Ok((header, streaming))
    }
}
