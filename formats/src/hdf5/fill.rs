//! What the cells of a dataset hold where nothing was written.

use super::datatype::{Datatype, FloatFormat};
use super::read::{Read, Wanted};
use crate::default_fill::default_fill;
use crate::elements;
use crate::error::FormatError;
use crate::hyperslab::Runs;
use arrow::buffer::MutableBuffer;
use arrow::datatypes::DataType;
use hdf5_reader::messages::fill_value::{FillTime, FillValueMessage};
use std::ops::Range;

/// The fills of a dataset: each one element as it is stored, `None` for zeros.
#[derive(Debug, Default)]
pub(crate) struct Fill {
    /// Inside the stored extent.
    inside: Option<Vec<u8>>,
    /// Past it, along an unlimited dimension that is longer.
    past: Option<Vec<u8>>,
    /// Whether no fill was stated, and whether unwritten cells are left undefined.
    is_stated: bool,
    is_undefined: bool,
}

impl Fill {
    /// Takes what one message says; a header may have an old and a new one.
    pub(super) fn add(&mut self, message: &FillValueMessage) {
        if message.value.is_some() {
            self.inside.clone_from(&message.value);
            self.is_stated = true;
        }
        // The parser has the names of the times in another order than the format (specification,
        // IV.A.2.f: 0 on allocation, 1 never, 2 if set), and calls 1 `Always`.
        self.is_undefined |= message.fill_time == FillTime::Always;
    }

    /// The fills of a dataset of this type. Zeros for a value of another size.
    pub(super) fn finished(self, datatype: &Datatype) -> Self {
        let fits = |fill: &Vec<u8>| fill.len() == datatype.size() && fill.iter().any(|b| *b != 0);
        let inside = self.inside.filter(fits);
        Self { past: inside.clone(), inside, ..self }
    }

    /// As NetCDF-4 has it: a variable without a fill of its own has the default of its type past
    /// its extent (`nc4_get_fill_value` of netCDF-C). Inside, cells of a variable that was made
    /// without fills are undefined until they are written; the library gives whatever was in
    /// memory, and here they are the same default, so that they are missing.
    pub(super) fn with_defaults(&mut self, datatype: &Datatype) {
        if self.is_stated {
            return;
        }
        self.past = default_bytes(datatype);
        if self.is_undefined {
            self.inside.clone_from(&self.past);
        }
    }
}

/// The default fill of a type in the order of its bytes in the file.
fn default_bytes(datatype: &Datatype) -> Option<Vec<u8>> {
    let order = match datatype {
        Datatype::Integer { size, order, precision, .. } if usize::from(*precision) == size * 8 => {
            *order
        }
        Datatype::Float { format: FloatFormat::Single | FloatFormat::Double, order } => *order,
        _ => return None,
    };
    let data_type: DataType = datatype.data_type().ok()?;
    let value = default_fill(&data_type)?.to_data();
    let mut bytes = value.buffers().first()?.as_slice().get(..datatype.size())?.to_vec();
    elements::to_native(&mut bytes, datatype.size(), order);
    Some(bytes)
}

impl Read<'_> {
    /// The memory of a region in which nothing was written.
    pub(super) fn blank(&self, wanted: &Wanted<'_>) -> Result<MutableBuffer, FormatError> {
        let Fill { inside, past, .. } = &self.dataset.fill;
        if wanted.is_stored() {
            return Ok(repeated(inside.as_deref(), wanted.bytes));
        }
        let mut values = repeated(past.as_deref(), wanted.bytes);
        if inside == past || wanted.stored.iter().any(Range::is_empty) {
            return Ok(values);
        }
        let size = self.dataset.datatype.size();
        let zeros = vec![0; size];
        let inside = inside.as_deref().unwrap_or(&zeros);
        let runs = Runs::new(wanted.region, wanted.region, &wanted.stored);
        for (_, to, length) in runs.ok_or_else(|| self.overflow())? {
            let place = || {
                let start = usize::try_from(to).ok()?.checked_mul(size)?;
                Some(start..start.checked_add(usize::try_from(length).ok()?.checked_mul(size)?)?)
            };
            let cells = place().and_then(|place| values.get_mut(place));
            let cells = cells.ok_or_else(|| self.overflow())?.chunks_exact_mut(size);
            cells.for_each(|cell| cell.copy_from_slice(inside));
        }
        Ok(values)
    }
}

/// Memory full of one value.
fn repeated(value: Option<&[u8]>, bytes: usize) -> MutableBuffer {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return MutableBuffer::from_len_zeroed(bytes);
    };
    let mut values = MutableBuffer::with_capacity(bytes);
    values.repeat_slice_n_times(value, bytes / value.len());
    values
}
