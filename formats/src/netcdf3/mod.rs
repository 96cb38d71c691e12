//! NetCDF classic: CDF-1, CDF-2 and CDF-5.
//!
//! Format: "NetCDF Classic Format Specifications" (Unidata), and for CDF-5 "CDF-5 Format
//! Specification" (PnetCDF). Everything is big-endian. The header lists dimensions, attributes and
//! variables; a variable without the record dimension is one contiguous block, the record
//! variables' slabs follow each other record by record.

mod header;
mod rows;
pub(crate) mod saved;

use crate::budget::Budget;
use crate::contents::{
    Attribute, AttributeValue, Contents, Dimension, Format, Variable as ContentsVariable,
};
use crate::elements::{self, BigEndian};
use crate::error::FormatError;
use crate::grids::grids;
use crate::reader::{Ahead, Reader, checked, region_bytes};
use crate::region::Region;
use crate::saved::Entry;
use crate::source::ByteSource;
use arrow::array::ArrayRef;
use header::{Header, RawAttribute, RawVariable, Type, Value};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// An open NetCDF classic file.
#[derive(Debug)]
pub struct NetCdf3Reader {
    source: Arc<dyn ByteSource>,
    contents: Contents,
    stored: HashMap<String, Stored>,
    header_bytes: u64,
}

/// Where the values of a variable are.
#[derive(Debug)]
struct Stored {
    kind: Type,
    begin: u64,
    /// Bytes from one record to the next; `None` without the record dimension.
    record: Option<u64>,
}

impl NetCdf3Reader {
    /// Reads the header.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] with the byte where the header breaks its rules, or with the
    /// variable whose values lie past the end of the file; [`FormatError::TooLarge`] for names that
    /// take too much memory where they are referred to.
    pub fn open(source: Arc<dyn ByteSource>) -> Result<Self, FormatError> {
        let header = Header::read(source.as_ref())?;
        Self::with(source, &header)
    }

    fn with(source: Arc<dyn ByteSource>, header: &Header) -> Result<Self, FormatError> {
        let mut variables = Vec::with_capacity(header.variables.len());
        let mut stored = HashMap::new();
        // Dimensions that a one-dimensional variable of their name describes.
        let named = |id: usize, name: &str| header.dimensions.get(id).is_some_and(|d| d.0 == name);
        let coordinates: HashSet<usize> = header
            .variables
            .iter()
            .filter_map(|raw| match raw.dimensions.as_slice() {
                [id] if named(*id, &raw.name) => Some(*id),
                _ => None,
            })
            .collect();
        let budget = Budget::new(source.len());
        for raw in &header.variables {
            let names = raw.dimensions.iter().filter_map(|id| header.dimensions.get(*id));
            let bytes = names.map(|(name, _)| 2 * name.len() as u64 + 64);
            let bytes = bytes.fold(raw.name.len() as u64, u64::saturating_add);
            budget.take(source.location(), &raw.name, bytes)?;
            let variable = variable(source.location(), header, &coordinates, raw)?;
            let record = header.is_record(raw).then_some(header.record_bytes);
            stored
                .insert(variable.path.clone(), Stored { kind: raw.kind, begin: raw.begin, record });
            variables.push(variable);
        }
        let contents = Contents {
            format: Format::NetCdf3,
            attributes: header.attributes.iter().map(attribute).collect::<Result<_, _>>()?,
            groups: vec![],
            grids: grids(&variables),
            variables,
            unreadable: vec![],
        };
        Ok(Self { source, contents, stored, header_bytes: header.bytes })
    }
}

impl Reader for NetCdf3Reader {
    fn location(&self) -> &str {
        self.source.location()
    }

    fn contents(&self) -> &Contents {
        &self.contents
    }

    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError> {
        let variable = checked(self.location(), &self.contents, path, region)?;
        let path = variable.path.as_str();
        let overflow = || {
            let problem = "positions larger than the format allows";
            FormatError::corrupt(self.location(), path, problem)
        };
        let stored = self.stored.get(path).ok_or_else(overflow)?;
        let size = stored.kind.size();
        let (cells, _) = region_bytes(self.location(), path, region.cells(), size)?;
        let mut values = BigEndian::with_capacity(size, cells);
        // A region without cells has no runs.
        if cells > 0 {
            let rows = stored.rows(&variable.shape(), region).ok_or_else(overflow)?;
            rows.read(self.source.as_ref(), |bytes| values.push(bytes))?.ok_or_else(overflow)?;
        }
        Ok(elements::fixed_width(stored.kind.data_type(), values.into_native(), cells)?)
    }

    fn entries(&self) -> Result<Option<Vec<Entry>>, FormatError> {
        self.rows().map(Some)
    }

    fn ahead(&self) -> Option<&dyn Ahead> {
        self.source.access().is_remote().then_some(self)
    }
}

impl Ahead for NetCdf3Reader {
    fn ranges(&self, path: &str, region: &Region) -> Vec<Range<u64>> {
        let variable = checked(self.location(), &self.contents, path, region).ok();
        let ranges = variable.filter(|_| region.cells() != Some(0)).and_then(|variable| {
            let rows = self.stored.get(&variable.path)?.rows(&variable.shape(), region)?;
            rows.ranges(self.source.access())
        });
        ranges.unwrap_or_default()
    }

    fn announce(&self, ranges: &[Range<u64>]) {
        self.source.announce(ranges);
    }
}

fn variable(
    location: &str,
    header: &Header,
    coordinates: &HashSet<usize>,
    raw: &RawVariable,
) -> Result<ContentsVariable, FormatError> {
    let record = header.is_record(raw);
    let dimensions: Vec<Dimension> = raw
        .dimensions
        .iter()
        .filter_map(|id| header.dimensions.get(*id).map(|dimension| (*id, dimension)))
        .map(|(id, (name, length))| Dimension {
            name: name.clone(),
            length: if *length == 0 { header.records } else { *length },
            unlimited: *length == 0,
            coordinate: coordinates.contains(&id).then(|| format!("/{name}")),
        })
        .collect();
    let path = format!("/{}", raw.name);
    let cells = dimensions.iter().try_fold(1_u64, |cells, d| cells.checked_mul(d.length));
    let bytes = cells
        .zip(u64::try_from(raw.kind.size()).ok())
        .and_then(|(cells, size)| cells.checked_mul(size))
        .ok_or_else(|| FormatError::corrupt(location, &path, "its shape has too many cells"))?;
    let chunk_shape = record.then(|| {
        dimensions.iter().enumerate().map(|(i, d)| if i == 0 { 1 } else { d.length }).collect()
    });
    Ok(ContentsVariable {
        name: raw.name.clone(),
        data_type: raw.kind.data_type(),
        chunk_shape,
        filters: vec![],
        fallback: false,
        stored_bytes: Some(bytes),
        attributes: raw.attributes.iter().map(attribute).collect::<Result<_, _>>()?,
        default_fill: true,
        path,
        dimensions,
    })
}

fn attribute(raw: &RawAttribute) -> Result<Attribute, FormatError> {
    let value = match &raw.value {
        Value::Text(bytes) => AttributeValue::Text(vec![elements::text(bytes)]),
        Value::Numbers { kind, bytes, count } => {
            let mut numbers = BigEndian::with_capacity(kind.size(), *count);
            numbers.push(bytes);
            let native = numbers.into_native();
            AttributeValue::Numbers(elements::fixed_width(kind.data_type(), native, *count)?)
        }
    };
    Ok(Attribute { name: raw.name.clone(), value })
}
