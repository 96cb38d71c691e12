//! The sources of virtual datasets: which datasets of which files, and which part of them.

use super::assemble::{Part, Source};
use super::family::{Named, Unreached};
use super::index::{H5Dataset, H5Index};
use super::links::Followed;
use super::mapping::{Axis, Mapping, substituted};
use crate::error::FormatError;

/// Parts of a virtual dataset, at most.
const MOST_PARTS: usize = 1 << 18;
/// Blocks of a mapping without end, at most.
const MOST_BLOCKS: u64 = 65_536;

/// External links that lead to each other on the way to one source, at most.
const MOST_LINKS: u8 = 16;

/// The parts of a virtual dataset, and its shape, which may follow from those of its sources.
pub(super) struct Assembly {
    pub(super) parts: Vec<Part>,
    pub(super) shape: Vec<u64>,
}

/// Looks for the sources of a virtual dataset. One that is not there leaves its part unwritten.
///
/// # Errors
/// The inner one is the reason why the dataset cannot be read, in words.
pub(super) fn assembly(
    index: &H5Index,
    dataset: &H5Dataset,
    mappings: &[Mapping],
    named: &mut Named<'_>,
) -> Result<Result<Assembly, String>, FormatError> {
    let mut assembly = Assembly { parts: vec![], shape: dataset.shape.clone() };
    // The extent that mappings without end give to their dimension.
    let mut unlimited: Vec<Option<u64>> = vec![None; dataset.shape.len()];
    for mapping in mappings {
        let mut find = Find { index, dataset, named };
        let found = match mapping.target.unlimited() {
            None => find.limited(mapping, &mut assembly.parts)?,
            Some((axis, _)) => match find.unlimited(mapping, &mut assembly.parts)? {
                Ok(extent) => {
                    if let Some(known) = unlimited.get_mut(axis) {
                        *known = Some(known.unwrap_or(0).max(extent));
                    }
                    Ok(())
                }
                Err(reason) => Err(reason),
            },
        };
        if assembly.parts.len() > MOST_PARTS {
            return Ok(Err(format!("a virtual dataset of more than {MOST_PARTS} parts")));
        }
        if let Err(reason) = found {
            return Ok(Err(format!("a virtual dataset: {reason}")));
        }
    }
    for (axis, extent) in unlimited.into_iter().enumerate() {
        if let (Some(extent), Some(length)) = (extent, assembly.shape.get_mut(axis)) {
            let ends = assembly.parts.iter().filter_map(|part| part.target_axes.get(axis));
            *length = ends.map(Axis::end).fold(extent, u64::max);
        }
    }
    Ok(Ok(assembly))
}

/// What is needed to find the sources of a mapping.
struct Find<'a, 'n> {
    index: &'a H5Index,
    dataset: &'a H5Dataset,
    named: &'a mut Named<'n>,
}

impl Find<'_, '_> {
    /// A source and its shape; `Ok(Ok(None))` if it is not there.
    fn source(
        &mut self,
        file: &str,
        path: &str,
    ) -> Result<Result<Option<(Source, Vec<u64>)>, String>, FormatError> {
        let source = match file {
            "." => self.own(path, MOST_LINKS)?,
            name => self.elsewhere(name, path, MOST_LINKS)?,
        };
        let source = match source {
            Ok(source) => source,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(source) = source else { return Ok(Ok(None)) };
        let found = match &source {
            Source::Own(place) => self.index.datasets.get(*place),
            Source::Other(reader, place) => reader.index.datasets.get(*place),
        };
        let Some(found) = found else { return Ok(Ok(None)) };
        if found.datatype != self.dataset.datatype {
            return Ok(Err(format!("its source {path} in {file} has another type")));
        }
        let shape = found.shape.clone();
        Ok(Ok(Some((source, shape))))
    }

    /// A source in this file, or where its links lead.
    fn own(
        &mut self,
        path: &str,
        links: u8,
    ) -> Result<Result<Option<Source>, String>, FormatError> {
        match self.index.links.follow(self.index.links.root, path) {
            Followed::Object(address) => {
                let mut datasets = self.index.datasets.iter();
                let place = datasets.position(|dataset| dataset.address == address);
                Ok(match (place, self.index.reason_of(address)) {
                    (None, Some(reason)) => Err(format!("its source {path}: {reason}")),
                    (place, _) => Ok(place.map(Source::Own)),
                })
            }
            Followed::External { file, path } => match links.checked_sub(1) {
                Some(links) => self.elsewhere(&file, &path, links),
                None => Ok(Err(format!("the links to its source {path} have no end"))),
            },
            Followed::Nothing => Ok(Ok(None)),
        }
    }

    /// A source in another file. Only one that does not exist is none; one that may not be read is
    /// a reason why the dataset cannot be.
    fn elsewhere(
        &mut self,
        file: &str,
        path: &str,
        links: u8,
    ) -> Result<Result<Option<Source>, String>, FormatError> {
        let reader = match self.named.open(file)? {
            Ok(reader) => reader,
            Err(Unreached::Itself) => return self.own(path, links),
            Err(Unreached::Missing) => return Ok(Ok(None)),
            Err(Unreached::Because(why)) => {
                return Ok(Err(format!("its source in {file}: {why}")));
            }
        };
        if let Some((reader, place)) = reader.locate(path) {
            return Ok(Ok(Some(Source::Other(reader, place))));
        }
        let whole = format!("/{}", path.trim_matches('/'));
        let mut listed = reader.contents.unreadable.iter();
        Ok(match listed.find(|unreadable| unreadable.path == whole) {
            Some(unreadable) => Err(format!("its source {whole} in {file}: {}", unreadable.reason)),
            None => Ok(None),
        })
    }

    /// The parts of a mapping that ends.
    fn limited(
        &mut self,
        mapping: &Mapping,
        parts: &mut Vec<Part>,
    ) -> Result<Result<(), String>, FormatError> {
        let Some((file, path)) = names(mapping, 0) else { return Ok(Err(bad_name(mapping))) };
        let (source, shape) = match self.source(&file, &path)? {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Ok(())),
            Err(reason) => return Ok(Err(reason)),
        };
        let reshaped = || Ok(Err(format!("the selection of its source {path} in {file}")));
        let targets = mapping.target.boxes(&self.dataset.shape);
        let (Some(targets), Some(sources)) = (targets, mapping.source.boxes(&shape)) else {
            return reshaped();
        };
        if targets.len() != sources.len() {
            return reshaped();
        }
        for (target, from) in targets.into_iter().zip(sources) {
            match Part::new(source.clone(), target, from) {
                Some(part) => parts.push(part),
                None => return reshaped(),
            }
        }
        Ok(Ok(()))
    }

    /// The parts of a mapping without end, and the extent that they reach.
    fn unlimited(
        &mut self,
        mapping: &Mapping,
        parts: &mut Vec<Part>,
    ) -> Result<Result<u64, String>, FormatError> {
        let first = parts.len();
        let Some((axis, _)) = mapping.target.unlimited() else { return Ok(Ok(0)) };
        if let Some((from, steps)) = mapping.source.unlimited() {
            let Some((file, path)) = names(mapping, 0) else { return Ok(Err(bad_name(mapping))) };
            let (source, shape) = match self.source(&file, &path)? {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(Ok(0)),
                Err(reason) => return Ok(Err(reason)),
            };
            let length = steps.below(shape.get(from).copied().unwrap_or(0));
            let (target, from) = (mapping.target.limited(length), mapping.source.limited(length));
            let part = target.zip(from).and_then(|(target, from)| Part::new(source, target, from));
            match part {
                Some(part) => parts.push(part),
                None => return Ok(Err(format!("the selection of its source {path} in {file}"))),
            }
        } else {
            for block in 0..MOST_BLOCKS {
                let Some((file, path)) = names(mapping, block) else {
                    return Ok(Err(bad_name(mapping)));
                };
                let (source, shape) = match self.source(&file, &path)? {
                    Ok(Some(found)) => found,
                    Ok(None) => break,
                    Err(reason) => return Ok(Err(reason)),
                };
                let from = mapping.source.boxes(&shape).and_then(|mut boxes| boxes.pop());
                let target = mapping.target.block(block);
                let part =
                    target.zip(from).and_then(|(target, from)| Part::new(source, target, from));
                match part {
                    Some(part) => parts.push(part),
                    None => {
                        return Ok(Err(format!("the selection of its source {path} in {file}")));
                    }
                }
                // The same name for every block is the same source for every block.
                if names(mapping, 1) == names(mapping, 0) {
                    return Ok(Err(format!("its source {path} in {file} has no end")));
                }
            }
        }
        let own = parts.get(first..).unwrap_or_default().iter();
        let ends = own.filter_map(|part| part.target_axes.get(axis)).map(Axis::end);
        Ok(Ok(ends.max().unwrap_or(0)))
    }
}

/// The file and the path of a mapping's source.
fn names(mapping: &Mapping, block: u64) -> Option<(String, String)> {
    Some((substituted(&mapping.file, block)?, substituted(&mapping.dataset, block)?))
}

fn bad_name(mapping: &Mapping) -> String {
    format!("the name of its source, {} in {}", mapping.dataset, mapping.file)
}
