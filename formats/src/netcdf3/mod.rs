//! NetCDF classic: CDF-1, CDF-2 and CDF-5.
//!
//! Format: "NetCDF Classic Format Specifications" (Unidata), and for CDF-5 "CDF-5 Format
//! Specification" (PnetCDF). Everything is big-endian. The header lists dimensions, attributes and
//! variables; a variable without the record dimension is one contiguous block, the record
//! variables' slabs follow each other record by record.

mod header;

use crate::contents::{
    Attribute, AttributeValue, Contents, Dimension, Format, Variable as ContentsVariable,
};
use crate::elements::{self, ByteOrder};
use crate::error::FormatError;
use crate::fetch::fetch;
use crate::grids::grids;
use crate::hyperslab::Runs;
use crate::reader::{Reader, checked, region_bytes};
use crate::region::Region;
use crate::source::ByteSource;
use arrow::array::ArrayRef;
use arrow::buffer::MutableBuffer;
use header::{Header, RawAttribute, RawVariable, Type, Value};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Most runs of bytes that are planned at once.
const PLAN: usize = 65_536;

/// An open NetCDF classic file.
#[derive(Debug)]
pub struct NetCdf3Reader {
    source: Arc<dyn ByteSource>,
    contents: Contents,
    stored: HashMap<String, Stored>,
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
    /// variable whose values lie past the end of the file.
    pub fn open(source: Arc<dyn ByteSource>) -> Result<Self, FormatError> {
        let header = Header::read(source.as_ref())?;
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
        for raw in &header.variables {
            let variable = variable(source.location(), &header, &coordinates, raw)?;
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
        Ok(Self { source, contents, stored })
    }

    /// Reads the runs planned so far into their places.
    fn fetch_plan(
        &self,
        plan: &mut Vec<(Range<u64>, usize)>,
        values: &mut [u8],
        path: &str,
    ) -> Result<(), FormatError> {
        let ranges: Vec<_> = plan.iter().map(|(range, _)| range.clone()).collect();
        fetch(self.source.as_ref(), &ranges, |index, bytes| {
            plan.get(index)
                .and_then(|(_, at)| values.get_mut(*at..at.checked_add(bytes.len())?))
                .map(|target| target.copy_from_slice(bytes))
                .ok_or_else(|| self.overflow(path))
        })?;
        plan.clear();
        Ok(())
    }

    fn overflow(&self, path: &str) -> FormatError {
        FormatError::corrupt(self.location(), path, "positions larger than the format allows")
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
        let overflow = || self.overflow(path);
        let stored = self.stored.get(path).ok_or_else(overflow)?;
        let size = stored.kind.size();
        let (cells, bytes) = region_bytes(self.location(), path, region.cells(), size)?;
        let mut values = MutableBuffer::from_len_zeroed(bytes);
        let wide = u64::try_from(size).map_err(|_| overflow())?;

        // Inside a record the values are contiguous; without records the whole variable is.
        let shape = variable.shape();
        let (records, inner) = match stored.record {
            Some(stride) => (region.ranges().first().cloned(), Some(stride)),
            None => (None, None),
        };
        let skip = usize::from(inner.is_some());
        let whole: Vec<_> = shape.iter().skip(skip).map(|length| 0..*length).collect();
        let wanted: Vec<_> = region.ranges().iter().skip(skip).cloned().collect();
        let record_cells: u64 = wanted.iter().map(|range| range.end - range.start).product();
        let mut plan = Vec::new();
        for (number, record) in (0_u64..).zip(records.unwrap_or(0..1)) {
            let begin = record
                .checked_mul(inner.unwrap_or(0))
                .and_then(|offset| offset.checked_add(stored.begin))
                .ok_or_else(overflow)?;
            for (from, to, length) in Runs::new(&whole, &wanted, &wanted).ok_or_else(overflow)? {
                let run = || {
                    let start = begin.checked_add(from.checked_mul(wide)?)?;
                    let end = start.checked_add(length.checked_mul(wide)?)?;
                    let cell = number.checked_mul(record_cells)?.checked_add(to)?;
                    let at = usize::try_from(cell.checked_mul(wide)?).ok()?;
                    Some((start..end, at))
                };
                plan.push(run().ok_or_else(overflow)?);
                if plan.len() >= PLAN {
                    self.fetch_plan(&mut plan, &mut values, path)?;
                }
            }
        }
        self.fetch_plan(&mut plan, &mut values, path)?;
        elements::to_native(&mut values, size, ByteOrder::Big);
        Ok(elements::fixed_width(stored.kind.data_type(), values, cells)?)
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
            let mut native = MutableBuffer::from_len_zeroed(bytes.len());
            native.copy_from_slice(bytes);
            elements::to_native(&mut native, kind.size(), ByteOrder::Big);
            AttributeValue::Numbers(elements::fixed_width(kind.data_type(), native, *count)?)
        }
    };
    Ok(Attribute { name: raw.name.clone(), value })
}
