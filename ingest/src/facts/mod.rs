//! What files say of themselves, for records.

mod circle;
mod extent;
mod nexus;
mod valid;

use crate::IngestError;
use crate::figures::{Figures, Values};
use arrow::array::AsArray;
use circle::Circle;
use extent::Finder;
use nexus::Meaning;
use std::sync::Arc;
use tarn_connectors::Stores;
use tarn_connectors::store::FileStat;
use tarn_formats::cf::Decoder;
use tarn_formats::{AttributeValue, Contents, FormatError, Reader, Region, Variable};
use tarn_schemas::facts::{FileFacts, VariableFacts};
use valid::Valid;

/// Files with more bytes are described without statistics of their cells.
const LARGEST_WITH_STATISTICS: u64 = 2 << 30;
/// Variables with more cells, too: a small file may declare any shape.
const MOST_CELLS_WITH_STATISTICS: u64 = 1 << 32;
/// Texts of one variable: a formula for each sample.
const MOST_TEXTS: u64 = 100;
/// Cells that are decoded at once.
const CELLS: u64 = 1 << 20;

/// Bytes, checksum, variables with statistics, extents and global attributes of one file.
///
/// Statistics run over decoded cells: packed values unpacked, fills left out. Files of more than
/// 2 GiB, variables of more than 2^32 cells and variables with an unsupported filter have none;
/// times have only `missing`, for their range stands in the extent.
pub async fn extract(stores: &Stores, file: &FileStat) -> Result<FileFacts, IngestError> {
    if file.is_delta_table() {
        return crate::foreign::facts(stores, &file.location).await;
    }
    let file = &stores.whole(file).await?;
    let sha256 = stores.sha256(file).await?;
    let source = stores.source(file).await?;
    let (location, bytes) = (file.location.clone(), file.bytes);
    let options = stores.open_options(None);
    crate::blocking(move || {
        let reader = source.open(&options)?;
        let contents = reader.contents();
        let mut finder = Finder::default();
        let mut variables = Vec::with_capacity(contents.variables.len());
        let mut attributes = texts(contents);
        for variable in &contents.variables {
            let decoder = Decoder::new(&location, variable, parent(contents, variable))?;
            let wanted = bytes <= LARGEST_WITH_STATISTICS || Finder::wants(variable, &decoder);
            let cells = Region::whole(&variable.shape()).cells();
            let few = cells.is_some_and(|cells| cells <= MOST_CELLS_WITH_STATISTICS);
            let mut longitudes = Finder::circle(variable, &decoder);
            let figures = if wanted && few {
                figures(&reader, variable, &decoder, longitudes.as_mut())?
            } else {
                None
            };
            if let Some(figures) = &figures {
                finder.add(variable, &decoder, &figures.values, longitudes.as_ref());
            }
            let meaning = nexus::meaning(variable);
            let said = match meaning {
                Some(_) => small_texts(&reader, variable, &decoder)?,
                None => Vec::new(),
            };
            match meaning {
                Some(Meaning::Attribute(name)) => {
                    attributes.extend(said.into_iter().map(|text| (name.to_owned(), text)));
                }
                Some(Meaning::Moment) => {
                    said.iter().filter_map(|text| nexus::moment(text)).for_each(|at| finder.at(at));
                }
                None => {}
            }
            variables.push(describe(variable, &decoder, figures.as_ref()));
        }
        Ok(FileFacts {
            location,
            media_type: contents.format.media_type().to_owned(),
            bytes,
            sha256,
            variables,
            extent: finder.extent(),
            attributes,
        })
    })
    .await
}

/// The variable whose bounds these are.
fn parent<'a>(contents: &'a Contents, variable: &Variable) -> Option<&'a Variable> {
    let group = |variable: &Variable| variable.path.rsplit_once('/').map(|(g, _)| g.to_owned());
    contents.variables.iter().find(|other| {
        other.text("bounds") == Some(&variable.name) && group(other) == group(variable)
    })
}

/// Global attributes that are text, and numbers of the extent: ACDD's `geospatial_lat_min` and its
/// like are numbers in most files and texts in some.
fn texts(contents: &Contents) -> Vec<(String, String)> {
    contents
        .attributes
        .iter()
        .filter_map(|attribute| match &attribute.value {
            AttributeValue::Text(texts) => Some((attribute.name.clone(), texts.join(", "))),
            value @ AttributeValue::Numbers(_) if attribute.name.starts_with("geospatial_") => {
                Some((attribute.name.clone(), value.as_text()?))
            }
            _ => None,
        })
        .collect()
}

/// The texts of a small variable; none of one that is large or holds something else.
fn small_texts(
    reader: &Arc<dyn Reader>,
    variable: &Variable,
    decoder: &Decoder,
) -> Result<Vec<String>, IngestError> {
    let region = Region::whole(&variable.shape());
    if region.cells().is_none_or(|cells| cells > MOST_TEXTS) {
        return Ok(Vec::new());
    }
    let stored = match reader.read(&variable.path, &region) {
        Err(FormatError::Unsupported { .. }) => return Ok(Vec::new()),
        stored => stored?,
    };
    let decoded = decoder.decode(&stored)?;
    let Some(texts) = decoded.as_string_opt::<i32>() else { return Ok(Vec::new()) };
    Ok(texts.iter().flatten().map(|text| text.trim().to_owned()).collect())
}

fn describe(variable: &Variable, decoder: &Decoder, figures: Option<&Figures>) -> VariableFacts {
    let text = |name: &str| variable.text(name).map(str::to_owned);
    let (min, max) = match figures.map(|figures| &figures.values) {
        Some(Values::Floats { min, max, numbers: 1.., .. }) => (Some(*min), Some(*max)),
        Some(Values::Integers { min, max, .. }) if decoder.time().is_none() => {
            (Some(float(*min)), Some(float(*max)))
        }
        _ => (None, None),
    };
    VariableFacts {
        name: variable.path.trim_start_matches('/').to_owned(),
        data_type: decoder.field().data_type().to_string(),
        dimensions: variable.dimensions.iter().map(|d| d.name.clone()).collect(),
        shape: variable.shape(),
        standard_name: text("standard_name"),
        long_name: text("long_name"),
        units: text("units"),
        min: min.filter(|min| min.is_finite()),
        max: max.filter(|max| max.is_finite()),
        missing: figures.map(|figures| figures.nulls),
    }
}

/// The nearest double, which is what facts hold.
#[expect(clippy::cast_precision_loss, reason = "the nearest double is what facts hold")]
fn float(value: i128) -> f64 {
    value as f64
}

/// Figures of all decoded cells, and the places of longitudes; `None` if the variable uses something that is not read yet.
fn figures(
    reader: &Arc<dyn Reader>,
    variable: &Variable,
    decoder: &Decoder,
    mut longitudes: Option<&mut Circle>,
) -> Result<Option<Figures>, IngestError> {
    let mut figures = Figures::default();
    let valid = Valid::of(variable, decoder);
    for region in slabs(&variable.shape(), variable.chunk_shape.as_deref()) {
        let stored = match reader.read(&variable.path, &region) {
            Err(FormatError::Unsupported { .. }) => return Ok(None),
            stored => stored?,
        };
        let mut decoded = decoder.decode(&stored)?;
        if let Some(valid) = &valid {
            decoded = valid.mask(&decoded).map_err(FormatError::from)?;
        }
        figures.update(&decoded).map_err(FormatError::from)?;
        if let Some(circle) = &mut longitudes {
            circle.update(&decoded).map_err(FormatError::from)?;
        }
    }
    Ok(Some(figures))
}

/// Boxes that cover an array in C order, of whole chunks along the first dimension where these are
/// small enough.
fn slabs(shape: &[u64], chunk: Option<&[u64]>) -> Vec<Region> {
    let mut slabs = Vec::new();
    let mut pending = vec![(Region::whole(shape), 0)];
    while let Some((region, dimension)) = pending.pop() {
        let cells = region.cells().unwrap_or(u64::MAX);
        let Some(range) = region.ranges().get(dimension).cloned() else {
            slabs.push(region);
            continue;
        };
        let length = range.end - range.start;
        if cells <= CELLS || length == 0 {
            slabs.push(region);
            continue;
        }
        let behind = cells / length;
        let whole = chunk.and_then(|chunk| chunk.get(dimension)).copied().unwrap_or(1).max(1);
        let fitting = CELLS / behind.max(1);
        let step = if fitting >= whole { fitting - fitting % whole } else { fitting.max(1) };
        let mut pieces = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let end = start.saturating_add(step).min(range.end);
            let mut ranges = region.ranges().to_vec();
            if let Some(own) = ranges.get_mut(dimension) {
                *own = start..end;
            }
            pieces.push((Region::new(ranges), dimension + 1));
            start = end;
        }
        pending.extend(pieces.into_iter().rev());
    }
    slabs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slabs_cover_every_cell_once_and_stay_small(
            shape in prop::collection::vec(0_u64..3_000, 0..4),
            chunk in prop::collection::vec(1_u64..500, 4),
        ) {
            prop_assume!(shape.iter().product::<u64>() < 1 << 31);
            let slabs = slabs(&shape, Some(&chunk[..shape.len()]));
            let cells: u64 = slabs.iter().map(|slab| slab.cells().unwrap()).sum();
            prop_assert_eq!(cells, shape.iter().product::<u64>());
            prop_assert!(slabs.iter().all(|slab| slab.fits(&shape) && slab.cells().unwrap() <= CELLS));
            let starts = |slab: &Region| slab.ranges().iter().map(|r| r.start).collect::<Vec<_>>();
            prop_assert!(slabs.windows(2).all(|pair| starts(&pair[0]) < starts(&pair[1])));
        }
    }
}
