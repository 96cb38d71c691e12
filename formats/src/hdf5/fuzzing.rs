//! A way to the filters for the fuzzer, in builds with `--cfg fuzzing` only.

use crate::filters::{Filter, undo};

/// Filters that a pipeline is made of, by number.
const FILTERS: [u16; 12] = [1, 2, 3, 4, 5, 6, 307, 32_000, 32_001, 32_004, 32_008, 32_015];

/// Undoes the filters that `choice` stands for: in the first two bytes one or two filters, then the
/// size of an element and four parameters.
pub fn undo_chosen(choice: [u8; 8], stored: &[u8], size: usize) {
    let [first, second, element, parameters @ ..] = choice;
    let element = usize::from(element % 16) + 1;
    let parameters: Vec<u32> = parameters.iter().map(|byte| u32::from(*byte)).collect();
    let filters: Vec<Filter> = [first, second]
        .into_iter()
        .filter_map(|number| FILTERS.get(usize::from(number)))
        .map(|id| Filter { id: *id, parameters: parameters.clone() })
        .collect();
    let size = size / element * element;
    let result = undo(&filters, 0, stored, element, size, |values| {
        values.collect(0..size / element).map(|buffer| buffer.len())
    });
    if let Ok(length) = result {
        assert_eq!(length, Some(size));
    }
}
