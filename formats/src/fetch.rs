//! Many byte ranges in few requests.

use crate::error::FormatError;
use crate::source::ByteSource;
use std::ops::Range;

/// Reads ranges, joining near neighbours as the source likes it, and hands each to `each` with its
/// index: by first byte, those with the same first byte by last, the same ranges as they are given.
/// Holds one batch of runs at a time.
///
/// # Errors
/// Those of the source (before anything is read, if a range reaches past the end) and of `each`.
pub(crate) fn fetch(
    source: &dyn ByteSource,
    wanted: &[Range<u64>],
    mut each: impl FnMut(usize, &[u8]) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    crate::source::check_ranges(source.location(), source.len(), wanted)?;
    let access = source.access();
    let mut order: Vec<(usize, &Range<u64>)> = wanted.iter().enumerate().collect();
    order.sort_by_key(|(_, range)| (range.start, range.end));

    let mut runs: Vec<(Range<u64>, Vec<(usize, &Range<u64>)>)> = Vec::new();
    // Bytes of all runs that are held at once, and of the last run those that nobody wants.
    let (mut batch, mut waste) = (0, 0);
    for (index, range) in order {
        let gap = runs.last().map_or(0, |(run, _)| range.start.saturating_sub(run.end));
        match runs.last_mut() {
            Some((run, members))
                if range.end.max(run.end) - run.start <= access.run && {
                    let length = range.end.max(run.end) - run.start;
                    access.reads_along(gap, length - waste - gap, waste + gap)
                } =>
            {
                waste += gap;
                let end = run.end.max(range.end);
                batch += end - run.end;
                run.end = end;
                members.push((index, range));
            }
            _ => {
                if batch >= access.batch {
                    read(source, &runs, &mut each)?;
                    runs.clear();
                    batch = 0;
                }
                batch += range.end - range.start;
                waste = 0;
                runs.push((range.clone(), vec![(index, range)]));
            }
        }
    }
    read(source, &runs, &mut each)
}

fn read(
    source: &dyn ByteSource,
    runs: &[(Range<u64>, Vec<(usize, &Range<u64>)>)],
    each: &mut impl FnMut(usize, &[u8]) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    if source.access().is_remote() {
        // The source joins them itself, around what it keeps.
        let members: Vec<_> = runs.iter().flat_map(|(_, members)| members).collect();
        let ranges: Vec<_> = members.iter().map(|(_, range)| (*range).clone()).collect();
        for ((index, _), bytes) in members.into_iter().zip(source.read_ranges(&ranges)?) {
            each(*index, &bytes)?;
        }
        return Ok(());
    }
    let ranges: Vec<_> = runs.iter().map(|(run, _)| run.clone()).collect();
    for ((run, members), bytes) in runs.iter().zip(source.read_ranges(&ranges)?) {
        for (index, range) in members {
            let cut = usize::try_from(range.start - run.start)
                .ok()
                .zip(usize::try_from(range.end - run.start).ok())
                .and_then(|(start, end)| bytes.get(start..end))
                .ok_or_else(|| {
                    let problem = format!("the source gave {} bytes for {run:?}", bytes.len());
                    FormatError::corrupt(source.location(), format!("bytes {range:?}"), problem)
                })?;
            each(*index, cut)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemorySource;

    #[test]
    fn every_range_arrives_with_its_own_bytes() {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let source = MemorySource::new("memory", bytes.clone());
        let wanted = [700_000..700_008, 4..8, 0..6, 300_000..300_000, 8..200_000];
        let mut seen = vec![None; wanted.len()];
        fetch(&source, &wanted, |index, got| {
            seen[index] = Some(got.to_vec());
            Ok(())
        })
        .unwrap();
        for (range, got) in wanted.iter().zip(seen) {
            let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
            assert_eq!(got.unwrap(), bytes[start..end]);
        }
        assert!(fetch(&source, &[0..4, 799_999..800_001], |_, _| panic!("read")).is_err());
    }
}
